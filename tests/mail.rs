//! Mail from end to end: golden messages, the plan's decisions, SMTP answers, and the delivery loop.

#![expect(clippy::disallowed_methods, reason = "the environment names a server")]

use std::collections::BTreeMap;

use keywatch::alert::{Alert, Audience, Kind, Reason, Receiver, Severity, Source, State, alert_id};
use keywatch::alerting::group::{ALERTS_PER_MAIL, Decision, NoticeContext, Why, plan, plan_old_news};
use keywatch::event::facts::{KeyFacts, MerchantFacts};
use keywatch::notify::render::{HTML_MAX, OldNews};
use keywatch::store::{Group, GroupCase};
use keywatch::time::{DAY, HOUR, MINUTE, Millis};
use laws::{lawful, plain_words};
use serde_json::{Value, json};

#[path = "data/mail/advice.rs"]
mod advice;
#[path = "data/mail/delivery.rs"]
mod delivery;
#[path = "data/mail/laws.rs"]
mod laws;
#[path = "data/mail/words.rs"]
mod words;

/// Mon 23 Nov 2026, 08:00 UTC.
const T0: Millis = 1_795_420_800_000;

fn facts() -> MerchantFacts {
    MerchantFacts {
        name: Some("Acme Shop".into()),
        contacts: vec!["owner@acme.example".into(), "dev@acme.example".into()],
        timezone: Some("Europe/Berlin".into()),
        ..MerchantFacts::default()
    }
}

fn keys() -> BTreeMap<String, KeyFacts> {
    let key = KeyFacts { name: Some("Shop backend".into()), created_at: Some(T0 - 400 * DAY), ..KeyFacts::default() };
    BTreeMap::from([("key_81".to_owned(), key)])
}

fn alert(kind: Kind, severity: Severity, evidence: Value) -> Alert {
    let (rule, subject) = (kind.as_str().replace('_', "-"), "key_81".to_owned());
    Alert {
        version: 1,
        alert_id: alert_id(&rule, &subject, T0),
        revision: 1,
        rule,
        rule_hash: "h".into(),
        kind,
        reasons: vec![Reason { kind, score: 0.97, text: "The network was never seen for this key.".into() }],
        score: 0.97,
        severity,
        state: State::Firing,
        starts_at: T0,
        detected_at: T0 + 2_000,
        ends_at: None,
        merchant_id: Some("m_8127".into()),
        key_id: Some("key_81".into()),
        key_hint: Some("caibo_live_sk_…9f2c".into()),
        source: Some(Source { address: "203.0.113.7".into(), network: "203.0.113.0/24".into(), ..Source::default() }),
        audience: Audience::Both,
        summary: "live key …9f2c was used from a network not seen before".into(),
        evidence,
        runbook: Vec::new(),
        subject,
    }
}

