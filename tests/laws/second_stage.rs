//! Law 2 for what is seen across shards: the same comes of the same signals, in whatever order and however often they
//! arrive, and by whichever steps time goes on.

use keywatch::alert::{Alert, Kind, State};
use keywatch::engine::second_stage::activity::Activity;
use keywatch::engine::second_stage::signal::{Finding, Knock, Misused, Signal};
use keywatch::engine::second_stage::{SecondStage, StageOutput, Taking};
use keywatch::rules::RuleSet;
use keywatch::time::{HOUR, MINUTE, Millis, SECOND};

use crate::lab::{LATENESS, START, rules};
use crate::traffic::Numbers;

/// An hour and a half in which merchants have trouble now and then, many of them at one time, and strangers knock.
fn signals(seed: u64) -> Vec<Signal> {
    let mut numbers = Numbers::new(seed);
    let mut signals = Vec::new();
    for n in 0..200 {
        let merchant = format!("m_{:03}", numbers.below(60));
        let at = START + numbers.below(90 * MINUTE as u64) as i64;
        let (at, kind) = match n % 4 {
            0 => (START + 30 * MINUTE + numbers.below(8 * MINUTE as u64) as i64, Kind::ErrorBurst),
            1 => (at, Kind::Drop),
            2 => (at, Kind::Spike),
            _ => {
                let network = format!("198.51.{}.0/24", numbers.below(12));
                let accepted = numbers.below(3) == 0;
                if accepted {
                    let alert_id = format!("kw-{n:03}");
                    let misused = |at, moves_money, others: &[&str]| {
                        let (alert_id, network, merchant) = (alert_id.clone(), network.clone(), merchant.clone());
                        let others = others.iter().map(|other| (*other).to_owned()).collect();
                        Signal::Misused(Misused { alert_id, network, merchant, others, moves_money, at })
                    };
                    let later = at + numbers.below(HOUR as u64) as i64;
                    signals.push(misused(at, false, &[]));
                    match numbers.below(5) {
                        0 => signals.push(misused(later, true, &[])),
                        1 => signals.push(misused(later, false, &["198.51.3.0/24"])),
                        2 | 3 => signals.push(Signal::Ended { alert_id, at: later }),
                        _ => {}
                    }
                }
                let address = format!("198.51.100.{}", numbers.below(9));
                signals.push(Signal::Knock(Knock { network, address, merchant, accepted, at }));
                continue;
            }
        };
        let alert_id = format!("kw-{n:03}");
        if numbers.below(3) > 0 {
            let at = at + numbers.below(HOUR as u64) as i64;
            signals.push(Signal::Ended { alert_id: alert_id.clone(), at });
        }
        let began = at - numbers.below(5 * MINUTE as u64) as i64;
        signals.push(Signal::Found(Finding { alert_id, kind, merchant, key_id: Some(format!("k_{n}")), began, at }));
    }
    signals
}

fn merged(signals: &[Signal], rules: &RuleSet, step: Millis) -> (Vec<Alert>, Vec<Taking>) {
    let mut stage = SecondStage::new(LATENESS);
    let mut activity = Activity::default();
    (0..60).for_each(|m| activity.note(&format!("m_{m:03}"), (START - HOUR) / (10 * MINUTE)));
    let mut out = StageOutput::default();
    // What is told of a minute comes at any time before it is merged.
    let mut waiting: Vec<&Signal> = signals.iter().collect();
    let mut now = START - HOUR;
    while now < START + 5 * HOUR {
        now += step;
        waiting.retain(|signal| {
            let is_due = signal.at() <= now;
            if is_due {
                stage.take_in((*signal).clone());
            }
            !is_due
        });
        stage.note_activity(&activity, now);
        stage.advance(now, START + 6 * HOUR, rules, &mut out);
    }
    assert_eq!((stage.counts().late, stage.counts().dropped), (0, 0));
    let alerts = out.changes.into_iter().map(|change| change.alert).collect();
    (alerts, out.takings)
}

#[test]
fn the_order_of_signals_and_the_steps_of_time_change_nothing() {
    let rules = rules(&[]);
    let (mut kinds, mut takings) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..20 {
        let mut signals = signals(seed);
        let want = merged(&signals, &rules, 30 * SECOND);
        kinds.extend(want.0.iter().map(|alert| alert.kind));
        takings.extend(want.1.iter().map(|taking| (taking.kind, taking.is_taken)));
        let mut numbers = Numbers::new(seed + 1_000);
        for step in [7 * SECOND, MINUTE, 4 * MINUTE] {
            for at in (1..signals.len()).rev() {
                signals.swap(at, numbers.below(at as u64 + 1) as usize);
            }
            // Some are told again, as after a crash.
            let repeated: Vec<Signal> = signals.iter().filter(|_| numbers.below(4) == 0).cloned().collect();
            signals.extend(repeated);
            assert_eq!(merged(&signals, &rules, step), want, "seed {seed}");
        }
    }
    assert!(kinds.contains(&Kind::PlatformIncident) && kinds.contains(&Kind::KeyScan), "{kinds:?}");
    let want = [(Kind::KeyScan, false), (Kind::KeyScan, true), (Kind::PlatformIncident, true)];
    assert_eq!(takings, want.into());
}

