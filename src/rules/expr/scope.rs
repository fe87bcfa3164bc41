//! What a condition is asked about: one event with what is remembered and known. Lends fields; allocates nothing.

use std::net::IpAddr;

use crate::engine::baseline::networks::Network;
use crate::engine::baseline::rates::Window;
use crate::engine::subject::{KeyFeatures, MerchantFeatures};
use crate::event::facts::{KeyFacts, MerchantFacts, MerchantStatus};
use crate::event::{AuthEvent, Country, Env, NetworkKind, Outcome, Refusal};
use crate::time::DAY;

/// One event and its circumstances. What is absent makes the fields read from it absent.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The event.
    pub event: &'a AuthEvent<'a>,
    /// Its network.
    pub network: Option<Network>,
    /// The key's environment, from the facts or the events.
    pub key_env: Option<Env>,
    /// What the key has shown.
    pub key: Option<&'a KeyFeatures>,
    /// What facts say of the key.
    pub key_facts: Option<&'a KeyFacts>,
    /// The merchant, from the event or the facts.
    pub merchant_id: Option<&'a str>,
    /// What the merchant's keys have shown together.
    pub merchant: Option<&'a MerchantFeatures>,
    /// What facts say of the merchant.
    pub merchant_facts: Option<&'a MerchantFacts>,
    /// Ten minutes and hour that the event lies in, where it is accepted and not late.
    pub windows: Option<&'a [Window; 2]>,
}

impl<'a> Scope<'a> {
    /// An event of which nothing else is known but what it says itself.
    pub fn of(event: &'a AuthEvent<'a>) -> Self {
        Scope {
            event,
            network: event.source_ip.map(Network::of),
            key_env: event.key_env,
            key: None,
            key_facts: None,
            merchant_id: event.merchant_id.as_deref(),
            merchant: None,
            merchant_facts: None,
            windows: None,
        }
    }

    /// The client's address; an IPv4 address within IPv6 counts as IPv4.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.event.source_ip.map(|address| address.to_canonical())
    }
}

/// Fields that are true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum BoolField {
    KeyIsRevoked,
    KeyIsRotatedOut,
    KnowsNetworks,
    IsNewNetwork,
    IsNewNetworkOfMerchant,
}

impl BoolField {
    pub(super) fn read(self, scope: &Scope<'_>) -> Option<bool> {
        let ts = scope.event.ts;
        let is_new = |network| scope.key.is_none_or(|key| key.networks.get(network).is_none());
        match self {
            BoolField::KeyIsRevoked => Some(scope.key_facts.is_some_and(|facts| facts.is_revoked(ts))),
            BoolField::KeyIsRotatedOut => Some(scope.key_facts.is_some_and(|facts| facts.is_rotated_out(ts))),
            BoolField::KnowsNetworks => Some(scope.key.is_some_and(|key| key.knows_its_networks(ts))),
            BoolField::IsNewNetwork => scope.network.map(is_new),
            BoolField::IsNewNetworkOfMerchant => {
                let is_trusted = |network| scope.merchant.is_some_and(|merchant| merchant.networks.trusts(network));
                scope.network.map(|network| is_new(network) && !is_trusted(network))
            }
        }
    }
}

/// Fields that are whole numbers, times among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum IntField {
    Ts,
    Network,
    Asn,
    Status,
    Count,
    KeyCreatedAt,
    KeyExpiresAt,
    KeyRevokedAt,
    KeyReplacedAt,
    KeyAgeDays,
    KeyFirstSeen,
    KeyLastSeen,
    KeyLastAccepted,
    KeyCalls,
    KeyRefused,
    Networks,
    Calls10m,
    Calls1h,
    DaysLearned,
}

