//! What a condition may ask about: names, types, and where each is read. The reference is made from this table.

use super::scope::{BoolField, DoubleField, IntField, TextField, TextsField, WordField};

/// The type of a value, in the words of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub enum Type {
    Bool,
    Int,
    Double,
    Text,
    Time,
    Duration,
    Ip,
    Network,
    Texts,
}

impl Type {
    /// The type's name in CEL.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Double => "double",
            Type::Text => "string",
            Type::Time => "timestamp",
            Type::Duration => "duration",
            Type::Ip => "ip",
            Type::Network => "network",
            Type::Texts => "list(string)",
        }
    }

    /// What a message calls it.
    pub fn noun(self) -> &'static str {
        match self {
            Type::Bool => "true or false",
            Type::Int => "a number",
            Type::Double => "a number with a fraction",
            Type::Text => "a text",
            Type::Time => "a time",
            Type::Duration => "a duration",
            Type::Ip => "an address",
            Type::Network => "a network",
            Type::Texts => "a list of texts",
        }
    }
}

/// Where a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub enum Read {
    Bool(BoolField),
    Int(IntField),
    Double(DoubleField),
    Text(TextField),
    Word(WordField),
    Ip,
    Texts(TextsField),
}

/// What must be at hand for a field to be read: the caller works it out only where a condition needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs(u8);

impl Needs {
    /// The event alone.
    pub const EVENT: Needs = Needs(0);
    /// Country and provider of the address: a look-up in GeoIP files.
    pub const PLACE: Needs = Needs(1);
    /// What the key has shown.
    pub const KEY: Needs = Needs(2);
    /// What facts say of the key.
    pub const KEY_FACTS: Needs = Needs(4);
    /// What the merchant's keys have shown together.
    pub const MERCHANT: Needs = Needs(8);
    /// What facts say of the merchant.
    pub const MERCHANT_FACTS: Needs = Needs(16);
    /// The newest windows of the key's counts.
    pub const WINDOWS: Needs = Needs(32);

    /// Both.
    pub const fn and(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }

