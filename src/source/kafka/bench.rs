//! A consumer that only counts: what the Kafka path is measured against (`keywatch bench kafka`).

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::client::client_config;
use crate::config::KafkaConfig;
use crate::wall;

/// Without a message for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `whole` messages of a topic from its beginning, with the properties that the service uses. Returns the rate
/// (messages a second) from the message number `before` on.
pub fn count(config: &KafkaConfig, topic: &str, partitions: i32, before: usize, whole: usize) -> Result<f64, String> {
    let consumer: BaseConsumer = client_config(config, &config.group).create().map_err(|error| error.to_string())?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).map_err(|error| error.to_string())?;
    }
    consumer.assign(&list).map_err(|error| error.to_string())?;
    let (mut seen, mut begun) = (0, wall::instant());
    while seen < whole {
        match consumer.poll(PATIENCE) {
            Some(Ok(_)) => seen += 1,
            // The end of one partition is no end of the others.
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err(format!("nothing came for long, after {seen} of {whole} messages")),
        }
        if seen == before {
            begun = wall::instant();
        }
    }
    Ok((whole - before) as f64 / begun.elapsed().as_secs_f64())
}
