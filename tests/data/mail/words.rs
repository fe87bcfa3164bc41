//! What a merchant reads, where the words depend on more than the kind.

use keywatch::alert::{Kind, Receiver};
use keywatch::time::HOUR;
use serde_json::json;

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
