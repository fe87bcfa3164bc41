//! Learned keys in a moment: one of each volume is taught by the engine itself, event by event, and the others are given
//! what it has learned, under their own names and networks.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::bench::traffic::{self, NETWORKS, Names, START, address};
use crate::engine::baseline::networks::{Network, NetworkBook, Seen};
use crate::engine::detect::Watch;
use crate::engine::intake::{Intake, IntakeLimits};
use crate::engine::shard::{Output, Shard, World};
use crate::engine::subject::{Key, KeyFeatures, Subject};
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// Days that are taught: longer than every shipped rule learns.
const DAYS: i64 = 15;
/// When the lessons are over: at midnight.
pub const END: Millis = START + DAYS * DAY;
/// How far apart the calls of the lessons are, at the least.
const STEP: Millis = 10 * MINUTE;
/// What is called in a quiet hour, of what is called in others. What is measured begins in one of the others.
const QUIET: f64 = 0.4;
const QUIET_HOURS: std::ops::Range<i64> = 8..18;

/// What keys have learned, by the logarithm of their calls in a second.
pub struct Lessons<'a> {
    world: World<'a>,
    learned: HashMap<i32, KeyFeatures>,
}

impl<'a> Lessons<'a> {
    /// Nobody has learned anything yet.
    pub fn new(world: World<'a>) -> Self {
        Lessons { world, learned: HashMap::new() }
    }

    /// A merchant whose keys have learned.
    pub fn merchant(&mut self, keys: &[usize], per_second: impl Fn(usize) -> f64) -> Subject {
        let mut subject = Subject::new("");
        subject.keys.reserve_exact(keys.len());
        for key in keys {
            let names = Names::of(*key);
            subject.id = names.merchant_id.as_str().into();
            let like = self.like(per_second(*key));
            let mut features = like.clone();
            features.key_id = names.key_id.as_str().into();
            features.hint = Some(names.hint.as_str().into());
            let of = |which: u64| Network::of(IpAddr::V4(address(*key, which)));
            let own = |(which, seen): (usize, &Seen)| Seen { network: of(which as u64), ..*seen };
            features.networks =
                NetworkBook::from_entries(like.networks.entries().iter().enumerate().map(own).collect());
            for seen in features.networks.entries() {
                subject.merchant.networks.learn(*seen, usize::MAX);
            }
            subject.merchant.agents = like.agents.clone();
            subject.keys.push(Key { features, cases: Vec::new(), tallies: None, fired: Vec::new() });
        }
        subject.keys.sort_by(|a, b| a.features.key_id.cmp(&b.features.key_id));
        subject
    }

    fn like(&mut self, per_second: f64) -> &KeyFeatures {
        let volume = per_second.max(1e-9).log2().round() as i32;
        let world = self.world;
        self.learned.entry(volume).or_insert_with(|| teach(f64::from(volume).exp2(), world))
    }
}

/// Teaches one key.
fn teach(per_second: f64, world: World<'_>) -> KeyFeatures {
    let names = Names::of(0);
    let limits = IntakeLimits { lateness: MINUTE, dedup_ids: 1, parked_events: 1 };
    let mut intake = Intake::new(limits, Some(START), Vec::new());
    let mut shard = Shard::new(MINUTE, 1, Watch::default());
    let (mut owed, mut out) = (0.0, Output::default());
    for step in 0..DAYS * DAY / STEP {
        let hour = step * STEP / HOUR % 24;
        let part = if QUIET_HOURS.contains(&hour) { QUIET } else { 1.0 };
        owed += per_second * part * (STEP / 1_000) as f64;
        if owed < 1.0 {
            continue;
        }
        let calls = owed as u32;
        owed -= f64::from(calls);
        // Most of them one by one, as they come, so that they are no rows that stand for many.
        let singles = calls.min(4);
        for n in 0..singles {
            let count = if n == 0 { calls - singles + 1 } else { 1 };
            let at = START + step * STEP + i64::from(n) * STEP / i64::from(singles);
            let event = traffic::event(&names, 0, (step as u64 + u64::from(n)) % NETWORKS, at, count);
            let mut admitted = Vec::new();
            intake.admit(step * 4 + i64::from(n), event, &mut admitted);
            shard.step_all(&admitted, world, &mut out);
        }
    }
    let learned = shard.subject(&names.merchant_id).and_then(|subject| subject.keys.first());
    let mut features = learned.map_or_else(|| KeyFeatures::new(&names.key_id), |key| key.features.clone());
    features.days.iter_mut().for_each(|day| day.is_unsaved = false);
    features
}
