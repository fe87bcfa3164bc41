//! Source networks: who sends requests without a known merchant. Anyone on
//! the internet can fill this table, so it has a fixed size and touches nothing else. Of it only open cases are stored.

use std::collections::{HashMap, VecDeque};

use crate::engine::baseline::networks::Network;
use crate::engine::case::OpenCase;
use crate::engine::hash::stored_of_text;
use crate::event::{AuthEvent, Refusal};
use crate::time::{HOUR, MINUTE, Millis};

/// Open cases about sources of one shard.
pub const SOURCE_CASES: usize = 256;
/// Keys that are told apart for one source; more make no difference.
const TOLD_APART: usize = 16;
/// What is counted, is counted in so long.
const WINDOW: Millis = HOUR;
const BUCKET: Millis = 10 * MINUTE;
const RING: usize = 6;

/// What is remembered of one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSeen {
    /// First attempt.
    pub first_at: Millis,
    /// Last attempt.
    pub last_at: Millis,
    /// Attempts with a malformed key or header.
    pub malformed: u64,
    /// Attempts with a key that nobody has.
    pub unknown: u64,
    /// Other attempts without a merchant.
    pub other: u64,
    recent: Recent,
    case: Vec<OpenCase>,
}

/// The last hour.
#[derive(Clone, Debug, Default, PartialEq)]
struct Recent {
    newest: i64,
    malformed: [u32; RING],
    unknown: [u32; RING],
    /// Hash and last time of keys that nobody has.
    keys: Vec<(u32, Millis)>,
}

/// What a detector sees of a source.
#[derive(Debug)]
pub struct SourceSight<'a> {
    /// The event.
    pub event: &'a AuthEvent<'a>,
    /// Its network.
    pub network: Network,
    /// Malformed keys and headers in the last hour, with this event.
    pub malformed: u64,
    /// Keys that nobody has in the last hour, with this event.
    pub unknown: u64,
    /// Different ones among them, as far as they are told apart.
    pub n_keys: usize,
    /// First attempt in the last hour.
    pub since: Millis,
}

/// The last networks that sent such requests, at most `cap`: the first to come is the first to go.
#[derive(Debug)]
pub struct SourceTable {
    seen: HashMap<Network, SourceSeen>,
    order: VecDeque<Network>,
    open: Vec<Network>,
    cap: usize,
    forgotten: u64,
}

impl SourceTable {
    /// A table of at most `cap` networks.
    pub fn new(cap: usize) -> Self {
        SourceTable { seen: HashMap::new(), order: VecDeque::new(), open: Vec::new(), cap: cap.max(1), forgotten: 0 }
    }

    /// How many networks the bound pushed out.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What is remembered of a network.
    pub fn get(&self, network: Network) -> Option<&SourceSeen> {
        self.seen.get(&network)
    }

    /// Networks remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Counts an event without a merchant.
    pub fn note(&mut self, event: &AuthEvent<'_>) {
        let Some(seen) = self.seen_mut(event) else { return };
        let count = u64::from(event.count);
        match event.reason {
            Some(Refusal::MalformedKey | Refusal::MalformedHeader | Refusal::MissingKey) => {
                seen.malformed += count;
                seen.recent.add(event.ts, |recent, slot| {
                    recent.malformed[slot] = recent.malformed[slot].saturating_add(event.count);
                });
            }
            Some(Refusal::UnknownKey) => {
                seen.unknown += count;
                seen.recent.add(event.ts, |recent, slot| {
                    recent.unknown[slot] = recent.unknown[slot].saturating_add(event.count);
                });
                let key = event.key_id.as_deref().or(event.key_fingerprint.as_deref()).or(event.key_hint.as_deref());
                if let Some(key) = key {
                    tell_apart(&mut seen.recent.keys, stored_of_text(key), event.ts, WINDOW);
                }
            }
            _ => seen.other += count,
        }
    }

    /// What a detector sees of the source of an event.
    pub fn sight<'a>(&self, event: &'a AuthEvent<'a>) -> Option<SourceSight<'a>> {
        let network = Network::of(event.source_ip?);
        let seen = self.seen.get(&network)?;
        let recent = &seen.recent;
        let n = |counts: &[u32; RING]| recent.sum(event.ts, counts);
        Some(SourceSight {
            event,
            network,
            malformed: n(&recent.malformed),
            unknown: n(&recent.unknown),
            n_keys: recent.keys.iter().filter(|(_, last)| event.ts - WINDOW <= *last).count(),
            since: seen.first_at.max(event.ts - WINDOW).min(event.ts),
        })
    }

    /// The open cases of a network.
    pub fn cases_mut(&mut self, network: Network) -> Option<&mut Vec<OpenCase>> {
        self.seen.get_mut(&network).map(|seen| &mut seen.case)
    }

