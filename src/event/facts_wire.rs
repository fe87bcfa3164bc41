//! Decodes one key event into a [`Fact`]. Facts are rare, so every text is owned.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::event::RejectReason;
use crate::event::auth::Decoder;
use crate::event::facts::{Fact, FactKind, MerchantStatus};
use crate::event::fields::{self, Problem};
use crate::event::redact::Masker;
use crate::event::wire::{Value, scan_object};

/// Merchants have few contacts; more would make one alert a mailing.
const CONTACTS_MAX: usize = 10;
/// The longest address that mail allows.
const CONTACT_BYTES_MAX: usize = 254;
const TAGS_MAX: usize = 20;
const TAG_BYTES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 256;

/// The fields as they stood in the message.
#[derive(Default)]
struct Wire<'a> {
    kind: Value<'a>,
    ts: Value<'a>,
    key_id: Value<'a>,
    key_fingerprint: Value<'a>,
    api_key: Value<'a>,
    merchant_id: Value<'a>,
    key_env: Value<'a>,
    key_hint: Value<'a>,
    created_at: Value<'a>,
    replaces: Value<'a>,
    grace_until: Value<'a>,
    expires_at: Value<'a>,
    revoked_at: Value<'a>,
    actor: Value<'a>,
    actor_ip: Value<'a>,
    reason: Value<'a>,
    name: Value<'a>,
    contacts: Value<'a>,
    timezone: Value<'a>,
    locale: Value<'a>,
    status: Value<'a>,
    tags: Value<'a>,
}

impl<'a> Wire<'a> {
    fn take(&mut self, name: &str, value: Value<'a>) {
        let slot = match name {
            "type" => &mut self.kind,
            "ts" => &mut self.ts,
            "key_id" => &mut self.key_id,
            "key_fingerprint" => &mut self.key_fingerprint,
            "api_key" => &mut self.api_key,
            "merchant_id" => &mut self.merchant_id,
            "key_env" => &mut self.key_env,
            "key_hint" => &mut self.key_hint,
            "created_at" => &mut self.created_at,
            "replaces" => &mut self.replaces,
            "grace_until" => &mut self.grace_until,
            "expires_at" => &mut self.expires_at,
            "revoked_at" => &mut self.revoked_at,
            "actor" => &mut self.actor,
            "actor_ip" => &mut self.actor_ip,
            "reason" => &mut self.reason,
            "name" => &mut self.name,
            "contacts" => &mut self.contacts,
            "timezone" => &mut self.timezone,
            "locale" => &mut self.locale,
            "status" => &mut self.status,
            "tags" => &mut self.tags,
            _ => return,
        };
        *slot = value;
    }
}

/// Reads the fact that a message reports.
pub(super) fn read_fact(decoder: &Decoder, payload: &[u8]) -> Result<Fact, Problem> {
    let mut wire = Wire::default();
    scan_object(fields::text_of(payload)?, |name, value| wire.take(name, value))?;
    let masker = &decoder.masker;
    let ts = fields::event_time(&wire.ts)?;
    let kind = kind(&wire.kind)?;
    let key = decoder.key_fields(wire.key_id, wire.key_fingerprint, wire.key_hint, wire.key_env, wire.api_key)?;
    let id = |field, value| Ok::<_, Problem>(fields::id(field, value, masker)?.map(Cow::into_owned));
    let text = |field, value, max| Ok::<_, Problem>(fields::text(field, value, max, masker)?.map(Cow::into_owned));
    let subject = key.id.or_else(|| key.fingerprint.as_ref().map(|hash| Cow::Owned(format!("fp:{hash}"))));
    let fact = Fact {
        key_id: subject.map(Cow::into_owned),
        key_fingerprint: key.fingerprint.map(Cow::into_owned),
        merchant_id: id("merchant_id", wire.merchant_id)?,
        key_env: key.env,
        key_hint: key.hint.map(Cow::into_owned),
        created_at: fields::optional_time("created_at", &wire.created_at)?,
        replaces: replaced_key(decoder, wire.replaces)?,
        grace_until: fields::optional_time("grace_until", &wire.grace_until)?,
        expires_at: fields::optional_time("expires_at", &wire.expires_at)?,
        revoked_at: fields::optional_time("revoked_at", &wire.revoked_at)?,
        actor: text("actor", wire.actor, NAME_BYTES_MAX)?,
        actor_ip: fields::address("actor_ip", &wire.actor_ip)?.map(|address: IpAddr| address.to_string()),
        actor_country: None,
        reason: text("reason", wire.reason, REASON_BYTES_MAX)?,
        name: text("name", wire.name, NAME_BYTES_MAX)?,
        contacts: contacts(wire.contacts, masker)?,
        timezone: id("timezone", wire.timezone)?,
        locale: id("locale", wire.locale)?,
        status: status(&wire.status)?,
        tags: tags(wire.tags, masker)?,
        ..Fact::new(kind, ts)
    };
    match kind {
        FactKind::MerchantUpdated if fact.merchant_id.is_none() => Err(incomplete("`merchant_id`")),
        FactKind::MerchantUpdated => Ok(fact),
        _ if fact.key_id.is_none() => Err(incomplete("`key_id` or `key_fingerprint`")),
        _ => Ok(fact),
    }
}

