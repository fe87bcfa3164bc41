//! What comes in: authentication decisions ([`AuthEvent`]) and facts about keys and merchants ([`facts::Fact`]).
//!
//! Decoding (`auth`), masking (`redact`) and the book of facts (`facts`) are pure: bytes in, values out.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

pub mod auth;
pub mod facts;
pub mod holidays;
pub mod mapping;
pub mod proxies;
pub mod redact;
pub mod zones;

mod facts_wire;
mod fields;
mod path;
mod wire;

/// Environment of a key or of the endpoint that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Env {
    /// Production: real money.
    Live,
    /// Sandbox: no real money.
    Test,
}

impl Env {
    /// `live` or `test`, as alerts show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Env::Live => "live",
            Env::Test => "test",
        }
    }
}

/// What a network is used for, as far as databases say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// Servers are rented there.
    Hosting,
    /// It hides who calls: a VPN, a proxy or Tor.
    Anonymiser,
}

impl NetworkKind {
    /// Each.
    pub const ALL: [NetworkKind; 2] = [NetworkKind::Hosting, NetworkKind::Anonymiser];

    /// As conditions and evidence name it.
    pub fn as_str(self) -> &'static str {
        match self {
            NetworkKind::Hosting => "hosting",
            NetworkKind::Anonymiser => "anonymiser",
        }
    }
}

/// A country: two upper-case letters (ISO 3166-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a code; none where it is no code.
    pub fn new(code: &str) -> Option<Country> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Country(letters))
    }

    /// Its code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Country {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Country::new(&code).ok_or("two upper-case letters were expected")
    }
}

impl From<Country> for String {
    fn from(country: Country) -> String {
        country.as_str().to_owned()
    }
}

/// The gateway's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The call was accepted.
    Ok,
    /// The call was refused.
    Denied,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's own words")]
pub enum Refusal {
    MalformedKey,
    MalformedHeader,
    MissingKey,
    UnknownKey,
    RevokedKey,
    RotatedKey,
    ExpiredKey,
    EnvMismatch,
    AccountSuspended,
    RateLimited,
    /// A word that this version does not know.
    Other,
}

impl Refusal {
    /// The word the wire uses, `other` where it was unknown.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::MalformedKey => "malformed_key",
            Refusal::MalformedHeader => "malformed_header",
            Refusal::MissingKey => "missing_key",
            Refusal::UnknownKey => "unknown_key",
            Refusal::RevokedKey => "revoked_key",
            Refusal::RotatedKey => "rotated_key",
            Refusal::ExpiredKey => "expired_key",
            Refusal::EnvMismatch => "env_mismatch",
            Refusal::AccountSuspended => "account_suspended",
            Refusal::RateLimited => "rate_limited",
            Refusal::Other => "other",
        }
    }

    /// The refusal that a wire word names.
    pub fn from_word(word: &str) -> Self {
        match word {
            "malformed_key" => Refusal::MalformedKey,
            "malformed_header" => Refusal::MalformedHeader,
            "missing_key" => Refusal::MissingKey,
            "unknown_key" => Refusal::UnknownKey,
            "revoked_key" => Refusal::RevokedKey,
            "rotated_key" => Refusal::RotatedKey,
            "expired_key" => Refusal::ExpiredKey,
            "env_mismatch" => Refusal::EnvMismatch,
            "account_suspended" => Refusal::AccountSuspended,
            "rate_limited" => Refusal::RateLimited,
            _ => Refusal::Other,
        }
    }
}

