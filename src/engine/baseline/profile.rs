//! Expected calls by hour of the week, from little data: each hour of the week leans on the same hour of like days until
//! it has weeks of its own (partial pooling; Gelman and Hill, *Data Analysis Using Regression*, 2007, section 12.2).
//!
//! Hours are those of the clock that the key follows. Numbers of the week are kept as the upper half of an `f32`: eight
//! bits of mantissa, an error of 0.4 %. Positive numbers keep their order so.

use std::borrow::Cow;

use super::cohorts;
use crate::time::{HOUR, Millis};

/// Hours of a day.
pub(super) const HOURS: usize = 24;
const WEEK: usize = 7 * HOURS;
/// Working days and weekends.
const CLASSES: usize = 2;
/// The weight of like days against weeks of an hour's own.
const LIKE_DAYS_WEIGH: f64 = 2.0;
/// The part of an hour of the week's own calls that counts whatever like days say.
const OWN_WEEK: f64 = 0.8;
/// So many times an hour of the week's own calls are expected at most, where it counts that there are some.
const OWN_WEEK_TIMES: f64 = 2.0;
/// So many times like days' calls are expected at most, where it counts that there are some: an hour of the week remembers what it saw
/// once, an attack or a sale, for weeks.
const LIKE_DAYS_TIMES: f64 = 1.5;
/// Fewer calls an hour tell nothing about hours of the week.
const ENOUGH_FOR_WEEKS: f64 = 0.25;
/// The least weight that a new day and a new week have, once many have been seen.
const SLOWEST_DAY: f32 = 0.1;
const SLOWEST_WEEK: f32 = 0.25;

/// This share of a day's calls in three hours is most of them.
const FEW_HOURS: f64 = 0.6;
/// A day of rest has so much of another's calls at most.
const REST: f64 = 0.25;

/// Expected calls by hour of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// By class of day and hour.
    days: [[u16; HOURS]; CLASSES],
    /// Hours that were learned of each class.
    n_days: [u16; CLASSES],
    /// By hour of the week, once a day has been learned and there is enough to tell.
    weeks: Option<Box<Weeks>>,
    /// What is expected of days of which few were learned: it follows from the rest, and is worked out when an hour is learned.
    young: Option<Box<[[f32; HOURS]; CLASSES]>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Weeks {
    mean: [u16; WEEK],
    /// Hours learned.
    n: u16,
}

/// The plain numbers, for the stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileParts<'a> {
    /// By class of day (working day, weekend) and hour.
    pub days: Cow<'a, [u16]>,
    /// Hours learned of each class.
    pub n_days: [u16; CLASSES],
    /// By hour of the week; empty = not learned yet.
    pub weeks: Cow<'a, [u16]>,
    /// Hours learned of the week.
    pub n_weeks: u16,
}

impl Default for Profile {
    fn default() -> Self {
        Profile { days: [[0; HOURS]; CLASSES], n_days: [0; CLASSES], weeks: None, young: None }
    }
}

/// Hour of the week, Monday first, of an hour since 1970 on the key's clock.
fn place(hour: i64) -> (usize, usize) {
    let weekday = (hour.div_euclid(24) + 3).rem_euclid(7) as usize;
    (weekday, hour.rem_euclid(24) as usize)
}

fn class(weekday: usize) -> usize {
    usize::from(weekday >= 5)
}

