//! The brokers, the topics and the group; and what the later checks need of them.

use std::sync::Arc;

use super::lag::TopicEnds;
use super::{Check, Finding, Plan, blocking, count, topics};
use crate::config::KafkaConfig;
use crate::source::kafka::inspect::{Ends, Inspector};
use crate::source::kafka::{Denied, GroupUse};

/// What the cluster has told.
#[derive(Default)]
pub(super) struct Seen {
    /// Topics with positions in the store, and where their partitions end. Empty where the cluster told nothing.
    pub(super) topics: Vec<TopicEnds>,
    /// Kafka's time of the newest message that was read.
    pub(super) newest_at: Option<crate::time::Millis>,
}

/// A topic that may be read.
pub(super) struct Readable {
    pub(super) name: String,
    pub(super) ends: Vec<Ends>,
}

/// All that was found of brokers, topics and groups.
struct Found {
    findings: Vec<Finding>,
    readable: Vec<Readable>,
    inspector: Option<Arc<Inspector>>,
}

/// Runs every check that asks the brokers, in order.
pub(super) async fn examine(plan: Plan<'_>, say: &mut dyn FnMut(Finding)) -> Seen {
    let config = plan.config.source.kafka.clone();
    let found = blocking(move || look(&config)).await;
    let found = found.unwrap_or_else(|| Found {
        findings: vec![super::slow(Check::Kafka, "Kafka")],
        readable: Vec::new(),
        inspector: None,
    });
    found.findings.into_iter().for_each(&mut *say);
    let kafka = &plan.config.source.kafka;
    let Some(inspector) = found.inspector else {
        for (check, at) in topics::ALL {
            say(Finding::skipped(check, at, "the brokers do not answer", "mend `kafka` first"));
        }
        return Seen::default();
    };
    let newest_at = topics::examine(plan, &inspector, &found.readable, say).await;
    let is_tracked = |topic: &&Readable| Some(&topic.name) != kafka.key_events.as_ref();
    let tracked = found.readable.iter().filter(is_tracked);
    Seen {
        topics: tracked.map(|topic| TopicEnds { name: topic.name.clone(), ends: topic.ends.clone() }).collect(),
        newest_at,
    }
}

fn look(config: &KafkaConfig) -> Found {
    let at = format!("Kafka {}", config.brokers);
    let mut found = Found { findings: Vec::new(), readable: Vec::new(), inspector: None };
    let inspector = match Inspector::new(config) {
        Ok(inspector) => inspector,
        Err(text) => {
            found.findings.push(Finding::fail_with(Check::Kafka, at, &text, "check source.kafka"));
            return found;
        }
    };
    let mut of_topics = Vec::new();
    let mut n_brokers = None;
    for name in names(config) {
        let topic = match inspector.topic(name) {
            Ok(topic) => topic,
            Err(Denied::Connection(text)) => {
                found.findings.push(Finding::fail_with(Check::Kafka, at, &text, "check source.kafka.brokers"));
                return found;
            }
            Err(Denied::Topic(text)) => {
                let hint = "check source.kafka.topics";
                of_topics.push(Finding::fail_with(Check::Topic, format!("topic {name}"), &text, hint));
                continue;
            }
        };
        n_brokers = Some(topic.n_brokers);
        match inspector.ends(name, &topic.partitions) {
            Ok(ends) => {
                of_topics.push(described(name, &ends));
                found.readable.push(Readable { name: name.to_owned(), ends });
            }
            Err(text) => {
                let hint = "look whether that partition has a leader (`kafka-topics.sh --describe`)";
                of_topics.push(Finding::fail(Check::Topic, format!("topic {name}"), text, hint));
            }
        }
    }
    let brokers = n_brokers.map_or("answers".to_owned(), |n| match n {
        1 => "1 broker answers".to_owned(),
        n => format!("{n} brokers answer"),
    });
    found.findings.push(Finding::ok(Check::Kafka, at, format!("{brokers}, {}", security(config))));
    found.findings.append(&mut of_topics);
    found.findings.extend(groups(config, &inspector, &found.readable));
    found.inspector = Some(Arc::new(inspector));
    found
}

fn names(config: &KafkaConfig) -> impl Iterator<Item = &str> {
    std::iter::once(config.auth_events.as_str())
        .chain(config.auth_refused.as_deref())
        .chain(config.key_events.as_deref())
}

fn described(name: &str, ends: &[Ends]) -> Finding {
    let n: i64 = ends.iter().map(|ends| (ends.high - ends.low).max(0)).sum();
    let messages = match usize::try_from(n).unwrap_or_default() {
        0 => "empty".to_owned(),
        n => count(n, "message", "messages"),
    };
    let found = format!("{}, {messages}", count(ends.len(), "partition", "partitions"));
    Finding::ok(Check::Topic, format!("topic {name}"), found)
}

fn security(config: &KafkaConfig) -> String {
    let tls = if config.security.tls { "TLS" } else { "no TLS" };
    match (&config.security.sasl_mechanism, &config.security.username) {
        (Some(mechanism), Some(user)) => format!("{tls}, logged in as `{user}` ({mechanism})"),
        (Some(mechanism), None) => format!("{tls}, logged in ({mechanism})"),
        (None, _) => format!("{tls}, no login"),
    }
}

fn groups(config: &KafkaConfig, inspector: &Inspector, readable: &[Readable]) -> Vec<Finding> {
    let groups = std::iter::once(("", &config.auth_events)).chain(config.auth_refused.iter().map(|t| ("-refused", t)));
    let look = |(suffix, topic): (&str, &String)| {
        let at = format!("group {}{suffix}", config.group);
        if !readable.iter().any(|readable| readable.name == *topic) {
            return Finding::skipped(Check::Group, at, format!("topic {topic} cannot be read"), "mend `topic` first");
        }
        match inspector.group(suffix, topic) {
            Ok(GroupUse::Allowed) => Finding::ok(Check::Group, at, "may be used"),
            Ok(GroupUse::Unknown) => {
                let hint = "ask again in a minute: a fresh cluster takes a while until groups work";
                Finding::warn(Check::Group, at, "the brokers do not say yet whether it may be used", hint)
            }
            Err(text) => Finding::fail_with(Check::Group, at, &text, "allow Read on it in Kafka"),
        }
    };
    groups.map(look).collect()
}
