//! Jobs that run every day, and what came beside them.

use super::*;
use crate::engine::baseline::rates::jobs::JOB_EVERY;

/// The hour in which the job runs, and the first day on which it does not.
const RUNS_AT: i64 = 2;
const DAYS: i64 = 12;

/// A job of 300 calls each night until day twelve, then single calls at these hours of that day.
fn nightly(single: &[i64]) -> (Rates, Millis) {
    let mut rates = by_the_hour(DAYS * 24, |hour| match hour % 24 {
        RUNS_AT => 300,
        15 => u32::from(hour / 24 % 3 == 0),
        _ => 0,
    });
    let day = (20_000 + DAYS) * DAY;
    // The last call of the last run.
    let mut last = day - 2 * HOUR;
    add(&mut rates, last, 1);
    for hour in single {
        last = day + hour * HOUR;
        add(&mut rates, last, 1);
    }
    (rates, last)
}

#[test]
fn single_calls_do_not_stand_for_a_run() {
    let ran = (20_000 + DAYS - 1) * DAY + (RUNS_AT + 1) * HOUR;
    for (single, want) in [(&[][..], (ran, 1)), (&[0], (ran, 2)), (&[0, 1], (ran, 3))] {
        let (rates, last) = nightly(single);
        assert_eq!(rates.missing_since(last, None), want, "{single:?}");
        let due = rates.silence_due(want.0, &ASK).unwrap();
        assert_eq!(due, ran + JOB_EVERY, "{single:?}");
        assert!(!rates.is_back_to_stay(last));
    }
    // The run is a day ago.
    let (rates, last) = nightly(&[0, 5]);
    assert_eq!(rates.missing_since(last, None), (last - 23 * HOUR, 3));
}

#[test]
fn what_was_not_seen_may_have_been_a_run() {
    let (rates, last) = nightly(&[1]);
    let (from, _) = rates.missing_since(last, None);
    assert_eq!(rates.missing_since(last, Some(from)), (from, 2));
    assert_eq!(rates.missing_since(last, Some(from + 1)), (last, 0));
}

#[test]
fn half_a_run_is_a_run() {
    let (mut rates, last) = nightly(&[]);
    let run = last + 4 * HOUR;
    (0..10).for_each(|n| add(&mut rates, run + n * MINUTE, 15));
    let last = run + 9 * MINUTE;
    assert_eq!(rates.missing_since(last, None), (last, 0));
    assert!(rates.is_back_to_stay(last));
}

#[test]
fn what_calls_all_day_is_missed_from_its_last_call_on() {
    let rates = by_the_hour(DAYS * 24, |_| 12);
    let last = (20_000 + DAYS) * DAY - 5 * MINUTE;
    assert_eq!(rates.missing_since(last, None), (last, 0));
}
