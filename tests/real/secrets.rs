//! No secret is ever shown: planted everywhere a message can carry one, it is in no log line, metric, table, alert or mail.

use std::process::Command;

use serde_json::json;

use crate::instance::Instance;
use crate::laws::SUMMER;
use crate::secure::{sasl_ssl, smtp_with_password};
use crate::server;
use crate::service::{Ground, Setup, env, report, say, wall_millis};
use crate::traffic::{Line, Numbers};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// So many characters in a row are never the same by chance, and more than a hint shows.
const TELLING: usize = 8;

/// Secrets, one for each place, so that a leak names its place.
struct Planted {
    numbers: Numbers,
    places: Vec<(&'static str, String)>,
}

impl Planted {
    /// 32 random characters of a key's length for a place.
    fn random(&mut self, place: &'static str) -> String {
        let text: String =
            (0..32).map(|_| LETTERS[self.numbers.below(LETTERS.len() as u64) as usize] as char).collect();
        self.places.push((place, text.clone()));
        text
    }

    fn key(&mut self, place: &'static str) -> String {
        format!("caibo_live_sk_{}", self.random(place))
    }

    /// Places whose secret, or a telling part of it, is in a text: as it is, or as the database shows bytes.
    fn found_in(&self, text: &str) -> Vec<&'static str> {
        let shown = |part: &str| {
            let hex: String = part.bytes().map(|b| format!("{b:02x}")).collect();
            text.contains(part) || text.contains(&hex)
        };
        let leaks = |secret: &str| (0..=secret.len() - TELLING).any(|at| shown(&secret[at..at + TELLING]));
        self.places.iter().filter(|(_, secret)| leaks(secret)).map(|(place, _)| *place).collect()
    }
}

fn facts(planted: &mut Planted) -> Vec<Line> {
    let mut facts = Vec::new();
    let mut fact = |key: String, text: String| facts.push(Line { merchant: key, text });
    let day = 86_400_000;
    fact(
        "m_s/m_s".into(),
        json!({"type": "merchant_updated", "ts": SUMMER - day, "merchant_id": "m_s", "contacts": ["owner@shop.example"],
            "name": format!("Shop {}", planted.key("merchant name")), "timezone": "Europe/Berlin", "status": "active"})
        .to_string(),
    );
    fact(
        format!("m_s/{}", planted.key("fact message key")),
        json!({"type": "key_created", "ts": SUMMER - day, "merchant_id": "m_s", "key_id": "k_s", "key_env": "live",
            "api_key": planted.key("fact api_key"), "name": planted.key("fact name"), "reason": planted.key("fact reason"),
            "actor": planted.key("fact actor"), "tags": [planted.key("fact tag")], "created_at": SUMMER - day})
        .to_string(),
    );
    fact(
        "m_s/k_h".into(),
        json!({"type": "key_created", "ts": SUMMER - day, "merchant_id": "m_s", "key_id": "k_h", "key_hint": planted.key("fact key_hint")})
            .to_string(),
    );
    fact(
        "m_s/k_r".into(),
        json!({"type": "key_revoked", "ts": SUMMER - day, "merchant_id": "m_s", "key_id": "k_r", "revoked_at": SUMMER - day,
            "replaces": planted.key("fact replaces"), "reason": format!("leaked as {}", planted.key("fact reason in words"))})
        .to_string(),
    );
    fact(
        planted.key("key of a broken fact"),
        format!("{{\"type\":\"key_created\",\"api_key\":\"{}\"", planted.key("broken fact")),
    );
    fact(
        "m_s/x".into(),
        json!({"type": planted.key("fact type"), "ts": SUMMER, "status": planted.key("fact status")}).to_string(),
    );
    facts
}

