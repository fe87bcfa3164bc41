//! The topic of facts, read whole: every instance needs all of them, so there is no group and no commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::{Listener, Plain, client_config, lock, make};
use super::gather::{Gather, Place};
use super::read::{go_on_at, pass_on_reports, take_error, tend};
use super::trouble::Explainer;
use crate::config::KafkaConfig;
use crate::source::{FactsEvent, SourceEvent};
use crate::wall;

/// How long a poll waits for the first message.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at troubles.
const CHORES: Duration = Duration::from_millis(500);
/// Between two looks for new partitions.
const PARTITIONS: Duration = Duration::from_secs(60);

/// Reads all partitions of the topic of facts from their beginning, on a thread of its own, until cancelled.
pub fn read_facts(
    config: &KafkaConfig,
    topic: &str,
    to: mpsc::Sender<FactsEvent>,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    // librdkafka wants a group's name for its consumer queue; the group is never joined and nothing is committed.
    let explainer = Explainer::new(config, config.group.clone());
    let mut client = client_config(config, &config.group);
    client.remove("group.instance.id");
    client.set("queued.max.messages.kbytes", "8192");
    let (config, topic) = (config.clone(), topic.to_owned());
    // A token of its own: that nobody listens ends this thread, not the whole program.
    let cancel = cancel.child_token();
    std::thread::spawn(move || {
        let consumer = match make(&config, &client, Plain(Listener::new(explainer))) {
            Ok(consumer) => consumer,
            Err(text) => {
                // Nobody there to hear it: then nobody needs to.
                let _ = to.blocking_send(FactsEvent::Failed(text));
                return;
            }
        };
        let name = Arc::from(topic.as_str());
        let mut reader =
            Reader { consumer, topic, name, to, cancel, gather: Gather::default(), behind: BTreeSet::new() };
        reader.run();
    })
}

struct Reader {
    consumer: BaseConsumer<Plain>,
    topic: String,
    name: Arc<str>,
    to: mpsc::Sender<FactsEvent>,
    cancel: CancellationToken,
    gather: Gather,
    /// Partitions of the start whose end was not reached yet.
    behind: BTreeSet<i32>,
}

impl Reader {
    fn run(&mut self) {
        let mut looked: Option<Instant> = None;
        let mut chores = wall::instant();
        let mut reached_end = false;
        while !self.cancel.is_cancelled() {
            let pause = if self.gather.places.is_empty() { CHORES } else { PARTITIONS };
            if looked.is_none_or(|looked| looked.elapsed() >= pause) {
                self.look_for_partitions();
                looked = Some(wall::instant());
            }
            if chores.elapsed() >= CHORES {
                tend(&self.consumer, std::slice::from_ref(&self.topic));
                chores = wall::instant();
            }
            self.poll();
            self.pass_on();
            if lock(&self.listener().reports).out_of_range {
                self.mend_gaps();
            }
            let fatal = lock(&self.listener().reports).fatal.take();
            if let Some(text) = fatal {
                self.send(FactsEvent::Failed(text));
                return;
            }
            if !reached_end && !self.gather.places.is_empty() && self.behind.is_empty() {
                reached_end = true;
                self.send(FactsEvent::ReachedEnd);
            }
        }
    }

    fn listener(&self) -> &Listener {
        &self.consumer.context().0
    }

    /// Waits for room: nobody else's turn comes late for it, as there is no group.
    fn send(&self, event: FactsEvent) {
        let mut event = event;
        while !self.cancel.is_cancelled() {
            match self.to.try_send(event) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.cancel.cancel();
                    return;
                }
                Err(mpsc::error::TrySendError::Full(back)) => event = back,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn look_for_partitions(&mut self) {
        let Ok(metadata) = self.consumer.fetch_metadata(Some(&self.topic), Duration::from_secs(2)) else { return };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == self.topic) else { return };
        if let Some(error) = found.error() {
            let code = error.into();
            let listener = self.listener();
            listener.report(code, &format!("Topic: {}: ", self.topic));
            return;
        }
        let first = self.gather.places.is_empty();
        let mut list = TopicPartitionList::new();
        for partition in found.partitions().iter().map(|partition| partition.id()) {
            if self.gather.find(&self.topic, partition).is_none()
                && list.find_partition(&self.topic, partition).is_none()
            {
                list.add_partition(&self.topic, partition);
            }
        }
        if list.count() == 0 || list.set_all_offsets(Offset::Beginning).is_err() {
            return;
        }
        if let Err(error) = self.consumer.incremental_assign(&list) {
            tracing::warn!(target: "keywatch::kafka", topic = self.topic, "partitions could not be assigned: {error}");
            return;
        }
        for place in list.elements() {
            self.gather.places.push(Place::new(self.name.clone(), place.partition(), 0, true));
            if first {
                self.behind.insert(place.partition());
            }
        }
    }

    fn poll(&mut self) {
        let mut patience = POLL;
        let mut flowed = false;
        let mut ended = Vec::new();
        loop {
            match self.consumer.poll(patience) {
                Some(Ok(message)) => {
                    flowed |= self.gather.push(&message);
                    if self.gather.is_full() {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    flowed = true;
                    ended.push(partition);
                }
                Some(Err(error)) => take_error(self.listener(), &error),
                None => break,
            }
            patience = Duration::ZERO;
        }
        if flowed {
            self.listener().flowed();
        }
        let batches: Vec<_> = self.gather.flush().collect();
        batches.into_iter().for_each(|batch| self.send(FactsEvent::Batch(batch)));
        ended.iter().for_each(|partition| {
            self.behind.remove(partition);
        });
    }

    fn pass_on(&self) {
        pass_on_reports(self.listener(), &mut |event| self.send_report(event));
    }

    fn send_report(&self, event: SourceEvent) {
        match event {
            SourceEvent::Trouble(text) => self.send(FactsEvent::Trouble(text)),
            SourceEvent::Recovered => self.send(FactsEvent::Recovered),
            _ => {}
        }
    }

    /// The topic is compacted and old facts may go: what is left is read from where it begins.
    fn mend_gaps(&mut self) {
        let mut mended = true;
        for place in &mut self.gather.places {
            let watermarks = self.consumer.fetch_watermarks(&place.topic, place.partition, Duration::from_secs(5));
            let Ok((low, high)) = watermarks else {
                mended = false;
                continue;
            };
            let to = if place.next < low || place.next > high { low } else { place.next };
            match go_on_at(&self.consumer, &place.topic, place.partition, to) {
                Ok(()) => place.next = to,
                Err(_) => mended = false,
            }
        }
        if mended {
            lock(&self.listener().reports).out_of_range = false;
        }
    }
}
