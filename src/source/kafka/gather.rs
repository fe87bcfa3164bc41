//! Gathers messages into batches, one for each partition, their bytes copied into one buffer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};

use crate::source::{Batch, RawMessage};
use crate::wall;

/// A batch is handed over at the latest with this many messages,
const MESSAGES: usize = 1024;
/// these bytes,
const BYTES: usize = 1 << 20;
/// or this long after its first message.
const AGE: Duration = Duration::from_millis(20);
/// Messages between two looks at the clock.
const MESSAGES_A_LOOK: usize = 32;

/// One partition that is being read.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// The offset that we want next; what comes with a lower one is stale and dropped.
    pub(super) next: i64,
    /// False while the partition is assigned but must not be read yet.
    pub(super) open: bool,
    batch: Option<Batch>,
}

impl Place {
    pub(super) fn new(topic: Arc<str>, partition: i32, next: i64, open: bool) -> Self {
        Place { topic, partition, next, open, batch: None }
    }
}

/// The partitions being read and what was gathered of each.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pub(super) places: Vec<Place>,
    /// Where the last message belonged: the next one mostly belongs there too.
    last: usize,
    messages: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Gather {
    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        let fits = |place: &Place| place.partition == partition && &*place.topic == topic;
        if self.places.get(self.last).is_some_and(fits) {
            return Some(self.last);
        }
        self.places.iter().position(fits)
    }

    /// Takes in a message; false where nobody waits for it.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let Some(index) = self.find(message.topic(), message.partition()) else { return false };
        self.last = index;
        let place = &mut self.places[index];
        if !place.open || message.offset() < place.next {
            return false;
        }
        place.next = message.offset() + 1;
        let batch = place.batch.get_or_insert_with(|| Batch {
            topic: place.topic.clone(),
            partition: place.partition,
            messages: Vec::new(),
            bytes: Vec::new(),
        });
        let start = batch.bytes.len();
        let key = message.key().map(|key| {
            batch.bytes.extend_from_slice(key);
            start..start + key.len()
        });
        let payload_at = batch.bytes.len();
        batch.bytes.extend_from_slice(message.payload().unwrap_or_default());
        let end = batch.bytes.len();
        batch.messages.push(RawMessage { offset: message.offset(), key, payload: payload_at..end });
        self.messages += 1;
        self.bytes += end - start;
        self.since.get_or_insert_with(wall::instant);
        true
    }

    pub(super) fn is_full(&self) -> bool {
        // The clock is read now and then only: where messages come slowly, a poll without one ends the batch anyway.
        let is_time_to_look = self.messages.is_multiple_of(MESSAGES_A_LOOK);
        let is_old = || self.since.is_some_and(|since| since.elapsed() >= AGE);
        self.messages >= MESSAGES || self.bytes >= BYTES || is_time_to_look && is_old()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// What was gathered, a batch for each partition.
    pub(super) fn flush(&mut self) -> impl Iterator<Item = Batch> {
        self.messages = 0;
        self.bytes = 0;
        self.since = None;
        self.places.iter_mut().filter_map(|place| place.batch.take())
    }

    /// Forgets a partition and what was gathered of it.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        if let Some(index) = self.find(topic, partition) {
            let gone = self.places.swap_remove(index);
            if let Some(batch) = gone.batch {
                self.messages -= batch.messages.len();
                self.bytes -= batch.bytes.len();
            }
        }
    }
}
