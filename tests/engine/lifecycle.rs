//! `rotated_key_use` and `revoked_key_use`: keys whose time is over.

use crate::lab::check_with;

#[track_caller]
fn rotated(script: &str, want: &str) -> Vec<keywatch::alert::Alert> {
    check_with("rotated-key-use", &[], script, want)
}

#[track_caller]
fn revoked(script: &str, want: &str) {
    check_with("revoked-key-use", &[], script, want);
}

const ROTATED: &str = "fact 0d created old created=0d
    fact 2d regenerated new replaces=old grace=3d created=2d\n";

#[test]
fn a_replaced_key_is_told_after_its_grace_by_the_facts() {
    rotated(&format!("{ROTATED} 3d01:00 old denied 203.0.113.1\n end 5d"), "old 3d01:00..4d01:00 warning r2");
    rotated(&format!("{ROTATED} 2d12:00 old ok 203.0.113.1\n 3d01:00 new ok 203.0.113.1\n end 5d"), "");
    rotated(&format!("{ROTATED} 3d00:00 old denied 203.0.113.1\n end 5d"), "old 3d00:00..4d00:00 warning r2");
}

#[test]
fn without_grace_the_old_key_stops_at_once() {
    let script = "fact 0d created old created=0d\n fact 2d regenerated new replaces=old\n";
    rotated(&format!("{script} 2d00:01 old denied 203.0.113.1\n end 4d"), "old 2d00:01..3d00:01 warning r2");
}

#[test]
fn the_gateways_own_reason_is_enough() {
    rotated("3d01:00 old rotated_key 203.0.113.1\n end 5d", "old 3d01:00..4d01:00 warning r2");
    rotated("3d01:00 old expired_key 203.0.113.1\n end 5d", "");
}

#[test]
fn an_accepted_call_of_a_replaced_key_is_high() {
    rotated(
        &format!("{ROTATED} 3d01:00 old denied 203.0.113.1\n 3d02:00 old ok 203.0.113.1\n end 5d"),
        "old 3d01:00..4d02:00 high r3",
    );
}

#[test]
fn sources_are_listed_and_a_new_one_is_told() {
    let alerts = rotated(
        &format!(
            "{ROTATED} 3d01:00 old denied 203.0.113.1 x3\n 3d02:00 old denied 203.0.113.9
             3d03:00 old denied 198.51.100.1\n end 5d"
        ),
        "old 3d01:00..4d03:00 warning r3",
    );
    let sources = alerts[0].evidence["sources"].as_array().unwrap();
    let named: Vec<_> =
        sources.iter().map(|s| (s["network"].as_str().unwrap(), s["calls"].as_u64().unwrap())).collect();
    assert_eq!(named, [("203.0.113.0/24", 4), ("198.51.100.0/24", 1)]);
    assert_eq!(alerts[0].evidence["replaced_by"], "new");
}

#[test]
fn a_revoked_key_is_told_by_facts_and_by_reason_but_not_before() {
    let facts = "fact 0d created k created=0d\n fact 2d revoked k revoked=2d\n";
    revoked(&format!("{facts} 2d01:00 k denied 203.0.113.1\n end 4d"), "k 2d01:00..3d01:00 high r2");
    revoked(&format!("{facts} 1d23:59 k ok 203.0.113.1\n end 4d"), "");
    revoked("2d01:00 k revoked_key 203.0.113.1\n end 4d", "k 2d01:00..3d01:00 high r2");
}

#[test]
fn an_accepted_call_of_a_revoked_key_is_critical() {
    let facts = "fact 2d revoked k revoked=2d\n";
    revoked(&format!("{facts} 2d01:00 k ok 203.0.113.1\n end 4d"), "k 2d01:00..3d01:00 critical r2");
}

#[test]
fn a_late_event_is_still_judged() {
    revoked(
        "fact 2d revoked k revoked=2d
         0d..4d/1h m2/busy ok 203.0.113.1
         2d01:00 k denied 198.51.100.1 arrives=3d12:00
         end 5d",
        "k 2d01:00..3d01:00 high r2",
    );
}

#[test]
fn a_key_that_was_replaced_and_then_revoked_is_revoked() {
    let script = format!("{ROTATED} fact 4d revoked old revoked=4d\n 4d01:00 old denied 203.0.113.1\n end 6d");
    rotated(&script, "");
    revoked(&script, "old 4d01:00..5d01:00 high r2");
}
