//! Labelled traffic, seeded: merchants and keys as the domain has them, what happens to them, and what is planted.
//!
//! Written from what traffic is, not from what detectors look for: counts are overdispersed and follow the hours, the
//! week and the month of each merchant's own clock; there are sales, growth, releases, moves and retry storms; lines come
//! late, twice, and broken. The same plan gives the same bytes on every machine. A day of events is held at a time.

use std::io::{self, Write};

use serde::Serialize;

use crate::simulate::key::{Key, Merchant};
use crate::simulate::line::{Event, Fact, Writer};
use crate::simulate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, Millis, rfc3339};

mod day;
mod geo;
mod hard;
mod incident;
mod key;
mod line;
pub mod mmdb;
mod network;
mod random;

pub use geo::{asn_database, country_database};
pub use incident::Kind;
pub use key::Shape;

/// A line in so many comes twice.
const TWICE: f64 = 0.002;
/// A line in so many is followed by one that is no event.
const BROKEN: f64 = 0.000_2;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Keys, at least 1.
    pub keys: u32,
    /// Days.
    pub days: u32,
    /// Midnight UTC of the first.
    pub starts_at: Millis,
    /// What is planted.
    pub incidents: Incidents,
    /// How long a key that is planted as stale, or as waking up, is silent before.
    pub unused_for: Millis,
    /// Who calls, and what goes on beside incidents.
    pub traffic: Traffic,
}

/// Who calls, and what goes on beside incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Merchants as they mostly are.
    Usual,
    /// Shapes and events that were kept apart from those that detectors were tuned on: outages, partial failures, changes of
    /// clocks and of schedules, tenfold growth, load tests, and thieves who know what is looked for.
    Hard,
    /// Keys of one shape that never change: no releases, moves, growth, sales or storms, and months are like any other days.
    Still(Shape),
}

/// What is planted.
#[derive(Clone, Debug)]
pub enum Incidents {
    /// Nothing.
    None,
    /// Every kind, over the second half: one of each for every 40 keys, at least one.
    Spread,
    /// These.
    Listed(Vec<Planted>),
}

/// One incident to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planted {
    /// What.
    pub kind: Kind,
    /// When its first sign comes.
    pub at: Millis,
}

/// What was planted, or what only looks like it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// Its kind, as alerts name it.
    pub kind: String,
    /// Other kinds that would be right too.
    pub also: Vec<&'static str>,
    /// Whose key.
    pub merchant_id: Option<String>,
    /// Which key.
    pub key_id: Option<String>,
    /// The source's address, where one is to blame.
    pub source: Option<String>,
    /// First sign.
    #[serde(serialize_with = "as_text")]
    pub starts_at: Millis,
    /// Last sign.
    #[serde(serialize_with = "as_text")]
    pub ends_at: Millis,
    /// In plain words.
    pub what: String,
}

/// Everything that is known of a simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Labels {
    /// Always 1.
    pub version: u32,
    /// The plan's.
    pub seed: u64,
    /// The plan's.
    pub keys: u32,
    /// The plan's.
    pub days: u32,
    /// Its beginning.
    #[serde(serialize_with = "as_text")]
    pub starts_at: Millis,
    /// Its end.
    #[serde(serialize_with = "as_text")]
    pub ends_at: Millis,
    /// Lines written.
    pub lines: u64,
    /// Lines among them that came before.
    pub duplicates: u64,
    /// Lines among them that are no event.
    pub broken: u64,
    /// What should be found.
    pub incidents: Vec<Label>,
    /// What looks like it and should not be.
    pub benign: Vec<Label>,
}

fn as_text<S: serde::Serializer>(at: &Millis, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&rfc3339(*at))
}

/// A burst of the whole fleet: the gateway was slow, and everybody tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storm {
    /// When.
    from: Millis,
    /// How long.
    length: Millis,
    /// How many times the usual calls.
    factor: f64,
    /// The share of the keys.
    share: f64,
}

/// The stage: who there is, and what will happen beside their usual calls.
struct World {
    merchants: Vec<Merchant>,
    keys: Vec<Key>,
    /// Calls beside the usual ones.
    extra: Vec<Event>,
    facts: Vec<Fact>,
    incidents: Vec<Label>,
    benign: Vec<Label>,
    outages: Vec<hard::Outage>,
}

