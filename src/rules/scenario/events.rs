//! The notation of traffic: one line stands for one event, or for many that are spread evenly.
//!
//! What a line leaves out is as in the line before it for the same key. Every line passes through the real decoder, so
//! that paths are folded and texts are cut as they are in a service.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::read::{Times, duration, plain};
use super::{EVENTS_MAX, Generator, ITEMS_MAX};
use crate::event::auth::Decoder;
use crate::event::facts::{Fact, FactKind, MerchantStatus};
use crate::event::{AuthEvent, Country, Env, NetworkKind, Refusal};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, rfc3339};
use crate::yaml::{MapReader, Node, Position, Problems, Value as Yaml};

/// Texts of an event: their names here and on the wire.
const TEXTS: [(&str, &str); 6] = [
    ("merchant", "merchant_id"),
    ("method", "method"),
    ("path", "path"),
    ("user_agent", "user_agent"),
    ("origin", "origin"),
    ("referer", "referer"),
];
const ENVS: [(&str, Env); 2] = [("live", Env::Live), ("test", Env::Test)];
const UNITS: [(&str, Millis); 4] = [("second", SECOND), ("minute", MINUTE), ("hour", HOUR), ("day", DAY)];
const FACTS: [(&str, FactKind); 6] = [
    ("key_created", FactKind::KeyCreated),
    ("key_regenerated", FactKind::KeyRegenerated),
    ("key_revoked", FactKind::KeyRevoked),
    ("key_expires", FactKind::KeyExpires),
    ("key_exposed", FactKind::KeyExposed),
    ("merchant_updated", FactKind::MerchantUpdated),
];
const STATUSES: [(&str, MerchantStatus); 2] =
    [("active", MerchantStatus::Active), ("suspended", MerchantStatus::Suspended)];
const REASONS: [Refusal; 10] = [
    Refusal::MalformedKey,
    Refusal::MalformedHeader,
    Refusal::MissingKey,
    Refusal::UnknownKey,
    Refusal::RevokedKey,
    Refusal::RotatedKey,
    Refusal::ExpiredKey,
    Refusal::EnvMismatch,
    Refusal::AccountSuspended,
    Refusal::RateLimited,
];

/// What the next line of a key goes on from.
#[derive(Clone, Default)]
struct Before {
    wire: Map<String, Value>,
    addresses: Vec<IpAddr>,
    country: Option<Country>,
    asn: Option<u32>,
    network_kind: Option<NetworkKind>,
    end: Option<Millis>,
}

/// Reads the lines of one test.
pub(super) struct Lines<'a> {
    times: Times,
    decoder: &'a Decoder,
    before: BTreeMap<String, Before>,
    n_events: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(times: Times, decoder: &'a Decoder) -> Self {
        Lines { times, decoder, before: BTreeMap::new(), n_events: 0 }
    }

    /// Reads a line. `None` only where a problem was noted.
    pub(super) fn read(&mut self, mut map: MapReader<'_>) -> Option<Generator> {
        map.require("key");
        let key = plain(&mut map, "key");
        let mut now = key.as_ref().and_then(|key| self.before.get(key)).cloned().unwrap_or_default();
        for (name, wire) in TEXTS {
            if let Some(text) = plain(&mut map, name) {
                now.wire.insert(wire.to_owned(), text.into());
            }
        }
        for (name, wire) in [("env", "key_env"), ("endpoint", "endpoint_env")] {
            if let Some(env) = map.word(name, &ENVS) {
                now.wire.insert(wire.to_owned(), env.as_str().into());
            }
        }
        if let Some(addresses) = read_addresses(&mut map) {
            now.addresses = addresses;
        }
        read_place(&mut map, &mut now);
        read_outcome(&mut map, &mut now.wire);
        if let Some(status) = map.count("status", 100..=599) {
            now.wire.insert("status".to_owned(), status.into());
        }
        if let Some(latency) = map.count("latency_ms", 0..=3_600_000) {
            now.wire.insert("latency_ms".to_owned(), latency.into());
        }
        let calls = map.count("calls", 1..=1_000_000);
        let from = self.times.read(&mut map, "at").or(now.end).unwrap_or(self.times.starts);
        let (problems, at) = (map.problems(), map.at("key"));
        let spread = read_spread(&mut map);
        map.finish();
        let (key, (n, span)) = (key?, spread?);
        let to = from + span;
        if self.times.last() < to {
            problems.add(at, "these events go on for longer than a test may: ten years");
            return None;
        }
        self.n_events += n;
        if EVENTS_MAX < self.n_events {
            if self.n_events - n <= EVENTS_MAX {
                let hint = "fewer events, or `calls: 100`: each then stands for a hundred";
                problems.add_with_hint(at, format!("more than {EVENTS_MAX} events in one test"), hint);
            }
            return None;
        }
        now.end = Some(to);
        self.before.insert(key.clone(), now.clone());
        let mut wire = now.wire;
        wire.insert("ts".to_owned(), rfc3339(from).into());
        wire.insert("key_id".to_owned(), key.into());
        wire.insert("count".to_owned(), json!(calls.unwrap_or(1)));
        let text = Value::Object(wire).to_string();
        match self.decoder.decode_auth(text.as_bytes(), None) {
            Ok(event) => {
                let event = AuthEvent {
                    country: now.country,
                    asn: now.asn,
                    network_kind: now.network_kind,
                    ..event.into_owned()
                };
                Some(Generator { event, addresses: now.addresses, from, n, span })
            }
            Err(rejected) => {
                problems.add(at, format!("this would be no event: {}", rejected.detail));
                None
            }
        }
    }
}

