//! Law 12: everything is bounded, and each bound counts what it turned away.

use keywatch::engine::case::{CASES_PER_KEY, SAMPLES_PER_CASE, SOURCES_PER_CASE};
use keywatch::engine::detect::SPECS;
use keywatch::engine::fleet::SHIPPED;
use keywatch::engine::shard::World;
use keywatch::engine::source::SourceTable;
use keywatch::engine::subject::{KEYS_PER_MERCHANT, NETWORKS_PER_KEY, NETWORKS_PER_MERCHANT, Subject};
use keywatch::event::facts::FactBook;
use keywatch::event::{AuthEvent, Outcome, Refusal};
use keywatch::rules::RuleFile;
use keywatch::rules::compile::compile;
use keywatch::time::{DAY, HOUR, MINUTE};

use crate::lab::{Lab, START, event, rules};

fn from(n: i64) -> String {
    format!("10.{}.{}.1", n / 200, n % 200)
}

#[test]
fn networks_of_a_key_and_of_a_merchant() {
    let (facts, rules) = (FactBook::new(10), rules(&[]));
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for i in 0..500 {
        lab.push(event(START + i * MINUTE, ["a", "b", "c"][(i % 3) as usize], &from(i)), world);
    }
    let subject = lab.shard.subject("m1").unwrap();
    assert_eq!(subject.merchant.networks.entries().len(), NETWORKS_PER_MERCHANT);
    assert!(subject.keys.iter().all(|key| key.features.networks.entries().len() == NETWORKS_PER_KEY));
    let forgotten = 500 - 3 * NETWORKS_PER_KEY + 500 - NETWORKS_PER_MERCHANT;
    assert_eq!(lab.shard.counts().networks_forgotten, forgotten as u64);
}

#[test]
fn cases_of_a_key_whether_events_or_timers_open_them() {
    // One alert for each address: a rule of somebody's own can ask for that.
    let each = "name: each-address\nkind: custom\ntitle: T\ndescription: D.\nseverity: info\naudience: support\n\
                condition: event.path == \"/v1/odd\"\ngroup_by: [address]\nmissing: skip\nparams: {quiet: 30d}\n\
                runbook: [Look.]\nowner: o\n";
    let stale = include_str!("../../rules/stale-key.yml").replace("unused_for: 90d", "unused_for: 1d");
    let file = |name: &str, text: String| RuleFile { name: name.into(), text };
    let files = vec![file("each.yml", each.into()), file("stale-key.yml", stale)];
    let (facts, rules) = (FactBook::new(10), compile(files, SPECS).unwrap());
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for i in 0..5 * 24 {
        lab.push(event(START + i * HOUR, "k", "203.0.113.1"), world);
    }
    for i in 0..20 {
        let odd = AuthEvent { path: Some("/v1/odd".into()), ..event(START + 5 * DAY + i * MINUTE, "k", &from(i)) };
        lab.push(odd, world);
    }
    assert_eq!(lab.shard.subject("m1").unwrap().keys[0].cases.len(), CASES_PER_KEY);
    assert_eq!(lab.shard.counts().cases_dropped, 4);
    // It becomes stale too: one more that finds no room, once.
    lab.end(Some(START + 9 * DAY), world);
    assert_eq!(lab.shard.subject("m1").unwrap().keys[0].cases.len(), CASES_PER_KEY);
    assert_eq!(lab.shard.counts().cases_dropped, 5);
}

#[test]
fn sources_and_samples_of_a_case() {
    let (facts, rules) = (FactBook::new(10), rules(&[]));
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for i in 0..30 {
        let refused = AuthEvent {
            event_id: Some(format!("e{i}").into()),
            outcome: Outcome::Denied,
            reason: Some(Refusal::RevokedKey),
            ..event(START + i * MINUTE, "k", &from(i))
        };
        lab.push(refused, world);
    }
    lab.end(None, world);
    let notes = &lab.shard.subject("m1").unwrap().keys[0].cases[0].notes;
    assert_eq!((notes.sources.len(), notes.sample_event_ids.len()), (SOURCES_PER_CASE, SAMPLES_PER_CASE));
    assert_eq!((notes.refused, notes.other_calls), (30, 30 - SOURCES_PER_CASE as u64));
}

#[test]
fn keys_of_a_merchant() {
    let mut subject = Subject::new("m");
    for i in 0..KEYS_PER_MERCHANT {
        assert!(subject.position_or_insert(&format!("k{i:05}")).is_some());
    }
    assert_eq!(subject.position_or_insert("one more"), None);
    assert!(subject.position_or_insert("k00000").is_some());
    assert_eq!(subject.keys.len(), KEYS_PER_MERCHANT);
}

#[test]
fn source_networks() {
    let mut table = SourceTable::new(8);
    for i in 0..100 {
        table.note(&event(START, "k", &from(i)));
        assert!(table.len() <= 8);
    }
    assert_eq!((table.len(), table.forgotten()), (8, 92));
}
