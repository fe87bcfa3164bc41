//! The JSON Schema of `*.test.yml`. It cannot see what other lines say, which rules there are, or the span of a test.

use serde_json::{Value, json};

use super::{EVENTS_MAX, ITEMS_MAX, SPAN_MAX, TESTS_MAX};
use crate::yaml::schema::Type::{
    self, Count, Duration, Group, List, Names, OneOrMore, Shape, Short, Text, Value as Any, Word,
};
use crate::yaml::schema::{self, Field, defined, definitions, field, group, not_here, root};

const TIME: Type = Shape(
    "^([0-9]+(ms|s|m|h|d|w))+$|^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}",
    "expected an offset from starts such as 14d1h30m, or a time such as 2026-11-02T08:00:00Z",
);
const MOMENT: Type =
    Shape("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}", "expected a time such as 2026-11-02T00:00:00Z");
const ADDRESS: Type = Shape("^[0-9A-Fa-f:.]+$", "expected an address such as 203.0.113.7 or 2001:db8::7");
const RATE: Type = Shape(
    "^ *0*[1-9][0-9]* +per +(second|minute|hour|day) *$",
    "expected a rate such as 20 per hour; or per second, minute or day",
);
const SPAN: Type = Duration(1, SPAN_MAX);
const ITEMS: Option<u64> = Some(ITEMS_MAX as u64);

const NETWORK_KINDS: &[(&str, &str)] = &[("hosting", ""), ("anonymiser", "")];
const ENVS: &[(&str, &str)] = &[("live", ""), ("test", "")];
const OUTCOMES: &[(&str, &str)] = &[("ok", "Accepted."), ("denied", "Refused.")];
const REASONS: &[(&str, &str)] = &[
    ("malformed_key", ""),
    ("malformed_header", ""),
    ("missing_key", ""),
    ("unknown_key", ""),
    ("revoked_key", ""),
    ("rotated_key", ""),
    ("expired_key", ""),
    ("env_mismatch", ""),
    ("account_suspended", ""),
    ("rate_limited", ""),
];
const FACTS: &[(&str, &str)] = &[
    ("key_created", "The key was made."),
    ("key_regenerated", "The key replaces another one."),
    ("key_revoked", "The key was revoked."),
    ("key_expires", "The key will stop."),
    ("key_exposed", "The key was found where anybody can read it."),
    ("merchant_updated", "Something about the merchant."),
];
const STATUSES: &[(&str, &str)] = &[("active", "In good standing."), ("suspended", "Not in good standing.")];
const KINDS: &[(&str, &str)] = &[
    ("new_ip", ""),
    ("ip_fanout", ""),
    ("impossible_travel", ""),
    ("new_user_agent", ""),
    ("new_endpoint", ""),
    ("client_side_use", ""),
    ("env_mismatch", ""),
    ("rotated_key_use", ""),
    ("revoked_key_use", ""),
    ("suspended_use", ""),
    ("stale_key", ""),
    ("dormant_awake", ""),
    ("key_exposed", ""),
    ("expiring_key", ""),
    ("rotation_overdue", ""),
    ("rotation_unproven", ""),
    ("key_lifecycle", ""),
    ("spike", ""),
    ("drop", ""),
    ("error_burst", ""),
    ("off_hours", ""),
    ("key_scan", ""),
    ("malformed_key", ""),
    ("platform_incident", ""),
    ("threshold", ""),
    ("custom", ""),
];
const SEVERITIES: &[(&str, &str)] = &[("info", ""), ("warning", ""), ("high", ""), ("critical", "")];
const AUDIENCES: &[(&str, &str)] = &[("merchant", ""), ("support", ""), ("both", ""), ("operations", "")];
const STATES: &[(&str, &str)] = &[("firing", "The alert is open."), ("resolved", "It has ended.")];

/// The file.
pub const FILE: &[Field] = &[field("tests", List(&Group("test"), 1, Some(TESTS_MAX as u64)), "The tests.").required()];

