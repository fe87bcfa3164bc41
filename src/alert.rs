//! The words that engine, store, notices and commands share: kinds, severities, and the alert record (version 1).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::{Millis, parse_rfc3339, rfc3339};

/// What kind of thing an alert reports. Kinds that no detector finds yet are added with their detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract's own (docs/reference/alerts.md)")]
pub enum Kind {
    NewIp,
    IpFanout,
    ImpossibleTravel,
    NewUserAgent,
    NewEndpoint,
    ClientSideUse,
    EnvMismatch,
    RotatedKeyUse,
    RevokedKeyUse,
    SuspendedUse,
    StaleKey,
    DormantAwake,
    KeyExposed,
    ExpiringKey,
    RotationOverdue,
    RotationUnproven,
    KeyLifecycle,
    Spike,
    Drop,
    ErrorBurst,
    OffHours,
    KeyScan,
    MalformedKey,
    PlatformIncident,
    Threshold,
    Custom,
}

impl Kind {
    /// Every kind that a detector finds.
    pub const ALL: [Kind; 26] = [
        Kind::NewIp,
        Kind::IpFanout,
        Kind::ImpossibleTravel,
        Kind::NewUserAgent,
        Kind::NewEndpoint,
        Kind::ClientSideUse,
        Kind::EnvMismatch,
        Kind::RotatedKeyUse,
        Kind::RevokedKeyUse,
        Kind::SuspendedUse,
        Kind::StaleKey,
        Kind::DormantAwake,
        Kind::KeyExposed,
        Kind::ExpiringKey,
        Kind::RotationOverdue,
        Kind::RotationUnproven,
        Kind::KeyLifecycle,
        Kind::Spike,
        Kind::Drop,
        Kind::ErrorBurst,
        Kind::OffHours,
        Kind::KeyScan,
        Kind::MalformedKey,
        Kind::PlatformIncident,
        Kind::Threshold,
        Kind::Custom,
    ];

    /// The word used in records and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NewIp => "new_ip",
            Kind::IpFanout => "ip_fanout",
            Kind::ImpossibleTravel => "impossible_travel",
            Kind::NewUserAgent => "new_user_agent",
            Kind::NewEndpoint => "new_endpoint",
            Kind::ClientSideUse => "client_side_use",
            Kind::EnvMismatch => "env_mismatch",
            Kind::RotatedKeyUse => "rotated_key_use",
            Kind::RevokedKeyUse => "revoked_key_use",
            Kind::SuspendedUse => "suspended_use",
            Kind::StaleKey => "stale_key",
            Kind::DormantAwake => "dormant_awake",
            Kind::KeyExposed => "key_exposed",
            Kind::ExpiringKey => "expiring_key",
            Kind::RotationOverdue => "rotation_overdue",
            Kind::RotationUnproven => "rotation_unproven",
            Kind::KeyLifecycle => "key_lifecycle",
            Kind::Spike => "spike",
            Kind::Drop => "drop",
            Kind::ErrorBurst => "error_burst",
            Kind::OffHours => "off_hours",
            Kind::KeyScan => "key_scan",
            Kind::MalformedKey => "malformed_key",
            Kind::PlatformIncident => "platform_incident",
            Kind::Threshold => "threshold",
            Kind::Custom => "custom",
        }
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it is about how many calls a key makes, or has refused: where many merchants show it at once, it is no
    /// merchant's own trouble.
    pub fn is_of_volume(self) -> bool {
        matches!(self, Kind::Spike | Kind::Drop | Kind::ErrorBurst)
    }

    /// Whether it is a sign that somebody else may have the key. Several such signs on one key in one episode are one
    /// alert with several reasons.
    pub fn is_of_misuse(self) -> bool {
        use Kind::{
            ClientSideUse, DormantAwake, ImpossibleTravel, IpFanout, NewEndpoint, NewIp, NewUserAgent, OffHours,
        };
        matches!(
            self,
            NewIp | IpFanout | ImpossibleTravel | NewUserAgent | NewEndpoint | OffHours | ClientSideUse | DormantAwake
        )
    }
}

/// How much an alert matters. Ordered: a greater one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's own")]
pub enum Severity {
    Info,
    Warning,
    High,
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::High, Severity::Critical];

    /// The word used in records and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The severity that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// `high` and `critical` are told at once, others after the group's wait.
    pub fn is_immediate(self) -> bool {
        self >= Severity::High
    }
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// The merchant's own contacts.
    Merchant,
    /// Support and security at the gateway.
    Support,
    /// Both of them, each in its own words.
    Both,
    /// Who runs the gateway.
    Operations,
}

