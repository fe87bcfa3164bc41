//! Laws 4 and 5: only the stream moves stream time, and no single clock does.

use keywatch::engine::clock::LONG_RUN;
use keywatch::engine::fleet::SHIPPED;
use keywatch::engine::intake::IntakeLimits;
use keywatch::engine::shard::World;
use keywatch::event::AuthEvent;
use keywatch::event::facts::{Fact, FactBook, FactKind};
use keywatch::rules::RuleSet;
use keywatch::time::{DAY, HOUR, MINUTE, Millis};

use crate::lab::{LATENESS, LIMITS, Lab, START, event, lines, rules};

const YEAR_2099: Millis = 4_070_908_800_000;

fn two_merchants(hours: i64) -> Vec<AuthEvent<'static>> {
    (0..hours * 2).map(|i| event(START + i * HOUR / 2, ["m1/a", "m2/b"][(i % 2) as usize], "203.0.113.1")).collect()
}

fn judge(events: Vec<AuthEvent<'static>>) -> Lab {
    let rules = rules(&["stale-key.unused_for=1d"]);
    let facts = FactBook::new(10);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    for event in events {
        lab.push(event, world);
    }
    lab.end(None, world);
    lab
}

#[test]
fn an_old_stream_that_stands_still_raises_nothing() {
    let lab = judge(two_merchants(48));
    assert_eq!(lines(lab.found.values()), [""; 0]);
    assert_eq!(lab.intake.now(), Some(START + 48 * HOUR - HOUR / 2));
}

#[test]
fn one_wrong_clock_moves_nothing_wherever_it_speaks() {
    let clean = judge(two_merchants(96));
    for place in [0, 1, 2, 90, 192] {
        let mut events = two_merchants(96);
        events.insert(place, event(YEAR_2099, "m3/wrong", "203.0.113.1"));
        let lab = judge(events);
        assert_eq!(lab.intake.now(), clean.intake.now(), "at {place}");
        assert_eq!(lab.found, clean.found, "at {place}");
        assert_eq!(lab.shard.counts().judged, 192, "at {place}");
        assert_eq!(lab.intake.parked().len(), 1, "at {place}");
    }
}

#[test]
fn two_wrong_clocks_that_differ_and_one_that_repeats_move_nothing() {
    let mut events = two_merchants(96);
    events.insert(50, event(YEAR_2099, "m3/wrong", "203.0.113.1"));
    events.insert(51, event(YEAR_2099 + 30 * DAY, "m4/wrong", "203.0.113.1"));
    assert_eq!(judge(events).intake.now(), judge(two_merchants(96)).intake.now());

    let mut events = two_merchants(96);
    for _ in 1..LONG_RUN {
        events.insert(50, event(YEAR_2099, "m3/wrong", "203.0.113.1"));
    }
    let lab = judge(events);
    assert_eq!(lab.intake.now(), judge(two_merchants(96)).intake.now());
    assert_eq!(lab.intake.counts().parked, u64::from(LONG_RUN) - 1 + 2, "and the stream's first two");
}

#[test]
fn agreement_frees_what_was_held_in_its_order() {
    let mut events = two_merchants(2);
    let later = START + 30 * DAY;
    events.extend([event(later, "m1/a", "203.0.113.1"), event(later + MINUTE, "m2/b", "203.0.113.1")]);
    let lab = judge(events);
    assert_eq!((lab.intake.now(), lab.intake.parked().len()), (Some(later + MINUTE), 0));
    assert_eq!(lab.shard.counts().judged, 6);
    // A month of silence was seen by the stream itself.
    assert_eq!(lines(lab.found.values()), ["a 1d01:00..30d00:00 info r2", "b 1d01:30..30d00:01 info r2"]);
}

