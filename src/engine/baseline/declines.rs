//! How many of a key's last payments were declined: who tries out stolen cards has most of them declined, whoever bills has few.

use serde::{Deserialize, Serialize};

use crate::time::{HOUR, Millis};

/// The status of a payment that the card's bank declined (RFC 9110, section 15.5.3; what payment APIs answer then).
const PAYMENT_REQUIRED: u16 = 402;
/// So large a part of the calls says that cards are tried out, and so many of them at least.
const MOST: f64 = 0.7;
const LEAST: u32 = 15;

/// Accepted calls of an hour by the clock and of the one before, and those of them that were declined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declines {
    /// Hours since 1970.
    pub hour: i32,
    /// Calls of the hour before and of this one.
    pub calls: [u32; 2],
    /// Those that were declined.
    pub declined: [u32; 2],
}

impl Declines {
    /// Counts accepted calls at `at`. What comes late for its hour counts to the present one.
    pub fn add(&mut self, at: Millis, calls: u32, status: Option<u16>) {
        let hour = at.div_euclid(HOUR).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        match hour.saturating_sub(self.hour) {
            ..=0 => {}
            1 => *self = Declines { hour, calls: [self.calls[1], 0], declined: [self.declined[1], 0] },
            _ => *self = Declines { hour, ..Declines::default() },
        }
        self.calls[1] = self.calls[1].saturating_add(calls);
        if status == Some(PAYMENT_REQUIRED) {
            self.declined[1] = self.declined[1].saturating_add(calls);
        }
    }

    /// Those of the last one to two hours that were declined, and all calls, where most were.
    pub fn most(self) -> Option<[u32; 2]> {
        let [declined, calls] = [self.declined, self.calls].map(|[before, now]| before.saturating_add(now));
        (LEAST <= declined && MOST * f64::from(calls) <= f64::from(declined)).then_some([declined, calls])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY, MINUTE};

    #[test]
    fn most_of_the_last_hours_calls_are_declined_or_not() {
        let at = 20_000 * DAY;
        for (what, calls, want) in [
            ("cards are tried out", &[(0, 20, 402), (1, 4, 200)][..], true),
            ("a bill run with its declines", &[(0, 300, 200), (1, 60, 402)], false),
            ("a few", &[(0, 14, 402)], false),
            ("across the hour", &[(50, 10, 402), (70, 10, 402)], true),
            ("hours ago", &[(0, 40, 402), (130, 3, 200)], false),
            ("bills in the hour before", &[(0, 40, 200), (70, 20, 402)], false),
            ("a large shop with its declines", &[(0, 1_000_000, 402), (1, 900_000, 200)], false),
        ] {
            let mut declines = Declines::default();
            calls.iter().for_each(|(minute, n, status)| declines.add(at + minute * MINUTE, *n, Some(*status)));
            assert_eq!(declines.most().is_some(), want, "{what}: {declines:?}");
        }
    }
}
