//! What a key's counts teach the fleet.

use super::{FLEET_DAYS, FLEET_HOURS, FLEET_TENS, HOUR, HOURS, MINUTE, Millis, Rates};
use crate::engine::fleet::{Trait, Traits};

const TEN: Millis = 10 * MINUTE;
/// Fewer expected calls in ten minutes tell nothing of bursts: one call more is a step too large.
const BURST_OF: f64 = 2.0;
/// Days after which the largest ten minutes are worth telling.
const BURST_DAYS: u8 = 7;

impl Rates {
    /// What the key is like by its own counts, where they tell.
    pub fn teaches(&self) -> Traits {
        if self.is_in_rows() {
            return Traits::default();
        }
        let mean = self.mean_hour();
        let busiest = self.profile.busiest() / 6.0;
        let tells = BURST_OF <= busiest && BURST_DAYS <= self.days_learned() && !self.is_bursty();
        Traits::default()
            .with(Trait::Ten, self.ten.own(FLEET_TENS, mean / 6.0, self.known_clump(TEN)))
            .with(Trait::Hour, self.hour.own(FLEET_HOURS, mean, self.known_clump(HOUR)))
            .with(Trait::Day, self.day.own(FLEET_DAYS, mean * HOURS as f64, self.known_clump(HOUR)))
            .with(Trait::Tail, self.tail.own())
            .with(Trait::Burst, tells.then(|| f64::from(self.peak_ten) / busiest))
    }
}
