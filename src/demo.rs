//! `keywatch demo`: everything in one process, nothing installed. Simulated traffic is learned from a file, then played
//! through librdkafka's mock of a broker into the service itself, with SQLite and mails as files; at the end what was
//! planted is set against what was found.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::alert::Alert;
use crate::app::{self, Outside};
use crate::config::{self, Config};
use crate::event::auth::Decoder;
use crate::event::redact::Masker;
use crate::geoip::GeoIp;
use crate::pipeline::takeover::foster_partition;
use crate::replay::{Replay, replay};
use crate::rules::RuleSet;
use crate::rules::compile::load;
use crate::rules::shipped::SHIPPED;
use crate::simulate::{asn_database, country_database};
use crate::source::kafka::testing::{Mock, Producer};
use crate::store::{AlertFilter, OutboxView, Store, Told};
use crate::time::{DAY, HOUR, Millis};
use crate::wall;

pub mod play;
pub mod score;
pub mod stage;

use play::{Line, Played, play};
use score::{Planted, Score, score};

/// Partitions of the topic of decisions.
const PARTITIONS: i32 = 4;
/// Key of the fingerprints: there are no secrets here.
const FINGERPRINT_KEY: &str = "demo";
/// How long the last alerts and mails may take once the last message was written.
const SETTLE: Duration = Duration::from_secs(30);
/// How long the service may take to start.
const START: Duration = Duration::from_secs(30);
/// Between two looks at what was found.
const LOOK: Duration = Duration::from_millis(250);
/// Mails that are shown and counted at most.
const MAILS: i64 = 10_000;

/// What to show.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The same seed shows the same.
    pub seed: u64,
    /// Keys.
    pub keys: u32,
    /// How long the part through the broker is, in event time.
    pub live_for: Millis,
    /// How many times as fast as it came it is played.
    pub speed: f64,
    /// Where everything is written. Must be empty.
    pub directory: PathBuf,
}

/// What happens, in order.
#[derive(Debug)]
pub enum Progress {
    /// The traffic is written.
    Simulated {
        /// Lines to learn from.
        history: u64,
        /// Lines to play.
        live: u64,
        /// Incidents among them.
        planted: usize,
    },
    /// The history was learned.
    Learned {
        /// Lines read.
        lines: u64,
        /// Alerts of that time.
        alerts: usize,
    },
    /// The service reads from the broker.
    Started,
    /// How far it is. Comes several times a second.
    Playing(Status),
    /// An alert opened, or changed.
    Alert(Box<Alert>),
}

/// How the service does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How far event time has come.
    pub at: Millis,
    /// Messages written.
    pub sent: u64,
    /// Messages written that the service has not read yet.
    pub lag: u64,
    /// Alerts so far.
    pub alerts: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Planted and found.
    pub score: Score,
    /// Who was told of each alert.
    pub told: Vec<(String, Vec<Told>)>,
    /// Every mail.
    pub mails: Vec<OutboxView>,
    /// Lines that were played.
    pub played: u64,
    /// Of them, judged; the rest were duplicates, broken, or had no merchant.
    pub judged: u64,
    /// How far event time came.
    pub played_to: Millis,
    /// Whether it was asked to stop before the end.
    pub stopped_early: bool,
    /// When the part through the broker began (event time).
    pub live_from: Millis,
}

