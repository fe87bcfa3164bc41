//! The hashes of texts in the engine: fixed, so that nothing about a shard depends on a random seed.
//!
//! It decides only where something lies in memory, and which event IDs count as the same. The first is never stored: another
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

/// A hash that is stored: FNV-1a of 64 bits (draft-eastlake-fnv, section 2), folded to 32 as section 3 says.
#[inline]
pub(crate) fn stored_of_text(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash ^ hash >> 32) as u32
}

/// The same with its bits spread: FNV alone mixes the last letters badly, and the finalizer of MurmurHash3 makes up for it.
pub(crate) fn spread_of_text(text: &str) -> u32 {
    let mut hash = stored_of_text(text);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the draft, folded.
    #[test]
    fn what_is_stored_does_not_depend_on_a_crate() {
        for (text, wide) in
            [("", 0xcbf2_9ce4_8422_2325_u64), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(stored_of_text(text), (wide ^ wide >> 32) as u32, "{text}");
        }
    }
}
