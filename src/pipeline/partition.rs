//! One partition that this instance owns.

use std::time::Instant;

use tokio::task::JoinHandle;

use crate::engine::intake::{Intake, IntakeCounts};
use crate::engine::shard::{Shard, ShardCounts};
use crate::engine::snapshot::ShardState;
use crate::pipeline::checkpoint::{Queue, Slice};
use crate::pipeline::second_stage::Marked;
use crate::pipeline::waiting::Waiting;
use crate::store::{ShardId, StoreError};
use crate::time::Millis;

/// A partition with the engine's state for it.
#[derive(Debug)]
pub struct Partition {
    /// Its name in the store.
    pub id: ShardId,
    /// How many partitions its topic has.
    pub of: i32,
    /// The ownership under which it is written.
    pub epoch: i64,
    /// The next offset to be judged.
    pub position: i64,
    /// The position that the store has.
    pub stored_position: Option<i64>,
    /// The front of the engine.
    pub intake: Intake,
    /// The engine.
    pub shard: Shard,
    /// A checkpoint under way.
    pub checkpoint: Option<Checkpoint>,
    /// When the last checkpoint was stored, or the partition taken over (wall time).
    pub checkpointed_at: Millis,
    /// When the next checkpoint begins (wall time).
    pub next_checkpoint_at: Millis,
    /// Timers of absent subjects before this time have been loaded.
    pub timers_loaded_to: Millis,
    /// Whether it watches merchants that only facts know.
    pub fostering: bool,
    /// Whether anything of it has ever been judged.
    pub begun: bool,
    /// Since when the partition has been at its end, if it is.
    pub at_end: Option<AtEnd>,
    /// Whether it has been at its end since it was taken over. A busy partition never stays there.
    pub caught_up: bool,
    /// What it has read of a day of which it is not known yet what the fleet is like.
    pub waiting: Option<Box<Waiting>>,
    /// Where stream time will be once what is parked is judged, which waits for the same.
    pub coming: Option<Millis>,
    /// What it last told the second stage of its time.
    pub marked: Marked,
    /// What was last added to the metrics.
    pub reported: (IntakeCounts, ShardCounts),
}

/// A checkpoint under way: subjects are stored in slices, the position last.
#[derive(Debug)]
pub struct Checkpoint {
    /// The position when it began: everything before it is stored once the last slice is.
    pub position: i64,
    /// The shard's own state when it began.
    pub state: ShardState,
    /// When it began, by the monotonic clock.
    pub begun: Instant,
    /// What is still to be stored.
    pub queue: Queue,
    /// The slice that is written next.
    pub prepared: Option<Slice>,
    /// A slice that is being written while events are judged. One at a time, in order.
    pub under_way: Option<JoinHandle<Result<(), StoreError>>>,
}

/// A partition at its end.
#[derive(Clone, Copy, Debug)]
pub struct AtEnd {
    /// The offset that the next message will have.
    pub next_offset: i64,
    /// When it got there, by the monotonic clock.
    pub since: Instant,
    /// Whether stream time was close to the wall clock then: only such a shard is live, and only there does elapsed
    /// time run timers.
    pub live: bool,
}

impl Partition {
    /// Stream time, as far as it is judged.
    pub fn now(&self) -> Option<Millis> {
        self.waiting.as_ref().map(|waiting| waiting.now).or_else(|| self.intake.now())
    }

    /// The offset before which everything is judged.
    pub fn judged_to(&self) -> i64 {
        self.waiting.as_ref().map_or(self.position, |waiting| waiting.offset)
    }

    /// The source has no more messages for now.
    pub fn reached_end(&mut self, next_offset: i64, wall_now: Millis, instant: Instant) {
        if next_offset < self.position || self.at_end.is_some() {
            return;
        }
        self.caught_up = true;
        let lateness = self.intake.lateness();
        let live = self.intake.now().is_some_and(|now| wall_now - now <= lateness);
        self.at_end = Some(AtEnd { next_offset, since: instant, live });
    }

    /// The shard's own state, as it is stored.
    pub fn state(&self, rules_version: &str) -> ShardState {
        ShardState {
            now: self.intake.now(),
            watch: self.shard.watch(),
            rules_version: rules_version.to_owned(),
            parked: self.intake.parked().cloned().collect(),
            source_cases: self.shard.sources().open_cases(),
            stream: self.shard.stream().clone(),
        }
    }
}
