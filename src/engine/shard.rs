//! A shard: the subjects of one partition, judged event by event.
//!
//! Timers keep law 2: one that is due at T fires before the subject's own first message after T, or when stream time
//! has passed T by the lateness, whichever comes first. Within the lateness nothing can lie between the two, so the
//! state that is judged is the same however the partitions are cut. What no late event could change, such as what
//! follows from facts alone, is prompt: it fires as soon as stream time has come to T.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::alert::Alert;
use crate::engine::baseline::networks::Network;
use crate::engine::baseline::rates::{Ask, Rates, Surroundings};
use crate::engine::case::OpenCase;
use crate::engine::detect::Watch;
use crate::engine::fleet::{FleetBook, Lesson, SHIPPED, Sampler};
use crate::engine::hash::of_text;
use crate::engine::intake::Admitted;
use crate::engine::judge::{judge, judge_source};
use crate::engine::second_stage::activity::{Activity, Tens, bucket_of};
use crate::engine::second_stage::signal::{Knock, tells_of_platform};
use crate::engine::source::SourceTable;
use crate::engine::subject::Subject;
use crate::engine::warm;
use crate::event::facts::FactBook;
use crate::event::{AuthEvent, Outcome};
use crate::rules::RuleSet;
use crate::time::{DAY, HOUR, MINUTE, Millis};

mod counts;
mod storing;
mod timers;

pub use counts::ShardCounts;

use timers::{Next, Reached, around};

/// A partition that has no event for so long has hardly begun.
pub const UNSTEADY: Millis = 7 * DAY;
/// Silence of a whole partition is looked at from this length on, once so many days of it have been seen.
const SILENCE_MIN: Millis = 5 * MINUTE;
const STREAM_DAYS: u8 = 3;
/// A shorter gap hides no day of use.
const LONG_GAP: Millis = 12 * HOUR;
/// How surprising its silence must be, and how many events must have been expected, for something to be missing. So many, that
/// where one key is nearly all of it, its own silence is told before.
const STREAM_SILENCE: Ask = Ask::new(16.0, 100.0);

/// What a step may look at beside the subject.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Facts about keys and merchants.
    pub facts: &'a FactBook,
    /// The rules in force.
    pub rules: &'a RuleSet,
    /// What all keys together are like.
    pub fleet: &'a FleetBook,
}

/// What a step produced.
#[derive(Debug, Default)]
pub struct Output {
    /// Cases opened, changed, ended, in order.
    pub changes: Vec<Change>,
    /// Signs that opened nothing, as they came outside the hours of their rule.
    pub outside_hours: u64,
    /// Signs and counted events that exceptions spared: rule, exception, how many.
    pub spared: Vec<(Arc<str>, Arc<str>, u64)>,
    /// Strangers at merchants' doors, for the second stage.
    pub knocks: Vec<Knock>,
    /// Who was active in tens of minutes that are complete, for the second stage.
    pub active: Vec<Tens>,
    /// What keys teach the fleet, for the second stage.
    pub lessons: Vec<Lesson>,
}

/// One change of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The record as it stands.
    pub alert: Alert,
    /// When what changed it happened (event time): the sign, or the end.
    pub at: Millis,
    /// The subject lives here only for want of traffic.
    pub foster: bool,
}

impl Output {
    /// Whether there is nothing to store and nothing to tell the second stage.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.knocks.is_empty() && self.active.is_empty() && self.lessons.is_empty()
    }

    /// Counts what an exception spared.
    pub(super) fn spare(&mut self, rule: &Arc<str>, exception: &Arc<str>) {
        match self.spared.iter_mut().find(|(r, e, _)| r == rule && e == exception) {
            Some((_, _, count)) => *count += 1,
            None => self.spared.push((rule.clone(), exception.clone(), 1)),
        }
    }
}

#[derive(Debug)]
struct Slot {
    subject: Subject,
    /// Its next timer, or a time before that; `Millis::MAX` = none.
    scheduled: Millis,
    /// The stream time at which the timer heap looks at it; `Millis::MAX` = it does not.
    wakes_at: Millis,
    dirty: bool,
    /// The last tens of minutes in which it was noted as active.
    active: i64,
    /// The same of a refused call.
    refused: i64,
    /// The timer under which the store finds it.
    stored_due: Option<Millis>,
    /// The turn of [`Shard::begin_turn`] in which it was last touched.
    touched: u32,
}

