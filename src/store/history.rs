//! What `replay --save-state` has learned from a file, for a service that starts from it.

use super::db::values;
use super::{Store, StoreError};

/// The topic under which a replay stores what it learned.
pub const HISTORY_TOPIC: &str = "file";

impl Store {
    /// The states of the shards that a replay has stored; empty where there was none.
    pub async fn history_shards(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT blob FROM shards WHERE topic = $1 AND blob IS NOT NULL ORDER BY partition";
        self.pools.fetch("shards", sql, values![HISTORY_TOPIC]).await?.iter().map(|row| row.get("blob")).collect()
    }

    /// Subjects after `after` that a replay has stored and no partition of Kafka has taken yet, ordered by ID.
    pub async fn history_subjects(&self, after: &str, limit: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT h.id AS id FROM subjects h WHERE h.topic = $1 AND h.id > $2 AND NOT EXISTS \
             (SELECT 1 FROM shards s JOIN subjects o ON o.topic = s.topic AND o.partition = s.partition \
             WHERE s.topic <> $1 AND o.id = h.id) ORDER BY id LIMIT $3";
        let rows = self.pools.fetch("subjects", sql, values![HISTORY_TOPIC, after, limit]).await?;
        rows.iter().map(|row| row.get("id")).collect()
    }
}
