//! A member of the consumer group: what happens when partitions come and go.
//!
//! librdkafka calls `rebalance` from inside `poll`, on the reading thread, and the group waits for it. So the callback may
//! block, and does: until the pipeline has said where to start, and until it has let go. It assigns exactly once, with the
//! offsets in place; a second assign resets positions (getsentry/snuba#5229).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::client::{Listener, Listens, lock};
use super::gather::{Gather, Place};
use super::trouble::{About, Meaning};
use super::{Link, Patience};
use crate::source::{AssignedPartition, Assignment, Revocation, SourceEvent};
use crate::wall;

/// How often a wait looks whether it is still wanted.
const TICK: Duration = Duration::from_millis(20);
/// How long the callback tries to learn where partitions begin and end.
const WATERMARKS: Duration = Duration::from_secs(10);

pub(super) type Partition = (Arc<str>, i32);

/// Partitions that are assigned and not read yet.
pub(super) enum Held {
    /// Where they begin and end is not known yet.
    Unknown(Vec<Partition>),
    /// The pipeline has not said yet where to start.
    Asked(Vec<AssignedPartition>, Receiver<Vec<i64>>),
}

/// What the reading loop and the callback share. Both run on the reading thread, never at once.
#[derive(Default)]
pub(super) struct State {
    pub(super) gather: Gather,
    /// What the channel had no room for yet.
    pub(super) outbox: VecDeque<SourceEvent>,
    pub(super) held: Vec<Held>,
    /// The channel had no room: nothing is read.
    pub(super) is_full: bool,
    /// Partitions that the client was told to pause. What is assigned anew is not paused; what was assigned before stays as it is.
    pub(super) paused: BTreeSet<Partition>,
}

impl State {
    /// Moves what was gathered to the outbox.
    pub(super) fn flush(&mut self) {
        if !self.gather.is_empty() {
            self.outbox.extend(self.gather.flush().map(SourceEvent::Batch));
        }
    }
}

/// The context of the consumer in the group.
pub(super) struct Member {
    pub(super) listener: Listener,
    pub(super) to: mpsc::Sender<SourceEvent>,
    pub(super) cancel: CancellationToken,
    pub(super) patience: Patience,
    pub(super) link: Link,
    pub(super) state: Mutex<State>,
}

impl Listens for Member {
    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn note(&self, statistics: &Statistics) {
        self.link.note_ends(statistics);
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let starts = self.assigned(consumer, list);
                let result = self
                    .set_offsets(list, &starts)
                    .and_then(|()| if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) });
                self.pause_held(consumer, list, &starts);
                result
            }
            _ => {
                self.revoked(consumer, list);
                if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() }
            }
        };
        if let Err(error) = result {
            let text = self.listener.explainer.mask(&error.to_string());
            tracing::warn!(target: "keywatch::kafka", "partitions could not be taken over or let go: {text}");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // A hint that got lost costs nothing: the store knows the position.
            tracing::debug!(target: "keywatch::kafka", "positions could not be shown to Kafka: {error}");
        }
    }
}

impl Member {
    /// Asks where to start; the answer is in the list's order, `None` for partitions that must wait.
    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Vec<Option<i64>> {
        let partitions = partitions(list);
        if partitions.is_empty() {
            return Vec::new();
        }
        self.drain();
        let deadline = wall::instant() + WATERMARKS;
        let known: Vec<Option<AssignedPartition>> =
            partitions.iter().map(|partition| self.watermarks(consumer, partition, deadline)).collect();
        let unknown = partitions.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(p, _)| p.clone());
        let unknown: Vec<Partition> = unknown.collect();
        let asked: Vec<AssignedPartition> = known.into_iter().flatten().collect();
        let mut starts = self.ask(asked.clone(), self.patience.assign);

