//! What a merchant reads, where the words depend on more than the kind.

use keywatch::alert::{Alert, Audience, Kind, Reason, Receiver, Severity, State};
use keywatch::alerting::group::Decision;
use keywatch::store::GroupCase;
use keywatch::time::HOUR;
use serde_json::json;

use crate::laws::plain_words;
use crate::{decide, decide_with, facts, fresh, group, one, resolved};

#[test]
fn the_end_of_a_rotation_says_whether_the_shop_still_works() {
    let ended = |ends_at: i64| {
        let mut case = resolved(one(Kind::RotationUnproven));
        case.alert.ends_at = Some(ends_at);
        decide_with(&group(Receiver::Merchant, 1), &[case], Some(&facts()), &[])
            .unwrap()
            .plan
            .mail
            .text
            .replace('\n', " ")
    };
    let until = keywatch::time::parse_rfc3339("2026-11-24T08:00:00Z").unwrap();
    let text = ended(until);
    assert!(text.starts_with("Ended: the old key has stopped. Payments fail where your shop does not use"), "{text}");
    let text = ended(until - HOUR);
    assert!(text.starts_with("Ended: your new live key …9f2c does the work. Nothing to do."), "{text}");
}

#[test]
fn a_count_in_a_window_stands_beside_no_smaller_one() {
    let told = |accepted: u64| {
        let mut alert = one(Kind::Spike);
        alert.evidence = json!({"observed": 54, "expected": 9.2, "usual_up_to": 41, "window": "10m", "accepted": accepted,
            "refused": 0, "first_at": "2026-11-23T08:00:00Z", "last_at": "2026-11-23T08:00:00Z"});
        decide(Receiver::Merchant, &[fresh(alert)]).plan.mail.text.replace('\n', " ")
    };
    let at_first = told(1);
    assert!(at_first.contains("made 54 calls in 10 minutes; usual is 9, at most 41."), "{at_first}");
    assert!(at_first.contains("- Since: ") && !at_first.contains("Calls accepted"), "{at_first}");
    assert!(told(300).contains("- Calls accepted: 300"));
}

/// The text of a merchant's mail in one line.
fn told(alert: Alert) -> String {
    decide(Receiver::Merchant, &[fresh(alert)]).plan.mail.text.replace('\n', " ")
}

fn told_again(receiver: Receiver, alert: Alert, before: (Severity, Kind)) -> Decision {
    let id = alert.alert_id.clone();
    let case = GroupCase {
        alert: Alert { revision: 2, ..alert },
        told: Some((1, State::Firing)),
        told_as: None,
        first_notice: Some("merchant/m_8127/1".into()),
    };
    decide_with(&group(receiver, 1), &[case], Some(&facts()), &[(&id, before.0, before.1)]).unwrap()
}

#[test]
fn the_first_call_is_when_it_began() {
    for (kind, want) in [
        (Kind::ImpossibleTravel, "First call: Mon 23 Nov 2026, 09:00 +01:00"),
        // A window's beginning is no call.
        (Kind::OffHours, "First call: Mon 23 Nov 2026, 09:08 +01:00"),
    ] {
        let mut alert = one(kind);
        alert.evidence["first_at"] = json!("2026-11-23T08:08:00Z");
        let text = told(alert.clone());
        assert!(text.contains(want), "{kind:?}: {text}");
        let support = decide(Receiver::Support, &[fresh(alert)]).plan.mail.text.replace('\n', " ");
        assert!(support.contains(want), "{kind:?}: {support}");
    }
    let mut alert = one(Kind::ImpossibleTravel);
    (alert.evidence["first_at"], alert.evidence["accepted"]) = (json!("2026-11-23T08:08:00Z"), json!(1));
    let text = told(alert);
    assert!(text.contains("Calls accepted: 1 since Mon 23 Nov 2026, 09:08"), "{text}");
}

#[test]
fn every_call_that_moves_money_is_named() {
    let mut alert = one(Kind::NewEndpoint);
    alert.evidence["endpoints"] = json!(["POST /v1/refunds", "POST /v1/payouts"]);
    (alert.evidence["accepted"], alert.evidence["first_at"]) = (json!(1), json!("2026-11-23T08:04:00Z"));
    let text = told(alert);
    assert!(text.contains("New calls: POST /v1/refunds; POST /v1/payouts"), "{text}");
    assert!(text.contains("First call: Mon 23 Nov 2026, 09:00") && text.contains("Such calls: 3"), "{text}");
    assert!(!text.contains("Calls accepted"), "{text}");
}

