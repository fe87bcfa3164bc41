//! What shards tell the second stage, how far each has come, and the stage itself.
//!
//! Whoever merges holds the stage's row: what it read, what came of it and its new state are one transaction, so that a
//! crash repeats nothing and it does not matter which instance it is.

use std::collections::BTreeMap;

use super::cases::Tellings;
use super::cases::taking::take;
use super::db::{Column, Tx, values};
use super::{CaseChange, Recorded, ShardId, Store, StoreError};
use crate::engine::fleet::{DAYS_KEPT, FleetBook, Traits};
use crate::engine::second_stage::Taking;
use crate::time::{MINUTE, Millis};

/// Signals that one transaction merges, more where they are of one minute.
const SIGNALS_PER_MERGE: i64 = 20_000;

/// One signal, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRow {
    /// Minutes since 1970 of its event time.
    pub minute: i64,
    /// Its name: one that is told again is the same.
    pub id: String,
    /// What it says.
    pub body: String,
}

/// How far a partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Stream time; what elapsed since counts where the partition is live.
    pub passed: Millis,
    /// The offset at which it has been read to its end.
    pub end_offset: Option<i64>,
    /// Who was active, in the engine's form.
    pub activity: String,
}

/// What all partitions have said of how far they have come.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Each partition's word.
    pub of: Vec<(ShardId, Mark)>,
    /// Everything before is merged.
    pub merged_to: Millis,
}

/// What is to be merged.
#[derive(Clone, Debug, Default)]
pub struct ToMerge {
    /// The stage; empty = nothing was merged yet.
    pub stage: String,
    /// Signals of the minutes that are merged.
    pub signals: Vec<String>,
    /// Everything before this minute's beginning is merged.
    pub to: Millis,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct MergedStage {
    /// The stage after it.
    pub stage: String,
    /// Its own cases.
    pub changes: Vec<CaseChange>,
    /// Alerts that change hands.
    pub takings: Vec<Taking>,
    /// What the fleet is like, by the day from which on it is in force.
    pub fleet: Vec<(i64, Traits)>,
}

impl Store {
    /// Keeps what a shard tells the second stage. Telling it again changes nothing.
    pub async fn tell_signals(
        &self,
        shard: &ShardId,
        epoch: i64,
        signals: &[SignalRow],
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let rows: BTreeMap<(i64, &str), &SignalRow> =
            signals.iter().map(|row| ((row.minute, row.id.as_str()), row)).collect();
        let columns = [
            ("minute", Column::Ints(rows.keys().map(|(minute, _)| Some(*minute)).collect())),
            ("id", Column::Texts(rows.keys().map(|(_, id)| *id).collect())),
            ("body", Column::Texts(rows.values().map(|row| row.body.as_str()).collect())),
            ("stored_at", Column::Ints(vec![Some(now); rows.len()])),
        ];
        tx.insert_many("signals", &columns, "ON CONFLICT DO NOTHING").await?;
        tx.commit().await
    }

    /// Notes how far a partition has come.
    pub async fn mark_passed(&self, shard: &ShardId, epoch: i64, mark: &Mark, now: Millis) -> Result<(), StoreError> {
        let mut tx = self.begin_fenced(shard, epoch).await?;
        let sql = "INSERT INTO signal_marks (topic, partition, passed, end_offset, activity, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (topic, partition) DO UPDATE SET \
             passed = excluded.passed, end_offset = excluded.end_offset, activity = excluded.activity, updated_at = excluded.updated_at";
        let values = values![&shard.topic, shard.partition, mark.passed, mark.end_offset, &mark.activity, now];
        tx.execute("signal_marks", sql, values).await?;
        tx.commit().await
    }

    /// How far every partition has come whose mark is newer than `not_before`.
    pub async fn marks(&self, not_before: Millis) -> Result<Marks, StoreError> {
        let sql = "SELECT topic, partition, passed, end_offset, activity FROM signal_marks WHERE updated_at >= $1 \
             ORDER BY topic, partition";
        let mut marks = Marks::default();
        for row in self.pools.fetch("signal_marks", sql, values![not_before]).await? {
            let partition = i32::try_from(row.get::<i64>("partition")?);
            let partition = partition.map_err(|error| row.unreadable("partition", &error))?;
            let shard = ShardId { topic: row.get("topic")?, partition };
            let (passed, end_offset) = (row.get("passed")?, row.get("end_offset")?);
            marks.of.push((shard, Mark { passed, end_offset, activity: row.get("activity")? }));
        }
        let sql = "SELECT merged_to FROM second_stage WHERE id = 1";
        let row = self.pools.fetch_one("second_stage", sql, values![]).await?;
        marks.merged_to = row.map(|row| row.get("merged_to")).transpose()?.unwrap_or(Millis::MAX);
        Ok(marks)
    }

