//! The configuration: one strict YAML file. Every problem is reported at once, with file, line, column and a hint.
//!
//! These structs are what the rest of the program sees; `config/load.rs` reads the file into them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::brand::Brand;
use crate::event::mapping::Format;
use crate::event::proxies::Cidr;
use crate::time::Millis;

pub mod fields;
pub mod load;
pub mod schema;

/// Everything that can be configured, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the gateway calls itself.
    pub brand: Brand,
    /// Where addresses are looked up.
    pub geoip: GeoipConfig,
    /// Where events come from.
    pub source: SourceConfig,
    /// Where the rule files are.
    pub rules: RulesConfig,
    /// Where state is kept.
    pub store: StoreConfig,
    /// Bounds.
    pub limits: Limits,
    /// How alerts become notices.
    pub alerts: AlertsConfig,
    /// How mail is sent.
    pub mail: MailConfig,
    /// Metrics and health.
    pub http: HttpConfig,
    /// Logs.
    pub log: LogConfig,
}

/// `source:`
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The Kafka cluster.
    pub kafka: KafkaConfig,
    /// Key of the HMAC that turns a raw `api_key` into a fingerprint. Random for each process where absent.
    pub fingerprint_secret: Option<Secret>,
    /// The form of the messages: a preset, or a mapping of one's own. Default: our own.
    pub format: Format,
    /// Proxies whose `forwarded_for` is believed. Default: none.
    pub trusted_proxies: Vec<Cidr>,
}

/// `source.kafka:`
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Consumer group. Default `keywatch`.
    pub group: String,
    /// Static membership, only where configured.
    pub instance_id: Option<String>,
    /// Topic of decisions. Default `auth-events`.
    pub auth_events: String,
    /// Topic of decisions without a merchant, where there is one.
    pub auth_refused: Option<String>,
    /// Topic of facts. Default `key-events`; `null` = none.
    pub key_events: Option<String>,
    /// TLS and authentication.
    pub security: KafkaSecurity,
    /// Any other librdkafka property, passed through as it is.
    pub properties: BTreeMap<String, String>,
}

/// `source.kafka.security:`
#[derive(Clone, Debug, Default)]
pub struct KafkaSecurity {
    /// TLS on.
    pub tls: bool,
    /// PEM file of the authorities to trust; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// PEM client certificate and key.
    pub certificate_file: Option<PathBuf>,
    /// PEM client key.
    pub key_file: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER`; no SASL where absent.
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    pub username: Option<String>,
    /// SASL password (`password` or `password_file`).
    pub password: Option<Secret>,
}

/// `geoip:`
#[derive(Clone, Debug)]
pub struct GeoipConfig {
    /// MMDB files; what the first does not know, the next may.
    pub databases: Vec<PathBuf>,
    /// How often to look whether one was replaced. Default 1 min.
    pub reload_every: Millis,
}

/// `rules:`
#[derive(Clone, Debug)]
pub struct RulesConfig {
    /// Folder of `*.yml` files. Default `rules`.
    pub directory: PathBuf,
    /// Whether a change of the files is adopted without being asked. Default true.
    pub watch: bool,
    /// How often to look at the files. Default 2 s.
    pub look_every: Millis,
    /// How long nothing must have changed before a change is read. Default 5 s.
    pub settle: Millis,
}

/// `store:`
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite:PATH` (default `sqlite:keywatch.db`), `sqlite::memory:` or `postgres://USER@HOST:PORT/DATABASE`.
    pub url: Secret,
    /// Connections to PostgreSQL. Default 8.
    pub max_connections: u32,
    /// Migrate at start. Default true; false refuses to start while migrations are pending.
    pub migrate: bool,
}

/// `limits:` every bound that is not a law of a format.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How far out of order events may come. Default 5 min.
    pub lateness: Millis,
    /// Event IDs remembered in each partition to drop duplicates. Default 100,000.
    pub dedup_ids: usize,
    /// Subjects (keys and merchants) kept in memory by an instance. Default 1,000,000.
    pub resident_subjects: usize,
    /// Source networks remembered in each partition. Default 10,000.
    pub source_subjects: usize,
    /// Keys whose facts are known. Default 2,000,000.
    pub fact_keys: usize,
    /// Events dated too far ahead that each partition holds. Default 1,000.
    pub parked_events: usize,
    /// Rejected messages kept, redacted. Default 1,000.
    pub dead_letters: usize,
    /// Rows a checkpoint writes in one transaction. Default 2,000.
    pub slice_rows: usize,
    /// Between two checkpoints of a partition. Default 30 s.
    pub checkpoint_every: Millis,
    /// Mails an hour to one receiver of one merchant. Default 20.
    pub mails_per_hour: u32,
    /// How long ended alerts, finished notices and daily usage are kept. Default 400 days.
    pub keep: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            lateness: 5 * crate::time::MINUTE,
            dedup_ids: 100_000,
            resident_subjects: 1_000_000,
            source_subjects: 10_000,
            fact_keys: 2_000_000,
            parked_events: 1_000,
            dead_letters: 1_000,
            slice_rows: 2_000,
            checkpoint_every: 30 * crate::time::SECOND,
            mails_per_hour: 20,
            keep: 400 * crate::time::DAY,
        }
    }
}

/// `alerts:`
#[derive(Clone, Debug)]
pub struct AlertsConfig {
    /// How long milder alerts of one merchant gather before a notice. Default 30 s.
    pub group_wait: Millis,
    /// Alerts raised later than this after their event time are stored, not mailed. Default 1 h.
    pub max_age: Millis,
    /// Mail also about what happened before the first start, however old. Default false; for tests and drills.
    pub mail_old: bool,
}

/// `mail:`
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// Sender address.
    pub from: String,
    /// Where answers go: the support address.
    pub reply_to: String,
    /// Who gets what is for support.
    pub support: Vec<String>,
    /// Who gets what is for operations.
    pub operations: Vec<String>,
    /// The one link of merchants' mails (`brand.link`).
    pub link: Option<String>,
    /// SMTP or files.
    pub transport: MailTransport,
    /// A delivery that fails for this long is given up. Default 24 h.
    pub give_up_after: Millis,
}

/// `mail.transport:`
#[derive(Clone, Debug)]
pub enum MailTransport {
    /// No mail; notices are marked as sent to nobody.
    None,
    /// `.eml` files in a folder.
    Files {
        /// The folder; made where missing.
        directory: PathBuf,
    },
    /// An SMTP server.
    Smtp(SmtpConfig),
}

/// `mail.transport.smtp:`
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Host name, checked against the certificate.
    pub host: String,
    /// Port. Default 587 (STARTTLS), 465 (implicit), 25 (none).
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// PEM file of the authorities to trust; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// User, with `password`.
    pub username: Option<String>,
    /// Password (`password` or `password_file`).
    pub password: Option<Secret>,
    /// For one delivery. Default 30 s.
    pub timeout: Millis,
}

/// `mail.transport.smtp.tls:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS, required. Default.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In the clear.
    None,
}

/// `http:`
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Default `127.0.0.1:9464`.
    pub listen: SocketAddr,
}

/// `log:`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter. Default `info`.
    pub level: String,
    /// JSON lines (default) or text.
    pub json: bool,
}

/// A text that is never shown: not in logs, not in `Debug`, not in errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself. Call it where it is used, and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
