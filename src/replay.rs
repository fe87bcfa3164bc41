//! `keywatch replay`: the same engine on a file, in the file's own time. No wall clock runs a timer here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context;
use tokio::sync::Notify;

use crate::config::{Limits, MailConfig, MailTransport, Secret, StoreConfig};
use crate::dispatch::Dispatcher;
use crate::engine::detect::Watch;
use crate::engine::fleet::FleetBook;
use crate::engine::intake::{Admitted, Intake, IntakeCounts, IntakeLimits};
use crate::engine::second_stage::signal::Signal;
use crate::engine::second_stage::{GUARD, SecondStage, StageOutput};
use crate::engine::shard::{Change, Output, Shard, ShardCounts, World};
use crate::engine::snapshot::{self, ShardState};
use crate::event::RejectReason;
use crate::event::auth::Decoder;
use crate::event::facts::FactBook;
use crate::geoip::GeoIp;
use crate::geoip::memo::PlaceMemo;
use crate::metrics::Metrics;
use crate::notify::mail::Transport;
use crate::pipeline::checkpoint::Queue;
use crate::pipeline::takeover::foster_partition;
use crate::pipeline::{SharedFacts, read_facts};
use crate::rules::RuleSet;
use crate::source::Batch;
use crate::source::file::FileSource;
use crate::store::{AlertFilter, CaseChange, HISTORY_TOPIC, ShardId, Store};
use crate::time::{DAY, Millis};
use crate::wall;

/// What to replay, and what to make of it.
#[derive(Clone, Debug)]
pub struct Replay {
    /// JSON lines of decisions; `-` = standard input.
    pub events: PathBuf,
    /// JSON lines of facts.
    pub key_events: Option<PathBuf>,
    /// Shards that the subjects are spread over. Changes nothing about what is found.
    pub partitions: u32,
    /// Event time goes on until here after the last event.
    pub until: Option<Millis>,
    /// Keep the state in this SQLite file, or in the database of a `postgres://` URL.
    pub save_state: Option<PathBuf>,
    /// Write mails into this folder.
    pub mail_out: Option<PathBuf>,
    /// Addresses.
    pub mail: MailConfig,
    /// Bounds.
    pub limits: Limits,
    /// Also report what rules in status `test` found.
    pub with_shadow: bool,
    /// How long milder alerts gather, in event time.
    pub group_wait: Millis,
    /// Where addresses are looked up.
    pub geoip: Arc<GeoIp>,
}

/// What came of it.
#[derive(Debug)]
pub struct Replayed {
    /// Alerts as they stand at the end, ordered by `detected_at` and ID.
    pub alerts: Vec<crate::alert::Alert>,
    /// Messages read.
    pub messages: u64,
    /// Messages that were no event, by reason.
    pub rejected: Vec<(RejectReason, u64)>,
    /// The first message that was no event: line, what was wrong, and what it looks like.
    pub first_bad: Option<(i64, String, Looks)>,
    /// Facts that could be read.
    pub facts: u64,
    /// Facts that could not be read: line, what was wrong.
    pub bad_facts: Vec<(i64, String)>,
    /// What the intake counted.
    pub intake: IntakeCounts,
    /// What the shards counted.
    pub shards: ShardCounts,
    /// Mails written.
    pub mails: u64,
}

/// What a message that is no event looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Compressed.
    Gzip,
    /// A list of events, or a document over several lines.
    Document,
    /// A fact about a key or merchant.
    Fact,
    /// None of these.
    Unknown,
}

impl Looks {
    fn of(payload: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&payload[..payload.len().min(512)]);
        let text = text.trim_start_matches('\u{feff}').trim();
        match text {
            _ if payload.starts_with(&[0x1f, 0x8b]) => Looks::Gzip,
            text if text.starts_with('[') || text == "{" => Looks::Document,
            text if text.contains("\"type\"") && (text.contains("\"key_") || text.contains("\"merchant_")) => {
                Looks::Fact
            }
            _ => Looks::Unknown,
        }
    }
}

