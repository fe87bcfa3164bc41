//! What waits until it is known what the fleet is like on its day.
//!
//! That is known once every partition has passed the day before the day before (law 3), so it only happens where partitions
//! catch up and one is a day ahead of another. The source reads no more of it then; what it has read already waits here, at most
//! what the channel between them holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pipeline::decode::{DecodedBatch, Said};
use crate::pipeline::{Pipeline, Role, patiently};
use crate::time::{DAY, Millis, rfc3339};
use crate::wall;

/// Who waits for so long says so.
const LONG: Duration = Duration::from_secs(60);

/// A batch that is judged in part, and what came after it.
#[derive(Debug)]
pub struct Waiting {
    batch: DecodedBatch,
    /// The first of its admitted events that waits.
    next: usize,
    /// Its offset: what comes before it is judged.
    pub(super) offset: i64,
    /// Stream time with it.
    pub(super) now: Millis,
    since: Instant,
    is_said: bool,
    after: VecDeque<Said>,
}

impl Pipeline {
    /// Puts away what a partition that waits would have to do later. Gives back what is to be done now.
    pub(super) fn put_away(&mut self, said: Said) -> Option<Said> {
        let name = match &said {
            Said::Batch(batch) => (batch.borrow_owner().topic.clone(), batch.borrow_owner().partition),
            Said::End { topic, partition, .. } | Said::Gap { topic, partition, .. } => (topic.clone(), *partition),
            _ => return Some(said),
        };
        match self.partitions.get_mut(&name).and_then(|p| p.waiting.as_mut()) {
            Some(waiting) => {
                waiting.after.push_back(said);
                None
            }
            None => Some(said),
        }
    }

    /// Judges the events of a batch from `next` on as far as it is known what the fleet is like, and puts the rest away.
    pub(super) async fn judge_from(
        &mut self,
        name: &(Arc<str>, i32),
        batch: DecodedBatch,
        next: usize,
    ) -> anyhow::Result<()> {
        let admitted = &batch.borrow_dependent().admitted;
        let is_known = |now: Millis| self.parts.role == Role::Refused || now <= self.known_until;
        let mut to = admitted[next..].iter().position(|a| !is_known(a.now)).map_or(admitted.len(), |n| next + n);
        if let Some(first) = admitted.get(to) {
            // The events of one message are judged together.
            to -= admitted[next..to].iter().rev().take_while(|a| a.offset == first.offset).count();
        }
        self.judge(name, &admitted[next..to]).await?;
        if let Some(first) = admitted.get(to)
            && let Some(p) = self.partitions.get_mut(name)
        {
            let of_message = admitted[to..].iter().take_while(|a| a.offset == first.offset);
            let now = of_message.map(|a| a.now).max().unwrap_or(first.now);
            let (offset, since) = (first.offset, wall::instant());
            let waiting = Waiting { batch, next: to, offset, now, since, is_said: false, after: VecDeque::new() };
            p.waiting = Some(Box::new(waiting));
            if let Some(link) = &self.link {
                link.hold(name, true);
            }
            self.stage_at = 0;
        }
        Ok(())
    }

    /// What waits goes on at once where it need not wait any more.
    pub(super) async fn go_on(&mut self) -> anyhow::Result<()> {
        if self.partitions.values().any(|p| p.waiting.is_some()) {
            self.second_stage_step().await?;
            self.resume_waiting().await?;
        }
        Ok(())
    }

    /// Goes on with the partitions that need not wait any more.
    pub(super) async fn resume_waiting(&mut self) -> anyhow::Result<()> {
        loop {
            let known_until = self.known_until;
            let name = self.partitions.iter().find_map(|(name, p)| {
                p.waiting.as_ref().is_some_and(|waiting| waiting.now <= known_until).then(|| name.clone())
            });
            let Some(name) = name else { break };
            self.resume(&name).await?;
            self.second_stage_step().await?;
        }
        let metrics = &self.parts.metrics;
        let mut waiting = 0;
        for (name, p) in &mut self.partitions {
            let Some(of) = &mut p.waiting else { continue };
            waiting += 1;
            if !of.is_said && of.since.elapsed() >= LONG {
                of.is_said = true;
                let day = rfc3339((of.now.div_euclid(DAY) - 1) * DAY);
                tracing::info!(topic = %name.0, partition = name.1, "waits for other partitions to pass {day}: they are further behind");
            }
        }
        metrics.partitions_waiting.set(waiting);
        Ok(())
    }

    async fn resume(&mut self, name: &(Arc<str>, i32)) -> anyhow::Result<()> {
        let Some(waiting) = self.partitions.get_mut(name).and_then(|p| p.waiting.take()) else { return Ok(()) };
        let Waiting { batch, next, mut after, .. } = *waiting;
        self.judge_from(name, batch, next).await?;
        while let Some(said) = after.pop_front() {
            // It may have to wait again: then what is left does too.
            if let Some(waiting) = self.partitions.get_mut(name).and_then(|p| p.waiting.as_mut()) {
                waiting.after.push_back(said);
                waiting.after.append(&mut after);
                return Ok(());
            }
            Box::pin(self.on_source(said)).await?;
        }
        if self.partitions.get(name).is_some_and(|p| p.waiting.is_none())
            && let Some(link) = &self.link
        {
            link.hold(name, false);
        }
        Ok(())
    }

    /// Looks up what is known of the fleet, everything before `merged_to` being merged.
    pub(super) async fn learn_fleet(&mut self, merged_to: Millis) -> anyhow::Result<()> {
        let known_until = crate::engine::fleet::known_until(merged_to);
        if known_until <= self.known_until {
            return Ok(());
        }
        let fleet = patiently(&self.parts, "read what the fleet is like", async |s| s.fleet().await).await?;
        self.parts.fleet = Arc::new(fleet);
        self.known_until = known_until;
        Ok(())
    }
}
