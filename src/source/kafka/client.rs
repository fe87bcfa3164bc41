//! How a client of Kafka is configured, and what it does with librdkafka's logs and errors.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::trouble::{About, Explainer, Meaning, Troubles};
use crate::config::KafkaConfig;
use crate::wall;

/// Locks even where another thread panicked: the data is plain.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// librdkafka's properties for a configuration. What the user passes through wins, except where we would break.
pub(super) fn client_config(config: &KafkaConfig, group: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(RDKafkaLogLevel::Info);
    let defaults = [
        ("client.id", "keywatch"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        // What is fetched ahead, over all partitions: enough to never wait for the network, and bounded.
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.message.max.bytes", "1048576"),
        ("fetch.max.bytes", "16777216"),
        // What is fetched ahead is used up in a fraction of a second. The default, a second without a fetch once it is full,
        // would leave the pipeline without work most of the time.
        ("fetch.queue.backoff.ms", "10"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "200"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "2000"),
        // A new topic or partition is noticed within this time.
        ("topic.metadata.refresh.interval.ms", "60000"),
        ("socket.keepalive.enable", "true"),
        // Where partitions end, for the lag.
        ("statistics.interval.ms", "5000"),
    ];
    for (name, value) in defaults {
        client.set(name, value);
    }
    let security = &config.security;
    let protocol = match (security.tls, security.sasl_mechanism.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    let files = [
        ("ssl.ca.location", &security.ca_file),
        ("ssl.certificate.location", &security.certificate_file),
        ("ssl.key.location", &security.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            client.set(name, file.display().to_string());
        }
    }
    if let Some(mechanism) = &security.sasl_mechanism {
        client.set("sasl.mechanism", mechanism);
    }
    if let Some(user) = &security.username {
        client.set("sasl.username", user);
    }
    if let Some(password) = &security.password {
        client.set("sasl.password", password.reveal());
    }
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client.set("bootstrap.servers", &config.brokers);
    client.set("group.id", group);
    if let Some(id) = &config.instance_id {
        client.set("group.instance.id", id);
    }
    // Positions are the store's business, and a lost position is never passed over in silence.
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", "error");
    client.set("enable.partition.eof", "true");
    client.set("allow.auto.create.topics", "false");
    client
}

/// The files that the configuration names can be read. librdkafka's own words for that are hard to understand.
fn check_files(config: &KafkaConfig) -> Result<(), String> {
    let security = &config.security;
    let files = [
        ("ca_file", &security.ca_file),
        ("certificate_file", &security.certificate_file),
        ("key_file", &security.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file
            && let Err(error) = std::fs::File::open(file)
        {
            return Err(format!("cannot read source.kafka.security.{name} `{}`: {error}", file.display()));
        }
    }
    Ok(())
}

/// Makes a consumer, or says in one sentence why that is impossible.
pub(super) fn make<C: ConsumerContext + Listens>(
    config: &KafkaConfig,
    client: &ClientConfig,
    context: C,
) -> Result<BaseConsumer<C>, String> {
    check_files(config)?;
    let explainer = context.listener().explainer.clone();
    client.create_with_context(context).map_err(|error| creation_failed(&explainer, &error))
}

/// Why a client could not be made, as one sentence.
fn creation_failed(explainer: &Explainer, error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => {
            let reason = explainer.mask(reason.trim().trim_end_matches('.'));
            format!(
                "Kafka property `{property}` is refused: {reason}; check source.kafka.properties and source.kafka.security"
            )
        }
        KafkaError::ClientCreation(reason) => {
            format!("cannot set up the Kafka client: {}; check source.kafka.security", explainer.mask(reason.trim()))
        }
        other => format!("cannot set up the Kafka client: {}", explainer.mask(&other.to_string())),
    }
}

/// What a client has reported and nobody has looked at yet.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) troubles: Troubles,
    /// What to say when no broker can be reached, by the last reason heard.
    pub(super) detail: Option<String>,
    /// Since when every broker is away, as far as we know.
    pub(super) away_since: Option<Instant>,
    /// The position of some partition is gone.
    pub(super) out_of_range: bool,
    /// The broker's certificate is refused, and nobody has looked why.
    certificate: bool,
    /// The client cannot go on.
    pub(super) fatal: Option<String>,
}

impl Reports {
    /// No broker can be reached.
    pub(super) fn away(&self, explainer: &Explainer) -> String {
        self.detail.clone().unwrap_or_else(|| explainer.away("no answer"))
    }
}

/// Receives what a client reports; shared by every kind of client.
pub(super) struct Listener {
    pub(super) explainer: Explainer,
    pub(super) reports: Mutex<Reports>,
}

impl Listener {
    pub(super) fn new(explainer: Explainer) -> Self {
        Listener { explainer, reports: Mutex::default() }
    }

    /// Takes in a report.
    pub(super) fn report(&self, code: Code, reason: &str) {
        let meaning = self.explainer.explain(code, reason);
        self.take(meaning);
    }

    /// Takes in what a report means.
    pub(super) fn take(&self, meaning: Meaning) {
        let reports = &mut *lock(&self.reports);
        match meaning {
            Meaning::Trouble(about, text) => reports.troubles.open(about, text),
            Meaning::Detail(text) => reports.detail = Some(text),
            Meaning::AllAway => {
                reports.away_since.get_or_insert_with(wall::instant);
            }
            Meaning::Certificate => reports.certificate = !reports.troubles.has(&About::Connection),
            Meaning::OutOfRange => reports.out_of_range = true,
            Meaning::Fatal(text) => reports.fatal = Some(text),
            Meaning::Nothing => {}
        }
    }

    /// Looks why a certificate is refused, where one is; takes up to some seconds.
    pub(super) fn diagnose(&self) {
        let wanted = std::mem::take(&mut lock(&self.reports).certificate);
        if wanted {
            self.take(self.explainer.certificate());
        }
    }

    /// All brokers are still away after a moment's grace: that is trouble.
    pub(super) fn say_away(&self) {
        let reports = &mut *lock(&self.reports);
        if !reports.troubles.has(&About::Connection) {
            let text = reports.away(&self.explainer);
            reports.troubles.open(About::Connection, text);
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = self.explainer.mask(message);
        if facility == "FAIL" {
            // Said properly as trouble; some reasons only come this way.
            self.report(Code::BrokerTransportFailure, &message);
            tracing::debug!(target: "keywatch::kafka", facility, "{message}");
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::debug!(target: "keywatch::kafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "keywatch::kafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "keywatch::kafka", facility, "{message}")
            }
            RDKafkaLogLevel::Debug => tracing::trace!(target: "keywatch::kafka", facility, "{message}"),
        }
    }

    fn error(&self, error: &KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code()
            && code != Code::PartitionEOF
        {
            tracing::debug!(target: "keywatch::kafka", ?code, "{}", self.explainer.mask(reason));
            self.report(code, reason);
        }
    }
}

/// A context that owns or shares a [`Listener`].
pub(super) trait Listens: Send + Sync {
    fn listener(&self) -> &Listener;

    /// Takes in what librdkafka counts.
    fn note(&self, _statistics: &Statistics) {}
}

/// The context of clients that are not in a group.
pub(super) struct Plain(pub(super) Listener);

impl Listens for Plain {
    fn listener(&self) -> &Listener {
        &self.0
    }
}

/// Forwards librdkafka's callbacks of a context to its listener.
macro_rules! forward_to_listener {
    ($context:ty) => {
        impl ClientContext for $context {
            fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
                self.listener().log(level, facility, message);
            }

            fn error(&self, error: KafkaError, reason: &str) {
                self.listener().error(&error, reason);
            }

            fn stats(&self, statistics: Statistics) {
                self.note(&statistics);
            }
        }
    };
}

forward_to_listener!(Plain);
forward_to_listener!(super::group::Member);

impl ConsumerContext for Plain {}
