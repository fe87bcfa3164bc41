//! The service: wires the parts together, and takes them down in order.
//!
//! One straight line on purpose: what starts when, and what stops when, is to be read from top to bottom.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::brand::Brand;
use crate::config::{Config, Secret, SourceConfig};
use crate::dispatch::Dispatcher;
use crate::event::auth::Decoder;
use crate::event::facts::FactBook;
use crate::geoip::GeoIp;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::notify::deliver::{DeliveryCounts, DeliverySettings, run_deliveries};
use crate::notify::mail::Transport;
use crate::pipeline::facts::FactsTask;
use crate::pipeline::history::History;
use crate::pipeline::{Control, Parts, Pipeline, Role};
use crate::source::kafka;
use crate::store::Store;
use crate::time::{Millis, rfc3339};
use crate::{http, wall};

pub mod folder;
pub mod places;
pub mod rulebook;
pub mod upkeep;

use folder::{Folder, Found};
use rulebook::Rulebook;

/// Batches that may wait between the source and the pipeline.
const CHANNEL: usize = 64;
/// How often to look for facts that others stored.
const FACTS_EVERY: Duration = Duration::from_secs(2);
/// How long an orderly shutdown may take before what is left is dropped.
const SHUTDOWN: Duration = Duration::from_secs(25);
/// How long a claimed delivery is ours: well over twice the transport's timeout.
const LEASE_FACTOR: u32 = 4;

/// Makes the decoder that a configuration asks for.
pub fn decoder_for(source: &SourceConfig, brand: &Brand) -> Decoder {
    decoder(source.fingerprint_secret.as_ref(), brand)
        .with_format(source.format.clone())
        .behind(source.trusted_proxies.clone())
}

/// A decoder of our own form.
pub fn decoder(secret: Option<&Secret>, brand: &Brand) -> Decoder {
    let random;
    let key = match secret {
        Some(secret) => secret.reveal().as_bytes(),
        None => {
            random = [wall::random_bits().to_ne_bytes(), wall::random_bits().to_ne_bytes()].concat();
            &random
        }
    };
    Decoder::new(key, brand.masker())
}

/// Opens the store and sees that its form is this program's.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&config.store).await.context("open the store (store.url)")?;
    if config.store.migrate {
        store.migrate().await.context("migrate the store")?;
    } else {
        store.require_migrated().await?;
    }
    Ok(store)
}

/// What those around a running service see of it, and how they end it.
#[derive(Clone)]
pub struct Outside {
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its health.
    pub health: Arc<Health>,
    /// Ends it, as a signal would.
    pub stop: CancellationToken,
}

impl Outside {
    /// Nothing counted, nothing known, not to stop.
    pub fn new() -> anyhow::Result<Self> {
        let (metrics, health) = (Arc::new(Metrics::new()?), Arc::new(Health::default()));
        Ok(Outside { metrics, health, stop: CancellationToken::new() })
    }
}

