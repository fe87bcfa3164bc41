//! Cases: one open case per rule and subject, and a row in the groups that have to tell of it.

use std::collections::{BTreeMap, BTreeSet};

use super::db::{Row, Tx, to_json, values};
use super::{CaseChange, Recorded, ShardId, Store, StoreError};
use crate::alert::{Alert, Receiver, State};
use crate::engine::second_stage::is_taken;
use crate::time::Millis;
use decide::{Decision, StoredCase, decide};

mod decide;
pub(super) mod taking;

/// Cases that one transaction of [`Store::resolve_removed`] ends.
const CASES_PER_TRANSACTION: i64 = 500;

/// What the groups that a transaction touched have to tell, and when. It is written at the transaction's end, in
/// order and each group's row first, so that transactions neither cross nor slip past a notice that is being made.
#[derive(Default)]
pub(super) struct Tellings(BTreeMap<(Receiver, String), Telling>);

#[derive(Default)]
struct Telling {
    due_at: Option<Millis>,
    alert_ids: BTreeSet<String>,
}

impl Store {
    /// Records what the engine found, all of it or nothing, and makes the groups that tell of it due. Recording the
    /// same changes again changes nothing.
    pub async fn record_changes(
        &self,
        shard: &ShardId,
        epoch: i64,
        changes: &[CaseChange],
        now: Millis,
        group_wait: Millis,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let mut tellings = Tellings::default();
        let mut recorded = Vec::with_capacity(changes.len());
        for change in changes {
            if change.foster && lives_elsewhere(&mut tx, shard, &change.alert).await? {
                recorded.push(Recorded::Void);
                continue;
            }
            recorded.push(record(&mut tx, change, now, group_wait, &mut tellings).await?);
        }
        tellings.write(&mut tx).await?;
        tx.commit().await?;
        Ok(recorded)
    }

    /// Ends the open cases of rules that are not in force any more, as of `now_event`, and makes them due to be told
    /// as over. Returns their records.
    pub async fn resolve_removed(
        &self,
        rules_in_force: &[String],
        now_event: Millis,
        now: Millis,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut resolved = Vec::new();
        loop {
            let mut tx = self.pools.begin().await?;
            let mut tellings = Tellings::default();
            let sql = format!(
                "SELECT record, subject, joins, notify, 0 AS has_joined FROM cases \
                 WHERE state = 'firing' AND NOT (rule {}) ORDER BY alert_id LIMIT $2{}",
                tx.any_of("$1"),
                tx.for_update()
            );
            let rows = tx.fetch("cases", &sql, values![rules_in_force, CASES_PER_TRANSACTION]).await?;
            if rows.is_empty() {
                return Ok(resolved);
            }
            for row in &rows {
                let case = stored_case(row)?;
                let record = removed(case.alert, now_event);
                update_case(&mut tx, &record, case.joins, case.notify, now).await?;
                if case.notify {
                    tellings.add(&record, Some(now));
                }
                resolved.push(record);
            }
            tellings.write(&mut tx).await?;
            tx.commit().await?;
        }
    }
}

/// A foster shard speaks for a merchant only while no traffic has shown where the merchant lives.
async fn lives_elsewhere(tx: &mut Tx, shard: &ShardId, alert: &Alert) -> Result<bool, StoreError> {
    let Some(merchant) = &alert.merchant_id else { return Ok(false) };
    let sql = "SELECT partition FROM homes WHERE merchant_id = $1 AND topic = $2";
    let row = tx.fetch_one("homes", sql, values![merchant, &shard.topic]).await?;
    let home = row.map(|row| row.get::<i64>("partition")).transpose()?;
    Ok(home.is_some_and(|partition| partition != i64::from(shard.partition)))
}

pub(super) async fn record(
    tx: &mut Tx,
    change: &CaseChange,
    now: Millis,
    group_wait: Millis,
    tellings: &mut Tellings,
) -> Result<Recorded, StoreError> {
    let alert = &change.alert;
    let stored = concerned(tx, alert).await?;
    let (record, notify, recorded) = match decide(alert, &stored) {
        Decision::Known => return Ok(Recorded::Known),
        Decision::Join(case_id) => {
            note_joined(tx, alert, &case_id).await?;
            return Ok(Recorded::Known);
        }
        Decision::Open => {
            insert_case(tx, change, now).await?;
            (Box::new(alert.clone()), change.notify, Recorded::Opened)
        }
        Decision::Update { record, joins } => {
            let was_told = stored.iter().any(|case| case.alert.alert_id == record.alert_id && case.notify);
            let notify = was_told || change.notify;
            if is_taken(&record) {
                update_case(tx, &record, joins, notify, now).await?;
                return Ok(Recorded::Updated);
            }
            update_case(tx, &record, joins, notify, now).await?;
            if notify {
                // A rule that speaks now: what it found in silence is seen, too.
                tx.execute("cases", "UPDATE cases SET shadow = FALSE WHERE alert_id = $1", values![&record.alert_id])
                    .await?;
            }
            if record.alert_id != alert.alert_id {
                note_joined(tx, alert, &record.alert_id).await?;
            }
            (record, notify, Recorded::Updated)
        }
    };
    if notify {
        let wait = if record.severity.is_immediate() { 0 } else { group_wait }.max(change.hold);
        tellings.add(&record, change.notify.then_some(now + wait));
    }
    Ok(recorded)
}

