//! What is far more than ever, and what may have come before.

use super::*;

/// An hour's calls of a shop whose times are busy or not, whatever hour it is: between a fifth and five times the usual forty.
fn busy_or_not(hour: i64) -> u32 {
    const TIMES: [f64; 16] = [0.2, 1.0, 0.6, 2.0, 0.3, 1.3, 0.8, 0.5, 3.2, 0.7, 1.1, 0.4, 1.7, 0.9, 5.0, 0.6];
    (40.0 * TIMES[(hour.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) as u64 >> 60) as usize]) as u32
}

/// What is told in an hour of so many calls, and where nothing were known of the most that came.
fn told(days: i64, calls: u32) -> [bool; 2] {
    let rates = by_the_hour(days * 24, busy_or_not);
    let without = Rates { records: Records::default(), ..rates.clone() };
    [rates, without].map(|mut rates| {
        let ask = Ask::new(10.0, 20.0);
        (0..calls).any(|n| {
            let at = (20_000 + days) * DAY + 5 * MINUTE + i64::from(n) * 50 * MINUTE / i64::from(calls);
            rates.add(at, 1, AROUND, |_| 0);
            rates.too_many(at, &ask).is_some()
        })
    })
}

#[test]
fn far_more_than_ever_takes_less() {
    for (what, days, calls, want) in [
        ("half as many again as in the largest hour", 20, 300, [true, false]),
        ("as many as in the largest hour", 20, 200, [false, false]),
        ("before there were days enough", 9, 300, [false, false]),
    ] {
        assert_eq!(told(days, calls), want, "{what}");
    }
}

#[test]
fn a_record_is_of_the_days_before() {
    let mut rates = by_the_hour(20 * 24, busy_or_not);
    let most = rates.record(HOUR);
    assert!((190.0..215.0).contains(&most), "{most}");
    assert!(most < rates.record(3 * HOUR) && rates.record(10 * MINUTE) < most / 4.0);
    // More than ever for twenty hours: the day that it began in is not over before it is.
    for hour in 0..20 {
        for n in 0..500 {
            rates.add((20_020 * 24 + hour) * HOUR + n * HOUR / 500, 1, AROUND, |_| 0);
        }
        let [now, ever] = [rates.record(HOUR), rates.record(10 * MINUTE)];
        assert!(now < 215.0 && ever < 60.0, "{now} and {ever} after {hour} hours");
    }
    for hour in 20..60 {
        rates.add((20_020 * 24 + hour) * HOUR, 1, AROUND, |_| 0);
    }
    assert!(490.0 < rates.record(HOUR), "{}", rates.record(HOUR));
    assert_eq!(stored(&rates).records(), rates.records());
}

#[test]
fn calls_that_come_late_count_all_the_same() {
    let records = |late: i64| {
        let mut rates = Rates::default();
        let mut calls: Vec<(i64, i64)> = (0..3 * 24 * 60).map(|minute| (minute, 1 + minute * 7 % 5)).collect();
        // As they come: half of them so many minutes late.
        calls.sort_by_key(|(minute, _)| minute + if minute % 2 == 0 { 0 } else { late });
        for (minute, n) in calls {
            (0..n).for_each(|_| rates.add(20_000 * DAY + minute * MINUTE, 1, AROUND, |_| 0));
        }
        rates.records()
    };
    assert_eq!(records(0), records(4));
}

/// A market on Friday evenings: a week tells nothing of what comes once a week.
#[test]
fn a_second_friday_is_no_news_where_the_first_was_as_busy() {
    // From a Friday on: so many days after 1970.
    let start = 20_007 * 24;
    let add = |rates: &mut Rates, hour: i64, n: i64| {
        (0..n).for_each(|call| rates.add((start + hour) * HOUR + call * HOUR / n, 1, AROUND, |_| 0));
    };
    for (calls, want) in [(190, [false, true]), (900, [true, true])] {
        let mut rates = Rates::default();
        (0..7 * 24 + 19).for_each(|hour| add(&mut rates, hour, if (19..22).contains(&hour) { 200 } else { 6 }));
        let without = Rates { records: Records::default(), ..rates.clone() };
        let told = [rates, without].map(|mut rates| {
            (19..22).any(|hour| {
                add(&mut rates, 7 * 24 + hour, calls);
                let at = (start + 7 * 24 + hour) * HOUR + 59 * MINUTE;
                rates.too_many(at, &Ask::new(10.0, 20.0)).is_some()
            })
        });
        assert_eq!(told, want, "{calls} calls an hour");
    }
}

