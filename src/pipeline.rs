//! The shell around the engine: takes partitions over, loads what a batch needs, lets the engine judge it, and stores
//! what came of it before it goes on.
//!
//! One task owns its partitions and handles one thing after another ([`Turn`]); nothing else touches their state. A
//! finding is a row before the next batch is judged. Where the store does not answer, the task waits: the source's
//! channel fills, and the source pauses.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::config::{AlertsConfig, Limits};
use crate::engine::fleet::FleetBook;
use crate::engine::shard::World;
use crate::event::auth::Decoder;
use crate::event::facts::FactBook;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::rules::RuleSet;
use crate::source::SourceEvent;
use crate::source::kafka::Link;
use crate::store::{DeadLetter, Store};
use crate::time::{Millis, SECOND};
use crate::wall;

pub mod checkpoint;
mod decode;
pub mod facts;
pub mod history;
pub mod judge;
pub mod partition;
mod patience;
pub mod second_stage;
pub mod takeover;
mod waiting;

use crate::geoip::GeoIp;
use crate::geoip::memo::PlaceMemo;
use decode::{Said, decode_ahead};
use history::History;
use partition::Partition;
use patience::patiently;

/// Everything that can happen to the pipeline.
#[derive(Debug)]
enum Turn {
    Source(Said),
    SourceGone,
    FactsChanged(Vec<String>),
    Rules(Arc<RuleSet>),
    Tick,
}

/// What the rest of the process tells the pipeline.
#[derive(Debug)]
pub enum Control {
    /// Facts about these merchants changed.
    FactsChanged(Vec<String>),
    /// Another version of the rules is in force.
    Rules(Arc<RuleSet>),
}

/// Which topic the pipeline reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Decisions with a merchant: judged.
    Events,
    /// Decisions without one: counted by source, in bounded room.
    Refused,
}

/// Facts that the whole process shares: one task writes, the pipelines and the dispatcher read.
pub type SharedFacts = Arc<RwLock<FactBook>>;

/// Reads the shared facts. A panic elsewhere leaves them as they were: every change is a single call.
pub fn read_facts(facts: &SharedFacts) -> RwLockReadGuard<'_, FactBook> {
    facts.read().unwrap_or_else(PoisonError::into_inner)
}

/// What a pipeline is made of.
#[derive(Clone)]
pub struct Parts {
    /// Which topic it reads.
    pub role: Role,
    /// The store.
    pub store: Store,
    /// This process's name among several.
    pub instance: String,
    /// Bounds.
    pub limits: Limits,
    /// How alerts become notices.
    pub alerts: AlertsConfig,
    /// Decodes messages.
    pub decoder: Arc<Decoder>,
    /// Facts, read to their end.
    pub facts: SharedFacts,
    /// The rules in force.
    pub rules: Arc<RuleSet>,
    /// What the fleet is like, as far as it is known.
    pub fleet: Arc<FleetBook>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Health.
    pub health: Arc<Health>,
    /// What was learned from files before the first start.
    pub history: Option<History>,
    /// Where addresses are looked up.
    pub geoip: Arc<GeoIp>,
    /// When the very first start was: what lies before it is not mailed.
    pub first_start: Millis,
    /// Woken when a notice may be due.
    pub wake_dispatcher: Arc<Notify>,
    /// The process is stopping: the store is not waited for any more. The pipeline itself ends when its source does.
    pub stopping: CancellationToken,
}

/// The task that owns this instance's partitions.
pub struct Pipeline {
    parts: Parts,
    partitions: BTreeMap<(Arc<str>, i32), Partition>,
    /// Partitions that a newer owner took, although the group has not taken them from this instance, and since when.
    taken: BTreeMap<(Arc<str>, i32), Instant>,
    dead_letters: Vec<DeadLetter>,
    /// When the second stage is looked at next (wall time).
    stage_at: Millis,
    /// The last moment for which it is known what the fleet is like.
    known_until: Millis,
    /// Beside the channel: positions that are stored, ends of partitions.
    link: Option<Link>,
}

