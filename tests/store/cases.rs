//! What becomes of a change, given what is stored.

use keywatch::alert::{Severity, State};
use keywatch::store::{AlertFilter, CaseChange, Recorded, StoreError};

use super::*;
use Recorded::{Known, Opened, Updated, Void};
use Severity::{Critical, High, Warning};

/// Records changes one transaction each, then all of them again in one; returns what became of them and a line for
/// each case at the end.
async fn run(store: &TestStore, name: &str, changes: &[CaseChange], want: &[Recorded], want_cases: &[&str]) {
    let epoch = store.acquire_shard(&shard(0), name, NOW).await.unwrap().epoch;
    let changes: Vec<CaseChange> = changes.iter().map(|change| in_rule(change, name)).collect();
    let mut recorded = Vec::new();
    for change in &changes {
        let change = std::slice::from_ref(change);
        recorded.extend(store.record_changes(&shard(0), epoch, change, NOW, GROUP_WAIT).await.unwrap());
    }
    assert_eq!(recorded, want, "{name}");
    let before = store.dump().await;
    let again = store.record_changes(&shard(0), epoch, &changes, NOW + 1, GROUP_WAIT).await.unwrap();
    assert!(again.iter().all(|recorded| matches!(recorded, Known | Void)), "{name}: replay {again:?}");
    assert_eq!(store.dump().await, before, "{name}: a replay changes nothing");

    let alerts = store.alerts(&AlertFilter::default()).await.unwrap();
    let cases: Vec<String> = alerts
        .iter()
        .filter(|alert| alert.rule == name)
        .map(|alert| {
            let end = alert.ends_at.map_or("-".to_owned(), |end| (end - START).to_string());
            let severity = alert.severity.as_str();
            format!("{} r{} {severity} {}..{end}", alert.state.as_str(), alert.revision, alert.starts_at - START)
        })
        .collect();
    assert_eq!(cases, want_cases, "{name}");
}

/// Name of the rule, the changes, what becomes of each, and the cases at the end.
type Line = (&'static str, Vec<CaseChange>, Vec<Recorded>, Vec<&'static str>);

/// Each line of the table has a rule of its own, and so cases of its own.
fn in_rule(change: &CaseChange, rule: &str) -> CaseChange {
    let mut change = change.clone();
    change.alert.rule = rule.into();
    change.alert.alert_id = alert_id(rule, &change.alert.subject, change.alert.starts_at);
    change
}

