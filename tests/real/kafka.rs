//! The Kafka source against a real broker: every fault that an operator can meet, with the exact sentence.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use keywatch::config::{KafkaConfig, Secret};
use keywatch::source::kafka::testing::{Producer, committed, plain_config};
use keywatch::source::kafka::{Consuming, check, consume, read_facts};
use keywatch::source::{FactsEvent, SourceEvent};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::server;

/// Generous: only a failing test waits for it.
const DEADLINE: Duration = Duration::from_secs(90);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn env(variable: &str) -> String {
    std::env::var(variable).unwrap()
}

/// A name that no other run has used.
fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{nanos}")
}

fn sasl_config(brokers: &str, group: &str, user: &str, mechanism: &str) -> KafkaConfig {
    let mut config = plain_config(brokers, group);
    config.security.tls = true;
    config.security.ca_file = Some(PathBuf::from(env("KEYWATCH_TEST_KAFKA_CA")));
    config.security.sasl_mechanism = Some(mechanism.to_owned());
    config.security.username = Some(user.to_owned());
    config.security.password = Some(Secret::new(env("KEYWATCH_TEST_KAFKA_PASSWORD")));
    config
}

/// A topic with `count` messages in its only partition.
fn topic_with(brokers: &str, count: usize) -> (Producer, String) {
    let producer = Producer::connect(brokers).unwrap();
    let topic = unique("auth-events");
    run(producer.create_topic(&topic, 1)).unwrap();
    produce(&producer, &topic, 0..count);
    (producer, topic)
}

fn produce(producer: &Producer, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        producer.send(topic, 0, Some(b"merchant"), Some(format!("message {number}").as_bytes())).unwrap();
    }
    producer.flush().unwrap();
}

/// A pipeline that answers at once and notes what it saw.
struct Pipeline {
    events: mpsc::Receiver<SourceEvent>,
    cancel: CancellationToken,
    consuming: Consuming,
    start: Option<i64>,
    offsets: Vec<i64>,
    said: Vec<String>,
    owned: usize,
}

impl Pipeline {
    fn start(config: &KafkaConfig, topics: &[&str], start: Option<i64>) -> Pipeline {
        let (to, events) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let consuming = consume(config, topics, "", to, cancel.clone());
        Pipeline { events, cancel, consuming, start, offsets: Vec::new(), said: Vec::new(), owned: 0 }
    }

    fn step(&mut self) {
        let Ok(event) = self.events.try_recv() else {
            std::thread::sleep(Duration::from_millis(2));
            return;
        };
        match event {
            SourceEvent::Assigned(assignment) => {
                self.owned += assignment.partitions.len();
                let starts = assignment.partitions.iter().map(|p| self.start.unwrap_or(p.low)).collect();
                assignment.reply.send(starts).unwrap();
                self.said.push("assigned".to_owned());
            }
            SourceEvent::Revoked(revocation) => {
                self.owned -= revocation.partitions.len();
                revocation.ack.send(()).unwrap();
                self.said.push(if revocation.lost { "lost" } else { "revoked" }.to_owned());
            }
            SourceEvent::Batch(batch) => {
                for message in &batch.messages {
                    self.start = Some(message.offset + 1);
                    self.offsets.push(message.offset);
                }
                let last = batch.messages.last().unwrap();
                self.consuming.link.stored(&batch.topic, batch.partition, last.offset + 1);
            }
            SourceEvent::End { next_offset, .. } => self.said.push(format!("end {next_offset}")),
            SourceEvent::Gap { from, to, .. } => self.said.push(format!("gap {from} {to}")),
            SourceEvent::Trouble(text) => self.said.push(format!("trouble: {text}")),
            SourceEvent::Recovered => self.said.push("recovered".to_owned()),
            SourceEvent::Failed(text) => self.said.push(format!("failed: {text}")),
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Pipeline) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !done(self) {
            assert!(
                Instant::now() < end,
                "waited too long for {what}: {} messages, {:#?}",
                self.offsets.len(),
                self.said
            );
            self.step();
        }
    }

    fn heard(&self, line: &str) -> bool {
        self.said.iter().any(|said| said == line)
    }

    fn stop(mut self) -> Vec<String> {
        self.cancel.cancel();
        let end = Instant::now() + DEADLINE;
        while !self.consuming.thread.is_finished() {
            self.step();
            assert!(Instant::now() < end, "the consumer does not end: {:#?}", self.said);
        }
        while !self.events.is_empty() {
            self.step();
        }
        self.said
    }
}

