//! The stored form of subjects and shards: types of their own, versioned, so that the engine can change freely.
//!
//! The first byte is the version; the rest is postcard. An older version is read and upgraded, a newer one refused.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::engine::baseline::declines::Declines;
use crate::engine::baseline::networks::{Network, NetworkBook, Seen, Whereabouts};
use crate::engine::baseline::profile::ProfileParts;
use crate::engine::baseline::rates::{Rates, RatesParts};
use crate::engine::baseline::refusals::{Refusals, RefusalsParts};
use crate::engine::baseline::tally::{PARTS, Tally};
use crate::engine::baseline::values::{SeenValue, ValueBook};
use crate::engine::case::OpenCase;
use crate::engine::detect::Watch;
use crate::engine::intake::Parked;
use crate::engine::subject::{DayUse, Inherited, Key, KeyFeatures, MerchantFeatures, Subject};
use crate::event::{AuthEvent, Country, Env};
use crate::time::Millis;

mod before;
mod behind;
mod cases;
mod habits;
mod numbers;

use cases::{StoredCase, load_case, store_case};
use habits::{
    Habits, StoredHabits, StoredHabitsV5, StoredHabitsV6, StoredHabitsV7, StoredHabitsV8, StoredHabitsV9,
    StoredHabitsV10, StoredHabitsV11, StoredHabitsV12, StoredHabitsV13, StoredHabitsV14,
};
use numbers::Numbers;

/// The version that is written.
pub const VERSION: u8 = 15;

/// A stored form that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by a newer program.
    #[error("stored form has version {0}, this program reads up to {VERSION}: it was written by a newer keywatch")]
    Newer(u8),
    /// Not a stored form at all.
    #[error("stored form is damaged: {0}")]
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct StoredSubject<'a> {
    id: Cow<'a, str>,
    networks: Vec<StoredSeen<'a>>,
    agents: StoredValues,
    keys: Vec<StoredKey<'a>>,
    foster: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredSeen<'a> {
    network: u64,
    first_at: i64,
    last_at: i64,
    calls: u64,
    suspect: bool,
    country: Option<Cow<'a, str>>,
    asn: Option<u32>,
}