impl Audience {
    /// Every audience that a rule can have.
    pub const ALL: [Audience; 4] = [Audience::Merchant, Audience::Support, Audience::Both, Audience::Operations];

    /// The word used in records and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Merchant => "merchant",
            Audience::Support => "support",
            Audience::Both => "both",
            Audience::Operations => "operations",
        }
    }

    /// The audience that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.as_str() == word)
    }

    /// The receivers it stands for.
    pub fn receivers(self) -> &'static [Receiver] {
        match self {
            Audience::Merchant => &[Receiver::Merchant],
            Audience::Support => &[Receiver::Support],
            Audience::Both => &[Receiver::Merchant, Receiver::Support],
            Audience::Operations => &[Receiver::Operations],
        }
    }
}

/// One of the parties that get notices of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names speak")]
pub enum Receiver {
    Merchant,
    Support,
    Operations,
}

impl Receiver {
    /// Every receiver.
    pub const ALL: [Receiver; 3] = [Receiver::Merchant, Receiver::Support, Receiver::Operations];

    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Receiver::Merchant => "merchant",
            Receiver::Support => "support",
            Receiver::Operations => "operations",
        }
    }

    /// The receiver that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// Whether the alert's episode goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the contract's own")]
pub enum State {
    Firing,
    Resolved,
}

impl State {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

/// One reason of an alert, strongest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind of sign it is.
    pub kind: Kind,
    /// How strong, 0 to 1.
    pub score: f64,
    /// One sentence in plain words.
    pub text: String,
}

/// The source that is to blame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The address as the event gave it.
    pub address: String,
    /// Its network: /24 for IPv4, /48 for IPv6.
    pub network: String,
    /// Its country, ISO 3166-1, as GeoIP databases said when the alert was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The number of its autonomous system, as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Who runs the autonomous system, as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

/// The alert record, version 1, as it stands after one change. The engine makes them; the store keeps the newest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Always 1.
    pub version: u32,
    /// Derived from rule, subject and start ([`alert_id`]): a replay after a crash makes the same.
    pub alert_id: String,
    /// Raised by a worse or new sign; starts at 1.
    pub revision: u32,
    /// Name of the rule.
    pub rule: String,
    /// Hash of the rule as it stood.
    pub rule_hash: String,
    /// Kind of the strongest reason.
    pub kind: Kind,
    /// Why, strongest first.
    pub reasons: Vec<Reason>,
    /// All reasons together, 0 to 1: one less the product of what each leaves open.
    pub score: f64,
    /// How much it matters.
    pub severity: Severity,
    /// Going on or over.
    pub state: State,
    /// When the episode began (event time).
    #[serde(with = "time_text")]
    pub starts_at: Millis,
    /// The largest event time that had been read when it was raised.
    #[serde(with = "time_text")]
    pub detected_at: Millis,
    /// When it ended (event time).
    #[serde(with = "optional_time_text")]
    pub ends_at: Option<Millis>,
    /// The merchant, where known.
    pub merchant_id: Option<String>,
    /// The key, where the alert is about one.
    pub key_id: Option<String>,
    /// The key's masked form.
    pub key_hint: Option<String>,
    /// The source, wherever one is to blame.
    pub source: Option<Source>,
    /// Who is told.
    pub audience: Audience,
    /// One line in plain words.
    pub summary: String,
    /// Observed, expected, window, odds, what was known, sample event IDs. A JSON object.
    pub evidence: serde_json::Value,
    /// What to do, in order.
    pub runbook: Vec<String>,
    /// What exactly the alert is about: the key, or key and network, or key and direction.
    #[serde(default, skip_serializing)]
    pub subject: String,
}

/// The derived name of an episode: the same rule, subject and start always give the same ID.
pub fn alert_id(rule: &str, subject: &str, starts_at: Millis) -> String {
    let mut hash = Sha256::new();
    for part in [rule.as_bytes(), b"\0", subject.as_bytes(), b"\0", starts_at.to_string().as_bytes()] {
        hash.update(part);
    }
    format!("kw-{}", hex(&hash.finalize()[..8]))
}

/// A number with its noun: `1 key`, `24 keys`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

mod time_text {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(at: &Millis, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&rfc3339(*at))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Millis, D::Error> {
        let text = String::deserialize(d)?;
        parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}

mod optional_time_text {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(at: &Option<Millis>, s: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => s.serialize_str(&rfc3339(*at)),
            None => s.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Millis>, D::Error> {
        Option::<String>::deserialize(d)?
            .map(|text| parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not a time")))
            .transpose()
    }
}
