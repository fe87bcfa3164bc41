//! Alerts that change hands: the second stage takes over what many merchants show at once, and may give it back.

use super::{Receiver, Tellings, stored_case, update_case};
use crate::alert::Kind;
use crate::engine::second_stage::{Taking, is_taken};
use crate::store::db::{Tx, values};
use crate::store::{ShardId, Store, StoreError};
use crate::time::Millis;

impl Store {
    /// Takes alerts over and gives them back, all of it or nothing. What is taken is shown only to those who ask for it, and
    /// told to nobody who has not heard of it. Repeating it changes nothing.
    pub async fn take_over(
        &self,
        shard: &ShardId,
        epoch: i64,
        takings: &[Taking],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let mut tellings = Tellings::default();
        for taking in takings {
            take(&mut tx, taking, now, &mut tellings).await?;
        }
        tellings.write(&mut tx).await?;
        tx.commit().await
    }
}

/// One alert changes hands, in a transaction of the caller's.
pub(in crate::store) async fn take(
    tx: &mut Tx,
    taking: &Taking,
    now: Millis,
    tellings: &mut Tellings,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT record, subject, joins, notify, 0 AS has_joined FROM cases \
         WHERE alert_id = $1 OR alert_id IN (SELECT case_id FROM joined_findings WHERE alert_id = $1) ORDER BY alert_id{}",
        tx.for_update()
    );
    for row in tx.fetch("cases", &sql, values![&taking.alert_id]).await? {
        let case = stored_case(&row)?;
        if is_taken(&case.alert) == taking.is_taken {
            continue;
        }
        let record = taking.apply(case.alert);
        update_case(tx, &record, case.joins + 1, case.notify, now).await?;
        let sql = "UPDATE cases SET shadow = $2 WHERE alert_id = $1";
        tx.execute("cases", sql, values![&record.alert_id, taking.is_taken]).await?;
        if case.notify {
            // Support hears of a scan as one matter; that its parts are parts of it is no news of each merchant's.
            let hears = |receiver| taking.kind != Kind::KeyScan || !taking.is_taken || receiver == Receiver::Merchant;
            tellings.add_for(&record, Some(now), hears);
        }
    }
    Ok(())
}
