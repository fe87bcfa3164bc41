//! What rules with a condition count for a key: matching events in a sliding window, for each rule and group.
//!
//! A window is counted in twelfths: the sum is of the newest twelfth, which is still filling, and the eleven before it,
//! so that no event older than the window counts, and one in the last eleven twelfths of it always does. A tally is kept
//! under the hash of what it counts, so that an edit of anything else loses nothing.

use crate::time::Millis;

/// Tallies of one key; the one that has been still for longest makes room.
pub const TALLIES_PER_KEY: usize = 32;
/// Parts that a window is counted in.
pub const PARTS: usize = 12;

/// Matching events of one rule and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Hash of what is counted.
    pub of: u64,
    /// The group; empty = the whole key.
    pub group: Box<str>,
    /// Number of the newest part since 1970.
    pub newest: i64,
    /// The newest event.
    pub last_at: Millis,
    /// Events of the newest part and those before it, by the part's number modulo [`PARTS`].
    pub counts: [u32; PARTS],
}

/// The tallies of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies(pub Vec<Tally>);

impl Tallies {
    /// Counts `count` events at `at` and says how many the window that ends there holds. Also whether another tally had
    /// to be forgotten for it.
    pub fn add(&mut self, of: u64, group: &str, at: Millis, count: u32, window: Millis) -> (u64, bool) {
        let part = at.div_euclid((window / PARTS as i64).max(1));
        let mut forgotten = false;
        let place = match self.0.iter().position(|tally| tally.of == of && *tally.group == *group) {
            Some(place) => place,
            None => {
                if self.0.len() >= TALLIES_PER_KEY
                    && let Some(oldest) = (0..self.0.len()).min_by_key(|place| self.0[*place].last_at)
                {
                    self.0.swap_remove(oldest);
                    forgotten = true;
                }
                self.0.push(Tally { of, group: group.into(), newest: part, last_at: at, counts: [0; PARTS] });
                self.0.len() - 1
            }
        };
        let tally = &mut self.0[place];
        for skipped in (tally.newest + 1).max(part - PARTS as i64 + 1)..=part {
            tally.counts[slot(skipped)] = 0;
        }
        tally.newest = tally.newest.max(part);
        tally.last_at = tally.last_at.max(at);
        // What comes later than the window is in no part of it.
        if tally.newest - part < PARTS as i64 {
            let slot = &mut tally.counts[slot(part)];
            *slot = slot.saturating_add(count);
        }
        (tally.counts.iter().map(|count| u64::from(*count)).sum(), forgotten)
    }
}

fn slot(part: i64) -> usize {
    part.rem_euclid(PARTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, MINUTE};

    #[test]
    fn a_window_holds_what_is_in_it() {
        let mut tallies = Tallies::default();
        for (minute, expected) in [(0, 1), (1, 2), (59, 3), (60, 2), (61, 3), (130, 1), (129, 2), (10, 2), (1000, 1)] {
            let (count, forgotten) = tallies.add(7, "", minute * MINUTE, 1, HOUR);
            assert_eq!((count, forgotten), (expected, false), "minute {minute}");
        }
        assert_eq!(tallies.add(7, "other", 0, 5, HOUR), (5, false), "a group of its own");
        assert_eq!(tallies.add(8, "", 0, 2, HOUR), (2, false), "another rule");
    }

    #[test]
    fn the_stillest_makes_room() {
        let mut tallies = Tallies::default();
        for n in 0..TALLIES_PER_KEY as i64 {
            assert!(!tallies.add(1, &n.to_string(), n * MINUTE, 1, HOUR).1);
        }
        assert_eq!(tallies.add(1, "0", HOUR, 1, HOUR), (1, false), "it is not the stillest any more");
        assert_eq!(tallies.add(1, "new", HOUR, 1, HOUR), (1, true));
        assert_eq!(tallies.0.len(), TALLIES_PER_KEY);
        assert!(tallies.0.iter().all(|tally| &*tally.group != "1"));
    }
}
