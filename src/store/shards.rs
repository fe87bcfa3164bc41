//! Shards: ownership by epoch, the stored states of subjects, and positions in the stream.

use std::collections::BTreeMap;

use super::db::{Column, Row, Tx, same_int, same_text, sorted, values};
use super::{ShardId, ShardLease, Store, StoreError, SubjectRow, UsageRow};
use crate::time::Millis;

/// How many IDs one query asks for.
const IDS_PER_QUERY: usize = 1_000;

impl Store {
    /// Takes the shard for `owner`. Whoever held it can write nothing from here on.
    pub async fn acquire_shard(&self, shard: &ShardId, owner: &str, now: Millis) -> Result<ShardLease, StoreError> {
        let sql = "INSERT INTO shards (topic, partition, epoch, owner, updated_at) VALUES ($1, $2, 1, $3, $4) \
             ON CONFLICT (topic, partition) DO UPDATE \
             SET epoch = shards.epoch + 1, owner = excluded.owner RETURNING epoch, position, blob, updated_at";
        let mut tx = self.pools.begin().await?;
        let row = tx.fetch_one("shards", sql, values![&shard.topic, shard.partition, owner, now]).await?;
        let Some(row) = row else {
            return Err(StoreError::Inconsistent { place: "shards", detail: format!("{shard} was not stored") });
        };
        let lease = ShardLease {
            epoch: row.get("epoch")?,
            position: row.get("position")?,
            stored_at: row.get("updated_at")?,
            blob: row.get("blob")?,
        };
        tx.commit().await?;
        Ok(lease)
    }

