//! What of a shard is to be stored, what comes back, and what may leave memory.

use crate::engine::hash::of_text;
use crate::engine::shard::{Shard, World};
use crate::engine::subject::Subject;
use crate::time::Millis;

impl Shard {
    /// Puts a stored subject in memory, adds the keys that only facts know, and forgets the rules that are gone.
    /// `next_due` is the timer that the store has for it.
    pub fn insert(&mut self, subject: Subject, next_due: Option<Millis>, world: World<'_>) {
        if self.contains(&subject.id) {
            return;
        }
        let at = self.add(subject);
        self.believe_fleet(at, world);
        self.slot_mut(at).stored_due = next_due;
        self.forget_rules_that_are_gone(at, world);
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

    /// Goes on with a subject that was learned elsewhere, in this shard for want of traffic.
    pub fn foster_known(&mut self, subject: Subject, world: World<'_>) {
        if self.contains(&subject.id) {
            return;
        }
        let at = self.add(Subject { foster: true, current_to: 0, ..subject });
        self.believe_fleet(at, world);
        self.mark_dirty(at);
        self.forget_rules_that_are_gone(at, world);
        self.learn_keys(at, world);
        self.schedule(at, world);
    }

    /// What the fleet is like is not stored with each key.
    fn believe_fleet(&mut self, at: u32, world: World<'_>) {
        self.slot_mut(at).subject.keys.iter_mut().for_each(|key| key.features.rates.believe(world.fleet));
    }

    /// Begins a checkpoint: what is dirty now. Each must be passed to [`Shard::take_dirty`] once.
    pub fn begin_checkpoint(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// Hands out a dirty subject to be stored as it stands now, with its next timer, and calls it clean.
    pub fn take_dirty<T>(&mut self, at: u32, store: impl FnOnce(&mut Subject, Option<Millis>) -> T) -> T {
        let slot = self.slot_mut(at);
        slot.dirty = false;
        let due = slot.due();
        slot.stored_due = due;
        store(&mut slot.subject, due)
    }

    /// Subjects that changed since the last checkpoint began.
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Drops clean subjects that were not touched lately and have no timer before `keep_timers_before`, until at most
    /// `keep` are left or none can go. One whose timer moved since it was stored becomes dirty, to go after the next. Only to be called while no slice is being written.
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
            // Its timer has moved since it was stored: under the old one nobody would find it in time.
            if self.slots[at].as_ref().is_some_and(|slot| slot.due() != slot.stored_due) {
                self.mark_dirty(at as u32);
                continue;
            }
            if let Some(slot) = self.slots[at].take() {
                if let Ok(entry) = self.index.find_entry(of_text(&slot.subject.id), |entry| entry.at == at as u32) {
                    entry.remove();
                }
                self.free.push(at as u32);
                evicted += 1;
            }
        }
        evicted
    }
}
