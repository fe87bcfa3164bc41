//! Subjects: a merchant with its keys. They are judged, stored and loaded together, so that what one key teaches
//! about another is always from the same point of the stream.

use crate::engine::baseline::declines::Declines;
use crate::engine::baseline::networks::NetworkBook;
use crate::engine::baseline::rates::Rates;
use crate::engine::baseline::refusals::Refusals;
use crate::engine::baseline::tally::Tallies;
use crate::engine::baseline::values::ValueBook;
use crate::engine::case::OpenCase;
use crate::event::Env;
use crate::event::facts::FactBook;
use crate::time::{DAY, Millis, day_of};

/// Networks remembered for each key.
pub const NETWORKS_PER_KEY: usize = 32;
/// Networks remembered for each merchant.
pub const NETWORKS_PER_MERCHANT: usize = 64;
/// Programs and endpoints remembered for each key.
pub const VALUES_PER_KEY: usize = 24;
/// Programs remembered for each merchant.
pub const AGENTS_PER_MERCHANT: usize = 32;
/// Keys of one merchant that are watched.
pub const KEYS_PER_MERCHANT: usize = 10_000;

/// What a key has shown of itself. Independent of any rule.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFeatures {
    /// The key's stable name.
    pub key_id: Box<str>,
    /// Masked form, from the events.
    pub hint: Option<Box<str>>,
    /// Environment, from the events.
    pub env: Option<Env>,
    /// First message about it; `None` = known from facts alone.
    pub first_seen: Option<Millis>,
    /// Last message about it.
    pub last_seen: Option<Millis>,
    /// Last accepted use.
    pub last_accepted: Option<Millis>,
    /// Accepted calls.
    pub accepted: u64,
    /// Refused calls.
    pub refused: u64,
    /// Networks that accepted calls came from.
    pub networks: NetworkBook,
    /// Programs of accepted calls, by their family.
    pub agents: ValueBook,
    /// Endpoints of accepted calls.
    pub endpoints: ValueBook,
    /// What it began with, where it replaced a key whose baseline it took over.
    pub inherited: Option<Box<Inherited>>,
    /// How many calls it makes.
    pub rates: Rates,
    /// How many of its calls are refused; `None` = none was.
    pub refusals: Option<Box<Refusals>>,
    /// How many of its last calls were declined payments.
    pub declines: Declines,
    /// Calls of the last days that had any, oldest first.
    pub days: Vec<DayUse>,
}

/// The part of a baseline that another key has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// First message about the key that was replaced, or about the one that it had replaced.
    pub since: Millis,
    /// Accepted calls until then.
    pub calls: u64,
}

/// Days kept in memory until the store has them.
const DAYS_KEPT: usize = 3;

/// One key's calls on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUse {
    /// Days since 1970 (UTC).
    pub day: i32,
    /// Accepted calls.
    pub accepted: u64,
    /// Refused calls.
    pub refused: u64,
    /// First call.
    pub first_at: Millis,
    /// Last call.
    pub last_at: Millis,
    /// Changed since its row was written. Not in the stored form: what is loaded has a row, unless its events are read again.
    pub is_unsaved: bool,
}

impl KeyFeatures {
    /// A key of which nothing has been seen.
    pub fn new(key_id: &str) -> Self {
        KeyFeatures {
            key_id: key_id.into(),
            hint: None,
            env: None,
            first_seen: None,
            last_seen: None,
            last_accepted: None,
            accepted: 0,
            refused: 0,
            networks: NetworkBook::default(),
            agents: ValueBook::default(),
            endpoints: ValueBook::default(),
            inherited: None,
            rates: Rates::default(),
            refusals: None,
            declines: Declines::default(),
            days: Vec::new(),
        }
    }

    /// Whether enough of its accepted use is known to call a network new. A fixed level, not a rule's.
    pub fn knows_its_networks(&self, at: Millis) -> bool {
        self.baseline_calls() >= 20 && self.baseline_since().is_some_and(|first| at - first >= 3 * DAY)
    }

    /// From when on its baseline was learned.
    pub fn baseline_since(&self) -> Option<Millis> {
        self.inherited.as_ref().map(|inherited| inherited.since).or(self.first_seen)
    }

    /// Accepted calls that its baseline was learned from.
    pub fn baseline_calls(&self) -> u64 {
        self.accepted + self.inherited.as_ref().map_or(0, |inherited| inherited.calls)
    }

    /// Begins with what the key that it replaces has shown.
    pub fn inherit(&mut self, old: &KeyFeatures) {
        let Some(since) = old.baseline_since() else { return };
        self.inherited = Some(Box::new(Inherited { since, calls: old.baseline_calls() }));
        self.networks = old.networks.clone();
        self.agents = old.agents.clone();
        self.endpoints = old.endpoints.clone();
        self.rates = old.rates.clone();
    }

    /// Takes every day's use as changed since its row was written.
    pub fn days_unsaved(&mut self) {
        self.days.iter_mut().for_each(|day| day.is_unsaved = true);
    }

