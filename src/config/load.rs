//! Reads the configuration file. Every problem is found in one go.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{
    AlertsConfig, Config, HttpConfig, KafkaConfig, KafkaSecurity, Limits, LogConfig, MailConfig, MailTransport,
    RulesConfig, Secret, SmtpConfig, SmtpTls, SourceConfig, StoreConfig,
};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};
use crate::yaml::{self, MapReader, Node, Position, Problem, Problems, Value, is_secret_name, known_words};

/// Reads the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
/// Reads a file that the configuration names.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The largest file that a `…_file` field may name.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Loads a configuration file.
pub fn load(path: &Path, env: Env<'_>) -> Result<Config, Vec<Problem>> {
    let name = path.display().to_string();
    let text = match read_bounded(path, yaml::MAX_BYTES as u64) {
        Ok(text) => text,
        Err(error) => return Err(vec![Problem::whole(name, format!("cannot read the file: {}", reason(&error)))]),
    };
    parse(&name, &text, env, &|path| read_bounded(path, MAX_SECRET_BYTES))
}

/// Reads a configuration from its text. Relative paths are relative to the folder of `file_name`.
pub fn parse(file_name: &str, text: &str, env: Env<'_>, read_file: ReadFile<'_>) -> Result<Config, Vec<Problem>> {
    let problems = Problems::new(file_name, text);
    let config = yaml::parse(text, &problems).and_then(|mut root| {
        substitute(&mut root, env, &problems);
        let base = Path::new(file_name).parent().unwrap_or(Path::new(""));
        read(MapReader::new(&problems, &root), &Files { base, read: read_file })
    });
    let problems = problems.into_sorted();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

/// Reads at most `max_bytes`, so that a device or a wrong path cannot fill the memory.
pub(crate) fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(max_bytes + 1).read_to_string(&mut text)?;
    match text.len() as u64 <= max_bytes {
        true => Ok(text),
        false => Err(io::Error::other(format!("it is larger than {} KiB", max_bytes / 1024))),
    }
}

/// Why a file cannot be read, without the operating system's numbers.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => error.to_string(),
    }
}

/// Puts values of the environment in the place of `${NAME}`. `$${` stands for `${`.
fn substitute(node: &mut Node, env: Env<'_>, problems: &Problems) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| substitute(item, env, problems)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| substitute(&mut entry.value, env, problems)),
        Value::Scalar(scalar) => {
            let mut text = String::new();
            let mut rest = scalar.raw.as_str();
            while let Some(dollar) = rest.find("${") {
                if rest[..dollar].ends_with('$') {
                    text.push_str(&rest[..dollar - 1]);
                    text.push_str("${");
                    rest = &rest[dollar + 2..];
                    continue;
                }
                text.push_str(&rest[..dollar]);
                rest = &rest[dollar + 2..];
                let Some((name, after)) = rest.split_once('}').filter(|(name, _)| is_variable(name)) else {
                    problems.add_with_hint(
                        node.at,
                        "after `${` comes the name of an environment variable and `}`",
                        "write `$${` where `${` itself is meant",
                    );
                    scalar.is_broken = true;
                    return;
                };
                match env(name) {
                    Some(value) => text.push_str(&value),
                    None => {
                        problems.add(node.at, format!("the environment variable `{name}` is not set"));
                        scalar.is_broken = true;
                    }
                }
                rest = after;
            }
            text.push_str(rest);
            scalar.text = text;
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The files around the configuration.
struct Files<'a> {
    base: &'a Path,
    read: ReadFile<'a>,
}

impl Files<'_> {
    fn path(&self, map: &mut MapReader<'_>, name: &'static str) -> Option<PathBuf> {
        map.string(name).map(|path| self.base.join(path))
    }

    /// A secret that is written in one field or lies in the file that another one names.
    fn secret(&self, map: &mut MapReader<'_>, name: &'static str, file_name: &'static str) -> Option<Secret> {
        if map.has(name) && map.has(file_name) {
            let message = format!("both `{name}` and `{file_name}` are given: keep one of them");
            map.problems().add(map.key_at(file_name), message);
        }
        let written = map.string(name);
        let Some(path) = self.path(map, file_name) else { return written.map(Secret::new) };
        let shown = path.display();
        match (self.read)(&path) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    map.problems().add(map.at(file_name), format!("the file `{shown}` is empty"));
                    return None;
                }
                Some(Secret::new(text))
            }
            Err(error) => {
                map.problems().add(map.at(file_name), format!("cannot read `{shown}`: {}", reason(&error)));
                None
            }
        }
    }
}

