//! Days of a key that has few: how its hours differ is believed to be as with keys of its kind, until it has days of its own.
//!
//! Kinds of keys (cohorts) are shapes of a day on the key's clock. How much each counts follows from the calls that the key has made (a
//! finite mixture; McLachlan and Peel, *Finite Mixture Models*, 2000, section 1.8), flat being one of them. What an hour has shown
//! leans on that by the ratio of the variance within a key to the one between keys (empirical Bayes; Efron and Morris, Journal of the
//! American Statistical Association 70, 1975): a nightly job is like nobody and stands for itself.

use super::profile::HOURS;

/// Calls of a day by hour.
pub(super) type Day = [f64; HOURS];

/// A key that has learned so many days of a class stands for itself.
pub(super) const DAYS: f64 = 4.0;

/// All hours are alike for a machine; people buy from morning to night, work in office hours, eat twice a day. In times of about an average
/// hour: what that is exactly is worked out.
const SHAPES: [Day; 4] = scaled([
    [1.0; HOURS],
    [
        0.45, 0.3, 0.2, 0.15, 0.15, 0.2, 0.35, 0.6, 0.9, 1.1, 1.25, 1.3, 1.35, 1.3, 1.25, 1.25, 1.3, 1.4, 1.5, 1.6,
        1.7, 1.6, 1.2, 0.8,
    ],
    [
        0.02, 0.02, 0.02, 0.02, 0.02, 0.03, 0.15, 0.8, 2.0, 2.6, 2.7, 2.5, 1.9, 2.2, 2.5, 2.4, 2.0, 1.2, 0.5, 0.25,
        0.15, 0.1, 0.05, 0.03,
    ],
    [
        0.5, 0.2, 0.1, 0.05, 0.05, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 1.8, 2.4, 2.1, 1.2, 0.9, 1.1, 1.7, 2.6, 2.8, 2.4,
        1.7, 1.1, 0.7,
    ],
]);
/// How counts of an hour scatter before the key has shown it: so many calls come at once, and hours differ by as much.
const CLUMP: f64 = 3.0;
const ALPHA: f64 = 0.3;
/// Likelihoods are taken for less than they say, since days of a key are alike.
const COOLER: f64 = 2.0;
/// How much hours of keys differ from their cohort's, as a variance in squared means, and for how many hours that stands.
const BETWEEN: f64 = 0.2;
const BETWEEN_HOURS: f64 = 12.0;
const BETWEEN_LEAST: f64 = 0.01;
/// No hour of a cohort weighs more than so many days.
const DAYS_MAX: f64 = 20.0;
/// Shares and calls below which nothing is told from nothing.
const SHARE_LEAST: f64 = 0.02;
const CALLS_LEAST: f64 = 1e-3;

/// The shapes with a mean of 1.
const fn scaled(mut shapes: [Day; 4]) -> [Day; 4] {
    let mut shape = 0;
    while shape < shapes.len() {
        let (mut sum, mut hour) = (0.0, 0);
        while hour < HOURS {
            sum += shapes[shape][hour];
            hour += 1;
        }
        while 0 < hour {
            hour -= 1;
            shapes[shape][hour] /= sum / HOURS as f64;
        }
        shape += 1;
    }
    shapes
}

/// What is expected by hour, after `days` days with `own` calls on average.
pub(super) fn expected(own: &Day, days: f64) -> Day {
    let level = own.iter().sum::<f64>() / HOURS as f64;
    let fades = (1.0 - days / DAYS).max(0.0);
    if days < 1.0 || level <= 0.0 || fades == 0.0 {
        return *own;
    }
    let like = of_cohorts(own, days, level);
    let square: f64 = like.iter().map(|calls| calls * calls).sum();
    let by_chance = |calls: f64| (CLUMP * calls + ALPHA * calls * calls) / days;
    let beyond: f64 = own.iter().zip(&like).map(|(x, mu)| (x - mu) * (x - mu) - by_chance(*mu)).sum();
    let weight = BETWEEN_HOURS * level * level;
    let between = ((beyond.max(0.0) + BETWEEN * weight) / (square + weight)).max(BETWEEN_LEAST);
    std::array::from_fn(|hour| {
        let mu = like[hour].max(CALLS_LEAST);
        let lean = fades * ((CLUMP + ALPHA * mu) / (between * mu)).min(DAYS_MAX);
        (days * own[hour] + lean * like[hour]) / (days + lean)
    })
}

/// What the cohorts say that the key is likely to be of.
fn of_cohorts(own: &Day, days: f64, level: f64) -> Day {
    let noise = COOLER * (CLUMP + ALPHA * level);
    let likelihood = SHAPES.map(|shape| {
        let of_hour = |(calls, share): (&f64, &f64)| calls * share.max(SHARE_LEAST).ln() - level * share;
        days * own.iter().zip(&shape).map(of_hour).sum::<f64>() / noise
    });
    let most = likelihood.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let weights = likelihood.map(|likelihood| (likelihood - most).exp());
    let sum: f64 = weights.iter().sum();
    std::array::from_fn(|hour| level * SHAPES.iter().zip(&weights).map(|(s, w)| s[hour] * w).sum::<f64>() / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day's calls, this many of them at each of some hours.
    fn day(hours: impl IntoIterator<Item = usize>, calls: f64) -> Day {
        let mut day = [0.0; HOURS];
        hours.into_iter().for_each(|hour| day[hour] += calls);
        day
    }

    #[test]
    fn an_office_that_was_still_for_an_hour_on_its_first_day_is_an_office() {
        // Nothing came at eleven, by chance.
        let own = day([8, 9, 10, 12, 13, 14, 15, 16], 6.0);
        let expected = expected(&own, 1.0);
        assert!(2.0 < expected[11] && expected[11] < 6.0, "{expected:?}");
        assert!(expected[3] < 0.2 && expected[22] < 0.3, "and rests at night: {expected:?}");
    }

    #[test]
    fn a_machine_is_as_flat_as_it_was() {
        let own: Day = std::array::from_fn(|hour| if hour % 2 == 0 { 8.0 } else { 12.0 });
        let expected = expected(&own, 2.0);
        assert!(expected.iter().all(|calls| (8.0..=12.0).contains(calls)), "{expected:?}");
        assert!(9.0 < expected[2] && expected[3] < 11.0, "by day and by night: {expected:?}");
    }

    #[test]
    fn a_nightly_job_is_like_nobody() {
        let expected = expected(&day([3], 500.0), 1.0);
        assert!(480.0 < expected[3] && expected.iter().enumerate().all(|(h, x)| h == 3 || *x < 1.0), "{expected:?}");
    }

    #[test]
    fn days_of_its_own_count_more_and_more() {
        let own = day(8..17, 2.0);
        let at_night: Vec<f64> = [1.0, 2.0, 3.0, 4.0].map(|days| expected(&own, days)[20]).to_vec();
        assert!(at_night.windows(2).all(|pair| pair[1] < pair[0]), "{at_night:?}");
        assert_eq!(at_night[3], 0.0);
        assert_eq!(expected(&[0.0; HOURS], 1.0), [0.0; HOURS], "no calls are no shape");
    }
}
