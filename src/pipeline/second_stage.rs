//! The second stage of the running service: signals and marks go to the store, and any instance merges what all have passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::second_stage::activity::Activity;
use crate::engine::second_stage::signal::Signal;
use crate::engine::second_stage::{SecondStage, StageOutput};
use crate::engine::shard::Output;
use crate::pipeline::judge::{count_change, to_case_change};
use crate::pipeline::partition::{AtEnd, Partition};
use crate::pipeline::{Parts, Pipeline, Role, patiently};
use crate::store::{Mark, MergedStage, SignalRow, StoreError, ToMerge};
use crate::time::{MINUTE, Millis, SECOND};
use crate::wall;

/// Between two looks (wall time).
const EVERY: Millis = 2 * SECOND;
/// A mark is written again after so long, though nothing changed: an owner is alive.
const AGAIN_AFTER: Millis = MINUTE;
/// A partition of which nobody has said anything for so long holds nobody up.
const SILENT_FOR: Millis = 10 * MINUTE;
/// Knocks that one batch tells of.
const KNOCKS_PER_BATCH: usize = 1_000;

/// What a partition last said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marked {
    minute: i64,
    is_ahead: bool,
    at: Millis,
}

impl Pipeline {
    /// Tells the second stage what a batch has shown. False where the partition was lost on the way.
    pub(super) async fn tell_signals(&mut self, name: &(Arc<str>, i32), out: &Output) -> anyhow::Result<bool> {
        let rows = rows_of(&self.parts, out);
        if rows.is_empty() {
            return Ok(true);
        }
        let Some(p) = self.partitions.get(name) else { return Ok(false) };
        let (id, epoch) = (p.id.clone(), p.epoch);
        let told =
            patiently(&self.parts, "tell signals", async |s| s.tell_signals(&id, epoch, &rows, wall::now()).await)
                .await;
        self.still_ours(name, told)
    }

    /// Says how far this instance's partitions have come, and merges what all have passed.
    pub(super) async fn second_stage_step(&mut self) -> anyhow::Result<()> {
        let now = wall::now();
        if self.parts.role != Role::Events || now < self.stage_at {
            return Ok(());
        }
        self.stage_at = now + EVERY;
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in &names {
            self.mark(name, now).await?;
        }
        while self.merge(now).await? {}
        Ok(())
    }

    /// The last time before partitions go. What cannot be merged any more is merged by the next owner.
    pub(super) async fn last_second_stage_step(&mut self) {
        self.stage_at = 0;
        if let Err(error) = self.second_stage_step().await {
            tracing::warn!(%error, "what lies across partitions is looked at again after the next start");
        }
    }

    /// Says how far a partition has come, where that has changed.
    pub(super) async fn mark(&mut self, name: &(Arc<str>, i32), now: Millis) -> anyhow::Result<()> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let (passed, is_ahead) = how_far(p, now);
        let minute = passed.div_euclid(MINUTE);
        let is_same = (minute, is_ahead) == (p.marked.minute, p.marked.is_ahead);
        if is_same && now < p.marked.at + AGAIN_AFTER {
            return Ok(());
        }
        p.marked = Marked { minute, is_ahead, at: now };
        let activity = p.shard.activity();
        let mark = Mark { passed, is_ahead, activity: serde_json::to_string(activity)? };
        let (id, epoch) = (p.id.clone(), p.epoch);
        let marked =
            patiently(&self.parts, "mark a partition", async |s| s.mark_passed(&id, epoch, &mark, now).await).await;
        self.still_ours(name, marked).map(drop)
    }

    /// Merges what can be. True where there may be more.
    async fn merge(&mut self, now: Millis) -> anyhow::Result<bool> {
        let parts = &self.parts;
        let (lateness, group_wait) = (parts.limits.lateness, parts.alerts.group_wait);
        let mut dropped = 0;
        let merged = parts.store.merge_signals((now, now - SILENT_FOR), lateness, group_wait, |what| {
            let (merged, n) = merge(parts, what, now)?;
            dropped = n;
            Ok(merged)
        });
        match merged.await {
            Ok(None) => Ok(false),
            Ok(Some(recorded)) => {
                if dropped > 0 {
                    parts.metrics.limits_hit.with_label_values(&["signals"]).inc_by(dropped);
                }
                for (change, what) in &recorded {
                    count_change(parts, &change.alert, *what);
                }
                parts.wake_dispatcher.notify_one();
                Ok(true)
            }
            // Others wait for the store already; this can wait for the next look.
            Err(StoreError::Unavailable(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The stream time of a partition, and whether nobody need wait for it.
fn how_far(p: &Partition, wall_now: Millis) -> (Millis, bool) {
    let Some(now) = p.intake.now() else { return (0, p.at_end.is_some()) };
    let elapsed = match p.at_end {
        Some(AtEnd { since, live: true }) => wall::instant().duration_since(since).as_millis() as Millis,
        _ => 0,
    };
    let is_close = p.caught_up && wall_now - now < p.intake.lateness();
    (now + elapsed, p.at_end.is_some() || is_close)
}

fn rows_of(parts: &Parts, out: &Output) -> Vec<SignalRow> {
    let mut rows: BTreeMap<(i64, String), Signal> = BTreeMap::new();
    let mut dropped = 0;
    for signal in Signal::all_of(out, &parts.rules) {
        let key = (signal.at().div_euclid(MINUTE), signal.name());
        if matches!(signal, Signal::Knock(_)) && rows.len() >= KNOCKS_PER_BATCH && !rows.contains_key(&key) {
            dropped += 1;
            continue;
        }
        rows.entry(key).or_insert(signal);
    }
    if dropped > 0 {
        parts.metrics.limits_hit.with_label_values(&["signals"]).inc_by(dropped);
    }
    let body = |signal: &Signal| serde_json::to_string(signal).ok();
    rows.into_iter().filter_map(|((minute, id), signal)| Some(SignalRow { minute, id, body: body(&signal)? })).collect()
}

fn merge(parts: &Parts, what: ToMerge, now: Millis) -> Result<(MergedStage, u64), String> {
    let lateness = parts.limits.lateness;
    let mut stage = SecondStage::decode(&what.stage, lateness)?;
    for text in &what.activities {
        let activity: Activity = serde_json::from_str(text).map_err(|error| error.to_string())?;
        stage.note_activity(&activity, what.to + lateness);
    }
    for text in &what.signals {
        stage.take_in(serde_json::from_str(text).map_err(|error| error.to_string())?);
    }
    let mut out = StageOutput::default();
    stage.advance(what.to + lateness, what.read, &parts.rules, &mut out);
    for (rule, exception) in &out.spared {
        parts.metrics.findings_spared.with_label_values(&[rule, exception]).inc();
    }
    let changes = out.changes.into_iter().map(|change| to_case_change(parts, change, now)).collect();
    let merged = MergedStage { stage: stage.encode()?, changes, takings: out.takings };
    Ok((merged, stage.counts().dropped))
}
