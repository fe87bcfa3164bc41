//! When a folder that changes may be read: after nothing in it has moved for a while. Whoever writes several files, one
//! after the other, means them as one version.

use crate::time::{MINUTE, Millis};

/// A folder whose looks are the same is still read so often: what a network's file system says of a file may be old.
pub const VERIFY_EVERY: Millis = MINUTE;

/// What has been seen of a folder. `P` is how it looked: compared, and nothing else. Times are of any clock that only rises.
#[derive(Debug)]
pub struct Watch<P> {
    settle: Millis,
    seen: P,
    moving: Option<Moving>,
    read_at: Millis,
}

#[derive(Clone, Copy, Debug)]
struct Moving {
    since: Millis,
    last: Millis,
}

/// What to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Still,
    /// It changes since then: wait.
    Changing(Millis),
    /// It has changed and came to rest: read it.
    Settled,
    /// It looks the same for long: see that it is. If not, say [`Watch::disturb`].
    Verify,
}

impl<P: PartialEq> Watch<P> {
    /// A folder that was read at `now`, having looked so.
    pub fn new(settle: Millis, seen: P, now: Millis) -> Self {
        Watch { settle, seen, moving: None, read_at: now }
    }

    /// How it looks now.
    pub fn look(&mut self, seen: P, now: Millis) -> Look {
        if seen != self.seen {
            self.seen = seen;
            return self.disturb(now);
        }
        match self.moving {
            Some(moving) if now - moving.last < self.settle => Look::Changing(moving.since),
            Some(_) => {
                self.was_read(now);
                Look::Settled
            }
            None if now - self.read_at < VERIFY_EVERY => Look::Still,
            None => {
                self.was_read(now);
                Look::Verify
            }
        }
    }

    /// Something in it has changed, whatever it looked like.
    pub fn disturb(&mut self, now: Millis) -> Look {
        let since = self.moving.map_or(now, |moving| moving.since);
        self.moving = Some(Moving { since, last: now });
        Look::Changing(since)
    }

    /// It was read for another reason, having looked so: nothing is waited for any more.
    pub fn read_as(&mut self, seen: P, now: Millis) {
        self.seen = seen;
        self.was_read(now);
    }

    fn was_read(&mut self, now: Millis) {
        self.moving = None;
        self.read_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Millis = 5_000;

    /// Looks at the folder in turn: time, how it looks, what is to be done.
    fn check(looks: &[(Millis, &str, Look)]) {
        let mut watch = Watch::new(SETTLE, "a", 0);
        for (now, seen, expected) in looks {
            assert_eq!(watch.look(*seen, *now), *expected, "{seen} at {now}");
        }
    }

    #[test]
    fn a_change_is_read_once_when_nothing_moved_for_long_enough() {
        use Look::{Changing, Settled, Still};
        check(&[
            (2_000, "a", Still),
            (4_000, "b", Changing(4_000)),
            (8_999, "b", Changing(4_000)),
            (9_000, "b", Settled),
            (11_000, "b", Still),
        ]);
    }

    #[test]
    fn each_further_change_begins_the_wait_anew() {
        use Look::{Changing, Settled, Still};
        check(&[
            (2_000, "four files, one written", Changing(2_000)),
            (4_000, "two written", Changing(2_000)),
            (8_000, "three written", Changing(2_000)),
            (12_000, "four written", Changing(2_000)),
            (16_000, "four written", Changing(2_000)),
            (17_000, "four written", Settled),
            (18_000, "four written", Still),
        ]);
    }

    #[test]
    fn what_was_taken_back_is_read_too() {
        use Look::{Changing, Settled};
        // Whoever read it in between may have seen the other.
        check(&[(1_000, "b", Changing(1_000)), (2_000, "a", Changing(1_000)), (7_000, "a", Settled)]);
    }

    #[test]
    fn a_folder_that_looks_the_same_is_seen_to_be() {
        use Look::{Changing, Settled, Still, Verify};
        let mut watch = Watch::new(SETTLE, "a", 0);
        assert_eq!(watch.look("a", VERIFY_EVERY - 1), Still);
        assert_eq!(watch.look("a", VERIFY_EVERY), Verify);
        assert_eq!(watch.look("a", VERIFY_EVERY + 1), Still);
        let now = 2 * VERIFY_EVERY;
        assert_eq!(watch.look("a", now), Verify);
        assert_eq!(watch.disturb(now), Changing(now));
        assert_eq!(watch.look("a", now + SETTLE - 1), Changing(now));
        assert_eq!(watch.look("a", now + SETTLE), Settled);
    }

    #[test]
    fn what_was_asked_for_is_not_read_again() {
        let mut watch = Watch::new(SETTLE, "a", 0);
        assert_eq!(watch.look("b", 1_000), Look::Changing(1_000));
        watch.read_as("c", 2_000);
        assert_eq!(watch.look("c", 20_000), Look::Still);
    }
}
