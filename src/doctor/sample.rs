//! What a sample of `auth-events` shows: pure facts over decoded messages, and what to make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Check, Finding, age, count};
use crate::event::auth::{Carried, Decoder};
use crate::event::{Outcome, RejectReason, Rejected};
use crate::time::{DAY, MINUTE, Millis, duration_text};

/// Records that a sample holds at most.
pub const RECORDS_MAX: usize = 20_000;
/// As of this share (1 in …) a missing field is worth a word.
const SHARE: usize = 100;
/// Of a rejected message so many characters are shown.
const EXCERPT: usize = 60;
/// The newest event is older: nobody writes, or with an old clock.
const QUIET: Millis = DAY;
/// Clocks differ; an event so far ahead is not one of those.
const AHEAD: Millis = MINUTE;

/// A record of the sample: an event, or why it is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where its message lies.
    pub partition: i32,
    /// Where its message lies.
    pub offset: i64,
    /// The message's key.
    pub key: Option<Vec<u8>>,
    /// What it is.
    pub what: Result<Event, Rejected>,
}

/// What is looked at of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Event time.
    pub ts: Millis,
    /// Its merchant.
    pub merchant: Option<String>,
    /// It has an ID.
    pub has_id: bool,
    /// It names the key, by ID or fingerprint.
    pub has_key: bool,
    /// It was accepted.
    pub is_accepted: bool,
    /// From where.
    pub source: Option<IpAddr>,
    /// What its message carried beside it.
    pub carried: Carried,
}

/// Records as they were read.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// In the order of each partition.
    pub records: Vec<Record>,
    /// Kafka's time of the newest message.
    pub newest_at: Option<Millis>,
}

impl Taken {
    /// Decodes a message. What goes beyond the bound is left out.
    pub fn take(
        &mut self,
        decoder: &Decoder,
        partition: i32,
        offset: i64,
        at: Option<Millis>,
        key: Option<&[u8]>,
        payload: &[u8],
    ) {
        self.newest_at = self.newest_at.max(at);
        decoder.inspect_each(payload, |one| {
            if self.records.len() < RECORDS_MAX {
                let what = one.map(|(event, carried)| Event {
                    ts: event.ts,
                    merchant: event.merchant_id.map(|id| id.into_owned()),
                    has_id: event.event_id.is_some(),
                    has_key: event.key_id.is_some() || event.key_fingerprint.is_some(),
                    is_accepted: event.outcome == Outcome::Ok,
                    source: event.source_ip,
                    carried,
                });
                self.records.push(Record { partition, offset, key: key.map(<[u8]>::to_vec), what });
            }
        });
    }
}

/// What the sample is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Wall time.
    pub now: Millis,
    /// `limits.lateness`
    pub lateness: Millis,
    /// `source.trusted_proxies` names some.
    pub has_proxies: bool,
    /// `source.fingerprint_secret` is set.
    pub has_fingerprint_secret: bool,
}

/// What a sample shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Records.
    pub n_records: usize,
    /// Those that are events.
    pub n_events: usize,
    /// Those that are none: how many by reason, and an example of each with its place.
    pub rejected: BTreeMap<RejectReason, (usize, String)>,
    /// Events without an ID.
    pub n_without_id: usize,
    /// Accepted events.
    pub n_accepted: usize,
    /// Accepted events that name no key.
    pub n_without_key: usize,
    /// Accepted events that name no merchant.
    pub n_without_merchant: usize,
    /// Events with a merchant.
    pub n_with_merchant: usize,
    /// Of these, those whose message key is another.
    pub n_miskeyed: usize,
    /// Of these, those whose message has no key.
    pub n_unkeyed: usize,
    /// Merchants seen.
    pub n_merchants: usize,
    /// Merchants seen in more than one partition.
    pub n_split: usize,
    /// The newest event time that does not lie ahead.
    pub newest: Option<Millis>,
    /// Events ahead of the clock.
    pub n_ahead: usize,
    /// The furthest ahead.
    pub furthest_ahead: Millis,
    /// The furthest that an event lies behind an earlier one of its partition.
    pub disorder: Millis,
    /// Events later than the lateness.
    pub n_late: usize,
    /// Events with a source address.
    pub n_sources: usize,
    /// Of these, those from networks that are nobody's on the internet.
    pub n_private: usize,
    /// Events whose message carried a raw key.
    pub n_raw_keys: usize,
    /// Events whose message carried a list of proxies.
    pub n_forwarded: usize,
}

