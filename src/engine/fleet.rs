//! What all keys together teach about one: how much counts scatter, how heavy their tail is, how large bursts are that mean
//! nothing. It stands for a key until that has shown its own.
//!
//! A key teaches once a day, with its first call of the day, in classes. Of the keys that do, those with the smallest hashes are
//! the day's sample (bottom-k sketch: Cohen and Kaplan, *Summarizing Data using Bottom-k Sketches*, PODC 2007): the same however
//! keys lie in partitions, in whatever order and however often they are told of. Its counts are added up in integers, from
//! which old days fade, and what comes of day D is in force on day D+2, for all shards alike: no shard judges a day before that is
//! known. Before, what is shipped is in force.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::hash::spread_of_text;
use crate::time::{DAY, Millis};

/// Keys in the sample of a day.
const SAMPLE: usize = 256;
/// Days whose samples a shard fills at once: the lateness may reach into the day before.
const OPEN_DAYS: usize = 2;
/// Days that are kept. A shard that is further behind starts with the oldest of them.
pub const DAYS_KEPT: usize = 100;
/// What a day adds for each key, and the part of the sums that fades with each day: a day counts for about two weeks.
const OF_A_KEY: u32 = 16;
const FADES: u32 = 16;
/// What is shipped counts as much as so many keys that teach every day.
const SHIPPED_KEYS: u32 = 24;
/// Classes of a trait, from 1; 0 = not known.
const CLASSES: usize = 64;
/// Classes to an octave.
const STEPS: f64 = 6.0;

/// What is measured of a key, and of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// Dispersion of the calls of ten minutes.
    Ten,
    /// Dispersion of the calls of an hour.
    Hour,
    /// Dispersion of the calls of a day.
    Day,
    /// Mean of what surprise exceeds its threshold by.
    Tail,
    /// The largest ten minutes of weeks, in times the usual calls of the busiest ones.
    Burst,
}

/// How a trait is measured and what it may be.
struct Measure {
    /// The value of class 1.
    least: f64,
    /// What is believed without any lesson.
    shipped: f64,
    /// The part of keys that have less than the fleet's value, in hundredths.
    quantile: u32,
}

impl Trait {
    const ALL: [Trait; 5] = [Trait::Ten, Trait::Hour, Trait::Day, Trait::Tail, Trait::Burst];

    const fn measure(self) -> Measure {
        match self {
            Trait::Ten => Measure { least: 0.01, shipped: 0.5, quantile: 75 },
            Trait::Hour => Measure { least: 0.01, shipped: 0.3, quantile: 75 },
            Trait::Day => Measure { least: 0.01, shipped: 0.1, quantile: 75 },
            Trait::Tail => Measure { least: 0.5, shipped: 1.0, quantile: 50 },
            Trait::Burst => Measure { least: 0.5, shipped: 3.0, quantile: 95 },
        }
    }

    /// The class of a value.
    fn class(self, value: f64) -> u8 {
        let least = self.measure().least;
        let class = 1.0 + STEPS * (value.max(least) / least).log2();
        class.round().clamp(1.0, (CLASSES - 1) as f64) as u8
    }
}

/// A class of each trait, in the order of [`Trait`]; 0 = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Traits([u8; Trait::ALL.len()]);

impl Traits {
    /// With one more value.
    pub fn with(mut self, of: Trait, value: Option<f64>) -> Self {
        self.0[of as usize] = value.map_or(0, |value| of.class(value));
        self
    }

    /// Whether nothing is known.
    pub fn is_empty(self) -> bool {
        self.0.iter().all(|class| *class == 0)
    }

    /// The value of a trait; what is shipped where it is not known.
    pub fn value(self, of: Trait) -> f64 {
        match self.0[of as usize] {
            0 => of.measure().shipped,
            class => of.measure().least * OCTAVES[usize::from(class).min(CLASSES - 1)],
        }
    }
}

/// By how much a class is larger than the first.
const OCTAVES: [f64; CLASSES] = {
    // The sixth root of two.
    const STEP: f64 = 1.122_462_048_309_373;
    let mut of = [1.0; CLASSES];
    let mut class = 2;
    while class < CLASSES {
        of[class] = of[class - 1] * STEP;
        class += 1;
    }
    of
};

