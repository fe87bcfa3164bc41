//! The schemas: that they and the loaders agree, in both directions and at every bound. Here the configuration's.

#[path = "schema/rule_tests.rs"]
mod rule_tests;
#[path = "schema/rules.rs"]
mod rules;
#[path = "schema/validate.rs"]
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keywatch::config::fields::{FIELDS, Field, Type};
use keywatch::config::load::parse;
use keywatch::config::schema::schema;
use keywatch::event::mapping;
use keywatch::time::duration_text;
use keywatch::yaml::{Problem, render};
use serde_json::{Map, Value, json};
use validate::{of_yaml, validate};

fn env(name: &str) -> Option<String> {
    match name {
        "KAFKA_BROKERS" => Some("kafka:9092".into()),
        "KAFKA_PASSWORD" | "SMTP_PASSWORD" | "FINGERPRINT_SECRET" => Some("secret".into()),
        "PORT" => Some("2525".into()),
        _ => None,
    }
}

/// What the loader says. JSON is YAML too.
fn load(text: &str) -> Result<String, Vec<Problem>> {
    let read = |_: &Path| Ok("sqlite:x.db".to_owned());
    parse("keywatch.yml", text, &env, &read).map(|config| format!("{config:?}"))
}

/// The least configuration in which a field may be set at all.
fn base(path: &str) -> Value {
    let mut base = json!({"source": {"kafka": {"brokers": "k:9092"}}});
    let security = "source.kafka.security.";
    match path.strip_prefix(security) {
        Some("ca_file") => base["source"]["kafka"]["security"] = json!({"tls": true}),
        Some("certificate_file") => base["source"]["kafka"]["security"] = json!({"tls": true, "key_file": "k"}),
        Some("key_file") => base["source"]["kafka"]["security"] = json!({"tls": true, "certificate_file": "c"}),
        Some("username" | "password") => {
            base["source"]["kafka"]["security"] = json!({"sasl_mechanism": "PLAIN", "username": "u", "password": "p"});
        }
        Some("password_file") => {
            base["source"]["kafka"]["security"] = json!({"sasl_mechanism": "PLAIN", "username": "u"});
        }
        Some("sasl_mechanism") => {
            base["source"]["kafka"]["security"] = json!({"username": "u", "password": "p"});
        }
        _ => {}
    }
    if path.starts_with("brand") {
        base["brand"] = json!({
            "name": "A", "support": "a@b.c", "key_page": "page", "keys": {"live": ["acme_live_"], "test": ["acme_test_"]},
        });
    }
    if path.starts_with("source.mapping") {
        base["source"]["mapping"] = json!({"fields": {"ts": "/ts", "outcome": "/outcome"}});
    }
    if let Some(name) = path.strip_prefix("mail.transport.smtp") {
        let mut smtp = json!({"host": "h"});
        match name {
            ".username" | ".password" => smtp = json!({"host": "h", "username": "u", "password": "p"}),
            ".password_file" => smtp = json!({"host": "h", "username": "u"}),
            _ => {}
        }
        base["mail"] = json!({"from": "a@b.c", "support": ["a@b.c"], "transport": {"smtp": smtp}});
    }
    base
}

fn with(path: &str, value: Value) -> Value {
    let mut whole = base(path);
    let mut at = &mut whole;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = value;
    whole
}

/// Both accept a value, or both refuse it.
#[track_caller]
fn both(path: &str, value: Value, is_right: bool) {
    let whole = with(path, value);
    loader(path, &whole, is_right);
    let wrong = validate(&schema(), &whole);
    assert_eq!(wrong.is_empty(), is_right, "schema: {path} {whole} {wrong:?}");
}

#[track_caller]
fn loader(path: &str, whole: &Value, is_right: bool) {
    let loaded = load(&whole.to_string());
    let problems = loaded.as_ref().err().map(|problems| render(problems)).unwrap_or_default();
    assert_eq!(loaded.is_ok(), is_right, "loader: {path} {whole}\n{problems}");
}