/// `country:`, `asn:` and `network_kind:`, as GeoIP databases would say them of the addresses.
fn read_place(map: &mut MapReader<'_>, now: &mut Before) {
    if let Some(asn) = map.count("asn", 1..=u64::from(u32::MAX)) {
        now.asn = u32::try_from(asn).ok();
    }
    now.network_kind =
        map.word("network_kind", &NetworkKind::ALL.map(|kind| (kind.as_str(), kind))).or(now.network_kind);
    now.country = read_country(map, "country").or(now.country);
}

/// The two letters of a country.
fn read_country(map: &mut MapReader<'_>, field: &'static str) -> Option<Country> {
    let code = plain(map, field)?;
    let country = Country::new(&code);
    if country.is_none() {
        let (problems, at) = (map.problems(), map.at(field));
        let shown = problems.quote(at, &code);
        problems.add_with_hint(at, format!("{shown} is no country"), "two capital letters (ISO 3166-1), such as `CH`");
    }
    country
}

fn read_outcome(map: &mut MapReader<'_>, wire: &mut Map<String, Value>) {
    let outcome = map.word("outcome", &[("ok", "ok"), ("denied", "denied")]);
    let reason = map.word("reason", &REASONS.map(|reason| (reason.as_str(), reason.as_str())));
    match (outcome, reason) {
        (Some("ok"), Some(_)) => {
            let (problems, at) = (map.problems(), map.at("reason"));
            problems.add_with_hint(at, "an accepted call has no reason", "write `outcome: denied`, or leave one out");
        }
        (None, Some(reason)) | (Some(_), Some(reason)) => {
            wire.insert("outcome".to_owned(), "denied".into());
            wire.insert("reason".to_owned(), reason.into());
        }
        (Some(outcome), None) => {
            wire.insert("outcome".to_owned(), outcome.into());
            wire.remove("reason");
        }
        (None, None) => {
            wire.entry("outcome").or_insert_with(|| "ok".into());
        }
    }
}

/// `from:` one address, or a list of them.
fn read_addresses(map: &mut MapReader<'_>) -> Option<Vec<IpAddr>> {
    let node = map.node("from")?;
    let items = match &node.value {
        Yaml::List(items) if items.len() <= ITEMS_MAX => items.as_slice(),
        Yaml::List(_) => {
            map.problems().add(node.at, format!("more than {ITEMS_MAX} addresses"));
            return None;
        }
        _ => std::slice::from_ref(node),
    };
    let mut addresses = Vec::new();
    for item in items {
        let text = map.text(item)?;
        addresses.push(address(map.problems(), item.at, &text)?);
    }
    Some(addresses)
}

/// One address; `None` where it is none, which is said.
fn address(problems: &Problems, at: Position, text: &str) -> Option<IpAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let shown = problems.quote(at, text);
        let hint = match text.contains('/') {
            true => "one address of the network, such as `203.0.113.7`",
            false => "an address such as `203.0.113.7` or `2001:db8::7`",
        };
        problems.add_with_hint(at, format!("{shown} is no address"), hint);
    }
    parsed
}

/// How many events, over how long: `rate` and `for`, `count` and `within`, or neither.
fn read_spread(map: &mut MapReader<'_>) -> Option<(u64, Millis)> {
    let problems = map.problems();
    let rate = map.string("rate");
    let (lasts, within) = (duration(map, "for"), duration(map, "within"));
    let count = map.count("count", 1..=EVENTS_MAX);
    for (one, other, hint) in [
        ("rate", "for", "such as `rate: 20 per hour, for: 14d`"),
        ("for", "rate", "such as `rate: 20 per hour, for: 14d`; for one event leave it out"),
        ("count", "within", "such as `count: 300, within: 10m`; `calls: 300` is one event that stands for 300"),
        ("within", "count", "such as `count: 300, within: 10m`"),
        ("rate", "", "either `rate` and `for`, or `count` and `within`"),
    ] {
        let is_wrong = match other {
            "" => map.has("rate") && map.has("count"),
            other => map.has(one) && !map.has(other),
        };
        if is_wrong {
            let message = match other {
                "" => "`rate` and `count` together".to_owned(),
                other => format!("`{one}` without `{other}`"),
            };
            problems.add_with_hint(map.key_at(one), message, hint);
            return None;
        }
    }
    if map.has("count") {
        return Some((count?, within?));
    }
    let Some(text) = rate else { return (!map.has("rate")).then_some((1, 0)) };
    let at = map.at("rate");
    let parts = text.split_once(" per ").and_then(|(n, unit)| {
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        Some((n.trim().parse::<u32>().ok().filter(|n| *n > 0)?, *unit))
    });
    let Some((n, unit)) = parts else {
        let shown = problems.quote(at, &text);
        problems.add_with_hint(at, format!("{shown} is no rate"), "such as `20 per hour`; or per `minute`, or `day`");
        return None;
    };
    let lasts = lasts?;
    match u64::try_from(i128::from(lasts) * i128::from(n) / i128::from(unit)) {
        Ok(0) => {
            problems.add_with_hint(at, "this rate gives no event in that time", "a longer `for`, or leave both out");
            None
        }
        Ok(n) => Some((n, lasts)),
        Err(_) => None,
    }
}

