//! Sources: where messages come from. A source hands over batches of raw bytes; it never looks into them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

pub mod file;
pub mod kafka;

/// Everything that a source can say. The pipeline handles them one after the other, in order.
#[derive(Debug)]
pub enum SourceEvent<B = Batch> {
    /// Partitions were given to this instance. The source waits for the answer before it reads from them.
    Assigned(Assignment),
    /// Partitions are about to go, or are gone. The source waits for the answer before it lets go of them.
    Revoked(Revocation),
    /// Messages of one partition, in order.
    Batch(B),
    /// The partition has been read to its end for now; `next_offset` is what would come next.
    End {
        /// Topic.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The offset that the next message will have.
        next_offset: i64,
    },
    /// Messages are gone that this instance has not read (retention was faster); reading goes on at `to`. Where `to` is
    /// before `from`, the topic was made anew or cut short.
    Gap {
        /// Topic.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// The offset that would have come next.
        from: i64,
        /// The offset that comes next.
        to: i64,
    },
    /// The source cannot go on for now and keeps trying: one clear sentence with what to do. Said once for each spell.
    Trouble(String),
    /// The trouble is over.
    Recovered,
    /// The source has given up: one clear sentence with what to do.
    Failed(String),
}

impl<B> SourceEvent<B> {
    /// The same with its batch made into something else.
    pub fn map_batch<C>(self, make: impl FnOnce(B) -> C) -> SourceEvent<C> {
        match self {
            SourceEvent::Batch(batch) => SourceEvent::Batch(make(batch)),
            SourceEvent::Assigned(assignment) => SourceEvent::Assigned(assignment),
            SourceEvent::Revoked(revocation) => SourceEvent::Revoked(revocation),
            SourceEvent::End { topic, partition, next_offset } => SourceEvent::End { topic, partition, next_offset },
            SourceEvent::Gap { topic, partition, from, to } => SourceEvent::Gap { topic, partition, from, to },
            SourceEvent::Trouble(what) => SourceEvent::Trouble(what),
            SourceEvent::Recovered => SourceEvent::Recovered,
            SourceEvent::Failed(what) => SourceEvent::Failed(what),
        }
    }
}

/// Everything that the source of facts can say.
#[derive(Debug)]
pub enum FactsEvent {
    /// Facts of one partition, in order.
    Batch(Batch),
    /// What was there at the start has been read. Said once; live facts follow.
    ReachedEnd,
    /// The source cannot go on for now and keeps trying: one clear sentence with what to do. Said once for each spell.
    Trouble(String),
    /// The trouble is over.
    Recovered,
    /// The source has given up: one clear sentence with what to do.
    Failed(String),
}

/// Partitions given to this instance.
#[derive(Debug)]
pub struct Assignment {
    /// The partitions, each with the oldest offset that is still there and the next one to be written.
    pub partitions: Vec<AssignedPartition>,
    /// Where to start reading each, in the same order. Dropped without an answer = don't read (shutting down).
    /// An answer that takes longer than half a minute still counts, unless the partitions were taken away meanwhile.
    pub reply: SyncSender<Vec<i64>>,
}

/// One partition given to this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Oldest offset still there.
    pub low: i64,
    /// Offset after the newest.
    pub high: i64,
    /// How many partitions the topic has.
    pub of: i32,
}

/// Partitions taken from this instance.
#[derive(Debug)]
pub struct Revocation {
    /// Topic and partition of each.
    pub partitions: Vec<(Arc<str>, i32)>,
    /// True = already gone to someone else: don't try to save.
    pub lost: bool,
    /// To be answered when the pipeline has let go.
    pub ack: SyncSender<()>,
}

/// Messages of one partition, in order, their bytes in one buffer.
#[derive(Debug)]
pub struct Batch {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The messages.
    pub messages: Vec<RawMessage>,
    /// What they point into.
    pub bytes: Vec<u8>,
}

/// One message: offsets into its batch's bytes.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// Kafka's offset, or the line's number from 0.
    pub offset: i64,
    /// The message's key, where it has one.
    pub key: Option<Range<usize>>,
    /// The payload; empty for a tombstone.
    pub payload: Range<usize>,
}

impl Batch {
    /// The payload of a message.
    pub fn payload(&self, message: &RawMessage) -> &[u8] {
        &self.bytes[message.payload.clone()]
    }

    /// The key of a message.
    pub fn key(&self, message: &RawMessage) -> Option<&[u8]> {
        message.key.clone().map(|range| &self.bytes[range])
    }
}