/// A value that a field may have.
fn sample(field: &Field) -> Option<Value> {
    Some(match field.ty {
        Type::Section | Type::Places => return None,
        Type::Text => json!("text"),
        Type::Word(words) => json!(words[0]),
        Type::Flag => json!(true),
        Type::Count(min, _) => json!(min),
        Type::Duration(min, _) => json!(duration_text(min)),
        Type::Properties => json!({"a.b": "c", "d": 1}),
        Type::Shape(_) | Type::List(..) => match field.path {
            "brand.keys.live" | "brand.keys.test" => json!(["other_"]),
            "source.kafka.brokers" => json!("k:9092, [::1]:9092"),
            "source.trusted_proxies" => json!(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]),
            "geoip.databases" => json!(["x.mmdb"]),
            "brand.support" | "mail.from" | "mail.reply_to" => json!("Us <us@example.com>"),
            "mail.support" | "mail.operations" => json!(["us@example.com"]),
            "brand.link" => json!("https://a.example/keys?x=1"),
            "source.mapping.records" => json!("/Records"),
            "store.url" => json!("postgres://me@db/x"),
            "http.listen" => json!("[::]:9464"),
            "log.level" => json!("warn,rdkafka=INFO"),
            _ => json!("text"),
        },
    })
}

#[test]
fn every_field_of_the_table_is_read_and_every_one_that_is_read_is_in_the_table() {
    let mut sections = vec![""];
    sections.extend(FIELDS.iter().filter(|field| field.ty == Type::Section).map(|field| field.path));
    sections.push("source.mapping.fields");
    for section in sections {
        let path =
            if section.is_empty() { "zzzzzzzzzzzzqqqq".to_owned() } else { format!("{section}.zzzzzzzzzzzzqqqq") };
        let problems = load(&with(&path, json!(1)).to_string()).unwrap_err();
        let unknown = problems.iter().find(|problem| problem.message.contains("zzzzzz")).unwrap();
        let hint = unknown.hint.as_deref().unwrap_or_default();
        let asked: BTreeSet<&str> = hint.split('`').skip(1).step_by(2).collect();
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let ours: BTreeSet<&str> = match section {
            "source.mapping.fields" => mapping::FIELDS.into_iter().collect(),
            _ => {
                let names = FIELDS.iter().filter_map(|field| field.path.strip_prefix(&prefix));
                names.filter(|name| !name.contains('.')).collect()
            }
        };
        assert_eq!(asked, ours, "`{section}`");
        assert!(!validate(&schema(), &with(&path, json!(1))).is_empty(), "the schema allows {path}");
    }
}

#[test]
fn schema_and_loader_agree_on_every_field() {
    for field in FIELDS {
        let path = field.path;
        let Some(good) = sample(field) else { continue };
        both(path, good, true);
        both(path, json!({"a": {"b": 1}}), false);
        match field.ty {
            Type::Count(min, max) => {
                both(path, json!(max), true);
                both(path, json!(max + 1), false);
                both(path, json!(i128::from(min) as i64 - 1), false);
                let from_outside = with(path, json!("${PORT}"));
                loader(path, &from_outside, (min..=max).contains(&2525));
                assert!(validate(&schema(), &from_outside).is_empty(), "an editor does not know the environment");
                both(path, json!("many"), false);
            }
            Type::Duration(min, max) => {
                both(path, json!(duration_text(max)), true);
                // A schema cannot see the range: the loader does.
                loader(path, &with(path, json!(duration_text(max + 1))), false);
                if min > 0 {
                    loader(path, &with(path, json!(duration_text(min - 1))), false);
                }
                both(path, json!("5"), false);
                both(path, json!("5 minutes"), false);
                both(path, json!(5), false);
            }
            Type::Word(words) => {
                for word in words {
                    both(path, json!(word), true);
                }
                let problems = load(&with(path, json!("qqqqqqqqqqqq")).to_string()).unwrap_err();
                let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                assert!(problems.iter().any(|p| p.message.contains(&format!("expected one of {listed}"))), "{path}");
                both(path, json!("qqqqqqqqqqqq"), false);
            }
            Type::Flag => {
                both(path, json!(false), true);
                both(path, json!("sometimes"), false);
                both(path, json!(1), false);
            }
            Type::List(_, min, max) => {
                both(path, json!([]), min == 0);
                both(path, json!("one"), false);
                if let Some(max) = max {
                    let one = sample(field).unwrap()[0].clone();
                    both(path, Value::from(vec![one.clone(); max as usize]), true);
                    both(path, Value::from(vec![one; max as usize + 1]), false);
                }
            }
            Type::Text => {
                both(path, json!("${KAFKA_PASSWORD}"), true);
                both(path, json!(" "), false);
            }
            _ => {}
        }
    }
}

