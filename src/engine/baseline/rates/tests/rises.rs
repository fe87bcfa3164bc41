//! Days that rise, one after the other.

use super::*;

/// A key of so many calls an hour for sixteen days, and then of these times as many, day by day: whether the days' calls are told, and on which day.
fn told(times: &[f64], without: bool) -> Option<usize> {
    const USUAL: [f64; 5] = [6.0, 14.0, 9.0, 12.0, 4.0];
    let usual = |hour: i64| USUAL[(hour.wrapping_mul(3) + hour / 24).rem_euclid(5) as usize];
    let mut rates = by_the_hour(16 * 24, |hour| usual(hour) as u32);
    (0..times.len()).find(|day| {
        (0..24).any(|hour| {
            let since = (16 + *day as i64) * 24 + hour;
            if without {
                rates.set_rises(Rises::default());
            }
            let calls = (usual(since) * times[*day]).round() as i64;
            (0..calls).any(|n| {
                let at = (20_000 * 24 + since) * HOUR + n * HOUR / calls;
                rates.add(at, 1, AROUND, |_| 0);
                n % 8 == 0 && rates.too_many(at, &Ask::new(11.0, 20.0)).is_some()
            })
        })
    })
}

#[test]
fn half_as_much_again_each_day_is_told_a_day_earlier() {
    let rising = [1.4, 1.9, 2.6, 3.6];
    assert_eq!([false, true].map(|without| told(&rising, without)), [Some(2), Some(3)]);
}

#[test]
fn growth_of_weeks_is_none() {
    let growing: Vec<f64> = (1..=10).map(|day| 1.115_f64.powi(day)).collect();
    assert_eq!(told(&growing, false), None);
    assert_eq!(told(&[1.6, 1.7, 1.6, 1.7], false), None, "a sale");
}

#[test]
fn what_is_stored_rises_the_same() {
    let rates = by_the_hour(20 * 24, |hour| 4 + (hour / 24) as u32);
    assert_ne!(rates.rises(), Rises::default());
    assert_eq!(stored(&rates).rises(), rates.rises());
}