    /// The stored states of these subjects, ordered by ID. A subject that this shard has never stored is adopted
    /// from the shard that stored it last, with `current_to` 0: offsets of another partition say nothing here.
    pub async fn load_subjects(&self, shard: &ShardId, ids: &[String]) -> Result<Vec<SubjectRow>, StoreError> {
        let is_one_of = self.pools.any_of("$3");
        let own = format!(
            "SELECT id, current_to, next_due, blob FROM subjects WHERE topic = $1 AND partition = $2 AND id {is_one_of}"
        );
        let is_one_of = self.pools.any_of("$1");
        // Through the list of shards: their key begins with the shard, and an index of IDs alone would cost each checkpoint.
        let foreign = format!(
            "SELECT o.id AS id, CAST(0 AS BIGINT) AS current_to, o.next_due AS next_due, o.blob AS blob \
             FROM shards s JOIN subjects o ON o.topic = s.topic AND o.partition = s.partition AND o.id {is_one_of} \
             ORDER BY o.id, o.updated_at, o.topic, o.partition"
        );
        let mut found: BTreeMap<String, SubjectRow> = BTreeMap::new();
        for ids in ids.chunks(IDS_PER_QUERY) {
            let rows = self.pools.fetch("subjects", &own, values![&shard.topic, shard.partition, ids]).await?;
            for row in &rows {
                let subject = subject_row(row)?;
                found.insert(subject.id.clone(), subject);
            }
            let missing: Vec<String> = ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
            if missing.is_empty() {
                continue;
            }
            // In order of age: the newest stays.
            for row in &self.pools.fetch("subjects", &foreign, values![missing.as_slice()]).await? {
                let subject = subject_row(row)?;
                found.insert(subject.id.clone(), subject);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Subjects of the shard with a timer due by `due_before`, the earliest first.
    pub async fn due_subjects(
        &self,
        shard: &ShardId,
        due_before: Millis,
        limit: i64,
    ) -> Result<Vec<SubjectRow>, StoreError> {
        let sql = "SELECT id, current_to, next_due, blob FROM subjects \
             WHERE topic = $1 AND partition = $2 AND next_due <= $3 ORDER BY next_due, id LIMIT $4";
        let values = values![&shard.topic, shard.partition, due_before, limit];
        self.pools.fetch("subjects", sql, values).await?.iter().map(subject_row).collect()
    }

    /// When the shard's next timer after `after` is due.
    pub async fn earliest_due(&self, shard: &ShardId, after: Millis) -> Result<Option<Millis>, StoreError> {
        let sql = "SELECT MIN(next_due) AS due FROM subjects WHERE topic = $1 AND partition = $2 AND next_due > $3";
        let row = self.pools.fetch_one("subjects", sql, values![&shard.topic, shard.partition, after]).await?;
        row.map_or(Ok(None), |row| row.get("due"))
    }

    /// Stores a slice of a checkpoint. Where an ID comes twice, the later row counts.
    pub async fn write_slice(
        &self,
        shard: &ShardId,
        epoch: i64,
        rows: &[SubjectRow],
        usage: &[UsageRow],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        tx.wait_for_no_disk().await?;
        write_subjects(&mut tx, shard, rows, now).await?;
        write_usage(&mut tx, usage).await?;
        tx.commit().await
    }

    /// Ends a checkpoint: everything before `position` is in the stored states.
    pub async fn finish_checkpoint(
        &self,
        shard: &ShardId,
        epoch: i64,
        position: i64,
        blob: &[u8],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let sql = "UPDATE shards SET position = $3, blob = $4, updated_at = $5 WHERE topic = $1 AND partition = $2";
        tx.execute("shards", sql, values![&shard.topic, shard.partition, position, blob, now]).await?;
        tx.commit().await
    }

    /// Forgets what offsets the shard's states are current to: its topic was made anew.
    pub async fn reset_offsets(&self, shard: &ShardId, epoch: i64) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let sql = "UPDATE subjects SET current_to = 0 WHERE topic = $1 AND partition = $2 AND current_to <> 0";
        tx.execute("subjects", sql, values![&shard.topic, shard.partition]).await?;
        tx.commit().await
    }

    /// Notes that these merchants' traffic comes through this shard.
    pub async fn note_homes(&self, shard: &ShardId, epoch: i64, merchants: &[String]) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let merchants = sorted(merchants.iter().map(String::as_str));
        let n_rows = merchants.len();
        let columns = [
            ("merchant_id", Column::Texts(merchants)),
            ("topic", same_text(&shard.topic, n_rows)),
            ("partition", same_int(i64::from(shard.partition), n_rows)),
        ];
        let conflict = "ON CONFLICT (merchant_id) DO UPDATE SET topic = excluded.topic, partition = excluded.partition \
             WHERE homes.topic <> excluded.topic OR homes.partition <> excluded.partition";
        tx.insert_many("homes", &columns, conflict).await?;
        tx.commit().await
    }

    /// Begins a transaction in which nobody else can take the shard. Every write of a shard starts here.
    pub(super) async fn begin_fenced(&self, shard: &ShardId, epoch: i64) -> Result<Tx, StoreError> {
        let mut tx = self.pools.begin().await?;
        let sql = format!("SELECT epoch FROM shards WHERE topic = $1 AND partition = $2{}", tx.for_update());
        let row = tx.fetch_one("shards", &sql, values![&shard.topic, shard.partition]).await?;
        let stored = row.map(|row| row.get::<i64>("epoch")).transpose()?;
        if stored != Some(epoch) {
            return Err(StoreError::EpochLost { shard: shard.to_string(), held: epoch });
        }
        Ok(tx)
    }
}

async fn write_subjects(tx: &mut Tx, shard: &ShardId, rows: &[SubjectRow], now: Millis) -> Result<(), StoreError> {
    let rows: BTreeMap<&str, &SubjectRow> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let n_rows = rows.len();
    let columns = [
        ("topic", same_text(&shard.topic, n_rows)),
        ("partition", same_int(i64::from(shard.partition), n_rows)),
        ("id", Column::Texts(rows.keys().copied().collect())),
        ("current_to", Column::Ints(rows.values().map(|row| Some(row.current_to)).collect())),
        ("next_due", Column::Ints(rows.values().map(|row| row.next_due).collect())),
        ("blob", Column::Blobs(rows.values().map(|row| row.blob.as_slice()).collect())),
        ("updated_at", same_int(now, n_rows)),
    ];
    let conflict = "ON CONFLICT (topic, partition, id) DO UPDATE SET current_to = excluded.current_to, \
         next_due = excluded.next_due, blob = excluded.blob, updated_at = excluded.updated_at";
    tx.insert_many("subjects", &columns, conflict).await
}

async fn write_usage(tx: &mut Tx, usage: &[UsageRow]) -> Result<(), StoreError> {
    let rows: BTreeMap<(i32, &str), &UsageRow> =
        usage.iter().map(|row| ((row.day, row.key_id.as_str()), row)).collect();
    let rows: Vec<&UsageRow> = rows.into_values().collect();
    let ints = |field: fn(&UsageRow) -> i64| Column::Ints(rows.iter().map(|row| Some(field(row))).collect());
    let columns = [
        ("key_id", Column::Texts(rows.iter().map(|row| row.key_id.as_str()).collect())),
        ("day", ints(|row| i64::from(row.day))),
        ("accepted", ints(|row| row.accepted)),
        ("refused", ints(|row| row.refused)),
        ("first_at", ints(|row| row.first_at)),
        ("last_at", ints(|row| row.last_at)),
    ];
    let conflict = "ON CONFLICT (day, key_id) DO UPDATE SET accepted = excluded.accepted, \
         refused = excluded.refused, first_at = excluded.first_at, last_at = excluded.last_at";
    tx.insert_many("usage_days", &columns, conflict).await
}

pub(super) fn subject_row(row: &Row) -> Result<SubjectRow, StoreError> {
    Ok(SubjectRow {
        id: row.get("id")?,
        current_to: row.get("current_to")?,
        next_due: row.get("next_due")?,
        blob: row.get("blob")?,
    })
}
