//! Facts: what key events say of keys and merchants, merged so that any order of arrival gives the same dates.
//!
//! Every transition carries its own date, so a question "as of t" is a comparison with that date; no history of
//! versions is needed, and a compacted topic (only the last record survives) loses nothing that we have already read.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::event::{Country, Env, zones};
use crate::time::Millis;

/// What a fact reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's own words")]
pub enum FactKind {
    KeyCreated,
    KeyRegenerated,
    KeyRevoked,
    KeyExpires,
    KeyExposed,
    MerchantUpdated,
}

/// Whether a merchant's account is in good standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's own words")]
pub enum MerchantStatus {
    Active,
    Suspended,
}

/// One decoded key event. Absent fields say nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the contract's own (docs/reference/events.md)")]
pub struct Fact {
    pub kind: FactKind,
    pub ts: Millis,
    pub key_id: Option<String>,
    pub key_fingerprint: Option<String>,
    pub merchant_id: Option<String>,
    pub key_env: Option<Env>,
    pub key_hint: Option<String>,
    pub created_at: Option<Millis>,
    /// The old key that this one replaces.
    pub replaces: Option<String>,
    /// When the old key stops; `None` in a regeneration = at once.
    pub grace_until: Option<Millis>,
    pub expires_at: Option<Millis>,
    pub revoked_at: Option<Millis>,
    pub actor: Option<String>,
    pub actor_ip: Option<String>,
    /// Where that address is, by the GeoIP databases. No message has it: whoever reads the message looks it up.
    #[serde(default)]
    pub actor_country: Option<Country>,
    pub reason: Option<String>,
    pub name: Option<String>,
    pub contacts: Option<Vec<String>>,
    pub timezone: Option<String>,
    pub locale: Option<String>,
    pub status: Option<MerchantStatus>,
    pub tags: Option<Vec<String>>,
}

impl Fact {
    /// A fact that says nothing yet but its kind and time.
    pub fn new(kind: FactKind, ts: Millis) -> Self {
        Fact {
            kind,
            ts,
            key_id: None,
            key_fingerprint: None,
            merchant_id: None,
            key_env: None,
            key_hint: None,
            created_at: None,
            replaces: None,
            grace_until: None,
            expires_at: None,
            revoked_at: None,
            actor: None,
            actor_ip: None,
            actor_country: None,
            reason: None,
            name: None,
            contacts: None,
            timezone: None,
            locale: None,
            status: None,
            tags: None,
        }
    }
}

/// What is known of one key. Dates are event times; a date in the future of `t` does not count at `t`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the contract's own (docs/reference/events.md)")]
pub struct KeyFacts {
    pub merchant_id: Option<String>,
    pub fingerprint: Option<String>,
    pub env: Option<Env>,
    pub hint: Option<String>,
    pub name: Option<String>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    pub created_at: Option<Millis>,
    /// The key that this one replaces.
    pub replaces: Option<String>,
    /// When this key was replaced by a newer one, and by which.
    pub replaced_at: Option<Millis>,
    pub replaced_by: Option<String>,
    /// How long this (old) key lives on after it was replaced.
    pub grace_until: Option<Millis>,
    pub expires_at: Option<Millis>,
    /// Since when that end was known.
    #[serde(default)]
    pub expires_said_at: Option<Millis>,
    pub revoked_at: Option<Millis>,
    pub revoked_reason: Option<String>,
    pub exposed_at: Option<Millis>,
    #[serde(default)]
    pub exposed_reason: Option<String>,
    /// Who made the key, from which address, and when that was said.
    #[serde(default)]
    pub actor: Option<String>,
    #[serde(default)]
    pub actor_ip: Option<String>,
    #[serde(default)]
    pub actor_country: Option<Country>,
    #[serde(default)]
    pub actor_at: Option<Millis>,
    /// Time of the newest fact that set the undated fields.
    pub as_of: Millis,
}

impl KeyFacts {
    /// Revoked at `t`.
    pub fn is_revoked(&self, t: Millis) -> bool {
        self.revoked_at.is_some_and(|at| at <= t)
    }

    /// Replaced, and its grace over, at `t`.
    pub fn is_rotated_out(&self, t: Millis) -> bool {
        self.replaced_at.is_some_and(|at| at <= t) && self.grace_until.is_none_or(|until| until <= t)
    }

