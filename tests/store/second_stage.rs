//! Alerts that change hands, and signals of shards that are merged once.

use keywatch::engine::fleet::{FleetBook, Trait, Traits};
use keywatch::engine::second_stage::{Taking, is_taken};
use keywatch::store::{AlertFilter, Mark, MergedStage, Recorded, SignalRow, ToMerge};

use keywatch::time::DAY;

use super::*;
use Severity::{High, Warning};

fn taking(start: i64, is_taken: bool) -> Taking {
    let alert_id = alert(start, 1, Warning).alert_id;
    Taking { alert_id, by: "kw-platform".into(), kind: Kind::PlatformIncident, at: START + 10 * MINUTE, is_taken }
}

async fn stored(store: &TestStore) -> Vec<Alert> {
    store.alerts(&AlertFilter { with_shadow: true, ..AlertFilter::default() }).await.unwrap()
}

async fn shown(store: &TestStore) -> usize {
    store.alerts(&AlertFilter::default()).await.unwrap().len()
}

#[test]
fn a_held_alert_waits_and_one_that_is_taken_is_shown_to_nobody_who_does_not_ask() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        let held = CaseChange { hold: 7 * MINUTE, ..told(alert(START, 1, High)) };
        store.record_changes(&shard(0), 1, &[held], NOW, GROUP_WAIT).await.unwrap();
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + 7 * MINUTE), "even one that is told at once");

        store.take_over(&shard(0), 1, &[taking(START, true)], NOW).await.unwrap();
        let want = Alert { revision: 2, ends_at: Some(START + 10 * MINUTE), ..resolved(START, 2, High, 0) };
        let evidence = serde_json::json!({"observed": 900, "ended": "platform_incident", "taken_by": "kw-platform"});
        assert_eq!(stored(&store).await, [Alert { evidence, ..want }]);
        assert_eq!(shown(&store).await, 0);
        let before = store.dump().await;
        store.take_over(&shard(0), 1, &[taking(START, true)], NOW + 1).await.unwrap();
        assert_eq!(store.dump().await, before, "once");
    });
}

/// Each way of telling the same ends in the same record: whether a case changes before or after it is taken, and whether it
/// ends before or after it is given back.
#[test]
fn it_makes_no_difference_when_an_alert_is_taken_or_given_back() {
    enum Step {
        Change(Box<Alert>),
        Take(bool),
    }
    use Step::{Change, Take};
    let first = || Change(Box::new(alert(START, 1, Warning)));
    let worse = || Change(Box::new(alert(START, 2, High)));
    let end = || Change(Box::new(resolved(START, 3, High, START + HOUR)));
    let ways = [
        vec![vec![first(), worse(), Take(true)], vec![first(), Take(true), worse()]],
        vec![vec![first(), worse(), end(), Take(true)], vec![first(), Take(true), worse(), end()]],
        vec![
            vec![first(), worse(), Take(true), Take(false), end()],
            vec![first(), Take(true), worse(), Take(false), end()],
            vec![first(), Take(true), worse(), end(), Take(false)],
        ],
        vec![vec![first(), Take(true), worse(), Take(false)], vec![first(), Take(true), Take(false), worse()]],
    ];
    let ends = [(State::Resolved, true), (State::Resolved, true), (State::Resolved, false), (State::Firing, false)];
    let ways = std::sync::Arc::new(ways);
    for_each_store(|store| {
        let ways = ways.clone();
        async move {
            store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
            for (n, (same, want)) in ways.iter().zip(ends).enumerate() {
                let mut records = Vec::new();
                for (m, way) in same.iter().enumerate() {
                    // Each way has a case of its own; all that names it is put back below.
                    let (key, start) = (format!("k{n}{m}"), START);
                    let own = |alert: &Alert| Alert {
                        alert_id: alert_id("spike", &key, start),
                        subject: key.clone(),
                        ..alert.clone()
                    };
                    for step in way {
                        match step {
                            Change(alert) => {
                                let changes = [told(own(alert))];
                                store.record_changes(&shard(0), 1, &changes, NOW, GROUP_WAIT).await.unwrap();
                            }
                            Take(is_taken) => {
                                let taking =
                                    Taking { alert_id: alert_id("spike", &key, start), ..taking(START, *is_taken) };
                                store.take_over(&shard(0), 1, &[taking], NOW).await.unwrap();
                            }
                        }
                    }
                    let alert = stored(&store).await.into_iter().find(|alert| alert.subject == key).unwrap();
                    records.push(Alert { alert_id: String::new(), subject: String::new(), ..alert });
                }
                assert!(records.iter().all(|record| *record == records[0]), "{n}: {records:#?}");
                assert_eq!((records[0].state, is_taken(&records[0])), want, "{n}");
            }
        }
    });
}

#[test]
fn what_is_given_back_is_told() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        store.record_changes(&shard(0), 1, &[told(alert(START, 1, Warning))], NOW, GROUP_WAIT).await.unwrap();
        store.take_over(&shard(0), 1, &[taking(START, true)], NOW).await.unwrap();
        let nothing = |_: &_, cases: &[keywatch::store::GroupCase]| {
            assert!(cases.iter().all(|case| case.told.is_none() && case.alert.state == State::Resolved), "{cases:#?}");
            None
        };
        assert_eq!(store.notify_group("support/m1", NOW + HOUR, nothing).await.unwrap(), None);
        store.take_over(&shard(0), 1, &[taking(START, false)], NOW + HOUR).await.unwrap();
        assert_eq!(store.next_group_due().await.unwrap(), Some(NOW + HOUR));
        assert_eq!(shown(&store).await, 1);
    });
}