/// `None` only where a problem was noted.
fn read(mut top: MapReader<'_>, files: &Files<'_>) -> Option<Config> {
    let source = read_source(top.map("source"), files);
    let rules = read_rules(top.map("rules"), files);
    let store = read_store(top.map("store"), files);
    let limits = read_limits(top.map("limits"));
    let alerts = read_alerts(top.map("alerts"));
    let mail = read_mail(top.map("mail"), files);
    let http = read_http(top.map("http"));
    let log = read_log(top.map("log"));
    top.finish();
    Some(Config { source: source?, rules, store: store?, limits, alerts, mail: mail?, http: http?, log })
}

fn read_source(mut map: MapReader<'_>, files: &Files<'_>) -> Option<SourceConfig> {
    let kafka = read_kafka(map.map("kafka"), files);
    let fingerprint_secret = files.secret(&mut map, "fingerprint_secret", "fingerprint_secret_file");
    map.finish();
    Some(SourceConfig { kafka: kafka?, fingerprint_secret })
}

fn read_kafka(mut map: MapReader<'_>, files: &Files<'_>) -> Option<KafkaConfig> {
    let brokers = map.required_string("brokers");
    if let Some(brokers) = &brokers {
        check_brokers(&map, brokers);
    }
    let group = map.string("group").unwrap_or_else(|| "keywatch".into());
    let instance_id = map.string("instance_id");

    let mut topics = map.map("topics");
    let auth_events = read_topic(&mut topics, "auth_events").unwrap_or_else(|| "auth-events".into());
    let auth_refused = read_topic(&mut topics, "auth_refused");
    let key_events = match topics.is_null("key_events") {
        true => None,
        false => Some(read_topic(&mut topics, "key_events").unwrap_or_else(|| "key-events".into())),
    };
    for (name, topic) in [("auth_refused", &auth_refused), ("key_events", &key_events)] {
        if topic.as_ref() == Some(&auth_events) || (name == "key_events" && topic.is_some() && *topic == auth_refused) {
            topics.problems().add(topics.at(name), "another topic of keywatch has this name already");
        }
    }
    topics.finish();

    let security = read_security(map.map("security"), files);
    let properties = read_properties(map.map("properties"));
    map.finish();
    Some(KafkaConfig {
        brokers: brokers?,
        group,
        instance_id,
        auth_events,
        auth_refused,
        key_events,
        security,
        properties,
    })
}

fn check_brokers(map: &MapReader<'_>, brokers: &str) {
    for broker in brokers.split(',').map(str::trim) {
        let is_right = broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| 0 < port));
        if !is_right {
            map.problems().add_with_hint(
                map.at("brokers"),
                "expected `host:port`, several with commas",
                "such as `kafka-1:9092,kafka-2:9092`",
            );
            return;
        }
    }
}

fn is_host(host: &str) -> bool {
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
    is_v6 || (!host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))
}

fn read_topic(map: &mut MapReader<'_>, name: &'static str) -> Option<String> {
    let topic = map.string(name)?;
    let is_right =
        topic.len() <= 249 && topic.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !is_right {
        map.problems().add(map.at(name), "the name of a topic has only letters, digits, `.`, `_` and `-`, at most 249");
    }
    Some(topic)
}

const MECHANISMS: [(&str, &str); 4] = [
    ("PLAIN", "PLAIN"),
    ("SCRAM-SHA-256", "SCRAM-SHA-256"),
    ("SCRAM-SHA-512", "SCRAM-SHA-512"),
    ("OAUTHBEARER", "OAUTHBEARER"),
];

fn read_security(mut map: MapReader<'_>, files: &Files<'_>) -> KafkaSecurity {
    let security = KafkaSecurity {
        tls: map.boolean("tls").unwrap_or(false),
        ca_file: files.path(&mut map, "ca_file"),
        certificate_file: files.path(&mut map, "certificate_file"),
        key_file: files.path(&mut map, "key_file"),
        sasl_mechanism: map.word("sasl_mechanism", &MECHANISMS).map(str::to_owned),
        username: map.string("username"),
        password: files.secret(&mut map, "password", "password_file"),
    };
    let problems = map.problems();
    needs(&map, "certificate_file", "key_file");
    needs(&map, "key_file", "certificate_file");
    if !security.tls {
        for name in ["ca_file", "certificate_file", "key_file"].into_iter().filter(|name| map.has(name)) {
            problems.add_with_hint(map.key_at(name), format!("`{name}` has no effect without TLS"), "set `tls: true`");
        }
    }
    let has_password = map.has("password") || map.has("password_file");
    if !map.has("sasl_mechanism") && (map.has("username") || has_password) {
        let name = ["username", "password", "password_file"].into_iter().find(|name| map.has(name)).unwrap_or_default();
        problems.add_with_hint(
            map.key_at(name),
            format!("`{name}` has no effect without `sasl_mechanism`"),
            format!("add `sasl_mechanism`, one of {}", known_words(MECHANISMS.map(|(word, _)| word))),
        );
    }
    if let Some(mechanism) = security.sasl_mechanism.as_deref().filter(|mechanism| *mechanism != "OAUTHBEARER") {
        if !map.has("username") {
            problems.add(map.at("sasl_mechanism"), format!("`{mechanism}` needs `username`"));
        }
        if !has_password {
            problems.add(map.at("sasl_mechanism"), format!("`{mechanism}` needs `password` or `password_file`"));
        }
    }
    map.finish();
    security
}