    /// When it stopped, or will: revoked, or replaced and its grace over.
    pub fn ended_at(&self) -> Option<Millis> {
        let rotated = self.replaced_at.map(|at| self.grace_until.map_or(at, |until| until.max(at)));
        [self.revoked_at, rotated].into_iter().flatten().min()
    }

    /// When somebody saw to it: revoked, or replaced, whether or not its grace is over.
    pub fn seen_to_at(&self) -> Option<Millis> {
        [self.revoked_at, self.replaced_at].into_iter().flatten().min()
    }
}

/// What is known of one merchant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the contract's own (docs/reference/events.md)")]
pub struct MerchantFacts {
    pub name: Option<String>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    pub contacts: Vec<String>,
    pub timezone: Option<String>,
    pub locale: Option<String>,
    /// Changes of status, oldest first; at most [`STATUS_CHANGES`], the oldest forgotten first.
    pub status: Vec<(Millis, MerchantStatus)>,
    pub as_of: Millis,
}

impl MerchantFacts {
    /// The country of its time zone.
    pub fn country(&self) -> Option<Country> {
        self.timezone.as_deref().and_then(zones::country_of)
    }

    /// Since when the account is suspended, if it is at `t`.
    pub fn suspended_since(&self, t: Millis) -> Option<Millis> {
        let until_then = self.status.iter().rev().skip_while(|(at, _)| *at > t);
        // What is said again does not begin anew.
        until_then.take_while(|(_, status)| *status == MerchantStatus::Suspended).last().map(|(at, _)| *at)
    }
}

/// How many changes of a merchant's status are remembered.
pub const STATUS_CHANGES: usize = 8;

/// Everything known of keys and merchants. Dates do not depend on the order of reading; of undated fields the newest fact
/// counts.
#[derive(Clone, Debug, Default)]
pub struct FactBook {
    keys: HashMap<String, KeyFacts>,
    merchants: HashMap<String, MerchantFacts>,
    by_fingerprint: HashMap<String, String>,
    /// Keys of a merchant, for the subjects that exist only in the facts.
    by_merchant: HashMap<String, Vec<String>>,
    max_keys: usize,
    refused: u64,
}

/// Which entries a fact changed: the caller stores them and lets the engine look at the keys again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Keys whose facts changed.
    pub keys: Vec<String>,
    /// The merchant whose facts changed.
    pub merchant: Option<String>,
}

impl FactBook {
    /// A book of at most `max_keys` keys (and as many merchants). Facts beyond it are counted in [`FactBook::refused`].
    pub fn new(max_keys: usize) -> Self {
        FactBook { max_keys, ..FactBook::default() }
    }

    /// How many facts the bound turned away.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What is known of a key.
    pub fn key(&self, key_id: &str) -> Option<&KeyFacts> {
        self.keys.get(key_id)
    }

    /// What is known of a merchant.
    pub fn merchant(&self, merchant_id: &str) -> Option<&MerchantFacts> {
        self.merchants.get(merchant_id)
    }

    /// The key that carries a fingerprint.
    pub fn key_of_fingerprint(&self, fingerprint: &str) -> Option<&str> {
        self.by_fingerprint.get(fingerprint).map(String::as_str)
    }

    /// The keys that facts name for a merchant, in the order they were learnt.
    pub fn keys_of(&self, merchant_id: &str) -> &[String] {
        self.by_merchant.get(merchant_id).map_or(&[], Vec::as_slice)
    }

    /// Merchants that have keys in the facts, unordered.
    pub fn merchants_with_keys(&self) -> impl Iterator<Item = &str> {
        self.by_merchant.keys().map(String::as_str)
    }

    /// Every key, unordered.
    pub fn keys(&self) -> impl Iterator<Item = (&String, &KeyFacts)> {
        self.keys.iter()
    }

    /// How many keys.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Every merchant, unordered.
    pub fn merchants(&self) -> impl Iterator<Item = (&String, &MerchantFacts)> {
        self.merchants.iter()
    }

    /// Takes up what an earlier run, or somebody else, knew of a key. What is already known and newer stays. Returns
    /// whether that changed anything.
    pub fn restore_key(&mut self, key_id: &str, stored: KeyFacts) -> bool {
        self.update_key(key_id, |known| known.merge(stored))
    }