impl Slot {
    fn due(&self) -> Option<Millis> {
        (self.scheduled != Millis::MAX).then_some(self.scheduled)
    }
}

/// Where a subject is, and a part of its ID's hash: most of what is not meant shows without a look at the subject.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    at: u32,
    tag: u32,
}

/// Where a subject most likely is. It may be wrong, and is checked where it is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(pub(super) Option<u32>);

/// The subjects of one partition.
#[derive(Debug)]
pub struct Shard {
    lateness: Millis,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: HashTable<Indexed>,
    timers: BinaryHeap<Reverse<(Millis, u32)>>,
    dirty: Vec<u32>,
    sources: SourceTable,
    /// When to look again whether a case of a source has ended.
    sources_end: Millis,
    watch: Watch,
    /// How many events the partition has: its silence is no key's.
    stream: Rates,
    /// Which merchants were active, for the second stage.
    activity: Activity,
    /// Which keys teach the fleet.
    sampler: Sampler,
    turn: u32,
    counts: ShardCounts,
    /// The hand of the eviction clock.
    hand: usize,
}

impl Shard {
    /// A shard without subjects. `source_subjects` bounds the table of source networks.
    pub fn new(lateness: Millis, source_subjects: usize, watch: Watch) -> Self {
        Shard {
            lateness,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            sources: SourceTable::new(source_subjects),
            sources_end: Millis::MIN,
            watch,
            stream: Rates::default(),
            activity: Activity::default(),
            sampler: Sampler::default(),
            turn: 0,
            counts: ShardCounts::default(),
            hand: 0,
        }
    }

    /// What was counted.
    pub fn counts(&self) -> ShardCounts {
        ShardCounts { sources_forgotten: self.sources.forgotten(), ..self.counts }
    }

    /// The table of source networks.
    pub fn sources(&self) -> &SourceTable {
        &self.sources
    }

    /// How long the partition has been watched.
    pub fn watch(&self) -> Watch {
        self.watch
    }

    /// Notes that time has come to `now`. Watching counts from the first full day, so that partitions which begin
    /// within the same day agree; after a gap it goes on with the next event.
    pub fn watch_from(&mut self, now: Millis, world: World<'_>) {
        if self.watch.seen_to.is_none_or(|last| UNSTEADY <= now - last) {
            let from = next_day(now);
            self.watch.since.get_or_insert(from);
            self.watch.steady_since = Some(from);
            self.schedule_all(world);
        }
        if self.is_silent_at(now) {
            self.watch.in_gap = true;
        }
        if self.watch.in_gap {
            self.watch.in_gap = false;
            match self.watch.seen_to.filter(|last| now - last < LONG_GAP) {
                Some(last) => self.watch.lull = Some((last, now)),
                None => (self.watch.gap_from, self.watch.resumed_at) = (self.watch.seen_to, Some(now)),
            }
        }
        self.watch.seen_to = self.watch.seen_to.max(Some(now));
        // The partition is no key: the fleet says nothing about it.
        let around = Surroundings { lateness: self.lateness, unseen: self.watch.unseen(), fleet: &SHIPPED };
        self.stream.add(now, 1, around, |_| 0);
    }

    /// Whether the partition as a whole has been silent for so long that something is missing, by its own counts.
    fn is_silent_at(&self, now: Millis) -> bool {
        // Nearly always it has not been silent for long, and what it would take is dear to work out.
        self.watch.seen_to.is_some_and(|last| last + SILENCE_MIN <= now)
            && self.silence_due().is_some_and(|due| due <= now)
    }

    /// When it will have been silent for so long.
    fn silence_due(&self) -> Option<Millis> {
        let last = self.watch.seen_to.filter(|_| STREAM_DAYS <= self.stream.days_learned())?;
        Some(self.stream.silence_of_many_due(last, &STREAM_SILENCE)?.max(last + SILENCE_MIN))
    }

