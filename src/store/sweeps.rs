//! Reads that a shard's owner makes beside the subjects of a batch: by timer, page by page, and who lives nowhere yet.

use super::db::values;
use super::shards::subject_row;
use super::{ShardId, Store, StoreError, SubjectRow};
use crate::time::Millis;

/// How many IDs one query asks for.
const IDS_PER_QUERY: usize = 1_000;

impl Store {
    /// Subjects of the shard with a timer due in `from..to`, the earliest first.
    pub async fn due_between(
        &self,
        shard: &ShardId,
        from: Millis,
        to: Millis,
        limit: i64,
    ) -> Result<Vec<SubjectRow>, StoreError> {
        let sql = "SELECT id, current_to, next_due, blob FROM subjects \
             WHERE topic = $1 AND partition = $2 AND next_due >= $3 AND next_due < $4 ORDER BY next_due, id LIMIT $5";
        let values = values![&shard.topic, shard.partition, from, to, limit];
        self.pools.fetch("subjects", sql, values).await?.iter().map(subject_row).collect()
    }

    /// Subjects that this shard itself has stored, among these.
    pub async fn own_subjects(&self, shard: &ShardId, ids: &[String]) -> Result<Vec<SubjectRow>, StoreError> {
        let is_one_of = self.pools.any_of("$3");
        let sql = format!(
            "SELECT id, current_to, next_due, blob FROM subjects WHERE topic = $1 AND partition = $2 AND id {is_one_of}"
        );
        let mut found = Vec::new();
        for ids in ids.chunks(IDS_PER_QUERY) {
            let rows = self.pools.fetch("subjects", &sql, values![&shard.topic, shard.partition, ids]).await?;
            for row in &rows {
                found.push(subject_row(row)?);
            }
        }
        Ok(found)
    }

    /// The shard's subjects after `after`, ordered by ID.
    pub async fn subjects_after(
        &self,
        shard: &ShardId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SubjectRow>, StoreError> {
        let sql = "SELECT id, current_to, next_due, blob FROM subjects \
             WHERE topic = $1 AND partition = $2 AND id > $3 ORDER BY id LIMIT $4";
        let values = values![&shard.topic, shard.partition, after, limit];
        self.pools.fetch("subjects", sql, values).await?.iter().map(subject_row).collect()
    }

    /// Those of these merchants whose traffic no shard has seen.
    pub async fn without_home(&self, merchants: &[String]) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT merchant_id FROM homes WHERE merchant_id {}", self.pools.any_of("$1"));
        let mut homeless = Vec::new();
        for merchants in merchants.chunks(IDS_PER_QUERY) {
            let mut at_home = std::collections::BTreeSet::new();
            for row in &self.pools.fetch("homes", &sql, values![merchants]).await? {
                at_home.insert(row.get::<String>("merchant_id")?);
            }
            homeless.extend(merchants.iter().filter(|m| !at_home.contains(*m)).cloned());
        }
        Ok(homeless)
    }

    /// Keys whose facts were stored at or after `since` (wall time).
    pub async fn keys_changed_since(&self, since: Millis) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM key_facts WHERE updated_at >= $1 ORDER BY id";
        self.pools.fetch("key_facts", sql, values![since]).await?.iter().map(|row| row.get("id")).collect()
    }
}