/// `check` and the consumer say exactly this.
fn expect_trouble(config: &KafkaConfig, topic: &str, text: &str) {
    assert_eq!(check(config, &[topic]), Err(text.to_owned()));
    let mut pipeline = Pipeline::start(config, &[topic], None);
    let line = format!("trouble: {text}");
    let end = Instant::now() + DEADLINE;
    while !pipeline.heard(&line) {
        pipeline.step();
        assert!(Instant::now() < end, "{:#?}", pipeline.said);
    }
    // Long enough for librdkafka to try again some times: the sentence is said once.
    let calm = Instant::now() + Duration::from_secs(4);
    while Instant::now() < calm {
        pipeline.step();
    }
    let said = pipeline.stop();
    assert_eq!(said, [line], "said once, and nothing else");
    let (password, all) = (env("KEYWATCH_TEST_KAFKA_PASSWORD"), format!("{said:?} {config:?}"));
    assert!(!all.contains(&password), "a secret was shown");
}

#[test]
fn what_is_stored_decides_where_reading_starts() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let (producer, topic) = topic_with(&brokers, 100);
    let config = plain_config(&brokers, &unique("group"));
    check(&config, &[&topic]).unwrap();
    let mut pipeline = Pipeline::start(&config, &[&topic], Some(60));
    pipeline.until("the end", |pipeline| pipeline.heard("end 100"));
    produce(&producer, &topic, 100..150);
    pipeline.until("live messages", |pipeline| pipeline.offsets.len() == 90);
    assert!(pipeline.offsets.iter().copied().eq(60..150));
    let said = pipeline.stop();
    assert_eq!((said.first().unwrap().as_str(), said.last().unwrap().as_str()), ("assigned", "revoked"));
    // The hint is there for lag tools, at the latest when the partitions were let go.
    assert_eq!(committed(&brokers, &config.group, &topic, 0), Ok(Some(150)));
}

#[test]
fn no_broker() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    expect_trouble(
        &plain_config("127.0.0.1:9", "group"),
        "auth-events",
        "cannot reach any Kafka broker at 127.0.0.1:9: connection refused; check source.kafka.brokers and that the broker \
         runs",
    );
    expect_trouble(
        &plain_config("no-such-host.invalid:9092", "group"),
        "auth-events",
        "cannot reach any Kafka broker at no-such-host.invalid:9092: host name does not resolve; check \
         source.kafka.brokers and that the broker runs",
    );
}

#[test]
fn missing_topic_that_is_made_later() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let mut config = plain_config(&brokers, &unique("group"));
    config.auth_events = unique("auth-events");
    let topic = config.auth_events.clone();
    let text = format!("topic `{topic}` does not exist; create it or set source.kafka.topics.auth_events");
    expect_trouble(&config, &topic, &text);

    let mut pipeline = Pipeline::start(&config, &[&topic], None);
    pipeline.until("the trouble", |pipeline| pipeline.heard(&format!("trouble: {text}")));
    let producer = Producer::connect(&brokers).unwrap();
    run(producer.create_topic(&topic, 1)).unwrap();
    produce(&producer, &topic, 0..5);
    pipeline.until("the messages", |pipeline| pipeline.heard("recovered") && pipeline.offsets.len() == 5);
    pipeline.stop();
}

#[test]
fn every_sasl_mechanism_over_tls() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let (_producer, topic) = topic_with(&env("KEYWATCH_TEST_KAFKA"), 10);
    for mechanism in ["SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"] {
        let mut config = sasl_config(&brokers, &unique("group"), "keywatch", mechanism);
        if mechanism == "OAUTHBEARER" {
            config.security.username = None;
            config.security.password = None;
            config.properties.insert("enable.sasl.oauthbearer.unsecure.jwt".into(), "true".into());
            config.properties.insert("sasl.oauthbearer.config".into(), "principal=keywatch".into());
        }
        assert_eq!(check(&config, &[&topic]), Ok(()), "{mechanism}");
        let mut pipeline = Pipeline::start(&config, &[&topic], None);
        pipeline.until(mechanism, |pipeline| pipeline.offsets.len() == 10);
        pipeline.stop();
    }
}