/// One authentication decision, decoded and already masked: no field can hold a secret.
///
/// Texts borrow from the message where they could be taken as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthEvent<'a> {
    /// Unique name of the event; without it nothing is deduplicated.
    pub event_id: Option<Cow<'a, str>>,
    /// Event time.
    pub ts: Millis,
    /// Stable, not secret name of the key.
    pub key_id: Option<Cow<'a, str>>,
    /// Keyed hash of the secret in lower-case hex, sent by the producer or made here from `api_key`.
    pub key_fingerprint: Option<Cow<'a, str>>,
    /// Masked form of the key, e.g. `caibo_live_sk_…9f2c`.
    pub key_hint: Option<Cow<'a, str>>,
    /// Environment of the key; from the hint's prefix where the field is absent.
    pub key_env: Option<Env>,
    /// The merchant, where the gateway knew it.
    pub merchant_id: Option<Cow<'a, str>>,
    /// Environment of the endpoint.
    pub endpoint_env: Option<Env>,
    /// HTTP method.
    pub method: Option<Cow<'a, str>>,
    /// Path with identifiers folded and the query dropped: `/v1/payments/{id}`.
    pub path: Option<Cow<'a, str>>,
    /// Of a refused call, a hash of the identifiers in its path: the same call again has the same.
    #[serde(default)]
    pub things: Option<u32>,
    /// The client's address.
    pub source_ip: Option<IpAddr>,
    /// User agent, at most 256 bytes.
    pub user_agent: Option<Cow<'a, str>>,
    /// `Origin` header, at most 256 bytes.
    pub origin: Option<Cow<'a, str>>,
    /// `Referer` header without its query, at most 256 bytes.
    pub referer: Option<Cow<'a, str>>,
    /// Accepted or refused.
    pub outcome: Outcome,
    /// Why it was refused. `None` with [`Outcome::Denied`] = authenticated, not permitted.
    pub reason: Option<Refusal>,
    /// How many identical requests the line stands for, 1 to 1,000,000.
    pub count: u32,
    /// HTTP status.
    #[serde(default)]
    pub status: Option<u16>,
    /// How long the gateway took, in milliseconds.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// Where the address is, by the GeoIP databases. No message has it: whoever reads the message looks it up.
    #[serde(default)]
    pub country: Option<Country>,
    /// Number of the address's provider, by the GeoIP databases.
    #[serde(default)]
    pub asn: Option<u32>,
    /// What the address's network is used for, by the GeoIP databases.
    #[serde(default)]
    pub network_kind: Option<NetworkKind>,
}

impl<'a> AuthEvent<'a> {
    /// A moment at which nothing happened: what a rule that fires by time is asked about.
    pub fn at(ts: Millis, key_id: &'a str, merchant_id: Option<&'a str>) -> Self {
        AuthEvent {
            event_id: None,
            ts,
            key_id: Some(Cow::Borrowed(key_id)),
            key_fingerprint: None,
            key_hint: None,
            key_env: None,
            merchant_id: merchant_id.map(Cow::Borrowed),
            endpoint_env: None,
            method: None,
            path: None,
            things: None,
            source_ip: None,
            user_agent: None,
            origin: None,
            referer: None,
            outcome: Outcome::Denied,
            reason: None,
            count: 1,
            status: None,
            latency_ms: None,
            country: None,
            asn: None,
            network_kind: None,
        }
    }
}

impl AuthEvent<'_> {
    /// The same event, borrowing from nothing.
    pub fn into_owned(self) -> AuthEvent<'static> {
        fn own(text: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
            text.map(|t| Cow::Owned(t.into_owned()))
        }
        AuthEvent {
            event_id: own(self.event_id),
            ts: self.ts,
            key_id: own(self.key_id),
            key_fingerprint: own(self.key_fingerprint),
            key_hint: own(self.key_hint),
            key_env: self.key_env,
            merchant_id: own(self.merchant_id),
            endpoint_env: self.endpoint_env,
            method: own(self.method),
            path: own(self.path),
            things: self.things,
            source_ip: self.source_ip,
            user_agent: own(self.user_agent),
            origin: own(self.origin),
            referer: own(self.referer),
            outcome: self.outcome,
            reason: self.reason,
            count: self.count,
            status: self.status,
            latency_ms: self.latency_ms,
            country: self.country,
            asn: self.asn,
            network_kind: self.network_kind,
        }
    }
}

/// Why a message is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// Not one JSON object.
    NotJson,
    /// No `ts`, or one that is no time.
    NoTime,
    /// A field of a wrong type or outside its range.
    WrongType,
    /// Over 64 KiB.
    TooLarge,
    /// A fact without the subject or the type it needs.
    Incomplete,
}

impl RejectReason {
    /// Every reason, for metrics.
    pub const ALL: [RejectReason; 5] = [
        RejectReason::NotJson,
        RejectReason::NoTime,
        RejectReason::WrongType,
        RejectReason::TooLarge,
        RejectReason::Incomplete,
    ];

    /// The word used in metrics and in the dead-letter table.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::NotJson => "not_json",
            RejectReason::NoTime => "no_time",
            RejectReason::WrongType => "wrong_type",
            RejectReason::TooLarge => "too_large",
            RejectReason::Incomplete => "incomplete",
        }
    }
}

/// A message that is no event: counted, and kept in redacted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The counted class.
    pub reason: RejectReason,
    /// What was wrong, without any of the message's content: `field ts: expected a time, found a boolean`.
    pub detail: String,
    /// The message, masked and cut to 1 KiB.
    pub redacted: String,
}
