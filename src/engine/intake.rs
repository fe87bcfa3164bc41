//! The front of a partition: duplicates, stream time, and events from the future. Hands on what is to be judged now.

use std::collections::VecDeque;

use crate::engine::baseline::networks::Network;
use crate::engine::clock::{AHEAD, Placement, StreamClock};
use crate::engine::dedup::Dedup;
use crate::event::AuthEvent;
use crate::time::Millis;

/// The bounds that the intake keeps.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// How far out of order events may come.
    pub lateness: Millis,
    /// Event IDs remembered.
    pub dedup_ids: usize,
    /// Events from the future held.
    pub parked_events: usize,
}

/// An event to be judged now.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// The message that made it due: its own offset, or that of the message which proved a parked one right.
    pub offset: i64,
    /// The event.
    pub event: AuthEvent<'a>,
    /// Earlier than stream time by more than the lateness.
    pub late: bool,
    /// Stream time with this event.
    pub now: Millis,
}

/// What the intake counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Events seen before.
    pub duplicates: u64,
    /// Events later than the lateness.
    pub late: u64,
    /// Events that were held because they lay too far ahead.
    pub parked: u64,
    /// Held events that the bound pushed out unjudged.
    pub parked_dropped: u64,
}

/// One held event.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// The event.
    pub event: AuthEvent<'static>,
    /// Whether the stream has gone on in the old time since: then only agreement frees it.
    pub contradicted: bool,
}

/// Duplicates, stream time and parking of one partition (or of one file).
#[derive(Debug)]
pub struct Intake {
    limits: IntakeLimits,
    clock: StreamClock,
    dedup: Dedup,
    parked: VecDeque<Parked>,
    /// The earliest of them; `Millis::MAX` without any. Spares the walk through them at every event.
    earliest_parked: Millis,
    /// Whether any of them is not contradicted yet.
    any_fresh: bool,
    counts: IntakeCounts,
}

impl Intake {
    /// An intake that has come to `now` and still holds `parked`.
    pub fn new(limits: IntakeLimits, now: Option<Millis>, parked: Vec<Parked>) -> Self {
        // What is held and was not contradicted is the run that the clock has seen.
        let run = parked.iter().filter(|p| !p.contradicted).count() as u32;
        Intake {
            limits,
            clock: StreamClock::at(now, run),
            dedup: Dedup::new(limits.dedup_ids),
            earliest_parked: parked.iter().map(|p| p.event.ts).min().unwrap_or(Millis::MAX),
            any_fresh: parked.iter().any(|p| !p.contradicted),
            parked: parked.into(),
            counts: IntakeCounts::default(),
        }
    }

    /// Stream time.
    pub fn now(&self) -> Option<Millis> {
        self.clock.now()
    }

    /// How far out of order events may come.
    pub fn lateness(&self) -> Millis {
        self.limits.lateness
    }

    /// What was counted.
    pub fn counts(&self) -> IntakeCounts {
        self.counts
    }

    /// Events that are held, oldest first.
    pub fn parked(&self) -> impl ExactSizeIterator<Item = &Parked> {
        self.parked.iter()
    }

    /// The time of the first event that is held and that nothing contradicts.
    pub fn first_parked(&self) -> Option<Millis> {
        self.parked.iter().filter(|parked| !parked.contradicted).map(|parked| parked.event.ts).min()
    }

    /// Notes an event ID without judging the event: the messages before a stored position, read again after a start.
    pub fn remember(&mut self, event_id: &str) {
        self.dedup.seen(event_id);
    }

    /// Reads ahead for these event IDs, which are about to be taken in.
    pub fn warm<'e>(&self, event_ids: impl Iterator<Item = &'e str>) {
        self.dedup.warm(event_ids);
    }

    /// Takes one event in. What is to be judged now is added to `out`, in order.
    #[inline]
    pub fn admit<'a>(&mut self, offset: i64, event: AuthEvent<'a>, out: &mut Vec<Admitted<'a>>) {
        if let Some(id) = &event.event_id
            && self.dedup.seen(id)
        {
            self.counts.duplicates += 1;
            return;
        }
        match self.clock.observe(event.ts, self.limits.lateness) {
            Placement::Ahead => self.park(offset, event, out),
            placement => {
                self.contradict();
                let late = placement == Placement::Late;
                self.counts.late += u64::from(late);
                let now = self.clock.now().unwrap_or(event.ts);
                out.push(Admitted { offset, event, late, now });
                if self.earliest_parked <= now + AHEAD {
                    self.free(offset, out, |p| p.event.ts <= now + AHEAD);
                }
            }
        }
    }

    /// The input has come to its end for now: what is held, was not contradicted and is not after `not_after` is
    /// judged. `offset` is that of the last message.
    pub fn end_of_input<'a>(&mut self, offset: i64, not_after: Millis, out: &mut Vec<Admitted<'a>>) {
        self.free(offset, out, |p| !p.contradicted && p.event.ts <= not_after);
    }

    fn park<'a>(&mut self, offset: i64, event: AuthEvent<'a>, out: &mut Vec<Admitted<'a>>) {
        self.counts.parked += 1;
        if self.parked.len() >= self.limits.parked_events {
            self.parked.pop_front();
            self.counts.parked_dropped += 1;
        }
        self.earliest_parked = self.earliest_parked.min(event.ts);
        self.any_fresh = true;
        self.parked.push_back(Parked { event: event.into_owned(), contradicted: false });
        let others: Vec<(Millis, u64)> = self.parked.iter().map(|p| (p.event.ts, witness(&p.event))).collect();
        if let Some(believed) = self.clock.believes(&others) {
            self.free(offset, out, |p| p.event.ts <= believed + AHEAD);
            self.contradict();
        }
    }

    /// The stream has gone on in a time that is not the parked events'.
    fn contradict(&mut self) {
        if self.any_fresh {
            self.parked.iter_mut().for_each(|p| p.contradicted = true);
            self.any_fresh = false;
        }
    }

    fn free<'a>(&mut self, offset: i64, out: &mut Vec<Admitted<'a>>, which: impl Fn(&Parked) -> bool) {
        let mut kept = VecDeque::new();
        for parked in self.parked.drain(..) {
            if !which(&parked) {
                kept.push_back(parked);
                continue;
            }
            let before = self.clock.now();
            self.clock.jump(parked.event.ts);
            let now = self.clock.now().unwrap_or(parked.event.ts);
            let late = before.is_some_and(|before| parked.event.ts < before - self.limits.lateness);
            self.counts.late += u64::from(late);
            out.push(Admitted { offset, event: parked.event, late, now });
        }
        self.earliest_parked = kept.iter().map(|p| p.event.ts).min().unwrap_or(Millis::MAX);
        self.any_fresh = kept.iter().any(|p| !p.contradicted);
        self.parked = kept;
    }
}

/// Who an event speaks for when it comes to the time: its merchant, else its key, else its network.
fn witness(event: &AuthEvent<'_>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    match (&event.merchant_id, &event.key_id, &event.source_ip) {
        (Some(merchant), _, _) => (0u8, merchant.as_ref()).hash(&mut hasher),
        (None, Some(key), _) => (1u8, key.as_ref()).hash(&mut hasher),
        (None, None, Some(address)) => (2u8, Network::of(*address).to_bits()).hash(&mut hasher),
        (None, None, None) => 3u8.hash(&mut hasher),
    }
    hasher.finish()
}
