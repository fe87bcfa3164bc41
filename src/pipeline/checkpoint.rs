//! Checkpoints: subjects in slices, each with the position it is current to; the shard's position last.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::engine::shard::Shard;
use crate::engine::snapshot;
use crate::engine::subject::Subject;
use crate::pipeline::partition::{Checkpoint, Partition};
use crate::pipeline::{Pipeline, patiently};
use crate::store::{SubjectRow, UsageRow};
use crate::time::Millis;
use crate::wall;

/// A checkpoint begins early once so many subjects have changed.
const MANY_DIRTY: usize = 50_000;

/// What a checkpoint has still to store: first subjects, then the days of usage that changed in them.
///
/// Days of usage are stored in the order of their table. A row of sixty bytes wherever a subject's own slice happens to be
/// would cost a page each. Where the process dies between the two, events are read again from before the checkpoint, and
/// the shard takes the days of those that a stored subject already has as changed.
#[derive(Debug)]
pub struct Queue {
    subjects: Vec<u32>,
    usage: Vec<UsageRow>,
    is_sorted: bool,
}

/// What one transaction of a checkpoint stores.
#[derive(Debug)]
pub struct Slice {
    /// Changed subjects.
    pub rows: Vec<SubjectRow>,
    /// Days of usage that changed.
    pub usage: Vec<UsageRow>,
}

impl Pipeline {
    /// Begins a checkpoint that is due, or writes one slice of the one under way: nothing waits for more than that.
    pub(super) async fn checkpoint_step(&mut self, name: &(Arc<str>, i32)) -> anyhow::Result<()> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(()) };
        let now = wall::now();
        if p.checkpoint.is_none() {
            let changed = p.stored_position != Some(p.position) || p.shard.dirty_len() > 0;
            let due = now >= p.next_checkpoint_at || p.shard.dirty_len() >= MANY_DIRTY;
            if !changed {
                // Everything is stored: as good as a checkpoint just now.
                p.checkpointed_at = now;
            }
            // A partition that waits has read further than it has judged: what its front knows is no state to go on from.
            if !changed || !due || p.waiting.is_some() {
                return Ok(());
            }
            p.next_checkpoint_at = now + self.parts.limits.checkpoint_every;
            begin(p, &self.parts.rules.version);
        }
        let (slice_rows, judged_to) = (self.parts.limits.slice_rows, p.judged_to());
        if let Some(checkpoint) = &mut p.checkpoint
            && checkpoint.under_way.as_ref().is_some_and(|writing| !writing.is_finished())
        {
            checkpoint.prepare(&mut p.shard, judged_to, slice_rows);
            return Ok(());
        }
        self.slice(name, now).await.map(drop)
    }

    /// Writes the whole checkpoint now: the partition goes to somebody else.
    pub(super) async fn checkpoint_whole(&mut self, name: &(Arc<str>, i32)) -> anyhow::Result<()> {
        // One that is under way began earlier: finish it, then store what changed since.
        for _ in 0..2 {
            if let Some(p) = self.partitions.get_mut(name)
                && p.checkpoint.is_none()
                && p.waiting.is_none()
            {
                begin(p, &self.parts.rules.version);
            }
            while self.slice(name, wall::now()).await? {}
        }
        Ok(())
    }

    /// Begins to write the next slice, once the one before is written. True while there is more to write.
    ///
    /// The write itself is not waited for: events are judged and the slice after it is encoded meanwhile. What they change is dirty again, so a crash in
    /// between leaves rows that are as old as the position that is stored after them, or newer, which each row says.
    async fn slice(&mut self, name: &(Arc<str>, i32), now: Millis) -> anyhow::Result<bool> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
        let judged_to = p.judged_to();
        let Some(checkpoint) = &mut p.checkpoint else { return Ok(false) };
        checkpoint.prepare(&mut p.shard, judged_to, self.parts.limits.slice_rows);
        if let Some(writing) = checkpoint.under_way.take() {
            let written = writing.await.map_err(|error| anyhow::anyhow!("the writing of a slice crashed: {error}"))?;
            if !self.still_ours(name, written)? {
                return Ok(false);
            }
        }
        let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
        let Some(checkpoint) = &mut p.checkpoint else { return Ok(false) };
        let (id, epoch) = (p.id.clone(), p.epoch);
        let Some(slice) = checkpoint.prepared.take() else {
            let (position, blob) = (checkpoint.position, snapshot::encode_shard(&checkpoint.state));
            let done = patiently(&self.parts, "finish a checkpoint", async |s| {
                s.finish_checkpoint(&id, epoch, position, &blob, now).await
            });
            let done = done.await;
            if self.still_ours(name, done)?
                && let Some(p) = self.partitions.get_mut(name)
            {
                if let Some(done) = p.checkpoint.take() {
                    self.parts.metrics.checkpoint_duration_seconds.observe(done.begun.elapsed().as_secs_f64());
                }
                (p.stored_position, p.checkpointed_at) = (Some(position), now);
                self.parts.metrics.checkpoints.inc();
                if let Some(link) = &self.link {
                    link.stored(&name.0, name.1, position);
                }
            }
            return Ok(false);
        };
        self.parts.metrics.checkpoint_rows.inc_by(slice.rows.len() as u64);
        let parts = self.parts.clone();
        // On a thread that may wait: the future borrows what it writes, which a task of its own could not.
        let runtime = tokio::runtime::Handle::current();
        checkpoint.under_way = Some(tokio::task::spawn_blocking(move || {
            let write = patiently(&parts, "write a slice", async |s| {
                s.write_slice(&id, epoch, &slice.rows, &slice.usage, now).await
            });
            runtime.block_on(write)
        }));
        Ok(true)
    }

    /// The last checkpoint before the process ends.
    pub(super) async fn save_everything(&mut self) {
        self.save_dead_letters().await;
        let names: Vec<_> = self.partitions.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.checkpoint_whole(&name).await {
                tracing::warn!(topic = %name.0, partition = name.1, %error, "cannot store the last checkpoint");
            }
        }
        self.partitions.clear();
    }
}

