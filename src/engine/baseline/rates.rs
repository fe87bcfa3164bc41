//! How many accepted calls a key makes: counts of ten minutes, an hour-of-day profile, and how scattered they are.
//!
//! Buckets are aligned to the clock and filled by event time, so that order within the lateness does not matter. A
//! bucket is learned when the key's own messages have passed its end by the lateness.

use crate::engine::baseline::negative_binomial;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// Length of a bucket.
pub const BUCKET: Millis = 10 * MINUTE;
const RING: usize = 16;
const PER_HOUR: i64 = HOUR / BUCKET;
/// Hours that lie back further than this are not learned one by one: a key silent for so long starts afresh anyway.
const CATCH_UP_HOURS: i64 = 21 * 24;
/// The weight that a new day has in the profile once many have been seen.
const SLOWEST_LEARNING: f32 = 0.1;
/// Prior of the dispersion (variance of the rate over its squared mean) and its weight in observations.
const PRIOR_ALPHA: f64 = 0.5;
const PRIOR_WEIGHT: f64 = 24.0;
/// How fast old scatter is forgotten, per observation.
const SCATTER_DECAY: f64 = 0.998;
/// The fixed level beyond which a count is held out of learning, whatever the rules say.
const HOLD_OUT_ODDS: f64 = 1e-6;

/// What is remembered of a key's counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// The ten-minute counts, by bucket number modulo their number.
    ring: [u32; RING],
    /// Bucket number of the newest count, -1 before the first.
    newest: i64,
    /// Hours before this number are learned, -1 before the first.
    learned_to: i64,
    /// Expected calls in each hour of the day (UTC).
    profile: [f32; 24],
    /// Days that each hour of the profile has been learned from, up to 255.
    days: [u8; 24],
    /// Scatter of the hours and of the ten minutes: sums of (x-mu)²-mu and of mu².
    scatter_hour: Scatter,
    scatter_ten: Scatter,
    /// Limits for the newest bucket, where they were asked for. Nothing they depend on changes while it is the newest.
    limits: Option<Box<Limits>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Limits {
    bucket: i64,
    odds: f64,
    ten: u64,
    hour: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Scatter {
    excess: f64,
    square: f64,
}

impl Scatter {
    fn learn(&mut self, x: f64, mu: f64) {
        self.excess = self.excess * SCATTER_DECAY + (x - mu) * (x - mu) - mu;
        self.square = self.square * SCATTER_DECAY + mu * mu;
    }

    /// Method of moments, shrunk towards the prior.
    fn alpha(self, typical: f64) -> f64 {
        let weight = PRIOR_WEIGHT * (typical * typical).max(0.25);
        ((self.excess + PRIOR_ALPHA * weight) / (self.square + weight)).clamp(0.01, 10.0)
    }
}

/// How a window's count compares with what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Start of the window.
    pub starts_at: Millis,
    /// Its length.
    pub length: Millis,
    /// Calls so far.
    pub observed: u64,
    /// Calls expected in the whole window.
    pub expected: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Rates {
            ring: [0; RING],
            newest: -1,
            learned_to: -1,
            profile: [0.0; 24],
            days: [0; 24],
            scatter_hour: Scatter::default(),
            scatter_ten: Scatter::default(),
            limits: None,
        }
    }
}

/// The plain numbers of [`Rates`], for the stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct RatesParts {
    /// Ten-minute counts.
    pub ring: [u32; RING],
    /// Newest bucket.
    pub newest: i64,
    /// First hour not yet learned.
    pub learned_to: i64,
    /// Expected calls by hour of day.
    pub profile: [f32; 24],
    /// Days behind each hour.
    pub days: [u8; 24],
    /// Scatter of hours and ten minutes: excess, square, excess, square.
    pub scatter: [f64; 4],
}

impl Rates {
    /// Takes the numbers apart.
    pub fn to_parts(&self) -> RatesParts {
        RatesParts {
            ring: self.ring,
            newest: self.newest,
            learned_to: self.learned_to,
            profile: self.profile,
            days: self.days,
            scatter: [
                self.scatter_hour.excess,
                self.scatter_hour.square,
                self.scatter_ten.excess,
                self.scatter_ten.square,
            ],
        }
    }

    /// Puts them together again.
    pub fn from_parts(parts: RatesParts) -> Self {
        let [a, b, c, d] = parts.scatter;
        Rates {
            ring: parts.ring,
            newest: parts.newest,
            learned_to: parts.learned_to,
            profile: parts.profile,
            days: parts.days,
            scatter_hour: Scatter { excess: a, square: b },
            scatter_ten: Scatter { excess: c, square: d },
            limits: None,
        }
    }

