//! From bytes in memory to findings, on one thread: decode, admit, step.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::bench::lesson::{self, Lessons};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::{self, KEYS_PER_MERCHANT, Messages, Names, START, Spread};
use crate::config::Limits;
use crate::engine::detect::Watch;
use crate::engine::fleet::SHIPPED;
use crate::engine::intake::{Admitted, Intake, IntakeLimits};
use crate::engine::shard::{Output, Shard, World};
use crate::event::auth::Decoder;
use crate::event::facts::FactBook;
use crate::rules::RuleSet;
use crate::time::{Millis, SECOND};
use crate::wall;

/// Messages decoded, admitted and judged together, as the service does.
const BATCH: usize = 1_024;
/// Messages made at once, outside the measured time.
const CHUNK: usize = 64_000;
/// Calls a second of all keys together, where nobody says otherwise.
pub(super) const CALLS_PER_SECOND: f64 = 100_000.0;
/// The target for uniform keys (events a second).
const TARGET: f64 = 1_000_000.0;

/// How much to measure.
#[derive(Clone, Debug)]
pub struct Size {
    /// Keys of the uniform run.
    pub keys: usize,
    /// Keys of the run by Zipf's law.
    pub zipf_keys: usize,
    /// Events measured in each run.
    pub events: usize,
    /// Events in one second of event time. Few over many keys make each event begin a new window of its key.
    pub per_second: f64,
}

/// Measures both runs.
pub fn run(size: &Size, rules: &RuleSet, decoder: &Decoder) -> Report {
    let mut report = Report::new("engine");
    report.count("events", size.events as u64);
    for (name, keys, spread, target) in [
        ("zipf", size.zipf_keys, Spread::zipf(size.zipf_keys), None),
        ("uniform", size.keys, Spread::Uniform, Some(TARGET)),
    ] {
        let measured = measure(keys, spread, size, rules, decoder);
        let Measured { events, findings, judged, .. } = measured;
        report.count(format!("{name}_keys"), keys as u64);
        report.count(format!("{name}_judged"), judged);
        report.count(format!("{name}_findings"), findings);
        let ns = |time: Duration| time.as_nanos() as f64 / events as f64;
        let Measured { decode, admit, step, yardstick, .. } = measured;
        let whole = decode + admit + step;
        let rate = events as f64 / whole.as_secs_f64();
        let title = format!("{name}, {keys} keys");
        report.figures.push(match target {
            Some(target) => Figure::at_least(title, rate, "events/s", target),
            None => Figure::plain(title, rate, "events/s"),
        });
        for (stage, time) in [("decode", decode), ("admit", admit), ("step", step), ("whole", whole)] {
            report.figures.push(Figure::plain(format!("{name}: {stage}"), ns(time), "ns/event"));
        }
        report.figures.push(Figure::plain(format!("{name}: serde_json alone"), ns(yardstick), "ns/event"));
        report.figures.push(Figure::plain(
            format!("{name}: whole / serde_json"),
            whole.as_secs_f64() / yardstick.as_secs_f64(),
            "times",
        ));
    }
    report
}

pub(super) struct Measured {
    pub(super) events: u64,
    judged: u64,
    findings: u64,
    decode: Duration,
    admit: Duration,
    pub(super) step: Duration,
    yardstick: Duration,
}

/// What the engine is given besides the events.
pub(super) struct Bench<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) facts: FactBook,
    pub(super) intake: Intake,
    pub(super) shard: Shard,
    pub(super) out: Output,
    now: Millis,
    offset: i64,
}

impl<'a> Bench<'a> {
    pub(super) fn new(rules: &'a RuleSet) -> Self {
        let Limits { lateness, dedup_ids, source_subjects, parked_events, .. } = Limits::default();
        Bench {
            rules,
            facts: FactBook::new(0),
            intake: Intake::new(IntakeLimits { lateness, dedup_ids, parked_events }, Some(START), Vec::new()),
            shard: Shard::new(lateness, source_subjects, Watch::default()),
            out: Output::default(),
            now: START,
            offset: 0,
        }
    }

    /// Puts `keys` keys in memory that have called `per_second` times together, each by its share, day and night, for
    /// longer than every shipped rule learns; then lets each be seen once more.
    pub(super) fn teach(&mut self, keys: usize, spread: &Spread, per_second: f64) {
        let world = World { facts: &self.facts, rules: self.rules, fleet: &SHIPPED };
        let mut lessons = Lessons::new(world);
        let merchants = (0..keys).collect::<Vec<_>>();
        for of_merchant in merchants.chunks(KEYS_PER_MERCHANT) {
            self.shard.insert(lessons.merchant(of_merchant, |key| spread.share(key, keys) * per_second), None, world);
        }
        self.once_each(keys, lesson::END, 10 * SECOND, 0);
    }