/// Counts. Records of a partition are in its order.
pub fn measure(records: &[Record], context: &Context<'_>) -> Facts {
    let mut facts = Facts { n_records: records.len(), ..Facts::default() };
    let mut homes: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    let mut furthest: BTreeMap<i32, Millis> = BTreeMap::new();
    for record in records {
        let event = match &record.what {
            Ok(event) => event,
            Err(rejected) => {
                let place = || format!("{}/{} offset {}", context.topic, record.partition, record.offset);
                let example = || {
                    let text = excerpt(&rejected.redacted);
                    let text = if text.is_empty() { String::new() } else { format!("; it begins: {text}") };
                    format!("{}: {}{text}", place(), rejected.detail)
                };
                facts.rejected.entry(rejected.reason).or_insert_with(|| (0, example())).0 += 1;
                continue;
            }
        };
        facts.n_events += 1;
        facts.n_without_id += usize::from(!event.has_id);
        facts.n_accepted += usize::from(event.is_accepted);
        facts.n_without_key += usize::from(event.is_accepted && !event.has_key);
        facts.n_without_merchant += usize::from(event.is_accepted && event.merchant.is_none());
        facts.n_raw_keys += usize::from(event.carried.raw_key);
        facts.n_forwarded += usize::from(event.carried.forwarded_for);
        facts.n_sources += usize::from(event.source.is_some());
        facts.n_private += usize::from(event.source.is_some_and(is_private));
        if let Some(merchant) = &event.merchant {
            facts.n_with_merchant += 1;
            facts.n_unkeyed += usize::from(record.key.is_none());
            facts.n_miskeyed += usize::from(record.key.as_ref().is_some_and(|key| key != merchant.as_bytes()));
            homes.entry(merchant).or_default().insert(record.partition);
        }
        let ahead = event.ts - context.now;
        if AHEAD < ahead {
            // A wrong clock says nothing of the order of the others.
            facts.n_ahead += 1;
            facts.furthest_ahead = facts.furthest_ahead.max(ahead);
            continue;
        }
        facts.newest = facts.newest.max(Some(event.ts));
        let furthest = furthest.entry(record.partition).or_insert(event.ts);
        *furthest = event.ts.max(*furthest);
        let behind = *furthest - event.ts;
        facts.disorder = facts.disorder.max(behind);
        facts.n_late += usize::from(context.lateness < behind);
    }
    facts.n_merchants = homes.len();
    facts.n_split = homes.values().filter(|partitions| 1 < partitions.len()).count();
    facts
}

/// The beginning of a masked text, on one line.
fn excerpt(redacted: &str) -> String {
    let flat: String = redacted.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    if EXCERPT < redacted.chars().count() { format!("{flat}…") } else { flat }
}

/// Of no use as a client's address: everybody behind it looks the same.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

/// Worth a word.
fn is_much(n: usize, of: usize) -> bool {
    0 < n && of <= n * SHARE
}

/// What to make of it: one finding for each of the six checks, or one where there is nothing to look at.
pub fn judge(facts: &Facts, context: &Context<'_>) -> Vec<Finding> {
    let at = format!("messages of {}", context.topic);
    if facts.n_records == 0 {
        let found = "none to look at; once events flow, run `keywatch doctor` again";
        return vec![Finding::ok(Check::Messages, at, found)];
    }
    let mut findings = vec![messages(facts, at)];
    if 0 < facts.n_events {
        findings.extend([
            fields(facts),
            keying(facts),
            times(facts, context),
            addresses(facts, context),
            secrets(facts, context),
        ]);
    }
    findings
}

fn messages(facts: &Facts, at: String) -> Finding {
    let (check, n) = (Check::Messages, facts.n_records);
    if facts.rejected.is_empty() {
        return Finding::ok(check, at, format!("{n} of {n} are events"));
    }
    let one =
        |(reason, (n, example)): (&RejectReason, &(usize, String))| format!("{n} {} ({example})", reason.as_str());
    let reasons: Vec<String> = facts.rejected.iter().map(one).collect();
    let reasons = reasons.join("; ");
    if facts.n_events == 0 {
        let hint = "set source.format or source.mapping to the form of these messages, or source.kafka.topics.auth_events to \
                    the right topic; docs/reference/events.md has our own form";
        return Finding::fail(check, at, format!("none of the newest {n} is an event: {reasons}"), hint);
    }
    let hint =
        "what is no event is counted, kept masked and passed over; let its producer look at docs/reference/events.md";
    Finding::warn(check, at, format!("{} of the newest {n} are no events: {reasons}", n - facts.n_events), hint)
}

fn fields(facts: &Facts) -> Finding {
    let (check, at) = (Check::Fields, "fields");
    let accepted = facts.n_accepted;
    let (mut missing, mut hints) = (Vec::new(), Vec::new());
    if is_much(facts.n_without_id, facts.n_events) {
        missing.push(format!("{} of {} events have no event_id", facts.n_without_id, facts.n_events));
        hints.push("send event_id: without it a repeated message counts twice");
    }
    if is_much(facts.n_without_key, accepted) {
        missing.push(format!("{} of {accepted} accepted ones name no key", facts.n_without_key));
        hints.push("send key_id or key_fingerprint: a call without them is watched by nobody");
    }
    if is_much(facts.n_without_merchant, accepted) {
        missing.push(format!("{} of {accepted} accepted ones name no merchant", facts.n_without_merchant));
        hints.push("send merchant_id, or key events that say whose each key is");
    }
    if missing.is_empty() {
        return Finding::ok(check, at, "event_id, key and merchant are there");
    }
    Finding::warn(check, at, missing.join(", "), hints.join("; "))
}

