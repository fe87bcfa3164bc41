//! Kafka, through librdkafka. Only this module and those below it name `rdkafka`.
//!
//! A thread of its own polls a consumer in the group and sends [`SourceEvent`]s into the pipeline's bounded channel. Where
//! reading starts is the pipeline's word (the store knows), not Kafka's committed offset, which is only a hint for people.
//! When the pipeline is slow, reading pauses while polling goes on, so that the group keeps this member.
//!
//! After a cancellation the consumer leaves the group as it would in any rebalance: the pipeline gets `Revoked` once more
//! and may save. It should go on draining until the channel closes, or drop the receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::statistics::Statistics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::client::{Listener, Plain, client_config, lock, make};
use self::group::{Member, State};
use self::read::refusal;
use self::trouble::Explainer;
use super::SourceEvent;
use crate::config::KafkaConfig;
use crate::wall;

pub mod bench;
mod certificate;
mod client;
mod ends;
mod facts;
mod gather;
mod group;
pub mod inspect;
mod read;
#[doc(hidden)]
pub mod testing;
mod trouble;

pub use facts::read_facts;

/// How long `check` tries.
const CHECK: Duration = Duration::from_secs(10);

/// A running consumer.
#[derive(Debug)]
pub struct Consuming {
    /// Ends after a cancellation, or after `Failed`.
    pub thread: JoinHandle<()>,
    /// What it is told and tells beside its channel.
    pub link: Link,
}

/// What the consumer and the pipeline tell each other beside the channel. Neither ever waits for the other.
#[derive(Clone, Debug)]
pub struct Link {
    /// Positions that the store has, to be shown in Kafka for its lag tools. Nothing is read from there.
    stored: Arc<Mutex<Offsets>>,
    /// Where partitions end, as the brokers last said.
    ends: Arc<Mutex<Offsets>>,
    /// Asks them where they end now.
    asker: Arc<ends::Asker>,
    /// Partitions of which nothing is read for now.
    held: Arc<Mutex<Partitions>>,
}

/// Some of the partitions.
type Partitions = BTreeSet<(Arc<str>, i32)>;

/// An offset of each partition.
type Offsets = BTreeMap<(Arc<str>, i32), i64>;

impl Link {
    /// Everything before `next` is stored. The last word on a partition wins.
    pub fn stored(&self, topic: &Arc<str>, partition: i32, next: i64) {
        lock(&self.stored).insert((topic.clone(), partition), next);
    }

    /// Whether to read on from a partition: the pipeline has messages of it that must wait. What was read already still comes.
    pub fn hold(&self, partition: &(Arc<str>, i32), hold: bool) {
        let mut held = lock(&self.held);
        if hold {
            held.insert(partition.clone())
        } else {
            held.remove(partition)
        };
    }

    /// The offset that the next message of a partition will have, as known a few seconds ago.
    pub fn end_of(&self, partition: &(Arc<str>, i32)) -> Option<i64> {
        lock(&self.ends).get(partition).copied()
    }

    /// The offset that the next message of each partition will have, asked of the brokers at this moment. A partition of which
    /// they say nothing is left out; the error says why none of them answers.
    pub async fn ends_now(&self, partitions: Vec<(String, i32)>) -> Result<BTreeMap<(String, i32), i64>, String> {
        let asker = self.asker.clone();
        let asked = tokio::task::spawn_blocking(move || asker.ask(&partitions)).await;
        asked.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// What librdkafka's statistics say of ends. A partition that is not read has -1 or an old one.
    fn note_ends(&self, statistics: &Statistics) {
        let mut ends = lock(&self.ends);
        for topic in statistics.topics.values() {
            let name: Arc<str> = Arc::from(topic.topic.as_str());
            for partition in topic.partitions.values().filter(|p| p.partition >= 0 && p.hi_offset >= 0) {
                ends.insert((name.clone(), partition.partition), partition.hi_offset);
            }
        }
    }
}

/// How long the pipeline may take to answer.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To say where to start. Reading waits for longer; the group does not.
    pub assign: Duration,
    /// To let go.
    pub revoke: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { assign: Duration::from_secs(30), revoke: Duration::from_secs(20) }
    }
}

/// Joins the group `source.kafka.group` + `group_suffix` and reads `topics`, on a thread of its own.
pub fn consume(
    config: &KafkaConfig,
    topics: &[&str],
    group_suffix: &str,
    to: mpsc::Sender<SourceEvent>,
    cancel: CancellationToken,
) -> Consuming {
    consume_patiently(config, topics, group_suffix, to, cancel, Patience::default())
}

