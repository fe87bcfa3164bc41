//! The counts of made-up keys, and what is said of them.

use super::learn::{HOLD_OUT_ODDS, ordinary};
use super::*;
use crate::engine::baseline::negative_binomial;
use crate::engine::fleet::{SHIPPED, Trait, Traits};
use crate::time::SECOND;

mod bursts;
mod holidays;
mod hourly;
mod jobs;
mod levels;
mod lows;
mod records;
mod rises;
mod rows;
mod still;
mod weeks;

const LATENESS: Millis = 5 * MINUTE;
const ASK: Ask = Ask::new(14.0, 20.0);
const AROUND: Surroundings<'static> = Surroundings { lateness: LATENESS, unseen: None, fleet: &SHIPPED };

/// A few calls one by one, many as one row.
fn add(rates: &mut Rates, at: Millis, calls: u32) {
    let (times, each) = if calls <= 10 { (calls, 1) } else { (1, calls) };
    (0..times).for_each(|_| rates.add(at, each, AROUND, |_| 0));
}

/// What comes back of what is stored.
fn stored(rates: &Rates) -> Rates {
    let mut stored = Rates::from_parts(&rates.to_parts());
    stored.set_clumps(rates.clumps());
    stored.set_foresight(rates.foresight());
    stored.set_runs(rates.runs().clone());
    stored.set_records(rates.records());
    stored.set_still_hours(rates.still_hours());
    stored.set_lows(rates.lows());
    stored.set_rises(rates.rises());
    stored
}

/// Two calls a minute from 8 to 20 o'clock for two weeks.
fn shop() -> (Rates, Millis) {
    let mut rates = Rates::default();
    let start = 20_000 * DAY;
    for minute in 0..14 * 24 * 60 {
        let at = start + minute * MINUTE;
        if (8..20).contains(&at.div_euclid(HOUR).rem_euclid(24)) {
            add(&mut rates, at, 2);
        }
    }
    (rates, start + 14 * DAY)
}

#[test]
fn a_steady_key_is_known_by_its_hours() {
    let (mut rates, day) = shop();
    let noon = day + 12 * HOUR + 9 * MINUTE;
    add(&mut rates, noon, 1);
    let [ten, hour] = rates.windows(noon).unwrap();
    assert!((ten.expected - 20.0).abs() < 1.0, "{ten:?}");
    assert!((hour.expected - 120.0).abs() < 5.0, "{hour:?}");
    let night = day + DAY + 3 * HOUR;
    add(&mut rates, night, 1);
    let [ten, _] = rates.windows(night).unwrap();
    assert!(ten.expected < 1.0, "{ten:?}");
    assert_eq!(rates.days_learned(), 14);
}

/// Calls a minute from ten o'clock on, and after how many minutes they are too many.
#[test]
fn too_many_is_told_while_it_happens() {
    for (a_minute, at_last) in [(2, None), (3, None), (4, Some(59)), (10, Some(16)), (20, Some(12)), (60, Some(4))] {
        let (mut rates, day) = shop();
        for minute in 0..120 {
            add(&mut rates, day + 8 * HOUR + minute * MINUTE, 2);
        }
        let told = (0..60).find(|minute| {
            let at = day + 10 * HOUR + minute * MINUTE;
            (0..a_minute).for_each(|n| add(&mut rates, at + n * SECOND, 1));
            rates.too_many(at + a_minute * SECOND, &ASK).is_some()
        });
        assert_eq!(told.is_some(), at_last.is_some(), "{a_minute} a minute: {told:?}");
        assert!(told <= at_last, "{a_minute} a minute: {told:?}");
    }
}

/// Twenty calls in the first minutes of each hour for two weeks, then so many an hour from ten o'clock on: whether that is too many or too
/// few, and after how many hours.
#[test]
fn a_job_that_runs_each_hour_is_known_by_its_hours() {
    for (calls, too_many, too_few) in [(20, None, None), (30, None, None), (80, Some(1), None), (4, None, Some(4))] {
        let mut rates = Rates::default();
        let start = 20_000 * DAY;
        let run = |rates: &mut Rates, hour: i64, calls: i64| {
            let at = start + hour * HOUR + 3 * MINUTE;
            (0..calls).for_each(|n| add(rates, at + n * 9 * SECOND, 1));
            at + (calls - 1) * 9 * SECOND
        };
        for hour in 0..14 * 24 + 10 {
            run(&mut rates, hour, 20);
        }
        let (mut many, mut few) = (None, None);
        for hour in 1..=6 {
            let at = run(&mut rates, 14 * 24 + 9 + hour, calls);
            many = many.or_else(|| rates.too_many(at, &ASK).map(|_| hour));
            few = few.or_else(|| rates.too_few(at, &ASK).filter(|_| !rates.is_back(at)).map(|_| hour));
        }
        assert_eq!((many, few), (too_many, too_few), "{calls} an hour");
        let last = start + (14 * 24 + 15) * HOUR + 6 * MINUTE;
        let due = rates.silence_due(last, &ASK).unwrap() - last;
        assert!((90 * MINUTE..4 * HOUR).contains(&due), "silent for {}", due / MINUTE);
    }
}