/// Runs the demo; tells `each` what happens.
pub async fn run(plan: &Plan, mut each: impl FnMut(Progress)) -> anyhow::Result<Report> {
    let decoder = Decoder::new(FINGERPRINT_KEY.as_bytes(), Masker::default());
    let stage = stage::set(plan, &decoder)?;
    each(Progress::Simulated {
        history: stage.history_lines,
        live: stage.live.len() as u64,
        planted: stage.planted.len(),
    });
    let mock = Mock::start().map_err(|error| anyhow::anyhow!("start the embedded broker: {error}"))?;
    let config = write_files(plan, &mock.brokers())?;
    let learned = learn(plan, &stage, &config, &decoder).await?;
    each(Progress::Learned { lines: learned.0, alerts: learned.1 });

    let topics = &config.source.kafka;
    let producer = broker(&mock, topics, &stage.facts, &decoder)?;
    let outside = Outside::new()?;
    let Outside { metrics, health, stop } = outside.clone();
    let mut service = tokio::spawn(app::run(config.clone(), outside));
    let started = async {
        while !health.is_caught_up() {
            tokio::time::sleep(LOOK / 5).await;
        }
    };
    tokio::select! {
        ended = &mut service => return Err(ended_early(ended)),
        started = tokio::time::timeout(START, started) => started.context("the service did not start")?,
    }
    each(Progress::Started);

    let store = Store::open(&config.store).await.context("look at the demo's store")?;
    let known = store.alerts(&AlertFilter::default()).await?;
    let mut watcher =
        Watcher { store: &store, known: known.iter().map(|a| (a.alert_id.clone(), a.revision)).collect(), found: 0 };
    let (send, mut receive) = tokio::sync::watch::channel(Played::default());
    let stop_playing = CancellationToken::new();
    let playing = async {
        // Who looked may have gone.
        let told = |played| _ = send.send(played);
        play(&producer, &topics.auth_events, &stage.live, plan.speed, &metrics, &stop_playing, told).await
    };
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let Played { sent, at } = *receive.borrow_and_update();
            for alert in watcher.look().await? {
                each(Progress::Alert(Box::new(alert)));
            }
            let lag = sent.saturating_sub(metrics.messages_read.get());
            each(Progress::Playing(Status { at, sent, lag, alerts: watcher.found }));
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        anyhow::Ok(())
    };
    let (played, stopped_early) = tokio::select! {
        played = playing => (played.map_err(anyhow::Error::msg)?, false),
        looked = looking => return Err(looked.err().unwrap_or_else(|| anyhow::anyhow!("nobody looked"))),
        ended = &mut service => match ended {
            Ok(Ok(())) => (*send.borrow(), true),
            ended => return Err(ended_early(ended)),
        },
    };
    if !stopped_early {
        settle(&store, &metrics, played.sent).await?;
        stop.cancel();
        service.await.context("stop the service")??;
    }
    for alert in watcher.look().await? {
        each(Progress::Alert(Box::new(alert)));
    }
    report(plan, stage, &store, &known, (played, metrics.events_judged.get()), stopped_early).await
}

/// Waits until everything that was written is judged, and every mail about it is out.
async fn settle(store: &Store, metrics: &crate::metrics::Metrics, sent: u64) -> anyhow::Result<()> {
    let settled = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let is_read = metrics.messages_read.get() >= sent;
            let (pending, _, _) = store.outbox_counts().await?;
            // Twice the tick of the pipeline after the last message: what it found is a row.
            if is_read && pending == 0 && store.next_group_due().await?.is_none() {
                return anyhow::Ok(());
            }
        }
    };
    match tokio::time::timeout(SETTLE, settled).await {
        Ok(settled) => settled,
        // What is still under way is missing from the table, which says so itself.
        Err(_) => Ok(()),
    }
}

async fn report(
    plan: &Plan,
    stage: stage::Stage,
    store: &Store,
    known: &[Alert],
    (Played { sent: played, at }, judged): (Played, u64),
    stopped_early: bool,
) -> anyhow::Result<Report> {
    let alerts = store.alerts(&AlertFilter::default()).await?;
    let is_new =
        |alert: &&Alert| !known.iter().any(|k| k.alert_id == alert.alert_id) || alert.detected_at >= stage.live_from;
    let alerts: Vec<Alert> = alerts.iter().filter(is_new).cloned().collect();
    let mut told = Vec::new();
    for alert in &alerts {
        told.push((alert.alert_id.clone(), store.told_of(&alert.alert_id).await?));
    }
    let mails = store.outbox(MAILS).await?;
    store.close().await;
    let _ = std::fs::remove_file(plan.directory.join("history.jsonl"));
    let planted: Vec<Planted> = stage.planted.into_iter().filter(|p| p.ends_at >= stage.live_from).collect();
    Ok(Report {
        score: score(planted, &alerts),
        told,
        mails,
        played,
        judged,
        played_to: if stopped_early { at } else { Millis::MAX },
        stopped_early,
        live_from: stage.live_from,
    })
}

fn ended_early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("the service stopped before it had started"),
        Ok(Err(error)) => error.context("the service failed"),
        Err(error) => anyhow::anyhow!("the service crashed: {error}"),
    }
}

/// Alerts that were not there before, or have changed.
struct Watcher<'a> {
    store: &'a Store,
    known: std::collections::BTreeMap<String, u32>,
    found: usize,
}

impl Watcher<'_> {
    async fn look(&mut self) -> anyhow::Result<Vec<Alert>> {
        let mut news = Vec::new();
        for alert in self.store.alerts(&AlertFilter::default()).await? {
            match self.known.insert(alert.alert_id.clone(), alert.revision) {
                None => {
                    self.found += 1;
                    news.push(alert);
                }
                Some(revision) if revision < alert.revision => news.push(alert),
                Some(_) => {}
            }
        }
        Ok(news)
    }
}