/// As [`consume`], with other bounds.
#[doc(hidden)]
pub fn consume_patiently(
    config: &KafkaConfig,
    topics: &[&str],
    group_suffix: &str,
    to: mpsc::Sender<SourceEvent>,
    cancel: CancellationToken,
    patience: Patience,
) -> Consuming {
    let group = format!("{}{group_suffix}", config.group);
    let explainer = Explainer::new(config, group.clone());
    let client = client_config(config, &group);
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let asker = Arc::new(ends::Asker::new(config));
    let link = Link { stored: Arc::default(), ends: Arc::default(), asker, held: Arc::default() };
    let member_link = link.clone();
    let config = config.clone();
    let thread = std::thread::spawn(move || {
        let failed = to.clone();
        // A token of its own: that the pipeline is gone ends this consumer, not the whole program.
        let member = Member {
            listener: Listener::new(explainer),
            to,
            cancel: cancel.child_token(),
            patience,
            link: member_link,
            state: Mutex::new(State::default()),
        };
        let consumer: BaseConsumer<Member> = match make(&config, &client, member) {
            Ok(consumer) => consumer,
            Err(text) => {
                // Nobody there to hear it: then nobody needs to.
                let _ = failed.blocking_send(SourceEvent::Failed(text));
                return;
            }
        };
        read::subscribe(&consumer, &topics);
        read::read(&consumer, &topics);
        consumer.context().cancel.cancel();
        // Dropping it leaves the group, which revokes the partitions.
        drop(consumer);
    });
    Consuming { thread, link }
}

/// Looks whether the brokers answer and let us read `topics` in our group; blocks for up to ten seconds or so.
///
/// The error is the sentence that [`consume`] would send as `Trouble` or `Failed`.
pub fn check(config: &KafkaConfig, topics: &[&str]) -> Result<(), String> {
    let explainer = Explainer::new(config, config.group.clone());
    let client = client_config(config, &config.group);
    let consumer = make(config, &client, Plain(Listener::new(explainer)))?;
    let end = wall::instant() + CHECK;
    for topic in topics {
        ask_topic(&consumer, topic, end).map_err(Denied::into_text)?;
    }
    check_group(&consumer, topics).map(drop)
}

/// Why a topic cannot be looked at, as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No broker answers us.
    Connection(String),
    /// A broker answers, and the topic is not there or not for us.
    Topic(String),
}

impl Denied {
    fn into_text(self) -> String {
        match self {
            Denied::Connection(text) | Denied::Topic(text) => text,
        }
    }
}

/// Asks for a topic's metadata until there is an answer, or a reason why there will be none.
fn ask_topic(consumer: &BaseConsumer<Plain>, topic: &str, end: Instant) -> Result<Metadata, Denied> {
    let listener = &consumer.context().0;
    loop {
        let result = consumer.fetch_metadata(Some(topic), Duration::from_secs(1));
        hear(consumer);
        listener.diagnose();
        let code = match result {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                match found.and_then(|found| found.error()) {
                    None => return Ok(metadata),
                    Some(error) => Some(error.into()),
                }
            }
            Err(error) => error.rdkafka_error_code(),
        };
        if let Some(text) = code.and_then(|code| refusal(listener, topic, code)) {
            return Err(Denied::Topic(text));
        }
        let reports = lock(&listener.reports);
        if let Some(text) = reports.troubles.sentence() {
            return Err(Denied::Connection(text.to_owned()));
        }
        let away = reports.away_since.is_some_and(|since| since.elapsed() > Duration::from_secs(1));
        if away || wall::instant() >= end {
            return Err(Denied::Connection(reports.away(&listener.explainer)));
        }
    }
}

/// Whether a group may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupUse {
    /// The brokers gave its offsets.
    Allowed,
    /// Neither offsets nor a refusal within some seconds; a fresh cluster takes a while until groups work.
    Unknown,
}

/// Asks for a group's offsets until there is an answer, a refusal, or no time left; the error is the refusal.
///
/// The client tells the refusal beside the question, which is merely not answered then: so it is asked in short turns.
fn check_group(consumer: &BaseConsumer<Plain>, topics: &[&str]) -> Result<GroupUse, String> {
    let Some(topic) = topics.first() else { return Ok(GroupUse::Unknown) };
    let end = wall::instant() + CHECK;
    loop {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let result = consumer.committed_offsets(list, Duration::from_millis(500));
        hear(consumer);
        let code = match &result {
            Ok(list) => {
                list.elements().iter().find_map(|place| place.error().err()).and_then(|e| e.rdkafka_error_code())
            }
            Err(error) => error.rdkafka_error_code(),
        };
        let listener = &consumer.context().0;
        let said = lock(&listener.reports).troubles.sentence().map(str::to_owned);
        if let Some(text) = code.and_then(|code| refusal(listener, topic, code)).or(said) {
            return Err(text);
        }
        if result.is_ok() && code.is_none() {
            return Ok(GroupUse::Allowed);
        }
        if wall::instant() >= end {
            return Ok(GroupUse::Unknown);
        }
    }
}

/// Lets the client's reports reach its listener.
fn hear(consumer: &BaseConsumer<Plain>) {
    for _ in 0..100 {
        match consumer.poll(Duration::from_millis(1)) {
            None => return,
            Some(Err(KafkaError::PartitionEOF(_)) | Ok(_)) => {}
            Some(Err(error)) => read::take_error(&consumer.context().0, &error),
        }
    }
}