    /// Reads from each part of the memory that counting and judging will read.
    pub(in crate::engine) fn touch(&self) -> u64 {
        let profile = u64::from((self.profile[0] + self.profile[12] + self.profile[23]).to_bits());
        let ring = self.ring[0] ^ self.ring[RING / 2] ^ self.ring[RING - 1];
        profile ^ u64::from(ring) ^ u64::from(self.days[0] ^ self.days[23]) ^ self.newest as u64
    }

    /// Counts accepted calls at `at`. What is older than the ring is not counted.
    pub fn add(&mut self, at: Millis, calls: u32, lateness: Millis) {
        let bucket = at.div_euclid(BUCKET);
        if self.newest < 0 {
            self.newest = bucket;
            self.learned_to = bucket.div_euclid(PER_HOUR);
        }
        if bucket > self.newest {
            self.learn_to(at, lateness);
            for gone in (self.newest + 1)..=bucket.min(self.newest + RING as i64) {
                self.ring[slot(gone)] = 0;
            }
            if bucket - self.newest > RING as i64 {
                self.ring = [0; RING];
            }
            self.newest = bucket;
        } else if self.newest - bucket >= RING as i64 {
            return;
        }
        let count = &mut self.ring[slot(bucket)];
        *count = count.saturating_add(calls);
    }

    /// Learns every whole hour that ended at least `lateness` before `at`.
    fn learn_to(&mut self, at: Millis, lateness: Millis) {
        let closed_to = (at - lateness).div_euclid(HOUR);
        if closed_to - self.learned_to > CATCH_UP_HOURS {
            self.learned_to = closed_to - CATCH_UP_HOURS;
        }
        while self.learned_to < closed_to {
            let hour = self.learned_to;
            self.learn_hour(hour);
            self.learned_to += 1;
        }
    }

    fn learn_hour(&mut self, hour: i64) {
        let of_day = hour.rem_euclid(24) as usize;
        let mu = f64::from(self.profile[of_day]);
        let known = self.days[of_day] > 0;
        let buckets = hour * PER_HOUR..(hour + 1) * PER_HOUR;
        let mut total: f64 = buckets.clone().map(|bucket| self.count_of(bucket) as f64).sum();
        // No limit is so low that it would hold an ordinary hour out: only the others are worth the sum of its terms.
        let ceiling = if known && total > ordinary(mu, self.alpha_hour()) {
            negative_binomial::limit(mu, self.alpha_hour(), HOLD_OUT_ODDS) as f64
        } else {
            f64::MAX
        };
        for bucket in buckets {
            let x = self.count_of(bucket) as f64;
            if known {
                self.scatter_ten.learn(x.min(ceiling), mu / PER_HOUR as f64);
            }
        }
        total = total.min(ceiling);
        if known {
            self.scatter_hour.learn(total, mu);
        }
        let weight = (1.0 / (f32::from(self.days[of_day]) + 1.0)).max(SLOWEST_LEARNING);
        self.profile[of_day] += weight * (total as f32 - self.profile[of_day]);
        self.days[of_day] = self.days[of_day].saturating_add(1);
    }

    fn count_of(&self, bucket: i64) -> u64 {
        let age = self.newest - bucket;
        if (0..RING as i64).contains(&age) { u64::from(self.ring[slot(bucket)]) } else { 0 }
    }

    fn mean_hour(&self) -> f64 {
        self.profile.iter().map(|x| f64::from(*x)).sum::<f64>() / 24.0
    }

    fn alpha_hour(&self) -> f64 {
        self.scatter_hour.alpha(self.mean_hour())
    }

    fn alpha_ten(&self) -> f64 {
        self.scatter_ten.alpha(self.mean_hour() / PER_HOUR as f64)
    }

    /// Full days that the profile has been learned from.
    pub fn days_learned(&self) -> u8 {
        self.days.iter().copied().min().unwrap_or(0)
    }

    /// Calls expected in a usual day.
    pub fn usual_day(&self) -> f64 {
        self.mean_hour() * (DAY / HOUR) as f64
    }