struct Run {
    plan: Replay,
    store: Store,
    facts: SharedFacts,
    rules: Arc<RuleSet>,
    intake: Intake,
    places: PlaceMemo,
    shards: Vec<(ShardId, i64, Shard)>,
    /// The earliest timer of all shards: none is looked at before.
    next_timer: Millis,
    /// What is only seen across the shards.
    stage: SecondStage,
    /// When that is looked at next.
    next_merge: Millis,
    /// What it says the fleet is like.
    fleet: FleetBook,
    dispatcher: Option<(Dispatcher, Transport)>,
    /// When the next notice is due, in event time.
    next_notice: Millis,
    mails: u64,
}

/// Replays a file.
pub async fn replay(plan: Replay, rules: Arc<RuleSet>, decoder: &Decoder) -> anyhow::Result<Replayed> {
    let mut facts = FactBook::new(plan.limits.fact_keys);
    let (n_facts, bad_facts) = match &plan.key_events {
        Some(path) => load_facts(path, decoder, &plan.geoip, &mut facts)?,
        None => (0, Vec::new()),
    };
    let mut first_bad = None;
    let mut run = Run::start(plan, rules, facts).await?;
    let mut source = FileSource::open(&run.plan.events, HISTORY_TOPIC, 0).map_err(anyhow::Error::msg)?;
    if decoder.holds_several() {
        source = source.of_documents();
    }
    let mut rejected = [0u64; RejectReason::ALL.len()];
    let mut messages = 0;
    while let Some(batch) = source.next_batch().with_context(|| format!("read `{}`", run.plan.events.display()))? {
        messages += batch.messages.len() as u64;
        run.batch(&batch, decoder, &mut rejected, &mut first_bad).await?;
    }
    let end = source.next_offset();
    let mut admitted = Vec::new();
    run.intake.end_of_input(end, wall::now().max(run.plan.until.unwrap_or(0)) + DAY, &mut admitted);
    run.judge(&admitted).await?;
    run.finish(end).await?;
    let alerts = run.store.alerts(&AlertFilter { with_shadow: run.plan.with_shadow, ..AlertFilter::default() }).await?;
    let mut shards = ShardCounts::default();
    for (_, _, shard) in &run.shards {
        shards.add(shard.counts());
    }
    run.store.close().await;
    Ok(Replayed {
        alerts,
        messages,
        rejected: RejectReason::ALL.into_iter().zip(rejected).filter(|(_, n)| *n > 0).collect(),
        first_bad,
        facts: n_facts,
        bad_facts,
        intake: run.intake.counts(),
        shards,
        mails: run.mails,
    })
}

impl Run {
    async fn start(plan: Replay, rules: Arc<RuleSet>, facts: FactBook) -> anyhow::Result<Self> {
        let url = plan.save_state.as_deref().map_or("sqlite::memory:".to_owned(), state_url);
        let store = StoreConfig { url: Secret::new(url), max_connections: 1, migrate: true };
        let store = Store::open(&store).await.context("open the state")?;
        store.migrate().await?;
        let facts = Arc::new(RwLock::new(facts));
        let dispatcher = match &plan.mail_out {
            None => None,
            Some(directory) => {
                let mail = MailConfig {
                    transport: MailTransport::Files { directory: directory.clone() },
                    ..plan.mail.clone()
                };
                let transport = Transport::connect(&mail).map_err(anyhow::Error::msg)?;
                let dispatcher = Dispatcher {
                    store: store.clone(),
                    facts: facts.clone(),
                    mail,
                    mails_per_hour: plan.limits.mails_per_hour,
                    metrics: Arc::new(Metrics::new()?),
                    wake_delivery: Arc::new(Notify::new()),
                };
                Some((dispatcher, transport))
            }
        };
        let limits = &plan.limits;
        let intake_limits = IntakeLimits {
            lateness: limits.lateness,
            dedup_ids: limits.dedup_ids,
            parked_events: limits.parked_events,
        };
        let mut shards = Vec::new();
        for partition in 0..plan.partitions.max(1) as i32 {
            let id = ShardId { topic: HISTORY_TOPIC.into(), partition };
            let lease = store.acquire_shard(&id, "replay", wall::now()).await?;
            anyhow::ensure!(
                lease.position.is_none(),
                "the state already holds what a replay has learned: choose a new file or database for --save-state"
            );
            shards.push((id, lease.epoch, Shard::new(limits.lateness, limits.source_subjects, Watch::default())));
        }
        let mut run = Run {
            intake: Intake::new(intake_limits, None, Vec::new()),
            stage: SecondStage::new(plan.limits.lateness),
            next_merge: Millis::MAX,
            fleet: FleetBook::default(),
            places: PlaceMemo::new(plan.geoip.clone()),
            plan,
            store,
            facts,
            rules,
            shards,
            next_timer: Millis::MAX,
            dispatcher,
            next_notice: Millis::MAX,
            mails: 0,
        };
        let facts = read_facts(&run.facts);
        let world = World { facts: &facts, rules: &run.rules, fleet: &run.fleet };
        let count = run.shards.len() as i32;
        for merchant in facts.merchants_with_keys() {
            run.shards[foster_partition(merchant, count) as usize].2.foster(merchant, world);
        }
        drop(facts);
        Ok(run)
    }

