//! `spike`: far more accepted calls than usual.

use crate::lab::check_with;

#[track_caller]
fn check(script: &str, want: &str) -> Vec<keywatch::alert::Alert> {
    check_with("spike", &[], script, want)
}

/// A key that calls twelve times an hour, day and night.
const STEADY: &str = "0d..20d/5m k ok 203.0.113.1\n";

#[test]
fn four_minutes_are_enough_and_it_ends_an_hour_after_the_last() {
    check(&format!("{STEADY} 15d10:30..15d10:34/2s k ok 203.0.113.1"), "k 15d10:30..15d11:40 warning r2");
}

#[test]
fn one_line_may_stand_for_many_calls() {
    check(&format!("{STEADY} 15d10:30:10 k ok 203.0.113.1 x200"), "k 15d10:30..15d11:35 warning r2");
    check(&format!("{STEADY} 15d10:30:10 k denied 203.0.113.1 x200"), "");
}

#[test]
fn a_rise_that_ten_minutes_do_not_show_is_seen_in_the_hour() {
    let script = "0d..20d/30s k ok 203.0.113.1\n 15d10:00..15d11:00/10s k ok 203.0.113.1";
    let alerts = check(script, "k 15d10:00..15d12:05:30 warning r2");
    assert_ne!(alerts[0].evidence["window"], "10m");
}

#[test]
fn its_last_day_is_told_for_a_chart() {
    let script = "0d..20d/30s k ok 203.0.113.1\n 15d10:00..15d11:00/10s k ok 203.0.113.1";
    let alerts = check(script, "k 15d10:00..15d12:05:30 warning r2");
    let series = &alerts[0].evidence["series"];
    let numbers = |name: &str| series[name].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
    let (observed, usual) = (numbers("observed"), numbers("usual"));
    assert_eq!((observed.len(), usual.len(), series["step"].as_str()), (24, 24, Some("1h")));
    assert!(observed[..23].iter().all(|calls| *calls == 120.0), "the hours before: {observed:?}");
    assert!(240.0 < observed[23] && usual.iter().all(|calls| (110.0..130.0).contains(calls)), "{observed:?} {usual:?}");
}

#[test]
fn a_few_calls_of_a_silent_key_are_none() {
    check("0d..20d/1d k ok 203.0.113.1\n 15d10:00 k ok 203.0.113.1 x2\n end 16d", "");
    check("0d..20d/1d k ok 203.0.113.1\n 15d10:00 k ok 203.0.113.1 x18\n end 16d", "");
}

#[test]
fn a_key_that_is_still_learned_is_quiet() {
    let script = "0d..20d/5m k ok 203.0.113.1\n 6d10:30:10 k ok 203.0.113.1 x500\n";
    check_with("spike", &["spike.learning_days=7"], script, "");
    check(script, "k 6d10:30..6d11:35 warning r2");
}

#[test]
fn three_times_the_usual_of_a_steady_key_is_one() {
    check(
        "0d..20d/30s k ok 203.0.113.1
         15d10:00..15d11:00/15s k ok 203.0.113.1",
        "k 15d10:00..15d12:05:30 warning r2",
    );
}

#[test]
fn it_goes_on_while_calls_do() {
    let alerts = check(&format!("{STEADY} 15d10:30..15d12:30/5s k ok 203.0.113.1"), "k 15d10:30..15d13:35 warning r2");
    assert_eq!(alerts.len(), 1);
}
