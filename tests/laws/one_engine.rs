//! Laws 1 and 2: the same events through `replay` with any number of partitions, and through the pipeline with a
//! database and a broker (librdkafka's mock), give the same alerts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use keywatch::alert::{Alert, Kind};
use keywatch::config::{AlertsConfig, Limits, MailConfig, MailTransport, Secret, StoreConfig};
use keywatch::engine::second_stage::is_taken;
use keywatch::event::facts::FactBook;
use keywatch::geoip::GeoIp;
use keywatch::health::Health;
use keywatch::metrics::Metrics;
use keywatch::pipeline::history::History;
use keywatch::pipeline::takeover::foster_partition;
use keywatch::pipeline::{Parts, Pipeline, Role};
use keywatch::replay::{Replay, Replayed, replay};
use keywatch::source::kafka::consume;
use keywatch::source::kafka::testing::{Mock, Producer, plain_config};
use keywatch::store::{AlertFilter, Mark, ShardId, Store};
use keywatch::time::{HOUR, SECOND};
use keywatch::wall;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::traffic::{Line, Traffic};
use crate::{QUICK, decoder, lab, made};

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

/// Replays `events`, in `partitions` shards; what was learned is stored where `save_state` says.
pub async fn replayed(made: &Traffic, lines: &[Line], partitions: u32, save_state: Option<PathBuf>) -> Replayed {
    replayed_with(Arc::default(), made, lines, partitions, save_state).await
}

/// The same, where addresses are looked up.
pub async fn replayed_with(
    geoip: Arc<GeoIp>,
    made: &Traffic,
    lines: &[Line],
    partitions: u32,
    save_state: Option<PathBuf>,
) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let (events, facts) = (folder.path().join("events.jsonl"), folder.path().join("key-events.jsonl"));
    std::fs::write(&events, text(lines)).unwrap();
    std::fs::write(&facts, text(&made.facts)).unwrap();
    let plan = Replay {
        with_shadow: true,
        events,
        key_events: Some(facts),
        partitions,
        until: None,
        save_state,
        mail_out: None,
        mail: MailConfig {
            from: "a@example.com".into(),
            reply_to: "a@example.com".into(),
            support: Vec::new(),
            operations: Vec::new(),
            link: None,
            transport: MailTransport::None,
            give_up_after: HOUR,
        },
        limits: Limits::default(),
        group_wait: 30 * SECOND,
        geoip,
    };
    replay(plan, lab::rules(QUICK), &decoder()).await.unwrap()
}

/// Alerts as they are written.
pub fn json(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect()
}

#[tokio::test]
async fn replay_gives_the_same_bytes_on_1_4_and_12_partitions() {
    let made = made(240, 21, 26.0);
    let one = replayed(&made, &made.events, 1, None).await;
    assert!(one.messages > 150_000, "{}", one.messages);
    assert!(one.alerts.len() > 100 && one.intake.late == 0, "{} {:?}", one.alerts.len(), one.intake);
    // The calls of twenty merchants are refused in the same minutes: one alert, which has all of theirs.
    let platform: Vec<&Alert> = one.alerts.iter().filter(|alert| is_of_platform(alert)).collect();
    assert_eq!(platform.len(), 1, "{platform:#?}");
    assert_eq!(platform[0].evidence["merchants"], 20, "{:#?}", platform[0]);
    let is_its = |alert: &&Alert| alert.evidence.get("taken_by") == Some(&platform[0].alert_id.clone().into());
    // Where refusals go on longer than everywhere else, the alert is given back.
    let n_taken = one.alerts.iter().filter(is_its).count();
    assert!((16..=20).contains(&n_taken), "{n_taken}");
    for partitions in [4, 12] {
        let more = replayed(&made, &made.events, partitions, None).await;
        assert_eq!(one.shards, more.shards);
        assert!(json(&one.alerts) == json(&more.alerts), "{partitions} partitions differ");
    }
}

/// A broker of its own with `events` in four partitions.
pub fn broker_with(events: &[Line]) -> (Mock, Producer) {
    const PARTITIONS: i32 = 4;
    let mock = Mock::start().unwrap();
    mock.create_topic("auth-events", PARTITIONS).unwrap();
    let producer = Producer::connect(&mock.brokers()).unwrap();
    for line in events {
        // Not the partition that watches the merchant for want of traffic.
        let partition = (foster_partition(&line.merchant, PARTITIONS) + 1) % PARTITIONS;
        producer.send("auth-events", partition, Some(line.merchant.as_bytes()), Some(line.text.as_bytes())).unwrap();
    }
    producer.flush().unwrap();
    (mock, producer)
}

/// Lets the pipeline read `events`, which the broker has, to their end.
pub async fn piped(
    mock: &Mock,
    made: &Traffic,
    events: &[Line],
    store: &Store,
    history: Option<History>,
    alerts: AlertsConfig,
) -> Arc<Metrics> {
    let all = events.len() as u64;
    piped_until(mock, made, store, history, alerts, |m, caught_up| caught_up && all <= m.messages_read.get()).await
}

