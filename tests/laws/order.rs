//! Law 2: neighbours, batch borders, the number of partitions and order among subjects change no finding. Duplicates
//! are nothing, and late events are counted.

use std::collections::HashMap;

use keywatch::engine::fleet::SHIPPED;
use keywatch::engine::shard::World;
use keywatch::event::AuthEvent;
use keywatch::pipeline::takeover::foster_partition;
use keywatch::time::{DAY, HOUR, MINUTE};
use proptest::prelude::*;

use crate::lab::{Found, Lab, START, event, lines, rules};
use crate::{STAGE, Stage, assert_same, census, undetected};

fn fostering(lab: &mut Lab, stage: &Stage, partition: i32, of: i32) {
    for merchant in stage.facts.merchants_with_keys() {
        if foster_partition(merchant, of) == partition {
            lab.shard.foster(merchant, stage.world());
        }
    }
}

/// Each partition with a stream time of its own; a batch is admitted whole before any of it is judged.
fn judged(stage: &Stage, events: &[AuthEvent<'static>], of: i32, batch: usize) -> Found {
    let mut found = Found::new();
    for partition in 0..of {
        let mut lab = Lab::new();
        fostering(&mut lab, stage, partition, of);
        let mine = |e: &&AuthEvent<'static>| foster_partition(e.merchant_id.as_deref().unwrap(), of) == partition;
        let mine: Vec<_> = events.iter().filter(mine).cloned().collect();
        for batch in mine.chunks(batch) {
            let mut admitted = Vec::new();
            for event in batch {
                lab.intake.admit(lab.offset, event.clone(), &mut admitted);
                lab.offset += 1;
            }
            lab.shard.begin_turn();
            lab.judge(&admitted, stage.world());
        }
        lab.end(None, stage.world());
        assert_eq!(lab.intake.counts().late, 0, "the traffic is meant to keep within the lateness");
        found.extend(lab.found);
    }
    found
}

#[test]
fn the_traffic_shows_every_kind() {
    let found = judged(&STAGE, &STAGE.events, 1, 1);
    let counts = census(&found);
    // Each rule but those whose signs join an alert of another: new networks are part of what a page or a thief shows.
    assert_eq!(counts.len(), 14, "{counts:?}");
    assert!(counts.iter().all(|(_, n)| *n >= 2), "{counts:?}");
}

#[test]
fn batch_borders_and_partitions_change_nothing() {
    let whole = undetected(&judged(&STAGE, &STAGE.events, 1, 1));
    for (of, batch) in [(1, 7), (1, 1000), (3, 1), (4, 7), (12, 1000)] {
        let parts = undetected(&judged(&STAGE, &STAGE.events, of, batch));
        assert_same(&format!("{of} partitions, batches of {batch}"), &whole, &parts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Subjects pass each other by up to half a minute more; each keeps its own order.
    #[test]
    fn order_among_subjects_does_not_matter(seed in any::<u64>()) {
        let mut numbers = crate::traffic::Numbers::new(seed);
        let mut delay: HashMap<String, i64> = HashMap::new();
        let mut arrivals: Vec<(i64, usize)> = Vec::new();
        let mut newest = i64::MIN;
        for (i, event) in STAGE.events.iter().enumerate() {
            newest = newest.max(event.ts);
            let merchant = event.merchant_id.as_deref().unwrap().to_owned();
            let delay = *delay.entry(merchant).or_insert_with(|| numbers.below(MINUTE as u64 / 2) as i64);
            arrivals.push((newest + delay, i));
        }
        arrivals.sort();
        let shuffled: Vec<_> = arrivals.iter().map(|(_, i)| STAGE.events[*i].clone()).collect();
        prop_assert!(shuffled != STAGE.events);
        let whole = undetected(&judged(&STAGE, &STAGE.events, 1, 100));
        assert_same("shuffled", &whole, &undetected(&judged(&STAGE, &shuffled, 1, 100)));
    }

    #[test]
    fn duplicates_are_nothing(copies in prop::collection::vec((0.0..1.0f64, 1usize..2000), 1..60)) {
        let mut events: Vec<(usize, AuthEvent<'static>)> = STAGE.events.iter().cloned().enumerate().collect();
        for (from, later) in copies {
            let from = (from * STAGE.events.len() as f64) as usize;
            events.push((from + later, STAGE.events[from].clone()));
        }
        events.sort_by_key(|(place, _)| *place);
        let more: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
        let (once, twice) = (judged(&STAGE, &STAGE.events, 1, 100), judged(&STAGE, &more, 1, 100));
        prop_assert_eq!(once, twice);
    }
}

#[test]
fn late_events_are_counted_and_judged_only_where_no_window_is_needed() {
    let rules = rules(&[]);
    let facts = keywatch::event::facts::FactBook::new(10);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for i in 0..20 * 24 * 12 {
        lab.push(event(START + i * 5 * MINUTE, "k", "203.0.113.1"), world);
    }
    // Two hours late: a spike that nobody sees, and a network that is new all the same.
    let late = START + 20 * DAY - 2 * HOUR;
    let days_before = lab.shard.subject("m1").unwrap().keys[0].features.rates.clone();
    for _ in 0..300 {
        lab.push(event(late, "k", "198.51.100.1"), world);
    }
    assert_eq!(lab.intake.counts().late, 300);
    assert_eq!(lines(lab.found.values()), ["k network 198.51.100.0/24 19d22:00.. high r1"]);
    let features = &lab.shard.subject("m1").unwrap().keys[0].features;
    assert_eq!(features.rates, days_before, "late calls are in no window");
    assert_eq!(features.accepted, 20 * 24 * 12 + 300);
}
