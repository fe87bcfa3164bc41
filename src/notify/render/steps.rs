//! Which steps of a rule's runbook fit what was found. A rule has one list for all that its kind finds; a step that begins
//! with one of these words is left out of a mail where they are not true. Every other step is always shown.

use super::evidence::Evidence;
use crate::alert::Alert;

/// What such a step begins with, and when it fits.
type Condition = (&'static str, fn(Evidence<'_>) -> bool);

const CONDITIONS: [Condition; 11] = [
    ("For a test key at live, ", |evidence| evidence.test_key_at_live()),
    ("For a live key at the sandbox, ", |evidence| !evidence.test_key_at_live()),
    ("If others can read that test system, ", |evidence| !evidence.test_key_at_live()),
    ("If the program collects leaked keys, ", |evidence| evidence.finds_keys()),
    ("If nobody knows it, look on the server", |evidence| !evidence.finds_keys()),
    ("If payments were declined, ", |evidence| evidence.tries_cards()),
    ("Check whether a sale, an import or a campaign was running.", |evidence| !evidence.tries_cards()),
    ("If others send these calls, ", |evidence| evidence.is_by_strangers()),
    ("If the reason is rate limited, ", |evidence| !evidence.is_by_strangers() && evidence.is_rate_limited()),
    ("If the reason is the header or the key, ", |evidence| !evidence.is_by_strangers() && evidence.is_about_header()),
    ("If your own program sends them, ", |evidence| !evidence.is_by_strangers() && !evidence.is_rate_limited()),
];

/// The steps of an alert's runbook that fit it.
pub fn fitting(alert: &Alert) -> impl Iterator<Item = &String> {
    let evidence = Evidence(alert);
    alert.runbook.iter().filter(move |step| {
        CONDITIONS.iter().find(|(begins, _)| step.starts_with(begins)).is_none_or(|(_, fits)| fits(evidence))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::shipped::SHIPPED;

    /// A step that is reworded would be shown to everybody.
    #[test]
    fn each_condition_begins_a_step_that_ships() {
        for (begins, _) in CONDITIONS {
            let stands = SHIPPED.iter().any(|(_, text)| text.contains(&format!("  - {begins}")));
            assert!(stands, "no rule that ships has a step with `{begins}`");
        }
    }
}