fn signal(at: i64, id: &str) -> SignalRow {
    SignalRow { minute: at / MINUTE, id: id.into(), body: id.into() }
}

async fn pass(store: &TestStore, partition: i32, passed: i64, end_offset: Option<i64>) {
    let mark = Mark { passed, end_offset, activity: format!("{partition}") };
    store.mark_passed(&shard(partition), 1, &mark, NOW).await.unwrap();
}

/// Something else for each time.
fn fleet_of(to: i64) -> Vec<(i64, Traits)> {
    vec![(to / DAY + 2, Traits::default().with(Trait::Hour, Some(to as f64 / START as f64)))]
}

async fn merge(
    store: &TestStore,
    to: i64,
    seen: &std::sync::Mutex<Vec<ToMerge>>,
) -> Option<Vec<(CaseChange, Recorded)>> {
    let merge = |what: ToMerge| {
        let change = told(Alert { kind: Kind::PlatformIncident, ..alert(START, 1, High) });
        let what_to = what.to;
        seen.lock().unwrap().push(what);
        Ok(MergedStage { stage: "after".into(), changes: vec![change], takings: Vec::new(), fleet: fleet_of(what_to) })
    };
    store.merge_signals(to, NOW, GROUP_WAIT, merge).await.unwrap()
}

#[test]
fn signals_are_merged_once() {
    for_each_store(|store| async move {
        let seen = std::sync::Mutex::new(Vec::new());
        for partition in 0..2 {
            store.acquire_shard(&shard(partition), "a", NOW).await.unwrap();
        }
        let rows = [signal(START, "a"), signal(START + MINUTE, "b"), signal(START, "a")];
        store.tell_signals(&shard(0), 1, &rows, NOW).await.unwrap();
        store.tell_signals(&shard(1), 1, &[signal(START, "a"), signal(START, "c")], NOW).await.unwrap();
        let first = merge(&store, START, &seen).await;
        assert!(first.is_some() && seen.lock().unwrap().pop().unwrap().signals.is_empty(), "the minute has not passed");
        assert!(merge(&store, START + MINUTE - 1, &seen).await.is_none(), "nor has it now");

        let recorded = merge(&store, START + MINUTE, &seen).await.unwrap();
        assert_eq!(recorded[0].1, Recorded::Known, "its row is there already");
        let what = seen.lock().unwrap().pop().unwrap();
        assert_eq!((what.stage.as_str(), what.signals), ("after", vec!["a".to_owned(), "c".to_owned()]));
        assert_eq!(what.to, START + MINUTE);
        assert!(merge(&store, START + MINUTE, &seen).await.is_none(), "it is merged");

        merge(&store, START + HOUR, &seen).await.unwrap();
        assert_eq!(seen.lock().unwrap().pop().unwrap().signals, ["b"]);
        assert_eq!(store.count("signals").await, 0);
    });
}

#[test]
fn what_the_fleet_is_like_is_kept_for_its_day_and_never_changed() {
    for_each_store(|store| async move {
        assert_eq!(store.fleet().await.unwrap(), FleetBook::default());
        let seen = std::sync::Mutex::new(Vec::new());
        for to in [START, START + HOUR, START + DAY] {
            store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
            merge(&store, to, &seen).await.unwrap();
        }
        let want = FleetBook::new(fleet_of(START).into_iter().chain(fleet_of(START + DAY)));
        assert_eq!(store.fleet().await.unwrap(), want, "the second one of the first day came too late");
        let old = FleetBook::new(fleet_of(START + 300 * DAY));
        store.save_second_stage("", START + 300 * DAY, &old, NOW).await.unwrap();
        assert_eq!(store.fleet().await.unwrap(), old, "what is older than is kept is forgotten");
    });
}

#[test]
fn every_partition_says_how_far_it_has_come() {
    for_each_store(|store| async move {
        let marks = store.marks(0).await.unwrap();
        assert_eq!((marks.of, marks.merged_to), (Vec::new(), 0));
        for partition in 0..2 {
            store.acquire_shard(&shard(partition), "a", NOW).await.unwrap();
        }
        pass(&store, 1, START, Some(7)).await;
        pass(&store, 0, START, Some(5)).await;
        pass(&store, 0, START + HOUR, None).await;
        let seen = std::sync::Mutex::new(Vec::new());
        merge(&store, START + MINUTE, &seen).await.unwrap();
        let marks = store.marks(NOW).await.unwrap();
        assert_eq!(marks.merged_to, START + MINUTE);
        let mark = |passed, end_offset, activity: &str| Mark { passed, end_offset, activity: activity.into() };
        let want = [(shard(0), mark(START + HOUR, None, "0")), (shard(1), mark(START, Some(7), "1"))];
        assert_eq!(marks.of, want);
        assert!(store.marks(NOW + 1).await.unwrap().of.is_empty(), "all of them are old");
    });
}

#[test]
fn a_former_owner_tells_nothing_and_old_signals_go() {
    for_each_store(|store| async move {
        store.acquire_shard(&shard(0), "a", NOW).await.unwrap();
        store.tell_signals(&shard(0), 1, &[signal(START, "a")], NOW).await.unwrap();
        store.acquire_shard(&shard(0), "b", NOW).await.unwrap();
        let mark = Mark { passed: START, end_offset: None, activity: String::new() };
        assert!(store.tell_signals(&shard(0), 1, &[signal(START, "b")], NOW).await.is_err());
        assert!(store.mark_passed(&shard(0), 1, &mark, NOW).await.is_err());
        assert_eq!((store.count("signals").await, store.count("signal_marks").await), (1, 0));
        assert_eq!(store.forget_signals(NOW).await.unwrap(), 0);
        assert_eq!(store.forget_signals(NOW + 1).await.unwrap(), 1);
    });
}