/// Between two looks at timers, checkpoints and dead letters.
const TICK: Duration = Duration::from_millis(200);
/// How long a partition must be at its end before what is parked may be judged without a witness.
const QUIET_AT_END: Millis = SECOND;
/// How long the group may take to say that a partition with a newer owner is not this instance's any more.
const TAKEN_FOR_GOOD: Duration = Duration::from_secs(15);

impl Pipeline {
    /// A pipeline without partitions.
    pub fn new(parts: Parts, link: Option<Link>) -> Self {
        Pipeline {
            parts,
            partitions: BTreeMap::new(),
            taken: BTreeMap::new(),
            dead_letters: Vec::new(),
            stage_at: 0,
            known_until: Millis::MIN,
            link,
        }
    }

    /// Runs until the source ends, which is an error unless the process is stopping. Ends with a last checkpoint.
    pub async fn run(
        mut self,
        source: mpsc::Receiver<SourceEvent>,
        mut control: mpsc::Receiver<Control>,
    ) -> anyhow::Result<()> {
        // Nobody asks where strangers are: their path is only counted, and has no time to give away.
        let places = (self.parts.role == Role::Events).then(|| PlaceMemo::new(self.parts.geoip.clone()));
        let mut source = decode_ahead(source, self.parts.decoder.clone(), places).context("start a thread")?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut control_open = true;
        loop {
            let turn = tokio::select! {
                biased;
                told = control.recv(), if control_open => match told {
                    Some(Control::FactsChanged(merchants)) => Turn::FactsChanged(merchants),
                    Some(Control::Rules(rules)) => Turn::Rules(rules),
                    None => { control_open = false; continue }
                },
                _ = tick.tick() => Turn::Tick,
                event = source.recv() => event.map_or(Turn::SourceGone, Turn::Source),
            };
            match turn {
                Turn::SourceGone if self.parts.stopping.is_cancelled() => break,
                Turn::SourceGone => anyhow::bail!("the source stopped without a word"),
                Turn::Source(event) => {
                    self.on_source(event).await?;
                    self.go_on().await?;
                }
                Turn::FactsChanged(merchants) => self.on_facts(&merchants).await?,
                Turn::Rules(rules) => self.on_rules(rules).await?,
                Turn::Tick => self.on_tick().await?,
            }
        }
        self.save_everything().await;
        Ok(())
    }

    async fn on_source(&mut self, said: Said) -> anyhow::Result<()> {
        let Some(said) = self.put_away(said) else { return Ok(()) };
        match said {
            SourceEvent::Assigned(assignment) => self.take_over(assignment).await,
            SourceEvent::Revoked(revocation) => self.let_go(revocation).await,
            SourceEvent::Batch(batch) => self.on_batch(batch).await,
            SourceEvent::End { topic, partition, next_offset } => {
                if let Some(p) = self.partitions.get_mut(&(topic, partition)) {
                    p.reached_end(next_offset, wall::now(), wall::instant());
                }
                Ok(())
            }
            SourceEvent::Gap { topic, partition, from, to } => {
                self.parts.metrics.messages_lost.inc_by((to - from).max(0) as u64);
                tracing::error!(%topic, partition, from, to, "messages are missing: retention took them before they were read, or the topic was made anew");
                self.on_gap(&(topic, partition), from, to).await
            }
            SourceEvent::Trouble(what) => {
                self.parts.metrics.source_up.set(0);
                self.parts.health.source_trouble(Some(what.clone()));
                tracing::warn!("{what}");
                Ok(())
            }
            SourceEvent::Recovered => {
                self.parts.metrics.source_up.set(1);
                self.parts.health.source_trouble(None);
                tracing::info!("the source answers again");
                Ok(())
            }
            SourceEvent::Failed(what) => anyhow::bail!(what),
        }
    }