impl IntField {
    /// The smallest and largest value that it can have.
    pub(super) fn bounds(self) -> (i64, i64) {
        match self {
            IntField::Status => (0, i64::from(u16::MAX)),
            IntField::Asn => (0, i64::from(u32::MAX)),
            IntField::Count => (1, 1_000_000),
            IntField::KeyCalls | IntField::KeyRefused | IntField::Calls10m | IntField::Calls1h => (0, i64::MAX),
            IntField::Networks => (0, crate::engine::subject::NETWORKS_PER_KEY as i64),
            IntField::DaysLearned => (0, i64::from(u8::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }

    pub(super) fn read(self, scope: &Scope<'_>) -> Option<i64> {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let window = |which: usize| scope.windows.map(|windows| whole(windows[which].observed));
        match self {
            IntField::Ts => Some(scope.event.ts),
            IntField::Network => scope.network.map(network_number),
            IntField::Asn => scope.event.asn.map(i64::from),
            IntField::Status => scope.event.status.map(i64::from),
            IntField::Count => Some(i64::from(scope.event.count)),
            IntField::KeyCreatedAt => scope.key_facts?.created_at,
            IntField::KeyExpiresAt => scope.key_facts?.expires_at,
            IntField::KeyRevokedAt => scope.key_facts?.revoked_at,
            IntField::KeyReplacedAt => scope.key_facts?.replaced_at,
            IntField::KeyAgeDays => {
                let made = scope.key_facts.and_then(|facts| facts.created_at);
                let since = made.or(scope.key.and_then(|key| key.first_seen))?;
                Some(scope.event.ts.saturating_sub(since).div_euclid(DAY).max(0))
            }
            IntField::KeyFirstSeen => scope.key?.first_seen,
            IntField::KeyLastSeen => scope.key?.last_seen,
            IntField::KeyLastAccepted => scope.key?.last_accepted,
            IntField::KeyCalls => Some(scope.key.map_or(0, |key| whole(key.accepted))),
            IntField::KeyRefused => Some(scope.key.map_or(0, |key| whole(key.refused))),
            IntField::Networks => Some(scope.key.map_or(0, |key| key.networks.entries().len() as i64)),
            IntField::Calls10m => window(0),
            IntField::Calls1h => window(1),
            IntField::DaysLearned => Some(scope.key.map_or(0, |key| i64::from(key.rates.days_learned()))),
        }
    }
}

/// A network as a number; only equality means something.
pub(super) fn network_number(network: Network) -> i64 {
    network.to_bits().cast_signed()
}

/// Fields that are numbers with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum DoubleField {
    LatencyMs,
    Novelty,
    Usual10m,
    Usual1h,
    UsualDay,
}

impl DoubleField {
    pub(super) fn read(self, scope: &Scope<'_>) -> Option<f64> {
        match self {
            DoubleField::LatencyMs => scope.event.latency_ms,
            DoubleField::Novelty => Some(scope.key.map_or(1.0, |key| key.networks.novelty())),
            DoubleField::Usual10m => scope.windows.map(|windows| windows[0].expected),
            DoubleField::Usual1h => scope.windows.map(|windows| windows[1].expected),
            DoubleField::UsualDay => Some(scope.key.map_or(0.0, |key| key.rates.usual_day())),
        }
    }
}

/// Fields that are any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum TextField {
    EventKeyId,
    EventMerchantId,
    Method,
    Path,
    Country,
    UserAgent,
    Origin,
    Referer,
    KeyId,
    KeyName,
    MerchantId,
    MerchantName,
    MerchantTimezone,
    MerchantLocale,
}

impl TextField {
    pub(super) fn read<'a>(self, scope: &Scope<'a>) -> Option<&'a str> {
        let event = scope.event;
        match self {
            TextField::EventKeyId => event.key_id.as_deref(),
            TextField::EventMerchantId => event.merchant_id.as_deref(),
            TextField::Method => event.method.as_deref(),
            TextField::Path => event.path.as_deref(),
            TextField::Country => event.country.as_ref().map(Country::as_str),
            TextField::UserAgent => event.user_agent.as_deref(),
            TextField::Origin => event.origin.as_deref(),
            TextField::Referer => event.referer.as_deref(),
            TextField::KeyId => scope.key.map(|key| &*key.key_id),
            TextField::KeyName => scope.key_facts?.name.as_deref(),
            TextField::MerchantId => scope.merchant_id,
            TextField::MerchantName => scope.merchant_facts?.name.as_deref(),
            TextField::MerchantTimezone => scope.merchant_facts?.timezone.as_deref(),
            TextField::MerchantLocale => scope.merchant_facts?.locale.as_deref(),
        }
    }
}

/// Fields that are one of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum WordField {
    Outcome,
    Reason,
    EventKeyEnv,
    EndpointEnv,
    KeyEnv,
    MerchantStatus,
    NetworkKind,
}

/// Every reason, in the order of [`WordField::words`].
const REASONS: [&str; 11] = [
    "malformed_key",
    "malformed_header",
    "missing_key",
    "unknown_key",
    "revoked_key",
    "rotated_key",
    "expired_key",
    "env_mismatch",
    "account_suspended",
    "rate_limited",
    "other",
];

impl WordField {
    /// The words, at most 32.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            WordField::Outcome => &["ok", "denied"],
            WordField::Reason => &REASONS,
            WordField::EventKeyEnv | WordField::EndpointEnv | WordField::KeyEnv => &["live", "test"],
            WordField::MerchantStatus => &["active", "suspended"],
            WordField::NetworkKind => &["hosting", "anonymiser"],
        }
    }

    /// The place among [`WordField::words`].
    pub(super) fn read(self, scope: &Scope<'_>) -> Option<u8> {
        let env = |env: Option<Env>| env.map(|env| u8::from(env == Env::Test));
        match self {
            WordField::Outcome => Some(u8::from(scope.event.outcome == Outcome::Denied)),
            WordField::Reason => scope.event.reason.map(reason_place),
            WordField::EventKeyEnv => env(scope.event.key_env),
            WordField::EndpointEnv => env(scope.event.endpoint_env),
            WordField::KeyEnv => env(scope.key_env),
            WordField::NetworkKind => scope.event.network_kind.map(|kind| u8::from(kind == NetworkKind::Anonymiser)),
            WordField::MerchantStatus => {
                let changes = &scope.merchant_facts?.status;
                let (_, now) = changes.iter().rev().find(|(at, _)| *at <= scope.event.ts)?;
                Some(u8::from(*now == MerchantStatus::Suspended))
            }
        }
    }
}

fn reason_place(reason: Refusal) -> u8 {
    match reason {
        Refusal::MalformedKey => 0,
        Refusal::MalformedHeader => 1,
        Refusal::MissingKey => 2,
        Refusal::UnknownKey => 3,
        Refusal::RevokedKey => 4,
        Refusal::RotatedKey => 5,
        Refusal::ExpiredKey => 6,
        Refusal::EnvMismatch => 7,
        Refusal::AccountSuspended => 8,
        Refusal::RateLimited => 9,
        Refusal::Other => 10,
    }
}

/// Fields that are lists of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`schema::FIELDS` says what they are")]
pub enum TextsField {
    KeyTags,
    MerchantTags,
}

impl TextsField {
    pub(super) fn read<'a>(self, scope: &Scope<'a>) -> &'a [String] {
        match self {
            TextsField::KeyTags => scope.key_facts.and_then(|facts| facts.tags.as_deref()).unwrap_or_default(),
            TextsField::MerchantTags => {
                scope.merchant_facts.and_then(|facts| facts.tags.as_deref()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_where_their_number_says() {
        for (place, word) in REASONS.iter().enumerate() {
            let reason = Refusal::from_word(word);
            assert_eq!((reason.as_str(), reason_place(reason)), (*word, place as u8));
        }
    }
}
