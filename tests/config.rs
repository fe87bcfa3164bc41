//! The configuration: what a bad file is told, that the example loads, and that the reference is complete.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use keywatch::config::load::{load, parse, shown_properties};
use keywatch::config::{Config, Limits, MailTransport, SmtpTls};
use keywatch::yaml::{Problem, render};
use proptest::prelude::*;

/// What no message may ever contain.
const PLANTED: &str = "pl4nted";

fn env(name: &str) -> Option<String> {
    match name {
        "KAFKA_BROKERS" => Some("kafka:9092".into()),
        "KAFKA_PASSWORD" | "SMTP_PASSWORD" | "FINGERPRINT_SECRET" => Some(format!("{PLANTED}-{name}")),
        "PORT" => Some("2525".into()),
        _ => None,
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    match path.to_string_lossy().replace('\\', "/").as_str() {
        "conf/secrets/good" => Ok(format!("{PLANTED}-file\n")),
        "conf/secrets/two-lines" => Ok("a\n\n".into()),
        "conf/secrets/url" => Ok("postgres://me:pl4nted@db/keywatch\r\n".into()),
        "conf/secrets/empty" => Ok("\n".into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    parse("conf/keywatch.yml", text, &env, &read_file)
}

/// Loads a text that is right but for its brokers, which it lacks.
fn good(text: &str) -> Config {
    let text = format!("source:\n  kafka:\n    brokers: k:9092\n{text}");
    read(&text).unwrap_or_else(|problems| panic!("{text}\n{}", render(&problems)))
}

fn bad_files() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/data/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .collect();
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_defect_has_its_message() {
    let files = bad_files();
    assert!(20 <= files.len());
    for (name, text) in files {
        let Err(problems) = parse(&format!("conf/{name}.yml"), &text, &env, &read_file) else {
            panic!("{name} has no problem");
        };
        let shown = render(&problems);
        assert!(!shown.contains(PLANTED), "{name} shows a secret:\n{shown}");
        assert!(problems.is_sorted_by_key(|p| (p.line, p.column)), "{name}");
        for problem in &problems {
            assert!(!problem.message.ends_with('.') && !problem.message.starts_with(char::is_uppercase), "{problem}");
        }
        insta::with_settings!({snapshot_path => "data/config", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn the_least_configuration_has_sensible_defaults() {
    let config = good("");
    assert_eq!(config.source.kafka.group, "keywatch");
    assert_eq!(config.source.kafka.auth_events, "auth-events");
    assert_eq!(config.source.kafka.auth_refused, None);
    assert_eq!(config.source.kafka.key_events.as_deref(), Some("key-events"));
    assert_eq!(config.rules.directory, Path::new("conf/rules"));
    assert_eq!(config.store.url.reveal(), "sqlite:conf/keywatch.db");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.mail.from, "keywatch@localhost");
    assert_eq!(config.mail.reply_to, "support@caibo.digital");
    assert!(matches!(config.mail.transport, MailTransport::None));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert!(config.log.json && config.log.level == "info");
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let config = good(
        "    instance_id: $${HOST}-${PORT}
    topics: {key_events: null}
    security: {sasl_mechanism: PLAIN, username: '007', password: '${KAFKA_PASSWORD}'}
    properties: {ssl.key.password: pl4nted, fetch.min.bytes: 1}
  fingerprint_secret_file: secrets/two-lines
store: {url_file: secrets/url}
mail:
  from: k@example.com
  support: [s@example.com]
  transport: {smtp: {host: '[::1]', port: '${PORT}', tls: none, username: u, password_file: secrets/good}}
",
    );
    let kafka = &config.source.kafka;
    assert_eq!(kafka.instance_id.as_deref(), Some("${HOST}-2525"));
    assert_eq!(kafka.key_events, None);
    assert_eq!(kafka.security.username.as_deref(), Some("007"));
    assert_eq!(kafka.security.password.as_ref().unwrap().reveal(), "pl4nted-KAFKA_PASSWORD");
    assert_eq!(shown_properties(&kafka.properties)["ssl.key.password"], "***");
    assert_eq!(config.source.fingerprint_secret.as_ref().unwrap().reveal(), "a\n");
    assert_eq!(config.store.url.reveal(), "postgres://me:pl4nted@db/keywatch");
    let MailTransport::Smtp(smtp) = &config.mail.transport else { panic!("{:?}", config.mail.transport) };
    assert_eq!((smtp.port, smtp.tls), (2525, SmtpTls::None));
    assert_eq!(smtp.password.as_ref().unwrap().reveal(), "pl4nted-file");
}

#[test]
fn secrets_of_the_environment_are_not_shown_in_the_wrong_place() {
    for text in [
        "http: {listen: '${KAFKA_PASSWORD}'}",
        "log: {level: '${KAFKA_PASSWORD}', format: '${KAFKA_PASSWORD}'}",
        "limits: {lateness: '${KAFKA_PASSWORD}', slice_rows: '${KAFKA_PASSWORD}'}",
        "store: {url: '${KAFKA_PASSWORD}', migrate: '${KAFKA_PASSWORD}'}",
        "mail: {from: '${KAFKA_PASSWORD}', support: ['${KAFKA_PASSWORD}'], operations: '${KAFKA_PASSWORD}'}",
    ] {
        let problems = read(text).unwrap_err();
        assert!(2 <= problems.len(), "{text}");
        assert!(!render(&problems).contains(PLANTED), "{}", render(&problems));
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    for (url, want) in [
        ("sqlite:keywatch.db", "sqlite:conf/keywatch.db"),
        ("sqlite://keywatch.db?mode=rwc", "sqlite:conf/keywatch.db?mode=rwc"),
        ("sqlite:///var/keywatch.db", "sqlite:/var/keywatch.db"),
        ("sqlite:/var/keywatch.db", "sqlite:/var/keywatch.db"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("postgres://me@db:5432/keywatch", "postgres://me@db:5432/keywatch"),
    ] {
        let config = good(&format!("store: {{url: '{url}'}}\nmail: {{transport: {{files: {{directory: out}}}}}}"));
        assert_eq!(config.store.url.reveal(), want);
        let MailTransport::Files { directory } = config.mail.transport else { panic!("not files") };
        assert_eq!(directory, Path::new("conf/out"));
    }
    let beside = parse("keywatch.yml", "source: {kafka: {brokers: 'k:9092'}}", &env, &read_file).unwrap();
    assert_eq!(beside.rules.directory, Path::new("rules"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&dir.path().join("none.yml"), &env).unwrap_err();
    assert!(
        missing[0].to_string().contains("none.yml: cannot read the file: there is no such file\n\nhint: --config FILE"),
        "{}",
        missing[0]
    );
    std::fs::write(dir.path().join("binary.yml"), [0xff, 0xfe, 0x00]).unwrap();
    let binary = load(&dir.path().join("binary.yml"), &env).unwrap_err();
    assert!(binary[0].message.contains("not UTF-8"), "{}", binary[0]);
    std::fs::write(dir.path().join("large.yml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let large = load(&dir.path().join("large.yml"), &env).unwrap_err();
    assert!(large[0].message.contains("larger than 1024 KiB"), "{}", large[0]);
}

fn example() -> String {
    std::fs::read_to_string("keywatch.example.yml").unwrap()
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let config = load(Path::new("keywatch.example.yml"), &|_| None).unwrap_or_else(|p| panic!("{}", render(&p)));
    assert_eq!(config.limits, Limits::default());
    let least = good("");
    let text = |config: &Config| {
        format!("{:?} {:?} {:?} {:?}", config.alerts, config.http, config.log, config.mail.give_up_after)
    };
    assert_eq!(text(&config), text(&least));
    assert_eq!(config.source.kafka.group, least.source.kafka.group);
    assert_eq!(config.store.max_connections, least.store.max_connections);
}

/// With its optional fields switched on, but for those that exclude others.
#[test]
fn the_examples_optional_fields_are_right() {
    let text: String = example()
        .lines()
        .filter(|line| {
            !["_file: secrets/", "none: {}", "#files:", "#directory:"].iter().any(|other| line.contains(other))
        })
        .map(|line| {
            let line = match line.trim_start().strip_prefix('#') {
                Some(field) if is_field(field) => line.replacen('#', "", 1),
                _ => line.to_owned(),
            };
            line.replace("@localhost", "@example.com") + "\n"
        })
        .collect();
    // A mapping stands instead of a format.
    let text = text.replace("tls: false", "tls: true").replace("  format: native\n", "");
    let config = read(&text).unwrap_or_else(|problems| panic!("{text}\n{}", render(&problems)));
    assert!(config.source.kafka.security.password.is_some() && config.source.kafka.auth_refused.is_some());
    let MailTransport::Smtp(smtp) = config.mail.transport else { panic!("not smtp") };
    assert_eq!((smtp.port, smtp.timeout, smtp.tls), (587, 30_000, SmtpTls::Starttls));
}

fn is_field(text: &str) -> bool {
    let name = text.bytes().take_while(|b| b.is_ascii_lowercase() || *b == b'_').count();
    0 < name && text[name..].starts_with(':')
}

/// Full names of the example's fields, those with a `#` before them too, without the groups.
fn example_fields() -> BTreeSet<String> {
    let mut groups: Vec<(usize, String)> = Vec::new();
    let mut fields = BTreeSet::new();
    for line in example().lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim_start();
        let text = text.strip_prefix('#').unwrap_or(text);
        if !is_field(text) {
            continue;
        }
        let (name, value) = text.split_once(':').unwrap();
        groups.retain(|(at, _)| *at < indent);
        let full: Vec<&str> = groups.iter().map(|(_, group)| group.as_str()).chain([name]).collect();
        let full = full.join(".");
        if value.trim().is_empty() && full != "source.kafka.properties" {
            groups.push((indent, name.to_owned()));
        } else {
            fields.insert(full);
        }
    }
    fields
}

/// Rows of the reference: field, default.
fn reference_rows() -> Vec<(String, String)> {
    let text = std::fs::read_to_string("docs/reference/config.md").unwrap();
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            (cells[1].to_owned(), cells[3].to_owned())
        })
        .collect()
}

#[test]
fn example_reference_and_loader_know_the_same_fields() {
    let reference: BTreeSet<String> = reference_rows().into_iter().map(|(field, _)| field).collect();
    assert_eq!(example_fields(), reference);

    let mut groups: BTreeSet<&str> = BTreeSet::new();
    for field in &reference {
        groups.extend(field.match_indices('.').map(|(at, _)| &field[..at]));
    }
    for group in groups {
        let depth = group.split('.').count();
        let names: Vec<&str> = group.split('.').collect();
        let mut text = String::new();
        for (i, name) in names.iter().enumerate() {
            text.push_str(&format!("{}{name}:\n", "  ".repeat(i)));
        }
        text.push_str(&format!("{}qqqqqqqqqqqqqqqqqqqqqqqq: 1\n", "  ".repeat(depth)));
        let problems = read(&text).unwrap_err();
        let unknown = problems.iter().find(|p| p.message.contains("qqqq")).unwrap();
        let hint = unknown.hint.as_deref().unwrap();
        let known: BTreeSet<&str> = hint.split('`').skip(1).step_by(2).collect();
        let prefix = format!("{group}.");
        let documented: BTreeSet<&str> =
            reference.iter().filter_map(|f| f.strip_prefix(&prefix)).map(|f| f.split('.').next().unwrap()).collect();
        assert_eq!(known, documented, "{group}");
    }
}

#[test]
fn the_references_defaults_are_the_examples() {
    let example = example();
    for (field, default) in reference_rows() {
        if !["limits.", "alerts.", "http.", "log.", "store.m"].iter().any(|group| field.starts_with(group)) {
            continue;
        }
        let name = field.rsplit('.').next().unwrap();
        assert!(example.contains(&format!("  {name}: {default}\n")), "{field}: {default}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn nearly_yaml_does_not_make_it_panic(text in "(source|kafka|password|limits|a|-|:|,|\\[|\\]|\\{|\\}|\"|'|\\||>|&|\\*|!|#|%|\\?|\\$\\{|\\}|@|`|~| |  |\n|\n  |\t|\r|---|\\.\\.\\.|\u{feff}|é|\u{0}){0,60}") {
        if let Err(problems) = read(&text) {
            prop_assert!(!problems.is_empty());
            let _ = render(&problems);
        }
    }

    #[test]
    fn no_position_of_a_broken_example_shows_its_secret(cut in 0usize..3_000, what in "[\\[\\]{}:'\"\t\n&*-]") {
        let mut text = example().replace("#password: ${KAFKA_PASSWORD}", "password: pl4nted").replace("sqlite:keywatch.db", "postgres://me:pl4nted@db/x");
        let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert_str(at, &what);
        if let Err(problems) = read(&text) {
            prop_assert!(!render(&problems).contains(PLANTED), "{}", render(&problems));
        }
    }
}
