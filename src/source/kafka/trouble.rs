//! Turns what librdkafka reports into one sentence that says what to do, said once for each spell of trouble.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::certificate::only_the_name_is_wrong;
use crate::config::KafkaConfig;

/// What a trouble is about, and so what shows that it is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The connection: over when metadata or messages flow.
    Connection,
    /// A topic: over when its metadata is fine.
    Topic(String),
    /// The consumer group: over when partitions are assigned.
    Group,
    /// The pipeline did not answer: over when it has.
    Pipeline,
}

/// What a report of librdkafka means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Trouble: a sentence.
    Trouble(About, String),
    /// No trouble by itself, but this sentence if all brokers turn out to be away.
    Detail(String),
    /// Every broker is away.
    AllAway,
    /// The broker's certificate is refused, for a reason still to be found.
    Certificate,
    /// The position of some partition is gone.
    OutOfRange,
    /// This consumer cannot go on.
    Fatal(String),
    /// Nothing to say.
    Nothing,
}

/// Explains reports in the words of the configuration.
#[derive(Clone)]
pub(super) struct Explainer {
    config: KafkaConfig,
    brokers: String,
    pub(super) group: String,
    user: Option<String>,
    mechanism: Option<String>,
    tls: bool,
    topics: Vec<(String, &'static str)>,
    secrets: Vec<String>,
}

impl Explainer {
    pub(super) fn new(config: &KafkaConfig, group: String) -> Self {
        let mut topics = vec![(config.auth_events.clone(), "auth_events")];
        topics.extend(config.auth_refused.iter().map(|name| (name.clone(), "auth_refused")));
        topics.extend(config.key_events.iter().map(|name| (name.clone(), "key_events")));
        let mut secrets: Vec<String> =
            config.security.password.iter().map(|secret| secret.reveal().to_owned()).collect();
        secrets.extend(config.properties.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
        secrets.retain(|secret| !secret.is_empty());
        Explainer {
            config: config.clone(),
            brokers: config.brokers.clone(),
            group,
            user: config.security.username.clone(),
            mechanism: config.security.sasl_mechanism.clone(),
            tls: config.security.tls,
            topics,
            secrets,
        }
    }

    /// A text without any configured secret in it.
    pub(super) fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// What a report means. `reason` is librdkafka's text, which names the broker or the topic.
    pub(super) fn explain(&self, code: Code, reason: &str) -> Meaning {
        match code {
            Code::AllBrokersDown => return Meaning::AllAway,
            Code::AutoOffsetReset | Code::OffsetOutOfRange => return Meaning::OutOfRange,
            Code::UnknownTopicOrPartition | Code::UnknownTopic => {
                return subject(reason).map_or(Meaning::Nothing, |topic| self.missing(topic));
            }
            Code::TopicAuthorizationFailed => {
                return subject(reason).map_or(Meaning::Nothing, |topic| self.topic_refused(topic));
            }
            Code::GroupAuthorizationFailed => return self.group_refused(),
            Code::FencedInstanceId => {
                return Meaning::Fatal(
                    "another consumer runs with the same source.kafka.instance_id; give each instance its own"
                        .to_owned(),
                );
            }
            _ => {}
        }
        if reason.contains("certificate verify failed") {
            return Meaning::Certificate;
        }
        match self.connection(code, reason) {
            Some(text) => Meaning::Trouble(About::Connection, text),
            None => match self.hung_up(reason) {
                Some(text) => Meaning::Detail(text),
                None => short_reason(code, reason).map_or(Meaning::Nothing, |text| Meaning::Detail(self.away(text))),
            },
        }
    }

    /// A sentence for faults of TLS and authentication: these never heal by waiting, so they are said at once.
    fn connection(&self, code: Code, reason: &str) -> Option<String> {
        let brokers = &self.brokers;
        let has = |part: &str| reason.contains(part);
        let text = if has("connecting to a PLAINTEXT broker listener?")
            || has("wrong version number")
            || has("packet length too long")
        {
            self.no_tls()
        } else if has("client SSL authentication might be required") || has("certificate required") {
            format!(
                "the Kafka broker at {brokers} asks for a client certificate; set \
                 source.kafka.security.certificate_file and key_file"
            )
        } else if has("mechanism handshake failed") || code == Code::UnsupportedSASLMechanism {
            let supported = reason.split("supported mechanisms: ").nth(1).and_then(|rest| rest.split(" (").next());
            format!(
                "the Kafka broker at {brokers} does not support the SASL mechanism {}; set \
                 source.kafka.security.sasl_mechanism to one that it supports{}",
                self.mechanism.as_deref().unwrap_or("that is set"),
                supported.map(|names| format!(" ({names})")).unwrap_or_default(),
            )
        } else if has("OAUTHBEARER token") {
            let why = reason.rsplit("OAUTHBEARER token: ").next().unwrap_or_default();
            format!("cannot get an OAUTHBEARER token: {}; check the sasl.oauthbearer properties", self.mask(why))
        } else if code == Code::Authentication || has("SASL authentication error") {
            format!(
                "the Kafka broker at {brokers} refuses the user{} or the password ({}); check \
                 source.kafka.security.username and password",
                self.user.as_ref().map(|user| format!(" `{user}`")).unwrap_or_default(),
                self.mechanism.as_deref().unwrap_or("SASL"),
            )
        } else if code == Code::SSL {
            format!("TLS with the Kafka broker at {brokers} fails: {}", self.mask(reason))
        } else {
            return None;
        };
        Some(text)
    }

    /// A broker that hangs up on a new connection mostly wanted another kind of connection. It may also be going down,
    /// so this is only believed while no broker answers otherwise.
    fn hung_up(&self, reason: &str) -> Option<String> {
        let brokers = &self.brokers;
        if !reason.contains("Disconnected") {
            None
        } else if reason.contains("in state APIVERSION_QUERY") && !self.tls {
            Some(format!(
                "the Kafka broker at {brokers} hangs up on a connection without TLS; it seems to expect TLS: set \
                 source.kafka.security.tls to true, or use the broker's plain port"
            ))
        } else if reason.contains("in state SSL_HANDSHAKE") {
            Some(self.no_tls())
        } else if self.mechanism.is_none()
            && (reason.contains("in state UP") || reason.contains("in state APIVERSION_QUERY"))
            && milliseconds(reason) < 2_000
        {
            Some(format!(
                "the Kafka broker at {brokers} hangs up; it seems to ask for a user and password: set \
                 source.kafka.security.sasl_mechanism, username and password"
            ))
        } else {
            None
        }
    }

    /// The broker's certificate is refused.
    pub(super) fn certificate(&self) -> Meaning {
        let brokers = &self.config.brokers;
        let text = if only_the_name_is_wrong(&self.config) {
            format!(
                "the certificate of the Kafka broker at {brokers} is for another host name; use the name that the \
                 certificate is for in source.kafka.brokers"
            )
        } else {
            format!(
                "the certificate of the Kafka broker at {brokers} has expired or is signed by an authority that keywatch \
                 does not trust; set source.kafka.security.ca_file to the authority's PEM file"
            )
        };
        Meaning::Trouble(About::Connection, text)
    }

    fn no_tls(&self) -> String {
        format!(
            "the Kafka broker at {} does not speak TLS on this port; use its TLS port, or set source.kafka.security.tls \
             to false",
            self.brokers
        )
    }

    /// No broker answers, for this reason.
    pub(super) fn away(&self, why: &str) -> String {
        format!(
            "cannot reach any Kafka broker at {}: {why}; check source.kafka.brokers and that the broker runs",
            self.brokers
        )
    }

    /// A topic does not exist.
    pub(super) fn missing(&self, topic: &str) -> Meaning {
        let setting = self.topics.iter().find(|(name, _)| name == topic).map_or("…", |(_, setting)| setting);
        Meaning::Trouble(
            About::Topic(topic.to_owned()),
            format!("topic `{topic}` does not exist; create it or set source.kafka.topics.{setting}"),
        )
    }

    /// A topic may not be read.
    pub(super) fn topic_refused(&self, topic: &str) -> Meaning {
        Meaning::Trouble(
            About::Topic(topic.to_owned()),
            format!("{} may not read topic `{topic}`; allow Read and Describe on it in Kafka", self.who()),
        )
    }

    /// The group may not be joined.
    pub(super) fn group_refused(&self) -> Meaning {
        Meaning::Trouble(
            About::Group,
            format!(
                "{} may not use the consumer group `{}`; allow Read on it in Kafka, or set source.kafka.group",
                self.who(),
                self.group
            ),
        )
    }

    fn who(&self) -> String {
        self.user.as_ref().map_or_else(|| "keywatch".to_owned(), |user| format!("the Kafka user `{user}`"))
    }
}

/// True of properties whose value must never be shown.
fn is_secret(property: &str) -> bool {
    ["password", "secret", "ssl.key", "oauthbearer.config", "jaas", "assertion.private.key"]
        .iter()
        .any(|part| property.contains(part))
}

/// `Subscribed topic not available: NAME: Broker: …` → `NAME`.
fn subject(reason: &str) -> Option<&str> {
    let mut parts = reason.split(": ");
    parts.next().filter(|first| first.contains("topic") || first.contains("Topic") || first.contains("Fetch"))?;
    let topic = parts.next()?;
    Some(topic.split(" [").next().unwrap_or(topic))
}

/// The part of a transport's failure that says why.
fn short_reason(code: Code, reason: &str) -> Option<&'static str> {
    let known = [
        ("Connection refused", "connection refused"),
        ("Connection reset", "connection reset"),
        ("Connection timed out", "connection timed out"),
        ("Network is unreachable", "network unreachable"),
        ("No route to host", "no route to host"),
        ("Connection setup timed out", "connection timed out"),
        ("timed out", "no answer in time"),
    ];
    if let Some((_, short)) = known.iter().find(|(part, _)| reason.contains(part)) {
        return Some(short);
    }
    if code == Code::Resolve || reason.contains("Failed to resolve") {
        return Some("host name does not resolve");
    }
    reason.contains("Disconnected").then_some("connection closed by the broker")
}

/// `… (after 12ms in state UP)` → 12.
fn milliseconds(reason: &str) -> u64 {
    let rest = reason.rsplit("(after ").next().unwrap_or_default();
    rest.split("ms").next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

/// What a source has to say of its troubles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// There is one: a sentence.
    Trouble(String),
    /// The last of them is over.
    Over,
}

/// The open troubles of a source, and which sentences this spell has heard already.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    open: BTreeMap<About, String>,
    said: BTreeSet<String>,
    /// To be passed on in this order: a trouble that were told after its end would last for ever.
    words: Vec<Word>,
}