/// What one key teaches on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Days since 1970.
    pub day: i64,
    /// The key's hash.
    pub key: u32,
    /// What it is like.
    pub traits: Traits,
}

impl Lesson {
    /// Of a key with its first call of a day.
    pub fn of(key_id: &str, at: Millis, traits: Traits) -> Self {
        Lesson { day: at.div_euclid(DAY), key: spread_of_text(key_id), traits }
    }

    /// The last moment of its day.
    pub fn at(&self) -> Millis {
        (self.day + 1) * DAY - 1
    }
}

/// The keys of a shard that may be among the day's sample. Forgetting it costs a few lessons that are told in vain.
#[derive(Clone, Debug, Default)]
pub struct Sampler(BTreeMap<i64, BTreeSet<u32>>);

impl Sampler {
    /// Whether a lesson may be in the sample of its day.
    pub fn takes(&mut self, lesson: &Lesson) -> bool {
        if !self.0.contains_key(&lesson.day) {
            if self.0.first_key_value().is_some_and(|(day, _)| self.0.len() >= OPEN_DAYS && lesson.day < *day) {
                return false;
            }
            self.0.insert(lesson.day, BTreeSet::new());
            while self.0.len() > OPEN_DAYS {
                self.0.pop_first();
            }
        }
        let Some(keys) = self.0.get_mut(&lesson.day) else { return false };
        keys.insert(lesson.key);
        if keys.len() > SAMPLE { keys.pop_last() != Some(lesson.key) } else { true }
    }
}

/// The sample of a day, over all shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample(BTreeMap<u32, Traits>);

impl Sample {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn put(&mut self, lesson: Lesson) {
        let traits = self.0.entry(lesson.key).or_insert(lesson.traits);
        // Two keys with one hash: the same of them in any order.
        *traits = lesson.traits.max(*traits);
        if self.0.len() > SAMPLE {
            self.0.pop_last();
        }
    }

    pub(super) fn lessons(&self, day: i64) -> impl Iterator<Item = Lesson> {
        self.0.iter().map(move |(key, traits)| Lesson { day, key: *key, traits: *traits })
    }
}

/// How many keys were of each class, by trait; old days fade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums(Vec<Vec<u32>>);

impl Sums {
    /// Adds a day's sample. Returns what the fleet is like.
    pub(super) fn add(&mut self, sample: &Sample) -> Traits {
        self.0.resize(Trait::ALL.len(), Vec::new());
        let mut fleet = Traits::default();
        for (of, sums) in Trait::ALL.into_iter().zip(&mut self.0) {
            sums.resize(CLASSES, 0);
            sums.iter_mut().for_each(|n| *n -= n.div_ceil(FADES).min(*n));
            for class in sample.0.values().map(|traits| usize::from(traits.0[of as usize])) {
                if (1..CLASSES).contains(&class) {
                    sums[class] = sums[class].saturating_add(OF_A_KEY);
                }
            }
            fleet.0[of as usize] = quantile(of, sums);
        }
        fleet
    }
}

/// The class below which the trait's part of keys lies, with what is shipped among them.
fn quantile(of: Trait, sums: &[u32]) -> u8 {
    let shipped = usize::from(of.class(of.measure().shipped));
    let count = |class: usize| {
        u64::from(sums[class]) + if class == shipped { u64::from(SHIPPED_KEYS * OF_A_KEY * FADES) } else { 0 }
    };
    let all: u64 = (1..CLASSES).map(count).sum();
    let mut below = 0;
    let class = (1..CLASSES).find(|class| {
        below += count(*class);
        all * u64::from(of.measure().quantile) <= below * 100
    });
    class.unwrap_or(shipped) as u8
}

/// What the fleet is like, by the day from which on it is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetBook(Vec<(i64, Traits)>);

/// Lessons of a day are in force from this many days later on.
pub const DAYS_LATER: i64 = 2;

/// What is shipped: nothing was learned.
pub static SHIPPED: FleetBook = FleetBook(Vec::new());

impl FleetBook {
    /// From what is stored.
    pub fn new(days: impl IntoIterator<Item = (i64, Traits)>) -> Self {
        let mut book = FleetBook::default();
        days.into_iter().for_each(|(day, traits)| book.add(day, traits));
        book
    }