fn one(kind: Kind) -> Alert {
    let sources = json!([
        {"address": "203.0.113.7", "network": "203.0.113.0/24", "user_agent": "curl/8.5.0", "calls": 14},
        {"address": "203.0.113.9", "network": "203.0.113.0/24", "calls": 2},
    ]);
    let known = json!([{"network": "198.51.100.0/24", "calls": 120_411}, {"network": "192.0.2.0/24", "calls": 3_310}]);
    match kind {
        Kind::NewIp => alert(
            kind,
            Severity::High,
            json!({"observed": 16, "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T08:09:30Z", "accepted": 16, "refused": 0,
                "sources": sources, "known": known, "watched_since": "2025-10-20T00:00:00Z", "odds": "about once in 2 years",
                "endpoint": "/v1/payments/{id}", "sample_event_ids": ["e1", "e2"]}),
        ),
        Kind::EnvMismatch => {
            let mut alert = alert(
                kind,
                Severity::High,
                json!({"direction": "test_key_at_live", "accepted": 0, "refused": 311, "first_at": "2026-11-23T08:00:00Z",
                    "last_at": "2026-11-23T09:10:00Z", "sources": sources, "endpoint": "/v1/payments"}),
            );
            alert.key_hint = Some("caibo_test_sk_…77aa".into());
            alert
        }
        Kind::RotatedKeyUse => alert(
            kind,
            Severity::Warning,
            json!({"accepted": 40, "refused": 0, "sources": sources, "replaced_by_hint": "caibo_live_sk_…ab12",
                "replaced_at": "2026-11-20T10:00:00Z", "grace_until": "2026-11-27T10:00:00Z", "last_at": "2026-11-23T09:10:00Z"}),
        ),
        Kind::RevokedKeyUse => alert(
            kind,
            Severity::High,
            json!({"accepted": 0, "refused": 9, "sources": sources, "known": known, "revoked_at": "2026-11-01T10:00:00Z"}),
        ),
        Kind::StaleKey => alert(
            kind,
            Severity::Info,
            json!({"last_used_at": "2026-08-20T10:00:00Z", "unused_days": 94, "watched_since": "2025-10-20T00:00:00Z"}),
        ),
        Kind::Spike => alert(
            kind,
            Severity::Warning,
            json!({"observed": 1312, "expected": [80, 250], "window": "1h", "odds": "about once in 4 years", "accepted": 1300,
                "refused": 12, "known": known, "endpoint": "/v1/payments"}),
        ),
        Kind::ClientSideUse => alert(
            kind,
            Severity::High,
            json!({"mark": "page", "page": "shop.example", "accepted": 16, "refused": 0, "sources": sources, "known": known,
                "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T08:09:30Z"}),
        ),
        Kind::SuspendedUse => alert(
            kind,
            Severity::Warning,
            json!({"suspended_at": "2026-11-22T17:00:00Z", "accepted": 0, "refused": 311, "sources": sources,
                "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T09:10:00Z"}),
        ),
        Kind::DormantAwake => alert(
            kind,
            Severity::High,
            json!({"last_used_at": "2026-08-20T10:00:00Z", "unused_days": 94, "is_new_network": true, "known": known,
                "accepted": 16, "refused": 0, "sources": sources, "first_at": "2026-11-23T08:00:00Z"}),
        ),
        Kind::KeyExposed => quiet(alert(
            kind,
            Severity::Critical,
            json!({"exposed_at": "2026-11-23T08:00:00Z", "exposed_reason": "found in a public repository"}),
        )),
        Kind::ExpiringKey => {
            quiet(alert(kind, Severity::Warning, json!({"expires_at": "2026-12-07T08:00:00Z", "days_left": 14})))
        }
        Kind::RotationOverdue => {
            quiet(alert(kind, Severity::Info, json!({"created_at": "2025-11-23T08:00:00Z", "age_days": 365})))
        }
        Kind::RotationUnproven => quiet(alert(
            kind,
            Severity::High,
            json!({"grace_until": "2026-11-24T08:00:00Z", "never_used": true, "calls_of_old_key": 812, "calls_of_new_key": 0,
                "replaces": "key_80", "replaces_hint": "caibo_live_sk_…ab12"}),
        )),
        Kind::KeyLifecycle => alert(
            kind,
            Severity::High,
            json!({"made_at": "2026-11-23T08:00:00Z", "replaces": "key_80", "made_before": 3,
                "places_before": ["198.51.100.0/24"], "actor": "admin"}),
        ),
        Kind::IpFanout => alert(
            kind,
            Severity::High,
            json!({"observed": 6, "expected": 0, "window": "1h", "accepted": 12, "refused": 0, "sources": sources,
                "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T08:40:00Z"}),
        ),
        Kind::ImpossibleTravel => alert(
            kind,
            Severity::High,
            json!({"country": "SG", "usual_country": "DE", "minutes": 12, "accepted": 12, "refused": 0, "sources": sources,
                "known": known, "first_at": "2026-11-23T08:00:00Z"}),
        ),
        Kind::NewUserAgent => alert(
            kind,
            Severity::Warning,
            json!({"program": "python-requests", "known_programs": 1, "known_calls": 120_411, "accepted": 16, "refused": 0,
                "sources": sources, "first_at": "2026-11-23T08:00:00Z"}),
        ),
        Kind::NewEndpoint => alert(
            kind,
            Severity::Warning,
            json!({"endpoint": "POST /v1/payouts", "calls_to_it": 3, "known_endpoints": 2, "known_calls": 120_411,
                "accepted": 3, "refused": 0, "sources": sources, "first_at": "2026-11-23T08:00:00Z"}),
        ),
        Kind::OffHours => alert(
            kind,
            Severity::Warning,
            json!({"observed": 18, "expected": 0.1, "usual_up_to": 9, "window": "1h", "odds": "about once in 4 years",
                "accepted": 18, "refused": 0, "sources": sources, "first_at": "2026-11-23T02:00:00Z"}),
        ),
        Kind::Drop => quiet(alert(
            kind,
            Severity::Warning,
            json!({"observed": 0, "expected": 41.5, "window": "35m", "odds": "about once in 2 years",
                "last_used_at": "2026-11-23T07:25:00Z", "learned_days": 29}),
        )),
        Kind::ErrorBurst => alert(
            kind,
            Severity::Warning,
            json!({"observed": 31, "expected": 0.2, "window": "30m", "share": 0.94, "reason": "malformed_header",
                "from_known_network": true, "odds": "about once in 10 years", "accepted": 0, "refused": 31, "sources": sources,
                "first_at": "2026-11-23T08:00:00Z"}),
        ),
        Kind::KeyScan | Kind::MalformedKey => Alert {
            key_id: None,
            key_hint: None,
            merchant_id: None,
            audience: Audience::Support,
            ..alert(
                kind,
                Severity::High,
                json!({"observed": 40, "window": "1h", "different_keys": 16, "merchants": 0, "accepted": 0, "refused": 40,
                    "sources": sources, "first_at": "2026-11-23T08:00:00Z"}),
            )
        },
        Kind::PlatformIncident => quiet(Alert {
            key_id: None,
            key_hint: None,
            merchant_id: None,
            audience: Audience::Operations,
            summary: "Calls of 23 merchants are refused or stay away, all at once.".into(),
            ..alert(
                kind,
                Severity::High,
                json!({"direction": "trouble", "merchants": 23, "keys": 31, "kinds": ["drop: 4", "error_burst: 27"],
                    "active_merchants": 214, "share_percent": 11, "window": "10m",
                    "examples": ["m_1042", "m_1077", "m_1108", "m_1131", "m_1150"]}),
            )
        }),
        Kind::Threshold => {
            let mut alert = alert(
                kind,
                Severity::Warning,
                json!({"observed": 25, "limit": 20, "window": "10m", "accepted": 25, "refused": 0, "sources": sources,
                    "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T08:09:30Z"}),
            );
            alert.summary = "Many refunds in a short time.".into();
            alert
        }
        Kind::Custom => {
            let mut alert = alert(kind, Severity::High, json!({"accepted": 1, "refused": 0, "sources": sources}));
            alert.summary = "A refund from a network not seen before.".into();
            alert
        }
    }
}