#[test]
fn changes_meet_stored_cases() {
    let f = |start: i64, revision, severity| told(alert(START + start, revision, severity));
    let r = |start: i64, revision, severity, end: i64| told(resolved(START + start, revision, severity, START + end));
    let table: Vec<Line> = vec![
        ("opens", vec![f(0, 1, High)], vec![Opened], vec!["firing r1 high 0..-"]),
        ("same again", vec![f(0, 1, High), f(0, 1, High)], vec![Opened, Known], vec!["firing r1 high 0..-"]),
        ("worse", vec![f(0, 1, High), f(0, 2, Critical)], vec![Opened, Updated], vec!["firing r2 critical 0..-"]),
        ("older revision", vec![f(0, 3, High), f(0, 2, High)], vec![Opened, Known], vec!["firing r3 high 0..-"]),
        ("ends", vec![f(0, 1, High), r(0, 2, High, 50)], vec![Opened, Updated], vec!["resolved r2 high 0..50"]),
        (
            "ends without a revision",
            vec![f(0, 1, High), r(0, 1, High, 50)],
            vec![Opened, Updated],
            vec!["resolved r1 high 0..50"],
        ),
        ("ends unheard of", vec![r(0, 2, High, 50)], vec![Known], vec![]),
        (
            "a replay reopens nothing",
            vec![f(0, 1, High), r(0, 2, High, 50), f(0, 1, High), f(0, 2, High)],
            vec![Opened, Updated, Known, Known],
            vec!["resolved r2 high 0..50"],
        ),
        (
            "a newer revision reopens",
            vec![f(0, 1, High), r(0, 2, High, 50), f(0, 3, High)],
            vec![Opened, Updated, Updated],
            vec!["firing r3 high 0..-"],
        ),
        (
            "an older end does not end what was reopened",
            vec![f(0, 1, High), r(0, 2, High, 50), f(0, 3, High), r(0, 2, High, 50)],
            vec![Opened, Updated, Updated, Known],
            vec!["firing r3 high 0..-"],
        ),
        (
            "the end is corrected",
            vec![f(0, 1, High), r(0, 2, High, 50), r(0, 3, High, 60)],
            vec![Opened, Updated, Updated],
            vec!["resolved r3 high 0..60"],
        ),
        ("joins", vec![f(0, 1, High), f(10, 1, Warning)], vec![Opened, Known], vec!["firing r1 high 0..-"]),
        (
            "joins and is worse",
            vec![f(0, 1, Warning), f(10, 1, High)],
            vec![Opened, Updated],
            vec!["firing r2 high 0..-"],
        ),
        (
            "both engines count on",
            vec![f(0, 1, Warning), f(10, 1, High), f(0, 2, Critical)],
            vec![Opened, Updated, Updated],
            vec!["firing r3 critical 0..-"],
        ),
        (
            "what joined ends the case",
            vec![f(0, 1, High), f(10, 1, High), r(10, 2, High, 50)],
            vec![Opened, Known, Updated],
            vec!["resolved r2 high 0..50"],
        ),
        (
            "and its own end is known",
            vec![f(0, 1, High), f(10, 1, High), r(10, 2, High, 50), r(0, 2, High, 50)],
            vec![Opened, Known, Updated, Known],
            vec!["resolved r2 high 0..50"],
        ),
        (
            "an earlier start that joined opens nothing later",
            vec![f(10, 1, High), f(0, 1, High), r(10, 2, High, 50), f(0, 2, Critical)],
            vec![Opened, Known, Updated, Known],
            vec!["resolved r2 high 10..50"],
        ),
        (
            "an end from before the start",
            vec![f(10, 1, High), r(0, 2, High, 5)],
            vec![Opened, Known],
            vec!["firing r1 high 10..-"],
        ),
        (
            "starts inside one that is over",
            vec![f(0, 1, High), r(0, 2, High, 50), f(50, 1, Critical)],
            vec![Opened, Updated, Known],
            vec!["resolved r2 high 0..50"],
        ),
        (
            "starts after one that is over",
            vec![f(0, 1, High), r(0, 2, High, 50), f(51, 1, High)],
            vec![Opened, Updated, Opened],
            vec!["resolved r2 high 0..50", "firing r1 high 51..-"],
        ),
        (
            "does not reopen beside an open one",
            vec![f(0, 1, High), r(0, 2, High, 50), f(51, 1, High), f(0, 3, High)],
            vec![Opened, Updated, Opened, Known],
            vec!["resolved r2 high 0..50", "firing r1 high 51..-"],
        ),
    ];
    let table = std::sync::Arc::new(table);
    for_each_store(|store| {
        let table = table.clone();
        async move {
            for (name, changes, want, want_cases) in table.iter() {
                run(&store, name, changes, want, want_cases).await;
            }
        }
    });
}

#[test]
fn joined_case_keeps_its_identity() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let first = alert(START, 1, Warning);
        let worse = Alert { summary: "worse".into(), audience: Audience::Merchant, ..alert(START + 10, 1, High) };
        let changes = [told(first.clone()), told(worse.clone())];
        store.record_changes(&shard(0), epoch, &changes, NOW, GROUP_WAIT).await.unwrap();
        let stored = store.alert(&first.alert_id[..8]).await.unwrap().unwrap();
        let want = Alert { revision: 2, severity: High, summary: worse.summary, audience: Audience::Both, ..first };
        assert_eq!(stored, want);
    });
}

#[test]
fn one_transaction_for_all_changes() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let changes = [
            told(alert(START, 1, High)),
            told(alert(START, 2, Critical)),
            told(resolved(START, 3, Critical, START + 5)),
            told(alert(START + 6, 1, High)),
        ];
        let recorded = store.record_changes(&shard(0), epoch, &changes, NOW, GROUP_WAIT).await.unwrap();
        assert_eq!(recorded, [Opened, Updated, Updated, Opened]);
        assert_eq!(store.count("case_events").await, 4);
        let firing = AlertFilter { state: Some(State::Firing), ..AlertFilter::default() };
        assert_eq!(store.alerts(&firing).await.unwrap(), vec![changes[3].alert.clone()]);
    });
}

#[test]
fn foster_shard_gives_way_to_traffic() {
    for_each_store(|store| async move {
        let foster = |start, merchant: Option<&str>| {
            let alert = Alert { merchant_id: merchant.map(Into::into), ..alert(start, 1, High) };
            CaseChange { foster: true, ..told(alert) }
        };
        for partition in [0, 1] {
            store.acquire_shard(&shard(partition), "a", NOW).await.unwrap();
        }
        store.note_homes(&shard(1), 1, &["m1".into(), "m2".into(), "m1".into()]).await.unwrap();
        store.note_homes(&shard(0), 1, &["m2".into()]).await.unwrap();
        assert_eq!(store.count("homes").await, 2);
        let changes = [
            foster(START, Some("m1")),
            foster(START + 1, Some("m2")),
            foster(START + 2, Some("m3")),
            foster(START + 3, None),
            told(alert(START + 4, 1, High)),
        ];
        let recorded = store.record_changes(&shard(0), 1, &changes, NOW, GROUP_WAIT).await.unwrap();
        assert_eq!(recorded, [Void, Opened, Known, Known, Known]);
    });
}

