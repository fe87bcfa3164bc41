//! Facts as they were known when last stored.
//!
//! Several write them: each instance of the service, `import`, `replay --save-state`. So a write is a merge with what
//! is stored, in one transaction that holds the row of `fact_revision`; nobody's facts can be written over. The same
//! row numbers the writes in the order of their commits, so that a reader who has seen a number misses nothing below.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::{Column, Tx, same_int, to_json, values};
use super::{Store, StoreError};
use crate::event::facts::{KeyFacts, MerchantFacts};
use crate::time::Millis;

/// How many IDs one query asks for.
const IDS_PER_QUERY: usize = 1_000;

const KEYS: &str = "key_facts";
const MERCHANTS: &str = "merchant_facts";

/// How far a reader has come in what others store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsCursor {
    keys: (i64, String),
    merchants: (i64, String),
}

/// Records of keys or of merchants with their IDs.
pub type Records<T> = Vec<(String, T)>;

/// What is stored of keys and of merchants.
pub type StoredFacts = (Records<KeyFacts>, Records<MerchantFacts>);

/// A record that can be merged with another one of the same subject.
trait Record: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    fn merge(&mut self, new: Self);
    fn as_of(&self) -> Millis;
}

impl Record for KeyFacts {
    fn merge(&mut self, new: Self) {
        KeyFacts::merge(self, new);
    }

    fn as_of(&self) -> Millis {
        self.as_of
    }
}

impl Record for MerchantFacts {
    fn merge(&mut self, new: Self) {
        MerchantFacts::merge(self, new);
    }

    fn as_of(&self) -> Millis {
        self.as_of
    }
}

impl Store {
    /// Everything known of keys and of merchants, each ordered by ID.
    pub async fn load_facts(&self) -> Result<StoredFacts, StoreError> {
        let mut keys = Vec::new();
        for row in &self.pools.fetch(KEYS, "SELECT id, record FROM key_facts ORDER BY id", values![]).await? {
            keys.push((row.get("id")?, row.get_json("record")?));
        }
        let mut merchants = Vec::new();
        let sql = "SELECT id, record FROM merchant_facts ORDER BY id";
        for row in &self.pools.fetch(MERCHANTS, sql, values![]).await? {
            merchants.push((row.get("id")?, row.get_json("record")?));
        }
        Ok((keys, merchants))
    }

    /// Where a reader begins who loads everything after this call.
    pub async fn facts_cursor(&self) -> Result<FactsCursor, StoreError> {
        let row = self.pools.fetch_one("fact_revision", "SELECT revision FROM fact_revision", values![]).await?;
        let revision: i64 = row.map_or(Ok(0), |row| row.get("revision"))?;
        Ok(FactsCursor { keys: (revision, String::new()), merchants: (revision, String::new()) })
    }

    /// What was stored since, at most `limit` records of each sort, and moves the cursor on.
    pub async fn facts_after(&self, cursor: &mut FactsCursor, limit: i64) -> Result<StoredFacts, StoreError> {
        let keys = self.records_after(KEYS, &mut cursor.keys, limit).await?;
        let merchants = self.records_after(MERCHANTS, &mut cursor.merchants, limit).await?;
        Ok((keys, merchants))
    }

    async fn records_after<T: Record>(
        &self,
        table: &'static str,
        seen: &mut (i64, String),
        limit: i64,
    ) -> Result<Records<T>, StoreError> {
        let sql = format!(
            "SELECT id, revision, record FROM {table} WHERE (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3"
        );
        let mut records = Vec::new();
        let mut last = None;
        for row in &self.pools.fetch(table, &sql, values![seen.0, &seen.1, limit]).await? {
            let id: String = row.get("id")?;
            records.push((id.clone(), row.get_json("record")?));
            last = Some((row.get("revision")?, id));
        }
        if let Some(last) = last {
            *seen = last;
        }
        Ok(records)
    }

    /// Those of these keys and merchants that are stored.
    pub async fn facts_of(&self, keys: &[String], merchants: &[String]) -> Result<StoredFacts, StoreError> {
        Ok((self.records_of(KEYS, keys).await?, self.records_of(MERCHANTS, merchants).await?))
    }