    /// The same for a merchant.
    pub fn restore_merchant(&mut self, merchant_id: &str, stored: MerchantFacts) -> bool {
        self.update_merchant(merchant_id, |known| known.merge(stored))
    }

    /// Learns one fact.
    pub fn learn(&mut self, fact: &Fact) -> Changed {
        let mut changed = Changed::default();
        if fact.kind == FactKind::MerchantUpdated {
            if let Some(id) = &fact.merchant_id
                && self.update_merchant(id, |known| known.merge(merchant_part(fact)))
            {
                changed.merchant = Some(id.clone());
            }
            return changed;
        }
        let Some(key_id) = &fact.key_id else { return changed };
        if self.update_key(key_id, |known| known.merge(key_part(fact))) {
            changed.keys.push(key_id.clone());
        }
        if fact.kind == FactKind::KeyRegenerated
            && let Some(old) = &fact.replaces
            && old != key_id
        {
            let part = KeyFacts {
                merchant_id: fact.merchant_id.clone(),
                replaced_at: Some(fact.ts),
                replaced_by: Some(key_id.clone()),
                grace_until: Some(fact.grace_until.unwrap_or(fact.ts)),
                ..KeyFacts::default()
            };
            if self.update_key(old, |known| known.merge(part)) {
                changed.keys.push(old.clone());
            }
        }
        changed
    }

    fn update_key(&mut self, key_id: &str, change: impl FnOnce(&mut KeyFacts)) -> bool {
        if !self.keys.contains_key(key_id) && self.keys.len() >= self.max_keys {
            self.refused += 1;
            return false;
        }
        let known = self.keys.entry(key_id.to_owned()).or_default();
        let before = known.clone();
        change(known);
        if let Some(fingerprint) = &known.fingerprint
            && before.fingerprint.as_ref() != Some(fingerprint)
        {
            self.by_fingerprint.insert(fingerprint.clone(), key_id.to_owned());
        }
        if let Some(merchant) = &known.merchant_id
            && before.merchant_id.as_ref() != Some(merchant)
        {
            self.by_merchant.entry(merchant.clone()).or_default().push(key_id.to_owned());
        }
        *known != before
    }

    fn update_merchant(&mut self, merchant_id: &str, change: impl FnOnce(&mut MerchantFacts)) -> bool {
        if !self.merchants.contains_key(merchant_id) && self.merchants.len() >= self.max_keys {
            self.refused += 1;
            return false;
        }
        let known = self.merchants.entry(merchant_id.to_owned()).or_default();
        let before = known.clone();
        change(known);
        *known != before
    }
}

/// What one fact says of its own key.
fn key_part(fact: &Fact) -> KeyFacts {
    let is_new = matches!(fact.kind, FactKind::KeyCreated | FactKind::KeyRegenerated);
    let dated = |kind, field: Option<Millis>| field.or((fact.kind == kind).then_some(fact.ts));
    KeyFacts {
        merchant_id: fact.merchant_id.clone(),
        fingerprint: fact.key_fingerprint.clone(),
        env: fact.key_env,
        hint: fact.key_hint.clone(),
        name: fact.name.clone(),
        tags: fact.tags.clone(),
        created_at: fact.created_at.or(is_new.then_some(fact.ts)),
        replaces: fact.replaces.clone(),
        replaced_at: None,
        replaced_by: None,
        grace_until: None,
        expires_at: fact.expires_at,
        expires_said_at: fact.expires_at.map(|_| fact.ts),
        revoked_at: dated(FactKind::KeyRevoked, fact.revoked_at),
        revoked_reason: (fact.kind == FactKind::KeyRevoked).then(|| fact.reason.clone()).flatten(),
        actor: fact.actor.clone().filter(|_| is_new),
        actor_ip: fact.actor_ip.clone().filter(|_| is_new),
        actor_country: fact.actor_country.filter(|_| is_new),
        actor_at: fact.actor_ip.as_ref().filter(|_| is_new).map(|_| fact.ts),
        exposed_at: dated(FactKind::KeyExposed, None),
        exposed_reason: (fact.kind == FactKind::KeyExposed).then(|| fact.reason.clone()).flatten(),
        as_of: fact.ts,
    }
}