    async fn batch(
        &mut self,
        batch: &Batch,
        decoder: &Decoder,
        rejected: &mut [u64],
        first_bad: &mut Option<(i64, String, Looks)>,
    ) -> anyhow::Result<()> {
        let mut admitted = Vec::with_capacity(batch.messages.len());
        for message in &batch.messages {
            decoder.decode_each(batch.payload(message), |decoded| match decoded {
                Ok(mut event) => {
                    self.places.fill_in(&mut event);
                    self.intake.admit(message.offset, event, &mut admitted);
                }
                Err(problem) => {
                    first_bad.get_or_insert_with(|| {
                        let what = format!("{}: {}", problem.reason.as_str(), problem.detail);
                        (message.offset + 1, what, Looks::of(batch.payload(message)))
                    });
                    if let Some(at) = RejectReason::ALL.iter().position(|reason| *reason == problem.reason) {
                        rejected[at] += 1;
                    }
                }
            });
        }
        self.judge(&admitted).await
    }

    async fn judge(&mut self, admitted: &[Admitted<'_>]) -> anyhow::Result<()> {
        let mut rest = admitted;
        while !rest.is_empty() {
            let mut found: Vec<(usize, Output)> = Vec::new();
            let mut at = Millis::MIN;
            let mut done = 0;
            self.merge_for(rest[0].now).await?;
            let known_until = self.stage.known_until();
            {
                let facts = read_facts(&self.facts);
                let world = World { facts: &facts, rules: &self.rules, fleet: &self.fleet };
                // Up to the first event that something came of: that is stored and told before time goes on.
                for a in rest.iter().take_while(|a| a.now <= known_until) {
                    done += 1;
                    at = a.now;
                    step(&mut self.shards, &mut self.next_timer, a, world, &mut found);
                    if !found.is_empty() || at >= self.next_notice.min(self.next_merge) {
                        break;
                    }
                }
            }
            rest = &rest[done..];
            self.record(found, at).await?;
        }
        Ok(())
    }

    async fn record(&mut self, found: Vec<(usize, Output)>, now: Millis) -> anyhow::Result<()> {
        for (shard, output) in found {
            self.signal(&output);
            self.store_changes(shard, output.changes, now).await?;
        }
        if now >= self.next_merge {
            self.merge(now).await?;
        }
        if now >= self.next_notice {
            self.tell(now).await?;
        }
        Ok(())
    }

    /// Merges what an event at `now` needs: what the fleet is like on its day.
    async fn merge_for(&mut self, now: Millis) -> anyhow::Result<()> {
        if now > self.stage.known_until() { self.merge(now).await } else { Ok(()) }
    }

    async fn merge(&mut self, now: Millis) -> anyhow::Result<()> {
        let mut merged = StageOutput::default();
        self.note_activity(now);
        self.stage.advance(now, now, &self.rules, &mut merged);
        self.store_merged(merged, now).await
    }

    /// Tells the second stage what one shard has found.
    fn signal(&mut self, output: &Output) {
        for signal in Signal::all_of(output, &self.rules) {
            self.stage.take_in(signal);
        }
        self.next_merge = self.stage.next_due().unwrap_or(Millis::MAX);
    }

    fn note_activity(&mut self, now: Millis) {
        for (_, _, shard) in &self.shards {
            self.stage.note_activity(shard.activity(), now);
        }
    }

    async fn store_merged(&mut self, merged: StageOutput, now: Millis) -> anyhow::Result<()> {
        self.next_merge = self.stage.next_due().unwrap_or(Millis::MAX);
        for (day, traits) in merged.fleet {
            self.fleet.add(day, traits);
        }
        self.store_changes(0, merged.changes, now).await?;
        if !merged.takings.is_empty() {
            let (id, epoch, _) = &self.shards[0];
            self.store.take_over(id, *epoch, &merged.takings, now).await?;
            self.next_notice = self.next_notice.min(now);
        }
        Ok(())
    }

    async fn store_changes(&mut self, shard: usize, changes: Vec<Change>, now: Millis) -> anyhow::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let (id, epoch, _) = &self.shards[shard];
        let changes: Vec<CaseChange> = changes
            .into_iter()
            .map(|mut change| {
                self.plan.geoip.enrich(&mut change.alert);
                let shadow = self.rules.is_shadow(&change.alert.rule);
                let notify = self.dispatcher.is_some() && !shadow;
                let hold = self.rules.hold(&change.alert, self.plan.limits.lateness);
                CaseChange { alert: change.alert, notify, shadow, foster: change.foster, hold }
            })
            .collect();
        self.store.record_changes(id, *epoch, &changes, now, self.plan.group_wait).await?;
        self.next_notice = self.next_notice.min(now);
        Ok(())
    }

