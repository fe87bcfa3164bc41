//! When a key rests, whatever its profile has learned.

use super::*;

fn call(rates: &mut Rates, at: Millis, times: u32) {
    rates.note_silence(at, None);
    add(rates, at, times);
}

/// Two calls a minute from 8 to 20 o'clock for two weeks, then `n` days on which as many come at night, then days as before.
fn after_nights(n: i64, days: i64) -> Rates {
    let mut rates = Rates::default();
    let start = 20_000 * DAY;
    for minute in 0..(14 + n + days) * 24 * 60 {
        let at = start + minute * MINUTE;
        let works_at_night = (14..14 + n).contains(&(minute / (24 * 60)));
        if works_at_night || (8..20).contains(&at.div_euclid(HOUR).rem_euclid(24)) {
            call(&mut rates, at, 2);
        }
    }
    rates
}

#[test]
fn a_night_is_not_missed_that_rested_the_day_before_or_last_week() {
    let is_missed = |rates: &Rates, from: Millis, morning: Millis| {
        rates.silence_due(from - MINUTE, &ASK).is_some_and(|due| due < morning)
    };
    for days in [1, 2, 4, 8] {
        let rates = after_nights(7, days);
        let closes = (20_020 + days) * DAY + 20 * HOUR;
        let without = Rates { still: StillHours::default(), ..rates.clone() };
        assert!(is_missed(&without, closes, closes + 12 * HOUR), "day {days}: the profile has learned the nights");
        assert!(!is_missed(&rates, closes, closes + 12 * HOUR), "day {days}");
    }
    let midnight = 20_021 * DAY;
    assert!(is_missed(&after_nights(7, 0), midnight, midnight + 8 * HOUR), "worked last week and yesterday");
}

#[test]
fn what_nobody_saw_is_no_rest_and_a_silence_is_held_against_the_week_before() {
    let (mut rates, day) = (after_nights(3, 0), 20_017 * DAY);
    let before = rates.still_hours();
    (8 * 60..10 * 60).for_each(|minute| call(&mut rates, day + minute * MINUTE, 2));
    let silent_from = day + 10 * HOUR - MINUTE;
    assert!(rates.silence_due(silent_from, &ASK).is_some_and(|due| due < day + 11 * HOUR));
    let back = day + 16 * HOUR;
    let mut unseen = rates.clone();
    unseen.note_silence(back, Some((day + 11 * HOUR, back)));
    assert_eq!(unseen.still_hours(), before);
    assert!(rates.silence_due(silent_from, &ASK).is_some_and(|due| due < day + 11 * HOUR), "while it lasts");
    rates.note_silence(back, None);
    assert_ne!(rates.still_hours(), before);
    // A single hour, or four of them, come about by chance.
    for (hours, rests) in [(1, false), (4, false), (5, true)] {
        let mut still = StillHours::default();
        (100..100 + hours).for_each(|hour| still.set(hour, true));
        assert_eq!(still.rested(100), rests, "{hours}");
        assert_eq!(still.rested(100 + 7 * 24), rests, "{hours}");
    }
}