    /// How many events the partition has, to be stored.
    pub fn stream(&self) -> &Rates {
        &self.stream
    }

    /// Which merchants were active in the newest tens of minutes, of which nothing was told yet.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Goes on with what is known of how many events the partition has.
    pub fn restore_stream(&mut self, stream: Rates) {
        self.stream = stream;
    }

    /// The partition was made anew: its offsets say nothing about what the subjects include.
    pub fn forget_offsets(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.subject.current_to = 0;
        }
    }

    /// Notes that messages are missing here: nothing is concluded from the silence.
    pub fn note_gap(&mut self) {
        self.watch.in_gap = true;
    }

    /// Looks at every subject's timers anew.
    fn schedule_all(&mut self, world: World<'_>) {
        for at in 0..self.slots.len() as u32 {
            if self.slots[at as usize].is_some() {
                self.schedule(at, world);
            }
        }
    }

    /// Subjects in memory.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no subject is in memory.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether a subject is in memory.
    pub fn contains(&self, subject_id: &str) -> bool {
        self.find(subject_id).is_some()
    }

    /// A subject in memory, to look at.
    pub fn subject(&self, subject_id: &str) -> Option<&Subject> {
        self.find(subject_id).map(|at| &self.slot(at).subject)
    }

    /// Notes that a subject is needed in this turn. False where it is not in memory.
    pub fn touch(&mut self, subject_id: &str, place: Place) -> bool {
        let Some(at) = self.find_at(place, subject_id) else { return false };
        let turn = self.turn;
        self.slot_mut(at).touched = turn;
        true
    }

    /// Judges an event by its source alone.
    pub fn step_source(&mut self, event: &AuthEvent<'_>, now: Millis, world: World<'_>, out: &mut Output) {
        self.end_sources(now, out);
        self.counts.no_merchant += 1;
        self.sources.note(event);
        self.counts.cases_dropped += judge_source(&mut self.sources, event, now, world, out);
    }

    /// Ends the cases of sources that have been quiet for long enough.
    fn end_sources(&mut self, now: Millis, out: &mut Output) {
        if self.sources_end < now {
            for (at, case) in self.sources.take_ended(now) {
                if case.opens_at.is_none() {
                    out.changes.push(Change { alert: case.end(at, "quiet"), at, foster: false });
                }
            }
            self.sources_end = self.sources.next_end().unwrap_or(now + MINUTE).max(now + MINUTE);
        }
    }

    /// Goes on with cases of sources that were open.
    pub fn restore_sources(&mut self, cases: Vec<(Network, OpenCase)>) {
        for (network, case) in cases {
            self.sources.open(network, case);
        }
    }

    /// Begins a turn: what is touched in it is not evicted before the next.
    pub fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// Looks again at a merchant whose facts changed. False where it is not in memory.
    pub fn facts_changed(&mut self, merchant_id: &str, world: World<'_>) -> bool {
        let Some(at) = self.find(merchant_id) else { return false };
        self.learn_keys(at, world);
        self.schedule(at, world);
        true
    }

    /// Looks again at every subject in memory: the rules changed.
    pub fn rules_changed(&mut self, world: World<'_>) {
        for at in 0..self.slots.len() as u32 {
            if self.slots[at as usize].is_some() {
                self.forget_rules_that_are_gone(at, world);
            }
        }
        self.schedule_all(world);
    }

    /// Forgets the cases of rules that are not in force any more; the store ends them.
    fn forget_rules_that_are_gone(&mut self, at: u32, world: World<'_>) {
        let in_force = |name: &str| world.rules.rules.iter().any(|rule| *rule.name == *name);
        let mut changed = false;
        for key in &mut self.slot_mut(at).subject.keys {
            let before = (key.cases.len(), key.fired.len());
            key.cases.retain(|case| in_force(&case.alert.rule));
            key.fired.retain(|(rule, _)| in_force(rule));
            changed |= (key.cases.len(), key.fired.len()) != before;
        }
        if changed {
            self.mark_dirty(at);
        }
    }

    /// The subject that an event is about; `None` = the source's path.
    pub fn subject_id<'e>(
        event: &'e AuthEvent<'_>,
        facts: &'e FactBook,
    ) -> Option<(std::borrow::Cow<'e, str>, &'e str)> {
        let key_id = match (&event.key_id, &event.key_fingerprint) {
            (Some(id), _) => id.as_ref(),
            (None, Some(fingerprint)) => facts.key_of_fingerprint(fingerprint).unwrap_or(fingerprint),
            (None, None) => return None,
        };
        // What the event says itself needs no look at the facts.
        if let Some(merchant) = event.merchant_id.as_deref() {
            return Some((merchant.into(), key_id));
        }
        let known = facts.key(key_id);
        match known.and_then(|f| f.merchant_id.as_deref()) {
            Some(merchant) => Some((merchant.into(), key_id)),
            None if known.is_some() || event.outcome == Outcome::Ok => Some((format!("~{key_id}").into(), key_id)),
            None => None,
        }
    }

    /// Judges events in order, reading ahead. Their subjects must be in memory, or new.
    pub fn step_all(&mut self, admitted: &[Admitted<'_>], world: World<'_>, out: &mut Output) {
        let places = self.places(admitted, world.facts);
        self.step_at(admitted, &places, world, out);
    }

    /// The same where it is known where their subjects most likely are.
    pub fn step_at(&mut self, admitted: &[Admitted<'_>], places: &[Place], world: World<'_>, out: &mut Output) {
        for (n, block) in admitted.chunks(warm::AHEAD).enumerate() {
            // An event without a place is judged all the same: its subject is looked for.
            let places = places.get(n * warm::AHEAD..).unwrap_or_default();
            warm::warm(self, block, places, world);
            for (i, a) in block.iter().enumerate() {
                self.step_one(a, places.get(i).copied().unwrap_or_default(), world, out);
            }
        }
    }

    /// Where the subjects of these events most likely are, by the index alone: side by side, the looks at it cost little.
    pub fn places(&self, admitted: &[Admitted<'_>], facts: &FactBook) -> Vec<Place> {
        let near = |a: &Admitted<'_>| {
            let (subject_id, _) = Self::subject_id(&a.event, facts)?;
            let hash = of_text(&subject_id);
            self.index.find(hash, |entry| entry.tag == hash as u32).map(|entry| entry.at)
        };
        admitted.iter().map(|a| Place(near(a))).collect()
    }

    /// Judges one event. Its subject must be in memory, or new.
    pub fn step(&mut self, admitted: &Admitted<'_>, world: World<'_>, out: &mut Output) {
        self.step_one(admitted, Place::default(), world, out);
    }

    fn step_one(&mut self, admitted: &Admitted<'_>, place: Place, world: World<'_>, out: &mut Output) {
        self.watch_from(admitted.now, world);
        self.advance(admitted.now, admitted.now, world, out);
        let event = &admitted.event;
        let Some((subject_id, key_id)) = Self::subject_id(event, world.facts) else {
            self.step_source(event, admitted.now, world, out);
            return;
        };
        let at = match self.find_at(place, &subject_id) {
            Some(at) => at,
            None => {
                let at = self.add(Subject::new(&subject_id));
                self.learn_keys(at, world);
                self.schedule(at, world);
                at
            }
        };
        let turn = self.turn;
        let slot = self.slot_mut(at);
        slot.touched = turn;
        slot.subject.foster = false;
        let bucket = bucket_of(event.ts);
        let is_noted = std::mem::replace(&mut slot.active, bucket) == bucket;
        if !is_noted && !admitted.late {
            let complete = admitted.now - self.lateness;
            if self.activity.first_end().is_some_and(|end| end <= complete) {
                out.active.extend(self.activity.close(complete));
            }
            self.activity.note(&subject_id, bucket);
        }
        if tells_of_platform(event) && !admitted.late {
            let slot = self.slot_mut(at);
            if std::mem::replace(&mut slot.refused, bucket) != bucket {
                self.activity.note_refused(&subject_id, bucket);
            }
        }
        let slot = self.slot_mut(at);
        if admitted.offset < slot.subject.current_to {
            // Its checkpoint did not end: the subject was stored, its days of usage may not have been.
            if let Ok(place) = slot.subject.position(key_id) {
                slot.subject.keys[place].features.days_unsaved();
            }
            self.counts.skipped += 1;
            self.mark_dirty(at);
            return;
        }
        if !admitted.late && slot.scheduled < event.ts {
            let reached = Reached { before: event.ts, prompt_to: admitted.now, read: admitted.now };
            let next = self.fire(at, reached, world, out);
            self.schedule_at(at, next);
        }
        self.mark_dirty(at);
        self.counts.judged += 1;
        let (lateness, watch) = (self.lateness, self.watch);
        let Some(slot) = &mut self.slots[at as usize] else { unreachable!("slot {at} is free but indexed") };
        let Some(place) = slot.subject.position_or_insert(key_id) else {
            self.counts.keys_dropped += 1;
            return;
        };
        let taught = out.lessons.len();
        let judged = judge(&mut slot.subject, place, admitted, (lateness, watch), world, out);
        if let Some(lesson) = out.lessons.get(taught)
            && !self.sampler.takes(lesson)
        {
            out.lessons.truncate(taught);
        }
        let Some(slot) = &self.slots[at as usize] else { unreachable!("slot {at} is free but indexed") };
        if judged.reschedule {
            let subject = &slot.subject;
            let next = Next::of_key(&subject.keys, place, around(subject, watch, world), lateness);
            self.schedule_at(at, next);
        }
        self.counts.cases_dropped += judged.cases_dropped;
        self.counts.networks_forgotten += judged.networks_forgotten;
        self.counts.tallies_forgotten += judged.tallies_forgotten;
    }

    fn find(&self, subject_id: &str) -> Option<u32> {
        let hash = of_text(subject_id);
        let is_it = |entry: &Indexed| entry.tag == hash as u32 && *self.slot(entry.at).subject.id == *subject_id;
        self.index.find(hash, is_it).map(|entry| entry.at)
    }

    /// As [`Self::find`], with a first look where it most likely is.
    fn find_at(&self, place: Place, subject_id: &str) -> Option<u32> {
        match place.0 {
            Some(at) if self.subject_at(at).is_some_and(|subject| *subject.id == *subject_id) => Some(at),
            _ => self.find(subject_id),
        }
    }

    pub(super) fn subject_at(&self, at: u32) -> Option<&Subject> {
        self.slots.get(at as usize)?.as_ref().map(|slot| &slot.subject)
    }

    fn add(&mut self, subject: Subject) -> u32 {
        let hash = of_text(&subject.id);
        let slot = Slot {
            subject,
            scheduled: Millis::MAX,
            wakes_at: Millis::MAX,
            dirty: false,
            active: i64::MIN,
            refused: i64::MIN,
            stored_due: None,
            touched: self.turn,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        let rehash = |e: &Indexed| slots[e.at as usize].as_ref().map_or(0, |slot| of_text(&slot.subject.id));
        self.index.insert_unique(hash, Indexed { at, tag: hash as u32 }, rehash);
        at
    }

    fn slot(&self, at: u32) -> &Slot {
        match &self.slots[at as usize] {
            Some(slot) => slot,
            None => unreachable!("slot {at} is free but indexed"),
        }
    }

    fn slot_mut(&mut self, at: u32) -> &mut Slot {
        match &mut self.slots[at as usize] {
            Some(slot) => slot,
            None => unreachable!("slot {at} is free but indexed"),
        }
    }

    fn mark_dirty(&mut self, at: u32) {
        let slot = self.slot_mut(at);
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(at);
        }
    }

    /// Adds the keys that facts name for the merchant.
    fn learn_keys(&mut self, at: u32, world: World<'_>) {
        let Some(merchant) = self.slot(at).subject.merchant_id().map(str::to_owned) else { return };
        for key_id in world.facts.keys_of(&merchant) {
            let subject = &mut self.slot_mut(at).subject;
            if subject.position(key_id).is_ok() {
                continue;
            }
            if subject.position_or_insert(key_id).is_none() {
                self.counts.keys_dropped += 1;
            }
            self.mark_dirty(at);
        }
    }
}

/// When the first full day (UTC) after a time begins.
fn next_day(now: Millis) -> Millis {
    (now.div_euclid(DAY) + 1) * DAY
}
