//! The pure core: events, facts and rules in; findings, states and timers out. It has no clock and cannot fail.
//!
//! Read `shard` first, then `judge`, one detector, and `case`.

pub mod baseline;
pub mod case;
pub mod clock;
pub mod dedup;
pub mod detect;
pub mod fleet;
mod hash;
pub mod intake;
mod judge;
pub mod novelty;
pub mod params;
pub mod second_stage;
pub mod shard;
pub mod snapshot;
pub mod source;
pub mod subject;
mod warm;
