//! What a whole hour teaches, once no message can add to it any more.

use super::{HOUR, HOURS, MINUTE, Millis, PER_HOUR, PER_TEN, Rates, Surroundings, foreseen_slot};
use crate::engine::baseline::negative_binomial::{self, surprise_high, surprise_low};
use crate::engine::baseline::profile::{self, pack};
use crate::engine::baseline::scatter::DECAY as SCATTER_DECAY;

/// Hours that lie back further than this are not learned one by one: a key silent for so long starts afresh anyway.
const CATCH_UP_HOURS: i64 = 21 * 24;
/// The fixed odds beyond which a count is held out of learning.
pub(super) const HOLD_OUT_ODDS: f64 = 1e-4;
/// The same for hours with far fewer calls: -ln of the odds.
const HOLD_OUT_LOW: f64 = 11.5;
/// After so many such hours in a row it is how the key is now.
const HELD_HOURS_MAX: u8 = 72;
/// Calls that stand for the usual level, and the bounds of it.
const LEVEL_PRIOR: f32 = 30.0;
const LEVELS: [f64; 2] = [0.67, 1.4];
/// Half of what is known of the present level is forgotten in two days.
const LEVEL_DECAY: f32 = 0.985_7;
/// One hour moves the level no more than this many times its expected calls.
const LEVEL_STEP: f64 = 2.0;
/// Days after which hours teach scatter; longer windows do once every hour of the week was seen.
const SCATTER_FROM_DAY: u8 = 3;
/// How many standard deviations of an hour teach scatter: an episode that is not usual must not make itself usual.
const SCATTER_CLIP: f64 = 2.5;
/// The same for ten minutes: bursts are how some keys work.
const TEN_CLIP: f64 = 4.0;
/// Ten minutes with fewer expected calls tell nothing of scatter within the hour.
const TEN_FROM: f64 = 0.3;
/// Hours with fewer calls do not tell whether they came in a burst.
const BURST_FROM: f64 = 8.0;
const BURST_WEIGHT: f32 = 0.1;
/// By how much the share of the largest of six tens of minutes, and of the largest that begin anywhere, is larger than a sixth by chance,
/// in times one over the root of the clumps in the hour: within 0.03 of the means of eight to 400 (by simulation).
const OF_SIX: f64 = 0.6;
const OF_ANY: f64 = 0.79;
/// Hours with fewer calls are no job of a month, however unusual they are.
const JOB_FROM: f64 = 10.0;
/// Hours with fewer expected calls tell nothing of the tail: one call more is a step too large.
const TAIL_FROM: f64 = 2.0;
/// The surprise of one hour that teaches the tail at most.
const TAIL_CLIP: f64 = 5.0;
/// The largest hour is forgotten by a half in five months: what runs once a month is still known the next time.
const PEAK_DECAY: f32 = 0.999_8;
/// The largest ten minutes by a half in two weeks.
const PEAK_TEN_DECAY: f32 = 0.998;

impl Rates {
    /// Learns every whole hour that ended at least by the lateness before `at`.
    pub(super) fn learn_to(&mut self, at: Millis, around: Surroundings<'_>, zone: impl Fn(Millis) -> Millis) {
        let Surroundings { lateness, unseen, .. } = around;
        let closed_to = (at - lateness).div_euclid(HOUR);
        if closed_to <= self.learned_to {
            return;
        }
        if closed_to - self.learned_to > CATCH_UP_HOURS {
            self.learned_to = closed_to - CATCH_UP_HOURS;
        }
        while self.learned_to < closed_to {
            let hour = self.learned_to;
            let is_unseen = unseen.is_some_and(|(from, to)| from < (hour + 1) * HOUR && hour * HOUR < to);
            self.learn_hour(hour, is_unseen);
            if hour.rem_euclid(7 * 24) == 0 {
                self.forget_silences();
            }
            self.learned_to += 1;
            self.zone_tells(zone((hour + 1) * HOUR));
        }
        let to = self.learned_to;
        self.before = [5, 23].map(|n| (to - n..to).map(|hour| self.foreseen(hour)).sum::<f64>() as f32);
        self.work_out();
    }

