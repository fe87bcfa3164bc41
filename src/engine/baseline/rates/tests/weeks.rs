//! What comes once a week looks like nothing before until each day of the week was seen.

use super::*;

/// The first days of a night club's ticket shop, hour by hour: its first Friday is eight times as busy as the days before.
const DAYS: [[u32; 24]; 6] = [
    [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 4, 4, 3, 32, 15, 24, 10],
    [7, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 5, 8, 9, 18, 15, 9, 16],
    [2, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 2, 12, 3, 15, 12, 6, 11],
    [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3, 4, 6, 6, 12, 7, 7, 49],
    [26, 24, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 3, 13, 28, 94, 177, 168, 145, 89, 69],
    [38, 15, 8, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 11, 32, 36, 66, 64, 101, 100, 10],
];

#[test]
fn the_first_weekend_is_no_busy_day() {
    let mut rates = Rates::default();
    for (hour, calls) in (20_000 * 24..).zip(DAYS.concat()) {
        for call in 0..i64::from(calls) {
            let at = hour * HOUR + call * HOUR / i64::from(calls);
            rates.add(at, 1, AROUND, |_| 0);
            let told = rates.too_many(at, &ASK).filter(|told| told.window.length == DAY);
            assert!(told.is_none(), "hour {}: {told:?}", hour - 20_000 * 24);
        }
    }
}
