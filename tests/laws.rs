//! The laws of design and ARCHITECTURE.md, each with traffic of its own.

#[path = "support/lab.rs"]
#[expect(dead_code, reason = "the detectors' tables use the rest")]
mod lab;
#[path = "support/traffic.rs"]
mod traffic;

#[path = "laws/all_kinds.rs"]
mod all_kinds;
#[path = "laws/bounds.rs"]
mod bounds;
#[path = "laws/clock.rs"]
mod clock;
#[path = "laws/fleet.rs"]
mod fleet;
#[path = "laws/history.rs"]
mod history;
#[path = "laws/one_engine.rs"]
mod one_engine;
#[path = "laws/order.rs"]
mod order;
#[path = "laws/restart.rs"]
mod restart;
#[path = "laws/rules.rs"]
mod rules;
#[path = "laws/second_stage.rs"]
mod second_stage;
#[path = "laws/snapshot.rs"]
mod snapshot;

use std::sync::LazyLock;

use keywatch::event::AuthEvent;
use keywatch::event::auth::Decoder;
use keywatch::event::facts::FactBook;
use keywatch::event::redact::Masker;
use keywatch::rules::RuleSet;

use lab::{Found, START};
use traffic::{Plan, Traffic};

/// Parameters under which short traffic shows every kind.
const QUICK: &[&str] = &[
    "stale-key.unused_for=3d",
    "spike.learning_days=5",
    "dormant-awake.unused_for=4d",
    "expiring-key.notice=3d",
    "rotation-overdue.max_age=47d",
];

fn decoder() -> Decoder {
    Decoder::new(b"test", Masker::default())
}

/// Traffic that shows every kind, decoded, with the facts and the rules to judge it by.
struct Stage {
    events: Vec<AuthEvent<'static>>,
    facts: FactBook,
    rules: std::sync::Arc<RuleSet>,
}

impl Stage {
    fn world(&self) -> keywatch::engine::shard::World<'_> {
        keywatch::engine::shard::World {
            facts: &self.facts,
            rules: &self.rules,
            fleet: &keywatch::engine::fleet::SHIPPED,
        }
    }

    fn new(made: &Traffic) -> Stage {
        let decoder = decoder();
        let mut facts = FactBook::new(10_000);
        for line in &made.facts {
            facts.learn(&decoder.decode_fact(line.text.as_bytes(), None).unwrap().unwrap());
        }
        let decode = |text: &str| decoder.decode_auth(text.as_bytes(), None).unwrap().into_owned();
        Stage { events: made.events.iter().map(|line| decode(&line.text)).collect(), facts, rules: lab::rules(QUICK) }
    }
}

/// Traffic with merchants besides that only facts know.
fn made(merchants: u64, days: i64, calls_a_day: f64) -> Traffic {
    let mut made = traffic::traffic(Plan { seed: 7, merchants, days, calls_a_day, start: START });
    for m in 0..5 {
        let text = format!(
            r#"{{"type":"key_created","ts":{START},"key_id":"silent_{m}","merchant_id":"silent_{m}","key_env":"live","created_at":{START}}}"#
        );
        made.facts.push(traffic::Line { merchant: format!("silent_{m}/silent_{m}"), text });
    }
    made
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| Stage::new(&made(24, 12, 24.0)));

/// How many alerts of each rule there are: a law about nothing would be kept by anything.
fn census(found: &Found) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for alert in found.values() {
        *counts.entry(alert.rule.clone()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Alerts without the one field that may differ between ways of reading the same stream.
fn undetected(found: &Found) -> Vec<keywatch::alert::Alert> {
    found.values().map(|alert| keywatch::alert::Alert { detected_at: 0, ..alert.clone() }).collect()
}

#[track_caller]
fn assert_same(what: &str, a: &[keywatch::alert::Alert], b: &[keywatch::alert::Alert]) {
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a, b, "{what}");
    }
    assert_eq!(a.len(), b.len(), "{what}");
}