    /// Merges what was told of the minutes before `to`. Returns what became of the changes; `None` where there is nothing
    /// to merge, or another instance is at it.
    pub async fn merge_signals(
        &self,
        to: Millis,
        now: Millis,
        group_wait: Millis,
        merge: impl FnOnce(ToMerge) -> Result<MergedStage, String> + Send,
    ) -> Result<Option<Vec<(CaseChange, Recorded)>>, StoreError> {
        let to = to.div_euclid(MINUTE);
        // Before its row is locked: a transaction that is given up lets go of it only a little later.
        let row =
            self.pools.fetch_one("second_stage", "SELECT merged_to FROM second_stage WHERE id = 1", values![]).await?;
        if row.map(|row| row.get::<i64>("merged_to")).transpose()?.is_none_or(|merged| to * MINUTE <= merged) {
            return Ok(None);
        }
        let mut tx = self.pools.begin().await?;
        let sql = format!("SELECT merged_to, body FROM second_stage WHERE id = 1{}", tx.for_update_skip_locked());
        let Some(row) = tx.fetch_one("second_stage", &sql, values![]).await? else { return Ok(None) };
        if to * MINUTE <= row.get::<i64>("merged_to")? {
            return Ok(None);
        }
        let sql = "SELECT minute FROM signals WHERE minute < $1 ORDER BY minute LIMIT 1 OFFSET $2";
        let first_beyond = tx.fetch_one("signals", sql, values![to, SIGNALS_PER_MERGE]).await?;
        let to = match first_beyond.map(|row| row.get::<i64>("minute")).transpose()? {
            Some(minute) => (minute + 1).min(to),
            None => to,
        };
        let sql = "SELECT body FROM signals WHERE minute < $1 ORDER BY minute, id";
        let signals = tx.fetch("signals", sql, values![to]).await?;
        let signals: Result<Vec<String>, StoreError> = signals.iter().map(|row| row.get("body")).collect();
        let stage = row.get("body")?;
        let merged = merge(ToMerge { stage, signals: signals?, to: to * MINUTE })
            .map_err(|detail| StoreError::Inconsistent { place: "second_stage", detail })?;
        let mut tellings = Tellings::default();
        let mut recorded = Vec::with_capacity(merged.changes.len());
        for change in merged.changes {
            let what = super::cases::record(&mut tx, &change, now, group_wait, &mut tellings).await?;
            recorded.push((change, what));
        }
        for taking in &merged.takings {
            take(&mut tx, taking, now, &mut tellings).await?;
        }
        tellings.write(&mut tx).await?;
        save_fleet(&mut tx, merged.fleet.iter().copied()).await?;
        tx.execute("signals", "DELETE FROM signals WHERE minute < $1", values![to]).await?;
        let sql = "UPDATE second_stage SET merged_to = $1, body = $2, updated_at = $3 WHERE id = 1";
        tx.execute("second_stage", sql, values![to * MINUTE, &merged.stage, now]).await?;
        tx.commit().await?;
        Ok(Some(recorded))
    }

    /// What the fleet is like, day by day, as far as it is known and kept.
    pub async fn fleet(&self) -> Result<FleetBook, StoreError> {
        let rows = self.pools.fetch("fleet_days", "SELECT day, traits FROM fleet_days ORDER BY day", values![]).await?;
        let mut book = FleetBook::default();
        for row in rows {
            let traits = serde_json::from_str(&row.get::<String>("traits")?);
            book.add(row.get("day")?, traits.map_err(|error| row.unreadable("traits", &error))?);
        }
        Ok(book)
    }

    /// Keeps the stage that a replay has come to, and what it has learned of the fleet, for a service to go on from.
    pub async fn save_second_stage(
        &self,
        stage: &str,
        merged_to: Millis,
        fleet: &FleetBook,
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut tx = self.pools.begin().await?;
        save_fleet(&mut tx, fleet.days()).await?;
        let sql = "UPDATE second_stage SET merged_to = $1, body = $2, updated_at = $3 WHERE id = 1";
        tx.execute("second_stage", sql, values![merged_to, stage, now]).await?;
        tx.commit().await
    }

    /// Forgets signals that were stored before `before` and never merged: a partition stands still. Returns how many.
    pub async fn forget_signals(&self, before: Millis) -> Result<u64, StoreError> {
        let mut tx = self.pools.begin().await?;
        let forgotten = tx.execute("signals", "DELETE FROM signals WHERE stored_at < $1", values![before]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Keeps what the fleet is like. What is in force is never changed.
async fn save_fleet(tx: &mut Tx, days: impl Iterator<Item = (i64, Traits)>) -> Result<(), StoreError> {
    for (day, traits) in days {
        let text = serde_json::to_string(&traits)
            .map_err(|error| StoreError::Inconsistent { place: "fleet_days", detail: error.to_string() })?;
        let sql = "INSERT INTO fleet_days (day, traits) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute("fleet_days", sql, values![day, &text]).await?;
        tx.execute("fleet_days", "DELETE FROM fleet_days WHERE day <= $1", values![day - DAYS_KEPT as i64]).await?;
    }
    Ok(())
}
