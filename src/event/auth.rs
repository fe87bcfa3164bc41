//! Decodes one message into an [`AuthEvent`]. Bytes in, values out: no clock, no I/O, no way to fail but [`Rejected`].
//!
//! Two passes: the first only scans, so that broken JSON is told from a wrong field wherever it breaks, and a field
//! that comes twice counts as its last; the second interprets in a fixed order, so that the same message always
//! gives the same complaint.

use std::borrow::Cow;
use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::alert::hex;
use crate::event::facts::Fact;
use crate::event::fields::{self, Problem};
use crate::event::mapping::{Format, Taken};
use crate::event::path::{fold_path, things_of, trim_referer};
use crate::event::proxies::{Cidr, client};
use crate::event::redact::patterns::Depth;
use crate::event::redact::{KeyLooks, Masker};
use crate::event::wire::{Value, scan_object};
use crate::event::{AuthEvent, Env, Outcome, Refusal, RejectReason, Rejected, facts_wire};

mod carried;

pub use carried::Carried;

/// The longest user agent, origin and referer that are kept.
const TEXT_BYTES_MAX: usize = 256;
/// The largest message that holds several events: a log file of CloudTrail is one.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// The longest method that is kept.
const METHOD_BYTES_MAX: usize = 16;
/// How many requests one line may stand for.
const COUNT: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// Turns messages into events and facts. Built once and shared: decoding only reads it.
#[derive(Clone)]
pub struct Decoder {
    pub(super) masker: Masker,
    fingerprint: Hmac<Sha256>,
    format: Format,
    trusted_proxies: Vec<Cidr>,
}

/// The three fields that say which key it was.
#[derive(Default)]
pub(super) struct KeyFields<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) fingerprint: Option<Cow<'a, str>>,
    pub(super) hint: Option<Cow<'a, str>>,
    pub(super) env: Option<Env>,
}

impl Decoder {
    /// A decoder whose fingerprints are keyed with `fingerprint_key` and whose texts pass through `masker`.
    pub fn new(fingerprint_key: &[u8], masker: Masker) -> Self {
        let fingerprint = Hmac::new_from_slice(fingerprint_key).expect("HMAC takes keys of every length");
        Decoder { masker, fingerprint, format: Format::Native, trusted_proxies: Vec::new() }
    }

    /// The same for messages of another form.
    pub fn with_format(self, format: Format) -> Self {
        Decoder { format, ..self }
    }

    /// The same behind these proxies: where one of them calls, `forwarded_for` tells who the client is.
    pub fn behind(self, trusted_proxies: Vec<Cidr>) -> Self {
        Decoder { trusted_proxies, ..self }
    }

    /// Whether a message may hold several events, and may so be larger.
    pub fn holds_several(&self) -> bool {
        self.format.holds_several()
    }

    /// Decodes a message of the configured form, which may hold several decisions.
    pub fn decode_each<'a>(&self, payload: &'a [u8], mut each: impl FnMut(Result<AuthEvent<'a>, Rejected>)) {
        let Format::Mapped(mapping) = &self.format else { return each(self.decode_auth(payload, None)) };
        let bytes_max = if self.holds_several() { DOCUMENT_BYTES_MAX } else { fields::MESSAGE_BYTES_MAX };
        let read = fields::text_within(payload, bytes_max).and_then(|text| {
            mapping.read(text, |n, taken| {
                let event = taken.and_then(|taken| Ok(self.assemble(Wire::of(&taken))?.into_owned()));
                each(event.map_err(|problem| problem.at_record(n).reject(payload, &self.masker)));
            })
        });
        if let Err(problem) = read {
            each(Err(problem.reject(payload, &self.masker)));
        }
    }