/// Reports a field that makes sense only with another one.
fn needs(map: &MapReader<'_>, name: &str, other: &str) {
    if map.has(name) && !map.has(other) {
        map.problems().add(map.key_at(name), format!("`{name}` needs `{other}`"));
    }
}

/// Properties that keywatch sets itself, and what to use instead.
const OWNED_PROPERTIES: [(&str, &str); 18] = [
    ("bootstrap.servers", "use `source.kafka.brokers`"),
    ("metadata.broker.list", "use `source.kafka.brokers`"),
    ("group.id", "use `source.kafka.group`"),
    ("group.instance.id", "use `source.kafka.instance_id`"),
    ("enable.auto.commit", "remove it: keywatch keeps its positions in the store"),
    ("enable.auto.offset.store", "remove it: keywatch keeps its positions in the store"),
    ("auto.offset.reset", "remove it: a first start reads from the earliest event"),
    ("partition.assignment.strategy", "remove it: what an instance remembers goes with its partitions"),
    ("security.protocol", "use `source.kafka.security.tls` and `source.kafka.security.sasl_mechanism`"),
    ("sasl.mechanism", "use `source.kafka.security.sasl_mechanism`"),
    ("sasl.mechanisms", "use `source.kafka.security.sasl_mechanism`"),
    ("sasl.username", "use `source.kafka.security.username`"),
    ("sasl.password", "use `source.kafka.security.password` or `password_file`"),
    ("ssl.ca.location", "use `source.kafka.security.ca_file`"),
    ("ssl.certificate.location", "use `source.kafka.security.certificate_file`"),
    ("ssl.key.location", "use `source.kafka.security.key_file`"),
    ("enable.partition.eof", "remove it: keywatch needs to know where a partition ends"),
    ("client.id", "use `source.kafka.instance_id`"),
];

fn read_properties(map: MapReader<'_>) -> BTreeMap<String, String> {
    let problems = map.problems();
    let mut properties = BTreeMap::new();
    for entry in map.free_entries() {
        if let Some((name, instead)) = OWNED_PROPERTIES.iter().find(|(name, _)| *name == entry.key) {
            problems.add_with_hint(entry.key_at, format!("keywatch sets the property `{name}` itself"), *instead);
            continue;
        }
        let at = entry.value.at;
        match &entry.value.value {
            Value::Scalar(scalar) if !scalar.is_null() => {
                properties.insert(entry.key.clone(), scalar.text.clone());
            }
            _ => problems.add(at, "a property is a single text, number or word"),
        }
    }
    properties
}

fn read_rules(mut map: MapReader<'_>, files: &Files<'_>) -> RulesConfig {
    let directory = files.path(&mut map, "directory").unwrap_or_else(|| files.base.join("rules"));
    map.finish();
    RulesConfig { directory }
}

fn read_store(mut map: MapReader<'_>, files: &Files<'_>) -> Option<StoreConfig> {
    let url = files.secret(&mut map, "url", "url_file");
    let url_at = map.at(if map.has("url_file") { "url_file" } else { "url" });
    let url = store_url(url.as_ref().map_or("sqlite:keywatch.db", Secret::reveal), files.base);
    if url.is_none() {
        map.problems().add_with_hint(
            url_at,
            "the store's address starts with `sqlite:` or `postgres://`",
            "such as `sqlite:keywatch.db` or `postgres://USER@HOST:PORT/DATABASE`",
        );
    }
    let max_connections = map.count("max_connections", 1..=1_000).unwrap_or(8) as u32;
    let migrate = map.boolean("migrate").unwrap_or(true);
    map.finish();
    Some(StoreConfig { url: url?, max_connections, migrate })
}