/// Rules, and the configuration that the service runs with and other commands can use afterwards.
fn write_files(plan: &Plan, brokers: &str) -> anyhow::Result<Config> {
    let rules = plan.directory.join("rules");
    std::fs::create_dir_all(&rules).with_context(|| format!("make `{}`", rules.display()))?;
    // It plays hours in seconds: nobody can wait for the minutes that it takes to see whether everybody has the same trouble.
    for (name, text) in SHIPPED.iter().filter(|(name, _)| !name.starts_with("platform-incident")) {
        // Four weeks of history hold no key that was unused for ninety days.
        let text = text.replace("unused_for: 90d", &format!("unused_for: {}d", stage::UNUSED_DAYS));
        write(&rules.join(name), text.as_bytes())?;
    }
    write(&plan.directory.join("asn.mmdb"), &asn_database())?;
    write(&plan.directory.join("country.mmdb"), &country_database())?;
    let path = plan.directory.join("keywatch.yml");
    let text = format!(
        "# The demo's configuration. `keywatch alerts list --config {}` shows what was found.\n\
         source:\n  kafka:\n    brokers: {brokers}\n    properties:\n      session.timeout.ms: 6000\n      heartbeat.interval.ms: 500\n  \
         fingerprint_secret: {FINGERPRINT_KEY}\n\
         rules:\n  directory: rules\n\
         geoip:\n  databases: [asn.mmdb, country.mmdb]\n\
         store:\n  url: sqlite:keywatch.db\n\
         limits:\n  checkpoint_every: 5s\n  keep: 3650d\n\
         alerts:\n  # In event time a good deal more: the demo plays fast.\n  group_wait: 1s\n  # The simulated days are long gone.\n  mail_old: true\n\
         mail:\n  from: keywatch@caibo.example\n  reply_to: support@caibo.example\n  support: [support@caibo.example]\n  \
         operations: [operations@caibo.example]\n  transport:\n    files:\n      directory: mails\n\
         http:\n  listen: 127.0.0.1:0\n",
        path.display()
    );
    write(&path, text.as_bytes())?;
    let problems = |problems: Vec<crate::yaml::Problem>| anyhow::anyhow!(crate::yaml::render(&problems));
    config::load::load(&path, &wall::env).map_err(problems)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("write `{}`", path.display()))
}

/// Learns from the history, as `replay --save-state` does. How many lines, and how many alerts they gave.
async fn learn(plan: &Plan, stage: &stage::Stage, config: &Config, decoder: &Decoder) -> anyhow::Result<(u64, usize)> {
    let rules: RuleSet = load(&config.rules.directory, crate::engine::detect::SPECS, &[])
        .map_err(|problems| anyhow::anyhow!(crate::yaml::render(&problems)))?;
    let replay_plan = Replay {
        with_shadow: false,
        events: plan.directory.join("history.jsonl"),
        key_events: Some(stage.facts.clone()),
        partitions: 1,
        until: None,
        save_state: Some(plan.directory.join("keywatch.db")),
        mail_out: None,
        mail: config.mail.clone(),
        limits: config.limits.clone(),
        group_wait: config.alerts.group_wait,
        geoip: Arc::new(GeoIp::open(&config.geoip.databases).map_err(anyhow::Error::msg)?),
    };
    let replayed = replay(replay_plan, Arc::new(rules.in_words_of(&config.brand)), decoder)
        .await
        .context("learn from the history")?;
    Ok((replayed.messages, replayed.alerts.len()))
}

/// Makes the topics, and writes the facts.
fn broker(mock: &Mock, kafka: &config::KafkaConfig, facts: &Path, decoder: &Decoder) -> anyhow::Result<Producer> {
    let failed = |error: String| anyhow::anyhow!("the embedded broker: {error}");
    mock.create_topic(&kafka.auth_events, PARTITIONS).map_err(failed)?;
    let producer = Producer::connect(&mock.brokers()).map_err(failed)?;
    if let Some(topic) = &kafka.key_events {
        mock.create_topic(topic, 1).map_err(failed)?;
        let text = std::fs::read_to_string(facts).with_context(|| format!("read `{}`", facts.display()))?;
        for line in text.lines() {
            let fact = decoder.decode_fact(line.as_bytes(), None).ok().flatten();
            let merchant = fact.and_then(|fact| fact.merchant_id);
            producer.send(topic, 0, merchant.as_deref().map(str::as_bytes), Some(line.as_bytes())).map_err(failed)?;
        }
    }
    producer.flush().map_err(failed)?;
    Ok(producer)
}
