//! `keywatch doctor` against real servers: what only they can answer. ACLs, topic settings, logins, a database's own words.

use std::process::Command;

use keywatch::source::kafka::testing::{Producer, committed};

use crate::secure::{sasl_ssl, smtp_with_password};
use crate::server;
use crate::service::{env, split};

/// A name that no other run has used.
fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{nanos}")
}

/// Makes the topics, and writes a few events, a minute old.
fn topics(events: &str, facts: &str) {
    let brokers = env("KEYWATCH_TEST_KAFKA");
    let producer = Producer::connect(&brokers).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(producer.create_topic(events, 3)).unwrap();
    runtime.block_on(producer.create_topic(facts, 1)).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    for i in 0..30u128 {
        let text = format!(
            r#"{{"event_id":"e{i}","ts":{},"key_id":"k","merchant_id":"m_{}","outcome":"ok","source_ip":"203.0.113.7"}}"#,
            now - 60_000 + i,
            i % 3
        );
        producer.send(events, (i % 3) as i32, Some(format!("m_{}", i % 3).as_bytes()), Some(text.as_bytes())).unwrap();
    }
    producer.flush().unwrap();
}

/// Runs it with these lines of `source.kafka:`, store and transport; the exit code and what was printed, lines unbroken.
fn doctor(kafka: &str, topics: (&str, &str), store: &str, transport: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let text = format!(
        "source:\n  kafka:\n{kafka}\n    topics:\n      auth_events: {}\n      key_events: {}\nrules:\n  directory: {}\n\
         store:\n  url: {store}\nhttp:\n  listen: 127.0.0.1:0\nmail:\n  from: kw@shop.example\n  support: [a@shop.example]\n  \
         operations: [b@shop.example]\n  transport:\n{transport}\n",
        topics.0,
        topics.1,
        rules.display()
    );
    let path = dir.path().join("keywatch.yml");
    std::fs::write(&path, text).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .args(["doctor", "--config", path.to_str().unwrap()])
        .env("COLUMNS", "400")
        .output()
        .unwrap();
    let shown = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    for secret in [env("KEYWATCH_TEST_KAFKA_PASSWORD"), "wrong-hush-hush".to_owned()] {
        assert!(!shown.contains(&secret), "a secret is shown: {shown}");
    }
    (ran.status.code(), shown)
}

#[track_caller]
fn expect(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
}

fn as_user(user: &str) -> String {
    sasl_ssl().replace("username: keywatch", &format!("username: {user}"))
}

#[test]
fn everything_is_looked_at_and_nothing_is_left() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let (events, facts) = (unique("auth-events"), unique("key-events"));
    topics(&events, &facts);
    let transport = smtp_with_password("starttls", "KEYWATCH_TEST_SMTP_STARTTLS");
    let (code, shown) = doctor(&sasl_ssl(), (&events, &facts), &env("KEYWATCH_TEST_POSTGRES"), &transport);
    assert_eq!(code, Some(0), "{shown}");
    let (host, port) = split(&env("KEYWATCH_TEST_SMTP_STARTTLS"));
    expect(
        &shown,
        &[
            "ok       PostgreSQL: version ",
            "ok       tables: ",
            &format!("ok       Kafka {brokers}: 1 broker answers, TLS, logged in as `keywatch` (SCRAM-SHA-512)\n"),
            &format!("ok       topic {events}: 3 partitions, 30 messages\n"),
            "ok       group keywatch: may be used\n",
            &format!("ok       retention of {events}: messages are kept for 7 days; the oldest message is "),
            &format!("warn     compaction of {facts}: cleanup.policy is `delete`"),
            &format!("--entity-name {facts} --add-config cleanup.policy=compact`\n"),
            &format!("ok       messages of {events}: 30 of 30 are events\n"),
            "ok       message keys: each is its merchant_id; 3 merchants in one partition each\n",
            &format!("ok       mail server {host}:{port}: answers, STARTTLS, logged in as `keywatch`\n"),
            "ok       clocks: the database's clock agrees\n",
            "\ncan run: ",
        ],
    );
    let plain = env("KEYWATCH_TEST_KAFKA");
    assert_eq!(committed(&plain, "keywatch", &events, 0), Ok(None), "nothing is committed");
}

#[test]
fn a_stranger_is_told_what_to_be_allowed() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let (events, facts) = (unique("auth-events"), unique("key-events"));
    topics(&events, &facts);
    let transport = smtp_with_password("starttls", "KEYWATCH_TEST_SMTP_STARTTLS")
        .replace(&format!("password: {}", env("KEYWATCH_TEST_SMTP_PASSWORD")), "password: wrong-hush-hush");
    let store = env("KEYWATCH_TEST_POSTGRES").replace("/postgres", "/no_such_database");
    let (code, shown) = doctor(&as_user("stranger"), (&events, &facts), &store, &transport);
    assert_eq!(code, Some(1), "{shown}");
    expect(
        &shown,
        &[
            "fail     PostgreSQL: ",
            "hint: make the database (`createdb`), or set its name in store.url\n",
            "skipped  tables: the store does not answer\n",
            &format!("fail     topic {events}: the Kafka user `stranger` may not read topic `{events}`\n"),
            "         hint: allow Read and Describe on it in Kafka\n",
            "skipped  group keywatch: ",
            "fail     mail server ",
            "hint: check mail.transport.smtp: username, password\n",
            "\nnot well: ",
        ],
    );
    let (_, shown) = doctor(&as_user("reader"), (&events, &facts), "sqlite:some.db", "    none: {}");
    expect(
        &shown,
        &[
            "fail     group keywatch: the Kafka user `reader` may not use the consumer group `keywatch`\n",
            "hint: allow Read on it in Kafka, or set source.kafka.group\n",
            &format!("skipped  compaction of {facts}: we may not ask\n"),
            &format!("ok       retention of {events}: nothing was deleted yet"),
            &format!("ok       messages of {events}: 30 of 30 are events\n"),
            "warn     mail: mail.transport is `none`: nobody is told of anything\n",
        ],
    );
}

#[test]
fn wrong_passwords_and_authorities_are_named() {
    let Some(brokers) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    let password = env("KEYWATCH_TEST_KAFKA_PASSWORD");
    let wrong = sasl_ssl().replace(&format!("password: {password}"), "password: wrong-hush-hush");
    let transport = smtp_with_password("implicit", "KEYWATCH_TEST_SMTP_TLS")
        .replace(&env("KEYWATCH_TEST_SMTP_CA"), &env("KEYWATCH_TEST_OTHER_CA"));
    let (code, shown) = doctor(&wrong, ("auth-events", "key-events"), "sqlite:some.db", &transport);
    assert_eq!(code, Some(1), "{shown}");
    expect(
        &shown,
        &[
            &format!(
                "fail     Kafka {brokers}: the Kafka broker at {brokers} refuses the user `keywatch` or the password (SCRAM-SHA-512)\n"
            ),
            "         hint: check source.kafka.security.username and password\n",
            "skipped  messages: the brokers do not answer\n",
            "hint: the certificate is signed by an authority that keywatch does not trust: set mail.transport.smtp.ca_file",
        ],
    );
}
