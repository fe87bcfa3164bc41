//! Calls that come in rows which stand for many.

use super::*;

/// A row every so many minutes from the beginning of day 20,000 on: so many calls in each, none where they are none.
fn rows(every: i64, days: i64, calls: impl Fn(i64) -> u32) -> Rates {
    let mut rates = Rates::default();
    for row in 0..days * DAY / MINUTE / every {
        let (at, calls) = (20_000 * DAY + row * every * MINUTE, calls(row));
        if calls > 0 {
            rates.add(at, calls, AROUND, |_| 0);
        }
    }
    rates
}

#[test]
fn a_night_of_single_calls_does_not_end_it() {
    let is_day = |row: i64| row * 5 / 60 % 24 < 12;
    let rates = rows(5, 10, |row| if is_day(row) { 30 } else { 1 });
    assert!(rates.is_in_rows());
    // Nor do a few rows begin it.
    let rates = rows(5, 10, |row| if row % 300 == 299 { 30 } else { 1 });
    assert!(!rates.is_in_rows());
}

/// Half hours of about a thousand calls; from the beginning of the last day on so many, which are too few after so many rows.
#[test]
fn half_of_them_missing_is_told() {
    for (calls, want) in [(1_000, None), (700, None), (450, Some(4..12)), (200, Some(1..8))] {
        let mut rates = rows(30, 21, |row| 950 + (row * 7919 % 100) as u32);
        let told = (0..24).find(|row| {
            let at = 20_021 * DAY + row * 30 * MINUTE;
            rates.add(at, calls, AROUND, |_| 0);
            rates.too_few(at, &Ask::new(11.7, 15.0)).is_some() && !rates.is_back(at)
        });
        assert_eq!(told.is_some(), want.is_some(), "{calls}: {told:?}");
        assert!(told.is_none_or(|row| want.clone().is_some_and(|want| want.contains(&row))), "{calls}: {told:?}");
    }
}