    /// Whether all of `other` is needed.
    pub fn includes(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A field that conditions may name.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Its whole name.
    pub name: &'static str,
    /// Where it is read.
    pub read: Read,
    /// Whether it may be absent.
    pub optional: bool,
    /// What it is, for the reference.
    pub doc: &'static str,
    /// What must be at hand.
    pub needs: Needs,
}

impl FieldSpec {
    /// The field's type.
    pub fn ty(&self) -> Type {
        match self.read {
            Read::Bool(_) => Type::Bool,
            Read::Int(field) => int_type(field),
            Read::Double(_) => Type::Double,
            Read::Text(_) | Read::Word(_) => Type::Text,
            Read::Ip => Type::Ip,
            Read::Texts(_) => Type::Texts,
        }
    }
}

fn int_type(field: IntField) -> Type {
    use IntField::{
        KeyCreatedAt, KeyExpiresAt, KeyFirstSeen, KeyLastAccepted, KeyLastSeen, KeyReplacedAt, KeyRevokedAt, Network,
        Ts,
    };
    match field {
        Ts | KeyCreatedAt | KeyExpiresAt | KeyFirstSeen | KeyLastAccepted | KeyLastSeen | KeyReplacedAt
        | KeyRevokedAt => Type::Time,
        Network => Type::Network,
        _ => Type::Int,
    }
}

const fn field(name: &'static str, read: Read, optional: bool, needs: Needs, doc: &'static str) -> FieldSpec {
    FieldSpec { name, read, optional, doc, needs }
}

const MUST: bool = false;
const MAY: bool = true;
const EVENT: Needs = Needs::EVENT;
const PLACE: Needs = Needs::PLACE;
const KEY: Needs = Needs::KEY;
const FACTS: Needs = Needs::KEY_FACTS;
const MERCHANT_FACTS: Needs = Needs::MERCHANT_FACTS;
const WINDOWS: Needs = Needs::WINDOWS;
const BOTH: Needs = Needs::KEY.and(Needs::MERCHANT);

/// Every field, in the order of the reference.
#[rustfmt::skip]
pub const FIELDS: &[FieldSpec] = &[
    field("event.ts", Read::Int(IntField::Ts), MUST, EVENT, "When it happened."),
    field("event.outcome", Read::Word(WordField::Outcome), MUST, EVENT, "The gateway's decision."),
    field("event.reason", Read::Word(WordField::Reason), MAY, EVENT, "Why it was refused; absent = authenticated, not permitted, or accepted. A word that keywatch does not know is `other`."),
    field("event.key_id", Read::Text(TextField::EventKeyId), MAY, EVENT, "The key's stable name."),
    field("event.key_env", Read::Word(WordField::EventKeyEnv), MAY, EVENT, "The key's environment, as the event has it."),
    field("event.merchant_id", Read::Text(TextField::EventMerchantId), MAY, EVENT, "The merchant, as the event has it."),
    field("event.endpoint_env", Read::Word(WordField::EndpointEnv), MAY, EVENT, "Environment of the endpoint that was called."),
    field("event.method", Read::Text(TextField::Method), MAY, EVENT, "HTTP method."),
    field("event.path", Read::Text(TextField::Path), MAY, EVENT, "Path with identifiers folded, without its query: `/v1/payments/{id}`."),
    field("event.source_ip", Read::Ip, MAY, EVENT, "The client's address."),
    field("event.network", Read::Int(IntField::Network), MAY, EVENT, "The address's network: /24 of IPv4, /48 of IPv6."),
    field("event.country", Read::Text(TextField::Country), MAY, PLACE, "Country of the address, two letters (ISO 3166-1); needs GeoIP files."),
    field("event.asn", Read::Int(IntField::Asn), MAY, PLACE, "Number of the address's provider (autonomous system); needs GeoIP files."),
    field("event.network_kind", Read::Word(WordField::NetworkKind), MAY, PLACE, "What the address's network is used for; needs GeoIP files that say it."),
    field("event.user_agent", Read::Text(TextField::UserAgent), MAY, EVENT, "User agent, at most 256 bytes."),
    field("event.origin", Read::Text(TextField::Origin), MAY, EVENT, "`Origin` header."),
    field("event.referer", Read::Text(TextField::Referer), MAY, EVENT, "`Referer` header without its query."),
    field("event.status", Read::Int(IntField::Status), MAY, EVENT, "HTTP status."),
    field("event.latency_ms", Read::Double(DoubleField::LatencyMs), MAY, EVENT, "How long the gateway took."),
    field("event.count", Read::Int(IntField::Count), MUST, EVENT, "How many identical requests the event stands for."),
    field("key.id", Read::Text(TextField::KeyId), MAY, KEY, "The key's stable name."),
    field("key.env", Read::Word(WordField::KeyEnv), MAY, KEY, "The key's environment, from facts or events."),
    field("key.name", Read::Text(TextField::KeyName), MAY, FACTS, "What the merchant calls it."),
    field("key.tags", Read::Texts(TextsField::KeyTags), MUST, FACTS, "Its tags; an empty list where none are known."),
    field("key.created_at", Read::Int(IntField::KeyCreatedAt), MAY, FACTS, "When it was made."),
    field("key.expires_at", Read::Int(IntField::KeyExpiresAt), MAY, FACTS, "When it stops."),
    field("key.revoked_at", Read::Int(IntField::KeyRevokedAt), MAY, FACTS, "When it was or will be revoked."),
    field("key.replaced_at", Read::Int(IntField::KeyReplacedAt), MAY, FACTS, "When a newer key replaced it."),
    field("key.is_revoked", Read::Bool(BoolField::KeyIsRevoked), MUST, FACTS, "Whether it is revoked at the event's time."),
    field("key.is_rotated_out", Read::Bool(BoolField::KeyIsRotatedOut), MUST, FACTS, "Whether it was replaced, and its grace is over, at the event's time."),
    field("key.age_days", Read::Int(IntField::KeyAgeDays), MAY, FACTS.and(KEY), "Whole days since it was made or, where that is not known, first seen."),
    field("key.first_seen", Read::Int(IntField::KeyFirstSeen), MAY, KEY, "Its first event; absent in that event."),
    field("key.last_seen", Read::Int(IntField::KeyLastSeen), MAY, KEY, "The event before this one."),
    field("key.last_accepted", Read::Int(IntField::KeyLastAccepted), MAY, KEY, "Its last accepted call before this event."),
    field("key.calls", Read::Int(IntField::KeyCalls), MUST, KEY, "Accepted calls before this event."),
    field("key.refused", Read::Int(IntField::KeyRefused), MUST, KEY, "Refused calls before this event."),
    field("merchant.id", Read::Text(TextField::MerchantId), MAY, EVENT, "The merchant, from the event or the facts."),
    field("merchant.name", Read::Text(TextField::MerchantName), MAY, MERCHANT_FACTS, "The merchant's name."),
    field("merchant.status", Read::Word(WordField::MerchantStatus), MAY, MERCHANT_FACTS, "Whether the account is in good standing at the event's time."),
    field("merchant.timezone", Read::Text(TextField::MerchantTimezone), MAY, MERCHANT_FACTS, "IANA time zone, e.g. `Europe/Zurich`."),
    field("merchant.locale", Read::Text(TextField::MerchantLocale), MAY, MERCHANT_FACTS, "Language and region, e.g. `de-CH`."),
    field("merchant.tags", Read::Texts(TextsField::MerchantTags), MUST, MERCHANT_FACTS, "The merchant's tags; an empty list where none are known."),
    field("features.knows_networks", Read::Bool(BoolField::KnowsNetworks), MUST, KEY, "Whether enough of the key's use is known to call a network new: 20 accepted calls and 3 days."),
    field("features.is_new_network", Read::Bool(BoolField::IsNewNetwork), MAY, KEY, "Whether the key has had no accepted call from this network. Absent where the address is."),
    field("features.is_new_network_of_merchant", Read::Bool(BoolField::IsNewNetworkOfMerchant), MAY, BOTH, "Whether neither the key nor, for long enough, another key of the merchant was used from this network."),
    field("features.networks", Read::Int(IntField::Networks), MUST, KEY, "Networks remembered of the key, at most 32."),
    field("features.novelty", Read::Double(DoubleField::Novelty), MUST, KEY, "How likely the key's next call comes from a new network, 0 to 1."),
    field("features.calls_10m", Read::Int(IntField::Calls10m), MAY, WINDOWS, "Accepted calls in the newest ten minutes, with this event. Absent for refused and late events."),
    field("features.calls_1h", Read::Int(IntField::Calls1h), MAY, WINDOWS, "Accepted calls in the newest hour, with this event. Absent for refused and late events."),
    field("features.usual_10m", Read::Double(DoubleField::Usual10m), MAY, WINDOWS, "Calls that are usual in such ten minutes. Absent for refused and late events."),
    field("features.usual_1h", Read::Double(DoubleField::Usual1h), MAY, WINDOWS, "Calls that are usual in such an hour. Absent for refused and late events."),
    field("features.usual_day", Read::Double(DoubleField::UsualDay), MUST, KEY, "Calls of the key in a usual day."),
    field("features.days_learned", Read::Int(IntField::DaysLearned), MUST, KEY, "Full days that the usual counts were learned from, up to 255."),
];

/// The field of a name.
pub fn find(name: &str) -> Option<&'static FieldSpec> {
    FIELDS.iter().find(|field| field.name == name)
}
