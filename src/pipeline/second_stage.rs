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
use crate::store::{Mark, Marks, MergedStage, ShardId, SignalRow, StoreError, ToMerge};
use crate::time::{MINUTE, Millis, SECOND};
use crate::wall;

/// Between two looks (wall time).
const EVERY: Millis = 2 * SECOND;
/// The same while a partition catches up.
const OFTEN: Millis = SECOND / 10;
/// A mark is written again after so long, though nothing changed: an owner is alive.
const AGAIN_AFTER: Millis = MINUTE;
/// A partition whose end has moved within its minute is marked again after so long.
const END_AGAIN_AFTER: Millis = 10 * SECOND;
/// After brokers have not told where partitions end, the next look is so much later.
const AFTER_SILENCE: Millis = 10 * SECOND;
/// A partition of which nobody has said anything for so long holds nobody up.
const SILENT_FOR: Millis = 10 * MINUTE;
/// Knocks that one batch tells of.
const KNOCKS_PER_BATCH: usize = 1_000;

/// What a partition last said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marked {
    minute: i64,
    end_offset: Option<i64>,
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
        // Who is behind may hold others up.
        let catches_up = self.partitions.values().any(|p| !p.caught_up || p.waiting.is_some());
        self.stage_at = now + if catches_up { OFTEN } else { EVERY };
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
        let (passed, end_offset) = how_far(p);
        let minute = passed.div_euclid(MINUTE);
        let wait = if end_offset == p.marked.end_offset { AGAIN_AFTER } else { END_AGAIN_AFTER };
        if minute == p.marked.minute && now < p.marked.at + wait {
            return Ok(());
        }
        p.marked = Marked { minute, end_offset, at: now };
        let activity = p.shard.activity();
        let mark = Mark { passed, end_offset, activity: serde_json::to_string(activity)? };
        let (id, epoch) = (p.id.clone(), p.epoch);
        let marked =
            patiently(&self.parts, "mark a partition", async |s| s.mark_passed(&id, epoch, &mark, now).await).await;
        self.still_ours(name, marked).map(drop)
    }

    /// Merges what can be. True where there may be more.
    async fn merge(&mut self, now: Millis) -> anyhow::Result<bool> {
        let marks = match self.parts.store.marks(now - SILENT_FOR).await {
            // Others wait for the store already; this can wait for the next look.
            Err(StoreError::Unavailable(_)) => return Ok(false),
            marks => marks?,
        };
        self.learn_fleet(marks.merged_to).await?;
        let Some(to) = self.passed_by_all(&marks, now).await else { return Ok(false) };
        let parts = &self.parts;
        let mut dropped = 0;
        let merged = parts.store.merge_signals(to, now, parts.alerts.group_wait, |what| {
            let (merged, n) = merge(parts, what, &marks, now)?;
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
            Err(StoreError::Unavailable(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The end of the last minute that every partition has passed by the lateness, where that is more than is merged.
    ///
    /// Who has read a partition to its end waits for messages, and nobody for it, as long as it still ends there: when its
    /// owner is gone only the brokers know of what has come since.
    async fn passed_by_all(&mut self, marks: &Marks, now: Millis) -> Option<Millis> {
        let lateness = self.parts.limits.lateness;
        let minute_of = |passed: Millis| (passed - lateness).div_euclid(MINUTE) * MINUTE;
        let at_most = minute_of(passed(&marks.of, |_, end_offset| end_offset.is_some())?);
        if at_most <= marks.merged_to {
            return None;
        }
        let holding_up = |mark: &Mark| mark.end_offset.is_some() && minute_of(mark.passed) < at_most;
        let asked: Vec<(String, i32)> = marks
            .of
            .iter()
            .filter(|(_, mark)| holding_up(mark))
            .map(|(shard, _)| (shard.topic.clone(), shard.partition))
            .collect();
        let ends = match &self.link {
            Some(link) if !asked.is_empty() => link.ends_now(asked).await.unwrap_or_else(|error| {
                tracing::debug!(error, "what lies across partitions waits for those that may be at their end");
                self.stage_at = now + AFTER_SILENCE;
                BTreeMap::new()
            }),
            _ => BTreeMap::new(),
        };
        let is_at_end = |shard: &ShardId, end_offset: Option<i64>| {
            end_offset.is_some() && ends.get(&(shard.topic.clone(), shard.partition)).copied() == end_offset
        };
        let to = minute_of(passed(&marks.of, is_at_end)?);
        (to > marks.merged_to).then_some(to)
    }
}

/// The stream time that every partition has come to, but for those at their end while there are others.
fn passed(marks: &[(ShardId, Mark)], is_at_end: impl Fn(&ShardId, Option<i64>) -> bool) -> Option<Millis> {
    let behind = marks.iter().filter(|(shard, mark)| !is_at_end(shard, mark.end_offset)).map(|(_, mark)| mark.passed);
    behind.min().or_else(|| marks.iter().map(|(_, mark)| mark.passed).max())
}

/// The stream time of a partition, and the offset at which it has been read to its end.
fn how_far(p: &Partition) -> (Millis, Option<i64>) {
    let end_offset = p.at_end.map(|at_end| at_end.next_offset);
    // A stream that begins has no time yet, and what is parked waits to give it one.
    if let Some(coming) = p.coming {
        return (coming, end_offset);
    }
    let Some(now) = p.now() else { return (0, end_offset) };
    let elapsed = match p.at_end {
        Some(AtEnd { since, live: true, .. }) => wall::instant().duration_since(since).as_millis() as Millis,
        _ => 0,
    };
    (now + elapsed, end_offset)
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

fn merge(parts: &Parts, what: ToMerge, marks: &Marks, now: Millis) -> Result<(MergedStage, u64), String> {
    let lateness = parts.limits.lateness;
    let mut stage = SecondStage::decode(&what.stage, lateness)?;
    for (_, mark) in &marks.of {
        let activity: Activity = serde_json::from_str(&mark.activity).map_err(|error| error.to_string())?;
        stage.note_activity(&activity, what.to + lateness);
    }
    for text in &what.signals {
        stage.take_in(serde_json::from_str(text).map_err(|error| error.to_string())?);
    }
    let read = marks.of.iter().map(|(_, mark)| mark.passed).max().unwrap_or(0);
    let mut out = StageOutput::default();
    stage.advance(what.to + lateness, read, &parts.rules, &mut out);
    for (rule, exception) in &out.spared {
        parts.metrics.findings_spared.with_label_values(&[rule, exception]).inc();
    }
    let changes = out.changes.into_iter().map(|change| to_case_change(parts, change, now)).collect();
    let merged = MergedStage { stage: stage.encode()?, changes, takings: out.takings, fleet: out.fleet };
    Ok((merged, stage.counts().dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_behind_is_waited_for() {
        for (marks, want) in [
            (&[][..], None),
            (&[(5, false), (3, false)][..], Some(3)),
            (&[(5, false), (3, true)][..], Some(5)),
            (&[(5, true), (3, true)][..], Some(5)),
            (&[(5, true), (7, false), (0, false)][..], Some(0)),
        ] {
            let of: Vec<(ShardId, Mark)> = marks
                .iter()
                .map(|(passed, at_end)| {
                    let end_offset = at_end.then_some(1);
                    let shard = ShardId { topic: "t".into(), partition: 0 };
                    (shard, Mark { passed: *passed, end_offset, activity: String::new() })
                })
                .collect();
            assert_eq!(passed(&of, |_, end_offset| end_offset.is_some()), want, "{marks:?}");
        }
    }
}
