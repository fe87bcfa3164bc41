//! `stale_key`: keys that nobody uses.

use crate::lab::check_with;

#[track_caller]
fn check(script: &str, want: &str) {
    check_with("stale-key", &["stale-key.unused_for=10d"], script, want);
}

/// Something that lets stream time go on.
const BUSY: &str = "0d00:00..40d/6h m2/busy ok 203.0.113.1\n";

#[test]
fn an_unused_key_is_stale_after_its_time() {
    check(&format!("{BUSY} 3d07:00 k ok 203.0.113.1"), "k 13d07:00.. info r1");
    check(&format!("{BUSY} 3d07:00 k ok 203.0.113.1\n 13d06:59 k ok 203.0.113.1"), "k 23d06:59.. info r1");
}

#[test]
fn a_refused_call_is_no_use() {
    check(&format!("{BUSY} 3d07:00 k ok 203.0.113.1\n 9d k denied 203.0.113.1"), "k 13d07:00.. info r1");
}

#[test]
fn a_key_that_was_never_used_is_stale_by_the_facts() {
    check(&format!("{BUSY} fact 5d created k created=5d"), "k 15d00:00.. info r1");
    check(BUSY, "");
}

#[test]
fn time_before_the_watch_does_not_count() {
    // Made long before; watched from the first full day.
    check(&format!("{BUSY} fact 0d created k created=0d"), "k 11d00:00.. info r1");
}

#[test]
fn a_few_early_events_are_no_watch() {
    // One call came, then none for weeks: a consumer that was tried out. Watched from the first full day of the rest.
    let begins = "0d m3/early denied 203.0.113.1\n 25d07:00..60d/6h m2/busy ok 203.0.113.1\n";
    check(&format!("{begins} fact 0d created k created=0d"), "k 36d00:00.. info r1");
}

#[test]
fn use_ends_it() {
    check(
        &format!("{BUSY} 3d07:00 k ok 203.0.113.1\n 20d k ok 203.0.113.1"),
        "k 13d07:00..20d00:00 info r2
         k 30d00:00.. info r1",
    );
}

#[test]
fn revocation_ends_it_and_nothing_begins_after() {
    let revoked = "fact 3d created k created=3d\n fact 20d revoked k revoked=20d\n";
    check(&format!("{BUSY} {revoked} 3d07:00 k ok 203.0.113.1"), "k 13d07:00..20d00:00 info r2");
    let revoked = "fact 3d created k created=3d\n fact 12d revoked k revoked=12d\n";
    check(&format!("{BUSY} {revoked} 3d07:00 k ok 203.0.113.1"), "");
}

#[test]
fn a_replaced_key_is_not_missed() {
    check(
        &format!(
            "{BUSY} 3d07:00 old ok 203.0.113.1\n 8d..40d/1d new ok 203.0.113.1
             fact 8d regenerated new replaces=old grace=9d created=8d"
        ),
        "",
    );
}

#[test]
fn it_is_not_told_twice() {
    // An episode of another rule ends after it became stale.
    check(
        &format!("{BUSY} 3d07:00 k ok 203.0.113.1\n 14d k denied 203.0.113.1 live>test\n 30d k denied 203.0.113.1"),
        "k 13d07:00.. info r1",
    );
}
