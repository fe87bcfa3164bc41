//! Looks at a cluster without leaving a trace: no group is joined, nothing is committed, no topic is made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{Listener, Plain, client_config, lock, make};
use super::read::{refusal, take_error};
use super::trouble::{Explainer, Troubles};
use super::{CHECK, Denied, GroupUse, ask_topic, check_group, hear};
use crate::config::KafkaConfig;
use crate::time::Millis;
use crate::wall;

/// How long all the ends of a topic's partitions, or all its samples, may take.
const READ: Duration = Duration::from_secs(10);
/// How long a broker may take to tell a topic's settings.
const SETTINGS: Duration = Duration::from_secs(5);
/// Bytes that one look reads at most: a sample, not a copy.
const BYTES_MAX: usize = 64 << 20;

/// A connection to look around with.
pub struct Inspector {
    consumer: BaseConsumer<Plain>,
    config: KafkaConfig,
}

/// A topic, as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// How many brokers the cluster has.
    pub n_brokers: usize,
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Which.
    pub partition: i32,
    /// Oldest offset still there.
    pub low: i64,
    /// Offset after the newest.
    pub high: i64,
}

/// Which messages of each partition are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The last so many.
    Newest(i64),
    /// The one that has been there longest.
    Oldest,
}

/// A message that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// Where it lies.
    pub partition: i32,
    /// Where it lies.
    pub offset: i64,
    /// Kafka's own time of it.
    pub at: Option<Millis>,
    /// Its key, where it has one.
    pub key: Option<&'a [u8]>,
    /// What it says; empty for a tombstone.
    pub payload: &'a [u8],
}

impl Inspector {
    /// Prepares a connection; the error is what in the configuration makes that impossible.
    pub fn new(config: &KafkaConfig) -> Result<Inspector, String> {
        Ok(Inspector { consumer: consumer(config, "")?, config: config.clone() })
    }

    /// Asks for a topic; blocks for ten seconds or so at most.
    pub fn topic(&self, topic: &str) -> Result<Topic, Denied> {
        // What an earlier question met is of the past.
        lock(&self.consumer.context().0.reports).troubles = Troubles::default();
        let metadata = ask_topic(&self.consumer, topic, wall::instant() + CHECK)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let mut partitions: Vec<i32> =
            found.map(|found| found.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
        partitions.sort_unstable();
        Ok(Topic { partitions, n_brokers: metadata.brokers().len() })
    }

    /// Whether the group `source.kafka.group` + `suffix` may be used for this topic. Asks for its offsets, no more.
    pub fn group(&self, suffix: &str, topic: &str) -> Result<GroupUse, String> {
        check_group(&consumer(&self.config, suffix)?, &[topic])
    }

    /// Where these partitions begin and end, in order; the error says why one did not tell.
    pub fn ends(&self, topic: &str, partitions: &[i32]) -> Result<Vec<Ends>, String> {
        let end = wall::instant() + READ;
        let one = |partition: &i32| {
            let left = end.saturating_duration_since(wall::instant()).max(Duration::from_millis(1));
            let ends = self.consumer.fetch_watermarks(topic, *partition, left);
            let (low, high) =
                ends.map_err(|error| format!("partition {partition} does not tell where it ends: {error}"))?;
            Ok(Ends { partition: *partition, low, high })
        };
        partitions.iter().map(one).collect()
    }

    /// The offset after the newest of each of these partitions, in one question; one that does not tell is left out.
    pub fn ends_of(
        &self,
        partitions: &[(String, i32)],
        patience: Duration,
    ) -> Result<BTreeMap<(String, i32), i64>, String> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // In the place of a time, the end.
            list.add_partition_offset(topic, *partition, Offset::End).map_err(|error| error.to_string())?;
        }
        let ends = self.consumer.offsets_for_times(list, patience);
        hear(&self.consumer);
        let told = ends.map_err(|error| error.to_string())?;
        let offset = |told: &TopicPartitionListElem<'_>| match (told.error(), told.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some(offset),
            _ => None,
        };
        Ok(told
            .elements()
            .iter()
            .filter_map(|told| Some(((told.topic().to_owned(), told.partition()), offset(told)?)))
            .collect())
    }

    /// Reads a part of each partition straight from the brokers, and hands each message to `each` in its partition's order.
    /// True where everything was read that was asked for; else the time or the bytes were up.
    pub fn read(
        &self,
        topic: &str,
        ends: &[Ends],
        part: Part,
        each: &mut dyn FnMut(Sampled<'_>),
    ) -> Result<bool, String> {
        let consumer = consumer(&self.config, "")?;
        let listener = &consumer.context().0;
        let mut list = TopicPartitionList::new();
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        for Ends { partition, low, high } in ends.iter().copied().filter(|ends| ends.low < ends.high) {
            let start = if let Part::Newest(n) = part { low.max(high - n) } else { low };
            let added = list.add_partition_offset(topic, partition, Offset::Offset(start));
            added.map_err(|error| error.to_string())?;
            open.insert(partition, high);
        }
        consumer.assign(&list).map_err(|error| format!("cannot read topic `{topic}`: {error}"))?;
        let (end, mut n_bytes) = (wall::instant() + READ, 0);
        while !open.is_empty() && n_bytes < BYTES_MAX && wall::instant() < end {
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) => {
                    take_error(listener, &error);
                    // The group is not ours here: that it is refused stops nothing.
                    let code = error.rdkafka_error_code().filter(|code| *code != Code::GroupAuthorizationFailed);
                    if let Some(text) = code.and_then(|code| refusal(listener, topic, code)) {
                        return Err(text);
                    }
                }
                Some(Ok(message)) => {
                    let Some(high) = open.get(&message.partition()).copied() else { continue };
                    if message.offset() < high {
                        let (key, payload) = (message.key(), message.payload().unwrap_or_default());
                        n_bytes += payload.len() + key.map_or(0, <[u8]>::len);
                        let at = message.timestamp().to_millis();
                        let (partition, offset) = (message.partition(), message.offset());
                        each(Sampled { partition, offset, at, key, payload });
                    }
                    if high <= message.offset() + 1 || part == Part::Oldest {
                        open.remove(&message.partition());
                    }
                }
            }
        }
        Ok(open.is_empty())
    }
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("brokers", &self.config.brokers).finish_non_exhaustive()
    }
}