/// Runs the service until a signal, or until a part of it fails.
pub async fn run(config: Config, outside: Outside) -> anyhow::Result<()> {
    let instance = wall::instance_name();
    let Outside { metrics, health, stop } = outside;
    let stopping = CancellationToken::new();
    let stop_notices = CancellationToken::new();
    let stop_http = CancellationToken::new();
    let mut signals = Signals::new(stop.clone())?;
    let mut tasks: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    let mut notices: JoinSet<()> = JoinSet::new();
    tracing::info!(instance, version = env!("CARGO_PKG_VERSION"), "keywatch starts");

    let transport = Transport::connect(&config.mail).map_err(|error| anyhow::anyhow!("mail.transport: {error}"))?;
    let store = open_store(&config).await?;
    metrics.store_up.set(1);
    metrics.watch_process().context("watch the process")?;
    health.named(&instance);
    let (rulebook, (print, version)) =
        Rulebook::open(&config, store.clone(), instance.clone(), metrics.clone(), health.clone()).await?;
    let first_start: Millis = store.set_meta_once("first_start", &wall::now().to_string()).await?.parse()?;
    let history = History::load(&store).await.context("load what was learned from files")?;
    if let Some(history) = history {
        tracing::info!(learned_to = rfc3339(history.learned_to), "starts from what was learned from files");
    }
    let databases = config.geoip.databases.clone();
    let opened = tokio::task::spawn_blocking(move || GeoIp::open(&databases)).await?;
    let geoip = Arc::new(opened.map_err(|error| anyhow::anyhow!("geoip.databases: {error}"))?);
    let server = http::listen(config.http.listen, metrics.clone(), health.clone(), stop_http.clone()).await?;
    let server = tokio::spawn(server);

    // Notices go on from where they were, whatever becomes of the source.
    let facts = Arc::new(RwLock::new(FactBook::new(config.limits.fact_keys)));
    let decoder = Arc::new(decoder_for(&config.source, &config.brand));
    let facts_task = FactsTask {
        store: store.clone(),
        decoder: decoder.clone(),
        facts: facts.clone(),
        geoip: geoip.clone(),
        dead_letters: config.limits.dead_letters,
        metrics: metrics.clone(),
        health: health.clone(),
        stopping: stopping.clone(),
    };
    let facts_cursor = facts_task.restore().await.context("load the facts")?;
    let (wake_dispatcher, wake_delivery) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let deliveries = Arc::new(DeliveryCounts::default());
    let dispatcher = Dispatcher {
        store: store.clone(),
        facts: facts.clone(),
        mail: config.mail.clone(),
        mails_per_hour: config.limits.mails_per_hour,
        metrics: metrics.clone(),
        wake_delivery: wake_delivery.clone(),
    };
    notices.spawn(dispatcher.clone().run(wake_dispatcher.clone(), stop_notices.clone()));
    let settings = DeliverySettings {
        owner: instance.clone(),
        from: config.mail.from.clone(),
        reply_to: config.mail.reply_to.clone(),
        give_up_after: config.mail.give_up_after,
        lease: (transport.timeout() * LEASE_FACTOR).as_millis() as Millis,
        poll: Duration::from_secs(1),
    };
    notices.spawn(run_deliveries(
        store.clone(),
        transport,
        settings,
        wall::now,
        deliveries.clone(),
        wake_delivery.clone(),
        stop_notices.clone(),
    ));
    let upkeep = upkeep::Upkeep {
        store: store.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        keep: config.limits.keep,
        deliveries,
    };
    notices.spawn(upkeep.run(dispatcher, stop_notices.clone()));

    let (tell, found) = mpsc::channel(1);
    let read_again = Arc::new(Notify::new());
    let folder = Folder {
        directory: config.rules.directory.clone(),
        brand: config.brand.clone(),
        look_every: config.rules.look_every,
        settle: config.rules.settle,
    };
    notices.spawn(folder.follow(print, version, read_again.clone(), tell, stop_notices.clone()));
    notices.spawn(places::follow(geoip.clone(), config.geoip.reload_every, metrics.clone(), stop_notices.clone()));

    // Facts are read to their end before any event is judged.
    let (control, controlled) = mpsc::channel(CHANNEL);
    let mut threads = Vec::new();
    let kafka = &config.source.kafka;
    let follower = facts_task.clone();
    if let Some(topic) = &kafka.key_events {
        let (send, receive) = mpsc::channel(CHANNEL);
        threads.push(kafka::read_facts(kafka, topic, send, stopping.clone()));
        let (ready, when_ready) = oneshot::channel();
        let control = control.clone();
        tasks.spawn(async move { ("facts", facts_task.run(receive, control, ready).await) });
        tokio::select! {
            _ = when_ready => {}
            Some(ended) = tasks.join_next() => return Err(failure(ended)),
            () = stop.cancelled() => return Ok(()),
            () = signals.stop() => {
                tracing::info!("asked to stop while facts were being read");
                return Ok(());
            }
        }
    } else {
        health.facts_read();
    }

    // Events. The source answers until it says otherwise.
    metrics.source_up.set(1);
    let parts = |role| Parts {
        role,
        store: store.clone(),
        instance: instance.clone(),
        limits: config.limits.clone(),
        alerts: config.alerts.clone(),
        decoder: decoder.clone(),
        facts: facts.clone(),
        rules: rulebook.in_force(),
        metrics: metrics.clone(),
        health: health.clone(),
        history,
        geoip: geoip.clone(),
        first_start,
        fleet: Arc::default(),
        wake_dispatcher: wake_dispatcher.clone(),
        stopping: stopping.clone(),
    };
    let (send, receive) = mpsc::channel(CHANNEL);
    let consuming = kafka::consume(kafka, &[&kafka.auth_events], "", send, stopping.clone());
    threads.push(consuming.thread);
    let pipeline = Pipeline::new(parts(Role::Events), Some(consuming.link));
    tasks.spawn(on_own_thread("pipeline", move || pipeline.run(receive, controlled)));
    // From here on there is somebody to tell of facts that `import` and other instances store.
    let tell = control.clone();
    tasks.spawn(async move { ("following of facts", follower.follow(facts_cursor, FACTS_EVERY, tell).await) });
    if let Some(topic) = &kafka.auth_refused {
        let (send, receive) = mpsc::channel(CHANNEL);
        let consuming = kafka::consume(kafka, &[topic], "-refused", send, stopping.clone());
        threads.push(consuming.thread);
        let pipeline = Pipeline::new(parts(Role::Refused), Some(consuming.link));
        let (_, nothing) = mpsc::channel(1);
        tasks.spawn(on_own_thread("pipeline-refused", move || pipeline.run(receive, nothing)));
    }

    let rules = Proposals { rulebook, found, read_again };
    let failed = watch(&mut tasks, &mut notices, &mut signals, rules, control).await;

    // In order: the source lets its partitions go, the pipeline stores them, mails under way are finished.
    tracing::info!("stopping");
    stopping.cancel();
    let orderly = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::error!(task = name, "{error:#}");
            }
        }
        for thread in threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        stop_notices.cancel();
        while notices.join_next().await.is_some() {}
        stop_http.cancel();
        let _ = server.await;
        store.close().await;
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = tokio::time::sleep(SHUTDOWN) => tracing::warn!("not everything stopped in time; the next start reads on from the last checkpoint"),
        () = signals.stop() => anyhow::bail!("asked to stop twice"),
    }
    failed.map_or(Ok(()), Err)
}