#[test]
fn forms_of_texts_are_the_loaders() {
    for (path, value, is_right) in [
        ("source.kafka.brokers", json!("${KAFKA_BROKERS}"), true),
        ("source.kafka.brokers", json!("kafka"), false),
        ("source.kafka.brokers", json!("kafka:9092,"), false),
        ("source.kafka.topics.auth_events", json!("auth events"), false),
        ("source.kafka.topics.key_events", Value::Null, true),
        ("source.mapping.records", json!("Records"), false),
        ("source.trusted_proxies", json!(["proxy"]), false),
        ("store.url", json!("mysql://db"), false),
        ("http.listen", json!("9464"), false),
        ("log.level", json!("loud"), false),
        ("log.level", json!("off"), true),
        ("mail.from", json!("nobody"), false),
        ("mail.support", json!(["a@b@c"]), false),
        ("brand.name", json!("x".repeat(41)), false),
        ("brand.key_page", json!("x".repeat(121)), false),
        ("brand.link", json!("http://a.example"), false),
        ("brand.keys.live", json!(["ab"]), false),
        ("mail.transport.smtp.host", json!("mail.example.com:25"), false),
        ("source.mapping.fields", json!({"ts": "/t", "status": "/s"}), true),
        ("source.mapping.fields", json!({"ts": "/t"}), false),
        (
            "source.mapping.fields",
            json!({"ts": ["/t", "/u"], "outcome": {"value": "ok"}, "count": {"pointer": "/n"}}),
            true,
        ),
        ("source.mapping.fields", json!({"ts": "t", "outcome": "/o"}), false),
        ("source.mapping.fields", json!({"ts": "/t", "outcome": {"words": {"a": "ok"}}}), false),
        ("source.mapping.fields", json!({"ts": "/t", "outcome": {"value": "ok", "pointer": "/o"}}), false),
    ] {
        both(path, value, is_right);
    }
}