/// Every stored case that a change could concern, the latest first.
async fn concerned(tx: &mut Tx, alert: &Alert) -> Result<Vec<StoredCase>, StoreError> {
    let sql = format!(
        "SELECT record, subject, joins, notify, \
           CASE WHEN alert_id IN (SELECT case_id FROM joined_findings WHERE alert_id = $1) THEN 1 ELSE 0 END AS has_joined \
         FROM cases WHERE alert_id = $1 OR alert_id IN (SELECT case_id FROM joined_findings WHERE alert_id = $1) \
           OR (rule = $2 AND subject = $3 AND (state = 'firing' OR (starts_at <= $4 AND $4 <= ends_at))) \
         ORDER BY cases.starts_at DESC, cases.alert_id{}",
        tx.for_update()
    );
    let values = values![&alert.alert_id, &alert.rule, &alert.subject, alert.starts_at];
    tx.fetch("cases", &sql, values).await?.iter().map(stored_case).collect()
}

fn stored_case(row: &Row) -> Result<StoredCase, StoreError> {
    let joins: i64 = row.get("joins")?;
    Ok(StoredCase {
        alert: super::read::alert_of(row)?,
        joins: u32::try_from(joins).map_err(|error| row.unreadable("joins", &error))?,
        notify: row.get("notify")?,
        has_joined: row.get::<i32>("has_joined")? != 0,
    })
}

async fn insert_case(tx: &mut Tx, change: &CaseChange, now: Millis) -> Result<(), StoreError> {
    let alert = &change.alert;
    let record = to_json("cases", alert)?;
    let sql = "INSERT INTO cases (alert_id, rule, subject, revision, joins, state, starts_at, ends_at, detected_at, \
           merchant_id, key_id, notify, shadow, record, updated_at) \
         VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING";
    let values = values![
        &alert.alert_id,
        &alert.rule,
        &alert.subject,
        alert.revision,
        alert.state.as_str(),
        alert.starts_at,
        alert.ends_at,
        alert.detected_at,
        alert.merchant_id.as_deref(),
        alert.key_id.as_deref(),
        change.notify,
        change.shadow,
        &record,
        now,
    ];
    if tx.execute("cases", sql, values).await? == 0 {
        // The repeated attempt will find the other shard's case and join it.
        return Err(StoreError::Unavailable("cases: another shard opened the same case at the same moment".into()));
    }
    note_event(tx, alert, now).await
}

async fn update_case(tx: &mut Tx, alert: &Alert, joins: u32, notify: bool, now: Millis) -> Result<(), StoreError> {
    let record = to_json("cases", alert)?;
    let sql = "UPDATE cases SET revision = $2, joins = $3, state = $4, starts_at = $5, ends_at = $6, \
           detected_at = $7, merchant_id = $8, key_id = $9, notify = $10, record = $11, updated_at = $12 \
         WHERE alert_id = $1";
    let values = values![
        &alert.alert_id,
        alert.revision,
        joins,
        alert.state.as_str(),
        alert.starts_at,
        alert.ends_at,
        alert.detected_at,
        alert.merchant_id.as_deref(),
        alert.key_id.as_deref(),
        notify,
        &record,
        now,
    ];
    tx.execute("cases", sql, values).await?;
    note_event(tx, alert, now).await
}

async fn note_event(tx: &mut Tx, alert: &Alert, now: Millis) -> Result<(), StoreError> {
    let sql = "INSERT INTO case_events (alert_id, revision, state, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let values = values![&alert.alert_id, alert.revision, alert.state.as_str(), now];
    tx.execute("case_events", sql, values).await.map(|_| ())
}

async fn note_joined(tx: &mut Tx, finding: &Alert, case_id: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO joined_findings (alert_id, case_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute("joined_findings", sql, values![&finding.alert_id, case_id]).await.map(|_| ())
}

fn removed(mut alert: Alert, now_event: Millis) -> Alert {
    alert.state = State::Resolved;
    alert.revision += 1;
    alert.ends_at = Some(now_event.max(alert.starts_at));
    if !alert.evidence.is_object() {
        alert.evidence = serde_json::json!({});
    }
    alert.evidence["ended"] = "rule_removed".into();
    alert
}

fn group_id(receiver: Receiver, merchant_id: &str) -> String {
    format!("{}/{merchant_id}", receiver.as_str())
}

impl Tellings {
    /// Without a time the group tells of the alert when something else makes it due.
    fn add(&mut self, alert: &Alert, due_at: Option<Millis>) {
        self.add_for(alert, due_at, |_| true);
    }

    /// The same for some receivers.
    fn add_for(&mut self, alert: &Alert, due_at: Option<Millis>, hears: impl Fn(Receiver) -> bool) {
        let merchant = alert.merchant_id.as_deref().unwrap_or_default();
        for receiver in alert.audience.receivers().iter().filter(|receiver| hears(**receiver)) {
            let telling = self.0.entry((*receiver, merchant.to_owned())).or_default();
            telling.due_at = telling.due_at.into_iter().chain(due_at).min();
            telling.alert_ids.insert(alert.alert_id.clone());
        }
    }

    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        let group = "INSERT INTO notice_groups (id, receiver, merchant_id, revision, due_at) VALUES ($1, $2, $3, 0, $4) \
             ON CONFLICT (id) DO UPDATE SET due_at = CASE \
               WHEN notice_groups.due_at IS NULL OR excluded.due_at < notice_groups.due_at THEN excluded.due_at \
               ELSE notice_groups.due_at END";
        let untold = "INSERT INTO untold (group_id, alert_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for ((receiver, merchant), telling) in self.0 {
            let id = group_id(receiver, &merchant);
            tx.execute("notice_groups", group, values![&id, receiver.as_str(), &merchant, telling.due_at]).await?;
            for alert_id in &telling.alert_ids {
                tx.execute("untold", untold, values![&id, alert_id]).await?;
            }
        }
        Ok(())
    }
}