    /// Makes and writes the notices that are due at `now`, in event time.
    async fn tell(&mut self, now: Millis) -> anyhow::Result<()> {
        let Some((dispatcher, transport)) = &self.dispatcher else {
            self.next_notice = Millis::MAX;
            return Ok(());
        };
        dispatcher.dispatch_due(now).await?;
        loop {
            let deliveries = self.store.claim_deliveries("replay", now, DAY, 100).await?;
            if deliveries.is_empty() {
                break;
            }
            for delivery in deliveries {
                let mail = &delivery.mail;
                let (from, reply_to) = (&dispatcher.mail.from, &dispatcher.mail.reply_to);
                match transport.deliver(mail, from, reply_to, delivery.created_at, delivery.attempt).await {
                    Ok(answer) => {
                        self.mails += 1;
                        self.store.record_sent(&delivery.notice_id, "replay", now, &answer).await?;
                    }
                    Err(error) => anyhow::bail!("write a mail: {error}"),
                }
            }
        }
        self.next_notice = self.store.next_group_due().await?.unwrap_or(Millis::MAX);
        Ok(())
    }

    /// Lets time go on until `--until`, tells what still gathers, and stores the state where it was asked for.
    async fn finish(&mut self, end: i64) -> anyhow::Result<()> {
        let now = self.intake.now();
        if let (Some(until), Some(now)) = (self.plan.until, now)
            && until > now
        {
            // Timers due up to `until` fire; each says that it was seen at `until`, as far as reading goes.
            let mut found = Vec::new();
            {
                let facts = read_facts(&self.facts);
                let world = World { facts: &facts, rules: &self.rules, fleet: &self.fleet };
                for (at, (_, _, shard)) in self.shards.iter_mut().enumerate() {
                    let mut out = Output::default();
                    shard.pass(until - 1, until, world, &mut out);
                    found.push((at, out));
                }
            }
            for (shard, output) in found {
                self.signal(&output);
                self.store_changes(shard, output.changes, until).await?;
            }
            let mut merged = StageOutput::default();
            self.note_activity(until + self.plan.limits.lateness);
            self.stage.pass(until, &self.rules, &mut merged);
            self.store_merged(merged, until).await?;
        }
        if let Some(now) = now.max(self.plan.until) {
            self.tell(now + self.plan.group_wait).await?;
            // What may still be taken over waits longer, and nothing more will take it.
            let last = now + self.plan.limits.lateness + GUARD;
            if self.next_notice <= last {
                self.tell(last).await?;
            }
        }
        if self.plan.save_state.is_some() {
            self.save(end).await?;
        }
        Ok(())
    }