    /// Decodes an authentication decision. The message key is not needed: what it says, the payload says too.
    pub fn decode_auth<'a>(&self, payload: &'a [u8], _message_key: Option<&[u8]>) -> Result<AuthEvent<'a>, Rejected> {
        self.read_auth(payload).map_err(|problem| problem.reject(payload, &self.masker))
    }

    /// Decodes a key event. An empty payload is a tombstone of the compacted topic: it says nothing.
    pub fn decode_fact(&self, payload: &[u8], _message_key: Option<&[u8]>) -> Result<Option<Fact>, Rejected> {
        if payload.is_empty() {
            return Ok(None);
        }
        facts_wire::read_fact(self, payload).map(Some).map_err(|problem| problem.reject(payload, &self.masker))
    }

    fn read_auth<'a>(&self, payload: &'a [u8]) -> Result<AuthEvent<'a>, Problem> {
        let mut wire = Wire::default();
        scan_object(fields::text_of(payload)?, |name, value| wire.take(name, value))?;
        self.assemble(wire)
    }

    fn assemble<'a>(&self, wire: Wire<'a>) -> Result<AuthEvent<'a>, Problem> {
        let masker = &self.masker;
        let ts = fields::event_time(&wire.ts)?;
        let outcome = outcome(&wire.outcome)?;
        let key = self.key_fields(wire.key_id, wire.key_fingerprint, wire.key_hint, wire.key_env, wire.api_key)?;
        wire.forgotten.check()?;
        let (path, things) = self.path(wire.path, outcome)?;
        Ok(AuthEvent {
            event_id: fields::id("event_id", wire.event_id, masker)?,
            ts,
            key_id: key.id,
            key_fingerprint: key.fingerprint,
            key_hint: key.hint,
            key_env: key.env,
            merchant_id: fields::id("merchant_id", wire.merchant_id, masker)?,
            endpoint_env: fields::env("endpoint_env", &wire.endpoint_env)?,
            method: fields::text("method", wire.method, METHOD_BYTES_MAX, masker)?,
            path,
            things,
            source_ip: self.client(fields::address("source_ip", &wire.source_ip)?, &wire.forwarded_for),
            user_agent: fields::text("user_agent", wire.user_agent, TEXT_BYTES_MAX, masker)?,
            origin: fields::text("origin", wire.origin, TEXT_BYTES_MAX, masker)?,
            referer: fields::string("referer", wire.referer)?
                .map(|referer| fields::clean_text(trim_referer(referer), TEXT_BYTES_MAX, masker))
                .filter(|referer| !referer.is_empty()),
            outcome,
            reason: reason(wire.reason, outcome)?,
            count: count(&wire.count)?,
            status: number(&wire.status),
            latency_ms: number(&wire.latency_ms).filter(|ms: &f64| ms.is_finite() && 0.0 <= *ms),
            country: None,
            asn: None,
            network_kind: None,
        })
    }

    fn client(&self, peer: Option<IpAddr>, forwarded_for: &Value<'_>) -> Option<IpAddr> {
        match (peer, forwarded_for) {
            (Some(peer), Value::Text(hops)) if !self.trusted_proxies.is_empty() => {
                Some(client(peer, hops, &self.trusted_proxies))
            }
            _ => peer,
        }
    }

    /// The path, and of a refused call the things that it names. Masked before it is folded: folding could cut a secret into parts that
    /// nobody recognises.
    fn path<'a>(&self, value: Value<'a>, outcome: Outcome) -> Result<(Option<Cow<'a, str>>, Option<u32>), Problem> {
        let Some(path) = fields::string("path", value)? else { return Ok((None, None)) };
        let path = fields::clean(path, Depth::Id, &self.masker);
        let things = if outcome == Outcome::Ok { None } else { things_of(&path) };
        let path = fold_path(path);
        Ok((Some(path).filter(|path| !path.is_empty()), things))
    }

    /// Reads what identifies the key. A raw secret, in its own field or as an ID, leaves only fingerprint and hint;
    /// fingerprint and hint that the producer sent come first.
    pub(super) fn key_fields<'a>(
        &self,
        id: Value<'a>,
        fingerprint: Value<'a>,
        hint: Value<'a>,
        env: Value<'a>,
        api_key: Value<'a>,
    ) -> Result<KeyFields<'a>, Problem> {
        let mut key = KeyFields { env: fields::env("key_env", &env)?, ..KeyFields::default() };
        key.fingerprint = fields::id("key_fingerprint", fingerprint, &self.masker)?.map(lower_case_hex);
        key.hint = fields::hint(hint, &self.masker)?;
        if let Some(raw) = fields::string("api_key", api_key)? {
            self.replace_secret(&raw, &mut key);
        }
        match id {
            Value::Text(raw) if self.masker.is_key(&raw) => self.replace_secret(&raw, &mut key),
            Value::Text(id) if self.format.names_access_keys() && is_access_key_id(&id) => {
                key.hint.get_or_insert_with(|| Cow::Owned(format!("{}…{}", &id[..4], &id[id.len() - 4..])));
                key.id = Some(id);
            }
            id => key.id = fields::id("key_id", id, &self.masker)?,
        }
        if key.env.is_none() {
            key.env = key.hint.as_deref().and_then(|hint| self.masker.env_of_hint(hint));
        }
        Ok(key)
    }

    fn replace_secret(&self, raw: &str, key: &mut KeyFields<'_>) {
        let KeyLooks { hint, env, is_well_formed } = self.masker.looks_of_key(raw);
        if is_well_formed && key.fingerprint.is_none() {
            key.fingerprint = Some(Cow::Owned(self.fingerprint_of(raw)));
        }
        key.hint.get_or_insert(Cow::Owned(hint));
        key.env = key.env.or(env);
    }

    /// HMAC-SHA-256 of a raw key, in lower-case hex.
    pub(super) fn fingerprint_of(&self, raw: &str) -> String {
        let mut hmac = self.fingerprint.clone();
        hmac.update(raw.as_bytes());
        hex(&hmac.finalize().into_bytes())
    }
}

