//! For tests and measurements: topics and messages, on a real broker or on librdkafka's mock.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::topic_partition_list::Offset;

use crate::config::{KafkaConfig, KafkaSecurity};

/// A configuration without security.
pub fn plain_config(brokers: &str, group: &str) -> KafkaConfig {
    KafkaConfig {
        brokers: brokers.to_owned(),
        group: group.to_owned(),
        instance_id: None,
        auth_events: "auth-events".to_owned(),
        auth_refused: None,
        key_events: None,
        security: KafkaSecurity::default(),
        properties: BTreeMap::new(),
    }
}

/// librdkafka's mock of a cluster, in this process. It keeps only 5 MiB of each partition.
pub struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    /// A cluster with one broker.
    pub fn start() -> Result<Mock, String> {
        MockCluster::new(1).map(Mock).map_err(|error| error.to_string())
    }

    /// Where it listens.
    pub fn brokers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Makes a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), String> {
        self.0.create_topic(topic, partitions, 1).map_err(|error| error.to_string())
    }

    /// Takes the broker away, or brings it back.
    pub fn set_up(&self, up: bool) -> Result<(), String> {
        if up { self.0.broker_up(1) } else { self.0.broker_down(1) }.map_err(|error| error.to_string())
    }
}

/// What a group has committed for a partition.
pub fn committed(brokers: &str, group: &str, topic: &str, partition: i32) -> Result<Option<i64>, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", group);
    let consumer: BaseConsumer = config.create().map_err(|error| error.to_string())?;
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, Duration::from_secs(20)).map_err(|error| error.to_string())?;
    Ok(list.find_partition(topic, partition).and_then(|place| match place.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}

/// Makes topics, writes messages and takes old ones away, on the broker's plain port.
pub struct Producer {
    producer: BaseProducer,
    admin: AdminClient<DefaultClientContext>,
}

impl Producer {
    /// Connects when it is first used.
    pub fn connect(brokers: &str) -> Result<Producer, String> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "1")
            .set("message.timeout.ms", "30000")
            // The mock cluster keeps five megabytes of a partition.
            .set("compression.type", "zstd")
            .set("enable.idempotence", "true");
        let producer = config.create().map_err(|error| error.to_string())?;
        let admin = config.create().map_err(|error| error.to_string())?;
        Ok(Producer { producer, admin })
    }

    /// Writes one message; it is there after the next [`Producer::flush`].
    pub fn send(&self, topic: &str, partition: i32, key: Option<&[u8]>, payload: Option<&[u8]>) -> Result<(), String> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
            record.key = key;
            record.payload = payload;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.to_string()),
            }
        }
    }

    /// Waits until everything is written.
    pub fn flush(&self) -> Result<(), String> {
        self.producer.flush(Duration::from_secs(30)).map_err(|error| error.to_string())
    }

    /// Makes a topic and waits until it is there.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), String> {
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = self.admin.create_topics(&[new], &options).await.map_err(|error| error.to_string())?;
        made.into_iter().try_for_each(|one| one.map(|_| ()).map_err(|(topic, code)| format!("{topic}: {code}")))
    }

    /// Deletes every message before an offset, as retention would.
    pub async fn delete_before(&self, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| error.to_string())?;
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        self.admin.delete_records(&list, &options).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
