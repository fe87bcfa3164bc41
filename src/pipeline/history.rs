//! A start from what `replay --save-state` has learned: the stream is judged from where the history ends.

use crate::engine::detect::Watch;
use crate::engine::shard::UNSTEADY;
use crate::engine::snapshot::{self, ShardState};
use crate::store::{Store, StoreError};
use crate::time::{DAY, Millis};

/// The stream may begin this long after the history's end before what lies between counts as unseen.
const GAP: Millis = DAY;

/// A history that was learned from files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The time of its last event. What the stream has up to here was in the files.
    pub learned_to: Millis,
    /// How long it watched.
    pub watch: Watch,
}

impl History {
    /// What the store holds of a replay; `None` where nothing was learned from files.
    pub async fn load(store: &Store) -> Result<Option<History>, StoreError> {
        let mut states = Vec::new();
        for blob in store.history_shards().await? {
            let state = snapshot::decode_shard(&blob)
                .map_err(|error| StoreError::Inconsistent { place: "shards", detail: error.to_string() })?;
            states.push(state);
        }
        Ok(History::of(&states))
    }

    fn of(states: &[ShardState]) -> Option<History> {
        let learned_to = states.iter().filter_map(|state| state.now).max()?;
        let since = states.iter().filter_map(|state| state.watch.since).min();
        // A part that saw a few early events and none since has not watched.
        let watching = |watch: &&Watch| watch.seen_to.is_some_and(|last| learned_to - last < UNSTEADY);
        let steady_since =
            states.iter().map(|state| &state.watch).filter(watching).filter_map(|watch| watch.steady_since).min();
        Some(History {
            learned_to,
            watch: Watch { since, steady_since, seen_to: Some(learned_to), ..Watch::default() },
        })
    }

    /// Whether an event at `ts` was in the files already.
    pub fn knows(&self, ts: Millis) -> bool {
        ts <= self.learned_to
    }

    /// Whether nothing is known of a time before a first event at `now`.
    pub fn leaves_a_gap_before(&self, now: Millis) -> bool {
        now - self.learned_to > GAP
    }

    /// The state of a partition that was never read.
    pub fn state(&self) -> ShardState {
        ShardState { now: Some(self.learned_to), watch: self.watch, ..ShardState::default() }
    }
}
