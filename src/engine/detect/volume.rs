//! What the kinds about volume share: a budget of false alerts as the odds of one test, odds in plain words, and
//! evidence.

use serde_json::{Value, json};

use crate::engine::baseline::rates::{Excess, Rates};
use crate::time::{HOUR, MINUTE, Millis, duration_text, rfc3339};

/// The surprise (-ln of the odds) that one test takes, where so many independent ones a day share a budget of false alerts
/// in 1,000 key-days (Bonferroni).
pub fn surprise_of(budget: f64, tests_a_day: f64) -> f64 {
    -(budget / 1000.0 / tests_a_day).min(0.5).ln()
}

/// How often a key would show this by chance: `about once in 4 years`.
pub fn odds_in_words(surprise: f64, tests_a_day: f64) -> String {
    let days = surprise.min(60.0).exp() / tests_a_day;
    match days / 365.25 {
        years if years >= 1000.0 => "less than once in 1,000 years".to_owned(),
        years if years >= 1.5 => format!("about once in {years:.0} years"),
        years if years >= 0.75 => "about once a year".to_owned(),
        years if years >= 0.12 => format!("about once in {:.0} months", years * 12.0),
        _ if days >= 1.5 => format!("about once in {days:.0} days"),
        _ => "about once a day".to_owned(),
    }
}

/// The same as a sentence.
pub fn odds_sentence(surprise: f64, tests_a_day: f64) -> String {
    format!("By chance this happens {} for this key.", odds_in_words(surprise, tests_a_day))
}

/// A number with commas between thousands.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 call`, `1,204 calls`.
pub fn calls(n: u64) -> String {
    format!("{} call{}", number(n), if n == 1 { "" } else { "s" })
}

/// A window in words: `10 minutes`, `an hour`, `27 hours`.
pub fn length(window: Millis) -> String {
    match window {
        HOUR => "an hour".to_owned(),
        window if window % HOUR == 0 && HOUR < window => format!("{} hours", window / HOUR),
        window if window % MINUTE == 0 && MINUTE < window => format!("{} minutes", window / MINUTE),
        window => duration_text(window),
    }
}

/// What is usual in a window: `about 9 are usual at this hour`.
pub fn usual(expected: f64, window: Millis) -> String {
    let when = if window <= HOUR { "at this hour" } else { "in such a time" };
    match expected.round() as u64 {
        0 => format!("hardly any are usual {when}"),
        1 => format!("about 1 is usual {when}"),
        n => format!("about {} are usual {when}", number(n)),
    }
}

/// What a count that is larger than ever was before: `It never made more than about 35 in 30 minutes before. `; nothing of others.
pub fn record(excess: &Excess) -> String {
    let most = excess.most_before.filter(|most| *most < excess.window.observed);
    most.map_or_else(String::new, |most| {
        format!("It never made more than about {} in {} before. ", number(most), length(excess.window.length))
    })
}

/// What a count that is lower than ever was before, where that tells it: `At least 62 % of the usual calls have come in 4 hours until now.`
pub fn least(few: &Excess) -> Option<String> {
    let least = few.least_before?;
    Some(format!("At least {least} % of the usual calls have come in {} until now.", length(few.window.length)))
}

/// The evidence of an excess: what every kind about volume says of it. `usual_up_to` only where more would be too many.
pub fn evidence(excess: &Excess, tests_a_day: f64, rates: &Rates, at: Millis) -> Vec<(&'static str, Value)> {
    let window = excess.window;
    let mut evidence = vec![
        ("observed", window.observed.into()),
        ("expected", json!((window.expected * 10.0).round() / 10.0)),
        ("window", duration_text(window.length).into()),
        ("learned_days", rates.days_learned().into()),
        ("series", series(rates, at)),
    ];
    evidence.extend(excess.usual_up_to.map(|most| ("usual_up_to", most.into())));
    match excess.least_before {
        // Not how rare it is tells it.
        Some(least) => evidence.push(("least_before", json!(least as f64 / 100.0))),
        None => evidence.push(("odds", odds_in_words(excess.surprise, tests_a_day).into())),
    }
    evidence.extend(excess.most_before.map(|most| ("most_before", most.into())));
    evidence
}

/// The last day as numbers for a chart: calls of each hour, and what is usual.
pub fn series(rates: &Rates, at: Millis) -> Value {
    let day = rates.last_day(at);
    let usual: Vec<f64> = day.usual.iter().map(|calls| (calls * 10.0).round() / 10.0).collect();
    json!({"starts_at": rfc3339(day.starts_at), "step": "1h", "observed": day.observed, "usual": usual})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_are_said_plainly() {
        for (days, want) in [
            (0.5, "about once a day"),
            (20.0, "about once in 20 days"),
            (183.0, "about once in 6 months"),
            (365.0, "about once a year"),
            (1461.0, "about once in 4 years"),
            (1e9, "less than once in 1,000 years"),
        ] {
            let surprise = f64::ln(days * 100.0);
            assert_eq!(odds_in_words(surprise, 100.0), want);
        }
    }

    #[test]
    fn counts_are_said_plainly() {
        for (window, want) in [
            (4 * MINUTE, "4 minutes"),
            (HOUR, "an hour"),
            (6 * HOUR, "6 hours"),
            (24 * HOUR, "24 hours"),
            (27 * HOUR, "27 hours"),
            (90 * MINUTE, "90 minutes"),
        ] {
            assert_eq!(length(window), want);
        }
        assert_eq!([calls(1), calls(71_919)], ["1 call", "71,919 calls"]);
        for (expected, window, want) in [
            (0.4, HOUR, "hardly any are usual at this hour"),
            (1.2, HOUR, "about 1 is usual at this hour"),
            (1_850.0, 24 * HOUR, "about 1,850 are usual in such a time"),
        ] {
            assert_eq!(usual(expected, window), want);
        }
    }

    #[test]
    fn a_budget_is_shared_by_the_tests_of_a_day() {
        assert!((surprise_of(1.0, 100.0) - f64::ln(100_000.0)).abs() < 1e-9);
    }
}
