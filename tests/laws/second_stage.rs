//! Law 2 for what is seen across shards: the same comes of the same signals, in whatever order and however often they
//! arrive, and by whichever steps time goes on.

use keywatch::alert::{Alert, Kind};
use keywatch::engine::second_stage::activity::Activity;
use keywatch::engine::second_stage::signal::{Finding, Knock, Signal};
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
                signals.push(Signal::Knock(Knock {
                    network: format!("198.51.{}.0/24", numbers.below(12)),
                    address: format!("198.51.100.{}", numbers.below(9)),
                    merchant,
                    accepted: numbers.below(5) == 0,
                    at,
                }));
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
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut signals = signals(seed);
        let want = merged(&signals, &rules, 30 * SECOND);
        kinds.extend(want.0.iter().map(|alert| alert.kind));
        assert!(want.1.iter().any(|taking| taking.is_taken), "{want:#?}");
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
