//! What is not missed on public holidays.

use super::*;
use crate::event::Country;

fn holidays(country: &str) -> Holidays {
    Holidays::of(Country::new(country).unwrap())
}

fn ask_with(country: &str) -> Ask {
    Ask { holidays: holidays(country), ..ASK }
}

/// All Saints of 2024, a Friday; Christmas Day.
const ALL_SAINTS: Millis = 20_028 * DAY;
const CHRISTMAS: Millis = 20_082 * DAY;

/// Calls until the evening before a day, in these hours of each day.
fn until(day: Millis, hours: std::ops::Range<i64>, calls: u32) -> Rates {
    let days = day / DAY - 20_000;
    by_the_hour(days * 24, |hour| if hours.contains(&(hour % 24)) { calls } else { 0 })
}

#[test]
fn a_shop_is_missed_once_its_holidays_are_over() {
    let shop = |day: Millis| until(day, 8..20, 30);
    let closes = |day: Millis| day - 4 * HOUR - MINUTE;
    let due = |day: Millis, country: &str| shop(day).silence_due(closes(day), &ask_with(country)).unwrap();
    let morning = |day: Millis| day + 8 * HOUR..day + 12 * HOUR;
    for (day, country, missed_on) in [
        (ALL_SAINTS, "GB", ALL_SAINTS),
        (ALL_SAINTS, "AT", ALL_SAINTS + DAY),
        // There are two of them.
        (CHRISTMAS, "AT", CHRISTMAS + 2 * DAY),
        (CHRISTMAS, "FR", CHRISTMAS + DAY),
    ] {
        assert!(morning(missed_on).contains(&due(day, country)), "{country} {}", due(day, country) - day);
    }
}

#[test]
fn what_goes_on_at_night_goes_on_on_holidays() {
    let busy_at_night = by_the_hour(28 * 24, |hour| if (8..20).contains(&(hour % 24)) { 40 } else { 4 });
    for rates in [until(ALL_SAINTS, 0..24, 30), busy_at_night] {
        let due = |country: &str| rates.silence_due(ALL_SAINTS - MINUTE, &ask_with(country)).unwrap();
        assert_eq!(due("AT"), due("GB"));
        assert!(due("AT") < ALL_SAINTS + 12 * HOUR);
    }
}

#[test]
fn few_calls_of_a_shop_are_no_news_on_a_holiday() {
    let shop = until(ALL_SAINTS, 8..20, 30);
    let noon = ALL_SAINTS + 12 * HOUR;
    assert!(shop.may_be_holiday(noon - HOUR, noon, holidays("AT")));
    assert!(!shop.may_be_holiday(noon - HOUR, noon, holidays("GB")));
    assert!(!shop.may_be_holiday(noon + DAY - HOUR, noon + DAY, holidays("AT")));
    assert!(!until(ALL_SAINTS, 0..24, 30).may_be_holiday(noon - HOUR, noon, holidays("AT")));
}

#[test]
fn a_job_may_be_one_of_working_days() {
    let job = until(ALL_SAINTS, 4..5, 80);
    let due = |country: &str| job.silence_due(ALL_SAINTS - 19 * HOUR - MINUTE, &ask_with(country)).unwrap();
    assert!(due("GB") < ALL_SAINTS + 12 * HOUR, "{}", due("GB") - ALL_SAINTS);
    assert!((ALL_SAINTS + DAY..ALL_SAINTS + DAY + 12 * HOUR).contains(&due("AT")), "{}", due("AT") - ALL_SAINTS);
}

#[test]
fn what_is_usual_in_a_silence_is_counted_to_its_end_but_for_holidays() {
    let shop = until(CHRISTMAS, 8..20, 30);
    let usual = |country: &str| {
        shop.expected_in_silence(CHRISTMAS - 4 * HOUR, CHRISTMAS + 2 * DAY + 12 * HOUR, holidays(country))
    };
    // Two days and four hours; of them, both are holidays.
    for (country, want) in [("US", 30.0 * 16.0), ("CN", 30.0 * 28.0), ("AT", 30.0 * 4.0)] {
        assert!((0.9..1.1).contains(&(usual(country) / want)), "{country}: {}", usual(country));
    }
}