#[test]
fn a_sparse_stream_is_judged_at_the_end_of_its_input() {
    let events: Vec<_> = (0..5).map(|i| event(START + i * 3 * DAY, &format!("m{i}/k"), "203.0.113.1")).collect();
    let lab = judge(events);
    assert_eq!((lab.shard.counts().judged, lab.intake.parked().len()), (5, 0));
    assert_eq!(lab.intake.now(), Some(START + 12 * DAY));
}

#[test]
fn the_room_for_the_future_is_bounded_and_the_oldest_goes() {
    let limits = IntakeLimits { parked_events: 3, ..LIMITS };
    let facts = FactBook::new(10);
    let rules: std::sync::Arc<RuleSet> = rules(&[]);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::with(limits);
    two_merchants(4).into_iter().for_each(|event| lab.push(event, world));
    for i in 0..5 {
        lab.push(event(YEAR_2099 + i * 30 * DAY, &format!("w{i}/wrong"), "203.0.113.1"), world);
    }
    assert_eq!(lab.intake.counts().parked_dropped, 2);
    let held: Vec<_> = lab.intake.parked().map(|p| (p.event.ts - YEAR_2099) / (30 * DAY)).collect();
    assert_eq!(held, [2, 3, 4]);
}

#[test]
fn a_timer_judges_its_own_moment() {
    // Due at 1d; the stream goes on to 1d + lateness, then a step further, then the key itself speaks.
    let facts = FactBook::new(10);
    let rules = rules(&["stale-key.unused_for=1d"]);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let start = || {
        let mut lab = Lab::new();
        lab.push(event(START, "m1/a", "203.0.113.1"), world);
        lab.push(event(START, "m2/b", "203.0.113.1"), world);
        lab.push(event(START + 23 * HOUR, "m2/b", "203.0.113.1"), world);
        lab
    };
    for (other, own, want) in [
        (DAY + LATENESS, DAY, "none"),
        (DAY + LATENESS + 1, DAY + 1, "a 1d00:00..1d00:00 info r2"),
        (DAY, DAY + 1, "a 1d00:00..1d00:00 info r2"),
        (DAY, DAY, "none"),
    ] {
        let mut lab = start();
        lab.push(event(START + other, "m2/b", "203.0.113.1"), world);
        lab.push(event(START + own, "m1/a", "203.0.113.1"), world);
        let found = lines(lab.found.values()).into_iter().map(|line| line.replace("..1d00:00:00", "..1d00:00"));
        assert_eq!(found.collect::<Vec<_>>().first().map_or("none", String::as_str), want, "{other} {own}");
    }
}

#[test]
fn what_no_late_event_could_change_is_told_as_soon_as_time_has_come() {
    let (exposed, merchant, key) = (START + DAY, Some("m1".to_owned()), Some("a".to_owned()));
    let mut facts = FactBook::new(10);
    facts.learn(&Fact { key_id: key, merchant_id: merchant, ..Fact::new(FactKind::KeyExposed, exposed) });
    let rules = rules(&["stale-key.unused_for=1d"]);
    let world = World { facts: &facts, rules: &rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    lab.push(event(START, "m1/a", "203.0.113.1"), world);
    lab.push(event(START, "m2/b", "203.0.113.1"), world);
    let mut told = Vec::new();
    for after in [-1, 0, LATENESS, LATENESS + 1] {
        lab.push(event(exposed + after, "m2/b", "203.0.113.1"), world);
        let mut rules: Vec<_> = lab.found.values().filter(|a| a.key_id.as_deref() == Some("a")).collect();
        rules.sort_by_key(|alert| &alert.rule);
        told.push(rules.iter().map(|a| (a.rule.clone(), a.detected_at - exposed)).collect::<Vec<_>>());
    }
    let exposed_at_once = ("key-exposed".to_owned(), 0);
    // A key turns stale unless a call comes late, so that waits.
    let stale = ("stale-key".to_owned(), LATENESS + 1);
    assert_eq!(
        told,
        [vec![], vec![exposed_at_once.clone()], vec![exposed_at_once.clone()], vec![exposed_at_once, stale]]
    );
}