#[derive(Default, Serialize, Deserialize)]
struct StoredValues {
    /// Hash, first and last minute, calls, young.
    seen: Vec<(u32, u32, u32, u32, bool)>,
    is_overfull: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredKey<'a> {
    key_id: Cow<'a, str>,
    hint: Option<Cow<'a, str>>,
    live: Option<bool>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    last_accepted: Option<i64>,
    accepted: u64,
    refused: u64,
    networks: Vec<StoredSeen<'a>>,
    agents: StoredValues,
    endpoints: StoredValues,
    /// Since when, how many calls.
    inherited: Option<(i64, u64)>,
    rates: Option<StoredRates<'a>>,
    refusals: Option<StoredRefusals>,
    days: Vec<(i32, u64, u64, i64, i64)>,
    cases: Vec<StoredCase<'a>>,
    /// Cases that wait to open: the case's place, and from when.
    waiting: Vec<(u32, i64)>,
    tallies: Vec<StoredTally>,
    fired: Vec<(Cow<'a, str>, i64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredRates<'a> {
    ring: Vec<u16>,
    shift: u8,
    rest: u32,
    held: u8,
    hours: Numbers<'a>,
    newest: i64,
    learned_to: i64,
    offset: i64,
    days: Numbers<'a>,
    n_days: [u16; 2],
    weeks: Numbers<'a>,
    n_weeks: u16,
    scatter: [f32; 8],
    more: [f32; 8],
}

#[derive(Serialize, Deserialize)]
struct StoredRefusals {
    ring: Vec<u16>,
    newest: i64,
    learned_to: i64,
    mean_hour: f32,
    hours: u16,
}

#[derive(Serialize, Deserialize)]
struct StoredTally {
    of: u64,
    group: String,
    newest: i64,
    last_at: i64,
    counts: [u32; PARTS],
}

/// Version 1 knew no gaps.
#[derive(Serialize, Deserialize)]
struct StoredShardV1 {
    now: Option<i64>,
    watched_since: Option<i64>,
    rules_version: String,
    /// Parked events as JSON, with their mark.
    parked: Vec<(String, bool)>,
}

/// Versions 2 and 3 did not know where a gap begins.
#[derive(Serialize, Deserialize)]
struct StoredShardV2 {
    now: Option<i64>,
    watched_since: Option<i64>,
    resumed_at: Option<i64>,
    in_gap: bool,
    rules_version: String,
    /// Parked events as JSON, with their mark.
    parked: Vec<(String, bool)>,
}

#[derive(Serialize, Deserialize)]
struct StoredShard<'a> {
    now: Option<i64>,
    watched_since: Option<i64>,
    resumed_at: Option<i64>,
    in_gap: bool,
    gap_from: Option<i64>,
    seen_to: Option<i64>,
    steady_since: Option<i64>,
    rules_version: String,
    /// Parked events as JSON, with their mark.
    parked: Vec<(String, bool)>,
    /// Open cases about source networks, and when each would open.
    source_cases: Vec<(u64, StoredCase<'a>, Option<i64>)>,
    stream: Option<StoredRates<'a>>,
}

impl From<StoredShardV1> for StoredShardV2 {
    fn from(v1: StoredShardV1) -> Self {
        StoredShardV2 {
            now: v1.now,
            watched_since: v1.watched_since,
            resumed_at: None,
            in_gap: false,
            rules_version: v1.rules_version,
            parked: v1.parked,
        }
    }
}

impl From<StoredShardV2> for StoredShard<'_> {
    fn from(v2: StoredShardV2) -> Self {
        StoredShard {
            now: v2.now,
            watched_since: v2.watched_since,
            resumed_at: v2.resumed_at,
            in_gap: v2.in_gap,
            gap_from: None,
            seen_to: v2.now,
            steady_since: v2.watched_since,
            rules_version: v2.rules_version,
            parked: v2.parked,
            source_cases: Vec::new(),
            stream: None,
        }
    }
}

/// What is stored of the shard itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardState {
    /// Stream time.
    pub now: Option<Millis>,
    /// How long the partition has been watched.
    pub watch: Watch,
    /// The rules version that the stored timers were worked out with.
    pub rules_version: String,
    /// Events that are held.
    pub parked: Vec<Parked>,
    /// Open cases about source networks.
    pub source_cases: Vec<(Network, OpenCase)>,
    /// How many events the partition has.
    pub stream: Rates,
}

/// Writes a subject.
pub fn encode_subject(subject: &Subject) -> Vec<u8> {
    let stored = StoredSubject {
        id: (&*subject.id).into(),
        networks: store_networks(&subject.merchant.networks),
        agents: store_values(&subject.merchant.agents),
        keys: subject.keys.iter().map(store_key).collect(),
        foster: subject.foster,
    };
    write(&(stored, StoredHabits::of(&subject.keys)), 512 + 1_024 * subject.keys.len())
}

/// Reads a subject. `current_to` comes from its row.
pub fn decode_subject(bytes: &[u8], current_to: i64) -> Result<Subject, SnapshotError> {
    let (version, rest) = versioned(bytes)?;
    if version < 4 {
        return before::decode_subject(version, rest, current_to);
    }
    let (stored, habits): (StoredSubject, Habits) = match version {
        4 => (postcard::from_bytes(rest).map_err(damaged)?, Habits::default()),
        5 => {
            let (stored, habits): (_, StoredHabitsV5) = postcard::from_bytes(rest).map_err(damaged)?;
            (stored, StoredHabitsV6::from(habits).into())
        }
        6 => with_habits::<StoredHabitsV6>(rest)?,
        7 => with_habits::<StoredHabitsV7>(rest)?,
        8 => with_habits::<StoredHabitsV8>(rest)?,
        9 => with_habits::<StoredHabitsV9>(rest)?,
        10 => with_habits::<StoredHabitsV10>(rest)?,
        11 => with_habits::<StoredHabitsV11>(rest)?,
        12 => with_habits::<StoredHabitsV12>(rest)?,
        13 => with_habits::<StoredHabitsV13>(rest)?,
        14 => with_habits::<StoredHabitsV14>(rest)?,
        _ => with_habits::<StoredHabits>(rest)?,
    };
    let mut keys = stored.keys.into_iter().map(|key| load_key(key, version)).collect::<Result<Vec<Key>, _>>()?;
    habits.put_into(&mut keys)?;
    Ok(Subject {
        id: stored.id.into_owned().into(),
        merchant: MerchantFeatures { networks: load_networks(stored.networks), agents: load_values(stored.agents) },
        keys,
        current_to,
        foster: stored.foster,
    })
}