    /// The newest ten minutes and their hour. `None` unless `at` lies in the newest bucket.
    pub fn windows(&self, at: Millis) -> Option<[Window; 2]> {
        let bucket = at.div_euclid(BUCKET);
        if bucket != self.newest {
            return None;
        }
        let hour = bucket.div_euclid(PER_HOUR);
        // A little of both neighbours: work does not start at the full hour.
        let of_day = hour.rem_euclid(24) as usize;
        let near = |offset: usize| f64::from(self.profile[(of_day + offset) % 24]);
        let mu = near(0).max(0.5 * (near(1) + near(23)) * 0.5).max(1e-3);
        let in_hour = (hour * PER_HOUR..=bucket).map(|b| self.count_of(b)).sum();
        Some([
            Window {
                starts_at: bucket * BUCKET,
                length: BUCKET,
                observed: self.count_of(bucket),
                expected: mu / PER_HOUR as f64,
            },
            Window { starts_at: hour * HOUR, length: HOUR, observed: in_hour, expected: mu },
        ])
    }

    /// The smallest counts of these windows that are rarer than `odds`. Costs a thousand times what the windows do, so it is
    /// to be asked only where the counts could matter at all.
    pub fn limits(&mut self, windows: &[Window; 2], odds: f64) -> [u64; 2] {
        let [ten, hour] = windows;
        let bucket = ten.starts_at.div_euclid(BUCKET);
        match self.limits.as_deref() {
            Some(known) if known.bucket == bucket && known.odds == odds => [known.ten, known.hour],
            _ => {
                let ten = negative_binomial::limit(ten.expected, self.alpha_ten(), odds);
                let hour = negative_binomial::limit(hour.expected, self.alpha_hour(), odds);
                self.limits = Some(Box::new(Limits { bucket, odds, ten, hour }));
                [ten, hour]
            }
        }
    }
}

/// A count that no limit for [`HOLD_OUT_ODDS`] lies below: one call, or the mean and two standard deviations.
fn ordinary(mu: f64, alpha: f64) -> f64 {
    (mu + 2.0 * (mu + alpha * mu * mu).sqrt()).max(1.0)
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(RING as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const LATENESS: Millis = 5 * MINUTE;

    #[test]
    fn a_steady_key_has_a_tight_limit_and_a_silent_night() {
        let mut rates = Rates::default();
        let start = 20_000 * DAY;
        for minute in 0..14 * 24 * 60 {
            let at = start + minute * MINUTE;
            let hour = at.div_euclid(HOUR).rem_euclid(24);
            if (8..20).contains(&hour) {
                rates.add(at, 2, LATENESS);
            }
        }
        let noon = start + 14 * DAY + 12 * HOUR + 9 * MINUTE;
        rates.add(noon, 1, LATENESS);
        let windows = rates.windows(noon).unwrap();
        let ([ten, hour], [limit, _]) = (windows, rates.limits(&windows, 1e-6));
        assert!((ten.expected - 20.0).abs() < 1.0, "{ten:?}");
        assert!((hour.expected - 120.0).abs() < 5.0, "{hour:?}");
        assert!(limit > 25 && limit < 120, "{ten:?} {limit}");
        let night = start + 15 * DAY + 3 * HOUR;
        rates.add(night, 1, LATENESS);
        let windows = rates.windows(night).unwrap();
        let ([ten, _], [limit, _]) = (windows, rates.limits(&windows, 1e-6));
        assert!(ten.expected < 1.0 && limit < 20, "{ten:?} {limit}");
    }

    #[test]
    fn no_ordinary_hour_is_held_out() {
        for alpha in [0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0] {
            for step in 0..120 {
                let mu = 1e-3 * 1.2_f64.powi(step);
                let limit = negative_binomial::limit(mu, alpha, HOLD_OUT_ODDS) as f64;
                assert!(limit >= ordinary(mu, alpha), "mu {mu}, alpha {alpha}: {limit} < {}", ordinary(mu, alpha));
            }
        }
    }

    #[test]
    fn order_within_the_lateness_does_not_matter() {
        let start = 20_000 * DAY;
        let times: Vec<Millis> = (0..4000).map(|i| start + i * 97 * SECOND).collect();
        let mut shuffled = times.clone();
        for pair in shuffled.chunks_mut(2) {
            pair.reverse();
        }
        let (mut a, mut b) = (Rates::default(), Rates::default());
        times.iter().for_each(|t| a.add(*t, 1, LATENESS));
        shuffled.iter().for_each(|t| b.add(*t, 1, LATENESS));
        b.add(*times.last().unwrap() + DAY, 1, LATENESS);
        a.add(*times.last().unwrap() + DAY, 1, LATENESS);
        assert_eq!(a.profile, b.profile);
    }
}