    async fn records_of<T: Record>(&self, table: &'static str, ids: &[String]) -> Result<Records<T>, StoreError> {
        let sql = format!("SELECT id, record FROM {table} WHERE id {}", self.pools.any_of("$1"));
        let mut records = Vec::new();
        for ids in ids.chunks(IDS_PER_QUERY) {
            for row in &self.pools.fetch(table, &sql, values![ids]).await? {
                records.push((row.get("id")?, row.get_json("record")?));
            }
        }
        Ok(records)
    }

    /// How many keys have facts.
    pub async fn fact_keys(&self) -> Result<u64, StoreError> {
        let row = self.pools.fetch_one(KEYS, "SELECT COUNT(*) AS n FROM key_facts", values![]).await?;
        Ok(row.map_or(Ok(0), |row| row.get::<i64>("n"))?.unsigned_abs())
    }

    /// Merges facts with what is stored. What is stored and newer stays.
    pub async fn save_facts(
        &self,
        keys: &[(String, KeyFacts)],
        merchants: &[(String, MerchantFacts)],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.pools.begin().await?;
        let sql = format!("SELECT revision FROM fact_revision WHERE id = 1{}", tx.for_update());
        let row = tx.fetch_one("fact_revision", &sql, values![]).await?;
        let revision = 1 + row.map_or(Ok(0), |row| row.get::<i64>("revision"))?;
        let keys = changed(&mut tx, KEYS, keys).await?;
        let merchants = changed(&mut tx, MERCHANTS, merchants).await?;
        if keys.is_empty() && merchants.is_empty() {
            return Ok(());
        }
        write(&mut tx, KEYS, &keys, revision, now).await?;
        write(&mut tx, MERCHANTS, &merchants, revision, now).await?;
        tx.execute("fact_revision", "UPDATE fact_revision SET revision = $1 WHERE id = 1", values![revision]).await?;
        tx.commit().await
    }
}

async fn stored<T: Record>(
    tx: &mut Tx,
    table: &'static str,
    ids: &[String],
) -> Result<BTreeMap<String, T>, StoreError> {
    let sql = format!("SELECT id, record FROM {table} WHERE id {}", tx.any_of("$1"));
    let mut records = BTreeMap::new();
    for ids in ids.chunks(IDS_PER_QUERY) {
        for row in &tx.fetch(table, &sql, values![ids]).await? {
            records.insert(row.get("id")?, row.get_json("record")?);
        }
    }
    Ok(records)
}

/// What the records become together with what is stored, where that is something else.
async fn changed<T: Record>(
    tx: &mut Tx,
    table: &'static str,
    new: &[(String, T)],
) -> Result<BTreeMap<String, T>, StoreError> {
    let ids: Vec<String> = new.iter().map(|(id, _)| id.clone()).collect();
    let before = stored::<T>(tx, table, &ids).await?;
    let mut merged: BTreeMap<String, T> = BTreeMap::new();
    for (id, record) in new {
        let start = || before.get(id).cloned().unwrap_or_default();
        merged.entry(id.clone()).or_insert_with(start).merge(record.clone());
    }
    merged.retain(|id, record| before.get(id) != Some(record));
    Ok(merged)
}

async fn write<T: Record>(
    tx: &mut Tx,
    table: &'static str,
    records: &BTreeMap<String, T>,
    revision: i64,
    now: Millis,
) -> Result<(), StoreError> {
    let texts: Vec<String> = records.values().map(|record| to_json(table, record)).collect::<Result<_, _>>()?;
    let columns = [
        ("id", Column::Texts(records.keys().map(String::as_str).collect())),
        ("as_of", Column::Ints(records.values().map(|record| Some(record.as_of())).collect())),
        ("record", Column::Texts(texts.iter().map(String::as_str).collect())),
        ("updated_at", same_int(now, records.len())),
        ("revision", same_int(revision, records.len())),
    ];
    let conflict = "ON CONFLICT (id) DO UPDATE SET as_of = excluded.as_of, record = excluded.record, \
         updated_at = excluded.updated_at, revision = excluded.revision";
    tx.insert_many(table, &columns, conflict).await
}
