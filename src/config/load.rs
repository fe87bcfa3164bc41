//! Reads the configuration file. Every problem is found in one go.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{
    AlertsConfig, Config, GeoipConfig, HttpConfig, Limits, LogConfig, RulesConfig, Secret, SourceConfig, StoreConfig,
};
use crate::time::{DAY, HOUR, MINUTE, SECOND};
use crate::yaml::{self, MapReader, Node, Problem, Problems, Value, is_secret_name, known_words};
use kafka::read_kafka;
use mail::read_mail;

mod brand;
mod format;
mod kafka;
mod mail;

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
        Err(error) => {
            let problem = Problem::whole(name, format!("cannot read the file: {}", reason(&error)));
            return Err(vec![
                problem.with_hint("--config FILE names it; keywatch.example.yml has every field in its place"),
            ]);
        }
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
    let brand = brand::read_brand(top.optional_map("brand"));
    let geoip = read_geoip(top.map("geoip"), files);
    let source = read_source(top.map("source"), files);
    let rules = read_rules(top.map("rules"), files);
    let store = read_store(top.map("store"), files);
    let limits = read_limits(top.map("limits"));
    let alerts = read_alerts(top.map("alerts"));
    let mail = read_mail(top.map("mail"), files, &brand);
    let http = read_http(top.map("http"));
    let log = read_log(top.map("log"));
    top.finish();
    Some(Config { brand, geoip, source: source?, rules, store: store?, limits, alerts, mail: mail?, http: http?, log })
}

fn read_source(mut map: MapReader<'_>, files: &Files<'_>) -> Option<SourceConfig> {
    let kafka = read_kafka(map.map("kafka"), files);
    let fingerprint_secret = files.secret(&mut map, "fingerprint_secret", "fingerprint_secret_file");
    let format = format::read_format(&mut map);
    let trusted_proxies = format::read_proxies(&mut map);
    map.finish();
    Some(SourceConfig { kafka: kafka?, fingerprint_secret, format, trusted_proxies })
}

/// Databases that are looked into, at most.
const DATABASES_MAX: usize = 16;

fn read_geoip(mut map: MapReader<'_>, files: &Files<'_>) -> GeoipConfig {
    let named = map.strings("databases").unwrap_or_default();
    if DATABASES_MAX < named.len() {
        map.problems().add(map.at("databases"), format!("more than {DATABASES_MAX} databases"));
    }
    let databases = named.into_iter().map(|(path, _)| files.base.join(path)).collect();
    let reload_every = map.duration("reload_every", SECOND..=DAY).unwrap_or(MINUTE);
    map.finish();
    GeoipConfig { databases, reload_every }
}

fn read_rules(mut map: MapReader<'_>, files: &Files<'_>) -> RulesConfig {
    let directory = files.path(&mut map, "directory").unwrap_or_else(|| files.base.join("rules"));
    let watch = map.boolean("watch").unwrap_or(true);
    let look_every = map.duration("look_every", 100..=HOUR).unwrap_or(2 * SECOND);
    let settle = map.duration("settle", 100..=10 * MINUTE).unwrap_or(5 * SECOND);
    map.finish();
    RulesConfig { directory, watch, look_every, settle }
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
        keep: map.duration("keep", 35 * DAY..=3_650 * DAY).unwrap_or(default.keep),
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
