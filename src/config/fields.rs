//! Every field of the configuration file, once: what it may be, its default, and what it means. The schema is made of
//! this table; a test sees that the table and the loader (`config/load.rs`) agree, bound for bound.

use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// What a field may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Fields of its own.
    Section,
    /// Any text that is not empty.
    Text,
    /// A text of a form, as a regular expression.
    Shape(&'static str),
    /// One of a few words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count(u64, u64),
    /// A duration.
    Duration(Millis, Millis),
    /// A list of texts of a form: the fewest and the most.
    List(&'static str, u64, Option<u64>),
    /// Names that are not known here, with texts.
    Properties,
    /// A field of an event each, with where it lies.
    Places,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Its name with those of the sections around it.
    pub path: &'static str,
    /// What it may be.
    pub ty: Type,
    /// Whether its section needs it.
    pub is_required: bool,
    /// What counts where it is absent, as one would write it.
    pub default: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
}

impl Field {
    const fn or(self, default: &'static str) -> Field {
        Field { default: Some(default), ..self }
    }

    const fn required(self) -> Field {
        Field { is_required: true, ..self }
    }
}

const fn field(path: &'static str, ty: Type, doc: &'static str) -> Field {
    Field { path, ty, is_required: false, default: None, doc }
}

use Type::{Count, Duration, Flag, List, Places, Properties, Section, Shape, Text, Word};

const ADDRESS: &str = r"^([^<>]*<[^@\s<>,;]+@[^@\s<>,;]+>|[^@\s<>,;]+@[^@\s<>,;]+)$";
const TOPIC: &str = r"^[A-Za-z0-9._-]{1,249}$";
const BROKERS: &str =
    r"^ *(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5} *(, *(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5} *)*$";
const HOST: &str = r"^(\[?[0-9A-Fa-f:.]+\]?|[A-Za-z0-9._-]+)$";
const LINK: &str = r#"^https://[^\s<>"'`{}|\\@/]+\.[^\s<>"'`{}|\\@/]+(/[^\s<>"'`{}|\\]*)?$"#;
const POINTER: &str = "^/";
const PREFIX: &str = "^[A-Za-z0-9_-]{3,32}$";
const NETWORK: &str = "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$";
const STORE: &str = "^(sqlite:.+|postgres(ql)?://.*)$";
const LISTEN: &str = r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$";
const LEVEL: &str = "(error|warn|info|debug|trace|off|ERROR|WARN|INFO|DEBUG|TRACE|OFF) *$";
const ANY: &str = r"\S";

const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
const FORMATS: &[&str] = &["native", "kong", "envoy", "cloudtrail", "nginx"];

/// Every field, in the order of the example; a section comes before its fields.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    field("brand", Section, "What the gateway calls itself, in the words that its merchants know. Caibo's where the section is absent; one that is there is whole."),
    field("brand.name", Shape("^.{1,40}$"), "The gateway's name.").required(),
    field("brand.support", Shape(ADDRESS), "Where merchants ask for help; also the default of mail.reply_to.").required(),
    field("brand.key_page", Shape("^.{1,120}$"), "Where merchants find their keys: what follows \"in the\".").required(),
    field("brand.link", Shape(LINK), "The one link of merchants' mails. Mails without a link are harder to imitate."),
    field("brand.keys", Section, "What keys begin with. By it they are recognised, and masked wherever they turn up.").required(),
    field("brand.keys.live", List(PREFIX, 0, Some(16)), "What live keys begin with."),
    field("brand.keys.test", List(PREFIX, 0, Some(16)), "What test keys begin with."),

    field("source", Section, "Where events come from.").required(),
    field("source.kafka", Section, "The Kafka cluster.").required(),
    field("source.kafka.brokers", Shape(BROKERS), "Brokers to start from: host:port, several with commas.").required(),
    field("source.kafka.group", Text, "Consumer group. All instances of one keywatch share it.").or("keywatch"),
    field("source.kafka.instance_id", Text, "A name of this instance's own: after a restart it gets its partitions back without a rebalance."),
    field("source.kafka.topics", Section, "The topics' names."),
    field("source.kafka.topics.auth_events", Shape(TOPIC), "Decisions with a known merchant.").or("auth-events"),
    field("source.kafka.topics.auth_refused", Shape(TOPIC), "Decisions without one."),
    field("source.kafka.topics.key_events", Shape(TOPIC), "What is known of keys and merchants; null = no such topic.").or("key-events"),
    field("source.kafka.security", Section, "TLS and authentication."),
    field("source.kafka.security.tls", Flag, "TLS to the brokers.").or("false"),
    field("source.kafka.security.ca_file", Text, "PEM file of the authorities to trust; the system's where absent."),
    field("source.kafka.security.certificate_file", Text, "PEM client certificate, with key_file."),
    field("source.kafka.security.key_file", Text, "PEM key of the client certificate."),
    field("source.kafka.security.sasl_mechanism", Word(MECHANISMS), "How to log in. All but OAUTHBEARER need a username and a password."),
    field("source.kafka.security.username", Text, "User."),
    field("source.kafka.security.password", Text, "Password. Better from the environment or a file."),
    field("source.kafka.security.password_file", Text, "File of the password."),
    field("source.kafka.properties", Properties, "Any other property of librdkafka, as it is."),
    field("source.format", Word(FORMATS), "The messages' form: keywatch's own, or a gateway's log.").or("native"),
    field("source.mapping", Section, "Where each field lies in a form of one's own. Instead of format."),
    field("source.mapping.records", Shape(POINTER), "JSON pointer of the array of events in a message that holds several."),
    field("source.mapping.fields", Places, "Fields of an event, each with a JSON pointer, several of them, a value, or a pointer and words.").required(),
    field("source.trusted_proxies", List(NETWORK, 0, Some(1_000)), "Proxies in front of the gateway: where one of them calls, forwarded_for says for whom."),
    field("source.fingerprint_secret", Text, "Turns a raw API key into a fingerprint. The same on every instance; random for each process where absent."),
    field("source.fingerprint_secret_file", Text, "File of that secret."),

    field("geoip", Section, "Where addresses are looked up."),
    field("geoip.databases", List(ANY, 0, Some(16)), "MMDB files, read into memory. What the first does not know, the next may."),
    field("geoip.reload_every", Duration(SECOND, DAY), "How often to look whether one was replaced.").or("1m"),

    field("rules", Section, "The rules."),
    field("rules.directory", Text, "Folder of *.yml files.").or("rules"),
    field("rules.watch", Flag, "Adopt a change of the files without being asked. false waits for SIGHUP.").or("true"),
    field("rules.look_every", Duration(100, HOUR), "How often to look whether files have changed.").or("2s"),
    field("rules.settle", Duration(100, 10 * MINUTE), "How long nothing must have changed before a change is read.").or("5s"),

    field("store", Section, "Where state is kept."),
    field("store.url", Shape(STORE), "sqlite:PATH for one instance, postgres://USER:PASSWORD@HOST:PORT/DATABASE for several.").or("sqlite:keywatch.db"),
    field("store.url_file", Text, "File of the address."),
    field("store.max_connections", Count(1, 1_000), "Connections to PostgreSQL.").or("8"),
    field("store.migrate", Flag, "Migrate at start. false refuses to start while migrations are pending.").or("true"),

    field("limits", Section, "Bounds of memory and work."),
    field("limits.lateness", Duration(SECOND, 6 * HOUR), "How far out of order events may come.").or("5m"),
    field("limits.dedup_ids", Count(0, 10_000_000), "Event IDs remembered in each partition to drop duplicates.").or("100000"),
    field("limits.resident_subjects", Count(100, 100_000_000), "Keys and merchants that an instance keeps in memory.").or("1000000"),
    field("limits.source_subjects", Count(10, 10_000_000), "Source networks remembered in each partition.").or("10000"),
    field("limits.fact_keys", Count(100, 100_000_000), "Keys whose facts are known.").or("2000000"),
    field("limits.parked_events", Count(1, 1_000_000), "Events dated too far ahead that each partition holds.").or("1000"),
    field("limits.dead_letters", Count(0, 1_000_000), "Rejected messages kept, redacted.").or("1000"),
    field("limits.slice_rows", Count(1, 100_000), "Rows that a checkpoint writes in one transaction.").or("2000"),
    field("limits.checkpoint_every", Duration(100, 10 * MINUTE), "Time between two checkpoints of a partition.").or("30s"),
    field("limits.mails_per_hour", Count(1, 10_000), "Mails an hour to one receiver of one merchant.").or("20"),
    field("limits.keep", Duration(35 * DAY, 3_650 * DAY), "How long ended alerts, finished notices and daily usage are kept.").or("400d"),

    field("alerts", Section, "How alerts become notices."),
    field("alerts.group_wait", Duration(0, HOUR), "How long milder alerts of one merchant gather before they are told.").or("30s"),
    field("alerts.max_age", Duration(MINUTE, 30 * DAY), "Alerts raised later than this after the event are stored and shown, not mailed.").or("1h"),
    field("alerts.mail_old", Flag, "Mail also what happened before the first start. For tests and drills.").or("false"),

    field("mail", Section, "How mail is sent."),
    field("mail.from", Shape(ADDRESS), "Sender. Required with smtp.").or("keywatch@localhost"),
    field("mail.reply_to", Shape(ADDRESS), "Where answers go; brand.support where absent.").or("support@caibo.digital"),
    field("mail.support", List(ADDRESS, 1, None), "Who gets what is for support. Required with smtp."),
    field("mail.operations", List(ADDRESS, 1, None), "Who gets what is for operations."),
    field("mail.give_up_after", Duration(MINUTE, 30 * DAY), "A delivery that fails for this long is given up.").or("1d"),
    field("mail.transport", Section, "One of none, files, smtp."),
    field("mail.transport.none", Section, "No mail at all."),
    field("mail.transport.files", Section, ".eml files in a folder."),
    field("mail.transport.files.directory", Text, "The folder; made where missing.").required(),
    field("mail.transport.smtp", Section, "A mail server."),
    field("mail.transport.smtp.host", Shape(HOST), "Name of the server, checked against its certificate.").required(),
    field("mail.transport.smtp.port", Count(1, 65_535), "Port. 587 with starttls, 465 with implicit, 25 with none."),
    field("mail.transport.smtp.tls", Word(&["starttls", "implicit", "none"]), "How the connection is protected.").or("starttls"),
    field("mail.transport.smtp.ca_file", Text, "PEM file of the authorities to trust; the system's where absent."),
    field("mail.transport.smtp.username", Text, "User, with a password."),
    field("mail.transport.smtp.password", Text, "Password. Better from the environment or a file."),
    field("mail.transport.smtp.password_file", Text, "File of the password."),
    field("mail.transport.smtp.timeout", Duration(SECOND, 10 * MINUTE), "For one delivery.").or("30s"),

    field("http", Section, "Metrics and health."),
    field("http.listen", Shape(LISTEN), "Address and port.").or("127.0.0.1:9464"),

    field("log", Section, "Logs."),
    field("log.level", Shape(LEVEL), "error, warn, info, debug, trace, off, or a filter such as info,rdkafka=warn.").or("info"),
    field("log.format", Word(&["json", "text"]), "JSON lines, or text for a terminal.").or("json"),
];