/// Writes a shard's own state.
pub fn encode_shard(state: &ShardState) -> Vec<u8> {
    let parked = |p: &Parked| (serde_json::to_string(&p.event).unwrap_or_default(), p.contradicted);
    let stored = StoredShard {
        now: state.now,
        watched_since: state.watch.since,
        resumed_at: state.watch.resumed_at,
        in_gap: state.watch.in_gap,
        gap_from: state.watch.gap_from,
        seen_to: state.watch.seen_to,
        steady_since: state.watch.steady_since,
        rules_version: state.rules_version.clone(),
        parked: state.parked.iter().map(parked).collect(),
        source_cases: state
            .source_cases
            .iter()
            .map(|(network, case)| (network.to_bits(), store_case(case), case.opens_at))
            .collect(),
        stream: (!state.stream.is_empty()).then(|| store_rates(&state.stream)),
    };
    write(&behind::with(stored, &state.watch, &state.stream), 2_048)
}

/// Reads a shard's own state.
pub fn decode_shard(bytes: &[u8]) -> Result<ShardState, SnapshotError> {
    let (stored, behind) = behind::read_shard(bytes)?;
    let mut stream = stored.stream.as_ref().map_or_else(|| Ok(Rates::default()), load_rates)?;
    let lull = behind.put_into(&mut stream);
    let parked = |(event, contradicted): (String, bool)| {
        let event: AuthEvent<'static> = serde_json::from_str(&event).map_err(damaged)?;
        Ok(Parked { event, contradicted })
    };
    Ok(ShardState {
        now: stored.now,
        watch: Watch {
            since: stored.watched_since,
            resumed_at: stored.resumed_at,
            in_gap: stored.in_gap,
            gap_from: stored.gap_from,
            seen_to: stored.seen_to,
            steady_since: stored.steady_since,
            lull,
        },
        rules_version: stored.rules_version,
        parked: stored.parked.into_iter().map(parked).collect::<Result<_, SnapshotError>>()?,
        source_cases: stored
            .source_cases
            .into_iter()
            .map(|(network, case, opens_at)| {
                Ok((Network::from_bits(network), OpenCase { opens_at, ..load_case(case)? }))
            })
            .collect::<Result<_, SnapshotError>>()?,
        stream,
    })
}

fn write(stored: &impl Serialize, n_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n_bytes);
    bytes.push(VERSION);
    postcard::serialize_with_flavor(stored, Appended(bytes)).unwrap_or_default()
}

