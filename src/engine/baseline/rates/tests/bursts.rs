//! Bursts of some minutes.

use super::*;

#[test]
fn a_burst_must_be_larger_before_each_day_of_the_week_was_seen() {
    // Forty calls an hour, then so many within four minutes, where 20 more than usual are asked for.
    for (days, calls, want) in [(8, 50, false), (8, 70, true), (12, 50, true), (12, 35, false)] {
        let mut rates = by_the_hour(days * 24, |_| 40);
        let told = (0..calls).any(|call| {
            let at = (20_000 + days) * DAY + call * 4 * MINUTE / calls;
            add(&mut rates, at, 1);
            rates.too_many(at, &Ask::new(10.0, 20.0)).is_some_and(|told| told.window.length <= 10 * MINUTE)
        });
        assert_eq!(told, want, "{calls} calls after {days} days");
    }
}