    async fn save(&mut self, end: i64) -> anyhow::Result<()> {
        let wall_now = wall::now();
        let (keys, merchants) = {
            let facts = read_facts(&self.facts);
            let keys: Vec<_> = facts.keys().map(|(id, f)| (id.clone(), f.clone())).collect();
            let merchants: Vec<_> = facts.merchants().map(|(id, f)| (id.clone(), f.clone())).collect();
            (keys, merchants)
        };
        self.store.save_facts(&keys, &merchants, wall_now).await?;
        self.note_activity(self.intake.now().unwrap_or(0));
        let stage = self.stage.encode().map_err(anyhow::Error::msg)?;
        let merged_to = self.stage.merged_to().unwrap_or(0);
        self.store.save_second_stage(&stage, merged_to, &self.fleet, wall_now).await?;
        for (id, epoch, shard) in &mut self.shards {
            let mut queue = Queue::of(shard);
            while let Some(slice) = queue.next_slice(shard, self.plan.limits.slice_rows, end) {
                self.store.write_slice(id, *epoch, &slice.rows, &slice.usage, wall_now).await?;
            }
            let state = ShardState {
                now: self.intake.now(),
                watch: shard.watch(),
                rules_version: self.rules.version.clone(),
                parked: Vec::new(),
                source_cases: shard.sources().open_cases(),
                stream: shard.stream().clone(),
            };
            self.store.finish_checkpoint(id, *epoch, end, &snapshot::encode_shard(&state), wall_now).await?;
        }
        Ok(())
    }
}

/// A path names an SQLite file.
fn state_url(state: &Path) -> String {
    let text = state.display().to_string();
    let is_url = ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    if is_url { text } else { format!("sqlite:{text}") }
}

/// One event: timers of all shards first, as far as stream time has come, then the event in its own shard.
fn step(
    shards: &mut [(ShardId, i64, Shard)],
    next_timer: &mut Millis,
    admitted: &Admitted<'_>,
    world: World<'_>,
    found: &mut Vec<(usize, Output)>,
) {
    let count = shards.len();
    for (_, _, shard) in shards.iter_mut().filter(|(_, _, shard)| shard.watch().since.is_none()) {
        shard.watch_from(admitted.now, world);
        *next_timer = (*next_timer).min(shard.next_timer().unwrap_or(Millis::MAX));
    }
    if *next_timer <= admitted.now {
        *next_timer = Millis::MAX;
        for (at, (_, _, shard)) in shards.iter_mut().enumerate() {
            let mut out = Output::default();
            shard.advance(admitted.now, admitted.now, world, &mut out);
            *next_timer = (*next_timer).min(shard.next_timer().unwrap_or(Millis::MAX));
            if !out.is_empty() {
                found.push((at, out));
            }
        }
    }
    let at = match Shard::subject_id(&admitted.event, world.facts) {
        Some((subject, _)) if count > 1 => foster_partition(&subject, count as i32) as usize,
        _ => 0,
    };
    let mut out = Output::default();
    let shard = &mut shards[at].2;
    shard.step(admitted, world, &mut out);
    *next_timer = (*next_timer).min(shard.next_timer().unwrap_or(Millis::MAX));
    if !out.is_empty() {
        found.push((at, out));
    }
}

/// Reads all facts of a file. Every one carries its own date, so reading them first is the same as merging by time.
fn load_facts(
    path: &Path,
    decoder: &Decoder,
    geoip: &GeoIp,
    book: &mut FactBook,
) -> anyhow::Result<(u64, Vec<(i64, String)>)> {
    let mut source = FileSource::open(path, "facts", 0).map_err(anyhow::Error::msg)?;
    let (mut good, mut bad) = (0, Vec::new());
    while let Some(batch) = source.next_batch().with_context(|| format!("read `{}`", path.display()))? {
        for message in &batch.messages {
            match decoder.decode_fact(batch.payload(message), None) {
                Ok(Some(mut fact)) => {
                    good += 1;
                    geoip.fill_in(&mut fact);
                    book.learn(&fact);
                }
                Ok(None) => {}
                Err(rejected) => {
                    bad.push((message.offset + 1, format!("{}: {}", rejected.reason.as_str(), rejected.detail)))
                }
            }
        }
    }
    Ok((good, bad))
}