#[test]
fn wrong_sasl() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let mut config = sasl_config(&brokers, "group", "keywatch", mechanism);
        config.security.password = Some(Secret::new("wrong-hush-hush"));
        let text = format!(
            "the Kafka broker at {brokers} refuses the user `keywatch` or the password ({mechanism}); check \
             source.kafka.security.username and password"
        );
        expect_trouble(&config, "auth-events", &text);
        let config = sasl_config(&brokers, "group", "nobody", mechanism);
        expect_trouble(&config, "auth-events", &text.replace("keywatch", "nobody"));
    }
    let config = sasl_config(&brokers, "group", "keywatch", "SCRAM-SHA-256");
    expect_trouble(
        &config,
        "auth-events",
        &format!(
            "the Kafka broker at {brokers} does not support the SASL mechanism SCRAM-SHA-256; set \
             source.kafka.security.sasl_mechanism to one that it supports (SCRAM-SHA-512,PLAIN,OAUTHBEARER)"
        ),
    );
    let mut config = config;
    config.security.sasl_mechanism = None;
    expect_trouble(
        &config,
        "auth-events",
        &format!(
            "the Kafka broker at {brokers} hangs up; it seems to ask for a user and password: set \
             source.kafka.security.sasl_mechanism, username and password"
        ),
    );
}

#[test]
fn wrong_tls() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let plain = env("KEYWATCH_TEST_KAFKA");
    expect_trouble(
        &plain_config(&brokers, "group"),
        "auth-events",
        &format!(
            "the Kafka broker at {brokers} hangs up on a connection without TLS; it seems to expect TLS: set \
             source.kafka.security.tls to true, or use the broker's plain port"
        ),
    );
    let mut config = plain_config(&plain, "group");
    config.security.tls = true;
    expect_trouble(
        &config,
        "auth-events",
        &format!(
            "the Kafka broker at {plain} does not speak TLS on this port; use its TLS port, or set \
             source.kafka.security.tls to false"
        ),
    );
    let mut config = sasl_config(&brokers, "group", "keywatch", "SCRAM-SHA-512");
    config.security.ca_file = Some(PathBuf::from(env("KEYWATCH_TEST_OTHER_CA")));
    expect_trouble(
        &config,
        "auth-events",
        &format!(
            "the certificate of the Kafka broker at {brokers} has expired or is signed by an authority that keywatch does not \
             trust; set source.kafka.security.ca_file to the authority's PEM file"
        ),
    );
    let named = brokers.replace("127.0.0.1", "localhost");
    let config = sasl_config(&named, "group", "keywatch", "SCRAM-SHA-512");
    expect_trouble(
        &config,
        "auth-events",
        &format!(
            "the certificate of the Kafka broker at {named} is for another host name; use the name that the certificate is \
             for in source.kafka.brokers"
        ),
    );
}

#[test]
fn not_authorised() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let (_producer, topic) = topic_with(&env("KEYWATCH_TEST_KAFKA"), 1);
    let config = sasl_config(&brokers, "group", "stranger", "SCRAM-SHA-512");
    let text =
        format!("the Kafka user `stranger` may not read topic `{topic}`; allow Read and Describe on it in Kafka");
    expect_trouble(&config, &topic, &text);
    let config = sasl_config(&brokers, "group", "reader", "SCRAM-SHA-512");
    expect_trouble(
        &config,
        &topic,
        "the Kafka user `reader` may not use the consumer group `group`; allow Read on it in Kafka, or set \
         source.kafka.group",
    );
}

#[test]
fn refused_properties_fail_at_once_without_their_value() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let mut config = plain_config(&brokers, "group");
    config.properties.insert("no.such.property".into(), "value".into());
    let text = "Kafka property `no.such.property` is refused: No such configuration property: \"no.such.property\"; check \
                source.kafka.properties and source.kafka.security";
    assert_eq!(check(&config, &["auth-events"]), Err(text.to_owned()));
    let pipeline = Pipeline::start(&config, &["auth-events"], None);
    assert_eq!(pipeline.stop(), [format!("failed: {text}")]);

    let mut config = plain_config(&brokers, "group");
    config.security.tls = true;
    config.security.ca_file = Some(PathBuf::from("/no/such/file.pem"));
    let text = "cannot read source.kafka.security.ca_file `/no/such/file.pem`: No such file or directory (os error 2)";
    assert_eq!(check(&config, &["auth-events"]), Err(text.to_owned()));
}

#[test]
fn what_retention_took_is_a_gap_and_reading_goes_on() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let (producer, topic) = topic_with(&brokers, 100);
    run(producer.delete_before(&topic, 0, 70)).unwrap();
    let config = plain_config(&brokers, &unique("group"));
    let mut pipeline = Pipeline::start(&config, &[&topic], Some(20));
    pipeline.until("the gap and the rest", |pipeline| pipeline.heard("gap 20 70") && pipeline.heard("end 100"));
    assert!(pipeline.offsets.iter().copied().eq(70..100));
    produce(&producer, &topic, 100..110);
    pipeline.until("live messages", |pipeline| pipeline.offsets.len() == 40);
    assert_eq!(pipeline.stop().iter().filter(|said| said.starts_with("gap")).count(), 1);
}