/// Raised by time or facts: no source is to blame.
fn quiet(alert: Alert) -> Alert {
    Alert { source: None, ..alert }
}

fn live_at_test() -> Alert {
    let mut alert = one(Kind::EnvMismatch);
    alert.key_hint = Some("caibo_live_sk_…9f2c".into());
    alert.evidence["direction"] = json!("live_key_at_test");
    alert.evidence["accepted"] = json!(3);
    alert.evidence["refused"] = json!(0);
    alert
}

fn resolved(mut alert: Alert) -> GroupCase {
    alert.state = State::Resolved;
    alert.ends_at = Some(T0 + 26 * HOUR + 5 * MINUTE);
    GroupCase { alert, told: Some((1, State::Firing)), told_as: None, first_notice: Some("merchant/m_8127/1".into()) }
}

fn fresh(alert: Alert) -> GroupCase {
    GroupCase { alert, told: None, told_as: None, first_notice: None }
}

fn group(receiver: Receiver, revision: i64) -> Group {
    Group { id: format!("{}/m_8127", receiver.as_str()), receiver, merchant_id: "m_8127".into(), revision }
}

fn decide_with(
    group: &Group,
    cases: &[GroupCase],
    merchant: Option<&MerchantFacts>,
    told: &[(&str, Severity, Kind)],
) -> Option<Decision> {
    let (keys, support, operations) = (keys(), ["support@caibo.digital".to_owned()], ["ops@caibo.digital".to_owned()]);
    let told_as = |case: &GroupCase| told.iter().find(|(id, ..)| *id == case.alert.alert_id).map(|(_, s, k)| (*s, *k));
    let cases: Vec<_> = cases.iter().map(|case| GroupCase { told_as: told_as(case), ..case.clone() }).collect();
    let ctx = NoticeContext {
        merchant,
        keys: &keys,
        from: "keywatch@caibo.digital",
        support: &support,
        operations: &operations,
        link: None,
        max_alerts: ALERTS_PER_MAIL,
    };
    let decision = plan(group, &cases, &ctx, T0 + 75 * MINUTE);
    if let Some(decision) = &decision {
        lawful(decision);
    }
    decision
}

