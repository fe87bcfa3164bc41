//! The one hash of texts in the engine: fixed, so that nothing about a shard depends on a random seed.
//!
//! It decides only where something lies in memory, and which event IDs count as the same. It is never stored: another
//! version of the crate may hash differently. Its inputs come from the gateway; what strangers can choose freely (their
//! networks) is kept in tables with a random seed.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// The hash of a text.
#[inline]
pub(crate) fn of_text(text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}
