//! The timers of a shard: when subjects are looked at although nothing happens to them.

use std::cmp::Reverse;

use crate::engine::detect::Watch;
use crate::engine::judge::{Around, Moment, Timer, fire_one, timers};
use crate::engine::shard::{Output, Shard, Slot, World};
use crate::engine::subject::{Key, Subject, merchant_of};
use crate::time::Millis;

/// The next of a subject's timers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    due: Millis,
    wakes_at: Millis,
}

impl Next {
    /// Of one key.
    pub(super) fn of_key(keys: &[Key], place: usize, around: Around<'_>, lateness: Millis) -> Option<Self> {
        Next::of(timers(keys, place, around), lateness)
    }

    /// The earliest due one, and the one that wakes first, which may be another.
    fn of(timers: impl Iterator<Item = Timer>, lateness: Millis) -> Option<Self> {
        timers
            .map(|timer| Next { due: timer.due, wakes_at: timer.wakes_at(lateness) })
            .reduce(|a, b| Next { due: a.due.min(b.due), wakes_at: a.wakes_at.min(b.wakes_at) })
    }
}

pub(super) fn around<'a>(subject: &'a Subject, watch: Watch, world: World<'a>) -> Around<'a> {
    Around { merchant_id: subject.merchant_id(), merchant: &subject.merchant, watch, world }
}

/// How far time has come for the timers of a subject.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    /// What is due before this fires.
    pub(super) before: Millis,
    /// What is prompt fires up to this.
    pub(super) prompt_to: Millis,
    /// The largest event time that has been read.
    pub(super) read: Millis,
}

impl Reached {
    fn fires(self, timer: Timer) -> bool {
        timer.due < self.before || (timer.is_prompt && timer.due <= self.prompt_to)
    }
}

impl Shard {
    /// The next timer of a subject that is not in memory, by the facts and rules as they are.
    pub fn due_of(&self, subject: &Subject, world: World<'_>) -> Option<Millis> {
        self.next_of(subject, world).map(|next| next.due)
    }

    pub(super) fn next_of(&self, subject: &Subject, world: World<'_>) -> Option<Next> {
        let around = around(subject, self.watch, world);
        let all = (0..subject.keys.len()).flat_map(|place| timers(&subject.keys, place, around));
        Next::of(all, self.lateness)
    }

    /// Fires what is due by the lateness before `by`, and what is prompt and due by `by`: stream time, or where the shard
    /// is live stream time and what has elapsed since. `read` is the largest event time that has been read.
    pub fn advance(&mut self, by: Millis, read: Millis, world: World<'_>, out: &mut Output) {
        self.end_sources(read, out);
        if self.is_silent_at(by) {
            self.note_gap();
        }
        let reached = Reached { before: by.saturating_sub(self.lateness), prompt_to: by, read };
        self.wake(by, reached, world, out);
    }

    /// Fires all that is due up to `until`, though no event has shown that time has come so far.
    pub fn pass(&mut self, until: Millis, read: Millis, world: World<'_>, out: &mut Output) {
        if let Some(silent_at) = self.silence_due().filter(|at| *at <= until) {
            self.pass_to(silent_at, read, world, out);
            self.note_gap();
        }
        self.pass_to(until, read, world, out);
    }

    fn pass_to(&mut self, until: Millis, read: Millis, world: World<'_>, out: &mut Output) {
        let reached = Reached { before: until.saturating_add(1), prompt_to: until, read };
        self.wake(until.saturating_add(self.lateness + 1), reached, world, out);
    }

    fn wake(&mut self, by: Millis, reached: Reached, world: World<'_>, out: &mut Output) {
        let mut woken = Vec::new();
        while let Some(&Reverse((wakes_at, at))) = self.timers.peek()
            && wakes_at <= by
        {
            self.timers.pop();
            let is_due = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.wakes_at == wakes_at);
            if self.slots.get(at as usize).is_some_and(is_due) {
                woken.push((at, self.fire(at, reached, world, out)));
            }
        }
        for (at, next) in woken {
            self.schedule_at(at, next);
        }
    }

    /// The stream time at which a timer of a subject in memory may fire, the earliest of them.
    pub fn next_timer(&self) -> Option<Millis> {
        self.timers.peek().map(|Reverse((wakes_at, _))| *wakes_at)
    }

    /// Fires the subject's timers that time has come for, in order for each key. Returns its next one.
    pub(super) fn fire(&mut self, at: u32, reached: Reached, world: World<'_>, out: &mut Output) -> Option<Next> {
        let watch = self.watch;
        let turn = self.turn;
        let slot = self.slot_mut(at);
        slot.touched = turn;
        let Subject { id, keys, merchant, foster, .. } = &mut slot.subject;
        let around = Around { merchant_id: merchant_of(id), merchant, watch, world };
        let moment = Moment { now: reached.read, around, foster: *foster };
        let (mut fired, mut cases_dropped) = (false, 0);
        for place in 0..keys.len() {
            loop {
                let next = timers(keys, place, around).filter(|timer| reached.fires(*timer)).min();
                let Some(timer) = next else { break };
                let (something, dropped) = fire_one(keys, place, timer, moment, out);
                if !something {
                    break;
                }
                cases_dropped += dropped;
                fired = true;
            }
        }
        (slot.scheduled, slot.wakes_at) = (Millis::MAX, Millis::MAX);
        self.counts.cases_dropped += cases_dropped;
        if fired {
            self.mark_dirty(at);
        }
        // Whatever would not fire is looked at again later, not for ever at the same moment.
        self.next_of(&self.slot(at).subject, world).map(|next| Next {
            due: next.due.max(reached.before),
            wakes_at: next.wakes_at.max(reached.prompt_to.saturating_add(1)),
        })
    }

    pub(super) fn schedule(&mut self, at: u32, world: World<'_>) {
        let next = self.next_of(&self.slot(at).subject, world);
        self.schedule_at(at, next);
    }

    pub(super) fn schedule_at(&mut self, at: u32, next: Option<Next>) {
        let Some(next) = next else { return };
        let slot = self.slot_mut(at);
        slot.scheduled = slot.scheduled.min(next.due);
        if next.wakes_at < slot.wakes_at {
            slot.wakes_at = next.wakes_at;
            self.timers.push(Reverse((next.wakes_at, at)));
        }
    }
}
