//! Finds out why a broker's certificate is refused: librdkafka says only that it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::client::client_config;
use crate::config::KafkaConfig;
use crate::wall;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the connection without a check of the host name came to.
#[derive(Default)]
struct Probe {
    refused: AtomicBool,
    accepted: AtomicBool,
}

impl Probe {
    fn hear(&self, reason: &str) {
        if reason.contains("certificate verify failed") {
            self.refused.store(true, Ordering::Relaxed);
        } else if reason.contains("in state APIVERSION_QUERY") || reason.contains("in state UP") {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientContext for Probe {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.hear(message);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.hear(reason);
    }
}

impl ConsumerContext for Probe {}

/// True where the certificate would be fine for another host name. Connects once more without that check; no user and no
/// password go along, and nothing is read.
pub(super) fn only_the_name_is_wrong(config: &KafkaConfig) -> bool {
    let mut config = config.clone();
    config.security.sasl_mechanism = None;
    config.security.username = None;
    config.security.password = None;
    config.properties.retain(|name, _| !name.starts_with("sasl.") && !name.starts_with("enable.sasl."));
    let mut client = client_config(&config, &config.group);
    client.remove("group.instance.id");
    client.set("security.protocol", "ssl").set("ssl.endpoint.identification.algorithm", "none");
    let Ok(consumer) = client.create_with_context::<_, BaseConsumer<Probe>>(Probe::default()) else { return false };
    let end = wall::instant() + PATIENCE;
    while wall::instant() < end {
        let answered = consumer.fetch_metadata(Some("keywatch"), Duration::from_millis(300)).is_ok();
        while consumer.poll(Duration::from_millis(1)).is_some() {}
        let probe = consumer.context();
        if answered || probe.accepted.load(Ordering::Relaxed) {
            return true;
        }
        if probe.refused.load(Ordering::Relaxed) {
            return false;
        }
    }
    false
}
