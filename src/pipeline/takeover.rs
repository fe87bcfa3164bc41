//! Taking partitions over and letting them go.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::intake::{Intake, IntakeLimits};
use crate::engine::shard::Shard;
use crate::engine::snapshot::{self, ShardState};
use crate::pipeline::partition::Partition;
use crate::pipeline::{Pipeline, Role, patiently, read_facts};
use crate::rules::RuleSet;
use crate::source::{AssignedPartition, Assignment, Revocation};
use crate::store::{ShardId, SubjectRow};
use crate::time::{MINUTE, Millis};
use crate::wall;

/// How far the wall clocks of two instances may differ.
const CLOCKS_DIFFER: Millis = 10 * MINUTE;
/// What the name of a subject begins with that is a key without a merchant.
const KEY_ALONE: char = '~';
/// Subjects looked at in one query when timers must be worked out anew.
const SWEEP_PAGE: i64 = 5_000;

impl Pipeline {
    /// Raises the epoch of each partition, loads what is stored of it, and tells the source where to read from.
    pub(super) async fn take_over(&mut self, assignment: Assignment) -> anyhow::Result<()> {
        let mut starts = Vec::with_capacity(assignment.partitions.len());
        for assigned in &assignment.partitions {
            starts.push(self.take_partition(assigned).await?);
        }
        // A source that is shutting down has stopped listening: its partitions are revoked next.
        let _ = assignment.reply.send(starts);
        Ok(())
    }

    async fn take_partition(&mut self, assigned: &AssignedPartition) -> anyhow::Result<i64> {
        let id = ShardId { topic: assigned.topic.to_string(), partition: assigned.partition };
        let instance = self.parts.instance.clone();
        let lease =
            patiently(&self.parts, "take a partition", async |s| s.acquire_shard(&id, &instance, wall::now()).await)
                .await?;
        let state = match &lease.blob {
            Some(blob) => snapshot::decode_shard(blob).map_err(|error| anyhow::anyhow!("shard {id}: {error}"))?,
            None => self.parts.history.map_or_else(ShardState::default, |history| history.state()),
        };
        let position = match lease.position {
            None => assigned.low,
            Some(stored) if stored > assigned.high => {
                tracing::error!(shard = %id, stored, end = assigned.high,
                    "the stored position lies beyond the partition's end: the topic was made anew; reading it from its start");
                let epoch = lease.epoch;
                let reset = patiently(&self.parts, "reset offsets", async |s| s.reset_offsets(&id, epoch).await).await;
                // A newer owner took it meanwhile: what comes of it is passed over.
                if !self.still_ours(&(assigned.topic.clone(), assigned.partition), reset)? {
                    return Ok(assigned.high);
                }
                assigned.low
            }
            Some(stored) if stored < assigned.low => {
                tracing::error!(shard = %id, from = stored, to = assigned.low, "retention took messages before they were read");
                self.parts.metrics.messages_lost.inc_by((assigned.low - stored) as u64);
                assigned.low
            }
            Some(stored) => stored,
        };
        let limits = &self.parts.limits;
        let intake_limits = IntakeLimits {
            lateness: limits.lateness,
            dedup_ids: limits.dedup_ids,
            parked_events: limits.parked_events,
        };
        let stale_timers = lease.blob.is_some() && state.rules_version != self.parts.rules.version;
        let now = wall::now();
        let mut partition = Partition {
            id: id.clone(),
            of: assigned.of,
            epoch: lease.epoch,
            position,
            stored_position: lease.position,
            intake: Intake::new(intake_limits, state.now, state.parked),
            shard: Shard::new(limits.lateness, limits.source_subjects, state.watch),
            checkpoint: None,
            checkpointed_at: now,
            next_checkpoint_at: now + limits.checkpoint_every,
            timers_loaded_to: Millis::MIN,
            fostering: false,
            begun: lease.position.is_some(),
            at_end: None,
            caught_up: false,
            waiting: None,
            coming: None,
            marked: Default::default(),
            reported: Default::default(),
        };
        partition.shard.restore_sources(state.source_cases);
        partition.shard.restore_stream(state.stream);
        self.parts.metrics.partitions_taken.inc();
        // An empty or fully read partition sends no message that would say so.
        if position >= assigned.high {
            partition.reached_end(position, now, wall::instant());
        }
        tracing::info!(shard = %id, epoch = lease.epoch, position, low = assigned.low, high = assigned.high, "took the partition over");
        if lease.position.is_some_and(|stored| stored != position) {
            partition.shard.note_gap();
        }
        let name = (assigned.topic.clone(), assigned.partition);
        self.taken.remove(&name);
        self.partitions.insert(name.clone(), partition);
        if let Some(link) = &self.link {
            link.hold(&name, false);
        }
        if self.parts.role == Role::Events {
            if stale_timers {
                self.sweep_timers(&name).await?;
            }
            self.catch_up_with_facts(&name, lease.stored_at).await?;
            // Nobody merges what it has yet to tell of.
            self.mark(&name, now).await?;
        }
        // What lies before the position is read again only for its event IDs, so that duplicates of it are known.
        Ok((position - self.parts.limits.dedup_ids as i64).max(assigned.low).min(position))
    }

