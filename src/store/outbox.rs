//! The outbox: a notice is claimed for a while, delivered, and marked. Whoever lets its claim run out marks nothing.

use super::db::values;
use super::{Delivery, Store, StoreError};
use crate::alert::Receiver;
use crate::time::Millis;

impl Store {
    /// Claims notices that are due, the longest due first, for `lease`. The claims are stored before this returns.
    pub async fn claim_deliveries(
        &self,
        owner: &str,
        now: Millis,
        lease: Millis,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut tx = self.pools.begin().await?;
        let due = format!(
            "SELECT notice_id, mail, attempts, created_at FROM outbox \
             WHERE status = 'pending' AND next_attempt_at <= $1 AND (claimed_until IS NULL OR claimed_until < $1) \
             ORDER BY next_attempt_at, notice_id LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let claim =
            "UPDATE outbox SET claimed_by = $2, claimed_until = $3, attempts = attempts + 1 WHERE notice_id = $1";
        let mut deliveries = Vec::new();
        for row in &tx.fetch("outbox", &due, values![now, limit]).await? {
            let attempts: i64 = row.get("attempts")?;
            deliveries.push(Delivery {
                notice_id: row.get("notice_id")?,
                mail: row.get_json("mail")?,
                attempt: u32::try_from(attempts + 1).map_err(|error| row.unreadable("attempts", &error))?,
                created_at: row.get("created_at")?,
            });
        }
        for delivery in &deliveries {
            tx.execute("outbox", claim, values![&delivery.notice_id, owner, now + lease]).await?;
        }
        tx.commit().await?;
        Ok(deliveries)
    }

    /// The notice has been delivered. False where `owner` has no claim to it any more.
    pub async fn record_sent(
        &self,
        notice_id: &str,
        owner: &str,
        now: Millis,
        detail: &str,
    ) -> Result<bool, StoreError> {
        self.finish_delivery(notice_id, owner, "sent", now, detail).await
    }

    /// The delivery failed and is tried again at `next_attempt_at`. False where `owner` has no claim any more.
    pub async fn record_retry(
        &self,
        notice_id: &str,
        owner: &str,
        next_attempt_at: Millis,
        error: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE outbox SET next_attempt_at = $3, detail = $4, claimed_by = NULL, claimed_until = NULL \
             WHERE notice_id = $1 AND claimed_by = $2 AND status = 'pending'";
        self.write_one(sql, values![notice_id, owner, next_attempt_at, error]).await
    }

    /// The delivery failed for good. False where `owner` has no claim any more.
    pub async fn record_given_up(
        &self,
        notice_id: &str,
        owner: &str,
        now: Millis,
        error: &str,
    ) -> Result<bool, StoreError> {
        self.finish_delivery(notice_id, owner, "failed", now, error).await
    }

    /// When the next notice can be claimed.
    pub async fn next_delivery_due(&self) -> Result<Option<Millis>, StoreError> {
        let sql = "SELECT MIN(CASE WHEN next_attempt_at <= claimed_until THEN claimed_until + 1 ELSE next_attempt_at END) \
             AS due FROM outbox WHERE status = 'pending'";
        let row = self.pools.fetch_one("outbox", sql, values![]).await?;
        row.map_or(Ok(None), |row| row.get("due"))
    }

    /// How many notices are pending, failed and sent.
    pub async fn outbox_counts(&self) -> Result<(i64, i64, i64), StoreError> {
        let (mut pending, mut failed, mut sent) = (0, 0, 0);
        let sql = "SELECT status, COUNT(*) AS n_notices FROM outbox GROUP BY status";
        for row in &self.pools.fetch("outbox", sql, values![]).await? {
            let count: i64 = row.get("n_notices")?;
            match row.get::<String>("status")?.as_str() {
                "pending" => pending = count,
                "failed" => failed = count,
                _ => sent = count,
            }
        }
        Ok((pending, failed, sent))
    }

    /// How many notices were made for a receiver about a merchant since a time.
    pub async fn mails_since(&self, receiver: Receiver, merchant_id: &str, since: Millis) -> Result<i64, StoreError> {
        let sql =
            "SELECT COUNT(*) AS n_notices FROM outbox WHERE receiver = $1 AND merchant_id = $2 AND $3 <= created_at";
        let row = self.pools.fetch_one("outbox", sql, values![receiver.as_str(), merchant_id, since]).await?;
        row.map_or(Ok(0), |row| row.get("n_notices"))
    }

    async fn finish_delivery(
        &self,
        notice_id: &str,
        owner: &str,
        status: &str,
        now: Millis,
        detail: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE outbox SET status = $3, finished_at = $4, detail = $5, claimed_by = NULL, claimed_until = NULL \
             WHERE notice_id = $1 AND claimed_by = $2 AND status = 'pending'";
        self.write_one(sql, values![notice_id, owner, status, now, detail]).await
    }

    async fn write_one(&self, sql: &str, values: Vec<super::db::Value<'_>>) -> Result<bool, StoreError> {
        let mut tx = self.pools.begin().await?;
        let n_rows = tx.execute("outbox", sql, values).await?;
        tx.commit().await?;
        Ok(n_rows == 1)
    }
}