/// One network uses keys of three merchants; what was found about each key before and after is part of that.
#[test]
fn a_scan_takes_over_what_was_found_about_each_key() {
    const NETWORK: &str = "198.51.100.0/24";
    const OTHER: &str = "203.0.113.0/24";
    let rules = rules(&[]);
    let at = |minutes: i64| START + minutes * MINUTE;
    let knock_of = |network: &str, n: u32, minutes| {
        let (network, address, merchant) = (network.to_owned(), network.replace("0/24", "7"), format!("m_{n}"));
        Signal::Knock(Knock { network, address, merchant, accepted: true, at: at(minutes) })
    };
    let knock = |n, minutes| knock_of(NETWORK, n, minutes);
    let misused = |id: &str, n: u32, minutes, others: &[&str]| Misused {
        alert_id: id.into(),
        network: NETWORK.into(),
        merchant: format!("m_{n}"),
        others: others.iter().map(|other| (*other).to_owned()).collect(),
        moves_money: false,
        at: at(minutes),
    };
    let found = |id, n, minutes| Signal::Misused(misused(id, n, minutes, &[]));
    let used_elsewhere = |id, n, minutes, other| Signal::Misused(misused(id, n, minutes, &[other]));
    let payout = |id, n, minutes| Signal::Misused(Misused { moves_money: true, ..misused(id, n, minutes, &[]) });
    let signals = [
        found("long ago", 0, -70),
        found("before", 0, 0),
        knock(0, 0),
        payout("payout", 1, 1),
        knock(1, 1),
        Signal::Misused(Misused { network: OTHER.into(), ..misused("by another", 1, 1, &[]) }),
        found("goes on", 2, 2),
        knock(2, 2),
        found("after", 3, 20),
        knock(3, 20),
        found("later payout", 4, 21),
        payout("later payout", 4, 25),
        // Another network has the key, too: a thief, until it shows that it goes through the list as well.
        used_elsewhere("a thief", 5, 26, "192.0.2.0/24"),
        found("scanned twice", 6, 27),
        used_elsewhere("scanned twice", 6, 29, OTHER),
        knock_of(OTHER, 6, 29),
        knock_of(OTHER, 7, 31),
        knock_of(OTHER, 8, 33),
        found("found by a thief", 9, 30),
        used_elsewhere("found by a thief", 9, 35, "192.0.2.0/24"),
        Signal::Ended { alert_id: "after".into(), at: at(40) },
        // An hour after the last knock the scan is over. What the network then does with a key is its merchant's matter.
        knock(2, 100),
        knock(3, 101),
    ];
    let (alerts, takings) = merged(&signals, &rules, 30 * SECOND);
    let scan = alerts.iter().find(|alert| alert.subject == format!("source {NETWORK}")).unwrap();
    assert_eq!(scan.kind, Kind::KeyScan);
    let (by_other, takings): (Vec<_>, Vec<_>) =
        takings.into_iter().partition(|taking| taking.is_taken && taking.by != scan.alert_id);
    assert_eq!(by_other.iter().map(|taking| &*taking.alert_id).collect::<Vec<_>>(), ["by another"]);
    assert!(takings.iter().all(|taking| taking.kind == Kind::KeyScan));
    let told: Vec<(&str, bool, i64)> =
        takings.iter().map(|one| (one.alert_id.as_str(), one.is_taken, (one.at - START) / MINUTE)).collect();
    let want = [
        ("before", true, 3),
        ("goes on", true, 3),
        ("after", true, 21),
        ("later payout", true, 22),
        ("later payout", false, 26),
        ("scanned twice", true, 28),
        ("found by a thief", true, 31),
        ("found by a thief", false, 46),
        ("goes on", false, 111),
    ];
    assert_eq!(told, want);
    let last = alerts.iter().rfind(|alert| alert.alert_id == scan.alert_id).unwrap();
    assert_eq!((last.state, &last.evidence["alerts_taken"]), (State::Resolved, &4.into()), "{alerts:#?}");
}

#[test]
fn what_was_merged_and_is_told_again_changes_nothing() {
    let rules = rules(&[]);
    let signals = signals(3);
    let mut stage = SecondStage::new(LATENESS);
    signals.iter().for_each(|signal| stage.take_in(signal.clone()));
    let mut out = StageOutput::default();
    stage.advance(START + HOUR, START + HOUR, &rules, &mut out);
    let before = stage.clone();
    let merged = signals.iter().filter(|signal| signal.at() < START + HOUR - LATENESS);
    let told: u64 = merged.map(|signal| stage.take_in(signal.clone())).count() as u64;
    assert_eq!(stage.counts().late, told);
    let mut again = StageOutput::default();
    stage.advance(START + HOUR, START + HOUR, &rules, &mut again);
    assert!(again.changes.is_empty() && again.takings.is_empty());
    assert_eq!(before.next_due(), stage.next_due());
}