fn decide(receiver: Receiver, cases: &[GroupCase]) -> Decision {
    decide_with(&group(receiver, 0), cases, Some(&facts()), &[]).expect("a notice is due")
}

/// Compares with `tests/data/mail/NAME.snap`; `INSTA_UPDATE=always` writes it anew.
fn golden(name: &str, decision: &Decision) {
    let mail = &decision.plan.mail;
    let shown = format!(
        "why: {}\nmessage-id: {}\nin-reply-to: {}\nto: {}\nsubject: {}\n\n{}",
        decision.why.as_str(),
        mail.message_id,
        mail.in_reply_to.as_deref().unwrap_or("-"),
        mail.to.join(", "),
        mail.subject,
        mail.text
    );
    insta::with_settings!({snapshot_path => "data/mail", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, shown);
    });
}

fn every_kind() -> Vec<(&'static str, Alert)> {
    vec![
        ("new_ip", one(Kind::NewIp)),
        ("test_key_at_live", one(Kind::EnvMismatch)),
        ("live_key_at_test", live_at_test()),
        ("rotated_key_use", one(Kind::RotatedKeyUse)),
        ("revoked_key_use", one(Kind::RevokedKeyUse)),
        ("client_side_use", one(Kind::ClientSideUse)),
        ("suspended_use", one(Kind::SuspendedUse)),
        ("stale_key", one(Kind::StaleKey)),
        ("dormant_awake", one(Kind::DormantAwake)),
        ("key_exposed", one(Kind::KeyExposed)),
        ("expiring_key", one(Kind::ExpiringKey)),
        ("rotation_overdue", one(Kind::RotationOverdue)),
        ("rotation_unproven", one(Kind::RotationUnproven)),
        ("key_lifecycle", one(Kind::KeyLifecycle)),
        ("spike", one(Kind::Spike)),
        ("ip_fanout", one(Kind::IpFanout)),
        ("impossible_travel", one(Kind::ImpossibleTravel)),
        ("new_user_agent", one(Kind::NewUserAgent)),
        ("new_endpoint", one(Kind::NewEndpoint)),
        ("off_hours", one(Kind::OffHours)),
        ("drop", one(Kind::Drop)),
        ("error_burst", one(Kind::ErrorBurst)),
        ("key_scan", one(Kind::KeyScan)),
        ("malformed_key", one(Kind::MalformedKey)),
        ("platform_incident", one(Kind::PlatformIncident)),
        ("threshold", one(Kind::Threshold)),
        ("custom", one(Kind::Custom)),
    ]
}

