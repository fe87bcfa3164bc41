//! Facts as they were known when last stored.

use std::collections::BTreeMap;

use super::db::{Column, Tx, same_int, to_json, values};
use super::{Store, StoreError};
use crate::event::facts::{KeyFacts, MerchantFacts};
use crate::time::Millis;

impl Store {
    /// Everything known of keys and of merchants, each ordered by ID.
    pub async fn load_facts(&self) -> Result<(Vec<(String, KeyFacts)>, Vec<(String, MerchantFacts)>), StoreError> {
        let mut keys = Vec::new();
        for row in &self.pools.fetch("key_facts", "SELECT id, record FROM key_facts ORDER BY id", values![]).await? {
            keys.push((row.get("id")?, row.get_json("record")?));
        }
        let mut merchants = Vec::new();
        let sql = "SELECT id, record FROM merchant_facts ORDER BY id";
        for row in &self.pools.fetch("merchant_facts", sql, values![]).await? {
            merchants.push((row.get("id")?, row.get_json("record")?));
        }
        Ok((keys, merchants))
    }

    /// Stores merged facts. What is stored and newer stays.
    pub async fn save_facts(
        &self,
        keys: &[(String, KeyFacts)],
        merchants: &[(String, MerchantFacts)],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut key_rows = BTreeMap::new();
        for (id, facts) in keys {
            key_rows.insert(id.as_str(), (facts.as_of, to_json("key_facts", facts)?));
        }
        let mut merchant_rows = BTreeMap::new();
        for (id, facts) in merchants {
            merchant_rows.insert(id.as_str(), (facts.as_of, to_json("merchant_facts", facts)?));
        }
        let mut tx = self.pools.begin().await?;
        write(&mut tx, "key_facts", &key_rows, now).await?;
        write(&mut tx, "merchant_facts", &merchant_rows, now).await?;
        tx.commit().await
    }
}

async fn write(
    tx: &mut Tx,
    table: &'static str,
    rows: &BTreeMap<&str, (Millis, String)>,
    now: Millis,
) -> Result<(), StoreError> {
    let columns = [
        ("id", Column::Texts(rows.keys().copied().collect())),
        ("as_of", Column::Ints(rows.values().map(|(as_of, _)| Some(*as_of)).collect())),
        ("record", Column::Texts(rows.values().map(|(_, record)| record.as_str()).collect())),
        ("updated_at", same_int(now, rows.len())),
    ];
    let conflict = format!(
        "ON CONFLICT (id) DO UPDATE SET as_of = excluded.as_of, record = excluded.record, updated_at = excluded.updated_at \
         WHERE {table}.as_of <= excluded.as_of AND {table}.record <> excluded.record"
    );
    tx.insert_many(table, &columns, &conflict).await
}