/// The address with a path of SQLite made relative to the configuration's folder.
fn store_url(url: &str, base: &Path) -> Option<Secret> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Some(Secret::new(url));
    }
    let path = url.strip_prefix("sqlite:")?;
    if path == ":memory:" {
        return Some(Secret::new(url));
    }
    let path = path.strip_prefix("//").unwrap_or(path);
    let (path, options) = path.split_once('?').map_or((path, None), |(path, options)| (path, Some(options)));
    if path.is_empty() {
        return None;
    }
    let path = base.join(path).display().to_string();
    Some(Secret::new(match options {
        Some(options) => format!("sqlite:{path}?{options}"),
        None => format!("sqlite:{path}"),
    }))
}

fn read_limits(mut map: MapReader<'_>) -> Limits {
    let default = Limits::default();
    fn size(map: &mut MapReader<'_>, name: &'static str, range: RangeInclusive<u64>, default: usize) -> usize {
        map.count(name, range).map_or(default, |n| n as usize)
    }
    let limits = Limits {
        lateness: map.duration("lateness", SECOND..=6 * HOUR).unwrap_or(default.lateness),
        dedup_ids: size(&mut map, "dedup_ids", 0..=10_000_000, default.dedup_ids),
        resident_subjects: size(&mut map, "resident_subjects", 100..=100_000_000, default.resident_subjects),
        source_subjects: size(&mut map, "source_subjects", 10..=10_000_000, default.source_subjects),
        fact_keys: size(&mut map, "fact_keys", 100..=100_000_000, default.fact_keys),
        parked_events: size(&mut map, "parked_events", 1..=1_000_000, default.parked_events),
        dead_letters: size(&mut map, "dead_letters", 0..=1_000_000, default.dead_letters),
        slice_rows: size(&mut map, "slice_rows", 1..=100_000, default.slice_rows),
        checkpoint_every: map.duration("checkpoint_every", 100..=10 * MINUTE).unwrap_or(default.checkpoint_every),
        mails_per_hour: map.count("mails_per_hour", 1..=10_000).map_or(default.mails_per_hour, |n| n as u32),
    };
    map.finish();
    limits
}

fn read_alerts(mut map: MapReader<'_>) -> AlertsConfig {
    let alerts = AlertsConfig {
        group_wait: map.duration("group_wait", 0..=HOUR).unwrap_or(30 * SECOND),
        max_age: map.duration("max_age", MINUTE..=30 * DAY).unwrap_or(HOUR),
        mail_old: map.boolean("mail_old").unwrap_or(false),
    };
    map.finish();
    alerts
}

/// How long a failing delivery may be tried.
const GIVE_UP: RangeInclusive<Millis> = MINUTE..=30 * DAY;

fn read_mail(mut map: MapReader<'_>, files: &Files<'_>) -> Option<MailConfig> {
    let from = read_address(&mut map, "from");
    let reply_to = read_address(&mut map, "reply_to");
    let support = read_addresses(&mut map, "support");
    let operations = read_addresses(&mut map, "operations");
    let give_up_after = map.duration("give_up_after", GIVE_UP).unwrap_or(DAY);
    let transport_at = map.key_at("transport");
    let transport = read_transport(map.map("transport"), transport_at, files);
    if let Some(MailTransport::Smtp(_)) = transport {
        if !map.has("support") {
            map.problems().add_with_hint(
                transport_at,
                "mail is sent, but `mail.support` names nobody",
                "add `support: [support@…]`: somebody must get what merchants do not",
            );
        }
        if !map.has("from") {
            map.problems().add(transport_at, "mail is sent, but `mail.from` does not say from whom");
        }
    }
    map.finish();
    Some(MailConfig {
        from: from.unwrap_or_else(|| "keywatch@localhost".into()),
        reply_to: reply_to.unwrap_or_else(|| "support@caibo.digital".into()),
        support,
        operations,
        transport: transport?,
        give_up_after,
    })
}

fn read_address(map: &mut MapReader<'_>, name: &'static str) -> Option<String> {
    let address = map.string(name)?;
    check_address(map, &address, map.at(name));
    Some(address)
}

fn read_addresses(map: &mut MapReader<'_>, name: &'static str) -> Vec<String> {
    let Some(addresses) = map.strings(name) else { return Vec::new() };
    for (address, at) in &addresses {
        check_address(map, address, *at);
    }
    if addresses.is_empty() {
        map.problems().add(map.key_at(name), format!("`{name}` is an empty list: name somebody, or leave it out"));
    }
    addresses.into_iter().map(|(address, _)| address).collect()
}

