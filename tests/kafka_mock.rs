//! The Kafka source against librdkafka's mock cluster, in this process: no broker needed.

#![expect(clippy::disallowed_methods, reason = "waiting for a broker is bounded by real time")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keywatch::source::kafka::testing::{Mock, Producer, plain_config};
use keywatch::source::kafka::{Consuming, Patience, consume_patiently, read_facts};
use keywatch::source::{FactsEvent, SourceEvent};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Generous: only a failing test waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A pipeline that answers at once and notes what it saw.
struct Pipeline {
    events: mpsc::Receiver<SourceEvent>,
    cancel: CancellationToken,
    consuming: Consuming,
    /// Where each partition goes on: what a store would remember.
    next: BTreeMap<i32, i64>,
    seen: Vec<(i32, i64, String)>,
    owned: Vec<i32>,
}

impl Pipeline {
    fn start(mock: &Mock, topic: &str, room: usize, patience: Patience) -> Pipeline {
        let (to, events) = mpsc::channel(room);
        let cancel = CancellationToken::new();
        let mut config = plain_config(&mock.brokers(), "group");
        // The mock waits almost this long in a rebalance.
        config.properties.insert("session.timeout.ms".into(), "3000".into());
        config.properties.insert("heartbeat.interval.ms".into(), "300".into());
        let consuming = consume_patiently(&config, &[topic], "", to, cancel.clone(), patience);
        Pipeline { events, cancel, consuming, next: BTreeMap::new(), seen: Vec::new(), owned: Vec::new() }
    }

    /// The next event, not answered yet; `None` where nothing comes for a moment.
    fn peek(&mut self) -> Option<SourceEvent> {
        let end = Instant::now() + Duration::from_millis(100);
        while Instant::now() < end {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    /// Handles an event as a pipeline does; what it was, in a word.
    fn handle(&mut self, event: SourceEvent) -> &'static str {
        match event {
            SourceEvent::Assigned(assignment) => {
                let next = &self.next;
                let starts = assignment.partitions.iter().map(|p| next.get(&p.partition).copied().unwrap_or(p.low));
                let starts = starts.collect();
                self.owned.extend(assignment.partitions.iter().map(|p| p.partition));
                assignment.reply.send(starts).unwrap();
                "assigned"
            }
            SourceEvent::Revoked(revocation) => {
                self.owned.retain(|owned| !revocation.partitions.iter().any(|(_, gone)| gone == owned));
                revocation.ack.send(()).unwrap();
                "revoked"
            }
            SourceEvent::Batch(batch) => {
                assert!(self.owned.contains(&batch.partition), "a batch of a partition that is not ours");
                for message in &batch.messages {
                    let text = String::from_utf8(batch.payload(message).to_vec()).unwrap();
                    self.seen.push((batch.partition, message.offset, text));
                    self.next.insert(batch.partition, message.offset + 1);
                }
                "batch"
            }
            SourceEvent::End { next_offset, partition, .. } => {
                assert_eq!(next_offset, self.next.get(&partition).copied().unwrap_or(next_offset));
                "end"
            }
            SourceEvent::Gap { .. } => "gap",
            SourceEvent::Trouble(_) => "trouble",
            SourceEvent::Recovered => "recovered",
            SourceEvent::Failed(text) => panic!("failed: {text}"),
        }
    }

    fn step(&mut self) -> Option<&'static str> {
        self.peek().map(|event| self.handle(event))
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Pipeline, Option<&'static str>) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let step = self.step();
            if done(self, step) {
                return;
            }
            assert!(Instant::now() < end, "waited too long for {what}; saw {} messages", self.seen.len());
        }
    }

    fn stop(mut self) -> Vec<(i32, i64, String)> {
        self.cancel.cancel();
        let end = Instant::now() + DEADLINE;
        while !self.consuming.thread.is_finished() {
            self.step();
            assert!(Instant::now() < end, "the consumer does not end");
        }
        self.seen
    }
}

fn produce(producer: &Producer, topic: &str, partition: i32, numbers: std::ops::Range<usize>) {
    for number in numbers {
        producer.send(topic, partition, Some(b"merchant"), Some(format!("message {number}").as_bytes())).unwrap();
    }
    producer.flush().unwrap();
}

fn started(topic: &str, partitions: i32) -> (Mock, Producer) {
    let mock = Mock::start().unwrap();
    mock.create_topic(topic, partitions).unwrap();
    let producer = Producer::connect(&mock.brokers()).unwrap();
    (mock, producer)
}

