//! Values that accepted calls had, such as programs and endpoints: a bounded book of those seen, by their hash.
//!
//! What comes up after the key was learned is young: it is trusted when it has lasted. Times are kept in minutes, since
//! nothing is asked of them more exactly.

use crate::engine::subject::reserve_little;
use crate::time::{DAY, MINUTE, Millis};

/// A young value is trusted after a day with so many calls.
const CALLS_OF_A_DAY: u32 = 10;
/// The same where they come from a network that is not trusted either: as many as that takes.
const SUSPECT_CALLS: u32 = 20;

/// One value in a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenValue {
    /// Hash of the value.
    pub hash: u32,
    /// First accepted call, in minutes since 1970.
    pub first_minute: u32,
    /// Last accepted call, in minutes since 1970.
    pub last_minute: u32,
    /// Accepted calls.
    pub calls: u32,
    /// Came up after the key was learned, and has not lasted yet.
    pub is_young: bool,
}

/// How a value compares with those that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newness {
    /// There is no value, or too little is known to say.
    #[default]
    Unknown,
    /// It has been seen, and lasted.
    Known,
    /// It came up a while ago: first call, and calls so far.
    Young {
        /// First accepted call.
        first_at: Millis,
        /// Accepted calls so far.
        calls: u32,
    },
    /// It has never been seen.
    New,
}

impl Newness {
    /// New, or not yet trusted.
    pub fn is_novel(self) -> bool {
        matches!(self, Newness::New | Newness::Young { .. })
    }

    /// When it came up, if that is `ts` or before.
    pub fn first_at(self, ts: Millis) -> Millis {
        match self {
            Newness::Young { first_at, .. } => first_at.min(ts),
            _ => ts,
        }
    }

    /// Calls with it, this one among them.
    pub fn calls(self, count: u32) -> u64 {
        match self {
            Newness::Young { calls, .. } => u64::from(calls) + u64::from(count),
            _ => u64::from(count),
        }
    }
}

/// The values that accepted calls had. When full, the one unused for longest goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueBook {
    seen: Vec<SeenValue>,
    /// Values were forgotten: what is not here may have been seen all the same.
    is_overfull: bool,
}

impl ValueBook {
    /// A book with these entries.
    pub fn from_entries(seen: Vec<SeenValue>, is_overfull: bool) -> Self {
        ValueBook { seen, is_overfull }
    }

    /// The entries, in the order they were first seen.
    pub fn entries(&self) -> &[SeenValue] {
        &self.seen
    }

    /// Whether values were forgotten.
    pub fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    /// How a value compares. Where values were forgotten nothing is new.
    pub fn newness(&self, hash: u32) -> Newness {
        match self.seen.iter().find(|s| s.hash == hash) {
            Some(s) if s.is_young => Newness::Young { first_at: i64::from(s.first_minute) * MINUTE, calls: s.calls },
            Some(_) => Newness::Known,
            None if self.is_overfull || self.seen.is_empty() => Newness::Unknown,
            None => Newness::New,
        }
    }

    /// Whether a value is there and trusted.
    pub fn trusts(&self, hash: u32) -> bool {
        self.seen.iter().any(|s| s.hash == hash && !s.is_young)
    }

    /// Counts accepted calls with a value. `is_learned` = the key is known so well that what comes up now is young.
    /// `is_suspect` = the calls come from a network that is not trusted: what a thief uses does not become usual by age.
    pub fn learn(&mut self, hash: u32, at: Millis, calls: u32, (is_learned, is_suspect): (bool, bool), cap: usize) {
        let minute = u32::try_from(at.div_euclid(MINUTE)).unwrap_or(0);
        if let Some(s) = self.seen.iter_mut().find(|s| s.hash == hash) {
            s.first_minute = s.first_minute.min(minute);
            s.last_minute = s.last_minute.max(minute);
            s.calls = s.calls.saturating_add(calls);
            if s.is_young {
                let age = i64::from(s.last_minute - s.first_minute) * MINUTE;
                let has_lasted = match is_suspect {
                    true => DAY <= age && SUSPECT_CALLS <= s.calls,
                    false => 7 * DAY <= age || (DAY <= age && CALLS_OF_A_DAY <= s.calls),
                };
                s.is_young = !has_lasted;
            }
            return;
        }
        if self.seen.len() >= cap
            && let Some(oldest) = (0..self.seen.len()).min_by_key(|&i| (self.seen[i].last_minute, self.seen[i].hash))
        {
            self.seen.remove(oldest);
            self.is_overfull = true;
        }
        reserve_little(&mut self.seen);
        let is_young = is_learned && !self.is_overfull;
        self.seen.push(SeenValue { hash, first_minute: minute, last_minute: minute, calls, is_young });
    }

    /// Whether a trusted value was used at `at` or later.
    pub fn usual_was_used_since(&self, at: Millis) -> bool {
        self.seen.iter().any(|s| !s.is_young && at <= i64::from(s.last_minute) * MINUTE)
    }

    /// Values first seen after `since`.
    pub fn new_since(&self, since: Millis) -> usize {
        self.seen.iter().filter(|s| since < i64::from(s.first_minute) * MINUTE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_up_late_is_young_until_it_has_lasted() {
        let mut book = ValueBook::default();
        assert_eq!(book.newness(1), Newness::Unknown, "nothing is known");
        book.learn(1, 0, 1, (false, false), 4);
        assert_eq!((book.newness(1), book.newness(2)), (Newness::Known, Newness::New));
        book.learn(2, 10 * DAY, 1, (true, false), 4);
        assert_eq!(book.newness(2), Newness::Young { first_at: 10 * DAY, calls: 1 });
        book.learn(2, 10 * DAY + MINUTE, 20, (true, false), 4);
        assert!(!book.trusts(2), "not for a day yet");
        book.learn(2, 11 * DAY, 1, (true, false), 4);
        assert!(book.trusts(2));
        // Thrice, days apart, from networks that nobody trusts: as what a thief uses. A home makes it usual.
        for day in [12, 20, 28] {
            book.learn(3, day * DAY, 3, (true, true), 4);
            assert!(!book.trusts(3), "{day}");
        }
        let mut moved = book.clone();
        book.learn(3, 29 * DAY, 1, (true, false), 4);
        moved.learn(3, 29 * DAY, 11, (true, true), 4);
        assert!(book.trusts(3) && moved.trusts(3), "twenty calls are a move");
    }

    #[test]
    fn where_values_are_forgotten_nothing_is_new() {
        let mut book = ValueBook::default();
        for hash in 0..4 {
            book.learn(hash, i64::from(hash) * MINUTE, 1, (false, false), 4);
        }
        assert_eq!(book.newness(9), Newness::New);
        book.learn(4, DAY, 1, (true, false), 4);
        assert_eq!((book.newness(9), book.newness(0)), (Newness::Unknown, Newness::Unknown));
        assert_eq!(book.entries().len(), 4);
    }
}