/// Appends to bytes slice by slice; what the library has for that goes byte by byte.
struct Appended(Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SnapshotError> {
    postcard::from_bytes(versioned(bytes)?.1).map_err(damaged)
}

/// A subject and, behind it, what its keys have shown.
fn with_habits<'a, T: Deserialize<'a> + Into<Habits>>(
    bytes: &'a [u8],
) -> Result<(StoredSubject<'a>, Habits), SnapshotError> {
    let (stored, habits): (_, T) = postcard::from_bytes(bytes).map_err(damaged)?;
    Ok((stored, habits.into()))
}

fn versioned(bytes: &[u8]) -> Result<(u8, &[u8]), SnapshotError> {
    match bytes.split_first() {
        Some((version @ 1..=VERSION, rest)) => Ok((*version, rest)),
        Some((version, _)) if *version > VERSION => Err(SnapshotError::Newer(*version)),
        Some((version, _)) => Err(SnapshotError::Damaged(format!("no version {version} was ever written"))),
        None => Err(SnapshotError::Damaged("it is empty".into())),
    }
}

fn damaged(error: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Damaged(error.to_string())
}

fn store_networks(book: &NetworkBook) -> Vec<StoredSeen<'_>> {
    fn one(s: &Seen) -> StoredSeen<'_> {
        StoredSeen {
            network: s.network.to_bits(),
            first_at: s.first_at,
            last_at: s.last_at,
            calls: s.calls,
            suspect: s.suspect,
            country: s.place.country.as_ref().map(|country| country.as_str().into()),
            asn: s.place.asn.map(NonZeroU32::get),
        }
    }
    book.entries().iter().map(one).collect()
}

fn load_networks(stored: Vec<StoredSeen<'_>>) -> NetworkBook {
    let one = |s: StoredSeen<'_>| Seen {
        network: Network::from_bits(s.network),
        first_at: s.first_at,
        last_at: s.last_at,
        calls: s.calls,
        suspect: s.suspect,
        place: Whereabouts {
            country: s.country.as_deref().and_then(Country::new),
            asn: s.asn.and_then(NonZeroU32::new),
        },
    };
    NetworkBook::from_entries(stored.into_iter().map(one).collect())
}

fn store_values(book: &ValueBook) -> StoredValues {
    let one = |s: &SeenValue| (s.hash, s.first_minute, s.last_minute, s.calls, s.is_young);
    StoredValues { seen: book.entries().iter().map(one).collect(), is_overfull: book.is_overfull() }
}

fn load_values(stored: StoredValues) -> ValueBook {
    let one = |(hash, first_minute, last_minute, calls, is_young)| SeenValue {
        hash,
        first_minute,
        last_minute,
        calls,
        is_young,
    };
    ValueBook::from_entries(stored.seen.into_iter().map(one).collect(), stored.is_overfull)
}

fn store_rates(rates: &Rates) -> StoredRates<'_> {
    let parts = rates.to_parts();
    StoredRates {
        ring: parts.ring.0.to_vec(),
        shift: parts.ring.1,
        rest: parts.ring.2,
        held: parts.held,
        hours: Numbers(parts.hours.to_vec().into()),
        newest: parts.newest,
        learned_to: parts.learned_to,
        offset: parts.offset,
        days: Numbers(parts.profile.days),
        n_days: parts.profile.n_days,
        weeks: Numbers(parts.profile.weeks),
        n_weeks: parts.profile.n_weeks,
        scatter: parts.scatter,
        more: parts.more,
    }
}

fn load_rates(stored: &StoredRates<'_>) -> Result<Rates, SnapshotError> {
    let length = |_| damaged("counts of another length");
    Ok(Rates::from_parts(&RatesParts {
        ring: (stored.ring.as_slice().try_into().map_err(length)?, stored.shift.min(31), stored.rest),
        held: stored.held,
        hours: stored.hours.0.as_ref().try_into().map_err(length)?,
        newest: stored.newest,
        learned_to: stored.learned_to,
        offset: stored.offset,
        profile: ProfileParts {
            days: Cow::Borrowed(&stored.days.0),
            n_days: stored.n_days,
            weeks: Cow::Borrowed(&stored.weeks.0),
            n_weeks: stored.n_weeks,
        },
        scatter: stored.scatter,
        more: stored.more,
    }))
}

fn load_refusals(stored: StoredRefusals, version: u8) -> Refusals {
    let StoredRefusals { mut ring, newest, learned_to, mean_hour, hours } = stored;
    if version < 5 && !ring.is_empty() {
        // By bucket number modulo their number, not by age.
        let length = ring.len() as i64;
        ring = (0..length).map(|age| ring[newest.wrapping_sub(age).rem_euclid(length) as usize]).collect();
    }
    Refusals::from_parts(&RefusalsParts { ring, newest, learned_to, mean_hour, hours })
}

