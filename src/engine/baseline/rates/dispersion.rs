//! How much a key's counts scatter beyond Poisson: clump·mu + alpha·mu² is the variance of a count that is expected to be mu.

use super::{FLEET_DAYS, FLEET_HOURS, FLEET_SOME, FLEET_TENS, HOUR, HOURS, MINUTE, Millis, Rates};
use crate::engine::baseline::scatter::{Clumps, Prior, Scatter};
use crate::engine::fleet::Trait;

/// Where calls come in rows that stand for many, a row is what comes at once, whatever it stands for.
const ROW_CLUMP: f64 = 3.0;
const HALF_AN_HOUR: Millis = 30 * MINUTE;
/// The least part of what is believed of others' scatter that is believed of a machine's.
const STEADIEST: f64 = 0.02;
/// Fewer expected calls than this are taken for this many: of nothing, nothing can be said.
const LEAST: f64 = 0.05;
/// What is believed of the scatter towards too few before it was seen, and the least of it, in times the whole.
const STILL_PRIOR: f64 = 0.5;
const STILL_LEAST: f64 = 0.1;
/// By how much twice the part below is less than the whole, as the gamma's skew makes it: within 3 % up to a dispersion of 0.3.
const STILL_SKEW: f64 = 0.7;

impl Rates {
    /// How large clumps are, and what scatters beyond Poisson by itself.
    pub fn clumps(&self) -> [f32; 5] {
        [self.clumps.squares, self.clumps.calls, self.ten.mean, self.hour.mean, self.day.mean]
    }

    /// Goes on with what was stored of that.
    pub fn set_clumps(&mut self, [squares, calls, ten, hour, day]: [f32; 5]) {
        self.clumps = Clumps { squares, calls };
        (self.ten.mean, self.hour.mean, self.day.mean) = (ten, hour, day);
        self.believe_sides_alike();
    }

    /// Calls that come at once, as far as it matters to counts of such a length.
    fn clump(&self, length: Millis) -> f64 {
        match length {
            _ if self.is_in_rows() => ROW_CLUMP,
            ..HALF_AN_HOUR => self.clumps.size_of_minutes(self.hour),
            _ => self.clumps.size_of_hours(self.hour),
        }
    }

    /// The dispersion of a count that is expected to be `mu`, in windows of such a length.
    pub(super) fn dispersion(&self, length: Millis, mu: f64) -> f64 {
        self.alpha(length) + self.of_clumps(length, mu)
    }

    /// The part of it that comes of clumps.
    pub(super) fn of_clumps(&self, length: Millis, mu: f64) -> f64 {
        (self.clump(length) - 1.0) / mu.max(LEAST)
    }

    /// What scatters beyond clumps: between the lengths that are learned.
    pub(super) fn alpha(&self, length: Millis) -> f64 {
        match length / MINUTE {
            ..=10 => self.alpha_ten(),
            11..=30 => (self.alpha_ten() * self.alpha_hour()).sqrt(),
            31..=60 => self.alpha_hour(),
            // What makes a whole day busy stays; what makes single hours busy evens out.
            61..=120 => self.alpha_some() + 0.25 * (self.alpha_hour() - self.alpha_some()).max(0.0),
            121..=180 => self.alpha_some(),
            181..=360 => {
                self.alpha_day() + (self.alpha_some() - self.alpha_day()).max(0.0) * 3.0 * HOUR as f64 / length as f64
            }
            _ => self.alpha_day(),
        }
    }

    /// The same of what lies below: sales, retries and attacks scatter upwards only. As much less in every length of time as it is in hours,
    /// twice the part below being the whole where both sides are alike (the semivariance; Markowitz, *Portfolio Selection*, 1959, chapter 9).
    pub(super) fn alpha_of_still(&self, length: Millis) -> f64 {
        if self.is_in_rows() {
            return self.alpha(length);
        }
        let prior = Prior { alpha: STILL_PRIOR * self.prior(Trait::Hour).alpha, weight: FLEET_HOURS };
        let clump = self.known_clump(HOUR);
        // The part below is that of calls, not of calls beyond Poisson.
        let below = Scatter { excess: 2.0 * self.below - self.hour.mean, ..self.hour };
        let own = below.alpha(prior, self.mean_hour(), clump);
        let own = own * (1.0 + STILL_SKEW * own.sqrt());
        self.alpha(length) * (own / self.alpha_hour()).clamp(STILL_LEAST, 1.0)
    }

    fn alpha_ten(&self) -> f64 {
        self.ten.alpha(self.prior(Trait::Ten), self.mean_hour() / 6.0, self.known_clump(10 * MINUTE))
    }

    fn alpha_some(&self) -> f64 {
        let [hour, day] = [Trait::Hour, Trait::Day].map(|of| self.prior(of).alpha);
        let prior = Prior { alpha: day + (hour - day).max(0.0) / 3.0, weight: FLEET_SOME };
        self.some.alpha(prior, self.mean_hour() * 3.0, self.known_clump(HOUR))
    }

    pub(super) fn alpha_hour(&self) -> f64 {
        self.hour.alpha(self.prior(Trait::Hour), self.mean_hour(), self.known_clump(HOUR))
    }

    /// What scatters with clumps taken for scatter.
    pub(super) fn gross_alpha(&self) -> f64 {
        self.hour.alpha(self.prior(Trait::Hour), self.mean_hour(), 1.0)
    }

    pub(super) fn alpha_day(&self) -> f64 {
        self.day.alpha(self.prior(Trait::Day), self.mean_hour() * HOURS as f64, self.known_clump(HOUR))
    }

    /// What of the scatter is clumps, as far as they were seen. Rows are taken for clumps as well as for scatter.
    pub(super) fn known_clump(&self, length: Millis) -> f64 {
        match length {
            _ if self.is_in_rows() => 1.0,
            ..HOUR => self.clumps.size(),
            _ => self.clumps.size().min(self.hour.times_poisson()).max(0.0),
        }
    }

    fn prior(&self, of: Trait) -> Prior {
        let weight = match of {
            Trait::Ten => FLEET_TENS,
            Trait::Day => FLEET_DAYS,
            _ => FLEET_HOURS,
        };
        // What calls by the clock in one respect does so in others.
        let steady = self.hour.times_poisson().clamp(STEADIEST, 1.0);
        Prior { alpha: self.known.fleet.value(of) * steady, weight }
    }
}
