//! A shard: the subjects of one partition, judged event by event.
//!
//! Timers keep law 2: one that is due at T fires before the subject's own first message after T, or when stream time
//! has passed T by the lateness, whichever comes first. Within the lateness nothing can lie between the two, so the
//! state that is judged is the same however the partitions are cut.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;

use crate::alert::Alert;
use crate::engine::baseline::networks::Network;
use crate::engine::case::{About, CASES_PER_KEY, OpenCase};
use crate::engine::detect::{Sight, Sign, Still, Verdict};
use crate::engine::intake::Admitted;
use crate::engine::source::SourceTable;
use crate::engine::subject::{Key, NETWORKS_PER_KEY, NETWORKS_PER_MERCHANT, Subject, merchant_of};
use crate::event::facts::FactBook;
use crate::event::{AuthEvent, Outcome};
use crate::rules::{Rule, RuleSet};
use crate::time::{DAY, Millis};

/// What a step may look at beside the subject.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Facts about keys and merchants.
    pub facts: &'a FactBook,
    /// The rules in force.
    pub rules: &'a RuleSet,
}

/// What a step produced.
#[derive(Debug, Default)]
pub struct Output {
    /// Cases opened, changed, ended, in order.
    pub changes: Vec<Change>,
}

/// One change of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The record as it stands.
    pub alert: Alert,
    /// The subject lives here only for want of traffic.
    pub foster: bool,
}

/// What a shard counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Events judged.
    pub judged: u64,
    /// Events that a stored state had already seen.
    pub skipped: u64,
    /// Events without a merchant, counted by their source.
    pub no_merchant: u64,
    /// Cases that the bound on open cases turned away.
    pub cases_dropped: u64,
    /// Keys that the bound on a merchant's keys turned away.
    pub keys_dropped: u64,
    /// Networks that a full book forgot.
    pub networks_forgotten: u64,
    /// Source networks that the full table forgot.
    pub sources_forgotten: u64,
}

impl ShardCounts {
    /// Adds what another shard counted.
    pub fn add(&mut self, other: ShardCounts) {
        self.judged += other.judged;
        self.skipped += other.skipped;
        self.no_merchant += other.no_merchant;
        self.cases_dropped += other.cases_dropped;
        self.keys_dropped += other.keys_dropped;
        self.networks_forgotten += other.networks_forgotten;
        self.sources_forgotten += other.sources_forgotten;
    }
}

#[derive(Debug)]
struct Slot {
    subject: Subject,
    /// When the timer heap looks at it; never later than its true next timer. `Millis::MAX` = not scheduled.
    scheduled: Millis,
    dirty: bool,
    /// The turn of [`Shard::begin_turn`] in which it was last touched.
    touched: u32,
}

/// The subjects of one partition.
#[derive(Debug)]
pub struct Shard {
    lateness: Millis,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    timers: BinaryHeap<Reverse<(Millis, u32)>>,
    dirty: Vec<u32>,
    sources: SourceTable,
    watched_since: Option<Millis>,
    turn: u32,
    counts: ShardCounts,
    /// The hand of the eviction clock.
    hand: usize,
}