#[test]
fn reading_starts_where_the_pipeline_says_and_goes_to_the_end_in_order() {
    let (mock, producer) = started("auth-events", 2);
    produce(&producer, "auth-events", 0, 0..3000);
    produce(&producer, "auth-events", 1, 0..10);
    let mut pipeline = Pipeline::start(&mock, "auth-events", 4, Patience::default());
    pipeline.next.insert(0, 1000);

    let mut ends = 0;
    pipeline.until("both ends", |pipeline, step| {
        ends += usize::from(step == Some("end"));
        ends >= 2 && pipeline.seen.len() >= 2010
    });
    produce(&producer, "auth-events", 1, 10..12);
    pipeline.until("what came later", |pipeline, _| pipeline.seen.len() >= 2012);

    let seen = pipeline.stop();
    for (partition, first, count) in [(0, 1000, 2000), (1, 0, 12)] {
        let of_it = seen.iter().filter(|(p, ..)| *p == partition);
        let expected = (first..first + count).map(|n| (partition, n, format!("message {n}")));
        assert!(of_it.cloned().eq(expected), "partition {partition}");
    }
}

#[test]
fn a_message_keeps_its_key_and_a_tombstone_is_empty() {
    let (mock, producer) = started("auth-events", 1);
    producer.send("auth-events", 0, None, Some(b"no key")).unwrap();
    producer.send("auth-events", 0, Some(b"key"), None).unwrap();
    producer.flush().unwrap();
    let mut pipeline = Pipeline::start(&mock, "auth-events", 4, Patience::default());
    let mut found = Vec::new();
    let end = Instant::now() + DEADLINE;
    while found.len() < 2 {
        assert!(Instant::now() < end);
        match pipeline.peek() {
            Some(SourceEvent::Batch(batch)) => {
                let one = |m| (batch.key(m).map(<[u8]>::to_vec), batch.payload(m).to_vec());
                found.extend(batch.messages.iter().map(one));
            }
            Some(event) => {
                pipeline.handle(event);
            }
            None => {}
        }
    }
    assert_eq!(found, [(None, b"no key".to_vec()), (Some(b"key".to_vec()), Vec::new())]);
    pipeline.stop();
}

#[test]
fn a_slow_pipeline_pauses_reading_and_loses_nothing() {
    let (mock, producer) = started("auth-events", 1);
    produce(&producer, "auth-events", 0, 0..5000);
    let mut pipeline = Pipeline::start(&mock, "auth-events", 1, Patience::default());
    pipeline.until("the first batch", |_, step| step == Some("batch"));
    // Longer than a full channel is waited for, twice, so that reading is really paused and resumed.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(900));
        let before = pipeline.seen.len();
        pipeline.until("more", |pipeline, _| pipeline.seen.len() > before + 1100);
    }
    pipeline.until("all", |pipeline, _| pipeline.seen.len() >= 5000);
    let seen = pipeline.stop();
    assert!(seen.iter().map(|(_, offset, _)| *offset).eq(0..5000));
}

#[test]
fn a_late_answer_lets_the_partition_begin_after_all() {
    let (mock, producer) = started("auth-events", 1);
    produce(&producer, "auth-events", 0, 0..100);
    let patience = Patience { assign: Duration::from_millis(200), revoke: Duration::from_secs(5) };
    let mut pipeline = Pipeline::start(&mock, "auth-events", 16, patience);
    let mut assignment = None;
    let end = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < end);
        match pipeline.peek() {
            Some(SourceEvent::Assigned(assigned)) => assignment = Some(assigned),
            Some(SourceEvent::Trouble(text)) => {
                assert_eq!(text, "the store has not said yet where reading should start; new partitions wait for it");
                break;
            }
            Some(SourceEvent::Batch(_)) => panic!("read before the answer"),
            _ => {}
        }
    }
    let assignment = assignment.unwrap();
    pipeline.owned.push(0);
    assignment.reply.send(vec![40]).unwrap();
    let mut recovered = false;
    pipeline.until("the rest", |pipeline, step| {
        recovered |= step == Some("recovered");
        recovered && pipeline.seen.len() == 60
    });
    assert_eq!(pipeline.stop()[0].1, 40);
}

#[test]
fn an_assignment_without_an_answer_is_not_read() {
    let (mock, producer) = started("auth-events", 1);
    produce(&producer, "auth-events", 0, 0..10);
    let mut pipeline = Pipeline::start(&mock, "auth-events", 16, Patience::default());
    let end = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < end);
        if let Some(SourceEvent::Assigned(assignment)) = pipeline.peek() {
            drop(assignment);
            break;
        }
    }
    // What comes on stopping is the revocation, and nothing before it.
    for _ in 0..10 {
        assert!(pipeline.step().is_none());
    }
    assert!(pipeline.stop().is_empty());
}