/// Reads one key event.
pub(super) fn read_fact(mut map: MapReader<'_>, times: Times) -> Option<Fact> {
    let problems = map.problems();
    let kind = map.required_word("type", &FACTS);
    map.require("at");
    let at = times.read(&mut map, "at");
    let mut fact = Fact::new(kind.unwrap_or(FactKind::KeyCreated), at.unwrap_or(times.starts));
    let is_of_key = kind.is_some_and(|kind| kind != FactKind::MerchantUpdated);
    if is_of_key {
        map.require("key");
    } else if kind.is_some() {
        map.require("merchant");
    }
    for (name, slot) in [
        ("key", &mut fact.key_id),
        ("merchant", &mut fact.merchant_id),
        ("replaces", &mut fact.replaces),
        ("reason", &mut fact.reason),
        ("actor_ip", &mut fact.actor_ip),
        ("name", &mut fact.name),
        ("timezone", &mut fact.timezone),
        ("locale", &mut fact.locale),
    ] {
        *slot = plain(&mut map, name);
    }
    if let Some(text) = &fact.actor_ip {
        address(problems, map.at("actor_ip"), text);
    }
    fact.actor_country = read_country(&mut map, "actor_country");
    fact.key_env = map.word("env", &ENVS);
    fact.status = map.word("status", &STATUSES);
    for (name, slot) in [
        ("created_at", &mut fact.created_at),
        ("grace_until", &mut fact.grace_until),
        ("expires_at", &mut fact.expires_at),
        ("revoked_at", &mut fact.revoked_at),
    ] {
        *slot = times.read_free(&mut map, name);
    }
    fact.tags = map.strings("tags").map(|tags| tags.into_iter().map(|(tag, _)| tag).collect());
    if kind == Some(FactKind::KeyRegenerated) && !map.has("replaces") {
        problems.add_with_hint(map.at("type"), "a regenerated key replaces another", "add `replaces: OLD-KEY`");
    }
    if kind == Some(FactKind::KeyExpires) {
        map.require("expires_at");
    }
    map.finish();
    kind.and(at).map(|_| fact)
}

/// The items of a list of fields, each read by `each`.
pub(super) fn list<'a, T>(
    map: &mut MapReader<'a>,
    name: &'static str,
    mut each: impl FnMut(MapReader<'a>, &'a Node) -> Option<T>,
) -> Vec<T> {
    let Some(node) = map.node(name) else { return Vec::new() };
    let problems = map.problems();
    match &node.value {
        Yaml::List(items) if items.len() <= ITEMS_MAX => {
            items.iter().filter_map(|item| each(MapReader::new(problems, item), item)).collect()
        }
        Yaml::List(_) => {
            problems.add(map.key_at(name), format!("more than {ITEMS_MAX} entries of `{name}`"));
            Vec::new()
        }
        _ => {
            problems.add_with_hint(node.at, "expected a list", format!("each line under `{name}` begins with `- `"));
            Vec::new()
        }
    }
}

/// The events of all generators, by time; of the same time in the order of their lines.
pub(super) struct Merged<'a> {
    generators: &'a [Generator],
    /// Time, place of the generator, and the event's number in it.
    next: BinaryHeap<Reverse<(Millis, usize, u64)>>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(generators: &'a [Generator]) -> Self {
        let first = |(place, generator): (usize, &Generator)| Reverse((generator.from, place, 0));
        Merged { generators, next: generators.iter().enumerate().map(first).collect() }
    }

    /// The next event that is not after `until`.
    pub(super) fn next(&mut self, until: Millis) -> Option<AuthEvent<'static>> {
        let &Reverse((ts, place, i)) = self.next.peek().filter(|Reverse((ts, _, _))| *ts <= until)?;
        self.next.pop();
        let generator = &self.generators[place];
        if i + 1 < generator.n {
            self.next.push(Reverse((generator.time(i + 1), place, i + 1)));
        }
        let addresses = &generator.addresses;
        let source_ip = addresses.get((i % addresses.len().max(1) as u64) as usize).copied();
        Some(AuthEvent { ts, source_ip, ..generator.event.clone() })
    }
}

impl Generator {
    fn time(&self, i: u64) -> Millis {
        let step = i128::from(self.span) * i128::from(i) / i128::from(self.n);
        self.from + i64::try_from(step).unwrap_or(self.span)
    }
}