impl Troubles {
    /// Opens a trouble; its sentence is to be passed on if this spell has not heard it.
    pub(super) fn open(&mut self, about: About, text: String) {
        self.open.insert(about, text.clone());
        if self.said.insert(text.clone()) {
            self.words.push(Word::Trouble(text));
        }
    }

    /// Closes troubles; that the last of them is over is to be passed on.
    pub(super) fn close(&mut self, over: impl Fn(&About) -> bool) {
        self.open.retain(|about, _| !over(about));
        if self.open.is_empty() && !self.said.is_empty() {
            self.said.clear();
            self.words.push(Word::Over);
        }
    }

    /// What nobody has passed on yet.
    pub(super) fn take_words(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.words)
    }

    /// The first sentence that nobody has passed on yet.
    pub(super) fn sentence(&self) -> Option<&str> {
        self.words.iter().find_map(|word| match word {
            Word::Trouble(text) => Some(text.as_str()),
            Word::Over => None,
        })
    }

    pub(super) fn any(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn has(&self, about: &About) -> bool {
        self.open.contains_key(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::source::kafka::testing::plain_config;

    fn explainer() -> Explainer {
        let mut config = plain_config("kafka:9092", "group");
        config.security.password = Some(Secret::new("hush-hush"));
        config.properties.insert("ssl.key.password".into(), "other-secret".into());
        config.properties.insert("fetch.min.bytes".into(), "1".into());
        Explainer::new(&config, "group".to_owned())
    }

    #[test]
    fn secrets_are_masked_wherever_they_sit() {
        assert_eq!(explainer().mask("user:hush-hush@x other-secret 1"), "user:***@x *** 1");
    }

    #[test]
    fn reports_become_sentences() {
        let explainer = explainer();
        let missing = "Subscribed topic not available: auth-events: Broker: Unknown topic or partition";
        let Meaning::Trouble(about, text) = explainer.explain(Code::UnknownTopicOrPartition, missing) else { panic!() };
        assert_eq!(about, About::Topic("auth-events".to_owned()));
        assert_eq!(text, "topic `auth-events` does not exist; create it or set source.kafka.topics.auth_events");

        let refused = "Fetch from broker 1 failed: auth-events [3]: Broker: Topic authorization failed";
        let Meaning::Trouble(about, _) = explainer.explain(Code::TopicAuthorizationFailed, refused) else { panic!() };
        assert_eq!(about, About::Topic("auth-events".to_owned()));

        let closed = "kafka:9092/1: Disconnected: connection closed by peer (after 90000ms in state UP)";
        let text = explainer.away("connection closed by the broker");
        assert_eq!(explainer.explain(Code::BrokerTransportFailure, closed), Meaning::Detail(text));
        assert_eq!(explainer.explain(Code::MessageTimedOut, "whatever"), Meaning::Nothing);
    }

    #[test]
    fn a_spell_hears_each_sentence_once_and_ends_with_its_last_trouble() {
        let mut troubles = Troubles::default();
        let said = |text: &str| vec![Word::Trouble(text.to_owned())];
        troubles.open(About::Group, "group".into());
        assert_eq!(troubles.take_words(), said("group"));
        troubles.open(About::Group, "group".into());
        assert_eq!(troubles.take_words(), []);
        troubles.open(About::Connection, "away".into());
        assert_eq!(troubles.take_words(), said("away"));
        troubles.close(|about| *about == About::Connection);
        troubles.open(About::Connection, "away".into());
        assert_eq!(troubles.take_words(), [], "still the same spell");
        troubles.close(|_| true);
        assert_eq!(troubles.take_words(), [Word::Over]);
        troubles.close(|_| true);
        assert_eq!(troubles.take_words(), [], "over only once");
        troubles.open(About::Connection, "away".into());
        assert_eq!(troubles.take_words(), said("away"));
    }

    #[test]
    fn a_trouble_that_is_over_before_anybody_heard_of_it_is_not_told_after_its_end() {
        let mut troubles = Troubles::default();
        troubles.open(About::Pipeline, "no answer".into());
        assert_eq!(troubles.sentence(), Some("no answer"));
        troubles.close(|_| true);
        assert_eq!(troubles.take_words(), [Word::Trouble("no answer".into()), Word::Over]);
        assert_eq!(troubles.sentence(), None);
    }
}
