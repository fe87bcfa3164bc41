//! Retention: what is over and older than `limits.keep` is forgotten, a little at a time.

use super::db::values;
use super::{Store, StoreError};
use crate::time::{Millis, day_of};

/// Rows that one statement deletes: nobody waits long for it.
const ROWS_PER_STATEMENT: i64 = 1_000;

impl Store {
    /// Forgets ended cases, finished notices and daily usage from before `before` (wall time; usage by its day). What
    /// goes on, or waits for delivery, stays. Returns how many rows went.
    pub async fn forget_before(&self, before: Millis) -> Result<u64, StoreError> {
        let statements = [
            (
                "cases",
                "DELETE FROM cases WHERE alert_id IN \
                 (SELECT alert_id FROM cases WHERE state = 'resolved' AND updated_at < $1 LIMIT $2)",
                before,
            ),
            (
                "outbox",
                "DELETE FROM outbox WHERE notice_id IN \
                 (SELECT notice_id FROM outbox WHERE status <> 'pending' AND created_at < $1 LIMIT $2)",
                before,
            ),
            (
                "usage_days",
                "DELETE FROM usage_days WHERE (day, key_id) IN (SELECT day, key_id FROM usage_days WHERE day < $1 LIMIT $2)",
                i64::from(day_of(before)),
            ),
        ];
        let mut forgotten = 0;
        for (place, sql, limit) in statements {
            loop {
                let mut tx = self.pools.begin().await?;
                let rows = tx.execute(place, sql, values![limit, ROWS_PER_STATEMENT]).await?;
                tx.commit().await?;
                forgotten += rows;
                if (rows as i64) < ROWS_PER_STATEMENT {
                    break;
                }
            }
        }
        Ok(forgotten)
    }
}