impl Queue {
    /// Takes what is dirty now.
    pub fn of(shard: &mut Shard) -> Self {
        Queue { subjects: shard.begin_checkpoint(), usage: Vec::new(), is_sorted: false }
    }

    /// The next slice of at most so many rows, subjects as they stand before `current_to`; none once all are taken.
    pub fn next_slice(&mut self, shard: &mut Shard, n_rows: usize, current_to: i64) -> Option<Slice> {
        let chosen = self.subjects.split_off(self.subjects.len().saturating_sub(n_rows));
        if chosen.is_empty() {
            return self.next_usage(n_rows);
        }
        let mut rows = Vec::with_capacity(chosen.len());
        let of_slice = self.usage.len();
        for at in &chosen {
            shard.take_dirty(*at, |subject, next_due| {
                let (id, blob) = (subject.id.to_string(), snapshot::encode_subject(subject));
                rows.push(SubjectRow { id, current_to, next_due, blob });
                take_usage(subject, &mut self.usage);
            });
        }
        rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.usage[of_slice..].sort_unstable_by(last_first);
        Some(Slice { rows, usage: Vec::new() })
    }

    fn next_usage(&mut self, n_rows: usize) -> Option<Slice> {
        if !self.is_sorted {
            // Of stretches that are sorted already, which this kind of sorting makes use of.
            self.usage.sort_by(last_first);
            self.is_sorted = true;
        }
        let usage = self.usage.split_off(self.usage.len().saturating_sub(n_rows));
        (!usage.is_empty()).then(|| Slice { rows: Vec::new(), usage })
    }
}

/// The order of the table backwards: slices are taken from the end.
fn last_first(a: &UsageRow, b: &UsageRow) -> Ordering {
    (b.day, &b.key_id).cmp(&(a.day, &a.key_id))
}

/// Appends the rows of days that changed.
fn take_usage(subject: &mut Subject, usage: &mut Vec<UsageRow>) {
    for key in &mut subject.keys {
        for day in key.features.days.iter_mut().filter(|day| day.is_unsaved) {
            day.is_unsaved = false;
            usage.push(UsageRow {
                key_id: key.features.key_id.to_string(),
                day: day.day,
                accepted: day.accepted as i64,
                refused: day.refused as i64,
                first_at: day.first_at,
                last_at: day.last_at,
            });
        }
    }
}

impl Checkpoint {
    /// Encodes the next slice, unless one is ready.
    fn prepare(&mut self, shard: &mut Shard, current_to: i64, n_rows: usize) {
        if self.prepared.is_none() {
            self.prepared = self.queue.next_slice(shard, n_rows, current_to);
        }
    }
}

fn begin(p: &mut Partition, rules_version: &str) {
    let state = p.state(rules_version);
    p.checkpoint = Some(Checkpoint {
        position: p.position,
        state,
        begun: wall::instant(),
        queue: Queue::of(&mut p.shard),
        prepared: None,
        under_way: None,
    });
}