/// Two runs of usual size within a quarter of an hour: one came late, or failed and was tried again.
#[test]
fn another_run_of_usual_size_is_not_too_many() {
    for (calls, want) in [(35, false), (120, true)] {
        let mut rates = Rates::default();
        let run = |rates: &mut Rates, at: Millis, calls: i64| {
            (0..calls).for_each(|n| add(rates, at + n * SECOND, 1));
            rates.too_many(at + (calls - 1) * SECOND, &ASK).is_some()
        };
        let start = 20_000 * DAY + 4 * MINUTE;
        for hour in 0..14 * 24 {
            assert!(!run(&mut rates, start + hour * HOUR, 35));
        }
        let last = start + 14 * DAY;
        assert!(!run(&mut rates, last, 35));
        assert_eq!(run(&mut rates, last + 8 * MINUTE, calls), want, "{calls}");
    }
}

/// Sixty calls in four minutes of a key of few: a retry storm, where the fleet's bursts are large.
#[test]
fn where_bursts_of_the_fleet_are_large_it_takes_more_calls() {
    for (burst, calls, want) in [(3.0, 60, true), (6.0, 60, false), (6.0, 100, true)] {
        let mut rates = by_the_hour(14 * 24 + 1, |hour| 4 + u32::from(hour % 3 == 0));
        rates.known.fleet = Traits::default().with(Trait::Burst, Some(burst));
        let at = 20_014 * DAY + HOUR;
        (0..calls).for_each(|n| add(&mut rates, at + n * SECOND, 1));
        assert_eq!(rates.too_many(at + (calls - 1) * SECOND, &ASK).is_some(), want, "{burst}, {calls}");
    }
}

/// Where a run's calls come in its hour is not known: when the next one begins after one was left out, nothing is missing but that one.
#[test]
fn one_run_that_was_left_out_is_not_too_few() {
    for calls in [20, 60] {
        let mut rates = Rates::default();
        let run = |hour: i64, n: i64| 20_000 * DAY + hour * HOUR + 40 * MINUTE + n * 2 * SECOND;
        for hour in (0..14 * 24).chain(14 * 24 + 1..14 * 24 + 2) {
            for n in 0..calls {
                add(&mut rates, run(hour, n), 1);
                let few = rates.too_few(run(hour, n), &Ask::new(11.7, 15.0));
                assert_eq!(few, None, "hour {hour}, call {n} of {calls}");
            }
        }
    }
}

/// Sixty calls an hour for three weeks, in every fifth hour so many more or fewer.
fn scattered(by: i64) -> Rates {
    let mut rates = Rates::default();
    let start = 20_000 * DAY;
    for hour in 0..21 * 24 {
        let calls = 60 + if hour % 5 == 0 { by } else { 0 };
        (0..calls).for_each(|n| add(&mut rates, start + hour * HOUR + n * HOUR / calls, 1));
    }
    rates
}

#[test]
fn what_is_often_more_is_not_less_for_it() {
    let part = |by: i64| {
        let rates = scattered(by);
        rates.alpha_of_still(HOUR) / rates.alpha(HOUR)
    };
    assert!(part(40) < 0.6, "more now and then: {}", part(40));
    assert!(0.9 < part(-40), "less now and then: {}", part(-40));
}

#[test]
fn one_short_burst_is_not_too_many() {
    let (mut rates, day) = shop();
    for minute in 0..120 {
        let at = day + 8 * HOUR + minute * MINUTE;
        // Five times the usual for four minutes, as when a gateway was slow.
        let calls = if (60..64).contains(&minute) { 10 } else { 2 };
        (0..calls).for_each(|n| add(&mut rates, at + n * SECOND, 1));
        assert_eq!(rates.too_many(at + calls * SECOND, &ASK), None, "minute {minute}");
    }
}