    /// Timers by elapsed time, checkpoints that are due, dead letters.
    async fn on_tick(&mut self) -> anyhow::Result<()> {
        self.check_taken()?;
        self.save_dead_letters().await;
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in &names {
            self.tick_partition(name).await?;
            self.checkpoint_step(name).await?;
        }
        self.begin_fostering().await?;
        self.second_stage_step().await?;
        self.resume_waiting().await?;
        self.evict();
        self.report();
        Ok(())
    }

    /// An instance that was late to hear that a partition is not its own may take it from the rightful owner and then
    /// let go of it: nobody would judge it. A new start takes part in the group anew, and reads on from the store.
    fn check_taken(&self) -> anyhow::Result<()> {
        match self.taken.iter().find(|(_, since)| since.elapsed() >= TAKEN_FOR_GOOD) {
            Some(((topic, partition), _)) => anyhow::bail!(
                "{topic}/{partition} was taken by another instance, but Kafka's group still gives it to this one; start again"
            ),
            None => Ok(()),
        }
    }

    /// Memory is bounded by the limit, not by the number of keys.
    fn evict(&mut self) {
        let resident: usize = self.partitions.values().map(|p| p.shard.len()).sum();
        let keep = self.parts.limits.resident_subjects;
        if resident <= keep {
            return;
        }
        for p in self.partitions.values_mut().filter(|p| p.checkpoint.is_none()) {
            let share = p.shard.len() * keep / resident;
            let evicted = p.shard.evict(share, p.timers_loaded_to);
            self.parts.metrics.limits_hit.with_label_values(&["resident_subjects"]).inc_by(evicted as u64);
        }
    }

    fn report(&self) {
        let m = &self.parts.metrics;
        if self.parts.role == Role::Events {
            m.partitions_owned.set(self.partitions.len() as i64);
            m.subjects_resident.set(self.partitions.values().map(|p| p.shard.len()).sum::<usize>() as i64);
            let stream_times = || self.partitions.values().filter_map(Partition::now);
            if let Some(now) = stream_times().min() {
                m.stream_time_seconds.set(now / SECOND);
            }
            if let Some(now) = stream_times().max() {
                m.newest_event_time_seconds.set(now / SECOND);
            }
            self.report_lag();
            m.facts_keys.set(read_facts(&self.parts.facts).key_count() as i64);
            let caught_up =
                !self.partitions.is_empty() && self.taken.is_empty() && self.partitions.values().all(|p| p.caught_up);
            self.parts.health.caught_up(caught_up);
        }
    }

    /// A partition that is read to its end is not behind, however long ago its last event was.
    fn report_lag(&self) {
        let (m, wall_now) = (&self.parts.metrics, wall::now());
        let (mut messages, mut behind, mut checkpoint_age) = (0, 0, 0);
        for (name, p) in &self.partitions {
            checkpoint_age = checkpoint_age.max(wall_now - p.checkpointed_at);
            let end = self.link.as_ref().and_then(|link| link.end_of(name)).unwrap_or(p.position);
            if p.at_end.is_none() {
                messages += (end - p.position).max(0);
                behind = behind.max(p.now().map_or(0, |now| wall_now - now));
            }
        }
        m.lag_messages.set(messages);
        m.lag_seconds.set(behind.max(0) / SECOND);
        m.checkpoint_age_seconds.set(checkpoint_age.max(0) / SECOND);
    }

    async fn save_dead_letters(&mut self) {
        if self.dead_letters.is_empty() {
            return;
        }
        let letters = std::mem::take(&mut self.dead_letters);
        let saved = self.parts.store.save_dead_letters(&letters, self.parts.limits.dead_letters, wall::now()).await;
        if let Err(error) = saved {
            self.parts.metrics.limits_hit.with_label_values(&["dead_letters"]).inc_by(letters.len() as u64);
            tracing::warn!(%error, letters = letters.len(), "cannot keep rejected messages");
        }
    }
}

impl Parts {
    /// Calls `f` with facts and rules as they are now.
    pub fn with_world<T>(&self, f: impl FnOnce(World<'_>) -> T) -> T {
        let facts = read_facts(&self.facts);
        f(World { facts: &facts, rules: &self.rules, fleet: &self.fleet })
    }
}
