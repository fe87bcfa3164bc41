//! Asks the brokers where partitions end at this moment, over a connection of its own: on that of the consumer an answer
//! would wait behind fetches that wait for messages.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::client::lock;
use super::inspect::Inspector;
use crate::config::KafkaConfig;

/// How long all of them may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connection is made for the first question.
#[derive(Debug)]
pub(super) struct Asker {
    config: KafkaConfig,
    inspector: Mutex<Option<Inspector>>,
}

impl Asker {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Asker { config: config.clone(), inspector: Mutex::default() }
    }

    /// The offset after the newest of each partition that tells it; blocks.
    pub(super) fn ask(&self, partitions: &[(String, i32)]) -> Result<BTreeMap<(String, i32), i64>, String> {
        let inspector = &mut *lock(&self.inspector);
        let inspector = match inspector {
            Some(inspector) => inspector,
            None => inspector.insert(Inspector::new(&self.config)?),
        };
        inspector.ends_of(partitions, PATIENCE)
    }
}