#[test]
fn a_still_hour_is_known() {
    let (mut rates, day) = shop();
    let ask = Ask::new(11.0, 5.0);
    let told = (0..12).find(|n| {
        let at = day + 3 * HOUR + n * MINUTE;
        add(&mut rates, at, 1);
        rates.off_hours(at, &ask).is_some()
    });
    assert!(told.is_some_and(|n| n < 10), "{told:?}");
    let (mut rates, day) = shop();
    (0..30).for_each(|n| add(&mut rates, day + 12 * HOUR + n * MINUTE, 1));
    assert_eq!(rates.off_hours(day + 12 * HOUR + 29 * MINUTE, &ask), None, "noon is no still hour");
}

#[test]
fn silence_is_news_only_where_there_are_calls() {
    let (rates, day) = shop();
    let ask = Ask::new(12.0, 8.0);
    let due = rates.silence_due(day - DAY + 12 * HOUR, &ask).unwrap() - (day - DAY + 12 * HOUR);
    assert!((10 * MINUTE..40 * MINUTE).contains(&due), "{due}");
    let due = rates.silence_due(day - DAY + 20 * HOUR - MINUTE, &ask).unwrap();
    assert!((8 * HOUR..=9 * HOUR).contains(&(due - day)), "not the night, but the morning after: {due}");
}

/// Calls a minute from ten o'clock on, and whether they are too few by eleven.
#[test]
fn too_few_is_told_while_some_still_come() {
    for (every_minutes, each, want) in [(2, 3, false), (1, 1, true), (6, 1, true), (10, 1, true)] {
        let (mut rates, day) = shop();
        for minute in 0..120 {
            add(&mut rates, day + 8 * HOUR + minute * MINUTE, 2);
        }
        let told = (1..60).step_by(every_minutes).any(|minute| {
            let at = day + 10 * HOUR + minute * MINUTE;
            add(&mut rates, at, each);
            !rates.is_back(at) && rates.too_few(at, &Ask::new(11.7, 15.0)).is_some()
        });
        assert_eq!(told, want, "{each} in {every_minutes} minutes");
    }
}

#[test]
fn what_was_not_seen_is_not_learned() {
    let (mut seen, day) = shop();
    let mut unseen = seen.clone();
    let after = day + 15 * HOUR;
    seen.add(after, 2, AROUND, |_| 0);
    unseen.add(after, 2, Surroundings { unseen: Some((day + 8 * HOUR, after)), ..AROUND }, |_| 0);
    let at_noon = |rates: &Rates| rates.expected_between(day + DAY + 12 * HOUR, day + DAY + 13 * HOUR);
    assert!(at_noon(&unseen) > 115.0, "{}", at_noon(&unseen));
    // Even a silence that is no gap is held out at first.
    assert!(at_noon(&seen) > 100.0, "{}", at_noon(&seen));
}

#[test]
fn large_counts_keep_their_size() {
    let mut rates = Rates::default();
    let at = 20_000 * DAY;
    (0..50).for_each(|n| add(&mut rates, at + n * SECOND, 40_000));
    let total = rates.calls_since(at + MINUTE, 10 * MINUTE) as f64;
    assert!((total / 2_000_000.0 - 1.0).abs() < 0.01, "{total}");
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
    times.iter().for_each(|t| add(&mut a, *t, 1));
    shuffled.iter().for_each(|t| add(&mut b, *t, 1));
    add(&mut b, times.last().unwrap() + DAY, 1);
    add(&mut a, times.last().unwrap() + DAY, 1);
    assert_eq!(a.profile, b.profile);
    assert_eq!(stored(&a), a);
}

/// A busy key whose hours differ as much as they do: most of its calls are missed for a while before that is no chance.
#[test]
fn too_few_takes_hours_where_hours_differ() {
    const PARTS: [u32; 11] = [3, 14, 8, 20, 5, 11, 9, 17, 6, 10, 7];
    let start = 20_000 * DAY;
    let mut rates = Rates::default();
    for minute in 0..14 * 24 * 60 {
        add(&mut rates, start + minute * MINUTE, PARTS[(minute / 60 % 11) as usize] / 5);
    }
    let ask = Ask::new(11.7, 15.0);
    let told = (0..6 * 60_i64).filter(|minute| minute % 9 == 0).find_map(|minute| {
        let at = start + 14 * DAY + minute * MINUTE;
        add(&mut rates, at, 1);
        rates.too_few(at, &ask).map(|few| (minute, few.window.length))
    });
    assert!(told.is_some_and(|(minute, length)| 60 < minute && HOUR < length), "{told:?}");
}

