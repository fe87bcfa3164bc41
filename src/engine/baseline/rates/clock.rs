//! Which clock a key's day follows: that of its merchant's zone, or one that is never put forward or back, as cron jobs have it.
//!
//! Facts tell the zone. What the key does is shown only once the zone's clocks change: from then on the hours that come are
//! compared with what both clocks would expect (the sequential probability ratio test of A. Wald, Annals of Mathematical Statistics
//! 16, 1945), and until one of them has won neither too many nor too few is told of what the other expects.

use super::{HOUR, MINUTE, Millis, Rates};
use crate::engine::baseline::profile;

/// What a key has shown of its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyClock {
    /// Minutes by which the zone's clock is ahead of the one that is used.
    pub lag: i16,
    /// Minutes by which the other possible clock is ahead of the one that is used; 0 where there is no doubt.
    pub other: i16,
    /// How much likelier the used one is: ln of the odds.
    pub lead: f32,
    /// Hours that were compared.
    pub hours: u16,
    /// It has shown that it does not change with its zone.
    pub stays: bool,
}

/// By how much clocks are put forward or back. What differs by more is another zone.
const CHANGES: [i64; 2] = [30, 60];
/// The lead that decides, and how much one hour adds at most: one odd hour must not.
const DECIDES: f32 = 5.0;
const HOUR_DECIDES: f64 = 2.0;
/// Where so many hours have not decided, both clocks say about the same.
const HOURS_MAX: u16 = 14 * 24;

impl Rates {
    /// What the key has shown of its clock.
    pub fn clock(&self) -> KeyClock {
        self.clock
    }

    /// Goes on with what was stored of it.
    pub fn set_clock(&mut self, clock: KeyClock) {
        self.clock = clock;
        self.work_out();
    }

    /// Takes up what the zone's clock is ahead of UTC, as facts tell it.
    pub(super) fn zone_tells(&mut self, offset: Millis) {
        let lag = (offset - self.offset) / MINUTE;
        let change = lag - i64::from(self.clock.lag);
        if change == 0 {
            return;
        }
        if self.profile.days_learned() == 0 {
            (self.offset, self.clock) = (offset, KeyClock::default());
        } else if self.clock.stays || !CHANGES.contains(&change.abs()) {
            // Its hours are known by the clock that is used, whatever its zone is called.
            self.clock.lag = lag as i16;
        } else {
            self.offset += change * MINUTE;
            self.clock = KeyClock { lag: self.clock.lag, other: -change as i16, ..KeyClock::default() };
        }
    }

    /// The clocks that the key may follow: the used one, and the other where there is doubt.
    pub(super) fn clocks(&self) -> impl Iterator<Item = Millis> {
        let other = (self.clock.other != 0).then(|| self.other_offset());
        std::iter::once(self.offset).chain(other)
    }

    fn other_offset(&self) -> Millis {
        self.offset + i64::from(self.clock.other) * MINUTE
    }

    /// Compares an hour's calls with what both clocks expect.
    pub(super) fn compare_clocks(&mut self, hour: i64, calls: f64) {
        // In the first week a still Sunday says nothing of the clock.
        if self.clock.other == 0 || !self.profile.knows_weeks() {
            return;
        }
        let likelihood = |offset: Millis| {
            // ln of the negative binomial's probability, without what does not depend on the mean.
            let mu = self.profile.expected(profile::hour_of(hour * HOUR, offset)).max(0.05);
            let alpha = self.gross_alpha();
            calls * (mu / (1.0 + alpha * mu)).ln() - (1.0 + alpha * mu).ln() / alpha
        };
        let lead = likelihood(self.offset) - likelihood(self.other_offset());
        self.clock.lead += lead.clamp(-HOUR_DECIDES, HOUR_DECIDES) as f32;
        self.clock.hours += 1;
        if self.clock.lead <= -DECIDES {
            self.offset = self.other_offset();
            let lag = self.clock.lag - self.clock.other;
            self.clock = KeyClock { lag, stays: true, ..KeyClock::default() };
        } else if DECIDES <= self.clock.lead || HOURS_MAX <= self.clock.hours {
            self.clock = KeyClock { lag: self.clock.lag, ..KeyClock::default() };
        }
    }
}