/// Writes decisions in the order in which they arrive, and facts in the order of their times. Errors are the writers'.
pub fn simulate(plan: &Plan, events: &mut dyn Write, facts: &mut dyn Write) -> io::Result<Labels> {
    simulate_telling(plan, events, facts, |_| {})
}

/// The same, telling after each day how many are done.
pub fn simulate_telling(
    plan: &Plan,
    events: &mut dyn Write,
    facts: &mut dyn Write,
    mut day_done: impl FnMut(u32),
) -> io::Result<Labels> {
    let ends_at = plan.starts_at + i64::from(plan.days) * DAY;
    let (merchants, keys) = people(plan, ends_at);
    let mut world = World {
        merchants,
        keys,
        extra: Vec::new(),
        facts: Vec::new(),
        incidents: Vec::new(),
        benign: Vec::new(),
        outages: Vec::new(),
    };
    let storms = if matches!(plan.traffic, Traffic::Still(_)) { Vec::new() } else { storms(plan, ends_at) };
    world.announce(plan);
    if !matches!(plan.traffic, Traffic::Still(_)) {
        world.look_alikes(plan, &storms, ends_at);
    }
    if plan.traffic == Traffic::Hard {
        hard::set_stage(plan, &mut world, ends_at);
    }
    incident::plant_all(plan, &mut world, ends_at);
    if plan.traffic == Traffic::Hard {
        hard::add_exports(plan, &mut world, ends_at);
    }
    world.facts.sort_by(|a, b| (a.ts, &a.line).cmp(&(b.ts, &b.line)));
    for fact in &world.facts {
        writeln!(facts, "{}", fact.line)?;
    }
    world.extra.retain(|e| e.ts < ends_at);
    world.extra.sort_by_key(|e| (e.ts, e.id));

    let mut labels = Labels {
        version: 1,
        seed: plan.seed,
        keys: plan.keys,
        days: plan.days,
        starts_at: plan.starts_at,
        ends_at,
        lines: 0,
        duplicates: 0,
        broken: 0,
        incidents: std::mem::take(&mut world.incidents),
        benign: std::mem::take(&mut world.benign),
    };
    for label in labels.incidents.iter_mut().chain(&mut labels.benign) {
        label.ends_at = label.ends_at.min(ends_at).max(label.starts_at);
    }
    labels.incidents.retain(|label| label.starts_at < ends_at);
    labels.incidents.sort_by(|a, b| (a.starts_at, &a.kind).cmp(&(b.starts_at, &b.kind)));
    labels.benign.sort_by(|a, b| (a.starts_at, &a.kind).cmp(&(b.starts_at, &b.kind)));

    let days = day::Plan {
        seed: plan.seed,
        starts_at: plan.starts_at,
        merchants: &world.merchants,
        keys: &world.keys,
        storms: &storms,
    };
    let mut random = Random::new(plan.seed, 3);
    let (mut held, mut next, mut writer) = (Vec::new(), 0, Writer::default());
    for n in 0..plan.days {
        let begins = plan.starts_at + i64::from(n) * DAY;
        let first = held.len();
        days.day(begins, &mut held);
        while world.extra.get(next).is_some_and(|e| e.ts < begins + DAY) {
            held.push(world.extra[next]);
            next += 1;
        }
        for outage in &world.outages {
            outage.befalls(&mut held, first);
        }
        held.sort_unstable_by_key(|e: &Event| (e.arrives_at, e.id));
        // What arrives after midnight is written with the next day's.
        let is_last = n + 1 == plan.days;
        let end = if is_last { held.len() } else { held.partition_point(|e| e.arrives_at < begins + DAY) };
        for e in &held[..end] {
            writer.event(events, e, &world.keys, &world.merchants)?;
            labels.lines += 1;
            if random.chance(TWICE) {
                writer.event(events, e, &world.keys, &world.merchants)?;
                labels.lines += 1;
                labels.duplicates += 1;
            }
            if random.chance(BROKEN) {
                writer.broken(events, random.bits(), e.ts)?;
                labels.lines += 1;
                labels.broken += 1;
            }
        }
        held.drain(..end);
        day_done(n + 1);
    }
    Ok(labels)
}

