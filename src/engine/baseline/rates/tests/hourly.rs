//! Jobs that run each hour: whenever in it they run, and however many calls they make.

use super::*;

/// A job that runs each hour for four minutes from `minute` on, one time with 40 calls and the other with 120.
fn hourly(minute: i64, days: i64) -> (Rates, Millis) {
    let mut rates = Rates::default();
    let start = 20_000 * DAY;
    for hour in 0..days * 24 {
        let calls = 40 + 80 * (hour * 7 % 5 % 2);
        for call in 0..calls {
            let at = start + hour * HOUR + minute * MINUTE + call * 4 * MINUTE / calls;
            rates.add(at, 1, AROUND, |_| 0);
        }
    }
    (rates, start + days * DAY - HOUR + minute * MINUTE + 4 * MINUTE)
}

#[test]
fn a_job_is_known_wherever_in_the_hour_it_runs() {
    // Within ten minutes of the clock, beyond their end, and beyond the hour's.
    for minute in [2, 48, 58] {
        let (rates, last) = hourly(minute, 14);
        assert!(rates.is_bursty() && rates.known.is_hourly, "at minute {minute}: {}", rates.bursts);
        let due = rates.silence_due(last, &ASK).map(|at| (at - last) / MINUTE);
        assert!(due.is_some_and(|minutes| (120..300).contains(&minutes)), "at minute {minute}: {due:?}");
    }
}

#[test]
fn a_run_at_its_hour_may_be_a_usual_one() {
    // Sixty calls at nine in the evening, every day for two weeks.
    let rates = by_the_hour(14 * 24, |hour| if hour.rem_euclid(24) == 21 { 60 } else { 0 });
    for (hour, calls, want) in [(21, 73.0, true), (12, 73.0, false), (21, 200.0, false)] {
        let at = (20_014 * 24 + hour) * HOUR;
        assert_eq!(rates.may_be_usual_burst(at, at + 10 * MINUTE, calls), want, "{calls} at {hour}");
    }
}

/// Six calls each quarter of an hour.
#[test]
fn of_runs_by_the_clock_two_must_be_left_out() {
    let mut rates = Rates::default();
    let (start, quarter) = (20_000 * DAY, 15 * MINUTE);
    (0..12 * 96).for_each(|run| add(&mut rates, start + run * quarter, 6));
    let last = start + (12 * 96 - 1) * quarter;
    let due = rates.silence_due(last, &Ask::new(11.7, 15.0)).unwrap() - last;
    assert!((2 * quarter + 4 * MINUTE..3 * quarter).contains(&due), "{due}");
    // The same calls, evenly spread: there are no runs.
    let mut rates = Rates::default();
    (0..12 * 96 * 6).for_each(|call| add(&mut rates, start + call * quarter / 6, 1));
    assert!(rates.silence_due(last, &Ask::new(11.7, 15.0)).unwrap() - last < 2 * quarter + 4 * MINUTE);
}