#[test]
fn what_fields_ask_of_each_other() {
    let kafka = |more: Value| json!({"source": {"kafka": {"brokers": "k:1", "security": more}}});
    let smtp = |more: Value| {
        let mut smtp = json!({"host": "h"});
        smtp.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"source": {"kafka": {"brokers": "k:1"}}, "mail": {"from": "a@b.c", "support": ["a@b.c"], "transport": {"smtp": smtp}}})
    };
    let top = |name: &str, more: Value| json!({"source": {"kafka": {"brokers": "k:1"}}, name: more});
    for (whole, is_right) in [
        (json!({}), false),
        (json!({"source": {"kafka": {}}}), false),
        (kafka(json!({"ca_file": "x"})), false),
        (kafka(json!({"tls": false, "ca_file": "x"})), false),
        (kafka(json!({"tls": true, "certificate_file": "x"})), false),
        (kafka(json!({"username": "u"})), false),
        (kafka(json!({"sasl_mechanism": "PLAIN", "username": "u"})), false),
        (kafka(json!({"sasl_mechanism": "PLAIN", "password": "p"})), false),
        (kafka(json!({"sasl_mechanism": "OAUTHBEARER"})), true),
        (kafka(json!({"sasl_mechanism": "PLAIN", "username": "u", "password": "p", "password_file": "f"})), false),
        (kafka(json!({"sasl_mechanism": "PLAIN", "username": "u", "password": null, "password_file": "f"})), true),
        (smtp(json!({})), true),
        (smtp(json!({"username": "u"})), false),
        (smtp(json!({"password": "p"})), false),
        (smtp(json!({"tls": "none", "ca_file": "x"})), false),
        (top("mail", json!({"transport": {"smtp": {"host": "h"}}})), false),
        (top("mail", json!({"transport": {"none": {}, "files": {"directory": "d"}}})), false),
        (top("mail", json!({"transport": {"files": {}}})), false),
        (top("mail", json!({"transport": {"none": null}})), true),
        (top("store", json!({"url": "sqlite:a", "url_file": "url"})), false),
        (top("brand", json!({"name": "A"})), false),
        (top("http", Value::Null), true),
        (
            json!({"source": {"kafka": {"brokers": "k:1"}, "format": "kong", "mapping": {"fields": {"ts": "/t", "status": "/s"}}}}),
            false,
        ),
    ] {
        loader("", &whole, is_right);
        let wrong = validate(&schema(), &whole);
        assert_eq!(wrong.is_empty(), is_right, "{whole} {wrong:?}");
    }
}

#[test]
fn defaults_are_the_loaders() {
    for field in FIELDS {
        let Some(default) = field.default else { continue };
        let value = match field.ty {
            Type::Flag | Type::Count(..) => serde_json::from_str(default).unwrap(),
            _ => json!(default),
        };
        let absent = {
            let mut whole = base(field.path);
            if let Some(section) = field.path.strip_prefix("mail.transport.smtp.") {
                whole["mail"]["transport"]["smtp"].as_object_mut().unwrap().remove(section);
            }
            whole
        };
        let [absent, written] = [absent, with(field.path, value)].map(|whole| load(&whole.to_string()).unwrap());
        assert_eq!(absent, written, "{} is not {default} where it is absent", field.path);
    }
}

#[test]
fn good_files_are_valid() {
    let example = std::fs::read_to_string("keywatch.example.yml").unwrap();
    let mut good = BTreeMap::from([("keywatch.example.yml".to_owned(), example)]);
    let deployed = ["deploy", "sample", "docs"].into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    for entry in deployed.flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yml") {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("brokers:") {
                good.insert(path.display().to_string(), text);
            }
        }
    }
    good.insert(
        "of tests/config.rs".into(),
        "source:\n  kafka:\n    brokers: k:9092\n    instance_id: $${HOST}-${PORT}
    topics: {key_events: null}
    security: {sasl_mechanism: PLAIN, username: '007', password: '${KAFKA_PASSWORD}'}
    properties: {ssl.key.password: x, fetch.min.bytes: 1}
  fingerprint_secret_file: secrets/two-lines
store: {url_file: secrets/url}
mail:
  from: k@example.com
  support: [s@example.com]
  transport: {smtp: {host: '[::1]', port: '${PORT}', tls: none, username: u, password_file: secrets/good}}
"
        .into(),
    );
    for (name, text) in good {
        load(&text).unwrap_or_else(|problems| panic!("{name}\n{}", render(&problems)));
        let wrong = validate(&schema(), &of_yaml(&text).unwrap());
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

/// What a schema cannot see, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("missing-variable", "the environment is not the editor's"),
    ("unreadable-secret", "nor are the files that are named"),
];

#[test]
fn bad_files_are_refused_where_a_schema_can_see_why() {
    let mut unseen = BTreeSet::new();
    for entry in std::fs::read_dir("tests/data/config").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yml") {
            continue;
        }
        // What is no YAML of ours has no fields.
        let Some(whole) = of_yaml(&std::fs::read_to_string(&path).unwrap()) else { continue };
        if validate(&schema(), &whole).is_empty() {
            unseen.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    let expected: BTreeSet<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(unseen, expected);
}
