//! How many merchants were active, and of how many a call was refused, over all shards: a sketch for every ten
//! minutes (HyperLogLog), the same however the merchants are spread over partitions, since sketches are merged by taking
//! the greater of two registers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::hash::{spread_of_text, stored_of_text};
use crate::time::{MINUTE, Millis};

/// A sketch is of so long a time.
pub const BUCKET: Millis = 10 * MINUTE;
/// Sketches kept: those of an hour, and of what may lie ahead of what is merged.
const KEPT: usize = 12;
/// Registers of a sketch: an error of about three in a hundred, far less for few merchants.
const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 10;

/// Merchants that were active, in the last tens of minutes that had any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity(BTreeMap<i64, Sketch>);

/// One sketch of it, as shards tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tens {
    bucket: i64,
    sketch: Sketch,
}

/// Stored as a letter for each register. After those of the merchants that were active come, where there are any, those of the
/// merchants that had a call refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
struct Sketch(Vec<u8>);

/// How many merchants there were in ten minutes, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Merchants {
    /// Who called at all.
    pub active: u32,
    /// Of whom a call was refused.
    pub refused: u32,
}

impl From<(u32, u32)> for Merchants {
    fn from((active, refused): (u32, u32)) -> Self {
        Merchants { active, refused }
    }
}

impl From<Merchants> for (u32, u32) {
    fn from(merchants: Merchants) -> Self {
        (merchants.active, merchants.refused)
    }
}

const LETTER: u8 = b'A';

impl From<String> for Sketch {
    fn from(text: String) -> Self {
        Sketch(text.bytes().map(|letter| letter.saturating_sub(LETTER).min(u32::BITS as u8)).collect())
    }
}

impl From<Sketch> for String {
    fn from(sketch: Sketch) -> Self {
        sketch.0.into_iter().map(|rank| char::from(LETTER + rank)).collect()
    }
}

impl Tens {
    /// The last moment that it is of.
    pub fn at(&self) -> Millis {
        (self.bucket + 1) * BUCKET - 1
    }

    /// What tells it from what other shards say of the same time.
    pub fn name(&self) -> String {
        format!("active/{:08x}", stored_of_text(&String::from(self.sketch.clone())))
    }
}

/// The ten minutes that a time lies in.
pub fn bucket_of(at: Millis) -> i64 {
    at.div_euclid(BUCKET)
}

/// The end of the ten minutes that a time lies in.
pub fn end_of(at: Millis) -> Millis {
    (bucket_of(at) + 1) * BUCKET
}

impl Activity {
    /// Notes that a subject was active. Noting it again changes nothing.
    pub fn note(&mut self, subject_id: &str, bucket: i64) {
        let (register, rank) = place_of(subject_id);
        if let Some(sketch) = self.sketch_mut(bucket) {
            sketch.raise(register, rank);
        }
    }

    /// Notes that a call of a subject was refused.
    pub fn note_refused(&mut self, subject_id: &str, bucket: i64) {
        let (register, rank) = place_of(subject_id);
        if let Some(sketch) = self.sketch_mut(bucket) {
            sketch.raise(REGISTERS + register, rank);
        }
    }

    /// Adds what another shard has seen until `to`. What lies beyond may wait: it would push out what is needed now.
    pub fn merge(&mut self, other: &Activity, to: Millis) {
        for (bucket, theirs) in other.0.range(..=bucket_of(to)) {
            self.merge_sketch(*bucket, theirs);
        }
    }

    /// Adds one sketch of another shard.
    pub fn merge_one(&mut self, tens: &Tens) {
        self.merge_sketch(tens.bucket, &tens.sketch);
    }

    fn merge_sketch(&mut self, bucket: i64, theirs: &Sketch) {
        let Some(sketch) = self.sketch_mut(bucket) else { return };
        for (register, rank) in theirs.0.iter().enumerate() {
            sketch.raise(register, *rank);
        }
    }

    /// Takes out what is complete: nothing before `before` is added any more.
    pub fn close(&mut self, before: Millis) -> Vec<Tens> {
        let open = self.0.split_off(&bucket_of(before));
        let closed = std::mem::replace(&mut self.0, open);
        closed.into_iter().map(|(bucket, sketch)| Tens { bucket, sketch }).collect()
    }

    /// About how many were active in `from..to`, as far as whole sketches tell.
    pub fn count(&self, from: Millis, to: Millis) -> u64 {
        let mut all = Sketch::new();
        for sketch in self.0.range(bucket_of(from)..bucket_of(to)).map(|(_, sketch)| sketch) {
            for (register, rank) in sketch.0.iter().enumerate() {
                all.raise(register, *rank);
            }
        }
        count(all.active())
    }

    /// What each of the ten minutes before a time was like that has a sketch, from some one on.
    pub fn tens(&self, from: i64, before: Millis) -> impl Iterator<Item = (i64, Merchants)> {
        let before = bucket_of(before).max(from);
        self.0.range(from..before).map(|(bucket, sketch)| {
            let (active, refused) = (count(sketch.active()) as u32, count(sketch.refused()) as u32);
            (*bucket, Merchants { active, refused })
        })
    }

