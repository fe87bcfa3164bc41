//! What is far below all that came before, for hours.

use super::*;

/// An hour's calls of a shop whose times are busy or not, whatever hour it is.
fn busy_or_not(hour: i64) -> u32 {
    const TIMES: [f64; 8] = [0.5, 1.0, 0.6, 2.0, 0.4, 1.3, 0.8, 1.4];
    (40.0 * TIMES[(hour.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) as u64 >> 61) as usize]) as u32
}

/// Whether, and how, it is told that a part of the calls came for four hours.
fn told(rates: &Rates, days: i64, part: f64) -> Option<Excess> {
    let (ask, mut rates) = (Ask::new(15.0, 15.0), rates.clone());
    let from = (20_000 + days) * 24;
    (from..from + 4).find_map(|hour| {
        let calls = (part * f64::from(busy_or_not(hour))) as i64;
        (0..calls).find_map(|n| {
            let at = hour * HOUR + n * HOUR / calls.max(1);
            rates.add(at, 1, AROUND, |_| 0);
            rates.too_few(at, &ask)
        })
    })
}

#[test]
fn far_fewer_than_ever_take_less() {
    for (what, days, part, want) in [
        ("a quarter", 20, 0.25, [true, false]),
        ("a half", 20, 0.5, [false, false]),
        ("before there were days enough", 9, 0.25, [false, false]),
    ] {
        let rates = by_the_hour(days * 24, busy_or_not);
        let without = Rates { lows: Lows::default(), ..rates.clone() };
        assert_eq!([rates, without].map(|rates| told(&rates, days, part).is_some()), want, "{what}");
    }
}

#[test]
fn it_is_said_what_came_before() {
    let rates = by_the_hour(20 * 24, busy_or_not);
    let [least, longer] = rates.lows().before;
    assert!((50..75).contains(&least) && least <= longer && longer < 100, "{:?}", rates.lows());
    let few = told(&rates, 20, 0.25).unwrap();
    assert_eq!(few.window.length, 4 * HOUR);
    // A day has begun since.
    assert!(few.least_before.is_some_and(|before| before.abs_diff(u64::from(least)) <= 2), "{few:?}");
    assert!(few.surprise < 15.0, "{few:?}");
    assert_eq!(stored(&rates).lows(), rates.lows());
}

#[test]
fn what_was_not_seen_or_stayed_away_is_no_measure() {
    let lows_after = |unseen: bool, part: f64| {
        let mut rates = by_the_hour(20 * 24, busy_or_not);
        let from = 20_020 * 24;
        let gap = unseen.then_some((from * HOUR, (from + 6) * HOUR));
        for hour in from..from + 50 {
            let calls = if hour < from + 6 { (part * 40.0) as i64 } else { i64::from(busy_or_not(hour)) };
            for n in 0..calls {
                let around = Surroundings { unseen: gap, ..AROUND };
                rates.add(hour * HOUR + n * HOUR / calls, 1, around, |_| 0);
            }
        }
        rates.lows().before[0]
    };
    let before = by_the_hour(20 * 24, busy_or_not).lows().before[0];
    for (what, unseen, part) in [("nothing was seen", true, 0.1), ("nothing came", false, 0.0)] {
        let after = lows_after(unseen, part);
        assert!(before.abs_diff(after) <= 5, "{what}: {before} and then {after}");
    }
    assert!(lows_after(false, 0.4) + 10 < before, "what came is a measure: {}", lows_after(false, 0.4));
}

#[test]
fn a_low_is_forgotten_in_weeks() {
    let mut lows = Lows { before: [10, 255], ..Lows::default() };
    (0..21).for_each(|_| lows.turn());
    assert!((45..60).contains(&lows.before[0]), "{lows:?}");
    assert_eq!(lows.before[1], 255, "what is not known stays so");
}