    /// Adds what is in force from a day on.
    pub fn add(&mut self, day: i64, traits: Traits) {
        let at = self.0.partition_point(|(known, _)| *known < day);
        match self.0.get_mut(at) {
            Some(known) if known.0 == day => known.1 = traits,
            _ => self.0.insert(at, (day, traits)),
        }
        if self.0.len() > DAYS_KEPT {
            self.0.remove(0);
        }
    }

    /// All that is kept.
    pub fn days(&self) -> impl Iterator<Item = (i64, Traits)> {
        self.0.iter().copied()
    }

    /// What is in force at a time.
    pub fn at(&self, at: Millis) -> Traits {
        let day = at.div_euclid(DAY);
        let after = self.0.partition_point(|(from, _)| *from <= day);
        after.checked_sub(1).map_or(Traits::default(), |newest| self.0[newest].1)
    }
}

/// The last moment that may be judged where everything before `merged_to` is merged: what is in force then is known.
pub fn known_until(merged_to: Millis) -> Millis {
    (merged_to.div_euclid(DAY) + DAYS_LATER) * DAY - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(hour: f64) -> Traits {
        Traits::default().with(Trait::Hour, Some(hour))
    }

    #[test]
    fn a_class_is_near_its_value() {
        for value in [0.011, 0.1, 0.3, 1.0, 7.0] {
            let read = traits(value).value(Trait::Hour);
            assert!((read / value).ln().abs() < 0.06, "{value}: {read}");
        }
        assert_eq!(Traits::default().value(Trait::Hour), 0.3, "what is shipped, exactly");
        assert_eq!(traits(-0.2).value(Trait::Hour), 0.01, "calls that come like a clock");
        assert_eq!(traits(1e9).value(Trait::Hour), traits(1e12).value(Trait::Hour), "the last class is open");
    }

    #[test]
    fn the_fleet_comes_to_its_own_and_a_few_odd_keys_do_not_move_it() {
        let mut sums = Sums::default();
        let day = |day: i64| {
            let mut sample = Sample::default();
            (0..300u32).for_each(|key| {
                let odd = key % 20 == 0;
                sample.put(Lesson { day, key, traits: traits(if odd { 10.0 } else { 0.05 }) });
            });
            sample
        };
        let seen: Vec<f64> = (0..40).map(|n| sums.add(&day(n)).value(Trait::Hour)).collect();
        assert!((seen[0] - 0.3).abs() < 0.02, "one day says little: {seen:?}");
        assert!((seen[39] - 0.05).abs() < 0.005, "{seen:?}");
        assert_eq!(
            sums.add(&Sample::default()).value(Trait::Day).to_bits(),
            Traits::default().with(Trait::Day, Some(0.1)).value(Trait::Day).to_bits()
        );
    }

    #[test]
    fn a_sample_is_the_same_in_any_order_and_however_often_it_is_told() {
        let lesson = |n: u32| Lesson::of(&format!("key_{n}"), 5 * DAY, traits(f64::from(n % 7 + 1)));
        let sample = |order: Vec<u32>, parts: u32| {
            let mut samplers = vec![Sampler::default(); parts as usize];
            let mut sample = Sample::default();
            for n in order {
                if samplers[(n % parts) as usize].takes(&lesson(n)) {
                    sample.put(lesson(n));
                }
            }
            sample
        };
        let whole = sample((0..2_000).collect(), 1);
        assert_eq!(whole.0.len(), SAMPLE);
        assert_eq!(sample((0..2_000).rev().collect(), 4), whole);
        assert_eq!(sample((0..2_000).chain(500..1_500).collect(), 12), whole);
    }

    #[test]
    fn what_is_in_force_is_what_came_last_before_the_day() {
        let book = FleetBook::new([(12, traits(1.0)), (10, traits(0.5))]);
        for (day, want) in
            [(9, Traits::default()), (10, traits(0.5)), (11, traits(0.5)), (12, traits(1.0)), (40, traits(1.0))]
        {
            assert_eq!(book.at(day * DAY), want, "day {day}");
        }
        assert_eq!(known_until(10 * DAY), 12 * DAY - 1, "day 9 is merged: day 11 may be judged");
        assert_eq!(known_until(11 * DAY - 1), 12 * DAY - 1);
    }
}
