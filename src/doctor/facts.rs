//! What a sample of `key-events` shows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Finding, count};
use crate::event::auth::Decoder;
use crate::event::facts::FactKind;
use crate::event::{RejectReason, Rejected};

/// A record of the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub partition: i32,
    /// Where it lies.
    pub offset: i64,
    /// The message's key.
    pub key: Option<Vec<u8>>,
    /// Whom it is about, or why it is no fact.
    pub about: Result<String, Rejected>,
}

/// Decodes a message; `None` for a tombstone.
pub fn record(decoder: &Decoder, partition: i32, offset: i64, key: Option<&[u8]>, payload: &[u8]) -> Option<Record> {
    let about = decoder.decode_fact(payload, key).transpose()?.map(|fact| {
        let is_merchant = fact.kind == FactKind::MerchantUpdated;
        let (kind, id) = if is_merchant { ("merchant", fact.merchant_id) } else { ("key", fact.key_id) };
        format!("{kind} {}", id.unwrap_or_default())
    });
    Some(Record { partition, offset, key: key.map(<[u8]>::to_vec), about })
}

/// What to make of them.
pub fn judge(topic: &str, records: &[Record]) -> Finding {
    let (check, at, n) = (Check::Facts, format!("facts of {topic}"), records.len());
    if n == 0 {
        let found = "none to look at: keys are then learned from their use, and what needs facts stays silent";
        return Finding::ok(check, at, found);
    }
    let mut rejected: BTreeMap<RejectReason, (usize, String)> = BTreeMap::new();
    let mut subjects: BTreeMap<&[u8], BTreeSet<&str>> = BTreeMap::new();
    let mut n_unkeyed = 0;
    for record in records {
        match (&record.about, &record.key) {
            (Err(why), _) => {
                let example = || format!("{topic}/{} offset {}: {}", record.partition, record.offset, why.detail);
                rejected.entry(why.reason).or_insert_with(|| (0, example())).0 += 1;
            }
            (Ok(_), None) => n_unkeyed += 1,
            (Ok(about), Some(key)) => drop(subjects.entry(key).or_default().insert(about)),
        }
    }
    let n_rejected: usize = rejected.values().map(|(n, _)| n).sum();
    let one =
        |(reason, (n, example)): (&RejectReason, &(usize, String))| format!("{n} {} ({example})", reason.as_str());
    let reasons: Vec<String> = rejected.iter().map(one).collect();
    let form = "docs/reference/events.md has the form of facts";
    if n_rejected == n {
        let found = format!("none of the newest {n} is a fact: {}", reasons.join("; "));
        return Finding::fail(
            check,
            at,
            found,
            format!("set source.kafka.topics.key_events to the right topic; {form}"),
        );
    }
    let n_shared = subjects.values().filter(|subjects| 1 < subjects.len()).count();
    let (mut wrong, mut hints) = (Vec::new(), Vec::new());
    if 0 < n_rejected {
        wrong.push(format!("{n_rejected} of the newest {n} are no facts: {}", reasons.join("; ")));
        hints.push(form);
    }
    if 0 < n_unkeyed {
        wrong.push(format!("{n_unkeyed} have no message key"));
    }
    if 0 < n_shared {
        wrong.push(format!("{} stand for several keys or merchants", count(n_shared, "message key", "message keys")));
    }
    if 0 < n_unkeyed + n_shared {
        hints.push("write with the message key MERCHANT/KEY: compaction keeps one message for each");
    }
    if wrong.is_empty() {
        return Finding::ok(check, at, format!("{n} of {n} are facts, each with a message key of its own"));
    }
    Finding::warn(check, at, wrong.join(", "), hints.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use crate::event::redact::Masker;

    #[test]
    fn facts_are_told_apart_by_their_message_keys() {
        let decoder = Decoder::new(b"test", Masker::new(&[]));
        let fact = |n: u8| format!(r#"{{"type":"key_created","ts":1,"key_id":"key_{n}","merchant_id":"m_1"}}"#);
        let merchant = r#"{"type":"merchant_updated","ts":1,"merchant_id":"m_1"}"#.to_owned();
        let check = |messages: &[(Option<&str>, String)], status, found: &str| {
            let one = |(i, (key, payload)): (usize, &(Option<&str>, String))| {
                record(&decoder, 1, i as i64, key.map(str::as_bytes), payload.as_bytes())
            };
            let records: Vec<Record> = messages.iter().enumerate().filter_map(one).collect();
            let finding = judge("key-events", &records);
            assert_eq!((finding.status, finding.found.as_str()), (status, found));
        };
        let none = "none to look at: keys are then learned from their use, and what needs facts stays silent";
        check(&[], Status::Ok, none);
        check(&[(Some("m_1/key_1"), String::new())], Status::Ok, none);
        check(
            &[(Some("m_1/key_1"), fact(1)), (Some("m_1/key_2"), fact(2)), (Some("m_1/"), merchant.clone())],
            Status::Ok,
            "3 of 3 are facts, each with a message key of its own",
        );
        check(
            &[(Some("m_1"), fact(1)), (Some("m_1"), merchant), (None, fact(3))],
            Status::Warn,
            "1 have no message key, 1 message key stand for several keys or merchants",
        );
        let wrong = "1 wrong_type (key-events/1 offset 0: ";
        let records: Vec<Record> = record(&decoder, 1, 0, None, br#"{"type":"x","ts":1}"#).into_iter().collect();
        let finding = judge("key-events", &records);
        assert!(
            finding.status == Status::Fail && finding.found.contains("none of the newest 1 is a fact"),
            "{finding:?} {wrong}"
        );
    }
}
