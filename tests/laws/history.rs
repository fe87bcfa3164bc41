//! Law 9: a service that starts from what `replay --save-state` learned knows its keys at once, judges nothing twice, and
//! mails nothing about the time before its start.

use std::collections::BTreeSet;

use keywatch::config::AlertsConfig;
use keywatch::pipeline::history::History;
use keywatch::time::{DAY, HOUR, SECOND, parse_rfc3339};
use serde_json::Value;

use crate::lab::START;
use crate::made;
use crate::one_engine::{all, broker_with, piped, replayed, store_in, undetected};
use crate::traffic::Line;

fn ts(line: &Line) -> Option<i64> {
    let ts = serde_json::from_str::<Value>(&line.text).ok()?["ts"].clone();
    ts.as_i64().or_else(|| parse_rfc3339(ts.as_str()?))
}

#[tokio::test]
async fn a_service_goes_on_from_what_a_replay_has_learned() {
    let mut made = made(96, 14, 18.0);
    // Some fall silent shortly before the history ends, and one was made shortly before and is never used: what is
    // said of them later rests on what the history knew.
    let silent_from = START + 8 * DAY;
    let quiet: BTreeSet<String> = made.events.iter().map(|line| line.merchant.clone()).step_by(97).take(12).collect();
    made.events.retain(|line| !quiet.contains(&line.merchant) || ts(line).is_none_or(|ts| ts < silent_from));
    let fact = format!(
        r#"{{"type":"key_created","ts":{silent_from},"key_id":"new","merchant_id":"new","key_env":"live","created_at":{silent_from}}}"#
    );
    made.facts.push(Line { merchant: "new/new".into(), text: fact });
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.sqlite");
    // Two thirds are history; the broker still has the last part of it, and everything after.
    let cut = made.events.iter().position(|line| ts(line).is_some_and(|ts| ts >= START + 9 * DAY)).unwrap();
    let learned = replayed(&made, &made.events[..cut], 4, Some(state)).await;
    assert!(learned.alerts.len() > 20, "{}", learned.alerts.len());

    let store = store_in(folder.path()).await;
    let history = History::load(&store).await.unwrap();
    let learned_to = history.expect("a history").learned_to;
    let overlap = cut - 3_000;
    let alerts = AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: false };
    let metrics =
        piped(&broker_with(&made.events[overlap..]).0, &made, &made.events[overlap..], &store, history, alerts).await;

    let live = undetected(store.alerts(&all()).await.unwrap());
    let late: Vec<&Line> =
        made.events[cut..].iter().filter(|line| ts(line).is_some_and(|ts| ts <= learned_to)).collect();
    let whole: Vec<Line> = made
        .events
        .iter()
        .enumerate()
        .filter(|(n, line)| *n < cut || ts(line).is_none_or(|ts| ts > learned_to))
        .map(|(_, line)| line.clone())
        .collect();
    let want = undetected(replayed(&made, &whole, 1, None).await.alerts);
    assert!(want.len() > learned.alerts.len() + 20, "{} and {}", want.len(), learned.alerts.len());
    crate::assert_same("learned and live, and replayed whole", &want, &live);
    assert_eq!(metrics.events_known.get(), (cut - overlap + late.len()) as u64);
    assert_eq!(store.next_group_due().await.unwrap(), None, "all of it is older than an hour: nobody is told");
}

#[tokio::test]
async fn days_between_a_history_and_the_stream_are_days_not_seen() {
    let made = made(96, 14, 18.0);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.sqlite");
    let first_at = |day: i64| made.events.iter().position(|line| ts(line).is_some_and(|ts| ts >= START + day * DAY));
    let (ends, begins) = (first_at(8).unwrap(), first_at(12).unwrap());
    replayed(&made, &made.events[..ends], 1, Some(state)).await;
    let store = store_in(folder.path()).await;
    let history = History::load(&store).await.unwrap();
    let alerts = AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: false };
    piped(&broker_with(&made.events[begins..]).0, &made, &made.events[begins..], &store, history, alerts).await;
    let stale: Vec<_> = store.alerts(&all()).await.unwrap();
    let stale: Vec<_> = stale.into_iter().filter(|a| a.rule == "stale-key" && a.starts_at > START + 8 * DAY).collect();
    assert!(stale.is_empty(), "unused in days that nobody saw: {stale:#?}");
}
