//! A batch on its way through the engine: decode, admit, load what it needs, judge, store what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::alert::{Alert, State};
use crate::engine::intake::Admitted;
use crate::engine::shard::{Change, Output, Place, Shard};
use crate::engine::snapshot;
use crate::engine::subject::Subject;
use crate::pipeline::decode::{Decoded, DecodedBatch, Work};
use crate::pipeline::partition::{AtEnd, Partition};
use crate::pipeline::{Parts, Pipeline, QUIET_AT_END, Role, patiently, read_facts};
use crate::source::Batch;
use crate::store::{CaseChange, DeadLetter, Recorded, StoreError, SubjectRow};
use crate::time::{DAY, HOUR, Millis};
use crate::wall;

/// Timers of absent subjects are loaded this far ahead.
const TIMERS_AHEAD: Millis = HOUR;
/// Subjects loaded by their timers in one query.
const TIMER_PAGE: i64 = 5_000;

impl Pipeline {
    pub(super) async fn on_batch(&mut self, mut batch: DecodedBatch) -> anyhow::Result<()> {
        let name = (batch.borrow_owner().topic.clone(), batch.borrow_owner().partition);
        let Some(p) = self.partitions.get_mut(&name) else { return Ok(()) };
        p.at_end = None;
        self.parts.metrics.messages_read.inc_by(batch.borrow_owner().messages.len() as u64);
        let (parts, dead_letters) = (&self.parts, &mut self.dead_letters);
        batch.with_dependent_mut(|batch, work| admit(batch, work, p, parts, dead_letters));
        self.judge_from(&name, batch, 0).await?;
        self.checkpoint_step(&name).await
    }

