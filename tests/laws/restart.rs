//! Laws 2 and 6: whole log = prefix, snapshot, restore, suffix. Also where rows are from a later offset than the shard,
//! and where every subject leaves memory between batches.

use std::collections::BTreeMap;

use keywatch::engine::intake::Intake;
use keywatch::engine::shard::{Output, Place, Shard};
use keywatch::engine::snapshot::{ShardState, decode_shard, decode_subject, encode_shard, encode_subject};
use keywatch::event::AuthEvent;
use keywatch::pipeline::checkpoint::Queue;
use keywatch::time::{HOUR, Millis};
use proptest::prelude::*;

use crate::lab::{Found, LATENESS, LIMITS, Lab, note};
use crate::{STAGE, Stage};

/// What a store has of a subject.
#[derive(Clone)]
struct Row {
    current_to: i64,
    next_due: Option<Millis>,
    blob: Vec<u8>,
}

type Rows = BTreeMap<String, Row>;

fn started(stage: &Stage) -> Lab {
    let mut lab = Lab::new();
    let merchants: Vec<&str> = stage.facts.merchants_with_keys().collect();
    merchants.into_iter().for_each(|merchant| lab.shard.foster(merchant, stage.world()));
    lab
}

fn run(stage: &Stage, lab: &mut Lab, to: usize) {
    for event in &stage.events[lab.offset as usize..to] {
        lab.push(event.clone(), stage.world());
    }
}

fn whole(stage: &Stage) -> Found {
    let mut lab = started(stage);
    run(stage, &mut lab, stage.events.len());
    lab.end(None, stage.world());
    lab.found
}

fn store_dirty(lab: &mut Lab, rows: &mut Rows) {
    let current_to = lab.offset;
    for at in lab.shard.begin_checkpoint() {
        lab.shard.take_dirty(at, |subject, next_due| {
            rows.insert(subject.id.to_string(), Row { current_to, next_due, blob: encode_subject(subject) })
        });
    }
}

fn state(lab: &Lab) -> Vec<u8> {
    encode_shard(&ShardState {
        now: lab.intake.now(),
        watch: lab.shard.watch(),
        rules_version: String::new(),
        parked: lab.intake.parked().cloned().collect(),
        source_cases: lab.shard.sources().open_cases(),
        stream: lab.shard.stream().clone(),
    })
}

fn restored(stage: &Stage, state: &[u8], rows: &Rows, offset: usize) -> Lab {
    let state = decode_shard(state).unwrap();
    let mut lab = Lab {
        intake: Intake::new(LIMITS, state.now, state.parked),
        shard: Shard::new(LATENESS, 100, state.watch),
        found: Found::new(),
        offset: offset as i64,
    };
    lab.shard.restore_sources(state.source_cases);
    lab.shard.restore_stream(state.stream);
    for event in &stage.events[..offset] {
        lab.intake.remember(event.event_id.as_deref().unwrap());
    }
    for row in rows.values() {
        let subject = decode_subject(&row.blob, row.current_to).unwrap();
        lab.shard.insert(subject, row.next_due, stage.world());
    }
    lab
}