    /// Facts may have changed while nobody owned the partition: stored timers were worked out without them.
    async fn catch_up_with_facts(&mut self, name: &(Arc<str>, i32), stored_at: Millis) -> anyhow::Result<()> {
        let since = stored_at - CLOCKS_DIFFER;
        let keys = patiently(&self.parts, "find changed facts", async |s| s.keys_changed_since(since).await).await?;
        let merchants: BTreeSet<String> = {
            let facts = read_facts(&self.parts.facts);
            keys.iter().filter_map(|key| facts.key(key)?.merchant_id.clone()).collect()
        };
        let merchants: Vec<String> = merchants.into_iter().collect();
        self.facts_changed_in(name, &merchants).await
    }

    /// Begins to watch merchants that only facts know, once every partition here has been read to its end: until then
    /// their traffic may be in one that is still behind.
    pub(super) async fn begin_fostering(&mut self) -> anyhow::Result<()> {
        if self.parts.role == Role::Refused || !self.partitions.values().all(|p| p.caught_up) {
            return Ok(());
        }
        let new: Vec<_> = self.partitions.iter().filter(|(_, p)| !p.fostering).map(|(name, _)| name.clone()).collect();
        for name in new {
            let Some(p) = self.partitions.get_mut(&name) else { continue };
            p.fostering = true;
            let (of, now) = (p.of, p.now());
            self.foster(&name, of).await?;
            // What became due for them while the stream was being read.
            if let Some(now) = now {
                self.fire_timers(&name, now, now).await?;
            }
        }
        Ok(())
    }

    /// Merchants that only facts know, and that no partition has seen, are watched by the partition that a hash names.
    async fn foster(&mut self, name: &(Arc<str>, i32), of: i32) -> anyhow::Result<()> {
        let mut mine: Vec<String> = {
            let facts = read_facts(&self.parts.facts);
            facts.merchants_with_keys().filter(|m| foster_partition(m, of) == name.1).map(str::to_owned).collect()
        };
        if self.parts.history.is_some() {
            mine.extend(self.left_by_history(name.1, of).await?);
        }
        self.foster_these(name, mine).await
    }

    pub(super) async fn foster_these(&mut self, name: &(Arc<str>, i32), merchants: Vec<String>) -> anyhow::Result<()> {
        if merchants.is_empty() {
            return Ok(());
        }
        let homeless =
            patiently(&self.parts, "find merchants without a home", async |s| s.without_home(&merchants).await).await?;
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let id = p.id.clone();
        let rows = patiently(&self.parts, "load subjects", async |s| s.own_subjects(&id, &homeless).await).await?;
        super::judge::insert_rows(&self.parts, p, rows)?;
        // What a history, or another partition for want of traffic, has learned of them goes on here.
        let strange: Vec<String> = homeless.iter().filter(|m| !p.shard.contains(m)).cloned().collect();
        let rows = patiently(&self.parts, "load subjects", async |s| s.load_subjects(&id, &strange).await).await?;
        for row in rows {
            let subject = super::judge::decode_row(&row, p)?;
            self.parts.with_world(|world| p.shard.foster_known(subject, world));
        }
        self.parts.with_world(|world| {
            for merchant in homeless.iter().filter(|id| !id.starts_with(KEY_ALONE)) {
                p.shard.foster(merchant, world);
            }
        });
        Ok(())
    }