#[test]
fn two_consumers_share_the_partitions_and_every_message_is_delivered() {
    let (mock, producer) = started("auth-events", 4);
    for partition in 0..4 {
        produce(&producer, "auth-events", partition, 0..500);
    }
    let mut first = Pipeline::start(&mock, "auth-events", 8, Patience::default());
    first.until("all partitions", |pipeline, _| pipeline.owned.len() == 4 && pipeline.seen.len() == 2000);

    let mut second = Pipeline::start(&mock, "auth-events", 8, Patience::default());
    let end = Instant::now() + DEADLINE;
    while first.owned.len() != 2 || second.owned.len() != 2 {
        first.step();
        // The store is one: the second instance goes on where the first has been.
        for (partition, next) in &first.next {
            let known = second.next.entry(*partition).or_default();
            *known = (*known).max(*next);
        }
        second.step();
        assert!(Instant::now() < end, "owned: {:?} and {:?}", first.owned, second.owned);
    }
    assert!(first.owned.iter().all(|partition| !second.owned.contains(partition)));

    for partition in 0..4 {
        produce(&producer, "auth-events", partition, 500..700);
    }
    while first.seen.len() + second.seen.len() < 2800 {
        first.step();
        second.step();
        assert!(Instant::now() < end, "saw {} and {}", first.seen.len(), second.seen.len());
    }
    // The second leaves; its partitions come back to the first.
    let (next, mut seen) = (second.next.clone(), second.stop());
    first.next.extend(next.into_iter().filter(|(partition, _)| !first.owned.contains(partition)));
    first.until("the partitions back", |pipeline, _| pipeline.owned.len() == 4);
    for partition in 0..4 {
        produce(&producer, "auth-events", partition, 700..800);
    }
    let already = seen.len();
    first.until("the last messages", |pipeline, _| pipeline.seen.len() + already >= 3200);
    seen.extend(first.stop());
    seen.sort();
    let expected = (0..4).flat_map(|partition| (0..800).map(move |n| (partition, n, format!("message {n}"))));
    assert!(seen.into_iter().eq(expected), "each message exactly once");
}

/// The pipeline wants no more of a partition, then others are assigned, and while that goes on it wants more again: an assignment resumes
/// what it adds, and nothing else.
#[test]
fn what_was_held_back_before_an_assignment_goes_on_after_it() {
    let (mock, producer) = started("auth-events", 4);
    let mut first = Pipeline::start(&mock, "auth-events", 8, Patience::default());
    first.until("all partitions", |pipeline, _| pipeline.owned.len() == 4);
    let mut second = Pipeline::start(&mock, "auth-events", 8, Patience::default());
    let end = Instant::now() + DEADLINE;
    while first.owned.len() != 2 || second.owned.len() != 2 {
        first.step();
        second.step();
        assert!(Instant::now() < end, "owned: {:?} and {:?}", first.owned, second.owned);
    }
    let (link, held) = (second.consuming.link.clone(), (Arc::from("auth-events"), second.owned[0]));
    link.hold(&held, true);
    // Many turns of the reading loop.
    let waits_until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < waits_until {
        first.step();
        second.step();
    }
    first.stop();
    while second.owned.len() != 4 {
        assert!(Instant::now() < end, "owned: {:?}", second.owned);
        let Some(event) = second.peek() else { continue };
        if matches!(event, SourceEvent::Assigned(_)) {
            link.hold(&held, false);
        }
        second.handle(event);
    }
    (0..4).for_each(|partition| produce(&producer, "auth-events", partition, 0..50));
    second.until("all messages", |pipeline, _| pipeline.seen.len() >= 200);
    second.stop();
}

#[test]
fn the_brokers_say_where_partitions_end_now() {
    let (mock, producer) = started("auth-events", 2);
    let pipeline = Pipeline::start(&mock, "auth-events", 4, Patience::default());
    let link = pipeline.consuming.link.clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = [("auth-events", 0), ("auth-events", 1), ("unheard-of", 0)];
    let asked: Vec<(String, i32)> = asked.map(|(topic, partition)| (topic.to_owned(), partition)).to_vec();
    let ends = || -> Vec<i64> { runtime.block_on(link.ends_now(asked.clone())).unwrap().into_values().collect() };
    assert_eq!(ends(), [0, 0]);
    produce(&producer, "auth-events", 1, 0..5);
    assert_eq!(ends(), [0, 5], "at once, though nobody has read them");
    mock.set_up(false).unwrap();
    assert!(runtime.block_on(link.ends_now(asked.clone())).map_or(true, |ends| ends.is_empty()));
    mock.set_up(true).unwrap();
    pipeline.stop();
}

#[test]
fn facts_are_read_from_the_beginning_and_go_on_live() {
    let (mock, producer) = started("key-events", 3);
    produce(&producer, "key-events", 0, 0..1500);
    produce(&producer, "key-events", 2, 0..5);
    let (to, mut events) = mpsc::channel(2);
    let cancel = CancellationToken::new();
    let thread = read_facts(&plain_config(&mock.brokers(), "group"), "key-events", to, cancel.clone());
    let mut count = 0;
    let mut reached = 0;
    let mut later = false;
    while count < 1507 {
        match events.blocking_recv().unwrap() {
            FactsEvent::Batch(batch) => count += batch.messages.len(),
            FactsEvent::ReachedEnd => {
                reached += 1;
                assert_eq!(count, 1505);
                produce(&producer, "key-events", 1, 0..2);
                later = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(later);
    assert_eq!(reached, 1);
    cancel.cancel();
    thread.join().unwrap();
}