/// Every group but [`FILE`].
#[rustfmt::skip]
pub const GROUPS: &[schema::Group] = &[
    ("test", &[
        field("name", Short(super::read::NAME_MAX as u64), "What happens, and what is told. Once in its file.").required(),
        field("starts", MOMENT, "Where offsets begin. Keys are watched from there.").or("2026-01-05T00:00:00Z"),
        field("rules", List(&Text, 0, None), "Only alerts of these rules are looked at; all where it is absent. A test that names a rule and finds no alert of it is what coverage counts as silence.").such_as("new-ip"),
        field("set", Names(r"^[^.=]*[^.= ][^.=]*\.[^=]*[^= ][^=]*$", &Any), "Parameters for this test: `RULE.PARAM: VALUE`.").such_as("new-ip.min_calls"),
        field("facts", List(&Group("fact"), 0, ITEMS), "Key events: what is known of keys and merchants."),
        field("events", List(&Group("event"), 0, ITEMS), "Calls. Each line stands for one, or for many that are spread evenly."),
        field("expect", List(&Group("expectation"), 1, ITEMS), "What must have been found.").required(),
    ]),
    ("fact", &[
        field("type", Word(FACTS), "What is said.").required(),
        field("at", TIME, "When.").required(),
        field("key", Text, "The key."),
        field("merchant", Text, "The merchant."),
        field("replaces", Text, "The key that it replaces."),
        field("reason", Text, "Why."),
        field("actor_ip", ADDRESS, "The address of who made the key."),
        field("actor_country", Text, "Country of that address, as GeoIP databases would say it: two capital letters."),
        field("name", Text, "What the merchant calls the key, or is called."),
        field("timezone", Text, "The merchant's time zone.").such_as("Europe/Zurich"),
        field("locale", Text, "The merchant's language and region.").such_as("de-CH"),
        field("env", Word(ENVS), "The key's environment."),
        field("status", Word(STATUSES), "Whether the merchant's account is in good standing."),
        field("created_at", TIME, "When the key was made."),
        field("grace_until", TIME, "Until when the replaced key still works."),
        field("expires_at", TIME, "When the key stops."),
        field("revoked_at", TIME, "When the key was revoked."),
        field("tags", List(&Text, 0, None), "Tags."),
    ]),
    ("event", &[
        field("key", Text, "The key's ID. What a line leaves out is as in the line before it for the same key.").required(),
        field("merchant", Text, "The merchant."),
        field("env", Word(ENVS), "The key's environment."),
        field("endpoint", Word(ENVS), "The environment of the endpoint that is called."),
        field("from", OneOrMore(&ADDRESS), "The caller's address, or a list of addresses that take turns."),
        field("method", Text, "HTTP method.").such_as("POST"),
        field("path", Text, "Path.").such_as("/v1/payments"),
        field("user_agent", Text, "User agent."),
        field("origin", Text, "`Origin` header."),
        field("referer", Text, "`Referer` header."),
        field("status", Count(100, 599), "HTTP status."),
        field("latency_ms", Count(0, 3_600_000), "How long the gateway took."),
        field("country", Text, "Country of the addresses, as GeoIP databases would say it: two capital letters."),
        field("asn", Count(1, u32::MAX as u64), "Number of the addresses' provider, as GeoIP databases would say it."),
        field("network_kind", Word(NETWORK_KINDS), "What the addresses' network is used for, as GeoIP databases would say it."),
        field("outcome", Word(OUTCOMES), "The gateway's decision."),
        field("reason", Word(REASONS), "Why it is refused; makes the call `denied`."),
        field("calls", Count(1, 1_000_000), "How many calls each event stands for."),
        field("at", TIME, "When the line begins; where the line before it for the same key ended, else at `0d`."),
        field("rate", RATE, "How often, with `for`.").such_as("20 per hour"),
        field("for", SPAN, "How long, with `rate`.").such_as("14d"),
        field("count", Count(1, EVENTS_MAX), "How many events, with `within`."),
        field("within", SPAN, "Over how long, with `count`.").such_as("10m"),
    ]),
    ("expectation", &[
        field("at", TIME, "When it is looked: everything until then has happened.").required(),
        field("alerts", List(&Group("alert"), 0, ITEMS), "The alerts that are open or have ended, one a line; `[]` is silence.").required(),
        field("knows", List(&Group("known"), 0, ITEMS), "What is known of keys then."),
    ]),
    ("known", &[
        field("key", Text, "The key.").required(),
        field("that", Text, "A condition that must be true of what is known of it, such as `key.calls == 480`.").such_as("features.days_learned >= 7").required(),
    ]),
    ("alert", &[
        field("rule", Text, "The rule's name."),
        field("kind", Word(KINDS), "What it found."),
        field("key", Text, "The key."),
        field("merchant", Text, "The merchant."),
        field("severity", Word(SEVERITIES), "How much it matters."),
        field("audience", Word(AUDIENCES), "Who is told."),
        field("state", Word(STATES), "Whether it is open."),
        field("part", Text, "The part of the key that it is about.").such_as("network 203.0.113.0/24"),
        field("source", Text, "An address, or a network."),
        field("starts", TIME, "When it began."),
        field("ends", TIME, "When it ended."),
        field("summary_contains", Text, "What its summary says somewhere."),
        field("subject", Text, "Subject of the mail to its first receiver."),
        field("mail_contains", Text, "What that mail says somewhere."),
        field("evidence", Names(".", &Any), "Values of its evidence."),
    ]),
];

/// The schema of files of tests.
pub fn schema() -> Value {
    let mut all = definitions(GROUPS);
    all["event"]["dependencies"] = json!({"rate": ["for"], "for": ["rate"], "count": ["within"], "within": ["count"]});
    all["event"]["allOf"] = json!([
        {
            "if": {"required": ["rate", "count"]},
            "then": {"properties": {"count": not_here("either rate and for, or count and within")}},
        },
        {
            "if": {"properties": {"outcome": {"const": "ok"}}, "required": ["outcome"]},
            "then": {"properties": {"reason": not_here("an accepted call has no reason")}},
        },
    ]);
    let needs = |kind: &str, fields: &[&str]| {
        let is_kind = json!({"properties": {"type": {"const": kind}}, "required": ["type"]});
        json!({"if": is_kind, "then": {"required": fields}})
    };
    all["fact"]["allOf"] = json!([
        needs("key_created", &["key"]),
        needs("key_regenerated", &["key", "replaces"]),
        needs("key_revoked", &["key"]),
        needs("key_expires", &["key", "expires_at"]),
        needs("key_exposed", &["key"]),
        needs("merchant_updated", &["merchant"]),
    ]);
    // Silence is written out.
    all["expectation"]["properties"]["alerts"]["type"] = "array".into();
    all.insert("file".into(), group(FILE).into());
    let mut whole = root("tests of keywatch rules", "A file *.test.yml; docs/reference/rule-tests.md says more");
    whole.insert("allOf".into(), json!([defined("file")]));
    whole.insert("definitions".into(), all.into());
    Value::Object(whole)
}
