//! Lists of 16-bit numbers in the stored form: as bytes, the lower first, so that they are copied rather than written one by one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Numbers that are written as bytes.
pub(super) struct Numbers<'a>(pub(super) Cow<'a, [u16]>);

/// What the longest list of a key has: the hours of a week.
const ROOM: usize = 2 * 168;

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let n_bytes = 2 * self.0.len();
        let mut room = [0; ROOM];
        match room.get_mut(..n_bytes) {
            Some(bytes) => {
                bytes.chunks_exact_mut(2).zip(&*self.0).for_each(|(pair, n)| pair.copy_from_slice(&n.to_le_bytes()));
                serializer.serialize_bytes(bytes)
            }
            None => serializer.serialize_bytes(&self.0.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()),
        }
    }
}

impl<'de> Deserialize<'de> for Numbers<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes).map(|numbers| Numbers(Cow::Owned(numbers)))
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u16>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes of 16-bit numbers")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u16>, E> {
        Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u16>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}
