//! What is about the whole platform and no key of anybody's: told to operations.

use super::super::evidence::Evidence;
use super::super::when::{count, number};
use super::{Words, capital};
use crate::alert::{Alert, Kind};

/// There are far more calls, and nothing is refused or missing.
fn is_load(alert: &Alert) -> bool {
    alert.evidence.get("direction").and_then(serde_json::Value::as_str) == Some("load")
}

/// Most merchants have fallen silent.
fn are_few(alert: &Alert) -> bool {
    Evidence(alert).count("usually_calling").is_some()
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

/// What all merchants taken together show: `only 14 merchants call, and 46 are usual`.
fn wide(alert: &Alert) -> Option<String> {
    let evidence = Evidence(alert);
    let calling = evidence.count("calling")?;
    if let Some(usual) = evidence.count("usually_calling") {
        let few = if calling == 0 { "no merchants".to_owned() } else { format!("only {}", count(calling, "merchant")) };
        return Some(format!("{few} call, and {} are usual", number(usual)));
    }
    let refused = evidence.count("refused_merchants")?;
    Some(format!("calls of {} of {} are refused", number(refused), count(calling.max(refused), "merchant")))
}

/// `calls of 23 merchants are refused, all at once`; none where the alert is about something else, or they were not counted.
pub fn incident(alert: &Alert) -> Option<String> {
    let merchants = Evidence(alert).count("merchants").filter(|_| alert.kind == Kind::PlatformIncident)?;
    if let Some(wide) = wide(alert) {
        return Some(wide);
    }
    let merchants = count(merchants, "merchant");
    Some(match is_load(alert) {
        true => format!("{merchants} call far more than usual, all at once"),
        false => format!("calls of {merchants} {}, all at once", what(alert)),
    })
}

pub(super) const PLATFORM_INCIDENT: Words = Words {
    subject: |alert, _| match is_load(alert) {
        true => "many merchants call far more than usual".to_owned(),
        false if are_few(alert) => "far fewer merchants call than usual".to_owned(),
        false => "calls of many merchants fail at once".to_owned(),
    },
    tell: |t, story| {
        story.row("Merchants who call", t.evidence.count("calling").map(number));
        story.row("Usual at this time", t.evidence.count("usually_calling").map(number));
        story.row("Merchants refused", t.evidence.count("refused_merchants").map(number));
        let found = if t.evidence.count("calling").is_some() { "Merchants found" } else { "Merchants" };
        story.row(found, t.evidence.count("merchants").map(number));
        story.row("Keys", t.evidence.count("keys").map(number));
        story.row("Found", t.evidence.texts("kinds"));
        story.row("Such as", t.evidence.texts("examples"));
        let (lead, why) = match is_load(t.alert) {
            true => {
                ("Many merchants call far more than usual, all at once.", "One merchant's reasons do not reach others.")
            }
            false => (
                "Calls of many merchants are refused or stay away, all at once.",
                match are_few(t.alert) {
                    true => "So many merchants do not fall silent together by chance.",
                    false => "So many merchants do not fail together.",
                },
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert(evidence: serde_json::Value) -> Alert {
        serde_json::from_value(json!({
            "version": 1, "alert_id": "kw-1", "revision": 1, "rule": "platform-incident", "rule_hash": "", "kind": "platform_incident",
            "reasons": [], "score": 0.9, "severity": "high", "state": "firing", "starts_at": "2026-11-23T08:00:00Z",
            "detected_at": "2026-11-23T08:00:00Z", "ends_at": null, "merchant_id": null, "key_id": null, "key_hint": null,
            "source": null, "audience": "operations", "summary": "", "evidence": evidence, "runbook": [],
        }))
        .unwrap()
    }

    #[test]
    fn it_says_how_the_platform_shows_it() {
        for (evidence, subject, fact) in [
            (
                json!({"direction": "trouble", "merchants": 23, "kinds": ["drop: 4", "error_burst: 27"]}),
                "Calls of many merchants fail at once",
                "calls of 23 merchants are refused or stay away, all at once",
            ),
            (
                json!({"direction": "load", "merchants": 9}),
                "Many merchants call far more than usual",
                "9 merchants call far more than usual, all at once",
            ),
            (
                json!({"direction": "trouble", "merchants": 1, "calling": 1200, "usually_calling": 4300}),
                "Far fewer merchants call than usual",
                "only 1,200 merchants call, and 4,300 are usual",
            ),
            (
                json!({"direction": "trouble", "merchants": 1, "calling": 0, "usually_calling": 31}),
                "Far fewer merchants call than usual",
                "no merchants call, and 31 are usual",
            ),
            (
                json!({"direction": "trouble", "merchants": 2, "calling": 62, "refused_merchants": 40}),
                "Calls of many merchants fail at once",
                "calls of 40 of 62 merchants are refused",
            ),
        ] {
            let alert = alert(evidence);
            assert_eq!(incident(&alert).as_deref(), Some(fact));
            assert_eq!(super::super::subject(&alert), subject);
        }
    }
}