    fn learn_hour(&mut self, hour: i64, is_unseen: bool) {
        let total = self.ring_hour(hour) as f64;
        self.hours[hour.rem_euclid(HOURS as i64) as usize] = pack(total as f32);
        self.foreseen[foreseen_slot(hour)] = pack(self.expected_high(hour) as f32);
        if self.learn_long_records(hour) {
            self.lows.turn();
        }
        if is_unseen {
            self.lows.skip();
            self.so_far = [f32::NEG_INFINITY; 2];
            return;
        }
        self.compare_clocks(hour, total);
        let on_its_clock = profile::hour_of(hour * HOUR, self.offset);
        let mu = self.profile.expected(on_its_clock);
        let days_learned = self.profile.days_learned();
        let is_known = days_learned > 0;
        // The first weekend is not held against working days.
        let knows_like = self.profile.knows_days_like(on_its_clock);
        let mut learned = total;
        let tens: [f64; 6] = std::array::from_fn(|ten| {
            let from = hour * PER_HOUR + ten as i64 * PER_TEN;
            self.count_from(from, from + PER_TEN - 1) as f64
        });
        self.so_far.iter_mut().for_each(|calls| *calls += mu as f32);
        let busiest = tens.iter().copied().fold(0.0, f64::max);
        self.peak_ten = (self.peak_ten * PEAK_TEN_DECAY).max(busiest as f32);
        if is_known {
            let alpha = self.dispersion(HOUR, mu);
            if knows_like && total > ordinary(mu, alpha) {
                learned = total.min(negative_binomial::limit(mu, alpha, HOLD_OUT_ODDS) as f64);
            }
            let deviation = (mu + alpha * mu * mu).sqrt();
            let ceiling = (mu + SCATTER_CLIP * deviation).max(1.0);
            let usual = mu / 6.0;
            for x in tens {
                if TEN_FROM <= usual {
                    let clip = usual + TEN_CLIP * (usual + self.dispersion(10 * MINUTE, usual) * usual * usual).sqrt();
                    self.ten.learn(x.min(clip.max(2.0)), usual);
                }
            }
            if total <= learned {
                self.clumps.learn(&tens);
            }
            if BURST_FROM <= total {
                // Rows stand for minutes of the clock.
                let (ten, larger) =
                    if self.is_in_rows() { (busiest, OF_SIX) } else { (self.busiest_ten_of(hour), OF_ANY) };
                let share = ten / total - by_chance(larger, total / self.clumps.size());
                self.bursts += BURST_WEIGHT * (share as f32 - self.bursts);
            }
            let is_job = learned < total && JOB_FROM <= total;
            self.months.learn(on_its_clock, is_job, days_learned);
            if is_job && !self.is_in_rows() {
                self.runs.learn(on_its_clock, &tens, total);
            }
            if knows_like
                && total < mu
                && surprise_low(total as u64, mu, alpha) > HOLD_OUT_LOW
                && self.held < HELD_HOURS_MAX
            {
                self.held += 1;
                self.lows.skip();
                return;
            }
            self.held = 0;
            self.learn_lows(hour);
            if TAIL_FROM <= mu {
                self.tail.learn(surprise_high(learned as u64, mu, alpha).min(TAIL_CLIP));
            }
            // What was expected of the first days is a guess.
            if self.is_in_rows() || SCATTER_FROM_DAY < self.profile.days_learned() {
                self.hour.learn(learned.min(ceiling), mu);
                self.below = self.below * SCATTER_DECAY + (mu - learned).max(0.0).powi(2) as f32;
            }
            self.level[0] = self.level[0] * LEVEL_DECAY + learned.min(LEVEL_STEP * mu + 1.0) as f32;
            self.level[1] = self.level[1] * LEVEL_DECAY + mu as f32;
            self.learn_longer(hour, on_its_clock);
        }
        self.profile.learn(on_its_clock, total, learned);
        self.known.mean_hour = self.profile.mean_hour() as f32;
        self.peak = (self.peak * PEAK_DECAY).max(total as f32);
    }