#[test]
fn what_else_speaks_against_it_is_said() {
    let plain = told(one(Kind::NewIp));
    assert!(plain.contains("made a new release"), "{plain}");
    let mut alert = one(Kind::NewIp);
    alert.evidence["network_kind"] = json!("anonymiser");
    alert.evidence["new_program"] = json!("curl");
    alert.reasons.push(Reason {
        kind: Kind::NewEndpoint,
        score: 0.6,
        text: "First calls to POST /v1/refunds; until now the key made 71919 calls to other endpoints.".into(),
    });
    let text = told(alert);
    for said in [
        "The address belongs to a service that hides who calls.",
        "It also made its first refund.",
        "The program is new to us, too: curl.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("made a new release"), "{text}");
}

#[test]
fn what_has_grown_is_said() {
    let grown = |alert: Alert, before| {
        let text = told_again(Receiver::Merchant, alert, before).plan.mail.text.replace('\n', " ");
        text.split("This has grown since our last mail about it.").nth(1).expect("it has grown").to_owned()
    };
    let mut alert = one(Kind::NewIp);
    alert.reasons.push(Reason { kind: Kind::IpFanout, score: 0.6, text: String::new() });
    let text = grown(alert.clone(), (Severity::Warning, Kind::NewIp));
    assert!(text.starts_with(" By now we know this, too. It is also used from many new networks at once."), "{text}");
    let text = grown(alert, (Severity::High, Kind::NewUserAgent));
    assert!(text.starts_with(" That one said: live key …9f2c used by another program."), "{text}");
    let text = grown(one(Kind::RotatedKeyUse), (Severity::Info, Kind::RotatedKeyUse));
    assert!(text.starts_with(" By now 40 calls were accepted."), "{text}");
}

#[test]
fn only_a_rise_is_called_one() {
    for (before, want) in [
        ((Severity::Warning, Kind::NewIp), "Worse, now high for merchant m_8127"),
        ((Severity::High, Kind::Spike), "Another sign, still high for merchant m_8127"),
    ] {
        let text = told_again(Receiver::Support, one(Kind::NewIp), before).plan.mail.text.replace('\n', " ");
        assert!(text.starts_with(want), "{text}");
    }
}

#[test]
fn a_case_keeps_its_subject_where_its_kind_changes() {
    let opened = one(Kind::ClientSideUse);
    let subject = decide(Receiver::Merchant, &[fresh(opened.clone())]).plan.mail.subject;
    let mut alert = Alert { kind: Kind::IpFanout, ..opened };
    alert.reasons.push(Reason { kind: Kind::IpFanout, score: 0.99, text: String::new() });
    let worse = told_again(Receiver::Merchant, alert.clone(), (Severity::High, Kind::ClientSideUse)).plan.mail;
    assert_eq!(worse.subject, subject);
    assert!(worse.text.contains("- Page: shop[.]example"), "{}", worse.text);
    let ended = GroupCase { told_as: Some((Severity::High, Kind::IpFanout)), ..resolved(alert.clone()) };
    let told_as = [(alert.alert_id.as_str(), Severity::High, Kind::IpFanout)];
    let ended = decide_with(&group(Receiver::Merchant, 2), &[ended], Some(&facts()), &told_as).unwrap();
    assert_eq!(ended.plan.mail.subject, subject);
}

#[test]
fn what_a_scan_has_taken_over_still_asks_for_another_key() {
    for kind in [Kind::NewIp, Kind::RevokedKeyUse, Kind::IpFanout] {
        let mut case = resolved(one(kind));
        (case.alert.evidence["ended"], case.alert.evidence["taken_by"]) = (json!("key_scan"), json!("kw-1"));
        let several = GroupCase { alert: Alert { alert_id: "kw-2".into(), ..case.alert.clone() }, ..case.clone() };
        for cases in [vec![case.clone()], vec![case.clone(), several]] {
            let told = decide_with(&group(Receiver::Merchant, 1), &cases, Some(&facts()), &[]).unwrap();
            plain_words(kind.as_str(), &told);
            let text = told.plan.mail.text.replace('\n', " ");
            assert!(text.starts_with("Ended as yours alone") && text.contains("Replace "), "{text}");
            assert!(text.contains("he same strangers"), "{text}");
            assert!(!text.contains("You need to undo nothing"), "{text}");
        }
        let told = decide_with(&group(Receiver::Support, 1), &[case], Some(&facts()), &[]).unwrap();
        assert!(told.plan.mail.text.replace('\n', " ").contains("A key scan has taken it over."));
    }
    let mut scan = Alert { audience: Audience::Support, ..one(Kind::KeyScan) };
    let text = |alert: Alert| decide(Receiver::Support, &[fresh(alert)]).plan.mail.text.replace('\n', " ");
    assert!(text(scan.clone()).contains("Nothing: this is for support only."));
    scan.evidence["alerts_taken"] = json!(3);
    let told = text(scan);
    assert!(told.contains("Each of these merchants was told of their own key"), "{told}");
}

#[test]
fn what_an_incident_has_taken_over_is_not_called_well() {
    for kind in [Kind::ErrorBurst, Kind::Drop, Kind::Spike] {
        let mut case = resolved(one(kind));
        (case.alert.evidence["ended"], case.alert.evidence["taken_by"]) = (json!("platform_incident"), json!("kw-1"));
        for receiver in [Receiver::Merchant, Receiver::Support] {
            let told = decide_with(&group(receiver, 1), &[case.clone()], Some(&facts()), &[]).unwrap();
            let text = told.plan.mail.text.replace('\n', " ");
            assert!(text.starts_with("Ended"), "{text}");
            for well in ["accepted again", "calls again", "back to usual", "Nothing to do"] {
                assert!(!text.contains(well), "{kind:?}: {well}: {text}");
            }
            if receiver == Receiver::Merchant {
                plain_words(kind.as_str(), &told);
                assert!(text.contains("The cause does not lie with you."), "{text}");
                assert!(text.contains("You need to undo nothing."), "{text}");
            } else {
                assert!(text.contains("goes on at many merchants"), "{text}");
            }
        }
    }
}
