//! The stored form of subjects and shards: types of their own, versioned, so that the engine can change freely.
//!
//! The first byte is the version; the rest is postcard. An older version is read and upgraded, a newer one refused.

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::engine::baseline::networks::{Network, NetworkBook, Seen};
use crate::engine::baseline::rates::{Rates, RatesParts};
use crate::engine::baseline::tally::{PARTS, Tally};
use crate::engine::case::{Notes, OpenCase, SourceNote};
use crate::engine::detect::Watch;
use crate::engine::intake::Parked;
use crate::engine::subject::{DayUse, Key, KeyFeatures, MerchantFeatures, Subject};
use crate::event::{AuthEvent, Env};
use crate::time::Millis;

/// The version that is written.
pub const VERSION: u8 = 3;

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
struct StoredSubject {
    id: String,
    networks: Vec<StoredSeen>,
    keys: Vec<StoredKey>,
    foster: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredSeen {
    network: u64,
    first_at: i64,
    last_at: i64,
    calls: u64,
    suspect: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    key_id: String,
    hint: Option<String>,
    live: Option<bool>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    last_accepted: Option<i64>,
    accepted: u64,
    refused: u64,
    networks: Vec<StoredSeen>,
    rates: Option<StoredRates>,
    days: Vec<(i32, u64, u64, i64, i64)>,
    cases: Vec<StoredCase>,
    fired: Vec<(String, i64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredRates {
    ring: [u32; 16],
    newest: i64,
    learned_to: i64,
    profile: [f32; 24],
    days: [u8; 24],
    scatter: [f64; 4],
}

#[derive(Serialize, Deserialize)]
struct StoredCase {
    last_at: i64,
    quiet: Option<i64>,
    part: String,
    subject: String,
    /// The alert record, as JSON: its form is a contract of its own.
    alert: String,
    accepted: u64,
    refused: u64,
    first_at: Option<i64>,
    last_noted_at: Option<i64>,
    sources: Vec<(String, String, Option<String>, u64)>,
    other_calls: u64,
    sample_event_ids: Vec<String>,
}

/// What version 3 adds behind a subject of the versions before it.
#[derive(Default, Serialize, Deserialize)]
struct StoredMore {
    /// Cases that wait to open: the key's place, the case's, and from when.
    waiting: Vec<(u32, u32, i64)>,
    tallies: Vec<StoredTally>,
}

#[derive(Serialize, Deserialize)]
struct StoredTally {
    /// The key's place.
    key: u32,
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

#[derive(Serialize, Deserialize)]
struct StoredShard {
    now: Option<i64>,
    watched_since: Option<i64>,
    resumed_at: Option<i64>,
    in_gap: bool,
    rules_version: String,
    /// Parked events as JSON, with their mark.
    parked: Vec<(String, bool)>,
}

impl From<StoredShardV1> for StoredShard {
    fn from(v1: StoredShardV1) -> Self {
        StoredShard {
            now: v1.now,
            watched_since: v1.watched_since,
            resumed_at: None,
            in_gap: false,
            rules_version: v1.rules_version,
            parked: v1.parked,
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
}

/// Writes a subject.
pub fn encode_subject(subject: &Subject) -> Vec<u8> {
    let stored = StoredSubject {
        id: subject.id.to_string(),
        networks: store_networks(&subject.merchant.networks),
        keys: subject.keys.iter().map(store_key).collect(),
        foster: subject.foster,
    };
    let mut more = StoredMore::default();
    for (k, key) in subject.keys.iter().enumerate() {
        let waiting = key.cases.iter().enumerate().filter_map(|(c, case)| Some((k as u32, c as u32, case.opens_at?)));
        more.waiting.extend(waiting);
        let tallies = key.tallies.iter().flat_map(|tallies| &tallies.0);
        more.tallies.extend(tallies.map(|tally| StoredTally {
            key: k as u32,
            of: tally.of,
            group: tally.group.to_string(),
            newest: tally.newest,
            last_at: tally.last_at,
            counts: tally.counts,
        }));
    }
    postcard::to_extend(&more, write(&stored)).unwrap_or_default()
}

/// Reads a subject. `current_to` comes from its row.
pub fn decode_subject(bytes: &[u8], current_to: i64) -> Result<Subject, SnapshotError> {
    let (version, rest) = versioned(bytes)?;
    let (stored, rest): (StoredSubject, &[u8]) = postcard::take_from_bytes(rest).map_err(damaged)?;
    let more: StoredMore =
        if version < 3 { StoredMore::default() } else { postcard::from_bytes(rest).map_err(damaged)? };
    let mut keys = stored.keys.into_iter().map(load_key).collect::<Result<Vec<Key>, _>>()?;
    for (k, c, opens_at) in more.waiting {
        let case = keys.get_mut(k as usize).and_then(|key| key.cases.get_mut(c as usize));
        case.ok_or_else(|| damaged("a case that waits is not there"))?.opens_at = Some(opens_at);
    }
    for tally in more.tallies {
        let key = keys.get_mut(tally.key as usize).ok_or_else(|| damaged("the key of a tally is not there"))?;
        key.tallies.get_or_insert_default().0.push(Tally {
            of: tally.of,
            group: tally.group.into(),
            newest: tally.newest,
            last_at: tally.last_at,
            counts: tally.counts,
        });
    }
    Ok(Subject {
        id: stored.id.into(),
        merchant: MerchantFeatures { networks: load_networks(stored.networks) },
        keys,
        current_to,
        foster: stored.foster,
    })
}

/// Writes a shard's own state.
pub fn encode_shard(state: &ShardState) -> Vec<u8> {
    let parked = |p: &Parked| (serde_json::to_string(&p.event).unwrap_or_default(), p.contradicted);
    write(&StoredShard {
        now: state.now,
        watched_since: state.watch.since,
        resumed_at: state.watch.resumed_at,
        in_gap: state.watch.in_gap,
        rules_version: state.rules_version.clone(),
        parked: state.parked.iter().map(parked).collect(),
    })
}

/// Reads a shard's own state.
pub fn decode_shard(bytes: &[u8]) -> Result<ShardState, SnapshotError> {
    let stored: StoredShard = match bytes.first() {
        Some(1) => read::<StoredShardV1>(bytes)?.into(),
        _ => read(bytes)?,
    };
    let parked = |(event, contradicted): (String, bool)| {
        let event: AuthEvent<'static> = serde_json::from_str(&event).map_err(damaged)?;
        Ok(Parked { event, contradicted })
    };
    Ok(ShardState {
        now: stored.now,
        watch: Watch { since: stored.watched_since, resumed_at: stored.resumed_at, in_gap: stored.in_gap },
        rules_version: stored.rules_version,
        parked: stored.parked.into_iter().map(parked).collect::<Result<_, SnapshotError>>()?,
    })
}

fn write(stored: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(stored, vec![VERSION]).unwrap_or_default()
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SnapshotError> {
    postcard::from_bytes(versioned(bytes)?.1).map_err(damaged)
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

fn store_networks(book: &NetworkBook) -> Vec<StoredSeen> {
    let one = |s: &Seen| StoredSeen {
        network: s.network.to_bits(),
        first_at: s.first_at,
        last_at: s.last_at,
        calls: s.calls,
        suspect: s.suspect,
    };
    book.entries().iter().map(one).collect()
}

fn load_networks(stored: Vec<StoredSeen>) -> NetworkBook {
    let one = |s: StoredSeen| Seen {
        network: Network::from_bits(s.network),
        first_at: s.first_at,
        last_at: s.last_at,
        calls: s.calls,
        suspect: s.suspect,
    };
    NetworkBook::from_entries(stored.into_iter().map(one).collect())
}

fn store_key(key: &Key) -> StoredKey {
    let f = &key.features;
    let rates = f.rates.to_parts();
    StoredKey {
        key_id: f.key_id.to_string(),
        hint: f.hint.as_deref().map(str::to_owned),
        live: f.env.map(|env| env == Env::Live),
        first_seen: f.first_seen,
        last_seen: f.last_seen,
        last_accepted: f.last_accepted,
        accepted: f.accepted,
        refused: f.refused,
        networks: store_networks(&f.networks),
        rates: (rates.newest >= 0).then_some(StoredRates {
            ring: rates.ring,
            newest: rates.newest,
            learned_to: rates.learned_to,
            profile: rates.profile,
            days: rates.days,
            scatter: rates.scatter,
        }),
        days: f.days.iter().map(|d| (d.day, d.accepted, d.refused, d.first_at, d.last_at)).collect(),
        cases: key.cases.iter().map(store_case).collect(),
        fired: key.fired.iter().map(|(rule, at)| (rule.to_string(), *at)).collect(),
    }
}

fn load_key(stored: StoredKey) -> Result<Key, SnapshotError> {
    let rates = stored.rates.map_or_else(Rates::default, |r| {
        Rates::from_parts(RatesParts {
            ring: r.ring,
            newest: r.newest,
            learned_to: r.learned_to,
            profile: r.profile,
            days: r.days,
            scatter: r.scatter,
        })
    });
    let day = |(day, accepted, refused, first_at, last_at)| DayUse {
        day,
        accepted,
        refused,
        first_at,
        last_at,
        is_unsaved: false,
    };
    Ok(Key {
        features: KeyFeatures {
            key_id: stored.key_id.into(),
            hint: stored.hint.map(Into::into),
            env: stored.live.map(|live| if live { Env::Live } else { Env::Test }),
            first_seen: stored.first_seen,
            last_seen: stored.last_seen,
            last_accepted: stored.last_accepted,
            accepted: stored.accepted,
            refused: stored.refused,
            networks: load_networks(stored.networks),
            rates,
            days: stored.days.into_iter().map(day).collect(),
        },
        cases: stored.cases.into_iter().map(load_case).collect::<Result<_, _>>()?,
        tallies: None,
        fired: stored.fired.into_iter().map(|(rule, at)| (rule.into(), at)).collect(),
    })
}

fn store_case(case: &OpenCase) -> StoredCase {
    StoredCase {
        last_at: case.last_at,
        quiet: case.quiet,
        part: case.part.to_string(),
        subject: case.alert.subject.clone(),
        alert: serde_json::to_string(&case.alert).unwrap_or_default(),
        accepted: case.notes.accepted,
        refused: case.notes.refused,
        first_at: case.notes.first_at,
        last_noted_at: case.notes.last_at,
        sources: case
            .notes
            .sources
            .iter()
            .map(|s| (s.address.clone(), s.network.clone(), s.user_agent.clone(), s.calls))
            .collect(),
        other_calls: case.notes.other_calls,
        sample_event_ids: case.notes.sample_event_ids.clone(),
    }
}

fn load_case(stored: StoredCase) -> Result<OpenCase, SnapshotError> {
    let mut alert: Alert = serde_json::from_str(&stored.alert).map_err(damaged)?;
    alert.subject = stored.subject;
    let source = |(address, network, user_agent, calls)| SourceNote { address, network, user_agent, calls };
    Ok(OpenCase {
        last_at: stored.last_at,
        quiet: stored.quiet,
        opens_at: None,
        part: stored.part.into(),
        alert,
        notes: Notes {
            accepted: stored.accepted,
            refused: stored.refused,
            first_at: stored.first_at,
            last_at: stored.last_noted_at,
            sources: stored.sources.into_iter().map(source).collect(),
            other_calls: stored.other_calls,
            sample_event_ids: stored.sample_event_ids,
        },
    })
}
