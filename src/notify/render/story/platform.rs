//! What is about the whole platform and no key of anybody's: told to operations.

use super::super::evidence::Evidence;
use super::super::when::{count, number};
use super::{Words, capital};
use crate::alert::{Alert, Kind};

/// There are far more calls, and nothing is refused or missing.
fn is_load(alert: &Alert) -> bool {
    alert.evidence.get("direction").and_then(serde_json::Value::as_str) == Some("load")
}

/// What happens to the calls of many merchants, by what was found.
fn what(alert: &Alert) -> &'static str {
    let found = alert.evidence.get("kinds").and_then(serde_json::Value::as_array);
    let has = |kind: &str| found.into_iter().flatten().any(|one| one.as_str().is_some_and(|one| one.starts_with(kind)));
    match (has("error_burst"), has("drop")) {
        (true, false) => "are refused",
        (false, true) => "stay away",
        _ => "are refused or stay away",
    }
}

/// `calls of 23 merchants are refused, all at once`; none where the alert is about something else, or they were not counted.
pub fn incident(alert: &Alert) -> Option<String> {
    let merchants = Evidence(alert).count("merchants").filter(|_| alert.kind == Kind::PlatformIncident)?;
    let merchants = count(merchants, "merchant");
    Some(match is_load(alert) {
        true => format!("{merchants} call far more than usual, all at once"),
        false => format!("calls of {merchants} {}, all at once", what(alert)),
    })
}

pub(super) const PLATFORM_INCIDENT: Words = Words {
    subject: |alert, _| match is_load(alert) {
        true => "many merchants call far more than usual".to_owned(),
        false => "calls of many merchants fail at once".to_owned(),
    },
    tell: |t, story| {
        story.row("Merchants", t.evidence.count("merchants").map(number));
        story.row("Keys", t.evidence.count("keys").map(number));
        story.row("Found", t.evidence.texts("kinds"));
        story.row("Such as", t.evidence.texts("examples"));
        let (lead, why) = match is_load(t.alert) {
            true => {
                ("Many merchants call far more than usual, all at once.", "One merchant's reasons do not reach others.")
            }
            false => (
                "Calls of many merchants are refused or stay away, all at once.",
                "So many merchants do not fail together.",
            ),
        };
        story.lead = incident(t.alert).map_or_else(|| lead.to_owned(), |fact| format!("{}.", capital(&fact)));
        story.why.push(why.to_owned());
        story.nothing = "There is nothing to do if it was planned, such as maintenance.";
        story.steps = &[
            "Look what was released or changed at the gateway when it began, and undo it.",
            "Look at the gateway's own error rates and at the networks before it.",
        ];
        story.did = "The merchants were not told.";
    },
    ended: |alert, _| match is_load(alert) {
        true => "Ended: merchants call as usual again.".to_owned(),
        false => "Ended: calls come and are accepted as usual again.".to_owned(),
    },
};