/// Messages with the Kafka key under which they are sent.
fn events(planted: &mut Planted) -> Vec<(String, String)> {
    let encoded = planted.key("path, percent-encoded").replace('_', "%5F");
    let escaped = planted.key("path, JSON escapes").replace('_', "\\u005f");
    let mut messages = vec![
        (
            "m_s".to_owned(),
            // Accepted, in the wrong environment: an alert and its mails.
            json!({"event_id": "e1", "ts": SUMMER, "key_id": "k_s", "api_key": planted.key("api_key"), "merchant_id": "m_s",
                "key_env": "live", "endpoint_env": "test", "method": "POST",
                "path": format!("/v1/{}/x?key={}&a=1", planted.key("path"), planted.key("query")),
                "source_ip": "203.0.113.7", "user_agent": format!("shop/1.4 {}", planted.key("user agent")),
                "referer": format!("https://shop.example/?k={}", planted.key("referer")),
                "origin": format!("https://{}.example", planted.key("origin")), "outcome": "ok", "count": 3,
                "request_id": planted.key("request_id")})
            .to_string(),
        ),
        (
            planted.key("message key"),
            json!({"event_id": planted.key("event_id"), "ts": SUMMER + 1, "api_key": planted.key("api_key without key_id"),
                "merchant_id": "m_s", "endpoint_env": "live", "source_ip": "203.0.113.7", "path": format!("/v1/{encoded}"),
                "outcome": "ok"})
            .to_string(),
        ),
        (
            "m_s".to_owned(),
            json!({"event_id": "e3", "ts": SUMMER + 2, "key_id": "k_r", "key_hint": planted.key("key_hint"), "merchant_id": "m_s",
                "outcome": "denied", "reason": planted.key("reason"), "source_ip": "203.0.113.7"})
            .to_string(),
        ),
        (
            "m_s".to_owned(),
            json!({"event_id": "e4", "ts": SUMMER + 3, "key_id": "k_r", "merchant_id": "m_s", "outcome": "denied",
                "reason": "revoked_key", "source_ip": "203.0.113.7", "user_agent": planted.key("user agent of a refusal")})
            .to_string(),
        ),
        (
            planted.key("message key of broken JSON"),
            format!("{{\"event_id\":\"e5\",\"api_key\":\"{}\",\"ts\":", planted.key("broken JSON")),
        ),
        ("m_s".to_owned(), planted.key("no JSON at all")),
        ("m_s".to_owned(), format!("{{\"event_id\":\"e6\",\"ts\":1,\"path\":\"/v1/{escaped}\",\"outcome\":")),
    ];
    for (field, place) in [
        ("key_id", "key_id"),
        ("merchant_id", "merchant_id"),
        ("ts", "ts"),
        ("outcome", "outcome"),
        ("source_ip", "source_ip"),
        ("method", "method"),
        ("key_env", "key_env"),
        ("forwarded_for", "forwarded_for"),
        ("key_fingerprint", "key_fingerprint"),
        ("unheard_of", "unknown field"),
    ] {
        let mut event = json!({"event_id": format!("e-{field}"), "ts": SUMMER + 9, "key_id": "k_s", "merchant_id": "m_s",
            "endpoint_env": "test", "key_env": "live", "source_ip": "203.0.113.7", "path": "/v1/payments", "outcome": "ok"});
        event[field] = planted.key(place).into();
        messages.push(("m_s".to_owned(), event.to_string()));
    }
    messages
}

fn dump(ground: &Ground) -> String {
    let mut tools =
        std::fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path().join("bin/pg_dump"));
    let out = Command::new(tools.find(|path| path.exists()).unwrap()).arg(&ground.store_url).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn no_planted_secret_is_shown_anywhere() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA") else { return };
    let mut planted = Planted { numbers: Numbers::new(wall_millis() as u64), places: Vec::new() };
    let mut setup = Setup {
        log: "trace",
        kafka: sasl_ssl(),
        properties: "      debug: all\n".to_owned(),
        transport: smtp_with_password("starttls", "KEYWATCH_TEST_SMTP_STARTTLS"),
        ..Setup::default()
    };
    setup.partitions = 1;
    let mut ground = Ground::new("secrets", setup);
    // The test's server takes any password.
    let password = planted.random("password of the database");
    ground.store_url = ground.store_url.replace("keywatch@", &format!("keywatch:{password}@"));
    ground.write_config("reader");
    planted.places.push(("password of Kafka", env("KEYWATCH_TEST_KAFKA_PASSWORD")));
    planted.places.push(("password of SMTP", env("KEYWATCH_TEST_SMTP_PASSWORD")));
    planted.places.push(("fingerprint_secret", "a-secret-for-tests-only".to_owned()));

    ground.tell_facts(&facts(&mut planted));
    let instance = Instance::start(&ground, "a");
    for (key, payload) in events(&mut planted) {
        ground.send_raw("m_s", key.as_bytes(), payload.as_bytes());
    }
    ground.producer.flush().unwrap();
    ground.wait_for_all();
    let mails = ground.assert_mails();
    let metrics = instance.get("/metrics").unwrap().1;
    let alerts: String = ground.alerts().iter().map(|alert| format!("{alert}\n")).collect();
    assert!(alerts.contains("env_mismatch") && alerts.contains("revoked_key_use"), "{alerts}");
    let letters = ground.sql("SELECT reason || ' ' || detail || ' ' || redacted FROM dead_letters").unwrap();
    assert!(letters.len() >= 3, "{letters:#?}");
    instance.stop();
    let log: String = ground.logs().into_iter().map(|(_, text)| text).collect();
    assert!(log.contains("TRACE"), "the log is not at its most talkative");
    let (tables, mail) = (dump(&ground), ground.mails().concat());
    assert!(tables.contains("COPY public.dead_letters") && mail.contains("Message-ID"));
    let out = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .args(["config", "check"])
        .arg(ground.path("a.yml"))
        .output()
        .unwrap();
    let check = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));

    let mut leaks = Vec::new();
    let texts = [
        ("log", &log),
        ("metrics", &metrics),
        ("database", &tables),
        ("alerts", &alerts),
        ("mail", &mail),
        ("config check", &check),
    ];
    for (name, text) in texts {
        leaks.extend(planted.found_in(text).into_iter().map(|place| format!("{place} → {name}")));
    }
    if !leaks.is_empty() {
        letters.iter().for_each(|letter| say(letter));
    }
    assert_eq!(leaks, Vec::<String>::new());
    let more =
        format!("{} secrets, {} dead letters, {} KiB of log", planted.places.len(), letters.len(), log.len() / 1024);
    report("secrets", ground.alerts().len(), Some(mails), 0, &more);
}