        let state = &mut *lock(&self.state);
        if !unknown.is_empty() {
            state.held.push(Held::Unknown(unknown));
        }
        state.held.extend(starts.late.take());
        let mut offsets = Vec::new();
        for (topic, partition) in partitions {
            let start = starts.of(&asked, &topic, partition);
            state.gather.forget(&topic, partition);
            state.paused.remove(&(topic.clone(), partition));
            state.gather.places.push(Place::new(topic, partition, start.unwrap_or_default(), start.is_some()));
            offsets.push(start);
        }
        let reports = &mut *lock(&self.listener.reports);
        reports.troubles.close(|about| matches!(about, About::Group | About::Connection));
        reports.away_since = None;
        offsets
    }

    fn set_offsets(&self, list: &mut TopicPartitionList, starts: &[Option<i64>]) -> KafkaResult<()> {
        let places: Vec<(String, i32)> =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        for ((topic, partition), start) in places.iter().zip(starts) {
            let offset = start.map_or(Offset::Beginning, Offset::Offset);
            list.set_partition_offset(topic, *partition, offset)?;
        }
        Ok(())
    }

    fn pause_held(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList, starts: &[Option<i64>]) {
        let mut held = TopicPartitionList::new();
        for (element, _) in list.elements().iter().zip(starts).filter(|(_, start)| start.is_none()) {
            held.add_partition(element.topic(), element.partition());
        }
        if held.count() > 0
            && let Err(error) = consumer.pause(&held)
        {
            tracing::warn!(target: "keywatch::kafka", "waiting partitions could not be paused: {error}");
        }
    }

    /// Where a partition begins and ends, tried until the deadline.
    fn watermarks(
        &self,
        consumer: &BaseConsumer<Self>,
        (topic, partition): &Partition,
        deadline: Instant,
    ) -> Option<AssignedPartition> {
        loop {
            let left = deadline.saturating_duration_since(wall::instant());
            let once = left.clamp(Duration::from_millis(100), Duration::from_secs(2));
            match consumer.fetch_watermarks(topic, *partition, once) {
                Ok((low, high)) => {
                    return Some(AssignedPartition {
                        topic: topic.clone(),
                        partition: *partition,
                        low,
                        high,
                        of: count_of(consumer, topic, once),
                    });
                }
                Err(error) => {
                    tracing::debug!(target: "keywatch::kafka", topic = &**topic, partition, "no watermarks yet: {error}");
                    if left.is_zero() || self.cancel.is_cancelled() {
                        return None;
                    }
                    std::thread::sleep(TICK);
                }
            }
        }
    }

    /// Sends `Assigned` and waits for the answer.
    fn ask(&self, partitions: Vec<AssignedPartition>, patience: Duration) -> Starts {
        if partitions.is_empty() {
            return Starts::default();
        }
        let (reply, answer) = sync_channel(1);
        let assignment = Assignment { partitions: partitions.clone(), reply };
        let end = wall::instant() + patience;
        if self.cancel.is_cancelled() {
            return Starts::default();
        }
        if let Err(undelivered) = self.deliver(SourceEvent::Assigned(assignment), patience) {
            // No room for so long: asked again later. Nobody there at all: never.
            let partitions = partitions.into_iter().map(|place| (place.topic, place.partition)).collect();
            return Starts { offsets: None, late: undelivered.map(|_| Held::Unknown(partitions)) };
        }
        loop {
            match answer.recv_timeout(TICK) {
                Ok(offsets) => return Starts { offsets: Some(offsets), late: None },
                // Dropped: these partitions are not to be read.
                Err(RecvTimeoutError::Disconnected) => return Starts::default(),
                Err(RecvTimeoutError::Timeout) if self.cancel.is_cancelled() => return Starts::default(),
                Err(RecvTimeoutError::Timeout) if wall::instant() >= end => {
                    self.listener.take(Meaning::Trouble(
                        About::Pipeline,
                        "the store has not said yet where reading should start; new partitions wait for it".to_owned(),
                    ));
                    return Starts { offsets: None, late: Some(Held::Asked(partitions, answer)) };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Tells the pipeline, waits until it has let go, and forgets the partitions.
    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = partitions(list);
        if partitions.is_empty() {
            return;
        }
        let lost = consumer.assignment_lost();
        {
            let state = &mut *lock(&self.state);
            if self.cancel.is_cancelled() {
                // What was not handed over is for the next owner.
                state.gather.flush().for_each(drop);
                state.outbox.retain(|event| matches!(event, SourceEvent::Revoked(_)));
            } else if lost {
                partitions.iter().for_each(|(topic, partition)| state.gather.forget(topic, *partition));
            }
        }
        self.drain();
        let (ack, acked) = sync_channel(1);
        let revocation = Revocation { partitions: partitions.clone(), lost, ack };
        let gone = |topic: &str, partition: i32| partitions.iter().any(|(t, p)| **t == *topic && *p == partition);
        match self.deliver(SourceEvent::Revoked(revocation), self.patience.revoke) {
            // No answer in time, or nobody there: the epochs in the store protect the next owner.
            Ok(()) => drop(acked.recv_timeout(self.patience.revoke)),
            Err(undelivered) => {
                // Told late, but told; what was read of these partitions and not handed over is for the next owner.
                let state = &mut *lock(&self.state);
                state.outbox.retain(|event| match event {
                    SourceEvent::Batch(batch) => !gone(&batch.topic, batch.partition),
                    SourceEvent::End { topic, partition, .. } | SourceEvent::Gap { topic, partition, .. } => {
                        !gone(topic, *partition)
                    }
                    _ => true,
                });
                state.outbox.extend(undelivered.map(|event| *event));
            }
        }
        if !lost {
            self.commit_hints(consumer);
        }
        let state = &mut *lock(&self.state);
        for (topic, partition) in &partitions {
            state.gather.forget(topic, *partition);
        }
        state.held.retain_mut(|held| match held {
            Held::Unknown(waiting) => {
                waiting.retain(|(topic, partition)| !gone(topic, *partition));
                !waiting.is_empty()
            }
            Held::Asked(waiting, _) => waiting.iter().any(|place| !gone(&place.topic, place.partition)),
        });
    }

    /// Hands over everything that waits, so that what is sent next comes after it.
    fn drain(&self) {
        let waiting = {
            let state = &mut *lock(&self.state);
            state.flush();
            std::mem::take(&mut state.outbox)
        };
        let mut waiting = waiting.into_iter();
        let stuck = waiting.by_ref().find_map(|event| self.deliver(event, self.patience.revoke).err());
        if let Some(Some(event)) = stuck {
            let state = &mut *lock(&self.state);
            state.outbox.push_back(*event);
            state.outbox.extend(waiting);
        }
    }

    /// Sends, waiting for room. The error is the event where there was none, and nothing where nobody reads any more.
    pub(super) fn deliver(&self, event: SourceEvent, patience: Duration) -> Result<(), Option<Box<SourceEvent>>> {
        let end = wall::instant() + patience;
        let mut event = event;
        loop {
            match self.to.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => {
                    self.cancel.cancel();
                    return Err(None);
                }
                Err(TrySendError::Full(back)) if wall::instant() >= end => return Err(Some(Box::new(back))),
                Err(TrySendError::Full(back)) => event = back,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets waiting partitions begin, where that is possible by now.
    pub(super) fn step_held(&self, consumer: &BaseConsumer<Self>) {
        if !lock(&self.state).outbox.is_empty() {
            // What is asked must come after what was said before.
            return;
        }
        let waiting = std::mem::take(&mut lock(&self.state).held);
        for held in waiting {
            let (partitions, answer) = match held {
                Held::Asked(partitions, answer) => (partitions, answer),
                Held::Unknown(partitions) => {
                    let now = wall::instant();
                    let known: Option<Vec<_>> =
                        partitions.iter().map(|partition| self.watermarks(consumer, partition, now)).collect();
                    let Some(known) = known else {
                        lock(&self.state).held.push(Held::Unknown(partitions));
                        continue;
                    };
                    let starts = self.ask(known.clone(), TICK);
                    if let Some(offsets) = starts.offsets {
                        self.open(consumer, &known, &offsets);
                    }
                    lock(&self.state).held.extend(starts.late);
                    continue;
                }
            };
            match answer.try_recv() {
                Ok(offsets) => self.open(consumer, &partitions, &offsets),
                Err(TryRecvError::Empty) => lock(&self.state).held.push(Held::Asked(partitions, answer)),
                Err(TryRecvError::Disconnected) => {}
            }
        }
        if !lock(&self.state).held.iter().any(|held| matches!(held, Held::Asked(..))) {
            lock(&self.listener.reports).troubles.close(|about| *about == About::Pipeline);
        }
    }

    /// Begins to read partitions that had to wait.
    fn open(&self, consumer: &BaseConsumer<Self>, partitions: &[AssignedPartition], offsets: &[i64]) {
        for (index, place) in partitions.iter().enumerate() {
            let start = offsets.get(index).copied().unwrap_or(place.low);
            let mut list = TopicPartitionList::new();
            list.add_partition(&place.topic, place.partition);
            let state = &mut *lock(&self.state);
            let Some(found) = state.gather.find(&place.topic, place.partition) else { continue };
            let sought = consumer.seek(&place.topic, place.partition, Offset::Offset(start), Duration::from_secs(5));
            if let Err(error) = sought.and_then(|()| consumer.resume(&list)) {
                tracing::warn!(target: "keywatch::kafka", "a waiting partition could not be started: {error}");
                state.held.push(Held::Unknown(vec![(place.topic.clone(), place.partition)]));
                continue;
            }
            let found = &mut state.gather.places[found];
            found.next = start;
            found.open = true;
            state.paused.remove(&(place.topic.clone(), place.partition));
        }
    }

    /// Shows the stored positions to Kafka, for its lag tools.
    pub(super) fn commit_hints(&self, consumer: &BaseConsumer<Self>) {
        let hints: BTreeMap<Partition, i64> = std::mem::take(&mut *lock(&self.link.stored));
        let mut list = TopicPartitionList::new();
        {
            let state = lock(&self.state);
            for ((topic, partition), next) in &hints {
                let owned = state.gather.places.iter().any(|p| p.topic == *topic && p.partition == *partition);
                if owned && let Err(error) = list.add_partition_offset(topic, *partition, Offset::Offset(*next)) {
                    tracing::debug!(target: "keywatch::kafka", "a position could not be shown to Kafka: {error}");
                }
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(target: "keywatch::kafka", "positions could not be shown to Kafka: {error}");
        }
    }
}

/// Where to start, as far as the pipeline has said.
#[derive(Default)]
struct Starts {
    offsets: Option<Vec<i64>>,
    late: Option<Held>,
}

impl Starts {
    fn of(&self, asked: &[AssignedPartition], topic: &str, partition: i32) -> Option<i64> {
        let offsets = self.offsets.as_ref()?;
        let index = asked.iter().position(|place| place.partition == partition && &*place.topic == topic)?;
        Some(offsets.get(index).copied().unwrap_or(asked[index].low))
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|element| (Arc::from(element.topic()), element.partition())).collect()
}

/// How many partitions a topic has; 0 where the broker does not say.
fn count_of<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, within: Duration) -> i32 {
    consumer
        .fetch_metadata(Some(topic), within)
        .ok()
        .and_then(|metadata| metadata.topics().iter().find(|t| t.name() == topic).map(|t| t.partitions().len() as i32))
        .unwrap_or(0)
}