/// What is kept at hand says the same as what is worked out anew.
#[test]
fn what_was_stored_says_the_same() {
    let (mut rates, day) = shop();
    let ask = Ask::new(8.0, 5.0);
    for step in 0..600 {
        let at = day + step * 3 * MINUTE;
        (0..step % 13).for_each(|n| add(&mut rates, at + n * SECOND, 1));
        let stored = stored(&rates);
        for (kept, anew) in [
            (rates.too_many(at, &ask), stored.too_many(at, &ask)),
            (rates.too_few(at, &ask), stored.too_few(at, &ask)),
            (rates.off_hours(at, &ask), stored.off_hours(at, &ask)),
        ] {
            assert_eq!(kept, anew, "step {step}");
        }
        assert_eq!(rates.silence_due(at, &ask), stored.silence_due(at, &ask), "step {step}");
    }
}

/// Its zone's clocks go back by an hour in the fourth week. Whose calls follow which clock, and whether it is told too much.
#[test]
fn a_key_shows_which_clock_it_follows() {
    const CHANGE: Millis = (20_000 + 24) * DAY;
    let zone = |at: Millis| if at < CHANGE { 2 * HOUR } else { HOUR };
    for follows in [true, false] {
        let mut rates = Rates::default();
        for minute in 0..31 * 24 * 60 {
            let at = 20_000 * DAY + minute * MINUTE;
            let on_its_clock = at + if follows { zone(at) } else { 2 * HOUR };
            if !(8..18).contains(&on_its_clock.div_euclid(HOUR).rem_euclid(24)) {
                continue;
            }
            (0..2).for_each(|n| rates.add(at + n * SECOND, 1, AROUND, zone));
            if CHANGE <= at {
                let told = [rates.too_many(at, &ASK), rates.off_hours(at, &ASK), rates.too_few(at, &ASK)];
                assert!(told.iter().all(Option::is_none), "follows {follows}: {told:?}");
            }
        }
        let want = if follows { (0, 0, false) } else { (-60, 0, true) };
        let clock = rates.clock();
        assert_eq!((clock.lag, clock.other, clock.stays), want, "follows {follows}");
        // The next change is no question any more.
        rates.zone_tells(2 * HOUR);
        assert_eq!(rates.clock().other, if follows { -60 } else { 0 });
    }
}

#[test]
fn another_zone_does_not_move_what_was_learned() {
    let (mut rates, day) = shop();
    let noon = day + 12 * HOUR;
    let before = rates.expected_between(noon, noon + HOUR);
    rates.zone_tells(9 * HOUR);
    assert_eq!(rates.expected_between(noon, noon + HOUR), before);
}

#[test]
fn the_silence_of_many_is_told_sooner_than_that_of_a_key_that_scatters() {
    let mut rates = Rates::default();
    // Every other hour is five times as busy.
    for minute in 0..14 * 24 * 60 {
        let a_minute = if minute / 60 % 7 < 2 { 10 } else { 2 };
        add(&mut rates, 20_000 * DAY + minute * MINUTE, a_minute);
    }
    let last = (20_000 + 14) * DAY;
    let ask = Ask::new(16.0, 100.0);
    let of_many = rates.silence_of_many_due(last, &ask).unwrap();
    assert!(of_many <= last + HOUR, "{}", of_many - last);
    assert!(rates.silence_due(last, &ask).is_none_or(|due| last + 2 * HOUR < due));
}

#[test]
fn a_few_calls_by_chance_are_not_the_usual_ones_again() {
    let (mut rates, day) = shop();
    let noon = day + 12 * HOUR;
    // A fifth of the usual calls, and in the last ten minutes by chance two thirds of them.
    (0..50).step_by(5).for_each(|n| add(&mut rates, noon + n * MINUTE, 2));
    (50..60).for_each(|n| add(&mut rates, noon + n * MINUTE, 1));
    let at = noon + 59 * MINUTE;
    add(&mut rates, at, 3);
    assert!(rates.is_back(at) && !rates.is_back_to_stay(at));
    (60..90).for_each(|n| add(&mut rates, noon + n * MINUTE, 2));
    assert!(rates.is_back_to_stay(noon + 89 * MINUTE));
}

