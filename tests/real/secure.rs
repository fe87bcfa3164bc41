//! The whole service over TLS with passwords: SASL_SSL to Kafka, STARTTLS and implicit TLS to the mail server.

use serde_json::json;

use crate::instance::Instance;
use crate::laws::SUMMER;
use crate::server;
use crate::service::{Ground, Setup, env, header, report, split};
use crate::traffic::Line;

/// Lines of `source.kafka:` for the broker's protected port.
pub fn sasl_ssl() -> String {
    format!(
        "    brokers: {}\n    security:\n      tls: true\n      ca_file: {}\n      sasl_mechanism: SCRAM-SHA-512\n      \
         username: {}\n      password: {}",
        env("KEYWATCH_TEST_KAFKA_SASL"),
        env("KEYWATCH_TEST_KAFKA_CA"),
        env("KEYWATCH_TEST_KAFKA_USER"),
        env("KEYWATCH_TEST_KAFKA_PASSWORD")
    )
}

/// Lines of `mail.transport:` for a protected port of the mail server.
pub fn smtp_with_password(tls: &str, address: &str) -> String {
    let (host, port) = split(&env(address));
    format!(
        "    smtp:\n      host: {host}\n      port: {port}\n      tls: {tls}\n      ca_file: {}\n      username: {}\n      password: {}",
        env("KEYWATCH_TEST_SMTP_CA"),
        env("KEYWATCH_TEST_SMTP_USER"),
        env("KEYWATCH_TEST_SMTP_PASSWORD")
    )
}

/// A part's type and its text.
fn parts(mail: &str) -> Vec<(String, String)> {
    let kind = header(mail, "Content-Type").unwrap();
    assert!(kind.starts_with("multipart/alternative"), "{kind}");
    let boundary = kind.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let body = mail.split_once("\n\n").unwrap().1;
    let marker = format!("--{boundary}");
    let inner = body.split(&marker).skip(1).take_while(|part| !part.starts_with("--"));
    inner
        .map(|part| part.trim_start_matches('\n'))
        .map(|part| (header(part, "Content-Type").unwrap(), decoded(part)))
        .collect()
}

fn decoded(part: &str) -> String {
    let body = part.split_once("\n\n").unwrap().1;
    let bytes = match header(part, "Content-Transfer-Encoding").as_deref() {
        Some("quoted-printable") => quoted_printable(body),
        Some("base64") => base64(body),
        Some("7bit" | "8bit") | None => body.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    String::from_utf8(bytes).unwrap()
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend(before.bytes());
        rest = match after.strip_prefix('\n') {
            Some(next_line) => next_line,
            None => {
                bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
                &after[2..]
            }
        };
    }
    bytes.extend(rest.bytes());
    bytes
}

fn base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("no base64: {other}"),
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn over(name: &str, transport: String) {
    let ground = Ground::new(name, Setup { kafka: sasl_ssl(), transport, ..Setup::default() });
    ground.tell_facts(&[
        Line {
            merchant: "m_1/m_1".into(),
            text: json!({"type": "merchant_updated", "ts": SUMMER, "merchant_id": "m_1", "name": "Bücher Müller",
                "contacts": ["owner@shop.example"], "timezone": "Europe/Berlin", "status": "active"})
            .to_string(),
        },
        Line {
            merchant: "m_1/k_1".into(),
            text: json!({"type": "key_created", "ts": SUMMER, "merchant_id": "m_1", "key_id": "k_1", "key_env": "live",
                "key_hint": "caibo_live_sk_…9f2c", "created_at": SUMMER})
            .to_string(),
        },
    ]);
    let instance = Instance::start(&ground, "a");
    let text = json!({"event_id": "e1", "ts": SUMMER + 1_000, "key_id": "k_1", "merchant_id": "m_1", "key_env": "live",
        "endpoint_env": "test", "method": "POST", "path": "/v1/payments", "source_ip": "203.0.113.7", "outcome": "ok"});
    ground.send(&[Line { merchant: "m_1".into(), text: text.to_string() }]);
    ground.wait_for_all();
    let (mails, repeats) = ground.assert_mails();
    assert_eq!((ground.alerts().len(), mails, repeats), (1, 2, 0), "one alert, told to the merchant and to support");
    instance.stop();
    let mails = ground.mails();
    for mail in &mails {
        assert_eq!(header(mail, "Auto-Submitted").as_deref(), Some("auto-generated"));
        assert!(header(mail, "Message-ID").unwrap().starts_with("<kw-"), "{mail}");
        assert!(
            header(mail, "Received").unwrap().contains("with ESMTPSA"),
            "the server saw TLS and a password: {mail}"
        );
        assert_eq!(header(mail, "From").unwrap(), format!("keywatch@{}", ground.domain));
        assert_eq!(header(mail, "Reply-To").unwrap(), "support@caibo.digital");
        let parts = parts(mail);
        let kinds: Vec<&str> = parts.iter().map(|(kind, _)| kind.split(';').next().unwrap()).collect();
        assert_eq!(kinds, ["text/plain", "text/html"]);
        for (kind, text) in &parts {
            assert!(text.contains("caibo_live_sk_…9f2c"), "{kind} names the key: {text}");
            for link in ["http://", "https://", "href", "www.", "src="] {
                assert!(!text.contains(link), "{kind} has `{link}`: {text}");
            }
        }
    }
    let to = |address: &str| mails.iter().filter(|mail| header(mail, "To").as_deref() == Some(address)).count();
    assert_eq!((to("owner@shop.example"), to("support@caibo.digital")), (1, 1));
    report(&format!("secure: {name}"), 1, Some((2, 0)), 0, "SASL_SSL, SCRAM-SHA-512");
}

#[test]
fn scram_and_starttls() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    over("starttls", smtp_with_password("starttls", "KEYWATCH_TEST_SMTP_STARTTLS"));
}

#[test]
fn scram_and_implicit_tls() {
    let Some(_) = server("KEYWATCH_TEST_KAFKA_SASL") else { return };
    over("implicit-tls", smtp_with_password("implicit", "KEYWATCH_TEST_SMTP_TLS"));
}