#[test]
fn cases_of_a_removed_rule_end() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let other = in_rule(&told(alert(START, 1, High)), "stale-key");
        let quiet = in_rule(&untold(alert(START + 9, 1, High)), "new-ip");
        let changes = [told(alert(START, 1, High)), other.clone(), quiet];
        store.record_changes(&shard(0), epoch, &changes, NOW, GROUP_WAIT).await.unwrap();
        let kept = ["stale-key".to_owned()];
        let ended = store.resolve_removed(&kept, START + 5, NOW + 5).await.unwrap();
        let mut lines: Vec<_> =
            ended.iter().map(|alert| (alert.rule.as_str(), alert.revision, alert.ends_at)).collect();
        lines.sort_unstable();
        assert_eq!(lines, [("new-ip", 2, Some(START + 9)), ("spike", 2, Some(START + 5))]);
        assert!(ended.iter().all(|alert| alert.evidence["ended"] == "rule_removed" && alert.state == State::Resolved));
        assert_eq!(store.resolve_removed(&kept, START + 6, NOW + 6).await.unwrap(), vec![]);
        let firing = AlertFilter { state: Some(State::Firing), ..AlertFilter::default() };
        assert_eq!(store.alerts(&firing).await.unwrap(), vec![other.alert]);
        assert_eq!(store.count("untold").await, 2, "the quiet one is not told as over either");

        let replayed = store.record_changes(&shard(0), epoch, &changes, NOW + 7, GROUP_WAIT).await.unwrap();
        assert_eq!(replayed, [Known, Known, Known]);
        assert_eq!(store.resolve_removed(&[], START + 6, NOW + 6).await.unwrap().len(), 1);
    });
}

#[test]
fn alerts_are_read_in_order() {
    for_each_store(|store| async move {
        let epoch = store.acquire_shard(&shard(0), "a", NOW).await.unwrap().epoch;
        let of_key = |key: &str, start: i64| {
            let mut change = told(alert(START + start, 1, High));
            change.alert.subject = key.into();
            change.alert.key_id = Some(key.into());
            change.alert.alert_id = format!("kw-{key}-{start}");
            change
        };
        let changes = [of_key("c", 2), of_key("B", 1), of_key("a", 1), of_key("d", 0)];
        store.record_changes(&shard(0), epoch, &changes, NOW, GROUP_WAIT).await.unwrap();
        for (filter, want) in [
            (AlertFilter::default(), vec!["kw-d-0", "kw-B-1", "kw-a-1", "kw-c-2"]),
            (AlertFilter { limit: Some(2), ..Default::default() }, vec!["kw-a-1", "kw-c-2"]),
            (AlertFilter { key_id: Some("a".into()), ..Default::default() }, vec!["kw-a-1"]),
            (AlertFilter { merchant_id: Some("m2".into()), ..Default::default() }, vec![]),
            (
                AlertFilter {
                    merchant_id: Some("m1".into()),
                    state: Some(State::Firing),
                    limit: Some(1),
                    ..Default::default()
                },
                vec!["kw-c-2"],
            ),
        ] {
            let alerts = store.alerts(&filter).await.unwrap();
            let ids: Vec<&str> = alerts.iter().map(|alert| alert.alert_id.as_str()).collect();
            assert_eq!(ids, want, "{filter:?}");
        }
        assert_eq!(store.alert("kw-a").await.unwrap(), Some(changes[2].alert.clone()));
        assert_eq!(store.alert("kw-").await.unwrap(), None);
        assert_eq!(store.alerts_with_prefix("kw-").await.unwrap().len(), 4);
    });
}

#[test]
fn shards_that_race_open_one_case() {
    for_each_store(|store| async move {
        let mut tasks = tokio::task::JoinSet::new();
        for partition in 0..6 {
            store.acquire_shard(&shard(partition), "a", NOW).await.unwrap();
            let store = store.store.clone();
            tasks.spawn(async move {
                let changes = [told(alert(START + i64::from(partition), 1, High))];
                loop {
                    match store.record_changes(&shard(partition), 1, &changes, NOW, GROUP_WAIT).await {
                        Ok(recorded) => return recorded[0],
                        Err(StoreError::Unavailable(_)) => continue,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let recorded = tasks.join_all().await;
        assert_eq!(recorded.iter().filter(|recorded| **recorded == Opened).count(), 1, "{recorded:?}");
        assert_eq!(store.count("cases").await, 1);
    });
}