/// A nightly job of fifty calls; one night it goes on for another hour, with half as many again as in the one before.
#[test]
fn hours_that_grow_are_not_held_against_one_another() {
    let told = |night: [u32; 2]| {
        let mut rates = by_the_hour(10 * 24 + 2, |hour| if hour % 24 == 2 { 50 } else { 0 });
        night.into_iter().enumerate().find(|(n, calls)| {
            let start = 20_010 * DAY + (2 + *n as i64) * HOUR;
            (0..*calls).any(|call| {
                let at = start + i64::from(call) * HOUR / i64::from(*calls);
                rates.add(at, 1, AROUND, |_| 0);
                rates.too_many(at, &Ask::new(10.0, 20.0)).is_some()
            })
        })
    };
    assert_eq!(told([70, 0]), None);
    assert_eq!(told([70, 110]), Some((1, 110)));
}

/// What calls once in three minutes, day and night, on the first day of a month that it has not seen begin.
#[test]
fn a_machine_has_no_months() {
    // From 2024-10-04 on.
    let mut rates = by_the_hour(28 * 24, |_| 20);
    let told = (0..30).find(|minute| {
        let at = 20_028 * DAY + minute * MINUTE;
        add(&mut rates, at, 1);
        rates.too_many(at, &Ask::new(10.0, 20.0)).is_some()
    });
    assert!(told.is_some_and(|minute| minute < 28), "{told:?}");
}

/// Four times the usual calls of an hour in its first half, once a week: payouts, say.
#[test]
fn what_a_week_brings_at_one_hour_may_come_at_its_beginning() {
    let told = |hour: i64, calls: i64| {
        let mut rates = Rates::default();
        let add = |rates: &mut Rates, hour: i64, calls: i64, within: Millis| {
            (0..calls).any(|call| {
                let at = (20_000 * 24 + hour) * HOUR + call * within / calls;
                rates.add(at, 1, AROUND, |_| 0);
                rates.too_many(at, &Ask::new(10.0, 20.0)).is_some()
            })
        };
        for hour in 0..21 * 24 + hour {
            let [calls, within] = if hour % (7 * 24) == 8 { [160, HOUR / 2] } else { [40, HOUR] };
            add(&mut rates, hour, calls, within);
        }
        add(&mut rates, 21 * 24 + hour, calls, HOUR / 2)
    };
    assert!(!told(8, 165));
    assert!(told(8, 800), "far more than ever");
    assert!(told(14, 165), "at another hour");
}

/// So many calls an hour, and every so many hours a run of 100 within so long. Whether so many are told that come so many hours after the first
/// run, and where nothing were known of the most that came.
fn run_told(usual: i64, every: i64, hours: i64, within: Millis, calls: i64) -> [bool; 2] {
    let start = 20_003 * DAY + HOUR;
    let mut rates = Rates::default();
    for hour in 0..hours {
        let at = start + hour * HOUR;
        let run = if hour % every == 0 { 100 } else { 0 };
        let mut times: Vec<Millis> = (0..run).map(|n| at + n * within / run).collect();
        times.extend((0..usual).map(|n| at + n * HOUR / usual));
        times.sort_unstable();
        times.into_iter().for_each(|at| rates.add(at, 1, AROUND, |_| 0));
    }
    let without = Rates { records: Records::default(), ..rates.clone() };
    [rates, without].map(|mut rates| {
        (0..calls).any(|n| {
            let at = start + hours * HOUR + n * within / calls;
            rates.add(at, 1, AROUND, |_| 0);
            rates.too_many(at, &Ask::new(10.0, 20.0)).is_some()
        })
    })
}

#[test]
fn what_came_before_may_come_again_and_be_larger() {
    let (at_once, in_an_hour) = (4 * MINUTE, 50 * MINUTE);
    let (day, week, later) = (24, 7 * 24, 18 * 24);
    for (what, usual, every, hours, within, calls, want) in [
        ("the second run", 30, week, week, at_once, 140, [false, true]),
        ("a far larger one", 30, week, week, at_once, 400, [true, true]),
        ("the second run, where it takes an hour", 30, week, week, in_an_hour, 160, [false, true]),
        ("a far larger hour", 30, week, week, in_an_hour, 400, [true, true]),
        ("a run of each day", 200, day, later, at_once, 160, [false, true]),
        ("a far larger one of each day", 200, day, later, at_once, 250, [true, true]),
        ("as many at another hour, once weeks are known", 30, week, later + 10, at_once, 120, [true, true]),
    ] {
        assert_eq!(run_told(usual, every, hours, within, calls), want, "{what}");
    }
}