    /// The end of the oldest sketch.
    pub fn first_end(&self) -> Option<Millis> {
        self.0.first_key_value().map(|(bucket, _)| (bucket + 1) * BUCKET)
    }

    /// The sketch of a bucket; `None` where it is too old to be kept.
    fn sketch_mut(&mut self, bucket: i64) -> Option<&mut Sketch> {
        if !self.0.contains_key(&bucket) {
            if self.0.len() >= KEPT {
                let oldest = *self.0.first_key_value()?.0;
                if bucket < oldest {
                    return None;
                }
                self.0.remove(&oldest);
            }
            self.0.insert(bucket, Sketch::new());
        }
        self.0.get_mut(&bucket)
    }
}

impl Sketch {
    fn new() -> Self {
        Sketch(vec![0; REGISTERS])
    }

    fn raise(&mut self, register: usize, rank: u8) {
        // What was stored may have any length.
        if self.0.len() <= register && register < 2 * REGISTERS {
            self.0.resize(2 * REGISTERS, 0);
        }
        if let Some(known) = self.0.get_mut(register) {
            *known = rank.max(*known);
        }
    }

    fn active(&self) -> &[u8] {
        &self.0[..self.0.len().min(REGISTERS)]
    }

    fn refused(&self) -> &[u8] {
        self.0.get(REGISTERS..).unwrap_or_default()
    }
}

/// About how many subjects have been noted in registers.
fn count(registers: &[u8]) -> u64 {
    let n = registers.len() as f64;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    if empty == registers.len() {
        return 0;
    }
    let sum: f64 = registers.iter().map(|rank| f64::from(*rank)).map(|rank| (-rank).exp2()).sum();
    let estimate = 0.7213 / (1.0 + 1.079 / n) * n * n / sum;
    // With many registers empty, their number tells it better.
    let count = if estimate <= 2.5 * n && empty > 0 { n * (n / empty as f64).ln() } else { estimate };
    count.round() as u64
}

/// The register of a subject, and what it shows there.
fn place_of(subject_id: &str) -> (usize, u8) {
    let hash = spread_of_text(subject_id);
    let rest = hash >> INDEX_BITS;
    let rank = (rest.leading_zeros() - INDEX_BITS + 1) as u8;
    (hash as usize % REGISTERS, rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(merchants: impl Iterator<Item = u32>) -> Activity {
        let mut activity = Activity::default();
        merchants.for_each(|m| activity.note(&format!("m_{m:05}"), 5));
        activity
    }

    #[test]
    fn it_counts_about_right() {
        for (n, off) in [(0, 0), (1, 0), (8, 0), (100, 3), (1_000, 80), (20_000, 1_500), (100_000, 8_000)] {
            let count = of(0..n).count(5 * BUCKET, 6 * BUCKET);
            assert!(count.abs_diff(u64::from(n)) <= off, "{n}: {count}");
        }
        assert_eq!(of(0..50).count(6 * BUCKET, 9 * BUCKET), 0, "others' time");
    }

    #[test]
    fn parts_merge_to_the_whole_in_any_order() {
        let whole = of(0..3_000);
        let parts = [of(0..700), of(500..2_000), of(1_800..3_000)];
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut merged = Activity::default();
            order.iter().for_each(|at| merged.merge(&parts[*at], 5 * BUCKET));
            parts[0].clone().close(6 * BUCKET).iter().for_each(|tens| merged.merge_one(tens));
            assert_eq!(merged, whole);
        }
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Activity>(&text).unwrap(), whole);
        let mut merged = Activity::default();
        merged.merge(&whole, 5 * BUCKET - 1);
        assert_eq!(merged, Activity::default(), "beyond what is asked");
    }

    #[test]
    fn those_that_are_refused_are_counted_apart() {
        let mut activity = of(0..200);
        (0..40).for_each(|m| activity.note_refused(&format!("m_{m:05}"), 5));
        let text = serde_json::to_string(&activity).unwrap();
        let read: Activity = serde_json::from_str(&text).unwrap();
        let mut merged = of(150..250);
        merged.merge(&read, 6 * BUCKET - 1);
        assert_eq!(merged.count(5 * BUCKET, 6 * BUCKET).abs_diff(250) / 10, 0);
        let tens: Vec<_> = merged.tens(0, 6 * BUCKET).collect();
        let (bucket, Merchants { active, refused }) = tens[0];
        assert!(bucket == 5 && active.abs_diff(250) < 10 && refused.abs_diff(40) < 3, "{tens:?}");
        assert_eq!(merged.tens(0, 6 * BUCKET - 1).count(), 0, "it is not over");
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut activity = Activity::default();
        (0..40).for_each(|bucket| activity.note("m", bucket));
        activity.note("m", 3);
        assert_eq!(activity.0.len(), KEPT);
        assert_eq!((activity.count(0, 28 * BUCKET), activity.count(28 * BUCKET, 40 * BUCKET)), (0, 1));
    }
}