#[test]
fn golden_mails_of_every_kind() {
    for (name, alert) in every_kind() {
        for receiver in Receiver::ALL {
            let firing = decide(receiver, &[fresh(alert.clone())]);
            golden(&format!("{}_{name}_firing", receiver.as_str()), &firing);
            let ended = decide_with(&group(receiver, 1), &[resolved(alert.clone())], Some(&facts()), &[])
                .expect("an end is told");
            golden(&format!("{}_{name}_resolved", receiver.as_str()), &ended);
            assert_eq!(firing.plan.mail.subject, ended.plan.mail.subject, "one case, one subject");
            assert!(ended.plan.mail.text.starts_with("Ended"), "{}", ended.plan.mail.text);
            assert_eq!((firing.why, ended.why), (Why::First, Why::AllResolved));
            if receiver == Receiver::Merchant {
                plain_words(name, &firing);
                plain_words(name, &ended);
                assert_eq!(
                    ended.plan.mail.in_reply_to,
                    Some(firing.plan.mail.message_id.clone()),
                    "the end joins the first mail"
                );
                let lead: String = firing.plan.mail.text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
                assert!(lead.chars().count() <= 100, "{name}: {} in `{lead}`", lead.chars().count());
            }
        }
    }
}

#[test]
fn golden_html() {
    let decision = decide(Receiver::Merchant, &[fresh(one(Kind::NewIp))]);
    insta::with_settings!({snapshot_path => "data/mail", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("merchant_new_ip_html", decision.plan.mail.html);
    });
}

#[test]
fn degrades_without_evidence_facts_or_hint() {
    for kind in Kind::ALL {
        let mut alert = alert(kind, Severity::High, Value::Null);
        (alert.key_hint, alert.source) = (None, None);
        for receiver in Receiver::ALL {
            let decision =
                decide_with(&group(receiver, 0), &[fresh(alert.clone())], None, &[]).expect("a notice is due");
            if receiver == Receiver::Merchant {
                plain_words(kind.as_str(), &decision);
                assert!(decision.plan.mail.text.starts_with("This merchant has no contact address"));
                assert_eq!(decision.plan.mail.to, ["support@caibo.digital"]);
            }
            if kind == Kind::NewIp {
                golden(&format!("{}_bare", receiver.as_str()), &decision);
            }
        }
    }
}

fn many(n: usize) -> Vec<GroupCase> {
    (0..n)
        .map(|i| {
            let mut alert = one(Kind::ALL[i % Kind::ALL.len()]);
            alert.alert_id = alert_id(&alert.rule, &format!("key_{i}"), T0);
            alert.key_hint = Some(format!("caibo_live_sk_…{i:04}"));
            alert.key_id = Some(format!("key_{i}"));
            fresh(alert)
        })
        .collect()
}

#[test]
fn several_alerts_come_in_one_mail() {
    let mut cases = many(2);
    cases.push(resolved(one(Kind::Spike)));
    for receiver in Receiver::ALL {
        let decision = decide_with(&group(receiver, 1), &cases, Some(&facts()), &[]).expect("a notice is due");
        assert_eq!(decision.why, Why::NewAlerts);
        golden(&format!("{}_several", receiver.as_str()), &decision);
    }
    plain_words("several", &decide(Receiver::Merchant, &many(3)));
}

#[test]
fn what_does_not_fit_is_counted() {
    for receiver in Receiver::ALL {
        let decision = decide(receiver, &many(14));
        assert_eq!(decision.plan.told.len(), 14, "all are told, if only as a number");
        assert!(decision.plan.mail.text.replace('\n', " ").contains("more"), "{}", decision.plan.mail.text);
        if receiver == Receiver::Merchant {
            assert!(
                decision.plan.mail.text.replace('\n', " ").contains("4 more things are not shown here."),
                "{}",
                decision.plan.mail.text
            );
        }
    }
}