impl Profile {
    /// Takes the numbers apart.
    pub fn to_parts(&self) -> ProfileParts<'_> {
        ProfileParts {
            days: self.days.as_flattened().into(),
            n_days: self.n_days,
            weeks: self.weeks.as_ref().map_or(&[][..], |w| &w.mean).into(),
            n_weeks: self.weeks.as_ref().map_or(0, |w| w.n),
        }
    }

    /// Puts them together again. Lists of another length are left out.
    pub fn from_parts(parts: &ProfileParts<'_>) -> Self {
        let mut profile = Profile::default();
        if parts.days.len() == CLASSES * HOURS {
            for class in 0..CLASSES {
                profile.days[class].copy_from_slice(&parts.days[class * HOURS..(class + 1) * HOURS]);
            }
            profile.n_days = parts.n_days;
        }
        if parts.weeks.len() == WEEK {
            let mut weeks = Weeks { mean: [0; WEEK], n: parts.n_weeks };
            weeks.mean.copy_from_slice(&parts.weeks);
            profile.weeks = Some(Box::new(weeks));
        }
        profile.lean_on_cohorts();
        profile
    }

    /// Learns an hour's calls. `hour` is on the key's clock. `usual` is how much of them could be usual: like days learn
    /// that much, but the hour of the week remembers all, so that what comes once a week is known the next time.
    pub fn learn(&mut self, hour: i64, calls: f64, usual: f64) {
        let (weekday, of_day) = place(hour);
        let (n, mean) = (&mut self.n_days[class(weekday)], &mut self.days[class(weekday)][of_day]);
        let weight = (1.0 / f32::from(*n / HOURS as u16 + 1)).max(SLOWEST_DAY);
        let old = unpack(*mean);
        *mean = pack(old + weight * (usual as f32 - old));
        *n = n.saturating_add(1);
        self.lean_on_cohorts();
        let is_little = self.mean_hour() < ENOUGH_FOR_WEEKS && calls < ENOUGH_FOR_WEEKS * 7.0 * HOURS as f64;
        if self.weeks.is_none() && (self.days_learned() == 0 || is_little) {
            return;
        }
        let weeks = self.weeks.get_or_insert_with(|| Box::new(Weeks { mean: [0; WEEK], n: 0 }));
        let mean = &mut weeks.mean[weekday * HOURS + of_day];
        let weight = (1.0 / f32::from(weeks.n / WEEK as u16 + 1)).max(SLOWEST_WEEK);
        let old = unpack(*mean);
        *mean = pack(old + weight * (calls as f32 - old));
        weeks.n = weeks.n.saturating_add(1);
    }

    /// Works out what is expected of days of which few were learned.
    fn lean_on_cohorts(&mut self) {
        let days = self.n_days.map(|n| f64::from(n) / HOURS as f64);
        let is_young = |days: f64| (1.0..cohorts::DAYS).contains(&days);
        if !days.into_iter().any(is_young) {
            self.young = None;
            return;
        }
        let mut young = self.young.take().unwrap_or_default();
        for (of, (own, days)) in young.iter_mut().zip(self.days.iter().zip(days)) {
            *of = cohorts::expected(&own.map(|calls| f64::from(unpack(calls))), days).map(|calls| calls as f32);
        }
        self.young = Some(young);
    }

    /// Calls of a class of days at an hour of the day.
    fn of_like_days(&self, class: usize, of_day: usize) -> f64 {
        let own = || unpack(self.days[class][of_day]);
        f64::from(self.young.as_ref().map_or_else(own, |young| young[class][of_day]))
    }

    /// Calls expected in an hour on the key's clock.
    pub fn expected(&self, hour: i64) -> f64 {
        let (weekday, of_day) = place(hour);
        let like = class(weekday);
        // The first weekend leans on working days, and the other way round.
        let like = if self.n_days[like] < HOURS as u16 { 1 - like } else { like };
        let pooled = self.of_like_days(like, of_day);
        let Some(weeks) = self.weeks.as_ref().filter(|weeks| WEEK as u16 <= weeks.n) else { return pooled };
        let n = f64::from((weeks.n / WEEK as u16).min(8));
        let own = f64::from(unpack(weeks.mean[weekday * HOURS + of_day]));
        (n * own + LIKE_DAYS_WEIGH * pooled) / (n + LIKE_DAYS_WEIGH)
    }

    /// The same where too few would be worse than too many: what came last week at this hour is not held against likeness.
    pub fn expected_high(&self, hour: i64) -> f64 {
        let expected = self.expected(hour);
        let Some(weeks) = self.weeks.as_ref().filter(|weeks| WEEK as u16 <= weeks.n) else { return expected };
        let (weekday, of_day) = place(hour);
        expected.max(OWN_WEEK * f64::from(unpack(weeks.mean[weekday * HOURS + of_day])))
    }

    /// The same where too many would be worse: an hour that was still in weeks before may be so again, whatever like days do.
    pub fn expected_low(&self, hour: i64) -> f64 {
        let expected = self.expected(hour);
        let Some(weeks) = self.weeks.as_ref().filter(|weeks| WEEK as u16 <= weeks.n) else { return expected };
        let (weekday, of_day) = place(hour);
        let like = self.of_like_days(class(weekday), of_day);
        let own = f64::from(unpack(weeks.mean[weekday * HOURS + of_day]));
        expected.min(OWN_WEEK_TIMES * own).min(LIKE_DAYS_TIMES * like)
    }

    /// Whether days of one class have hardly any calls beside those of the other.
    pub fn rests(&self) -> bool {
        let [working, weekend] = self.a_day();
        self.knows_weeks() && working.min(weekend) < REST * working.max(weekend)
    }

    /// Whether it rests on the day of an hour on the key's clock, where it does on some.
    pub fn rests_on(&self, hour: i64) -> bool {
        let of = self.a_day();
        let like = class(place(hour).0);
        of[like] < of[1 - like]
    }

    /// Calls expected in a day of each class.
    fn a_day(&self) -> [f64; CLASSES] {
        self.days.map(|hours| hours.iter().map(|calls| f64::from(unpack(*calls))).sum())
    }

    /// Whether each hour of the week was seen.
    pub fn knows_weeks(&self) -> bool {
        self.weeks.as_ref().is_some_and(|weeks| WEEK as u16 <= weeks.n)
    }

    /// Whether a day like that of an hour on the key's clock was learned as a whole.
    pub fn knows_days_like(&self, hour: i64) -> bool {
        HOURS as u16 <= self.n_days[class(place(hour).0)]
    }

    /// Days that were learned.
    pub fn days_learned(&self) -> u8 {
        let hours: u16 = self.n_days.iter().fold(0, |a, b| a.saturating_add(*b));
        u8::try_from(hours / HOURS as u16).unwrap_or(u8::MAX)
    }

    /// Calls expected in an hour of an average day.
    pub fn mean_hour(&self) -> f64 {
        let of = |class: usize| {
            let known = self.n_days[class] >= HOURS as u16;
            known.then(|| self.days[class].iter().map(|x| f64::from(unpack(*x))).sum::<f64>() / HOURS as f64)
        };
        match (of(0), of(1)) {
            (Some(working), Some(weekend)) => (5.0 * working + 2.0 * weekend) / 7.0,
            (a, b) => a.or(b).unwrap_or(0.0),
        }
    }

    /// Calls expected in the busiest hour of like days.
    pub fn busiest(&self) -> f64 {
        self.days.as_flattened().iter().map(|calls| f64::from(unpack(*calls))).fold(0.0, f64::max)
    }

    /// Whether most of a day's calls fall into three hours, as those of a nightly job do.
    pub fn is_in_few_hours(&self) -> bool {
        self.concentration() >= FEW_HOURS
    }

    /// The share of a day's calls that falls into its three busiest hours: near 1 for a nightly job.
    pub fn concentration(&self) -> f64 {
        let (mut total, mut busiest) = (0.0, [0.0_f64; 3]);
        for hour in 0..HOURS {
            let calls = f64::from(unpack(self.days[0][hour].max(self.days[1][hour])));
            total += calls;
            if busiest[2] < calls {
                busiest[2] = calls;
                busiest.sort_by(|a, b| b.total_cmp(a));
            }
        }
        if total > 0.0 { busiest.iter().sum::<f64>() / total } else { 0.0 }
    }
}

