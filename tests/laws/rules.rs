//! Law 10: what is known does not depend on the rules, so other rules judge at once. And merchants known from facts.

use keywatch::alert::Kind;
use keywatch::engine::fleet::SHIPPED;
use keywatch::engine::shard::{Output, World};
use keywatch::event::facts::{Fact, FactBook, FactKind};
use keywatch::event::{AuthEvent, Env};
use keywatch::time::{DAY, HOUR, MINUTE};

use crate::lab::{Lab, START, at, event, lines, note, rules, rules_without};

#[test]
fn an_edited_rule_needs_no_relearning() {
    let facts = FactBook::new(10);
    let (before, after) = (rules(&["new-ip.min_calls=1000000", "spike.learning_days=60"]), rules(&[]));
    let mut lab = Lab::new();
    for i in 0..10 * 24 * 12 {
        lab.push(
            event(START + i * 5 * MINUTE, "k", "203.0.113.1"),
            World { facts: &facts, rules: &before, fleet: &SHIPPED },
        );
    }
    let world = World { facts: &facts, rules: &after, fleet: &SHIPPED };
    lab.shard.rules_changed(world);
    lab.push(AuthEvent { count: 200, ..event(at("10d00:01"), "k", "198.51.100.1") }, world);
    // The spike is a reason of the alert about the network.
    assert_eq!(lines(lab.found.values()), ["k network 198.51.100.0/24 10d00:01.. high r2"]);
    let kinds = |alert: &keywatch::alert::Alert| alert.reasons.iter().map(|reason| reason.kind).collect::<Vec<_>>();
    assert_eq!(lab.found.values().map(kinds).collect::<Vec<_>>(), [[Kind::NewIp, Kind::Spike]]);
}

#[test]
fn a_shorter_limit_finds_what_is_stale_already_and_a_second_rule_finds_it_too() {
    let facts = FactBook::new(10);
    let (before, after) = (rules(&[]), rules(&["stale-key.unused_for=5d"]));
    let mut lab = Lab::new();
    let world = World { facts: &facts, rules: &before, fleet: &SHIPPED };
    // An episode that ended by a timer does not hide what was due before.
    lab.push(event(START, "k", "203.0.113.1"), world);
    lab.push(
        AuthEvent {
            endpoint_env: Some(Env::Test),
            outcome: keywatch::event::Outcome::Denied,
            ..event(START + 6 * DAY, "k", "203.0.113.1")
        },
        world,
    );
    for i in 0..10 * 24 {
        lab.push(event(START + i * HOUR, "m2/busy", "203.0.113.1"), world);
    }
    let world = World { facts: &facts, rules: &after, fleet: &SHIPPED };
    lab.shard.rules_changed(world);
    lab.end(Some(START + 10 * DAY), world);
    let stale: Vec<_> = lab.found.values().filter(|a| a.rule == "stale-key").collect();
    assert_eq!(lines(stale.into_iter()), ["k 5d00:00.. info r1"]);
}

#[test]
fn a_removed_rules_case_is_forgotten_in_memory_and_on_loading() {
    let facts = FactBook::new(10);
    let (before, after) = (rules(&[]), rules_without("revoked-key-use"));
    let world = World { facts: &facts, rules: &before, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for (i, key) in ["k", "k", "l"].into_iter().enumerate() {
        let reason = Some(keywatch::event::Refusal::RevokedKey);
        let outcome = keywatch::event::Outcome::Denied;
        lab.push(AuthEvent { reason, outcome, ..event(START + i as i64, key, "203.0.113.1") }, world);
    }
    lab.end(None, world);
    let stored = lab.shard.subject("m1").unwrap().clone();
    assert!(stored.keys.iter().all(|key| key.cases.len() == 1));

    let world = World { facts: &facts, rules: &after, fleet: &SHIPPED };
    lab.shard.rules_changed(world);
    assert!(lab.shard.subject("m1").unwrap().keys.iter().all(|key| key.cases.is_empty()));
    let mut other = Lab::new();
    other.shard.insert(stored, None, world);
    assert!(other.shard.subject("m1").unwrap().keys.iter().all(|key| key.cases.is_empty()));
    assert_eq!(other.shard.dirty_len(), 1, "it is stored without them");
}

#[test]
fn a_merchant_known_from_facts_goes_stale_once_and_traffic_brings_it_home() {
    let mut facts = FactBook::new(10);
    let mut made = Fact::new(FactKind::KeyCreated, START);
    (made.key_id, made.merchant_id) = (Some("quiet".into()), Some("m9".into()));
    facts.learn(&made);
    let rules = rules(&["stale-key.unused_for=5d"]);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    lab.shard.foster("m9", world);
    lab.shard.foster("m9", world);
    let mut changes = Vec::new();
    for i in 0..30 * 24 {
        let mut admitted = Vec::new();
        lab.intake.admit(i, event(START + i * HOUR, "m2/busy", "203.0.113.1"), &mut admitted);
        let mut out = Output::default();
        admitted.iter().for_each(|a| lab.shard.step(a, world, &mut out));
        changes.extend(out.changes.iter().map(|c| (c.foster, c.alert.starts_at, c.alert.revision)));
        note(&mut lab.found, out);
    }
    assert_eq!(changes, [(true, at("6d"), 1)], "once, and marked");
    assert!(lab.shard.subject("m9").unwrap().foster);
    lab.push(event(START + 30 * DAY, "m9/quiet", "203.0.113.1"), world);
    assert!(!lab.shard.subject("m9").unwrap().foster);
    assert_eq!(lines(lab.found.values()), ["quiet 6d00:00..30d00:00 info r2"]);
}