    /// Counts calls in the day's use.
    pub fn count_day(&mut self, at: Millis, accepted: u64, refused: u64) {
        let day = day_of(at);
        let place = self.days.iter().position(|d| d.day >= day).unwrap_or(self.days.len());
        match self.days.get_mut(place) {
            Some(d) if d.day == day => {
                d.accepted += accepted;
                d.refused += refused;
                d.first_at = d.first_at.min(at);
                d.last_at = d.last_at.max(at);
                d.is_unsaved = true;
            }
            _ => {
                let new = DayUse { day, accepted, refused, first_at: at, last_at: at, is_unsaved: true };
                if self.days.len() < DAYS_KEPT {
                    reserve_little(&mut self.days);
                    self.days.insert(place, new);
                } else if 0 < place {
                    self.days.remove(0);
                    self.days.insert(place - 1, new);
                }
                // An older day than those kept has its row in the store already; what comes so late is not counted there.
            }
        }
    }
}

/// Makes room for one more, and for half as many again: doubling from four would leave most of a small list empty.
pub(super) fn reserve_little<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
}

/// One key: what it has shown, and its open cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// What it has shown.
    pub features: KeyFeatures,
    /// Episodes that go on.
    pub cases: Vec<OpenCase>,
    /// What rules with a condition have counted for it; `None` = nothing yet.
    pub tallies: Option<Box<Tallies>>,
    /// Rules whose timers have fired for it, and up to when: none opens a case for the same moment twice.
    pub fired: Vec<(Box<str>, Millis)>,
}

impl Key {
    /// A key of which nothing has been seen.
    pub fn new(key_id: &str) -> Self {
        Key { features: KeyFeatures::new(key_id), cases: Vec::new(), tallies: None, fired: Vec::new() }
    }

    /// Up to when a rule's timers have fired.
    pub fn fired_to(&self, rule: &str) -> Option<Millis> {
        self.fired.iter().find(|(name, _)| **name == *rule).map(|(_, at)| *at)
    }

    /// Notes that a rule's timer fired at `at`.
    pub fn fired(&mut self, rule: &str, at: Millis) {
        match self.fired.iter_mut().find(|(name, _)| **name == *rule) {
            Some((_, to)) => *to = at.max(*to),
            None => self.fired.push((rule.into(), at)),
        }
    }
}

/// What a merchant's keys have shown together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MerchantFeatures {
    /// Networks that any of its keys uses and that have lasted.
    pub networks: NetworkBook,
    /// Programs that any of its keys uses and that have lasted.
    pub agents: ValueBook,
}

/// The merchant that a subject's ID names; none where it stands for a key without a merchant.
pub fn merchant_of(subject_id: &str) -> Option<&str> {
    (!subject_id.starts_with('~')).then_some(subject_id)
}

/// A merchant with its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The merchant's ID, or `~` and the key's for a key without a merchant.
    pub id: Box<str>,
    /// What its keys have shown together.
    pub merchant: MerchantFeatures,
    /// Its keys, ordered by ID.
    pub keys: Vec<Key>,
    /// Messages before this offset were included when it was stored; those are skipped when they are read again.
    pub current_to: i64,
    /// Known from facts alone, in this shard for want of traffic.
    pub foster: bool,
}

impl Subject {
    /// A merchant of which nothing has been seen.
    pub fn new(id: &str) -> Self {
        Subject { id: id.into(), merchant: MerchantFeatures::default(), keys: Vec::new(), current_to: 0, foster: false }
    }

    /// The merchant's ID, where it is one.
    pub fn merchant_id(&self) -> Option<&str> {
        merchant_of(&self.id)
    }

    /// A key that replaces another of the merchant's, and is seen for the first time, begins with its baseline.
    pub fn inherit(&mut self, place: usize, at: Millis, facts: &FactBook) {
        let known = facts.key(&self.keys[place].features.key_id);
        let replaced = known.filter(|f| f.created_at.is_none_or(|made| made <= at)).and_then(|f| f.replaces.as_deref());
        let Some(Ok(old)) = replaced.map(|old| self.position(old)) else { return };
        if let Ok([old, new]) = self.keys.get_disjoint_mut([old, place]) {
            new.features.inherit(&old.features);
        }
    }

    /// Where a key is, if it is there.
    pub fn position(&self, key_id: &str) -> Result<usize, usize> {
        self.keys.binary_search_by(|key| key.features.key_id.as_ref().cmp(key_id))
    }

    /// Where a key is; it is added where it was not. `None` where the merchant has too many.
    pub fn position_or_insert(&mut self, key_id: &str) -> Option<usize> {
        match self.position(key_id) {
            Ok(at) => Some(at),
            Err(_) if self.keys.len() >= KEYS_PER_MERCHANT => None,
            Err(at) => {
                reserve_little(&mut self.keys);
                self.keys.insert(at, Key::new(key_id));
                Some(at)
            }
        }
    }
}