fn check_address(map: &MapReader<'_>, address: &str, at: Position) {
    let bare = match address.split_once('<') {
        Some((name, rest)) if !name.contains(char::is_control) => rest.strip_suffix('>').unwrap_or(""),
        _ => address,
    };
    let is_right = bare.len() <= 254
        && !bare.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'))
        && bare
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    if !is_right {
        map.problems().add(at, "expected a mail address such as `support@example.com`");
    }
}

/// `None` only where a problem was noted.
fn read_transport(mut map: MapReader<'_>, at: Position, files: &Files<'_>) -> Option<MailTransport> {
    let none = map.optional_map("none").map(|none| {
        none.finish();
        MailTransport::None
    });
    let to_files = map.optional_map("files").map(|mut to_files| {
        let directory = match to_files.has("directory") {
            true => files.path(&mut to_files, "directory"),
            false => {
                to_files.require("directory");
                None
            }
        };
        to_files.finish();
        MailTransport::Files { directory: directory.unwrap_or_default() }
    });
    let smtp = map.optional_map("smtp").map(|smtp| MailTransport::Smtp(read_smtp(smtp, files)));
    let mut given = [none, to_files, smtp].into_iter().flatten();
    let transport = given.next();
    if given.next().is_some() {
        map.problems().add(at, "more than one transport is given: keep one of `none`, `files`, `smtp`");
    }
    map.finish();
    Some(transport.unwrap_or(MailTransport::None))
}

fn read_smtp(mut map: MapReader<'_>, files: &Files<'_>) -> SmtpConfig {
    let host = map.required_string("host").unwrap_or_default();
    if !host.is_empty() && !is_host(&host) && host.parse::<std::net::IpAddr>().is_err() {
        map.problems().add(map.at("host"), "expected the name of a host, without a port");
    }
    let words = [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
    let tls = map.word("tls", &words).unwrap_or(SmtpTls::Starttls);
    let default_port = match tls {
        SmtpTls::Starttls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let smtp = SmtpConfig {
        port: map.count("port", 1..=65_535).map_or(default_port, |port| port as u16),
        tls,
        ca_file: files.path(&mut map, "ca_file"),
        username: map.string("username"),
        password: files.secret(&mut map, "password", "password_file"),
        timeout: map.duration("timeout", SECOND..=10 * MINUTE).unwrap_or(30 * SECOND),
        host,
    };
    let problems = map.problems();
    let password = ["password", "password_file"].into_iter().find(|name| map.has(name));
    match (map.has("username"), password) {
        (true, None) => problems.add(map.key_at("username"), "`username` needs `password` or `password_file`"),
        (false, Some(name)) => problems.add(map.key_at(name), format!("`{name}` needs `username`")),
        _ => {}
    }
    if tls == SmtpTls::None {
        if map.has("username") && !is_loopback(&smtp.host) {
            problems.add_with_hint(
                map.at("tls"),
                "`tls: none` with a username would send the password in the clear",
                "use `starttls` or `implicit`",
            );
        }
        if map.has("ca_file") {
            problems.add(map.key_at("ca_file"), "`ca_file` has no effect with `tls: none`");
        }
    }
    map.finish();
    smtp
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn read_http(mut map: MapReader<'_>) -> Option<HttpConfig> {
    let listen = match map.string("listen") {
        None => Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
        Some(text) => text.parse().ok(),
    };
    if listen.is_none() {
        map.problems().add_with_hint(
            map.at("listen"),
            "expected an address and a port",
            "such as `127.0.0.1:9464`, or `0.0.0.0:9464` for every interface",
        );
    }
    map.finish();
    Some(HttpConfig { listen: listen? })
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn read_log(mut map: MapReader<'_>) -> LogConfig {
    let level = map.string("level").unwrap_or_else(|| "info".into());
    for directive in level.split(',') {
        let word = directive.rsplit_once('=').map_or(directive, |(_, word)| word).trim();
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            let message = format!("expected one of {}, or a filter such as `info,rdkafka=warn`", known_words(LEVELS));
            match yaml::closest(word, LEVELS) {
                Some(level) => {
                    map.problems().add_with_hint(map.at("level"), message, format!("did you mean `{level}`?"));
                }
                None => map.problems().add(map.at("level"), message),
            }
            break;
        }
    }
    let json = map.word("format", &[("json", true), ("text", false)]).unwrap_or(true);
    map.finish();
    LogConfig { level, json }
}

/// Properties without what must not be logged, for a start-up message.
pub fn shown_properties(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    properties
        .iter()
        .map(|(name, value)| (name.as_str(), if is_secret_name(name) { "***" } else { value.as_str() }))
        .collect()
}