fn store_key(key: &Key) -> StoredKey<'_> {
    let f = &key.features;
    let waiting = key.cases.iter().enumerate().filter_map(|(place, case)| Some((place as u32, case.opens_at?)));
    let tallies = key.tallies.iter().flat_map(|tallies| &tallies.0);
    StoredKey {
        key_id: (&*f.key_id).into(),
        hint: f.hint.as_deref().map(Cow::from),
        live: f.env.map(|env| env == Env::Live),
        first_seen: f.first_seen,
        last_seen: f.last_seen,
        last_accepted: f.last_accepted,
        accepted: f.accepted,
        refused: f.refused,
        networks: store_networks(&f.networks),
        agents: store_values(&f.agents),
        endpoints: store_values(&f.endpoints),
        inherited: f.inherited.as_ref().map(|inherited| (inherited.since, inherited.calls)),
        rates: (!f.rates.is_empty()).then(|| store_rates(&f.rates)),
        refusals: f.refusals.as_ref().map(|refusals| {
            let RefusalsParts { ring, newest, learned_to, mean_hour, hours } = refusals.to_parts();
            StoredRefusals { ring, newest, learned_to, mean_hour, hours }
        }),
        days: f.days.iter().map(|d| (d.day, d.accepted, d.refused, d.first_at, d.last_at)).collect(),
        cases: key.cases.iter().map(store_case).collect(),
        waiting: waiting.collect(),
        tallies: tallies
            .map(|tally| StoredTally {
                of: tally.of,
                group: tally.group.to_string(),
                newest: tally.newest,
                last_at: tally.last_at,
                counts: tally.counts,
            })
            .collect(),
        fired: key.fired.iter().map(|(rule, at)| (Cow::from(&**rule), *at)).collect(),
    }
}

fn load_day((day, accepted, refused, first_at, last_at): (i32, u64, u64, i64, i64)) -> DayUse {
    DayUse { day, accepted, refused, first_at, last_at, is_unsaved: false }
}

fn load_key(stored: StoredKey<'_>, version: u8) -> Result<Key, SnapshotError> {
    let mut cases: Vec<OpenCase> = stored.cases.into_iter().map(load_case).collect::<Result<_, _>>()?;
    for (place, opens_at) in stored.waiting {
        let case = cases.get_mut(place as usize);
        case.ok_or_else(|| damaged("a case that waits is not there"))?.opens_at = Some(opens_at);
    }
    let mut key = Key {
        features: KeyFeatures {
            key_id: stored.key_id.into_owned().into(),
            hint: stored.hint.map(|hint| hint.into_owned().into()),
            env: stored.live.map(|live| if live { Env::Live } else { Env::Test }),
            first_seen: stored.first_seen,
            last_seen: stored.last_seen,
            last_accepted: stored.last_accepted,
            accepted: stored.accepted,
            refused: stored.refused,
            networks: load_networks(stored.networks),
            agents: load_values(stored.agents),
            endpoints: load_values(stored.endpoints),
            inherited: stored.inherited.map(|(since, calls)| Box::new(Inherited { since, calls })),
            rates: stored.rates.as_ref().map_or_else(|| Ok(Rates::default()), load_rates)?,
            refusals: stored.refusals.map(|refusals| Box::new(load_refusals(refusals, version))),
            declines: Declines::default(),
            days: stored.days.into_iter().map(load_day).collect(),
        },
        cases,
        tallies: None,
        fired: stored.fired.into_iter().map(|(rule, at)| (rule.into_owned().into(), at)).collect(),
    };
    for StoredTally { of, group, newest, last_at, counts } in stored.tallies {
        let tallies = key.tallies.get_or_insert_default();
        tallies.0.push(Tally { of, group: group.into(), newest, last_at, counts });
    }
    Ok(key)
}