#[test]
fn strangers_text_stays_text() {
    let evil = "<script>alert(1)</script>\"'><img src=https://evil.example/x.png onerror=x>\r\nBcc: all@evil.example \u{202e}gpj.exe \
                caibo_live_sk_ABCDEFGHIJKLMNOPQRSTUVWX9f2c "
        .repeat(40);
    let mut alert = one(Kind::NewIp);
    alert.evidence = json!({"sources": vec![json!({"address": evil, "network": evil, "user_agent": evil, "calls": 3}); 50],
        "known": vec![json!({"network": evil, "provider": evil}); 50], "endpoint": evil, "odds": evil, "window": evil, "expected": evil,
        evil.clone(): evil, "sample_event_ids": vec![evil.clone(); 50]});
    (alert.summary, alert.key_id) = (evil.clone(), Some(format!("k'; rm -rf ~; {evil}")));
    (alert.key_hint, alert.source) =
        (Some(evil.clone()), Some(Source { address: evil.clone(), network: evil.clone(), ..Source::default() }));
    alert.reasons = vec![Reason { kind: Kind::NewIp, score: 0.9, text: evil.clone() }; 50];
    // The rules' own text may name our addresses, but is no markup either.
    alert.runbook = vec![evil.replace("https://", "").replace("evil.example", "evil"); 50];
    let merchant = MerchantFacts { name: Some(evil.clone()), timezone: Some(evil.clone()), ..facts() };
    let cases: Vec<GroupCase> = (0..20)
        .map(|i| {
            let mut alert = alert.clone();
            alert.alert_id = format!("kw-{i}");
            fresh(alert)
        })
        .collect();
    for receiver in Receiver::ALL {
        for cases in [&cases[..1], &cases[..]] {
            let mut group = group(receiver, 0);
            group.merchant_id = evil.clone();
            let decision = decide_unchecked(&group, cases, &merchant);
            let mail = &decision.plan.mail;
            assert!(mail.html.len() <= HTML_MAX, "{receiver:?}: {}", mail.html.len());
            assert!(mail.subject.chars().count() <= 60 && !mail.subject.contains(['<', '\r', '\n']));
            for part in [&mail.html, &mail.text, &mail.subject] {
                assert!(!part.contains("KLMNOPQRST"), "a key in {part}");
                assert!(!part.contains("https://") && !part.contains("evil.example"), "a link in {part}");
                assert!(!part.contains(['\r', '\u{202e}']));
            }
            assert!(!mail.html.contains("<script") && !mail.html.contains("<img"));
            assert!(!mail.text.contains("\nBcc:"));
        }
    }
}

fn decide_unchecked(group: &Group, cases: &[GroupCase], merchant: &MerchantFacts) -> Decision {
    let (keys, support) = (BTreeMap::new(), ["support@caibo.digital".to_owned()]);
    let ctx = NoticeContext {
        merchant: Some(merchant),
        keys: &keys,
        from: "keywatch@caibo.digital",
        support: &support,
        operations: &support,
        link: None,
        max_alerts: ALERTS_PER_MAIL,
    };
    plan(group, cases, &ctx, T0).expect("a notice is due")
}