/// Two calls a minute become forty in the first twenty minutes of each hour.
#[test]
fn a_silence_that_comes_each_hour_is_usual() {
    let (mut rates, day) = shop();
    let mut told = Vec::new();
    for hour in 8..18 {
        let begins = day + hour * HOUR;
        for minute in 0..20 {
            let at = begins + minute * MINUTE;
            rates.note_silence(at, None);
            add(&mut rates, at, 6);
        }
        let due = rates.silence_due(begins + 19 * MINUTE, &ASK).unwrap();
        told.extend((due < begins + HOUR).then_some(hour));
    }
    assert_eq!(told, [8, 9, 10, 11], "four times it is news");
    let due = rates.silence_due(day + 17 * HOUR + 19 * MINUTE, &ASK).unwrap();
    assert!(due < day + 18 * HOUR + 30 * MINUTE, "a longer silence is told all the same");
    // What nobody has seen is no silence, and weeks later it is forgotten.
    let known = rates.silences();
    rates.note_silence(day + 19 * HOUR, Some((day + 18 * HOUR, day + 19 * HOUR)));
    assert_eq!(rates.silences(), known);
    (0..4).for_each(|_| rates.forget_silences());
    assert!(rates.silence_due(day + 17 * HOUR + 19 * MINUTE, &ASK).unwrap() < day + 18 * HOUR);
}