/// librdkafka wants a group's name for its consumer queue; the group is never joined.
fn consumer(config: &KafkaConfig, suffix: &str) -> Result<BaseConsumer<Plain>, String> {
    let group = format!("{}{suffix}", config.group);
    let mut client = client_config(config, &group);
    client.remove("group.instance.id");
    // Nobody would hear of them.
    client.set("statistics.interval.ms", "0");
    client.set("queued.max.messages.kbytes", "8192").set("auto.offset.reset", "earliest");
    make(config, &client, Plain(Listener::new(Explainer::new(config, group))))
}

/// What a topic is set to. `Ok(None)`: we may not ask, or the brokers do not know the question.
pub async fn topic_settings(
    config: &KafkaConfig,
    topic: &str,
    names: &BTreeSet<&str>,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut client = client_config(config, &config.group);
    for name in ["group.id", "group.instance.id", "enable.partition.eof", "auto.offset.reset", "enable.auto.commit"] {
        client.remove(name);
    }
    let context = Plain(Listener::new(Explainer::new(config, config.group.clone())));
    let admin = AdminClient::from_config_and_context(&client, context).map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(SETTINGS));
    let resource = [ResourceSpecifier::Topic(topic)];
    let asked = tokio::time::timeout(2 * SETTINGS, admin.describe_configs(&resource, &options)).await;
    let late = || "no answer in time".to_owned();
    let refused = |code: Code| match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::UnsupportedFeature => Ok(None),
        Code::OperationTimedOut | Code::RequestTimedOut => Err(late()),
        other => Err(other.to_string()),
    };
    let described = match asked {
        Err(_) => return Err(late()),
        Ok(Err(KafkaError::AdminOp(code))) => return refused(code),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(described)) => described,
    };
    match described.into_iter().next() {
        None => Ok(None),
        Some(Err(code)) => refused(code),
        // Kafka's answer to who may not ask.
        Some(Ok(resource)) if resource.entries.is_empty() => Ok(None),
        Some(Ok(resource)) => {
            let wanted = resource.entries.into_iter().filter(|entry| names.contains(entry.name.as_str()));
            Ok(Some(wanted.filter_map(|entry| Some((entry.name, entry.value?))).collect()))
        }
    }
}