/// One line per case: what was told, how it stands, what follows.
#[test]
fn decides_what_to_tell() {
    use Severity::{High, Warning};
    let base = one(Kind::NewIp);
    let id = base.alert_id.clone();
    let case = |told: Option<(u32, State)>, revision: u32, severity: Severity, state: State| {
        let alert = Alert {
            revision,
            severity,
            state,
            ends_at: (state == State::Resolved).then_some(T0 + HOUR),
            ..base.clone()
        };
        GroupCase { alert, told, told_as: None, first_notice: told.map(|_| "merchant/m_8127/1".to_owned()) }
    };
    let firing = State::Firing;
    let table = [
        (None, 1, High, firing, Some(Why::NewAlerts)),
        (None, 1, High, State::Resolved, None),
        (Some((1, firing)), 1, Warning, firing, None),
        (Some((1, firing)), 2, Warning, firing, None),
        (Some((1, firing)), 2, High, firing, Some(Why::Worse)),
        (Some((1, firing)), 1, Warning, State::Resolved, Some(Why::AllResolved)),
        (Some((1, firing)), 3, High, State::Resolved, Some(Why::AllResolved)),
        (Some((1, State::Resolved)), 1, Warning, State::Resolved, None),
        (Some((1, State::Resolved)), 2, Warning, firing, Some(Why::NewAlerts)),
    ];
    for (told, revision, severity, state, want) in table {
        let cases = [case(told, revision, severity, state)];
        let got = decide_with(&group(Receiver::Merchant, 1), &cases, Some(&facts()), &[(&id, Warning, Kind::NewIp)]);
        assert_eq!(got.as_ref().map(|d| d.why), want, "{told:?} {revision} {severity:?} {state:?}");
        if let Some(decision) = got {
            assert_eq!(decision.plan.told, [(id.clone(), revision, state)]);
        }
    }
    // A new kind counts as worse; so does any raise where nobody knows what was told.
    let raised = [case(Some((1, firing)), 2, Warning, firing)];
    for told in [&[(id.as_str(), Warning, Kind::Spike)][..], &[]] {
        let got = decide_with(&group(Receiver::Merchant, 1), &raised, Some(&facts()), told);
        assert_eq!(got.map(|d| d.why), Some(Why::Worse));
    }
    // One ends, the other goes on.
    let mut other = case(Some((1, firing)), 1, Warning, firing);
    other.alert.alert_id = "kw-other".into();
    let got = decide_with(
        &group(Receiver::Merchant, 1),
        &[case(Some((1, firing)), 1, Warning, State::Resolved), other],
        Some(&facts()),
        &[],
    );
    let got = got.expect("the end is told");
    assert_eq!(got.why, Why::Resolved);
    assert!(
        got.plan.mail.text.contains("1 other thing that we told you of before still goes on."),
        "{}",
        got.plan.mail.text
    );
}

#[test]
fn a_case_that_began_in_company_keeps_its_subject() {
    let mut cases = many(3);
    let first = decide(Receiver::Merchant, &cases);
    for case in &mut cases {
        (case.told, case.first_notice) = (Some((1, State::Firing)), Some("merchant/m_8127/1".into()));
    }
    cases[1].alert.state = State::Resolved;
    cases[1].alert.ends_at = Some(T0 + HOUR);
    let end = decide_with(&group(Receiver::Merchant, 1), &cases, Some(&facts()), &[]).expect("the end is told");
    assert_eq!(end.plan.mail.subject, first.plan.mail.subject);
    assert_eq!(end.plan.mail.in_reply_to, Some(first.plan.mail.message_id));
    assert_ne!(end.plan.mail.message_id, end.plan.mail.in_reply_to.clone().unwrap_or_default());
}

#[test]
fn old_news_is_one_mail_to_operations() {
    let (keys, operations) = (BTreeMap::new(), ["ops@caibo.digital".to_owned()]);
    let ctx = NoticeContext {
        merchant: None,
        keys: &keys,
        from: "keywatch@caibo.digital",
        support: &[],
        operations: &operations,
        link: None,
        max_alerts: ALERTS_PER_MAIL,
    };
    let by_rule = BTreeMap::from([("new-ip".to_owned(), 1_200), ("stale-key".to_owned(), 4)]);
    let mail =
        plan_old_news(&OldNews { count: 1_204, oldest: T0 - 90 * DAY, newest: T0 - 2 * HOUR, by_rule }, &ctx, T0);
    let decision = Decision {
        why: Why::First,
        rule: String::new(),
        severity: Severity::Info,
        plan: keywatch::store::NoticePlan { mail, told: Vec::new() },
    };
    lawful(&decision);
    golden("operations_old_news", &decision);
}