/// Stops at `cut`, its rows being from up to `ahead` messages later, and goes on from there.
fn with_a_crash(stage: &Stage, cut: usize, ahead: &[usize]) -> Found {
    let mut lab = started(stage);
    run(stage, &mut lab, cut);
    let mut rows = Rows::new();
    store_dirty(&mut lab, &mut rows);
    let state = state(&lab);
    // Slices that were written later, the position never.
    for more in ahead {
        let to = (lab.offset as usize + more).min(stage.events.len());
        run(stage, &mut lab, to);
        let mut later = Rows::new();
        store_dirty(&mut lab, &mut later);
        // Half of them: the crash came in the middle.
        rows.extend(later.into_iter().enumerate().filter(|(i, _)| i % 2 == 0).map(|(_, row)| row));
    }
    let before = std::mem::take(&mut lab.found);
    let mut lab = restored(stage, &state, &rows, cut);
    run(stage, &mut lab, stage.events.len());
    lab.end(None, stage.world());
    let mut found = before;
    for (id, alert) in lab.found {
        // What is found again is the same alert, as it was or further on.
        match found.get(&id) {
            Some(known) if known.revision > alert.revision => {}
            Some(known) if known.revision == alert.revision => assert_eq!(*known, alert, "found again"),
            _ => drop(found.insert(id, alert)),
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_changes_nothing(cut in 0.0..1.0f64, ahead in prop::collection::vec(1usize..600, 0..3)) {
        let cut = (cut * STAGE.events.len() as f64) as usize;
        prop_assert_eq!(whole(&STAGE), with_a_crash(&STAGE, cut, &ahead));
    }

    #[test]
    fn a_restart_loses_no_day_of_usage(cut in 0.0..1.0f64, ahead in 1usize..600) {
        let cut = (cut * STAGE.events.len() as f64) as usize;
        prop_assert_eq!(usage_in_steps(&STAGE, None), usage_in_steps(&STAGE, Some((cut, ahead))));
    }

    #[test]
    fn what_leaves_memory_comes_back_the_same(batch in 20usize..400) {
        prop_assert_eq!(whole(&STAGE), evicting(&STAGE, batch));
    }
}

/// Calls by key and day as the store has them in the end.
type Usage = BTreeMap<(String, i32), (i64, i64, Millis, Millis)>;

/// One whole checkpoint every so many events. Where there is a crash, the checkpoint of `ahead` events later ends after its subjects.
fn usage_in_steps(stage: &Stage, crash: Option<(usize, usize)>) -> Usage {
    let (mut lab, mut rows, mut usage) = (started(stage), Rows::new(), Usage::new());
    let mut checkpoint_at = |lab: &mut Lab, to: usize, rows: &mut Rows, with_usage: bool| {
        run(stage, lab, to.min(stage.events.len()));
        let (mut queue, current_to) = (Queue::of(&mut lab.shard), lab.offset);
        while let Some(slice) = queue.next_slice(&mut lab.shard, 7, current_to) {
            for row in slice.rows {
                rows.insert(row.id, Row { current_to, next_due: row.next_due, blob: row.blob });
            }
            for row in slice.usage.into_iter().filter(|_| with_usage) {
                usage.insert((row.key_id, row.day), (row.accepted, row.refused, row.first_at, row.last_at));
            }
        }
    };
    let cut = crash.map_or(0, |(cut, _)| cut);
    for to in (0..cut).step_by(100).chain([cut]) {
        checkpoint_at(&mut lab, to, &mut rows, true);
    }
    if let Some((cut, ahead)) = crash {
        let state = state(&lab);
        checkpoint_at(&mut lab, cut + ahead, &mut rows, false);
        lab = restored(stage, &state, &rows, cut);
    }
    for to in (cut..stage.events.len()).step_by(100).chain([stage.events.len()]) {
        checkpoint_at(&mut lab, to, &mut rows, true);
    }
    usage
}

/// A shell that keeps nothing in memory: subjects come for their events or for their timers, and leave again.
fn evicting(stage: &Stage, batch: usize) -> Found {
    let mut lab = started(stage);
    let mut rows = Rows::new();
    let mut timers_loaded_to = Millis::MIN;
    let mut left = 0;
    for events in stage.events.chunks(batch) {
        let mut admitted = Vec::new();
        for event in events {
            lab.intake.admit(lab.offset, event.clone(), &mut admitted);
            lab.offset += 1;
        }
        let Some(last) = admitted.iter().map(|a| a.now).max() else { continue };
        lab.shard.begin_turn();
        let wanted: Vec<&str> = admitted.iter().map(|a| a.event.merchant_id.as_deref().unwrap()).collect();
        let (from, to) = (timers_loaded_to, last + HOUR);
        let due = |row: &Row| row.next_due.is_some_and(|due| from <= due && due < to);
        for (id, row) in &rows {
            if lab.shard.touch(id, Place::default())
                || !(wanted.contains(&id.as_str()) || last >= timers_loaded_to && due(row))
            {
                continue;
            }
            let subject = decode_subject(&row.blob, row.current_to).unwrap();
            lab.shard.insert(subject, row.next_due, stage.world());
        }
        if last >= timers_loaded_to {
            timers_loaded_to = to;
        }
        lab.judge(&admitted, stage.world());
        store_dirty(&mut lab, &mut rows);
        lab.shard.begin_turn();
        lab.shard.begin_turn();
        left += lab.shard.evict(0, timers_loaded_to);
    }
    assert!(left > 100, "only {left} left");
    lab.end(None, stage.world());
    lab.found
}

/// One merchant's stream after a gap: nobody agrees, and the run of messages is cut by a restart.
#[test]
fn a_run_from_the_future_goes_on_after_a_restart() {
    let world = STAGE.world();
    let event = |i: i64| AuthEvent {
        event_id: Some(format!("e{i}").into()),
        ..crate::lab::event(crate::lab::START + if i == 0 { 0 } else { 9 * 24 * HOUR + i }, "k", "203.0.113.1")
    };
    let seen = |cut: i64| {
        let mut lab = Lab::new();
        // Others agree that it is day 0.
        lab.push(crate::lab::event(crate::lab::START, "m2/other", "203.0.113.1"), world);
        let mut judged_at = None;
        for i in 0..40 {
            if i == cut {
                let restored = decode_shard(&state(&lab)).unwrap();
                lab.intake = Intake::new(LIMITS, restored.now, restored.parked);
            }
            let mut admitted = Vec::new();
            lab.intake.admit(i, event(i), &mut admitted);
            if admitted.len() > 2 {
                judged_at = Some(i);
            }
            let mut out = Output::default();
            admitted.iter().for_each(|a| lab.shard.step(a, world, &mut out));
            note(&mut lab.found, out);
        }
        judged_at
    };
    assert_eq!(seen(100), Some(32));
    assert_eq!(seen(20), Some(32));
}

/// A key is used for two days, then never again, and its merchant has no other. Its timer moves on with every call,
/// while the store knows an older one.
#[test]
fn a_timer_that_moved_is_found_again_though_its_subject_left_memory() {
    use crate::lab::{START, event, lines};
    use keywatch::time::MINUTE;
    let mut events: Vec<_> = (0..8).map(|i| event(START + i * 6 * HOUR, "k", "203.0.113.1")).collect();
    events.extend((0..12 * 48).map(|i| event(START + i * 30 * MINUTE + 1, "m2/busy", "203.0.113.1")));
    events.sort_by_key(|e| e.ts);
    let stage = Stage {
        events,
        facts: keywatch::event::facts::FactBook::new(10),
        rules: crate::lab::rules(&["stale-key.unused_for=3d"]),
    };
    assert_eq!(lines(whole(&stage).values()), ["k 4d18:00.. info r1"]);
    for batch in [2, 3, 4] {
        assert_eq!(evicting(&stage, batch), whole(&stage), "batches of {batch}");
    }
}