    /// How the last day or so compares with what is usual, within bounds: growth and busy days are no spike.
    pub(super) fn level(&self) -> f64 {
        let [calls, expected] = self.level;
        level_of(calls, expected, LEVEL_PRIOR)
    }

    /// The same before an hour of the last day began: what has come, or stayed away, since is not held against itself.
    pub(super) fn level_before(&self, from: i64) -> f64 {
        let [mut calls, mut expected] = self.level;
        let mut weight = 1.0;
        // Hours that are held out of learning have not moved it.
        for hour in (from..self.learned_to - i64::from(self.held)).rev() {
            let mu = self.profile.expected(profile::hour_of(hour * HOUR, self.offset));
            calls -= weight * self.hour_total(hour).min(LEVEL_STEP * mu + 1.0) as f32;
            expected -= weight * mu as f32;
            weight *= LEVEL_DECAY;
        }
        level_of(calls.max(0.0), expected.max(0.0), weight * LEVEL_PRIOR)
    }

    /// The largest ten minutes of an hour, wherever they begin. A run that goes on into the next hour began as late in the hour before: the
    /// hour's end and its beginning lie side by side.
    fn busiest_ten_of(&self, hour: i64) -> f64 {
        let buckets: [u64; PER_HOUR as usize] = std::array::from_fn(|n| self.count_of(hour * PER_HOUR + n as i64));
        let mut ten: u64 = buckets[..PER_TEN as usize].iter().sum();
        let mut busiest = ten;
        for (n, leaves) in buckets.iter().enumerate() {
            ten = ten + buckets[(n + PER_TEN as usize) % buckets.len()] - leaves;
            busiest = busiest.max(ten);
        }
        busiest as f64
    }

    /// Learns how three hours and days scatter that end with an hour.
    fn learn_longer(&mut self, hour: i64, on_its_clock: i64) {
        for (place, n) in [3, 24].into_iter().enumerate() {
            if on_its_clock.rem_euclid(n) != n - 1 {
                continue;
            }
            let mu = f64::from(std::mem::take(&mut self.so_far[place]));
            let is_known = self.profile.knows_weeks() || (self.is_in_rows() && 1 < self.profile.days_learned());
            if mu.is_finite() && is_known {
                let x: f64 = (hour - n + 1..=hour).map(|hour| self.hour_total(hour)).sum();
                let alpha = self.dispersion(n * HOUR, mu);
                let of = if n == 3 { &mut self.some } else { &mut self.day };
                of.learn(x.min(mu + SCATTER_CLIP * (mu + alpha * mu * mu).sqrt()), mu);
            }
        }
    }
}

fn level_of(calls: f32, expected: f32, prior: f32) -> f64 {
    f64::from((calls + prior) / (expected + prior)).clamp(LEVELS[0], LEVELS[1])
}

/// A count that no limit for [`HOLD_OUT_ODDS`] lies below: one call, or the mean and two standard deviations.
pub(super) fn ordinary(mu: f64, alpha: f64) -> f64 {
    (mu + 2.0 * (mu + alpha * mu * mu).sqrt()).max(1.0)
}

/// How much larger the largest share of an hour's calls is where so few clumps fall into it by chance than that of six where
/// [`BURST_FROM`] calls do one by one, which [`super::BURSTY`] allows for.
fn by_chance(larger: f64, clumps: f64) -> f64 {
    (larger / clumps.max(1.5).sqrt() - OF_SIX / BURST_FROM.sqrt()).max(0.0)
}