fn keying(facts: &Facts) -> Finding {
    let (check, at, of) = (Check::Keying, "message keys", facts.n_with_merchant);
    let mut wrong = Vec::new();
    if 0 < facts.n_unkeyed {
        wrong.push(format!("{} of {of} have none", facts.n_unkeyed));
    }
    if 0 < facts.n_miskeyed {
        wrong.push(format!("{} of {of} are not the merchant_id", facts.n_miskeyed));
    }
    if 0 < facts.n_split {
        wrong.push(format!("{} of {} merchants lie in several partitions", facts.n_split, facts.n_merchants));
    }
    if of == 0 {
        return Finding::ok(check, at, "no event names a merchant to compare with");
    }
    if wrong.is_empty() {
        let found = format!(
            "each is its merchant_id; {} in one partition each",
            count(facts.n_merchants, "merchant", "merchants")
        );
        return Finding::ok(check, at, found);
    }
    let hint = "let the producer set the message key to merchant_id. A merchant in several partitions is judged in parts: \
                its keys know nothing of each other, and its events lose their order";
    Finding::warn(check, at, wrong.join(", "), hint)
}

fn times(facts: &Facts, context: &Context<'_>) -> Finding {
    let (check, at, allowed) = (Check::Times, "event times", duration_text(context.lateness));
    let newest = facts.newest.map(|newest| age((context.now - newest).max(0)));
    let newest_is = newest.map_or("all lie ahead".to_owned(), |age| format!("the newest is {age} old"));
    if 0 < facts.n_ahead {
        let found = format!(
            "{} of {} lie ahead of this machine's clock, by up to {}; {newest_is}",
            facts.n_ahead,
            facts.n_events,
            age(facts.furthest_ahead)
        );
        let hint = "check that producers send ts in UTC or with an offset, and follow a time server (NTP)";
        return Finding::warn(check, at, found, hint);
    }
    if 0 < facts.n_late {
        let found = format!(
            "{} of {} come later than limits.lateness ({allowed}), by up to {}; {newest_is}",
            facts.n_late,
            facts.n_events,
            age(facts.disorder)
        );
        let hint = "raise limits.lateness, or let producers send sooner: what is later is judged only by rules that need no \
                    window";
        return Finding::warn(check, at, found, hint);
    }
    if facts.newest.is_some_and(|newest| QUIET < context.now - newest) {
        return Finding::warn(check, at, newest_is, "does the producer still write, and with the right ts?");
    }
    Finding::ok(check, at, format!("{newest_is}; disorder up to {} of {allowed}", age(facts.disorder)))
}

fn addresses(facts: &Facts, context: &Context<'_>) -> Finding {
    let (check, at, n) = (Check::Addresses, "addresses", facts.n_sources);
    let set = "set source.trusted_proxies to your load balancers' networks, and let the gateway send forwarded_for";
    if n == 0 {
        return Finding::warn(
            check,
            at,
            "no event has a source_ip",
            "send source_ip: rules about networks see nothing without",
        );
    }
    if 0 < facts.n_forwarded && !context.has_proxies {
        let found = format!("{} of {} carry forwarded_for, and nobody is trusted", facts.n_forwarded, facts.n_events);
        return Finding::warn(check, at, found, set);
    }
    if n < 2 * facts.n_private {
        let found = format!("{} of {n} source_ip are private: a proxy's, not the client's", facts.n_private);
        return Finding::warn(check, at, found, set);
    }
    Finding::ok(
        check,
        at,
        format!("{n} of {} events have a source_ip, {} of them private", facts.n_events, facts.n_private),
    )
}

fn secrets(facts: &Facts, context: &Context<'_>) -> Finding {
    let (check, at) = (Check::Secrets, "raw keys");
    if facts.n_raw_keys == 0 {
        return Finding::ok(check, at, "none in the messages");
    }
    let found = format!("{} of {} events carry the raw API key", facts.n_raw_keys, facts.n_events);
    let hint = "send key_id or key_fingerprint instead: whoever may read the topic can use these keys";
    if context.has_fingerprint_secret {
        return Finding::warn(check, at, found, hint);
    }
    let also = "and set source.fingerprint_secret, without which each start takes every key for a new one";
    Finding::warn(check, at, found, format!("{hint}; {also}"))
}

#[cfg(test)]
mod tests;
