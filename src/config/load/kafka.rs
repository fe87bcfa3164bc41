//! Reads `source.kafka`.

use std::collections::BTreeMap;

use super::Files;
use crate::config::{KafkaConfig, KafkaSecurity};
use crate::yaml::{MapReader, Node, Value, known_words};

pub(super) fn read_kafka(mut map: MapReader<'_>, files: &Files<'_>) -> Option<KafkaConfig> {
    let brokers = match map.node("brokers") {
        Some(Node { value: Value::List(items), at }) => {
            let names: Vec<String> = items.iter().filter_map(|item| map.text(item)).collect();
            let hint = format!("write brokers: {}", names.join(","));
            map.problems().add_with_hint(*at, "expected one text with commas, found a list", hint);
            None
        }
        _ => map.required_string("brokers"),
    };
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
                match broker.contains(':') {
                    false if is_host(broker) => format!("`{broker}` has no port"),
                    _ => "expected `host:port`, several with commas".to_owned(),
                },
                "such as `kafka-1:9092,kafka-2:9092`",
            );
            return;
        }
    }
}

/// Whether a text can be the name or the address of a host.
pub(super) fn is_host(host: &str) -> bool {
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