    /// Opens a case; false where there are too many already.
    pub fn open(&mut self, network: Network, case: OpenCase) -> bool {
        if self.open.len() >= SOURCE_CASES {
            return false;
        }
        if !self.seen.contains_key(&network) {
            self.insert(network, SourceSeen { first_at: case.alert.starts_at, ..SourceSeen::default() });
        }
        let Some(seen) = self.seen.get_mut(&network) else { return false };
        seen.last_at = seen.last_at.max(case.last_at);
        seen.case.push(case);
        self.open.push(network);
        true
    }

    /// When the first open case ends by itself.
    pub fn next_end(&self) -> Option<Millis> {
        let cases = self.open.iter().filter_map(|network| self.seen.get(network)).flat_map(|seen| &seen.case);
        cases.filter_map(OpenCase::ends_by_itself_at).min()
    }

    /// Takes the cases that have ended by themselves before `to`, in the order of their ends.
    pub fn take_ended(&mut self, to: Millis) -> Vec<(Millis, OpenCase)> {
        let mut ended = Vec::new();
        for network in &self.open {
            let Some(seen) = self.seen.get_mut(network) else { continue };
            let is_over = |case: &OpenCase| case.ends_by_itself_at().is_some_and(|at| at < to);
            for case in seen.case.extract_if(.., |case| is_over(case)) {
                ended.push((case.ends_by_itself_at().unwrap_or(to), case));
            }
        }
        let seen = &self.seen;
        let mut counted: HashMap<Network, usize> = HashMap::new();
        self.open.retain(|network| {
            let n = counted.entry(*network).or_default();
            *n += 1;
            seen.get(network).is_some_and(|seen| *n <= seen.case.len())
        });
        ended.sort_by(|(a, x), (b, y)| (a, &x.alert.alert_id).cmp(&(b, &y.alert.alert_id)));
        ended
    }

    /// The open cases, to be stored.
    pub fn open_cases(&self) -> Vec<(Network, OpenCase)> {
        let mut networks = self.open.clone();
        networks.sort();
        networks.dedup();
        let of = |network: Network| {
            let cases = self.seen.get(&network).map(|seen| seen.case.clone()).unwrap_or_default();
            cases.into_iter().map(move |case| (network, case))
        };
        networks.into_iter().flat_map(of).collect()
    }

    fn seen_mut(&mut self, event: &AuthEvent<'_>) -> Option<&mut SourceSeen> {
        let network = Network::of(event.source_ip?);
        if !self.seen.contains_key(&network) {
            self.insert(network, SourceSeen { first_at: event.ts, ..SourceSeen::default() });
        }
        let seen = self.seen.get_mut(&network)?;
        // After an hour's pause it begins anew.
        if seen.last_at + WINDOW < event.ts {
            seen.first_at = event.ts;
        }
        seen.last_at = seen.last_at.max(event.ts);
        Some(seen)
    }

    fn insert(&mut self, network: Network, seen: SourceSeen) {
        if self.seen.len() >= self.cap
            // One with an open case stays: there are few of them.
            && let Some(at) = self.order.iter().position(|network| self.seen.get(network).is_none_or(|s| s.case.is_empty()))
            && let Some(oldest) = self.order.remove(at)
        {
            self.seen.remove(&oldest);
            self.forgotten += 1;
        }
        self.order.push_back(network);
        self.seen.insert(network, seen);
    }
}

impl Recent {
    fn add(&mut self, at: Millis, count: impl FnOnce(&mut Recent, usize)) {
        let bucket = at.div_euclid(BUCKET);
        for gone in (self.newest + 1).max(bucket - RING as i64 + 1)..=bucket {
            self.malformed[slot(gone)] = 0;
            self.unknown[slot(gone)] = 0;
        }
        self.newest = self.newest.max(bucket);
        if self.newest - bucket < RING as i64 {
            count(self, slot(bucket));
        }
    }

    fn sum(&self, at: Millis, counts: &[u32; RING]) -> u64 {
        let bucket = at.div_euclid(BUCKET);
        let is_in = |b: i64| b <= self.newest && self.newest - b < RING as i64;
        (bucket - RING as i64 + 1..=bucket).filter(|b| is_in(*b)).map(|b| u64::from(counts[slot(b)])).sum()
    }
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(RING as i64) as usize
}

/// Notes one of several; those that are older than `window` make room.
fn tell_apart(list: &mut Vec<(u32, Millis)>, hash: u32, at: Millis, window: Millis) {
    if let Some((_, last)) = list.iter_mut().find(|(known, _)| *known == hash) {
        *last = at.max(*last);
        return;
    }
    list.retain(|(_, last)| at - window <= *last);
    if list.len() < TOLD_APART {
        list.push((hash, at));
    }
}
