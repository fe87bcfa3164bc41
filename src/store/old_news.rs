//! Old news: alerts that were stored and told to nobody. Operations get one summary of each spell of them.

use std::collections::BTreeMap;

use super::db::{to_json, values};
use super::{Store, StoreError};
use crate::alert::Receiver;
use crate::notify::Mail;
use crate::notify::render::OldNews;
use crate::time::Millis;

impl Store {
    /// Sums up the alerts that were told to nobody and are in no summary yet, and stores the mail about them with that.
    /// False where there are none.
    pub async fn sum_up_old_news(
        &self,
        now: Millis,
        write: impl FnOnce(&OldNews) -> Mail + Send,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pools.begin().await?;
        let sql =
            "UPDATE cases SET summed = TRUE WHERE NOT notify AND NOT summed AND NOT shadow RETURNING rule, starts_at";
        let rows = tx.fetch("cases", sql, values![]).await?;
        let mut old = OldNews { count: 0, oldest: Millis::MAX, newest: Millis::MIN, by_rule: BTreeMap::new() };
        for row in &rows {
            let (rule, starts_at): (String, i64) = (row.get("rule")?, row.get("starts_at")?);
            old.count += 1;
            old.oldest = old.oldest.min(starts_at);
            old.newest = old.newest.max(starts_at);
            *old.by_rule.entry(rule).or_default() += 1;
        }
        if old.count == 0 {
            return Ok(false);
        }
        let mail = write(&old);
        let notice_id = format!("operations/old-news/{now}/{}", old.count);
        let record = to_json("outbox", &mail)?;
        let sql = "INSERT INTO outbox (notice_id, receiver, merchant_id, mail, status, attempts, next_attempt_at, created_at) \
             VALUES ($1, $2, '', $3, 'pending', 0, $4, $4) ON CONFLICT (notice_id) DO NOTHING";
        tx.execute("outbox", sql, values![&notice_id, Receiver::Operations.as_str(), &record, now]).await?;
        tx.commit().await?;
        Ok(true)
    }
}