/// The hour since 1970 that a clock which is `offset` ahead of UTC shows.
pub fn hour_of(at: Millis, offset: Millis) -> i64 {
    (at + offset).div_euclid(HOUR)
}

pub(in crate::engine) fn pack(value: f32) -> u16 {
    // Rounded to the nearest, not cut.
    (value.to_bits().saturating_add(0x8000) >> 16) as u16
}

pub(in crate::engine) fn unpack(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two calls in office hours of working days, twelve on Monday at nine.
    fn calls(hour: i64) -> f64 {
        match place(hour) {
            (0, 9) => 12.0,
            (0..5, 8..18) => 2.0,
            _ => 0.0,
        }
    }

    #[test]
    fn an_hour_of_the_week_comes_to_its_own() {
        let mut profile = Profile::default();
        // 1970-01-05 was a Monday.
        let monday = 4 * 24;
        let nine = |week: i64| monday + week * 168 + 9;
        let mut seen = Vec::new();
        for week in 0..6 {
            seen.push(profile.expected(nine(week)));
            (0..168)
                .for_each(|hour| profile.learn(monday + week * 168 + hour, calls(monday + hour), calls(monday + hour)));
        }
        assert_eq!(seen[0], 0.0, "nothing is known");
        assert!(3.0 < seen[1] && seen[1] < 8.0, "after a week it leans on like days: {seen:?}");
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]) && 9.0 < seen[5], "{seen:?}");
        assert!((profile.expected(monday + 24 + 10) - 2.0).abs() < 0.3);
        assert_eq!(profile.expected(monday + 5 * 24 + 10), 0.0, "a Saturday");
        assert_eq!(Profile::from_parts(&profile.to_parts()), profile);
    }

    #[test]
    fn half_a_float_is_enough() {
        for value in [0.0, 0.013, 1.0, 7.7, 1e3, 123_456.0, 3e9] {
            assert!((unpack(pack(value)) - value).abs() <= 0.004 * value, "{value}");
        }
    }
}
