//! The reading loop: polls, gathers, hands over, and holds back when the pipeline is slow.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc::error::TrySendError;

use super::client::{Listener, Listens, lock};
use super::group::Member;
use super::trouble::{About, Meaning, Word};
use crate::source::SourceEvent;
use crate::wall;

/// How long a poll waits for the first message; also how late a cancellation may be noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long a full channel is waited for before reading is paused. Pausing throws away what was fetched ahead, so it
/// only pays where the pipeline is really slow; until then librdkafka's own bounds hold the stream back.
const HOLD: Duration = Duration::from_millis(500);
/// All brokers may be away for this long (one that restarts, a connection closed for idleness) before it is trouble.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks at waiting partitions, hints and troubles.
const CHORES: Duration = Duration::from_millis(500);

/// Reads until cancelled. The consumer leaves the group when it is dropped.
pub(super) fn read(consumer: &BaseConsumer<Member>, topics: &[String]) {
    let member = consumer.context().clone();
    let mut chores = wall::instant();
    while !member.cancel.is_cancelled() {
        if chores.elapsed() >= CHORES {
            member.commit_hints(consumer);
            member.step_held(consumer);
            if tend(consumer, topics) {
                subscribe(consumer, topics);
            }
            chores = wall::instant();
        }
        pass_on_reports(&member.listener, &mut |event| lock(&member.state).outbox.push_back(event));
        if lock(&member.listener.reports).out_of_range {
            mend_gaps(consumer);
        }
        let fatal = lock(&member.listener.reports).fatal.take();
        if let Some(text) = fatal {
            // Where nobody listens, nobody needs to hear it.
            let _ = member.deliver(SourceEvent::Failed(text), member.patience.revoke);
            return;
        }
        let has_room = hand_over(&member);
        lock(&member.state).is_full = !has_room;
        hold_back(consumer);
        if has_room {
            gather(consumer, POLL);
        } else {
            // Rebalances are served, and the group knows that we are alive.
            gather(consumer, Duration::from_millis(10));
        }
    }
}

pub(super) fn subscribe(consumer: &BaseConsumer<Member>, topics: &[String]) {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    if let Err(error) = consumer.subscribe(&names) {
        let listener = &consumer.context().listener;
        lock(&listener.reports).fatal = Some(format!("cannot subscribe to {}: {error}", names.join(", ")));
    }
}

