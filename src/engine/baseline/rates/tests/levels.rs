//! How the last day compares with what is usual, and what of it is held against what.

use super::*;

/// The hour after its twenty days.
const FROM: i64 = 20_020 * 24;

/// A small shop: few calls an hour, more or fewer of them whatever hour it is.
fn a_few(hour: i64) -> u32 {
    const CALLS: [u32; 7] = [1, 6, 4, 9, 2, 7, 6];
    CALLS[(hour.wrapping_mul(5).wrapping_add(hour / 24)).rem_euclid(7) as usize]
}

/// The key after twenty days, and then so many hours in which a part of the calls came.
fn after(hours: i64, part: f64) -> Rates {
    let mut rates = by_the_hour(20 * 24, a_few);
    for hour in 0..hours {
        for n in 0..(part * f64::from(a_few(20 * 24 + hour))).round() as i64 {
            add(&mut rates, (FROM + hour) * HOUR + n * MINUTE, 1);
        }
    }
    add(&mut rates, (FROM + hours) * HOUR, 1);
    rates
}

#[test]
fn what_stays_away_is_not_held_against_itself() {
    let before = after(0, 1.0).level();
    for (part, moves) in [(0.3, true), (1.0, false)] {
        let rates = after(12, part);
        assert_eq!(rates.level() < before - 0.05, moves, "{part} of the calls: {} after {before}", rates.level());
        let undone = rates.level_before(FROM);
        assert!((undone - before).abs() < 0.03, "{part} of the calls: {undone}, not {before}");
    }
}

#[test]
fn a_fifth_of_few_calls_is_told_after_half_a_day() {
    for (part, want) in [(0.7, None), (0.2, Some(12 * HOUR))] {
        let told = (1..16).find_map(|hours| {
            let rates = after(hours, part);
            rates.too_few((FROM + hours) * HOUR, &Ask::new(11.7, 15.0)).map(|few| few.window.length)
        });
        assert_eq!(told, want, "{part} of the calls");
    }
}
