//! Tables: records, and what each check makes of them.

use super::*;
use crate::doctor::Status;
use crate::time::{HOUR, SECOND};

const NOW: Millis = 20_000 * DAY;

fn context() -> Context<'static> {
    Context { topic: "auth-events", now: NOW, lateness: 5 * MINUTE, has_proxies: false, has_fingerprint_secret: true }
}

fn event(change: impl FnOnce(&mut Event)) -> Event {
    let mut event = Event {
        ts: NOW - 3 * HOUR,
        merchant: Some("m_1".into()),
        has_id: true,
        has_key: true,
        is_accepted: true,
        source: "203.0.113.9".parse().ok(),
        carried: Carried::default(),
    };
    change(&mut event);
    event
}

fn record(partition: i32, offset: i64, key: Option<&str>, event: Event) -> Record {
    Record { partition, offset, key: key.map(|key| key.as_bytes().to_vec()), what: Ok(event) }
}

/// Records of one partition, keyed by `m_1`.
fn records(changes: &[&dyn Fn(&mut Event)]) -> Vec<Record> {
    changes.iter().enumerate().map(|(i, change)| record(0, i as i64, Some("m_1"), event(change))).collect()
}

#[track_caller]
fn check_with(records: &[Record], context: &Context<'_>, check: Check, status: Status, found: &str) -> Finding {
    let findings = judge(&measure(records, context), context);
    let finding = findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!((finding.status, finding.found.as_str()), (status, found));
    assert_eq!(finding.hint.is_none(), status == Status::Ok, "{finding:?}");
    finding.clone()
}

#[track_caller]
fn check(records: &[Record], check: Check, status: Status, found: &str) {
    check_with(records, &context(), check, status, found);
}

fn rejected(offset: i64, reason: RejectReason, redacted: &str) -> Record {
    let what = Err(Rejected { reason, detail: "what is wrong".into(), redacted: redacted.into() });
    Record { partition: 2, offset, key: None, what }
}

#[test]
fn messages_that_are_no_events_are_said_by_reason_with_a_place() {
    check(&[], Check::Messages, Status::Ok, "none to look at; once events flow, run `keywatch doctor` again");
    check(&records(&[&|_| {}, &|_| {}]), Check::Messages, Status::Ok, "2 of 2 are events");
    let bad = [
        rejected(7, RejectReason::NotJson, &"x".repeat(100)),
        rejected(8, RejectReason::NotJson, "second"),
        rejected(9, RejectReason::NoTime, "{\n}"),
    ];
    let long = "x".repeat(60);
    let reasons = format!(
        "2 not_json (auth-events/2 offset 7: what is wrong; it begins: {long}…); \
         1 no_time (auth-events/2 offset 9: what is wrong; it begins: {{ }})"
    );
    let whole = format!("none of the newest 3 is an event: {reasons}");
    check(&bad, Check::Messages, Status::Fail, &whole);
    assert_eq!(judge(&measure(&bad, &context()), &context()).len(), 1, "of no events nothing else is said");
    let mixed = [records(&[&|_| {}]), bad.to_vec()].concat();
    check(&mixed, Check::Messages, Status::Warn, &format!("3 of the newest 4 are no events: {reasons}"));
}

#[test]
fn missing_fields_are_counted_where_they_matter() {
    let fine = "event_id, key and merchant are there";
    check(&records(&[&|_| {}]), Check::Fields, Status::Ok, fine);
    let refused = |event: &mut Event| {
        *event = Event { is_accepted: false, has_key: false, merchant: None, ..event.clone() };
    };
    check(&records(&[&refused, &|_| {}]), Check::Fields, Status::Ok, fine);
    let without = |event: &mut Event| *event = Event { has_id: false, has_key: false, merchant: None, ..event.clone() };
    let found =
        "1 of 2 events have no event_id, 1 of 2 accepted ones name no key, 1 of 2 accepted ones name no merchant";
    check(&records(&[&without, &|_| {}]), Check::Fields, Status::Warn, found);
    let unchanged: &dyn Fn(&mut Event) = &|_| {};
    let mut rare = records(&[unchanged; 100]);
    rare.extend(records(&[&without]));
    check(&rare, Check::Fields, Status::Ok, fine);
}

#[test]
fn keys_are_compared_with_merchants_and_merchants_with_partitions() {
    let of = |partition, key, merchant: &str| {
        record(partition, 0, key, event(|event| event.merchant = Some(merchant.to_owned())))
    };
    let check = |records: &[Record], status, found: &str| check(records, Check::Keying, status, found);
    let well = [of(0, Some("m_1"), "m_1"), of(1, Some("m_2"), "m_2"), of(0, Some("m_1"), "m_1")];
    check(&well, Status::Ok, "each is its merchant_id; 2 merchants in one partition each");
    check(&[of(0, Some("key_1"), "m_1")], Status::Warn, "1 of 1 are not the merchant_id");
    check(
        &[of(0, None, "m_1"), of(1, Some("k"), "m_1"), of(1, Some("m_2"), "m_2")],
        Status::Warn,
        "1 of 3 have none, 1 of 3 are not the merchant_id, 1 of 2 merchants lie in several partitions",
    );
    let nobody = [record(0, 0, Some("x"), event(|event| event.merchant = None))];
    check(&nobody, Status::Ok, "no event names a merchant to compare with");
}