    /// What elapsed time alone brings: timers where the shard is live, and events that waited for a witness.
    pub(super) async fn tick_partition(&mut self, name: &(Arc<str>, i32)) -> anyhow::Result<()> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let Some(at_end) = p.at_end else { return Ok(()) };
        let elapsed = wall::instant().duration_since(at_end.since).as_millis() as Millis;
        let mut admitted = Vec::new();
        p.coming = p.intake.first_parked().filter(|first| elapsed >= QUIET_AT_END && self.known_until < *first);
        if elapsed >= QUIET_AT_END && p.coming.is_none() && p.intake.parked().len() > 0 {
            p.intake.end_of_input(p.position, wall::now() + DAY, &mut admitted);
        }
        let believed = !admitted.is_empty();
        if believed {
            self.judge(name, &admitted).await?;
        }
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        if believed {
            // Stream time has moved since: whether the partition is live shows only now.
            p.at_end = None;
            p.reached_end(at_end.next_offset, wall::now() - elapsed, at_end.since);
        }
        if let (Some(AtEnd { live: true, .. }), Some(now)) = (p.at_end, p.intake.now()) {
            self.fire_timers(name, now + elapsed, now).await?;
        }
        Ok(())
    }

    /// Fires what is due by the lateness before `by`. `read` is the largest event time that was read.
    pub(super) async fn fire_timers(&mut self, name: &(Arc<str>, i32), by: Millis, read: Millis) -> anyhow::Result<()> {
        if !self.load_timers(name, by).await? {
            return Ok(());
        }
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let mut out = Output::default();
        self.parts.with_world(|world| p.shard.advance(by, read, world, &mut out));
        self.record(name, out).await
    }

    pub(super) async fn judge(&mut self, name: &(Arc<str>, i32), admitted: &[Admitted<'_>]) -> anyhow::Result<()> {
        let Some(last) = admitted.iter().map(|a| a.now).max() else { return Ok(()) };
        if self.parts.role == Role::Refused {
            let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
            let mut out = Output::default();
            self.parts.with_world(|world| {
                for a in admitted {
                    p.shard.step_source(&a.event, a.now, world, &mut out);
                }
            });
            report_counts(&self.parts, p);
            return self.record(name, out).await;
        }
        if let (Some(history), Some(first)) = (self.parts.history, admitted.iter().map(|a| a.now).min())
            && let Some(p) = self.partitions.get_mut(name)
            && !p.begun
        {
            p.begun = true;
            if history.leaves_a_gap_before(first) {
                p.shard.note_gap();
            }
        }
        if !self.load_timers(name, last).await? {
            return Ok(());
        }
        let Some(places) = self.load_subjects(name, admitted).await? else { return Ok(()) };
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let mut out = Output::default();
        self.parts.with_world(|world| {
            p.shard.step_at(admitted, &places, world, &mut out);
        });
        report_counts(&self.parts, p);
        self.record(name, out).await
    }

    /// Loads the subjects of these events that are not in memory. Says where those are that were; none where the
    /// partition was lost on the way.
    async fn load_subjects(
        &mut self,
        name: &(Arc<str>, i32),
        admitted: &[Admitted<'_>],
    ) -> anyhow::Result<Option<Vec<Place>>> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(None) };
        p.shard.begin_turn();
        let mut missing = BTreeSet::new();
        let places = {
            let facts = read_facts(&self.parts.facts);
            let places = p.shard.places(admitted, &facts);
            for (a, place) in admitted.iter().zip(&places) {
                if let Some((subject, _)) = Shard::subject_id(&a.event, &facts)
                    && !p.shard.touch(&subject, *place)
                {
                    missing.insert(subject.into_owned());
                }
            }
            places
        };
        if missing.is_empty() {
            return Ok(Some(places));
        }
        let ids: Vec<String> = missing.into_iter().collect();
        let id = p.id.clone();
        let rows = patiently(&self.parts, "load subjects", async |s| s.load_subjects(&id, &ids).await).await?;
        insert_rows(&self.parts, p, rows)?;
        let newcomers: Vec<String> =
            ids.into_iter().filter(|id| p.shard.subject(id).is_none_or(|s| s.current_to == 0)).collect();
        if newcomers.is_empty() {
            return Ok(Some(places));
        }
        let epoch = p.epoch;
        let noted =
            patiently(&self.parts, "note where merchants live", async |s| s.note_homes(&id, epoch, &newcomers).await);
        let noted = noted.await;
        Ok(self.still_ours(name, noted)?.then_some(places))
    }

    /// Loads absent subjects whose timers come due by `by`. False where the partition was lost on the way.
    async fn load_timers(&mut self, name: &(Arc<str>, i32), by: Millis) -> anyhow::Result<bool> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
        if by < p.timers_loaded_to {
            return Ok(true);
        }
        let to = by + TIMERS_AHEAD;
        let id = p.id.clone();
        let mut from = p.timers_loaded_to;
        loop {
            let rows =
                patiently(&self.parts, "load timers", async |s| s.due_between(&id, from, to, TIMER_PAGE).await).await?;
            let full = rows.len() as i64 >= TIMER_PAGE;
            let last = rows.last().and_then(|row| row.next_due);
            let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
            insert_rows(&self.parts, p, rows)?;
            match last {
                // The same moment again: what shares it was only partly in the page.
                Some(last) if full => from = if last == from { last + 1 } else { last },
                _ => break,
            }
        }
        if let Some(p) = self.partitions.get_mut(name) {
            p.timers_loaded_to = to;
        }
        Ok(true)
    }

    /// Stores what the engine found, before anything else happens.
    pub(super) async fn record(&mut self, name: &(Arc<str>, i32), out: Output) -> anyhow::Result<()> {
        for (rule, exception, count) in &out.spared {
            self.parts.metrics.findings_spared.with_label_values(&[rule, exception]).inc_by(*count);
        }
        self.parts.metrics.findings_inactive.inc_by(out.outside_hours);
        if out.is_empty() || !self.tell_signals(name, &out).await? || out.changes.is_empty() {
            return Ok(());
        }
        let Some(p) = self.partitions.get(name) else { return Ok(()) };
        let (id, epoch, now) = (p.id.clone(), p.epoch, wall::now());
        let changes: Vec<CaseChange> = out.changes.into_iter().map(|c| to_case_change(&self.parts, c, now)).collect();
        let old = changes.iter().filter(|c| !c.notify && !c.shadow).count();
        let group_wait = self.parts.alerts.group_wait;
        let recorded = patiently(&self.parts, "record alerts", async |s| {
            s.record_changes(&id, epoch, &changes, now, group_wait).await
        });
        let recorded = recorded.await;
        match recorded {
            Ok(results) => {
                for (result, change) in results.into_iter().zip(&changes) {
                    count_change(&self.parts, &change.alert, result);
                }
                self.parts.metrics.alerts_old.inc_by(old as u64);
                self.parts.wake_dispatcher.notify_one();
                Ok(())
            }
            Err(error) => self.still_ours(name, Err::<(), _>(error)).map(drop),
        }
    }

    /// Drops a partition that a newer owner has taken; passes other errors on.
    pub(super) fn still_ours<T>(
        &mut self,
        name: &(Arc<str>, i32),
        answer: Result<T, StoreError>,
    ) -> anyhow::Result<bool> {
        match answer {
            Ok(_) => Ok(true),
            Err(StoreError::EpochLost { shard, held }) => {
                self.parts.metrics.epochs_lost.inc();
                self.partitions.remove(name);
                self.taken.insert(name.clone(), wall::instant());
                tracing::warn!(shard, held, "a newer owner has taken the partition; letting go of it");
                Ok(false)
            }
            // Asked to stop while the store is away: the next owner reads the messages again.
            Err(StoreError::Unavailable(_)) if self.parts.stopping.is_cancelled() => {
                self.partitions.remove(name);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Takes in what was decoded: duplicates, stream time, dead letters.
fn admit<'a>(batch: &'a Batch, work: &mut Work<'a>, p: &mut Partition, parts: &Parts, dead: &mut Vec<DeadLetter>) {
    let metrics = &parts.metrics;
    // Before the stored position: read again only so that duplicates of it are known.
    let read_to = p.position;
    let mut events = 0;
    let Work { decoded, admitted } = work;
    admitted.reserve(decoded.len());
    p.intake.warm(decoded.iter().filter_map(|d| d.event.as_ref().ok()?.event_id.as_deref()));
    for Decoded { offset, event } in decoded.drain(..) {
        let is_read = offset < read_to;
        match event {
            Ok(event) if is_read => {
                if let Some(id) = &event.event_id {
                    p.intake.remember(id);
                }
                continue;
            }
            Ok(event) if parts.history.is_some_and(|history| history.knows(event.ts)) => metrics.events_known.inc(),
            Ok(event) => p.intake.admit(offset, event, admitted),
            Err(_) if is_read => continue,
            Err(rejected) => {
                metrics.messages_decoded.with_label_values(&[rejected.reason.as_str()]).inc();
                if dead.len() < parts.limits.dead_letters {
                    dead.push(DeadLetter {
                        place: format!("{}/{}@{offset}", batch.topic, batch.partition),
                        reason: rejected.reason.as_str(),
                        detail: rejected.detail,
                        redacted: rejected.redacted,
                    });
                } else {
                    metrics.limits_hit.with_label_values(&["dead_letters"]).inc();
                }
                continue;
            }
        }
        events += 1;
    }
    p.position = batch.messages.last().map_or(read_to, |message| read_to.max(message.offset + 1));
    metrics.messages_decoded.with_label_values(&["event"]).inc_by(events);
}

/// Puts stored rows in memory.
pub(super) fn insert_rows(parts: &Parts, p: &mut Partition, rows: Vec<SubjectRow>) -> anyhow::Result<()> {
    for row in rows {
        if p.shard.contains(&row.id) {
            continue;
        }
        let subject = decode_row(&row, p)?;
        parts.with_world(|world| p.shard.insert(subject, row.next_due, world));
    }
    Ok(())
}

pub(super) fn decode_row(row: &SubjectRow, p: &Partition) -> anyhow::Result<Subject> {
    snapshot::decode_subject(&row.blob, row.current_to)
        .map_err(|error| anyhow::anyhow!("subject `{}` of {}: {error}", row.id, p.id))
}

/// Counts what became of a change.
pub(super) fn count_change(parts: &Parts, alert: &Alert, result: Recorded) {
    let word = match result {
        Recorded::Opened => "opened",
        Recorded::Updated if alert.state == State::Resolved => "ended",
        Recorded::Updated => "updated",
        Recorded::Known => "known",
        Recorded::Void => "void",
    };
    let labels = [alert.rule.as_str(), alert.severity.as_str(), alert.kind.as_str()];
    let [rule, severity, reason] = labels;
    parts.metrics.case_changes.with_label_values(&[rule, severity, reason, word]).inc();
    if alert.state == State::Firing {
        parts.metrics.findings.with_label_values(&labels).inc();
    }
}

/// Old news is stored and shown, not mailed (law 9).
pub(super) fn to_case_change(parts: &Parts, mut change: Change, now: Millis) -> CaseChange {
    let fresh = now - change.at <= parts.alerts.max_age && change.at >= parts.first_start;
    parts.geoip.enrich(&mut change.alert);
    let shadow = parts.rules.is_shadow(&change.alert.rule);
    let notify = !shadow && (fresh || parts.alerts.mail_old);
    let hold = parts.rules.hold(&change.alert, parts.limits.lateness);
    CaseChange { alert: change.alert, notify, shadow, foster: change.foster, hold }
}

/// Adds what engine counted since the last time to the metrics.
fn report_counts(parts: &Parts, p: &mut Partition) {
    let (intake, shard) = (p.intake.counts(), p.shard.counts());
    let (intake_before, shard_before) = p.reported;
    let m = &parts.metrics;
    m.events_duplicate.inc_by(intake.duplicates - intake_before.duplicates);
    m.events_late.inc_by(intake.late - intake_before.late);
    m.events_parked.inc_by(intake.parked - intake_before.parked);
    m.events_judged.inc_by(shard.judged - shard_before.judged);
    m.events_without_merchant.inc_by(shard.no_merchant - shard_before.no_merchant);
    for (limit, more) in [
        ("parked_events", intake.parked_dropped - intake_before.parked_dropped),
        ("cases_per_key", shard.cases_dropped - shard_before.cases_dropped),
        ("keys_per_merchant", shard.keys_dropped - shard_before.keys_dropped),
        ("networks", shard.networks_forgotten - shard_before.networks_forgotten),
        ("source_subjects", shard.sources_forgotten - shard_before.sources_forgotten),
        ("tallies", shard.tallies_forgotten - shard_before.tallies_forgotten),
    ] {
        if more > 0 {
            m.limits_hit.with_label_values(&[limit]).inc_by(more);
        }
    }
    p.reported = (intake, shard);
}
