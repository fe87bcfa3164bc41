//! Reads ahead: touches what the next steps will need, stage by stage for many events at once.
//!
//! A step follows pointers from the index to the subject, to the key, to its books. One event after the other, the
//! processor waits for memory at each; of many events it fetches one stage side by side. Nothing is decided
//! here: a step that finds nothing warm does the same, later. `docs/benchmarks.md` has what it is worth.

use std::hint::black_box;

use crate::engine::intake::Admitted;
use crate::engine::shard::{Place, Shard, World};
use crate::engine::subject::{Key, Subject};

/// Events that are read ahead together. More would push one another out of the nearest cache.
pub(super) const AHEAD: usize = 64;

/// Keys of a merchant whose IDs are read ahead: the search among more of them waits for memory anyway.
const KEYS: usize = 4;

/// Touches what judging these events will read, their subjects being at `places`. Only the first [`AHEAD`] are looked at.
pub(super) fn warm(shard: &Shard, admitted: &[Admitted<'_>], places: &[Place], world: World<'_>) {
    let mut sum = 0u64;
    let mut subjects = [None; AHEAD];
    for (subject, place) in subjects.iter_mut().zip(places) {
        *subject = place.0.and_then(|at| shard.subject_at(at));
        sum ^= subject.map_or(0, |s: &Subject| s.keys.len() as u64);
    }
    for subject in subjects.iter().flatten() {
        sum ^= of_subject(subject);
    }
    for subject in subjects.iter().flatten() {
        sum ^= subject.keys.iter().take(KEYS).fold(0, |sum, key| sum ^ first_byte(&key.features.key_id));
    }
    let mut keys = [None; AHEAD];
    for ((key, found), a) in keys.iter_mut().zip(subjects).zip(admitted) {
        if let (Some(subject), Some((_, key_id))) = (found, Shard::subject_id(&a.event, world.facts)) {
            *key = subject.position(key_id).ok().map(|at| &subject.keys[at]);
            sum ^= key.map_or(0, of_key);
        }
    }
    for key in keys.into_iter().flatten() {
        sum ^= of_books(key);
    }
    black_box(sum);
}

/// The lines that a subject points to.
fn of_subject(subject: &Subject) -> u64 {
    let networks = subject.merchant.networks.entries();
    let keys = subject.keys.iter().take(KEYS).fold(0, |sum, key| sum ^ key.features.key_id.len() as u64);
    first_byte(&subject.id)
        ^ keys
        ^ networks.first().map_or(0, |seen| seen.calls)
        ^ networks.get(2).map_or(0, |seen| seen.calls)
}

/// The lines of the key itself.
fn of_key(key: &Key) -> u64 {
    let f = &key.features;
    f.accepted ^ f.last_seen.unwrap_or(0) as u64 ^ f.rates.touch() ^ key.cases.len() as u64 ^ key.fired.len() as u64
}

fn first_byte(text: &str) -> u64 {
    text.as_bytes().first().map_or(0, |byte| u64::from(*byte))
}

/// The lines that a key points to.
fn of_books(key: &Key) -> u64 {
    let f = &key.features;
    let networks = f.networks.entries();
    f.days.last().map_or(0, |day| day.accepted)
        ^ f.days.first().map_or(0, |day| day.accepted)
        ^ f.hint.as_deref().map_or(0, first_byte)
        ^ networks.first().map_or(0, |seen| seen.calls)
        ^ networks.get(2).map_or(0, |seen| seen.calls)
}