/// Orders of five calls that come by chance, `per_hour` of them.
fn orders(rates: &mut Rates, hours: std::ops::Range<i64>, per_hour: f64, seed: u64) -> Option<Excess> {
    let mut told = None;
    for minute in hours.start * 60..hours.end * 60 {
        let chance = (minute as u64 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let chance = (chance ^ chance >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        if (chance as f64) < per_hour / 60.0 * (1 << 24) as f64 {
            add(rates, 20_000 * DAY + minute * MINUTE, 5);
            told = told.or(rates.too_many(20_000 * DAY + minute * MINUTE, &Ask::new(10.0, 20.0)));
        }
    }
    told
}

/// What no hour shows by itself three hours do, and none of them is usual since it was learned meanwhile.
#[test]
fn a_rise_of_some_hours_is_told_where_orders_come_by_chance() {
    let mut rates = Rates::default();
    orders(&mut rates, 0..21 * 24, 2.0, 7);
    let told = orders(&mut rates, 21 * 24..21 * 24 + 3, 9.0, 7).expect("135 calls, 30 of them usual");
    assert!(HOUR <= told.window.length && told.window.length <= 3 * HOUR, "{told:?}");
    assert!(told.window.expected < 45.0, "{told:?}");
}

/// What grows slowly makes neither itself usual nor the day before it.
#[test]
fn a_rise_over_two_days_is_told_by_the_day() {
    let mut rates = Rates::default();
    orders(&mut rates, 0..21 * 24, 3.0, 7);
    let rise = |hour: i64| 3.0 + hour as f64 / 8.0;
    let told = (0..48).find_map(|hour| orders(&mut rates, 21 * 24 + hour..21 * 24 + hour + 1, rise(hour), 7));
    let told = told.expect("three times as many in the end");
    assert_eq!(told.window.length, DAY, "{told:?}");
    assert!((300.0..450.0).contains(&told.window.expected), "{told:?}");
}

/// Five times as many orders on the first three days of a month, which is what subscriptions do, and as usual on the fourth.
#[test]
fn the_day_after_a_month_has_begun_is_no_spike() {
    let mut rates = Rates::default();
    // 2024-10-04 is the first day.
    orders(&mut rates, 0..28 * 24, 3.0, 7);
    orders(&mut rates, 28 * 24..31 * 24, 15.0, 7);
    assert_eq!(orders(&mut rates, 31 * 24..32 * 24, 3.0, 7), None);
}

/// Bursts of a small key, at one hour or another, for so many days from New Year on; then sixty calls on the second of March.
fn month_of_small_key(from: i64) -> Option<Excess> {
    let mut rates = Rates::default();
    let new_year = 20_454 * DAY;
    for day in from..60 {
        for burst in 0..4 {
            let hour = (day * 7 + burst * 5) % 24;
            (0..6).for_each(|n| add(&mut rates, new_year + day * DAY + hour * HOUR + n * 4 * MINUTE, 1));
        }
    }
    (0..60).find_map(|n| {
        let at = new_year + 60 * DAY + 9 * HOUR + n * MINUTE;
        add(&mut rates, at, 1);
        rates.too_many(at, &Ask::new(10.0, 20.0))
    })
}

#[test]
fn a_month_that_began_without_a_job_makes_the_next_one_news() {
    assert_eq!(month_of_small_key(32), None, "no month has begun yet: it may be what the key does then");
    let told = month_of_small_key(20).expect("February began without");
    assert!(told.window.observed < 50, "{told:?}");
}

#[test]
fn silences_are_told_by_those_that_were() {
    let of = |silences: [u8; 8]| {
        let mut rates = Rates::default();
        rates.set_silences(Silences(silences));
        rates.silence_by_own(11.7)
    };
    assert_eq!(of([11, 0, 0, 0, 0, 0, 0, 0]), None, "too few to tell");
    let (short, long) = (of([20, 0, 0, 0, 0, 0, 0, 0]).unwrap(), of([10, 5, 3, 2, 0, 0, 0, 0]).unwrap());
    assert!((20.0..35.0).contains(&short) && 1.5 * short < long, "{short} {long}");
}

/// A Sunday on which an office rests says nothing of the clock that it follows on working days, before a Sunday was seen.
#[test]
fn a_still_day_that_is_new_does_not_tell_the_clock() {
    let mut rates = Rates::default();
    let monday = 20_003 * DAY;
    let change = monday + 6 * DAY;
    let zone = |at: Millis| if at < change { 0 } else { HOUR };
    for day in 0..9 {
        let from = if change <= monday + day * DAY { 8 } else { 9 };
        let calls = if day % 7 < 5 { 200 } else { 6 };
        for n in 0..calls {
            let at = monday + day * DAY + from * HOUR + n * 9 * HOUR / calls;
            rates.add(at, 1, AROUND, zone);
        }
    }
    assert_eq!(rates.offset, HOUR, "it follows its zone");
}

/// Hour by hour from the beginning of day 20,000 on, evenly: so many calls in each.
fn by_the_hour(hours: i64, calls: impl Fn(i64) -> u32) -> Rates {
    let mut rates = Rates::default();
    for hour in 20_000 * 24..20_000 * 24 + hours {
        let (n, start) = (calls(hour - 20_000 * 24), hour * HOUR);
        (0..n).for_each(|call| rates.add(start + i64::from(call) * HOUR / i64::from(n), 1, AROUND, |_| 0));
    }
    rates
}

#[test]
fn what_came_once_is_not_missed_a_week_later() {
    let sale = 12 * 24 + 10;
    let rates = by_the_hour(19 * 24, |hour| if (sale..sale + 3).contains(&hour) { 600 } else { 6 });
    for hour in (sale..sale + 3).map(|hour| 20_000 * 24 + hour + 7 * 24) {
        assert!(100.0 < rates.expected_in(hour), "{}", rates.expected_in(hour));
        assert!(rates.expected_low(hour) < 20.0, "{}", rates.expected_low(hour));
    }
}

#[test]
fn what_was_missed_yesterday_is_no_news_today() {
    let is_job = |hour: i64| (3..6).contains(&hour.rem_euclid(24)) && hour < 14 * 24;
    let rates = |days: i64| by_the_hour(days * 24 + 2, |hour| if is_job(hour) { 600 } else { 60 });
    let expected = [14, 15].map(|day| rates(day).expected_low((20_000 + day) * 24 + 4));
    assert!(400.0 < expected[0] && expected[1] < 100.0, "{expected:?}");
    // An hour of little by chance says nothing of the day after.
    let few = by_the_hour(14 * 24 + 2, |hour| if hour == 13 * 24 + 4 { 0 } else { 8 });
    assert!(5.0 < few.expected_low(20_014 * 24 + 4));
}

#[test]
fn less_is_missed_of_what_calls_by_the_clock() {
    let ask = Ask::new(9.0, 15.0);
    let due = |days: i64| {
        let rates = by_the_hour(days * 24, |_| 4);
        let last = (20_000 * 24 + days * 24) * HOUR - 15 * MINUTE;
        (rates.silence_due(last, &ask).unwrap() - last) / MINUTE
    };
    // Nine calls, a little more for what scatters.
    assert!((120..180).contains(&due(12)), "{}", due(12));
    assert!((220..230).contains(&due(5)), "not known for long enough: {}", due(5));
}
