//! Dead letters, bounded, and the store's few single values.

use super::db::values;
use super::{DeadLetter, Store, StoreError};
use crate::time::Millis;

/// A dead letter as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Topic, partition and offset, or file and line.
    pub place: String,
    /// The counted class.
    pub reason: String,
    /// What was wrong, without content.
    pub detail: String,
    /// The message, masked and cut.
    pub redacted: String,
    /// When it was stored (wall time).
    pub at: Millis,
}

impl Store {
    /// Keeps rejected messages; of all that are kept, only the newest `keep`. A message that is read again is the
    /// same dead letter.
    pub async fn save_dead_letters(&self, letters: &[DeadLetter], keep: usize, now: Millis) -> Result<(), StoreError> {
        let mut tx = self.pools.begin().await?;
        let insert = "INSERT INTO dead_letters (place, reason, detail, redacted, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (place) DO NOTHING";
        // More than `keep` at once: the earlier ones would be deleted again below.
        for letter in &letters[letters.len().saturating_sub(keep)..] {
            let values = values![&letter.place, letter.reason, &letter.detail, &letter.redacted, now];
            tx.execute("dead_letters", insert, values).await?;
        }
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let delete = "DELETE FROM dead_letters WHERE number <= \
             (SELECT number FROM dead_letters ORDER BY number DESC LIMIT 1 OFFSET $1)";
        tx.execute("dead_letters", delete, values![keep]).await?;
        tx.commit().await
    }

    /// The newest dead letters, newest first.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let sql = "SELECT place, reason, detail, redacted, at FROM dead_letters ORDER BY number DESC LIMIT $1";
        let mut letters = Vec::new();
        for row in &self.pools.fetch("dead_letters", sql, values![limit]).await? {
            letters.push(StoredDeadLetter {
                place: row.get("place")?,
                reason: row.get("reason")?,
                detail: row.get("detail")?,
                redacted: row.get("redacted")?,
                at: row.get("at")?,
            });
        }
        Ok(letters)
    }

    /// A single value, such as when the store was first used.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let row = self.pools.fetch_one("meta", "SELECT value FROM meta WHERE key = $1", values![key]).await?;
        row.map(|row| row.get("value")).transpose()
    }

    /// Sets a single value where there is none yet, and returns the one that counts.
    pub async fn set_meta_once(&self, key: &str, value: &str) -> Result<String, StoreError> {
        let mut tx = self.pools.begin().await?;
        let insert = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
        tx.execute("meta", insert, values![key, value]).await?;
        let row = tx.fetch_one("meta", "SELECT value FROM meta WHERE key = $1", values![key]).await?;
        let stored = row.map(|row| row.get("value")).transpose()?;
        tx.commit().await?;
        stored.ok_or_else(|| StoreError::Inconsistent { place: "meta", detail: format!("{key} was not stored") })
    }
}