impl Shard {
    /// A shard without subjects. `source_subjects` bounds the table of source networks.
    pub fn new(lateness: Millis, source_subjects: usize, watched_since: Option<Millis>) -> Self {
        Shard {
            lateness,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            sources: SourceTable::new(source_subjects),
            watched_since,
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

    /// Since when the partition has been watched.
    pub fn watched_since(&self) -> Option<Millis> {
        self.watched_since
    }

    /// Notes when the stream's first event was: watching counts from the next full day, so that partitions which begin
    /// within the same day agree. Only the first call counts.
    pub fn watch_from(&mut self, first_event: Millis, world: World<'_>) {
        if self.watched_since.is_none() {
            self.watched_since = Some((first_event.div_euclid(DAY) + 1) * DAY);
            self.schedule_all(world);
        }
    }

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
    pub fn touch(&mut self, subject_id: &str) -> bool {
        let Some(at) = self.find(subject_id) else { return false };
        let turn = self.turn;
        self.slot_mut(at).touched = turn;
        true
    }

    /// Counts an event by its source alone.
    pub fn note_source(&mut self, event: &AuthEvent<'_>) {
        self.counts.no_merchant += 1;
        self.sources.note(event);
    }

    /// The next timer of a subject that is not in memory, by the facts and rules as they are.
    pub fn due_of(&self, subject: &Subject, world: World<'_>) -> Option<Millis> {
        let merchant_id = subject.merchant_id();
        subject.keys.iter().filter_map(|key| next_due(key, merchant_id, self.watched_since, world)).min()
    }

    /// Begins a turn: what is touched in it is not evicted before the next.
    pub fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// Puts a stored subject in memory, and adds the keys that only facts know.
    pub fn insert(&mut self, subject: Subject, world: World<'_>) {
        if self.contains(&subject.id) {
            return;
        }
        let at = self.add(subject);
        self.learn_keys(at, world);
        self.schedule(at, world);
    }

    /// Makes a subject that only facts know, in this shard for want of traffic.
    pub fn foster(&mut self, merchant_id: &str, world: World<'_>) {
        if self.contains(merchant_id) {
            return;
        }
        let at = self.add(Subject { foster: true, ..Subject::new(merchant_id) });
        self.mark_dirty(at);
        self.learn_keys(at, world);
        self.schedule(at, world);
    }

    /// Looks again at a merchant whose facts changed. False where it is not in memory.
    pub fn facts_changed(&mut self, merchant_id: &str, world: World<'_>) -> bool {
        let Some(at) = self.find(merchant_id) else { return false };
        self.learn_keys(at, world);
        self.schedule(at, world);
        true
    }

    /// Looks again at every subject in memory: the rules changed. Cases of rules that are gone are forgotten here (the
    /// store ends them).
    pub fn rules_changed(&mut self, world: World<'_>) {
        for at in 0..self.slots.len() as u32 {
            if self.slots[at as usize].is_none() {
                continue;
            }
            let gone = |case: &OpenCase| !world.rules.rules.iter().any(|r| *r.name == *case.alert.rule);
            let slot = self.slot_mut(at);
            let mut changed = false;
            for key in &mut slot.subject.keys {
                let before = key.cases.len();
                key.cases.retain(|case| !gone(case));
                changed |= key.cases.len() != before;
            }
            if changed {
                self.mark_dirty(at);
            }
        }
        self.schedule_all(world);
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
        let known = facts.key(key_id);
        let merchant = event.merchant_id.as_deref().or_else(|| known.and_then(|f| f.merchant_id.as_deref()));
        match merchant {
            Some(merchant) => Some((merchant.into(), key_id)),
            None if known.is_some() || event.outcome == Outcome::Ok => Some((format!("~{key_id}").into(), key_id)),
            None => None,
        }
    }

    /// Judges one event. Its subject must be in memory, or new.
    pub fn step(&mut self, admitted: &Admitted<'_>, world: World<'_>, out: &mut Output) {
        self.watch_from(admitted.now, world);
        self.advance(admitted.now, admitted.now, world, out);
        let event = &admitted.event;
        let Some((subject_id, key_id)) = Self::subject_id(event, world.facts) else {
            self.note_source(event);
            return;
        };
        let at = match self.find(&subject_id) {
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
        if admitted.offset < slot.subject.current_to {
            self.counts.skipped += 1;
            return;
        }
        if !admitted.late && slot.scheduled < event.ts {
            self.fire(at, event.ts, admitted.now, world, out);
        }
        self.mark_dirty(at);
        self.counts.judged += 1;
        let (lateness, watched_since) = (self.lateness, self.watched_since);
        let slot = self.slot_mut(at);
        let Some(place) = slot.subject.position_or_insert(key_id) else {
            self.counts.keys_dropped += 1;
            return;
        };
        let judged = judge(&mut slot.subject, place, admitted, lateness, world, out);
        if judged.reschedule {
            let due = next_due(&slot.subject.keys[place], slot.subject.merchant_id(), watched_since, world);
            self.schedule_at(at, due);
        }
        self.counts.cases_dropped += judged.cases_dropped;
        self.counts.networks_forgotten += judged.networks_forgotten;
    }

    /// Fires what is due by the lateness before `by`: stream time, or where the shard is live stream time and what has
    /// elapsed since. `read` is the largest event time that has been read.
    pub fn advance(&mut self, by: Millis, read: Millis, world: World<'_>, out: &mut Output) {
        let to = by.saturating_sub(self.lateness);
        while let Some(&Reverse((due, at))) = self.timers.peek()
            && due < to
        {
            self.timers.pop();
            if self.slots.get(at as usize).is_some_and(|slot| slot.as_ref().is_some_and(|s| s.scheduled == due)) {
                self.fire(at, to, read, world, out);
            }
        }
    }

    /// The earliest time at which a subject in memory may have a timer.
    pub fn next_timer(&self) -> Option<Millis> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Fires the subject's timers that are due before `until`, in order for each key.
    fn fire(&mut self, at: u32, until: Millis, now: Millis, world: World<'_>, out: &mut Output) {
        let watched_since = self.watched_since;
        let turn = self.turn;
        let slot = self.slot_mut(at);
        slot.touched = turn;
        let Subject { id, keys, foster, .. } = &mut slot.subject;
        let moment = Moment { now, merchant_id: merchant_of(id), watched_since, foster: *foster };
        let mut fired = false;
        for key in keys {
            while let Some(due) = next_due(key, moment.merchant_id, watched_since, world).filter(|due| *due < until) {
                if !fire_one(key, due, moment, world, out) {
                    break;
                }
                key.fired_to = key.fired_to.max(Some(due));
                fired = true;
            }
        }
        slot.scheduled = Millis::MAX;
        if fired {
            self.mark_dirty(at);
        }
        self.schedule(at, world);
    }

    fn find(&self, subject_id: &str) -> Option<u32> {
        let hash = hash_of(subject_id);
        self.index.find(hash, |at| *self.slot(*at).subject.id == *subject_id).copied()
    }

    fn add(&mut self, subject: Subject) -> u32 {
        let hash = hash_of(&subject.id);
        let slot = Slot { subject, scheduled: Millis::MAX, dirty: false, touched: self.turn };
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
        self.index.insert_unique(hash, at, |at| slots[*at as usize].as_ref().map_or(0, |s| hash_of(&s.subject.id)));
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

    fn schedule(&mut self, at: u32, world: World<'_>) {
        let due = self.due_of(&self.slot(at).subject, world);
        self.schedule_at(at, due);
    }

    fn schedule_at(&mut self, at: u32, due: Option<Millis>) {
        let slot = self.slot_mut(at);
        if let Some(due) = due
            && due < slot.scheduled
        {
            slot.scheduled = due;
            self.timers.push(Reverse((due, at)));
        }
    }

    // --- storing -------------------------------------------------------------------------------------------------

    /// Begins a checkpoint: what is dirty now. Each must be passed to [`Shard::take_dirty`] once.
    pub fn begin_checkpoint(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// Hands out a dirty subject to be stored as it stands now, with its next timer, and calls it clean.
    pub fn take_dirty<T>(&mut self, at: u32, store: impl FnOnce(&Subject, Option<Millis>) -> T) -> T {
        let slot = self.slot_mut(at);
        slot.dirty = false;
        let due = (slot.scheduled != Millis::MAX).then_some(slot.scheduled);
        store(&slot.subject, due)
    }

    /// Subjects that changed since the last checkpoint began.
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Drops clean subjects that were not touched lately and have no timer before `keep_timers_before`, until at most
    /// `keep` are left or none can go. Only to be called while no slice is being written.
    pub fn evict(&mut self, keep: usize, keep_timers_before: Millis) -> usize {
        let (mut evicted, mut looked) = (0, 0);
        while self.index.len() > keep && looked < self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len();
            looked += 1;
            let at = self.hand;
            let turn = self.turn;
            let may_go = self.slots[at].as_ref().is_some_and(|slot| {
                !slot.dirty && turn.wrapping_sub(slot.touched) > 1 && slot.scheduled >= keep_timers_before
            });
            if !may_go {
                continue;
            }
            if let Some(slot) = self.slots[at].take() {
                if let Ok(entry) = self.index.find_entry(hash_of(&slot.subject.id), |other| *other == at as u32) {
                    entry.remove();
                }
                self.free.push(at as u32);
                evicted += 1;
            }
        }
        evicted
    }
}

/// A fixed hash: nothing about a shard depends on a random seed.
fn hash_of(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The circumstances in which a subject's timers fire.
#[derive(Clone, Copy)]
struct Moment<'a> {
    now: Millis,
    merchant_id: Option<&'a str>,
    watched_since: Option<Millis>,
    foster: bool,
}

/// When the key's next timer is due: the end of an episode by quiet, or what a detector waits for.
fn next_due(key: &Key, merchant_id: Option<&str>, watched_since: Option<Millis>, world: World<'_>) -> Option<Millis> {
    let facts = world.facts.key(&key.features.key_id);
    let env = facts.and_then(|f| f.env).or(key.features.env);
    let still = Still { facts, key: &key.features, watched_since };
    let quiet = key.cases.iter().filter_map(OpenCase::ends_by_itself_at).min();
    let detector = |rule: &Rule| {
        let open = key.cases.iter().any(|c| *c.alert.rule == *rule.name);
        let due = rule.detector.due(&still, open)?;
        let fresh = key.fired_to.is_none_or(|fired| due > fired)
            && rule.matcher.matches(env, merchant_id, &key.features.key_id);
        (open || fresh).then_some(due)
    };
    quiet.into_iter().chain(world.rules.rules.iter().filter_map(detector)).min()
}

/// Fires the timer that is due at `due`. False where nothing came of it.
fn fire_one(key: &mut Key, due: Millis, moment: Moment<'_>, world: World<'_>, out: &mut Output) -> bool {
    let Moment { now, merchant_id, watched_since, foster } = moment;
    if let Some(place) = key.cases.iter().position(|case| case.ends_by_itself_at() == Some(due)) {
        let case = key.cases.remove(place);
        out.changes.push(Change { alert: case.end(due, "quiet"), foster });
        return true;
    }
    for rule in &world.rules.rules {
        let open = key.cases.iter().position(|c| *c.alert.rule == *rule.name);
        let facts = world.facts.key(&key.features.key_id);
        let still = Still { facts, key: &key.features, watched_since };
        if rule.detector.due(&still, open.is_some()) != Some(due) {
            continue;
        }
        let env = facts.and_then(|f| f.env).or(key.features.env);
        match (rule.detector.on_timer(due, &still, open.is_some()), open) {
            (Verdict::Sign(sign), None) if rule.matcher.matches(env, merchant_id, &key.features.key_id) => {
                let hint = facts.and_then(|f| f.hint.as_deref()).or(key.features.hint.as_deref());
                let about = About { merchant_id, key_id: &key.features.key_id, key_hint: hint };
                let case = OpenCase::open(rule, about, &sign, None, now);
                out.changes.push(Change { alert: case.record(), foster });
                key.cases.push(case);
                return true;
            }
            (Verdict::End(at), Some(place)) => {
                let case = key.cases.remove(place);
                out.changes.push(Change { alert: case.end(at, "over"), foster });
                return true;
            }
            _ => {}
        }
    }
    false
}

#[derive(Default)]
struct Judged {
    reschedule: bool,
    cases_dropped: u64,
    networks_forgotten: u64,
}

/// Counts an event in the key's features, lets the rules judge it, then learns from it.
fn judge(
    subject: &mut Subject,
    place: usize,
    admitted: &Admitted<'_>,
    lateness: Millis,
    world: World<'_>,
    out: &mut Output,
) -> Judged {
    let Admitted { event, late, now, .. } = admitted;
    let (ts, count) = (event.ts, u64::from(event.count));
    let Subject { id, merchant, keys, .. } = subject;
    let merchant_id = merchant_of(id);
    let Key { features, cases, .. } = &mut keys[place];
    let mut judged = Judged { reschedule: features.first_seen.is_none(), ..Judged::default() };
    let facts = world.facts.key(&features.key_id);
    let accepted = event.outcome == Outcome::Ok;
    if features.hint.is_none() || event.key_hint.as_deref().is_some_and(|hint| features.hint.as_deref() != Some(hint)) {
        features.hint = event.key_hint.as_deref().map(Into::into).or(features.hint.take());
    }
    features.env = event.key_env.or(features.env);
    if accepted && !late {
        features.rates.add(ts, event.count, lateness);
    }
    let network = event.source_ip.map(Network::of);
    let key_env = facts.and_then(|f| f.env).or(features.env);

    for rule in &world.rules.rules {
        if *late && rule.detector.needs_window() {
            continue;
        }
        let windows = match rule.detector.window_odds() {
            Some(odds) if accepted && !late => features.rates.windows(ts, odds),
            _ => None,
        };
        let sight = Sight { event, key_env, facts, key: features, merchant, network, windows };
        match rule.detector.on_event(&sight) {
            Verdict::Nothing => {}
            Verdict::End(at) => {
                if let Some(open) = cases.iter().position(|c| *c.alert.rule == *rule.name) {
                    let case = cases.remove(open);
                    out.changes.push(Change { alert: case.end(at, "over"), foster: false });
                    judged.reschedule = true;
                }
            }
            Verdict::Sign(sign) => {
                if !rule.matcher.matches(key_env, merchant_id, &features.key_id) {
                    continue;
                }
                let hint = facts.and_then(|f| f.hint.as_deref()).or(features.hint.as_deref());
                let about = About { merchant_id, key_id: &features.key_id, key_hint: hint };
                judged.take_sign(cases, rule, about, &sign, event, *now, out);
            }
        }
    }

    if !late {
        features.first_seen = Some(features.first_seen.map_or(ts, |at| at.min(ts)));
    }
    features.last_seen = Some(features.last_seen.map_or(ts, |at| at.max(ts)));
    if !accepted {
        features.refused += count;
        features.count_day(ts, 0, count);
        return judged;
    }
    features.count_day(ts, count, 0);
    if features.last_accepted.is_none() {
        judged.reschedule = true;
    }
    features.last_accepted = Some(features.last_accepted.map_or(ts, |at| at.max(ts)));
    if let Some(network) = network {
        let known = features.networks.get(network).copied();
        let suspect = match known {
            Some(seen) => seen.suspect && !(ts - seen.first_at >= DAY && seen.calls + count >= 20),
            None => features.knows_its_networks(ts) && !merchant.networks.trusts(network),
        };
        judged.networks_forgotten += u64::from(features.networks.learn(network, ts, count, suspect, NETWORKS_PER_KEY));
        if !suspect {
            features.networks.clear(network);
            judged.networks_forgotten +=
                u64::from(merchant.networks.learn(network, ts, count, false, NETWORKS_PER_MERCHANT));
        }
    }
    features.accepted += count;
    judged
}

impl Judged {
    #[expect(clippy::too_many_arguments, reason = "one call site; a struct of these would say no more")]
    fn take_sign(
        &mut self,
        cases: &mut Vec<OpenCase>,
        rule: &Rule,
        about: About<'_>,
        sign: &Sign,
        event: &AuthEvent<'_>,
        now: Millis,
        out: &mut Output,
    ) {
        let open = cases.iter().position(|c| *c.alert.rule == *rule.name && *c.part == *sign.part);
        match open {
            Some(place) => {
                let case = &mut cases[place];
                if case.join(rule, sign, event) {
                    out.changes.push(Change { alert: case.record(), foster: false });
                }
            }
            None if cases.len() >= CASES_PER_KEY => self.cases_dropped += 1,
            None => {
                let case = OpenCase::open(rule, about, sign, Some(event), now);
                out.changes.push(Change { alert: case.record(), foster: false });
                cases.push(case);
                self.reschedule = true;
            }
        }
    }
}