/// The ID of an AWS access key. It is as public as a user's name: the secret is another text, which no log has.
/// Its form: "IAM identifiers", unique identifiers, in the IAM User Guide.
fn is_access_key_id(text: &str) -> bool {
    (text.starts_with("AKIA") || text.starts_with("ASIA"))
        && (16..=fields::ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The fields as they stood in the message.
#[derive(Default)]
struct Wire<'a> {
    event_id: Value<'a>,
    ts: Value<'a>,
    key_id: Value<'a>,
    key_fingerprint: Value<'a>,
    api_key: Value<'a>,
    key_hint: Value<'a>,
    key_env: Value<'a>,
    merchant_id: Value<'a>,
    endpoint_env: Value<'a>,
    method: Value<'a>,
    path: Value<'a>,
    source_ip: Value<'a>,
    user_agent: Value<'a>,
    origin: Value<'a>,
    referer: Value<'a>,
    outcome: Value<'a>,
    reason: Value<'a>,
    count: Value<'a>,
    status: Value<'a>,
    latency_ms: Value<'a>,
    forwarded_for: Value<'a>,
    forgotten: Forgotten,
}

/// Fields whose type is checked before anything is made of them.
#[derive(Default)]
struct Forgotten {
    wrong: Option<(&'static str, &'static str, &'static str)>,
}

impl<'a> Wire<'a> {
    /// What a mapping took from a record.
    fn of(taken: &'a Taken) -> Wire<'a> {
        let mut wire = Wire::default();
        for (field, text) in taken {
            let is_number = matches!(*field, "count" | "status" | "latency_ms");
            wire.take(field, if is_number { Value::Number(text) } else { Value::Text(Cow::Borrowed(text)) });
        }
        wire
    }

    #[inline]
    fn take(&mut self, name: &str, value: Value<'a>) {
        let slot = match name {
            "event_id" => &mut self.event_id,
            "ts" => &mut self.ts,
            "key_id" => &mut self.key_id,
            "key_fingerprint" => &mut self.key_fingerprint,
            "api_key" => &mut self.api_key,
            "key_hint" => &mut self.key_hint,
            "key_env" => &mut self.key_env,
            "merchant_id" => &mut self.merchant_id,
            "endpoint_env" => &mut self.endpoint_env,
            "method" => &mut self.method,
            "path" => &mut self.path,
            "source_ip" => &mut self.source_ip,
            "user_agent" => &mut self.user_agent,
            "origin" => &mut self.origin,
            "referer" => &mut self.referer,
            "outcome" => &mut self.outcome,
            "reason" => &mut self.reason,
            "count" => &mut self.count,
            "status" => {
                self.forgotten.note("status", "a number", &value);
                &mut self.status
            }
            "latency_ms" => {
                self.forgotten.note("latency_ms", "a number", &value);
                &mut self.latency_ms
            }
            "request_id" => return self.forgotten.note("request_id", "a string", &value),
            "forwarded_for" => {
                self.forgotten.note("forwarded_for", "a string", &value);
                &mut self.forwarded_for
            }
            _ => return,
        };
        *slot = value;
    }
}

impl Forgotten {
    fn note(&mut self, field: &'static str, expected: &'static str, value: &Value<'_>) {
        let found = value.kind();
        if found != expected && *value != Value::Null {
            self.wrong.get_or_insert((field, expected, found));
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let Some((field, expected, found)) = self.wrong else { return Ok(()) };
        Err(Problem::new(RejectReason::WrongType, format!("field `{field}`: expected {expected}, found {found}")))
    }
}

fn outcome(value: &Value<'_>) -> Result<Outcome, Problem> {
    match value {
        Value::Text(text) if text == "ok" => Ok(Outcome::Ok),
        Value::Text(text) if text == "denied" => Ok(Outcome::Denied),
        value if fields::is_absent(value) => Err(Problem::new(RejectReason::Incomplete, "field `outcome` is absent")),
        other => Err(Problem::wrong_type("outcome", "`ok` or `denied`", other)),
    }
}

/// A reason beside an accepted call says nothing.
fn reason(value: Value<'_>, outcome: Outcome) -> Result<Option<Refusal>, Problem> {
    let reason = fields::string("reason", value)?;
    Ok(reason.filter(|_| outcome == Outcome::Denied).map(|word| Refusal::from_word(&word)))
}

fn count(value: &Value<'_>) -> Result<u32, Problem> {
    match value {
        Value::Null => Some(1),
        Value::Number(number) => number.parse().ok().filter(|count| COUNT.contains(count)),
        _ => None,
    }
    .ok_or_else(|| Problem::wrong_type("count", "an integer from 1 to 1,000,000", value))
}

/// A number that says something of the call and decides nothing: one that does not fit is absent.
fn number<T: std::str::FromStr>(value: &Value<'_>) -> Option<T> {
    match value {
        Value::Number(number) => number.parse().ok(),
        _ => None,
    }
}

/// Hex has one meaning in either case; facts and events must join.
pub(super) fn lower_case_hex(fingerprint: Cow<'_, str>) -> Cow<'_, str> {
    let is_upper = fingerprint.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_upper && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Cow::Owned(fingerprint.to_ascii_lowercase());
    }
    fingerprint
}