    /// Stream time.
    pub(super) fn now(&self) -> Millis {
        self.now
    }

    /// The next offset.
    pub(super) fn position(&self) -> i64 {
        self.offset
    }

    /// Lets each of the first `keys` keys be seen once more.
    pub(super) fn touch_each(&mut self, keys: usize) {
        self.once_each(keys, self.now, 10 * SECOND, 1);
    }

    /// Judges messages.
    pub(super) fn judge(&mut self, bytes: &[u8], places: &[std::ops::Range<usize>], decoder: &Decoder) {
        let mut admitted = Vec::with_capacity(places.len());
        for event in places.iter().filter_map(|at| decoder.decode_auth(&bytes[at.clone()], None).ok()) {
            self.intake.admit(self.offset, event, &mut admitted);
            self.offset += 1;
        }
        self.step(&admitted);
    }

    fn once_each(&mut self, keys: usize, start: Millis, within: Millis, which: u64) {
        for key in 0..keys {
            let names = Names::of(key);
            let ts = start + within * key as Millis / keys as Millis;
            let mut admitted = Vec::new();
            self.intake.admit(self.offset, traffic::event(&names, key, which, ts, 1), &mut admitted);
            self.step(&admitted);
            self.offset += 1;
            self.now = self.now.max(ts);
        }
    }

    fn step(&mut self, admitted: &[Admitted<'_>]) {
        let world = World { facts: &self.facts, rules: self.rules, fleet: &SHIPPED };
        self.shard.step_all(admitted, world, &mut self.out);
    }
}

pub(super) fn measure(keys: usize, spread: Spread, size: &Size, rules: &RuleSet, decoder: &Decoder) -> Measured {
    let mut bench = Bench::new(rules);
    bench.teach(keys, &spread, size.per_second);
    bench.out.changes.clear();
    let judged_before = bench.shard.counts().judged;
    let mut messages = Messages::new(keys, spread, bench.now, size.per_second);
    let zero = Duration::ZERO;
    let mut m = Measured { events: 0, judged: 0, findings: 0, decode: zero, admit: zero, step: zero, yardstick: zero };
    let mut left = size.events;
    while left > 0 {
        let n = left.min(CHUNK);
        left -= n;
        let (bytes, places) = messages.chunk(n);
        for places in places.chunks(BATCH) {
            let t0 = wall::instant();
            let mut events = Vec::with_capacity(places.len());
            events.extend(places.iter().filter_map(|at| decoder.decode_auth(&bytes[at.clone()], None).ok()));
            let t1 = wall::instant();
            let mut admitted = Vec::with_capacity(events.len());
            bench.intake.warm(events.iter().filter_map(|event| event.event_id.as_deref()));
            for event in events {
                bench.intake.admit(bench.offset, event, &mut admitted);
                bench.offset += 1;
            }
            let t2 = wall::instant();
            bench.step(&admitted);
            drop(admitted);
            let t3 = wall::instant();
            m.decode += t1 - t0;
            m.admit += t2 - t1;
            m.step += t3 - t2;
            m.events += places.len() as u64;
        }
        m.findings += std::mem::take(&mut bench.out.changes).len() as u64;
        m.yardstick += yardstick(&bytes, &places);
    }
    m.judged = bench.shard.counts().judged - judged_before;
    m
}

/// A fixed piece of work over the same bytes: what a parser in general use takes for them.
fn yardstick(bytes: &[u8], places: &[std::ops::Range<usize>]) -> Duration {
    let t: Instant = wall::instant();
    for at in places {
        black_box(serde_json::from_slice::<Plain<'_>>(&bytes[at.clone()]).ok());
    }
    t.elapsed()
}

/// The fields of a message, nothing checked.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only what it takes to read them is of interest")]
struct Plain<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    ts: Cow<'a, str>,
    #[serde(borrow)]
    key_id: Cow<'a, str>,
    #[serde(borrow)]
    key_hint: Cow<'a, str>,
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    key_env: Cow<'a, str>,
    #[serde(borrow)]
    endpoint_env: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    source_ip: Cow<'a, str>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    reason: Option<&'a str>,
    status: u16,
    latency_ms: f64,
}