#[test]
fn two_instances_share_and_hand_over() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let producer = Producer::connect(&brokers).unwrap();
    let topic = unique("auth-events");
    run(producer.create_topic(&topic, 4)).unwrap();
    let config = plain_config(&brokers, &unique("group"));
    let mut first = Pipeline::start(&config, &[&topic], None);
    first.until("all partitions", |pipeline| pipeline.owned == 4);
    let mut second = Pipeline::start(&config, &[&topic], None);
    let end = Instant::now() + DEADLINE;
    while (first.owned, second.owned) != (2, 2) {
        first.step();
        second.step();
        assert!(Instant::now() < end, "{:?} {:?}", first.said, second.said);
    }
    second.stop();
    first.until("all partitions again", |pipeline| pipeline.owned == 4);
    first.stop();
}

#[test]
fn facts_reach_their_end_and_go_on() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let (producer, topic) = topic_with(&brokers, 2500);
    let (to, mut events) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let thread = read_facts(&plain_config(&brokers, "facts"), &topic, to, cancel.clone());
    let (mut count, mut at_end) = (0, None);
    while count < 2510 {
        match events.blocking_recv().unwrap() {
            FactsEvent::Batch(batch) => count += batch.messages.len(),
            FactsEvent::ReachedEnd => {
                assert_eq!(at_end.replace(count), None);
                produce(&producer, &topic, 2500..2510);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(at_end, Some(2500));
    cancel.cancel();
    thread.join().unwrap();
}

#[test]
fn facts_say_that_their_topic_is_missing_and_begin_when_it_is_there() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let mut config = plain_config(&brokers, "facts");
    let topic = unique("key-events");
    config.key_events = Some(topic.clone());
    let (to, mut events) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let thread = read_facts(&config, &topic, to, cancel.clone());
    let text = format!("topic `{topic}` does not exist; create it or set source.kafka.topics.key_events");
    match events.blocking_recv().unwrap() {
        FactsEvent::Trouble(said) => assert_eq!(said, text),
        other => panic!("{other:?}"),
    }
    let producer = Producer::connect(&brokers).unwrap();
    run(producer.create_topic(&topic, 2)).unwrap();
    produce(&producer, &topic, 0..3);
    let (mut recovered, mut count, mut reached) = (false, 0, false);
    while !(recovered && reached && count == 3) {
        match events.blocking_recv().unwrap() {
            FactsEvent::Recovered => recovered = true,
            FactsEvent::Batch(batch) => count += batch.messages.len(),
            FactsEvent::ReachedEnd => reached = true,
            other => panic!("{other:?}"),
        }
    }
    cancel.cancel();
    thread.join().unwrap();
}

#[test]
fn a_broker_that_restarts_is_trouble_then_recovered_and_nothing_is_lost() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA") else { return };
    let (producer, topic) = topic_with(&brokers, 50);
    let config = plain_config(&brokers, &unique("group"));
    let mut pipeline = Pipeline::start(&config, &[&topic], None);
    pipeline.until("the end", |pipeline| pipeline.heard("end 50"));

    let servers = |command: &str| {
        let done = Command::new(env("KEYWATCH_TEST_SERVERS"))
            .args([command, "kafka", "--dir", &env("KEYWATCH_TEST_DIR")])
            .status()
            .unwrap();
        assert!(done.success());
    };
    servers("stop");
    let trouble = format!(
        "trouble: cannot reach any Kafka broker at {brokers}: connection refused; check source.kafka.brokers and that the \
         broker runs"
    );
    pipeline.until("the trouble", |pipeline| pipeline.heard(&trouble));
    servers("start");
    produce(&producer, &topic, 50..80);
    pipeline.until("all messages", |pipeline| pipeline.heard("recovered") && pipeline.start == Some(80));
    // A rebalance may repeat what was read after the last word of the store, but nothing may be missing.
    let mut offsets = pipeline.offsets.clone();
    offsets.sort_unstable();
    offsets.dedup();
    assert!(offsets.into_iter().eq(0..80));
    let said = pipeline.stop();
    assert_eq!(said.iter().filter(|said| said.starts_with("trouble")).count(), 1, "{said:#?}");
}