/// Hands over what waits; false where the channel stays full.
fn hand_over(member: &Member) -> bool {
    // Where reading is paused already, there is no point in waiting.
    let patience = if lock(&member.state).is_full { Duration::ZERO } else { HOLD };
    let end = wall::instant() + patience;
    loop {
        let Some(event) = lock(&member.state).outbox.pop_front() else { return true };
        match member.to.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => {
                member.cancel.cancel();
                return true;
            }
            Err(TrySendError::Full(event)) => {
                lock(&member.state).outbox.push_front(event);
                if wall::instant() >= end || member.cancel.is_cancelled() {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Pauses what has to wait, and resumes the rest: all of it waits where the channel is full, else what the pipeline wants no more of for
/// now.
fn hold_back(consumer: &BaseConsumer<Member>) {
    let member = consumer.context();
    let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
    {
        let state = &mut *lock(&member.state);
        let held = lock(&member.link.held);
        for place in state.gather.places.iter().filter(|place| place.open) {
            let name = (place.topic.clone(), place.partition);
            let waits = state.is_full || held.contains(&name);
            match (waits, state.paused.contains(&name)) {
                (true, false) => pause.add_partition(&name.0, name.1),
                (false, true) => resume.add_partition(&name.0, name.1),
                _ => continue,
            };
            if waits {
                state.paused.insert(name);
            } else {
                state.paused.remove(&name);
            }
        }
    }
    let paused = if pause.count() > 0 { consumer.pause(&pause) } else { Ok(()) };
    let resumed = if resume.count() > 0 { consumer.resume(&resume) } else { Ok(()) };
    if let Err(error) = paused.and(resumed) {
        tracing::warn!(target: "keywatch::kafka", "partitions could not be held back or resumed: {error}");
    }
}

/// Polls until a batch is full, or nothing more is there.
fn gather(consumer: &BaseConsumer<Member>, patience: Duration) {
    let member = consumer.context();
    let mut patience = patience;
    let mut flowed = false;
    loop {
        match consumer.poll(patience) {
            Some(Ok(message)) => {
                let state = &mut *lock(&member.state);
                flowed |= state.gather.push(&message);
                if state.gather.is_full() {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                flowed = true;
                end(consumer, partition);
            }
            Some(Err(error)) => take_error(&member.listener, &error),
            None => break,
        }
        patience = Duration::ZERO;
    }
    if flowed {
        member.listener.flowed();
    }
    lock(&member.state).flush();
}

/// Some partition with this number has been read to its end: librdkafka's binding does not say of which topic.
fn end(consumer: &BaseConsumer<Member>, partition: i32) {
    let member = consumer.context();
    let candidates: Vec<(Arc<str>, i64)> = {
        let state = &mut *lock(&member.state);
        state.flush();
        let places = state.gather.places.iter().filter(|place| place.open && place.partition == partition);
        places.map(|place| (place.topic.clone(), place.next)).collect()
    };
    let at_end = if candidates.len() < 2 {
        candidates
    } else {
        let ask = |topic: &Arc<str>| consumer.fetch_watermarks(topic, partition, Duration::from_secs(2));
        let left: Vec<i64> =
            candidates.iter().map(|(topic, next)| ask(topic).map_or(i64::MAX, |(_, high)| high - next)).collect();
        // Control records make the end a little later than the last message: then the nearest it is.
        let nearest = left.iter().copied().min().unwrap_or_default().max(0);
        candidates.into_iter().zip(left).filter(|(_, left)| *left <= nearest).map(|(candidate, _)| candidate).collect()
    };
    let ends = at_end.into_iter().map(|(topic, next_offset)| SourceEvent::End { topic, partition, next_offset });
    lock(&member.state).outbox.extend(ends);
}

/// Retention or a new topic under an old name took the place where we were: tell, and go on where something is.
fn mend_gaps(consumer: &BaseConsumer<Member>) {
    let member = consumer.context();
    let places: Vec<(Arc<str>, i32, i64)> = {
        let state = &mut *lock(&member.state);
        state.flush();
        let places = state.gather.places.iter().filter(|place| place.open);
        places.map(|place| (place.topic.clone(), place.partition, place.next)).collect()
    };
    let mut mended = true;
    for (topic, partition, next) in places {
        let Ok((low, high)) = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(5)) else {
            mended = false;
            continue;
        };
        let to = if next < low || next > high { low } else { next };
        // One that is in range goes on too: which partition was reported is not known, and it costs a fetch.
        if let Err(error) = go_on_at(consumer, &topic, partition, to) {
            tracing::debug!(target: "keywatch::kafka", topic = &*topic, partition, "not reassigned: {error}");
            mended = false;
            continue;
        }
        let state = &mut *lock(&member.state);
        // Assigning ends a pause, where the protocol is eager that of all.
        if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager) {
            state.paused.clear();
        } else {
            state.paused.remove(&(topic.clone(), partition));
        }
        if to != next
            && let Some(index) = state.gather.find(&topic, partition)
        {
            state.gather.places[index].next = to;
            state.outbox.push_back(SourceEvent::Gap { topic, partition, from: next, to });
        }
    }
    if mended {
        lock(&member.listener.reports).out_of_range = false;
    }
}

/// Reads on from an offset. librdkafka refuses to seek where fetching has stopped with an error, so the partition is
/// taken away and assigned again.
pub(super) fn go_on_at<C>(consumer: &BaseConsumer<C>, topic: &str, partition: i32, offset: i64) -> KafkaResult<()>
where
    C: rdkafka::consumer::ConsumerContext,
{
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager) {
        let mut all = consumer.position()?;
        all.set_partition_offset(topic, partition, Offset::Offset(offset))?;
        return consumer.assign(&all);
    }
    consumer.incremental_unassign(&list)?;
    consumer.incremental_assign(&list)
}

/// An error that a poll returned; its reason went to the listener already.
pub(super) fn take_error(listener: &Listener, error: &KafkaError) {
    if let KafkaError::MessageConsumptionFatal(code) = error {
        let reports = &mut *lock(&listener.reports);
        reports.fatal.get_or_insert_with(|| format!("the Kafka client cannot go on: {code}"));
    }
}

/// What waits to be said of troubles.
pub(super) fn pass_on_reports(listener: &Listener, say: &mut dyn FnMut(SourceEvent)) {
    listener.diagnose();
    let words = lock(&listener.reports).troubles.take_words();
    for word in words {
        say(match word {
            Word::Trouble(text) => SourceEvent::Trouble(text),
            Word::Over => SourceEvent::Recovered,
        });
    }
}

impl Listener {
    /// Something came from a partition.
    pub(super) fn flowed(&self) {
        let reports = &mut *lock(&self.reports);
        reports.away_since = None;
        if reports.troubles.any() {
            reports.troubles.close(|about| matches!(about, About::Connection | About::Group));
        }
    }
}

/// Looks after open troubles by asking for metadata; true where a topic has come into being or may be read now.
pub(super) fn tend<C>(consumer: &BaseConsumer<C>, topics: &[String]) -> bool
where
    C: rdkafka::consumer::ConsumerContext + Listens,
{
    let context = consumer.context().clone();
    let listener = context.listener();
    let (any, away_since) = {
        let reports = lock(&listener.reports);
        (reports.troubles.any(), reports.away_since)
    };
    if !any && away_since.is_none() {
        return false;
    }
    let mut appeared = false;
    for topic in topics {
        let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(1)) else {
            if away_since.is_some_and(|since| since.elapsed() >= GRACE) {
                listener.say_away();
            }
            return false;
        };
        let error = metadata.topics().iter().find(|found| found.name() == topic).and_then(|found| found.error());
        let fault = error.map(Code::from);
        let about = About::Topic(topic.clone());
        match fault {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                listener.take(listener.explainer.missing(topic))
            }
            Some(Code::TopicAuthorizationFailed) => listener.take(listener.explainer.topic_refused(topic)),
            // A leader is being chosen, say: neither good nor bad.
            Some(_) => {}
            None => {
                let reports = &mut *lock(&listener.reports);
                appeared |= reports.troubles.has(&about);
                reports.troubles.close(|open| *open == about);
            }
        }
    }
    // A certificate that is refused is looked at before the connection is believed to be well.
    listener.diagnose();
    let reports = &mut *lock(&listener.reports);
    reports.away_since = None;
    reports.troubles.close(|about| *about == About::Connection);
    appeared
}

/// What a failed request means, where its code alone says it.
pub(super) fn refusal(listener: &Listener, topic: &str, code: Code) -> Option<String> {
    let meaning = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => listener.explainer.missing(topic),
        Code::TopicAuthorizationFailed => listener.explainer.topic_refused(topic),
        Code::GroupAuthorizationFailed => listener.explainer.group_refused(),
        _ => return None,
    };
    match meaning {
        Meaning::Trouble(_, text) => Some(text),
        _ => None,
    }
}