#[test]
fn times_are_compared_with_the_clock_and_with_each_other() {
    let at = |ts: Millis| move |event: &mut Event| event.ts = ts;
    let check = |times: &[Millis], status, found: &str| {
        let records: Vec<Record> =
            times.iter().enumerate().map(|(i, ts)| record(0, i as i64, Some("m_1"), event(at(*ts)))).collect();
        check(&records, Check::Times, status, found);
    };
    check(&[NOW - 9 * SECOND, NOW - 12 * SECOND], Status::Ok, "the newest is 9 s old; disorder up to 3 s of 5m");
    check(&[NOW + 30 * SECOND], Status::Ok, "the newest is 0 s old; disorder up to 0 s of 5m");
    check(
        &[NOW + 2 * HOUR, NOW - MINUTE, NOW - 3 * MINUTE],
        Status::Warn,
        "1 of 3 lie ahead of this machine's clock, by up to 2 h; the newest is 60 s old",
    );
    check(&[NOW + HOUR], Status::Warn, "1 of 1 lie ahead of this machine's clock, by up to 60 min; all lie ahead");
    check(
        &[NOW - HOUR, NOW - 2 * HOUR, NOW - HOUR],
        Status::Warn,
        "1 of 3 come later than limits.lateness (5m), by up to 60 min; the newest is 60 min old",
    );
    check(&[NOW - 9 * DAY], Status::Warn, "the newest is 9 days old");
    // Two partitions have no order between them.
    let apart = [record(0, 0, None, event(at(NOW - HOUR))), record(1, 0, None, event(at(NOW - 3 * HOUR)))];
    super::tests::check(&apart, Check::Times, Status::Ok, "the newest is 60 min old; disorder up to 0 s of 5m");
}

#[test]
fn addresses_are_a_clients_or_a_proxys() {
    let from = |address: &'static str| move |event: &mut Event| event.source = address.parse().ok();
    let check = |addresses: &[&'static str], status, found: &str| {
        let one = |(i, address): (usize, &&'static str)| record(0, i as i64, None, event(from(address)));
        let records: Vec<Record> = addresses.iter().enumerate().map(one).collect();
        check(&records, Check::Addresses, status, found);
    };
    check(&["203.0.113.9", "10.0.0.1"], Status::Ok, "2 of 2 events have a source_ip, 1 of them private");
    check(&["2001:db8::1", ""], Status::Ok, "1 of 2 events have a source_ip, 0 of them private");
    check(&["", ""], Status::Warn, "no event has a source_ip");
    let private = ["10.0.0.1", "100.64.0.1", "fd00::1", "fe80::1", "::ffff:192.168.0.1", "127.0.0.1", "::1"];
    check(&private, Status::Warn, "7 of 7 source_ip are private: a proxy's, not the client's");

    let forwarded = records(&[&|event| event.carried.forwarded_for = true]);
    let found = "1 of 1 carry forwarded_for, and nobody is trusted";
    super::tests::check(&forwarded, Check::Addresses, Status::Warn, found);
    let trusting = Context { has_proxies: true, ..context() };
    let found = "1 of 1 events have a source_ip, 0 of them private";
    check_with(&forwarded, &trusting, Check::Addresses, Status::Ok, found);
}

#[test]
fn raw_keys_are_worth_a_word() {
    check(&records(&[&|_| {}]), Check::Secrets, Status::Ok, "none in the messages");
    let raw = records(&[&|event| event.carried.raw_key = true, &|_| {}]);
    let found = "1 of 2 events carry the raw API key";
    let with_secret = check_with(&raw, &context(), Check::Secrets, Status::Warn, found);
    let without = Context { has_fingerprint_secret: false, ..context() };
    let without_secret = check_with(&raw, &without, Check::Secrets, Status::Warn, found);
    let asks = |finding: Finding| finding.hint.unwrap_or_default().contains("source.fingerprint_secret");
    assert!(!asks(with_secret) && asks(without_secret));
}

#[test]
fn a_message_is_taken_as_the_service_would_and_the_bound_holds() {
    let decoder = Decoder::new(b"test", crate::event::redact::Masker::new(&["caibo_live_sk_"]));
    let mut taken = Taken::default();
    let payload = br#"{"ts":5,"outcome":"ok","merchant_id":"m_1","key_id":"key_1"}"#;
    taken.take(&decoder, 3, 9, Some(7), Some(b"m_1"), payload);
    taken.take(&decoder, 3, 10, Some(6), None, b"no");
    assert_eq!(taken.newest_at, Some(7));
    let Ok(event) = &taken.records[0].what else { panic!("{taken:?}") };
    assert_eq!((event.ts, event.merchant.as_deref(), event.has_key, event.has_id), (5, Some("m_1"), true, false));
    assert_eq!(taken.records[1].what.as_ref().unwrap_err().reason, RejectReason::NotJson);
    for offset in 0..(RECORDS_MAX as i64 + 5) {
        taken.take(&decoder, 0, offset, None, None, b"no");
    }
    assert_eq!(taken.records.len(), RECORDS_MAX);
}