fn merchant_part(fact: &Fact) -> MerchantFacts {
    MerchantFacts {
        name: fact.name.clone(),
        tags: fact.tags.clone(),
        contacts: fact.contacts.clone().unwrap_or_default(),
        timezone: fact.timezone.clone(),
        locale: fact.locale.clone(),
        status: fact.status.map(|status| (fact.ts, status)).into_iter().collect(),
        as_of: fact.ts,
    }
}

impl KeyFacts {
    /// Undated fields: the newer fact wins (ties: the greater value, so that order does not matter).
    /// Dates of a transition: the earliest wins, as a repeated report does not move the event itself.
    pub fn merge(&mut self, new: KeyFacts) {
        merge_key(self, new);
    }
}

impl MerchantFacts {
    /// Undated fields as for keys; changes of status are gathered.
    pub fn merge(&mut self, new: MerchantFacts) {
        merge_merchant(self, new);
    }
}

fn merge_key(known: &mut KeyFacts, new: KeyFacts) {
    let newer = new.as_of > known.as_of;
    newest(&mut known.merchant_id, new.merchant_id, newer, new.as_of == known.as_of);
    newest(&mut known.fingerprint, new.fingerprint, newer, new.as_of == known.as_of);
    newest(&mut known.env, new.env, newer, false);
    newest(&mut known.hint, new.hint, newer, new.as_of == known.as_of);
    newest(&mut known.name, new.name, newer, new.as_of == known.as_of);
    newest(&mut known.tags, new.tags, newer, new.as_of == known.as_of);
    newest(&mut known.replaces, new.replaces, newer, new.as_of == known.as_of);
    match (known.expires_at, new.expires_at) {
        // Said again, it is known since it was first said.
        (Some(old), Some(at)) if old == at => earliest(&mut known.expires_said_at, new.expires_said_at),
        (old, Some(at)) if old.is_none() || newer || (new.as_of == known.as_of && Some(at) > old) => {
            (known.expires_at, known.expires_said_at) = (new.expires_at, new.expires_said_at);
        }
        _ => {}
    }
    newest(&mut known.exposed_reason, new.exposed_reason, newer, new.as_of == known.as_of);
    newest(&mut known.revoked_reason, new.revoked_reason, newer, new.as_of == known.as_of);
    earliest(&mut known.created_at, new.created_at);
    earliest(&mut known.revoked_at, new.revoked_at);
    earliest(&mut known.exposed_at, new.exposed_at);
    // A key is made once: what is said of it again does not move it.
    if new.actor_at.is_some() && (known.actor_at.is_none() || new.actor_at < known.actor_at) {
        (known.actor, known.actor_ip, known.actor_at) = (new.actor, new.actor_ip, new.actor_at);
        known.actor_country = new.actor_country;
    }
    // The newest regeneration rules: its grace replaces the one before.
    if new.replaced_at > known.replaced_at
        || (new.replaced_at == known.replaced_at && new.grace_until > known.grace_until)
    {
        known.replaced_at = new.replaced_at;
        known.replaced_by = new.replaced_by;
        known.grace_until = new.grace_until;
    }
    known.as_of = known.as_of.max(new.as_of);
}

fn merge_merchant(known: &mut MerchantFacts, new: MerchantFacts) {
    let (newer, same) = (new.as_of > known.as_of, new.as_of == known.as_of);
    newest(&mut known.name, new.name, newer, same);
    newest(&mut known.tags, new.tags, newer, same);
    newest(&mut known.timezone, new.timezone, newer, same);
    newest(&mut known.locale, new.locale, newer, same);
    if !new.contacts.is_empty() && (known.contacts.is_empty() || newer || (same && new.contacts > known.contacts)) {
        known.contacts = new.contacts;
    }
    let mut status: BTreeMap<Millis, MerchantStatus> = known.status.drain(..).collect();
    status.extend(new.status);
    let skip = status.len().saturating_sub(STATUS_CHANGES);
    known.status = status.into_iter().skip(skip).collect();
    known.as_of = known.as_of.max(new.as_of);
}

fn newest<T: PartialOrd>(known: &mut Option<T>, new: Option<T>, newer: bool, same_time: bool) {
    if let Some(value) = new {
        let take = match known {
            None => true,
            Some(old) => newer || (same_time && value > *old),
        };
        if take {
            *known = Some(value);
        }
    }
}

fn earliest(known: &mut Option<Millis>, new: Option<Millis>) {
    *known = match (*known, new) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