    /// Subjects of the history that no partition has taken yet, as far as they are this one's by hash.
    async fn left_by_history(&self, partition: i32, of: i32) -> anyhow::Result<Vec<String>> {
        let (mut mine, mut after) = (Vec::new(), String::new());
        loop {
            let page = patiently(&self.parts, "find what a history left", async |s| {
                s.history_subjects(&after, SWEEP_PAGE).await
            });
            let page = page.await?;
            let Some(last) = page.last() else { return Ok(mine) };
            after.clone_from(last);
            mine.extend(page.into_iter().filter(|id| foster_partition(id, of) == partition));
        }
    }

    /// Messages are missing; where offsets begin anew, the topic was made anew.
    pub(super) async fn on_gap(&mut self, name: &(Arc<str>, i32), from: i64, to: i64) -> anyhow::Result<()> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        p.position = to;
        p.shard.note_gap();
        if to >= from {
            return Ok(());
        }
        p.shard.forget_offsets();
        let (id, epoch) = (p.id.clone(), p.epoch);
        let reset = patiently(&self.parts, "reset offsets", async |s| s.reset_offsets(&id, epoch).await).await;
        self.still_ours(name, reset).map(drop)
    }

    /// Other rules are in force: subjects in memory are looked at again, and those in the store get new timers.
    pub(super) async fn on_rules(&mut self, rules: Arc<RuleSet>) -> anyhow::Result<()> {
        if rules.version == self.parts.rules.version {
            return Ok(());
        }
        tracing::info!(version = %rules.version, rules = rules.rules.len(), "rules in force");
        self.parts.rules = rules;
        if self.parts.role == Role::Refused {
            return Ok(());
        }
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in names {
            if let Some(p) = self.partitions.get_mut(&name) {
                self.parts.with_world(|world| p.shard.rules_changed(world));
            }
            self.sweep_timers(&name).await?;
        }
        Ok(())
    }

    /// Works the next timer of every absent subject out anew, page by page, and loads those that come due soon.
    async fn sweep_timers(&mut self, name: &(Arc<str>, i32)) -> anyhow::Result<()> {
        let mut after = String::new();
        loop {
            let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
            let (id, epoch) = (p.id.clone(), p.epoch);
            let rows = patiently(&self.parts, "work timers out anew", async |s| {
                s.subjects_after(&id, &after, SWEEP_PAGE).await
            });
            let rows = rows.await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            let mut changed: Vec<SubjectRow> = Vec::new();
            for row in rows {
                let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
                if p.shard.contains(&row.id) {
                    continue;
                }
                let subject = snapshot::decode_subject(&row.blob, row.current_to)
                    .map_err(|error| anyhow::anyhow!("subject `{}` of {}: {error}", row.id, p.id))?;
                let due = self.parts.with_world(|world| p.shard.due_of(&subject, world));
                if due != row.next_due {
                    changed.push(SubjectRow { next_due: due, ..row });
                }
            }
            if !changed.is_empty() {
                let written = patiently(&self.parts, "write timers", async |s| {
                    s.write_slice(&id, epoch, &changed, &[], wall::now()).await
                });
                let written = written.await;
                if !self.still_ours(name, written)? {
                    return Ok(());
                }
            }
        }
        if let Some(p) = self.partitions.get_mut(name) {
            p.timers_loaded_to = Millis::MIN;
        }
        Ok(())
    }

    /// Stores what is left of the partitions that go, then forgets them.
    pub(super) async fn let_go(&mut self, revocation: Revocation) -> anyhow::Result<()> {
        if !revocation.lost {
            self.last_second_stage_step().await;
        }
        for name in &revocation.partitions {
            let name = (name.0.clone(), name.1);
            if !revocation.lost {
                self.checkpoint_whole(&name).await?;
            }
            self.taken.remove(&name);
            if self.partitions.remove(&name).is_some() {
                tracing::info!(topic = %name.0, partition = name.1, lost = revocation.lost, "let the partition go");
            }
        }
        // The source may have stopped waiting.
        let _ = revocation.ack.send(());
        Ok(())
    }
}

/// The partition that watches a merchant without traffic: FNV-1a of its ID.
pub fn foster_partition(merchant_id: &str, of: i32) -> i32 {
    let hash =
        merchant_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    (hash % of.max(1) as u64) as i32
}