fn incomplete(missing: &str) -> Problem {
    Problem::new(RejectReason::Incomplete, format!("field {missing} is absent"))
}

fn kind(value: &Value<'_>) -> Result<FactKind, Problem> {
    if fields::is_absent(value) {
        return Err(incomplete("`type`"));
    }
    let Value::Text(word) = value else { return Err(Problem::wrong_type("type", "a string", value)) };
    match word.as_ref() {
        "key_created" => Ok(FactKind::KeyCreated),
        "key_regenerated" => Ok(FactKind::KeyRegenerated),
        "key_revoked" => Ok(FactKind::KeyRevoked),
        "key_expires" => Ok(FactKind::KeyExpires),
        "key_exposed" => Ok(FactKind::KeyExposed),
        "merchant_updated" => Ok(FactKind::MerchantUpdated),
        _ => Err(Problem::new(RejectReason::Incomplete, "field `type` names no kind of fact that is known here")),
    }
}

/// The old key's ID; a raw secret there becomes the subject that its fingerprint names.
fn replaced_key(decoder: &Decoder, value: Value<'_>) -> Result<Option<String>, Problem> {
    if let Value::Text(raw) = &value
        && decoder.masker.is_key(raw)
    {
        return Ok(Some(format!("fp:{}", decoder.fingerprint_of(raw))));
    }
    Ok(fields::id("replaces", value, &decoder.masker)?.map(Cow::into_owned))
}

fn status(value: &Value<'_>) -> Result<Option<MerchantStatus>, Problem> {
    match value {
        value if fields::is_absent(value) => Ok(None),
        Value::Text(word) if word == "active" => Ok(Some(MerchantStatus::Active)),
        Value::Text(word) if word == "suspended" => Ok(Some(MerchantStatus::Suspended)),
        other => Err(Problem::wrong_type("status", "`active` or `suspended`", other)),
    }
}

/// Addresses go into mail headers: what could end a header or add a receiver is refused, never repaired.
fn contacts(value: Value<'_>, masker: &Masker) -> Result<Option<Vec<String>>, Problem> {
    let Some(contacts) = strings("contacts", value, CONTACTS_MAX)? else { return Ok(None) };
    if !contacts.iter().all(|contact| is_address(contact) && masker.mask_text(contact) == contact.as_str()) {
        let detail = format!("field `contacts`: expected mail addresses of at most {CONTACT_BYTES_MAX} bytes");
        return Err(Problem::new(RejectReason::WrongType, detail));
    }
    Ok(Some(contacts))
}

fn is_address(text: &str) -> bool {
    let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c);
    let Some((local, domain)) = text.split_once('@') else { return false };
    let has_parts = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    has_parts && text.len() <= CONTACT_BYTES_MAX && !text.contains(is_forbidden)
}

fn tags(value: Value<'_>, masker: &Masker) -> Result<Option<Vec<String>>, Problem> {
    let tags = strings("tags", value, TAGS_MAX)?;
    let tidy = |tag: String| fields::clean_text(Cow::Owned(tag), TAG_BYTES_MAX, masker).into_owned();
    Ok(tags.map(|tags| tags.into_iter().map(tidy).collect()))
}

/// An array of at most `n_max` strings.
fn strings(field: &str, value: Value<'_>, n_max: usize) -> Result<Option<Vec<String>>, Problem> {
    let expected = format!("an array of at most {n_max} strings");
    match &value {
        Value::Null => Ok(None),
        Value::Array(array) => match serde_json::from_str::<Vec<String>>(array) {
            Ok(strings) if strings.len() <= n_max => Ok(Some(strings)),
            _ => Err(Problem::new(RejectReason::WrongType, format!("field `{field}`: expected {expected}"))),
        },
        other => Err(Problem::wrong_type(field, &expected, other)),
    }
}
