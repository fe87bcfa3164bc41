//! Stream time: how far event time has come in a partition, judged by the stream alone (laws 4 and 5).

use crate::time::{DAY, Millis};

/// How far ahead of stream time an event may be before it is parked.
pub const AHEAD: Millis = DAY;
/// A run of this many messages that are all ahead is believed, even from one subject.
pub const LONG_RUN: u32 = 32;

/// Where an event lies in relation to stream time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Within the lateness.
    OnTime,
    /// Earlier than stream time by more than the lateness: only rules without a window judge it.
    Late,
    /// More than [`AHEAD`] ahead, or the stream has no time yet: held until others agree.
    Ahead,
}

/// The stream time of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamClock {
    now: Option<Millis>,
    /// Messages in a row that were ahead.
    run: u32,
}

impl StreamClock {
    /// A clock that has come to `now` and since then has seen `run` messages that were ahead.
    pub fn at(now: Option<Millis>, run: u32) -> Self {
        StreamClock { now, run }
    }

    /// Stream time; `None` before any event was believed.
    pub fn now(&self) -> Option<Millis> {
        self.now
    }

    /// Places an event, and moves on where it is on time.
    pub fn observe(&mut self, ts: Millis, lateness: Millis) -> Placement {
        match self.now {
            Some(now) if ts <= now + AHEAD => {
                self.run = 0;
                self.now = Some(now.max(ts));
                if ts < now - lateness { Placement::Late } else { Placement::OnTime }
            }
            _ => {
                self.run += 1;
                Placement::Ahead
            }
        }
    }

    /// Whether a parked event is to be believed, given the others that are parked.
    ///
    /// It is when another subject is parked at about the same time, or when the stream has sent nothing else for long.
    pub fn believes(&self, parked: &[(Millis, u64)]) -> Option<Millis> {
        let (newest, who) = *parked.last()?;
        let near = |at: Millis| (at - newest).abs() <= AHEAD;
        let agreed = parked.iter().any(|(at, other)| *other != who && near(*at));
        (agreed || self.run >= LONG_RUN).then_some(newest)
    }

    /// Moves stream time forward to an event that is believed.
    pub fn jump(&mut self, to: Millis) {
        self.now = Some(self.now.map_or(to, |now| now.max(to)));
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, MINUTE};

    const LATENESS: Millis = 5 * MINUTE;
    const T: Millis = 20_000 * DAY;

    #[test]
    fn events_are_placed_by_the_stream() {
        let mut clock = StreamClock::at(Some(T), 0);
        for (ts, want, now) in [
            (T + HOUR, Placement::OnTime, T + HOUR),
            (T + HOUR - LATENESS, Placement::OnTime, T + HOUR),
            (T + HOUR - LATENESS - 1, Placement::Late, T + HOUR),
            (T + HOUR + AHEAD + 1, Placement::Ahead, T + HOUR),
            (T + HOUR + AHEAD, Placement::OnTime, T + HOUR + AHEAD),
        ] {
            assert_eq!(clock.observe(ts, LATENESS), want);
            assert_eq!(clock.now(), Some(now));
        }
    }

    #[test]
    fn a_wrong_clock_needs_a_witness() {
        let mut clock = StreamClock::at(Some(T), 0);
        let far = T + 1000 * DAY;
        assert_eq!(clock.observe(far, LATENESS), Placement::Ahead);
        assert_eq!(clock.believes(&[(far, 1)]), None, "one message is nothing");
        assert_eq!(clock.believes(&[(far, 1), (far + 1, 1)]), None, "the same subject again is nothing");
        assert_eq!(clock.believes(&[(far, 1), (far + HOUR, 2)]), Some(far + HOUR), "another subject agrees");
        assert_eq!(clock.believes(&[(far, 1), (far + 9 * DAY, 2)]), None, "two wrong clocks differ");
    }

    #[test]
    fn a_long_run_is_believed() {
        let mut clock = StreamClock::at(Some(T), 0);
        for i in 0..LONG_RUN {
            assert_eq!(clock.believes(&[(T + 9 * DAY, 1)]), None, "{i}");
            clock.observe(T + 9 * DAY, LATENESS);
        }
        assert_eq!(clock.believes(&[(T + 9 * DAY, 1)]), Some(T + 9 * DAY));
    }
}