/// Two days in which a hundred merchants call in every ten minutes; `few` and `refused` are of the forty minutes before `START`.
fn two_days(few: u32, refused: u32) -> Vec<Signal> {
    const TEN: Millis = 10 * MINUTE;
    let mut signals = Vec::new();
    for n in -300..4 {
        let bucket = START / TEN + n;
        let is_in = (-4..0).contains(&n);
        let mut activity = Activity::default();
        let name = |m: u32| format!("m_{m:03}");
        (0..if is_in { few } else { 100 }).for_each(|m| activity.note(&name(m), bucket));
        (0..if is_in { refused } else { 3 }).for_each(|m| activity.note_refused(&name(m), bucket));
        signals.extend(activity.close(Millis::MAX).into_iter().map(Signal::Active));
    }
    signals
}

/// A single merchant's finding says little; what all merchants do in the same ten minutes says whose trouble it is.
#[test]
fn trouble_of_the_whole_platform_takes_over_what_it_explains() {
    let rules = rules(&[]);
    let found = |alert_id: &str, kind, began: i64, at: i64| {
        let (alert_id, merchant) = (alert_id.to_owned(), format!("of {alert_id}"));
        let (began, at) = (START + began * MINUTE, START + at * MINUTE);
        Signal::Found(Finding { alert_id, kind, merchant, key_id: Some("k".into()), began, at })
    };
    let findings = [
        found("silent before", Kind::Drop, -200, -90),
        found("silent", Kind::Drop, -39, -21),
        found("refused", Kind::ErrorBurst, -30, -15),
        found("silent after", Kind::Drop, 1, 15),
        Signal::Ended { alert_id: "silent".into(), at: START + 5 * MINUTE },
        Signal::Ended { alert_id: "refused".into(), at: START + 5 * MINUTE },
    ];
    let run = |few, refused, step| {
        let mut stage = SecondStage::new(LATENESS);
        let mut waiting: Vec<Signal> = two_days(few, refused).into_iter().chain(findings.clone()).collect();
        let mut out = StageOutput::default();
        let mut now = START - 51 * HOUR;
        while now < START + 3 * HOUR {
            now += step;
            let due;
            (due, waiting) = waiting.into_iter().partition(|signal| signal.at() <= now);
            due.into_iter().for_each(|signal| stage.take_in(signal));
            let stored = stage.encode().unwrap();
            stage = SecondStage::decode(&stored, LATENESS).unwrap();
            stage.advance(now, now, &rules, &mut out);
        }
        let takings: Vec<_> = out.takings.iter().map(|taking| (taking.alert_id.clone(), taking.is_taken)).collect();
        let alerts: Vec<_> = out.changes.into_iter().map(|change| change.alert).collect();
        (alerts, takings)
    };
    let taken = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), true)).collect::<Vec<_>>();
    for (few, refused, want, summary) in [
        (100, 3, taken(&[]), ""),
        (70, 3, taken(&[]), ""),
        (100, 8, taken(&[]), ""),
        (20, 3, taken(&["silent"]), "Only 20 merchants call; about 99 are usual."),
        (100, 40, taken(&["silent", "refused"]), "Calls of 39 of 99 merchants are refused."),
    ] {
        let (alerts, takings) = run(few, refused, 4 * MINUTE);
        assert_eq!(takings, want, "{few} {refused}");
        let summaries: Vec<&str> = alerts.iter().map(|alert| alert.summary.as_str()).collect();
        assert_eq!(summaries, vec![summary; if summary.is_empty() { 0 } else { 2 }], "{alerts:#?}");
        if let [first, last] = &alerts[..] {
            assert_eq!(
                (first.kind, first.starts_at, last.state),
                (Kind::PlatformIncident, START - 39 * MINUTE, State::Resolved)
            );
        }
        let more_often = run(few, refused, 45 * SECOND);
        assert_eq!((more_often.0.len(), more_often.1), (alerts.len(), takings));
    }
}

/// What a build before the platform's course had stored is read on.
#[test]
fn a_stage_that_was_stored_without_a_course_is_read() {
    let rules = rules(&[]);
    let mut stage = SecondStage::new(LATENESS);
    signals(3).into_iter().for_each(|signal| stage.take_in(signal));
    stage.advance(START + HOUR, START + HOUR, &rules, &mut StageOutput::default());
    let mut stored: serde_json::Value = serde_json::from_str(&stage.encode().unwrap()).unwrap();
    assert!(stored["platform"].as_object_mut().unwrap().remove("course").is_some());
    for side in stored["platform"]["sides"].as_object_mut().unwrap().values_mut() {
        side["open"].as_object_mut().map(|open| open.remove("wide"));
    }
    assert!(stored.to_string().contains("\"open\":{"), "a case is open");
    let read = SecondStage::decode(&stored.to_string(), LATENESS).unwrap();
    assert_eq!((read.merged_to(), read.next_due()), (stage.merged_to(), stage.next_due()));
}