/// Runs a future on a thread of its own: the engine works long stretches without a pause, which would starve others.
pub(crate) fn on_own_thread<F>(
    name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
) -> impl Future<Output = (&'static str, anyhow::Result<()>)> + Send
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Handle::current();
    let (send, receive) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        // Nobody listens once the process is going down for another reason.
        let _ = send.send(runtime.block_on(make()));
    });
    async move {
        let outcome = match thread {
            Err(error) => Err(anyhow::Error::from(error).context("start a thread")),
            Ok(_) => receive.await.unwrap_or_else(|_| Err(anyhow::anyhow!("it crashed"))),
        };
        (name, outcome)
    }
}

/// The rules in force, and what comes of the folder.
struct Proposals {
    rulebook: Rulebook,
    found: mpsc::Receiver<Found>,
    read_again: Arc<Notify>,
}

/// Waits for a signal or a failure; takes up changed rules on the way.
async fn watch(
    tasks: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
    notices: &mut JoinSet<()>,
    signals: &mut Signals,
    rules: Proposals,
    control: mpsc::Sender<Control>,
) -> Option<anyhow::Error> {
    let Proposals { mut rulebook, mut found, read_again } = rules;
    let mut look = tokio::time::interval(Duration::from_secs(2));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Signals { terminate, interrupt, hang_up, stop } = signals;
        let changed = tokio::select! {
            _ = terminate.recv() => return None,
            _ = interrupt.recv() => return None,
            () = stop.cancelled() => return None,
            Some(ended) = tasks.join_next() => return Some(failure(ended)),
            Some(ended) = notices.join_next() => {
                return Some(failure(ended.map(|()| ("making and sending of notices", Ok(())))));
            }
            _ = hang_up.recv() => {
                read_again.notify_one();
                None
            }
            Some(found) = found.recv() => rulebook.found(found).await,
            _ = look.tick() => rulebook.follow().await,
        };
        if let Some(rules) = changed {
            // A pipeline that is gone has ended its task, which the next turn sees.
            let _ = control.send(Control::Rules(rules)).await;
        }
    }
}

/// Why a task that should go on has ended.
fn failure(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok((name, Err(error))) => error.context(format!("the {name} failed")),
        Ok((name, Ok(()))) => anyhow::anyhow!("the {name} ended without being asked to"),
        Err(error) => anyhow::anyhow!("a task crashed: {error}"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    stop: CancellationToken,
}

impl Signals {
    fn new(stop: CancellationToken) -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            stop,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
