//! Checkpoints: subjects in slices, each with the position it is current to; the shard's position last.

use std::sync::Arc;

use crate::engine::shard::Shard;
use crate::engine::snapshot;
use crate::pipeline::partition::{Checkpoint, Partition};
use crate::pipeline::{Pipeline, patiently};
use crate::store::{SubjectRow, UsageRow};
use crate::time::Millis;
use crate::wall;

/// A checkpoint begins early once so many subjects have changed.
const MANY_DIRTY: usize = 50_000;

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
            if !changed || !due {
                return Ok(());
            }
            p.next_checkpoint_at = now + self.parts.limits.checkpoint_every;
            begin(p, &self.parts.rules.version);
        }
        let is_writing = |c: &Checkpoint| c.under_way.as_ref().is_some_and(|writing| !writing.is_finished());
        if p.checkpoint.as_ref().is_some_and(is_writing) {
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
            {
                begin(p, &self.parts.rules.version);
            }
            while self.slice(name, wall::now()).await? {}
        }
        Ok(())
    }

    /// Begins to write the next slice, once the one before is written. True while there is more to write.
    ///
    /// The write itself is not waited for: events are judged meanwhile. What they change is dirty again, so a crash in
    /// between leaves rows that are as old as the position that is stored after them, or newer, which each row says.
    async fn slice(&mut self, name: &(Arc<str>, i32), now: Millis) -> anyhow::Result<bool> {
        let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
        let Some(checkpoint) = &mut p.checkpoint else { return Ok(false) };
        if let Some(writing) = checkpoint.under_way.take() {
            let written = writing.await.map_err(|error| anyhow::anyhow!("the writing of a slice crashed: {error}"))?;
            if !self.still_ours(name, written)? {
                return Ok(false);
            }
        }
        let Some(p) = self.partitions.get_mut(name) else { return Ok(false) };
        let Some(checkpoint) = &mut p.checkpoint else { return Ok(false) };
        let (id, epoch, current_to) = (p.id.clone(), p.epoch, p.position);
        let left = checkpoint.queue.len().saturating_sub(self.parts.limits.slice_rows);
        let chosen = checkpoint.queue.split_off(left);
        if chosen.is_empty() {
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
        }
        let (rows, usage) = stored_rows(&mut p.shard, &chosen, current_to);
        self.parts.metrics.checkpoint_rows.inc_by(rows.len() as u64);
        let parts = self.parts.clone();
        // On a thread that may wait: the future borrows what it writes, which a task of its own could not.
        let runtime = tokio::runtime::Handle::current();
        checkpoint.under_way = Some(tokio::task::spawn_blocking(move || {
            let write =
                patiently(&parts, "write a slice", async |s| s.write_slice(&id, epoch, &rows, &usage, now).await);
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

/// The rows of these changed subjects, current to an offset, and of their keys' days that changed, in the order of their keys.
pub fn stored_rows(shard: &mut Shard, changed: &[u32], current_to: i64) -> (Vec<SubjectRow>, Vec<UsageRow>) {
    let (mut rows, mut usage) = (Vec::with_capacity(changed.len()), Vec::new());
    for at in changed {
        shard.take_dirty(*at, |subject, next_due| {
            rows.push(SubjectRow {
                id: subject.id.to_string(),
                current_to,
                next_due,
                blob: snapshot::encode_subject(subject),
            });
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
        });
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    usage.sort_by(|a, b| (&a.key_id, a.day).cmp(&(&b.key_id, b.day)));
    (rows, usage)
}

fn begin(p: &mut Partition, rules_version: &str) {
    let state = p.state(rules_version);
    p.checkpoint = Some(Checkpoint {
        position: p.position,
        state,
        begun: wall::instant(),
        queue: p.shard.begin_checkpoint(),
        under_way: None,
    });
}