/// Lets the pipeline read what the broker has until something is true of its metrics, and of whether it has caught up.
async fn piped_until(
    mock: &Mock,
    made: &Traffic,
    store: &Store,
    history: Option<History>,
    alerts: AlertsConfig,
    is_done: impl Fn(&Metrics, bool) -> bool,
) -> Arc<Metrics> {
    let mut facts = FactBook::new(10_000);
    for line in &made.facts {
        facts.learn(&decoder().decode_fact(line.text.as_bytes(), None).unwrap().unwrap());
    }
    let mut config = plain_config(&mock.brokers(), "laws");
    config.properties.insert("session.timeout.ms".into(), "3000".into());
    config.properties.insert("heartbeat.interval.ms".into(), "300".into());
    let stopping = CancellationToken::new();
    let metrics = Arc::new(Metrics::new().unwrap());
    let health = Arc::new(Health::default());
    let (send, receive) = mpsc::channel(16);
    let consuming = consume(&config, &["auth-events"], "", send, stopping.clone());
    let parts = Parts {
        role: Role::Events,
        store: store.clone(),
        instance: "laws".into(),
        // Hardly anything stays in memory, and it is stored all the time.
        limits: Limits { resident_subjects: 8, checkpoint_every: 50, slice_rows: 7, ..Limits::default() },
        alerts,
        decoder: Arc::new(decoder()),
        facts: Arc::new(RwLock::new(facts)),
        rules: lab::rules(QUICK),
        metrics: metrics.clone(),
        health: health.clone(),
        geoip: Arc::default(),
        history,
        first_start: 0,
        fleet: Arc::default(),
        wake_dispatcher: Arc::new(Notify::new()),
        stopping: stopping.clone(),
    };
    let (_control, controlled) = mpsc::channel(1);
    let all_read = async {
        while !is_done(&metrics, health.is_caught_up()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stopping.cancel();
    };
    let pipeline = Pipeline::new(parts, Some(consuming.link)).run(receive, controlled);
    let both = async { tokio::join!(pipeline, all_read) };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(120), both).await.expect("it reads to the end");
    ended.unwrap();
    consuming.thread.join().unwrap();
    metrics
}

/// An SQLite store in a folder.
pub async fn store_in(folder: &Path) -> Store {
    let url = format!("sqlite:{}", folder.join("state.sqlite").display());
    let store = Store::open(&StoreConfig { url: Secret::new(url), max_connections: 2, migrate: true }).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Whether an alert is about trouble of the whole platform.
fn is_of_platform(alert: &Alert) -> bool {
    alert.kind == Kind::PlatformIncident && alert.evidence["direction"] == "trouble"
}

/// With what is shown only to those who ask for it.
pub fn all() -> AlertFilter {
    AlertFilter { with_shadow: true, ..AlertFilter::default() }
}

/// By ID, without when they were detected: that depends on how far reading had come.
pub fn undetected(alerts: Vec<Alert>) -> Vec<Alert> {
    let mut alerts: Vec<_> = alerts.into_iter().map(|alert| Alert { detected_at: 0, ..alert }).collect();
    alerts.sort_by(|a, b| a.alert_id.cmp(&b.alert_id));
    alerts
}

#[tokio::test]
async fn the_pipeline_finds_what_replay_finds() {
    let made = made(96, 14, 18.0);
    assert!(made.events.len() > 20_000, "{}", made.events.len());
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path()).await;
    let alerts = AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: true };
    piped(&broker_with(&made.events).0, &made, &made.events, &store, None, alerts).await;
    // No partition was judged before it was known what the fleet is like.
    let fleet = crate::fleet::fleet(&made, i64::MAX, 4).await;
    assert!(fleet.days().count() > 5);
    assert_eq!(store.fleet().await.unwrap(), fleet);
    let live = undetected(store.alerts(&all()).await.unwrap());
    assert!(live.iter().any(is_of_platform) && live.iter().filter(|alert| is_taken(alert)).count() >= 8);
    let replayed = undetected(replayed(&made, &made.events, 1, None).await.alerts);
    assert!(live.len() > 50, "{}", live.len());
    crate::assert_same("live and replayed", &replayed, &live);
}

/// An owner that is gone has read its partition to the end, and cannot say that messages have come since.
#[tokio::test]
async fn a_partition_without_an_owner_is_waited_for_where_messages_have_come_since() {
    let made = made(8, 4, 18.0);
    let (mock, producer) = broker_with(&made.events);
    mock.create_topic("elsewhere", 1).unwrap();
    producer.send("elsewhere", 0, None, Some(b"it has come since")).unwrap();
    producer.flush().unwrap();
    let last = ShardId { topic: "elsewhere".into(), partition: 0 };
    for (end_offset, waits) in [(0, true), (1, false)] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let lease = store.acquire_shard(&last, "gone", 0).await.unwrap();
        // It has come to the end of the second day.
        let passed = lab::at("1d23:59");
        let mark = Mark { passed, end_offset: Some(end_offset), activity: "{}".into() };
        store.mark_passed(&last, lease.epoch, &mark, wall::now()).await.unwrap();
        let alerts = AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: true };
        let all = made.events.len() as u64;
        let is_done = |m: &Metrics, caught_up: bool| match waits {
            true => m.partitions_waiting.get() == 4,
            false => caught_up && all <= m.messages_read.get(),
        };
        let metrics = piped_until(&mock, &made, &store, None, alerts, is_done).await;
        let merged_to = store.marks(0).await.unwrap().merged_to;
        assert_eq!(merged_to < passed, waits, "its owner left at {end_offset}; merged to {merged_to}");
        // The third day needs what the fleet was like on the first, the fourth what it was like on the second.
        let to = if waits { lab::at("3d") } else { i64::MAX };
        let times = made.events.iter().map(|line| decoder().decode_auth(line.text.as_bytes(), None).unwrap().ts);
        let judged = metrics.events_judged.get() + metrics.events_duplicate.get();
        let may: usize = times.filter(|ts| *ts < to).count();
        assert!(judged.abs_diff(may as u64) <= 8, "{judged} judged of {all}, {may} before {to}");
    }
}