fn people(plan: &Plan, ends_at: Millis) -> (Vec<Merchant>, Vec<Key>) {
    let (n, span) = (plan.keys.max(1) as usize, (plan.starts_at, ends_at));
    match plan.traffic {
        Traffic::Usual => key::make(plan.seed, n, plan.starts_at, ends_at),
        Traffic::Hard => key::make_of(plan.seed, n, span, &Shape::HARD_SHARES, 0.25),
        Traffic::Still(shape) => {
            let (merchants, mut keys) = key::make_of(plan.seed, n, span, &[(shape, 100)], 0.0);
            for key in &mut keys {
                (key.growth, key.moves, key.has_months) = (0.0, None, false);
                key.releases.clear();
            }
            (merchants, keys)
        }
    }
}

/// About one in five days.
fn storms(plan: &Plan, ends_at: Millis) -> Vec<Storm> {
    let mut random = Random::new(plan.seed, 2);
    let mut storms = Vec::new();
    let mut at = plan.starts_at;
    loop {
        at += (random.exponential() * 5.0 * DAY as f64) as Millis;
        if at >= ends_at {
            return storms;
        }
        storms.push(Storm {
            from: at,
            length: random.between(2, 5) * MINUTE,
            factor: 3.0 + 3.0 * random.unit(),
            share: 0.3 + 0.5 * random.unit(),
        });
    }
}

impl World {
    /// What the control panel has said before, and the rotations that go well.
    fn announce(&mut self, plan: &Plan) {
        for merchant in &self.merchants {
            self.facts.push(Fact::merchant(plan.starts_at - 300 * DAY, merchant, "active"));
        }
        for key in &self.keys {
            let merchant = &self.merchants[key.merchant as usize];
            self.facts.push(Fact::key("key_created", key.created_at, key, merchant, ""));
        }
    }

    fn label(&self, kind: &str, key: usize, starts_at: Millis, ends_at: Millis, what: String) -> Label {
        let key = &self.keys[key];
        Label {
            kind: kind.to_owned(),
            also: Vec::new(),
            merchant_id: Some(self.merchants[key.merchant as usize].id.clone()),
            key_id: Some(key.id.clone()),
            source: None,
            starts_at,
            ends_at,
            what,
        }
    }

    /// Sales, and labels of what looks like an incident and is none.
    fn look_alikes(&mut self, plan: &Plan, storms: &[Storm], ends_at: Millis) {
        let mut random = Random::new(plan.seed, 4);
        for at in 0..self.keys.len() {
            let is_shop = matches!(self.keys[at].shape, Shape::Shop | Shape::High | Shape::Marketplace);
            if is_shop && random.chance(f64::from(plan.days) / 200.0) {
                let from = plan.starts_at + random.between(0, i64::from(plan.days)) * DAY + 6 * HOUR;
                let until = from + random.between(10, 40) * HOUR;
                let factor = 1.5 + random.unit();
                // It builds up and dies away.
                let (third, peak) = ((until - from) / 3, factor);
                self.keys[at].more.extend([
                    (from, from + third, 1.0 + (peak - 1.0) / 2.0),
                    (from + third, until - third, peak),
                    (until - third, until, 1.0 + (peak - 1.0) / 2.0),
                ]);
                let label = self.label("sale", at, from, until, format!("a sale: {factor:.1} times the usual calls"));
                self.benign.push(label);
            }
            let key = &self.keys[at];
            let mut labels = Vec::new();
            if let Some((from, _)) = key.moves {
                labels.push(self.label("migration", at, from, from + 7 * DAY, "the servers moved".into()));
            }
            for release in &key.releases {
                let what = "a new version of the merchant's program".to_owned();
                labels.push(self.label("deployment", at, *release, release + DAY, what));
            }
            if key.growth > 0.0 {
                labels.push(self.label("growth", at, plan.starts_at, ends_at, "one percent more every day".into()));
            }
            self.benign.extend(labels);
        }
        for storm in storms {
            self.benign.push(Label {
                kind: "retry_storm".into(),
                also: Vec::new(),
                merchant_id: None,
                key_id: None,
                source: None,
                starts_at: storm.from,
                ends_at: storm.from + storm.length,
                what: format!(
                    "{:.0} % of all keys made {:.1} times the usual calls",
                    storm.share * 100.0,
                    storm.factor
                ),
            });
        }
    }
}
