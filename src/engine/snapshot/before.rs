//! Subjects as versions 1 to 3 stored them, read and brought to the present form.

use serde::Deserialize;

use super::{SnapshotError, damaged};
use crate::engine::baseline::networks::{Network, NetworkBook, Seen, Whereabouts};
use crate::engine::baseline::profile::{ProfileParts, pack};
use crate::engine::baseline::rates::{Rates, RatesParts};
use crate::engine::baseline::tally::{PARTS, Tally};
use crate::engine::subject::{Key, KeyFeatures, MerchantFeatures, Subject};
use crate::event::Env;
use crate::time::HOUR;

#[derive(Deserialize)]
struct StoredSubject {
    id: String,
    networks: Vec<StoredSeen>,
    keys: Vec<StoredKey>,
    foster: bool,
}

#[derive(Deserialize)]
struct StoredSeen {
    network: u64,
    first_at: i64,
    last_at: i64,
    calls: u64,
    suspect: bool,
}

#[derive(Deserialize)]
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
    cases: Vec<super::StoredCase<'static>>,
    fired: Vec<(String, i64)>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read past: ten-minute counts have no place in the present form")]
struct StoredRates {
    ring: [u32; 16],
    newest: i64,
    learned_to: i64,
    profile: [f32; 24],
    days: [u8; 24],
    scatter: [f64; 4],
}

/// What version 3 added behind a subject of the versions before it.
#[derive(Default, Deserialize)]
struct StoredMore {
    /// Cases that wait to open: the key's place, the case's, and from when.
    waiting: Vec<(u32, u32, i64)>,
    tallies: Vec<StoredTally>,
}

#[derive(Deserialize)]
struct StoredTally {
    key: u32,
    of: u64,
    group: String,
    newest: i64,
    last_at: i64,
    counts: [u32; PARTS],
}

/// Reads a subject of version 1, 2 or 3.
pub(super) fn decode_subject(version: u8, bytes: &[u8], current_to: i64) -> Result<Subject, SnapshotError> {
    let (stored, rest): (StoredSubject, &[u8]) = postcard::take_from_bytes(bytes).map_err(damaged)?;
    let more: StoredMore =
        if version < 3 { StoredMore::default() } else { postcard::from_bytes(rest).map_err(damaged)? };
    let mut keys = stored.keys.into_iter().map(load_key).collect::<Result<Vec<Key>, _>>()?;
    for (k, c, opens_at) in more.waiting {
        let case = keys.get_mut(k as usize).and_then(|key| key.cases.get_mut(c as usize));
        case.ok_or_else(|| damaged("a case that waits is not there"))?.opens_at = Some(opens_at);
    }
    for tally in more.tallies {
        let key = keys.get_mut(tally.key as usize).ok_or_else(|| damaged("the key of a tally is not there"))?;
        let StoredTally { of, group, newest, last_at, counts, .. } = tally;
        key.tallies.get_or_insert_default().0.push(Tally { of, group: group.into(), newest, last_at, counts });
    }
    Ok(Subject {
        id: stored.id.into(),
        merchant: MerchantFeatures { networks: load_networks(stored.networks), ..MerchantFeatures::default() },
        keys,
        current_to,
        foster: stored.foster,
    })
}

fn load_networks(stored: Vec<StoredSeen>) -> NetworkBook {
    let one = |s: StoredSeen| Seen {
        network: Network::from_bits(s.network),
        first_at: s.first_at,
        last_at: s.last_at,
        calls: s.calls,
        suspect: s.suspect,
        place: Whereabouts::default(),
    };
    NetworkBook::from_entries(stored.into_iter().map(one).collect())
}

fn load_key(stored: StoredKey) -> Result<Key, SnapshotError> {
    Ok(Key {
        features: KeyFeatures {
            hint: stored.hint.map(Into::into),
            env: stored.live.map(|live| if live { Env::Live } else { Env::Test }),
            first_seen: stored.first_seen,
            last_seen: stored.last_seen,
            last_accepted: stored.last_accepted,
            accepted: stored.accepted,
            refused: stored.refused,
            networks: load_networks(stored.networks),
            rates: stored.rates.as_ref().map_or_else(Rates::default, load_rates),
            days: stored.days.into_iter().map(super::load_day).collect(),
            ..KeyFeatures::new(&stored.key_id)
        },
        cases: stored.cases.into_iter().map(super::load_case).collect::<Result<_, _>>()?,
        tallies: None,
        fired: stored.fired.into_iter().map(|(rule, at)| (rule.into(), at)).collect(),
    })
}

/// One profile for every day of the week, in UTC, becomes that of working days and of weekends.
fn load_rates(stored: &StoredRates) -> Rates {
    let none = Rates::default();
    let mut parts = none.to_parts();
    let days: Vec<u16> = stored.profile.iter().map(|calls| pack(*calls)).collect();
    let learned = u16::from(stored.days.iter().copied().min().unwrap_or(0)) * 24;
    let [excess, square, ..] = stored.scatter;
    parts.scatter[2] = excess as f32;
    parts.scatter[3] = square as f32;
    let peak = stored.profile.iter().fold(0.0_f32, |a, b| a.max(*b));
    Rates::from_parts(&RatesParts {
        // Counts go on with the next hour.
        newest: stored.newest * 5,
        learned_to: stored.learned_to.max((stored.newest * 10 * 60_000).div_euclid(HOUR)),
        profile: ProfileParts {
            days: [days.clone(), days].concat().into(),
            n_days: [learned * 5 / 7, learned - learned * 5 / 7],
            weeks: Vec::new().into(),
            n_weeks: 0,
        },
        more: [0.0, 0.0, peak, 0.0, 0.0, 0.0, 0.0, 0.0],
        ..parts
    })
}
