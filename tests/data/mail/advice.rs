//! Advice that depends on what was found: refusals, keys in the wrong place, keys that others have replaced, incidents.

use keywatch::alert::{Alert, Kind, Receiver};
use keywatch::rules::shipped::SHIPPED;
use serde_json::{Value, json};

use crate::laws::plain_words;
use crate::{decide, decide_with, facts, fresh, group, live_at_test, one, resolved};

/// With the steps of the rule that ships.
fn with_its_steps(mut alert: Alert) -> Alert {
    let name = format!("{}.yml", alert.rule);
    let (_, text) = SHIPPED.iter().find(|(file, _)| *file == name).expect("a rule of this name ships");
    let steps = text.split("runbook:\n").nth(1).unwrap_or_default().lines();
    alert.runbook = steps.filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect();
    alert
}

fn refused(reason: Value, status: Value, is_own: bool) -> Alert {
    let mut alert = one(Kind::ErrorBurst);
    (alert.evidence["reason"], alert.evidence["status"]) = (reason, status);
    alert.evidence["from_known_network"] = json!(is_own);
    alert
}

fn told(alert: &Alert) -> String {
    let decision = decide(Receiver::Merchant, &[fresh(alert.clone())]);
    plain_words(&alert.rule, &decision);
    let text = decision.plan.mail.text;
    let lead: String = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    assert!(lead.chars().count() <= 100, "{lead}");
    text.replace('\n', " ")
}

#[test]
fn advice_about_refusals_fits_their_reason() {
    let (header, slower, undo, others) =
        ("without spaces", "call less often", "was released or changed", "find out who they are");
    for (reason, status, is_own, said, not_said) in [
        (json!("malformed_header"), Value::Null, true, vec![undo, "whole key"], vec![slower, others]),
        (
            json!("rate_limited"),
            json!(429),
            true,
            vec![slower, "calls more often"],
            vec![header, "whole key", undo, others],
        ),
        (
            Value::Null,
            json!(403),
            true,
            vec![undo, "Reason: none is given, status 403"],
            vec!["not permitted", slower, "whole key", others],
        ),
        (
            json!("rate_limited"),
            json!(429),
            false,
            vec!["Others try your live key", others],
            vec!["calls more often", "small payment", undo, slower],
        ),
    ] {
        let alert = with_its_steps(refused(reason.clone(), status, is_own));
        let text = told(&alert);
        // Without a runbook the kind's own steps say the same.
        told(&Alert { runbook: Vec::new(), ..alert });
        for said in said {
            assert!(text.contains(said), "{reason} {is_own}: no `{said}` in {text}");
        }
        for not_said in not_said {
            assert!(!text.contains(not_said), "{reason} {is_own}: `{not_said}` in {text}");
        }
    }
    let case = resolved(refused(json!("rate_limited"), Value::Null, false));
    let ended = decide_with(&group(Receiver::Merchant, 1), &[case], Some(&facts()), &[]).unwrap();
    let text = ended.plan.mail.text.replace('\n', " ");
    assert!(text.starts_with("Ended: others no longer try your live key …9f2c."), "{text}");
    assert!(text.contains("do replace the key") && !text.contains("accepted again"), "{text}");
}

#[test]
fn a_key_in_the_wrong_place_gets_the_steps_of_that_place() {
    let (to_live, to_test) = ("For a test key at live", "For a live key at the sandbox");
    let text = told(&with_its_steps(one(Kind::EnvMismatch)));
    assert!(text.contains(to_live) && !text.contains(to_test) && !text.contains("that test system"), "{text}");
    let text = told(&with_its_steps(live_at_test()));
    assert!(!text.contains(to_live) && text.contains(to_test) && text.contains("that test system"), "{text}");
    assert!(text.contains("Look up in this mail"), "{text}");
}

#[test]
fn nobody_is_told_that_they_replaced_a_key_themselves() {
    let text = told(&one(Kind::RotatedKeyUse));
    assert!(!text.contains("You replaced"), "{text}");
    assert!(text.contains("If none of you replaced it, somebody else can sign in."), "{text}");
    let mut made = one(Kind::KeyLifecycle);
    (made.evidence["replaces"], made.key_id) = (json!("key_81"), Some("key_82".into()));
    made.alert_id = "kw-made".into();
    let both = decide(Receiver::Merchant, &[fresh(made), fresh(one(Kind::RotatedKeyUse))]);
    let text = both.plan.mail.text.replace('\n', " ");
    assert!(text.contains("Check who did it.") && !text.contains("Put the new key there. What"), "{text}");
}

#[test]
fn a_key_that_was_made_elsewhere_says_where() {
    let mut alert = one(Kind::KeyLifecycle);
    (alert.evidence["made_before"], alert.evidence["places_before"]) = (json!(0), json!([]));
    if let Some(source) = &mut alert.source {
        (source.country, source.organisation) = (Some("GB".into()), Some("Severn Broadband".into()));
    }
    for receiver in [Receiver::Merchant, Receiver::Support] {
        let text = decide(receiver, &[fresh(alert.clone())]).plan.mail.text.replace('\n', " ");
        assert!(text.contains("203.0.113.7 (Severn Broadband, United Kingdom)"), "{text}");
        assert!(!text.contains("Made before") && !text.contains("laces before"), "{text}");
    }
}

#[test]
fn an_incident_says_how_many_and_what() {
    let lead = |kinds: Value, direction: &str| {
        let mut alert = one(Kind::PlatformIncident);
        (alert.evidence["kinds"], alert.evidence["direction"]) = (kinds, json!(direction));
        alert.evidence["ended"] = json!("over");
        alert.merchant_id = None;
        let mut group = group(Receiver::Operations, 0);
        group.merchant_id = String::new();
        let told = decide_with(&group, &[fresh(alert)], None, &[]).unwrap().plan.mail.text.replace('\n', " ");
        for ours in ["Direction", "- Ended", "not known", "trouble"] {
            assert!(!told.contains(ours), "{ours}: {told}");
        }
        told
    };
    for (kinds, direction, want) in [
        (json!(["error_burst: 27"]), "trouble", "High: calls of 23 merchants are refused, all at once."),
        (json!(["drop: 27"]), "trouble", "High: calls of 23 merchants stay away, all at once."),
        (json!(["drop: 4", "error_burst: 27"]), "trouble", "High: calls of 23 merchants are refused or stay away"),
        (json!(["spike: 27"]), "load", "High: 23 merchants call far more than usual, all at once."),
    ] {
        let text = lead(kinds, direction);
        assert!(text.starts_with(want), "{text}");
    }
}

#[test]
fn small_numbers_are_not_rounded_to_nothing() {
    let mut alert = one(Kind::ErrorBurst);
    (alert.evidence["share"], alert.evidence["novelty"]) = (json!(0.25), json!(0.004));
    let text = decide(Receiver::Support, &[fresh(alert)]).plan.mail.text;
    for want in ["- Share: 25 %", "- Novelty: 0.4 %", "- Usual: 0.2", "- Reason: malformed header"] {
        assert!(text.contains(want), "{want}: {text}");
    }
    let travel = decide(Receiver::Merchant, &[fresh(one(Kind::ImpossibleTravel))]).plan.mail.text.replace('\n', " ");
    assert!(travel.contains("used in Singapore and Germany at once"), "{travel}");
}
