//! Decoding: what each field may hold, what is rejected and how, and that no secret gets through anywhere.

use keywatch::event::auth::Decoder;
use keywatch::event::facts::{FactKind, MerchantStatus};
use keywatch::event::redact::Masker;
use keywatch::event::{AuthEvent, Env, Outcome, Refusal, RejectReason};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Thirty-two characters that must never be seen again.
const SECRET: &str = "Zq7Xw2Lm9Rt4Kp8Vn3Bs6Yd1Hc5Jf0Ga";
const NOON: i64 = 1_795_435_200_000;

fn decoder() -> Decoder {
    Decoder::new(b"fingerprint key of the tests", Masker::default())
}

/// A valid event with `extra` fields laid over it.
fn event(extra: &Value) -> String {
    let mut event = json!({"ts": NOON, "outcome": "denied"});
    event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    event.to_string()
}

#[track_caller]
fn read(json: &str) -> AuthEvent<'_> {
    decoder().decode_auth(json.as_bytes(), None).unwrap_or_else(|rejected| panic!("{json}: {rejected:?}"))
}

/// What `field` becomes: its Debug form, or the reason and detail of the rejection.
fn outcome_of(field: &str, value: Value) -> String {
    let json = event(&json!({ field: value }));
    let decoder = decoder();
    match decoder.decode_auth(json.as_bytes(), None) {
        Ok(event) => {
            let event = serde_json::to_value(event).unwrap();
            event[field].as_str().map_or_else(|| event[field].to_string(), str::to_owned)
        }
        Err(rejected) => format!("{}: {}", rejected.reason.as_str(), rejected.detail),
    }
}

#[test]
fn the_contracts_event_is_read_whole_and_borrowed() {
    let json = r#"{"event_id":"evt_01JD8Z5K3QW7","ts":"2026-11-23T12:00:00.000Z","key_id":"key_7f3a91",
        "key_hint":"caibo_live_sk_…9f2c","merchant_id":"mer_4821","endpoint_env":"live","method":"POST",
        "path":"/v1/payments","source_ip":"203.0.113.57","user_agent":"caibo-php/2.4.1 (PHP 8.2; Linux)",
        "outcome":"ok","reason":null,"status":201,"latency_ms":84.5,"request_id":"req_1","x":{"y":[1,{"z":null}]}}"#;
    let want = AuthEvent {
        event_id: Some("evt_01JD8Z5K3QW7".into()),
        ts: NOON,
        key_id: Some("key_7f3a91".into()),
        key_fingerprint: None,
        key_hint: Some("caibo_live_sk_…9f2c".into()),
        key_env: Some(Env::Live),
        merchant_id: Some("mer_4821".into()),
        endpoint_env: Some(Env::Live),
        method: Some("POST".into()),
        path: Some("/v1/payments".into()),
        source_ip: Some("203.0.113.57".parse().unwrap()),
        user_agent: Some("caibo-php/2.4.1 (PHP 8.2; Linux)".into()),
        origin: None,
        referer: None,
        outcome: Outcome::Ok,
        reason: None,
        count: 1,
        status: Some(201),
        latency_ms: Some(84.5),
        ..AuthEvent::at(0, "", None)
    };
    let got = read(json);
    assert_eq!(got, want);
    let texts = [got.event_id, got.key_id, got.key_hint, got.merchant_id, got.method, got.path, got.user_agent];
    assert!(texts.iter().all(|text| matches!(text, Some(std::borrow::Cow::Borrowed(_)))), "nothing is copied");
}

#[test]
fn each_field_keeps_its_rules() {
    let long = "a".repeat(129);
    let ua = "é".repeat(200);
    for (field, value, want) in [
        ("event_id", json!("e1"), "e1"),
        ("event_id", json!(""), "null"),
        ("event_id", json!(null), "null"),
        ("event_id", json!(7), "wrong_type: field `event_id`: expected a string, found another number"),
        ("event_id", json!(long), "wrong_type: field `event_id`: 129 bytes, at most 128 are allowed"),
        ("event_id", json!("a\nb"), "wrong_type: field `event_id`: has a control character"),
        ("event_id", json!("a\u{85}b"), "wrong_type: field `event_id`: has a control character"),
        ("event_id", json!("9f1c2f9e-7b3a-4a9e-8a53-0d5e2f1f6f11"), "9f1c2f9e-7b3a-4a9e-8a53-0d5e2f1f6f11"),
        ("event_id", json!(SECRET), SECRET),
        ("merchant_id", json!("mér"), "mér"),
        ("merchant_id", json!(["m"]), "wrong_type: field `merchant_id`: expected a string, found an array"),
        ("ts", json!("2026-11-23T12:00:00Z"), "1795435200000"),
        ("ts", json!("2026-11-23T13:00:00+01:00"), "1795435200000"),
        ("ts", json!(0), "0"),
        ("ts", json!(-1), "no_time: field `ts`: expected a time from 1970 to 9999, found a number"),
        ("ts", json!(1.5), "no_time: field `ts`: expected a time from 1970 to 9999, found a number"),
        ("ts", json!("soon"), "no_time: field `ts`: expected a time from 1970 to 9999, found a string"),
        ("ts", json!(true), "no_time: field `ts`: expected a time from 1970 to 9999, found a boolean"),
        ("ts", json!(null), "no_time: field `ts`: expected a time from 1970 to 9999, found null"),
        ("outcome", json!("ok"), "ok"),
        ("outcome", json!("maybe"), "wrong_type: field `outcome`: expected `ok` or `denied`, found another string"),
        ("outcome", json!(null), "incomplete: field `outcome` is absent"),
        ("reason", json!("unknown_key"), "unknown_key"),
        ("reason", json!("whatever"), "other"),
        ("reason", json!(null), "null"),
        ("reason", json!(1), "wrong_type: field `reason`: expected a string, found another number"),
        ("endpoint_env", json!("Production"), "live"),
        ("endpoint_env", json!("sandbox"), "test"),
        ("endpoint_env", json!("LIVE"), "live"),
        (
            "endpoint_env",
            json!("moon"),
            "wrong_type: field `endpoint_env`: expected `live` or `test`, found another string",
        ),
        ("key_env", json!("test"), "test"),
        ("source_ip", json!("::ffff:203.0.113.9"), "203.0.113.9"),
        ("source_ip", json!("2001:DB8::1"), "2001:db8::1"),
        (
            "source_ip",
            json!("203.0.113.9:443"),
            "wrong_type: field `source_ip`: expected an IP address, found another string",
        ),
        ("status", json!(201), "201"),
        ("status", json!(-1), "null"),
        ("status", json!("201"), "wrong_type: field `status`: expected a number, found a string"),
        ("latency_ms", json!(-1.0), "null"),
        ("country", json!("CH"), "null"),
        ("count", json!(1_000_000), "1000000"),
        ("count", json!(null), "1"),
        ("count", json!(0), "wrong_type: field `count`: expected an integer from 1 to 1,000,000, found another number"),
        (
            "count",
            json!(1_000_001),
            "wrong_type: field `count`: expected an integer from 1 to 1,000,000, found another number",
        ),
        (
            "count",
            json!(1.0),
            "wrong_type: field `count`: expected an integer from 1 to 1,000,000, found another number",
        ),
        (
            "count",
            json!("1"),
            "wrong_type: field `count`: expected an integer from 1 to 1,000,000, found another string",
        ),
        ("status", json!("200"), "wrong_type: field `status`: expected a number, found a string"),
        ("user_agent", json!("a\r\nb\u{7f}"), "a  b "),
        ("user_agent", json!(ua), &ua[..256]),
        ("path", json!("/v1/payments/pay_8c1d22?expand=all#x"), "/v1/payments/{id}"),
        ("path", json!("?a=1"), "null"),
        ("referer", json!("#x"), "null"),
        ("referer", json!("https://shop.example/pay?token=x"), "https://shop.example/pay"),
        ("key_fingerprint", json!("AB12"), "ab12"),
        ("key_hint", json!("caibo_test_sk_…"), "caibo_test_sk_…"),
        ("key_hint", json!("malformed, 27 characters"), "malformed, 27 characters"),
        ("key_hint", json!("…9f2c"), "…9f2c"),
        ("key_hint", json!("correcthorsebattery"), "malformed, 19 characters"),
        ("key_hint", json!(format!("caibo_live_sk_{SECRET}")), "caibo_live_sk_…f0Ga"),
        ("key_hint", json!(format!("caibo_live_sk_…{SECRET}")), "caibo_live_sk_…"),
    ] {
        assert_eq!(outcome_of(field, value.clone()), want, "{field} = {value}");
    }
}

#[test]
fn a_raw_key_leaves_fingerprint_and_hint_only() {
    let raw = format!("caibo_live_sk_{SECRET}");
    for (extra, id, hint, env, has_fingerprint) in [
        (json!({"api_key": raw}), None, Some("caibo_live_sk_…f0Ga"), Some(Env::Live), true),
        (json!({"key_id": raw}), None, Some("caibo_live_sk_…f0Ga"), Some(Env::Live), true),
        (json!({"api_key": raw, "key_id": "k"}), Some("k"), Some("caibo_live_sk_…f0Ga"), Some(Env::Live), true),
        (json!({"api_key": raw, "key_hint": "…f0Ga"}), None, Some("…f0Ga"), Some(Env::Live), true),
        (json!({"api_key": "caibo_test_sk_0123456789abcdef"}), None, Some("caibo_test_sk_…"), Some(Env::Test), true),
        (json!({"api_key": "caibo_test_sk_short"}), None, Some("malformed, 19 characters"), None, false),
        (json!({"api_key": "somebody else's secret key."}), None, Some("malformed, 27 characters"), None, false),
        (json!({"api_key": ""}), None, None, None, false),
        (
            json!({"key_hint": "caibo_test_sk_…9f2c", "key_env": "live"}),
            None,
            Some("caibo_test_sk_…9f2c"),
            Some(Env::Live),
            false,
        ),
    ] {
        let json = event(&extra);
        let got = read(&json);
        assert_eq!(got.key_id.as_deref(), id, "{extra}");
        assert_eq!(got.key_hint.as_deref(), hint, "{extra}");
        assert_eq!(got.key_env, env, "{extra}");
        assert_eq!(got.key_fingerprint.is_some(), has_fingerprint, "{extra}");
    }
    let json = event(&json!({"api_key": raw, "key_fingerprint": "f1"}));
    assert_eq!(read(&json).key_fingerprint.as_deref(), Some("f1"), "the producer's own comes first");
}

#[test]
fn fingerprints_are_hmac_sha_256() {
    // The pinned value comes from another implementation (Python's `hmac`).
    let of = |key: &[u8]| {
        let json = event(&json!({"api_key": "caibo_live_sk_0123456789abcdef"}));
        let decoder = Decoder::new(key, Masker::default());
        decoder.decode_auth(json.as_bytes(), None).unwrap().key_fingerprint.unwrap().into_owned()
    };
    assert_eq!(of(b"Jefe"), "79136a7d27d6fcef2e6631284cc322d053cbbe09834b5d6a25f0eb35bfd45989");
    assert_ne!(of(b"Jefe"), of(b""));
}

#[test]
fn messages_that_are_no_event_say_why() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(127), "]".repeat(127));
    let large = format!(r#"{{"ts":1,"x":"{}"}}"#, "a".repeat(65_536));
    for (payload, want) in [
        (&b""[..], "not_json: byte 0: expected an object"),
        (b"[]", "not_json: byte 0: expected an object"),
        (b"{}x", "not_json: byte 2: expected the end of the message"),
        (b"{\"ts\":1", "not_json: byte 7: expected `,` or `}`"),
        (b"{\"ts\" 1}", "not_json: byte 6: expected `:`"),
        (b"{\"a\":\"\x01\"}", "not_json: byte 6: expected the end of a string"),
        (b"{\"a\":\"\\q\"}", "not_json: byte 7: expected an escape"),
        (b"{\"a\":\"\\ud800\"}", "not_json: byte 12: expected a whole character"),
        (b"{\"a\":01}", "not_json: byte 6: expected `,` or `}`"),
        (b"{\"a\":.5}", "not_json: byte 5: expected a value"),
        (b"{\"a\":\"\xff\"}", "not_json: byte 6: expected UTF-8"),
        (b"{\"count\":true,", "not_json: byte 14: expected a field name"),
        (deep.as_bytes(), "not_json: byte 131: expected less nesting"),
        (large.as_bytes(), "too_large: 65551 bytes, at most 65536 are read"),
        (b"{\"outcome\":\"ok\"}", "no_time: field `ts`: expected a time from 1970 to 9999, found null"),
        (
            b"{\"ts\":1,\"ts\":\"x\",\"outcome\":\"ok\"}",
            "no_time: field `ts`: expected a time from 1970 to 9999, found a string",
        ),
    ] {
        let rejected = decoder().decode_auth(payload, None).unwrap_err();
        let got = format!("{}: {}", rejected.reason.as_str(), rejected.detail);
        assert_eq!(got, want, "{}", String::from_utf8_lossy(&payload[..payload.len().min(80)]));
        assert!(rejected.redacted.len() <= 1024);
    }
    let twice = r#"{"ts":"x","ts":5,"outcome":"ok","count":7,"count":2}"#;
    assert_eq!((read(twice).ts, read(twice).count), (5, 2), "a field that comes twice counts as its last");
}

#[test]
fn facts_are_read_and_bounded() {
    let fact = |extra: Value| {
        let mut fact = json!({"type": "key_regenerated", "ts": NOON, "key_id": "k2"});
        fact.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        decoder().decode_fact(fact.to_string().as_bytes(), None)
    };
    let got =
        fact(json!({"replaces": "k1", "merchant_id": "m", "grace_until": null, "key_hint": "caibo_live_sk_…9f2c",
        "actor_ip": "::ffff:10.0.0.1", "tags": ["a"], "created_at": "2026-11-23T12:00:00Z"}))
        .unwrap()
        .unwrap();
    assert_eq!((got.kind, got.ts, got.grace_until), (FactKind::KeyRegenerated, NOON, None));
    assert_eq!((got.key_id.as_deref(), got.replaces.as_deref()), (Some("k2"), Some("k1")));
    assert_eq!((got.key_env, got.created_at), (Some(Env::Live), Some(NOON)));
    assert_eq!((got.actor_ip.as_deref(), got.tags), (Some("10.0.0.1"), Some(vec!["a".to_owned()])));

    let merchant = fact(json!({"type": "merchant_updated", "merchant_id": "m", "key_id": null, "status": "suspended",
        "contacts": ["a@shop.example", "b@shop.example"], "timezone": "Europe/Vienna", "name": "N".repeat(200)}))
    .unwrap()
    .unwrap();
    assert_eq!(merchant.status, Some(MerchantStatus::Suspended));
    assert_eq!(merchant.contacts.unwrap().len(), 2);
    assert_eq!(merchant.name.unwrap().len(), 128);

    let by_fingerprint = fact(json!({"key_id": null, "key_fingerprint": "AB"})).unwrap().unwrap();
    assert_eq!(by_fingerprint.key_id.as_deref(), Some("fp:ab"));
    let raw = fact(json!({"key_id": format!("caibo_live_sk_{SECRET}"), "replaces": format!("caibo_test_sk_{SECRET}")}));
    let raw = raw.unwrap().unwrap();
    assert_eq!(raw.key_id, raw.key_fingerprint.map(|hash| format!("fp:{hash}")));
    assert!(raw.replaces.unwrap().starts_with("fp:"));

    assert_eq!(decoder().decode_fact(b"", None), Ok(None), "a tombstone says nothing");
    for (extra, want) in [
        (json!({"key_id": null}), "incomplete: field `key_id` or `key_fingerprint` is absent"),
        (json!({"type": "merchant_updated"}), "incomplete: field `merchant_id` is absent"),
        (json!({"type": null}), "incomplete: field `type` is absent"),
        (json!({"type": "key_sung"}), "incomplete: field `type` names no kind of fact that is known here"),
        (json!({"type": 1}), "wrong_type: field `type`: expected a string, found another number"),
        (json!({"ts": null}), "no_time: field `ts`: expected a time from 1970 to 9999, found null"),
        (json!({"expires_at": "never"}), "wrong_type: field `expires_at`: expected a time, found another string"),
        (
            json!({"status": "gone"}),
            "wrong_type: field `status`: expected `active` or `suspended`, found another string",
        ),
        (json!({"tags": [1]}), "wrong_type: field `tags`: expected an array of at most 20 strings"),
        (
            json!({"contacts": "a@b"}),
            "wrong_type: field `contacts`: expected an array of at most 10 strings, found another string",
        ),
        (json!({"contacts": vec!["a@b"; 11]}), "wrong_type: field `contacts`: expected an array of at most 10 strings"),
        (
            json!({"contacts": ["a@b\r\nBcc: c@d"]}),
            "wrong_type: field `contacts`: expected mail addresses of at most 254 bytes",
        ),
        (
            json!({"contacts": ["a@b, c@d"]}),
            "wrong_type: field `contacts`: expected mail addresses of at most 254 bytes",
        ),
        (json!({"contacts": ["nobody"]}), "wrong_type: field `contacts`: expected mail addresses of at most 254 bytes"),
    ] {
        let rejected = fact(extra.clone()).unwrap_err();
        assert_eq!(format!("{}: {}", rejected.reason.as_str(), rejected.detail), want, "{extra}");
    }
}

/// Every way in which a secret of the gateway is written.
fn written_forms(prefix: &str) -> Vec<String> {
    let key = format!("{prefix}{SECRET}");
    vec![
        key.clone(),
        format!("{}{SECRET}", prefix.to_uppercase()),
        key.replace('_', "%5F"),
        key.replace('_', "%255f"),
        key.replace('_', r"\u005f"),
        format!("x{key}y"),
        format!("Bearer {key}"),
        format!("https://a.example/{key}/b"),
        format!("api_key={key}&b"),
        format!("{key} {key}"),
    ]
}

#[track_caller]
fn assert_hidden(what: &str, text: &str) {
    for part in [SECRET, &SECRET[..12], &SECRET[10..24], &SECRET[20..28]] {
        assert!(!text.contains(part), "{what}: {part} is seen in {text}");
    }
}

#[test]
fn no_planted_secret_gets_through() {
    let fields = [
        "event_id",
        "key_id",
        "key_fingerprint",
        "api_key",
        "key_hint",
        "key_env",
        "merchant_id",
        "endpoint_env",
        "method",
        "path",
        "source_ip",
        "forwarded_for",
        "user_agent",
        "origin",
        "referer",
        "outcome",
        "reason",
        "status",
        "latency_ms",
        "request_id",
        "count",
        "ts",
        "unknown",
        "type",
        "created_at",
        "replaces",
        "grace_until",
        "expires_at",
        "revoked_at",
        "actor",
        "actor_ip",
        "name",
        "timezone",
        "locale",
        "tags",
        "contacts",
    ];
    let decoder = decoder();
    let mut n_seen = 0;
    for prefix in ["caibo_live_sk_", "caibo_test_sk_", "sk_live_", "rk_test_"] {
        for form in written_forms(prefix) {
            let key = form.as_bytes();
            for field in fields {
                for value in [json!(form), json!([form]), json!({ field: form }), json!(format!("é \"{form}\""))] {
                    let mut message = json!({"ts": NOON, "outcome": "ok", "type": "key_created", "key_id": "k"});
                    message[field] = value;
                    for whole in [message.to_string(), json!({"in": message.to_string()}).to_string()] {
                        for payload in [&whole[..], &whole[..whole.len() - 1]] {
                            let auth = format!("{:?}", decoder.decode_auth(payload.as_bytes(), Some(key)));
                            let fact = format!("{:?}", decoder.decode_fact(payload.as_bytes(), Some(key)));
                            assert_hidden(payload, &auth);
                            assert_hidden(payload, &fact);
                            n_seen += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(20_000 < n_seen, "{n_seen}");
    let utf16: Vec<u8> = format!("caibo_live_sk_{SECRET}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_hidden("UTF-16", &format!("{:?}", decoder.decode_auth(&utf16, None)));
}

#[test]
fn a_long_text_is_cut_between_words_before_it_is_masked() {
    for n in (3_990..4_110).chain([60_000]) {
        let text = format!("{} caibo_live_sk_{SECRET}/{SECRET}", "Basic A/".repeat(n / 8) + &"b".repeat(n % 8));
        for field in ["user_agent", "path", "referer", "origin"] {
            assert_hidden(field, &outcome_of(field, json!(text)));
        }
    }
    assert_eq!(outcome_of("user_agent", json!("a".repeat(5_000))), "null", "one word of that length says nothing");
}

#[test]
fn what_looks_like_a_secret_is_masked_and_nothing_else() {
    let masker = Masker::default();
    for (text, want) in [
        ("caibo_live_sk_0123456789abcdefghij9f2c rest", "caibo_live_sk_…9f2c rest"),
        ("caibo_live_sk_12345678", "caibo_live_sk_…"),
        ("caibo_live_sk_1234", "caibo_live_sk_1234"),
        ("sk_live_51H8abcdefgh", "sk_live_…"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer …"),
        ("authorization=Basic dXNlcjpwYXNz", "authorization=Basic …"),
        ("Basic authentication failed", "Basic authentication failed"),
        ("X-API-Key: hunter2", "X-API-Key: …"),
        ("?a=1&api_key=hunter2&b=2", "?a=1&api_key=…&b=2"),
        (r#"{"password": "pa ss\"word", "x": 1}"#, r#"{"password": "…", "x": 1}"#),
        (r#"{"in":"{\"token\":\"a b\\\"c\",\"n\":1}"}"#, r#"{"in":"{\"token\":\"…\",\"n\":1}"}"#),
        ("api_key%3Dhunter2%26b", "api_key%3D…%26b"),
        ("password=null token: true", "password=null token: true"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1 x", "… x"),
        ("id AKIAIOSFODNN7EXAMPLE.", "id …."),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "… x"),
        ("private_key=-----BEGIN PRIVATE KEY-----\nMI IE", "private_key=…"),
        ("secret Zq7Xw2Lm9Rt4Kp8Vn3Bs6Yd1Hc5Jf0Ga!", "secret …!"),
        ("d41d8cd98f00b204e9800998ecf8427e", "…"),
        ("9f1c2f9e-7b3a-4a9e-8a53-0d5e2f1f6f11", "9f1c2f9e-7b3a-4a9e-8a53-0d5e2f1f6f11"),
        ("x86_64-unknown-linux-gnu-with-a-long-name", "x86_64-unknown-linux-gnu-with-a-long-name"),
        ("listPaymentMethodsOfCustomerAccountsV2", "listPaymentMethodsOfCustomerAccountsV2"),
        ("tokenizer secretary: x", "tokenizer secretary: x"),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
        ),
        ("", ""),
    ] {
        assert_eq!(masker.mask_text(text), want, "{text}");
        assert_eq!(masker.mask_text(want), want, "masking {want} twice");
    }
    let other = Masker::new(&["acme-", "", "x"]);
    assert_eq!(other.mask_id("ACME-0123456789abcdef01239f2c"), "acme-…9f2c");
    assert_eq!(
        other.mask_id("caibo_live_sk_1234567890"),
        "caibo_live_sk_1234567890",
        "prefixes are what they are set to"
    );
}

#[test]
fn a_cut_never_shows_a_part_of_a_secret() {
    let masker = Masker::default();
    for padding in 0..80 {
        for n_max in [16, 40, 64] {
            let text = format!("{}{} caibo_live_sk_{SECRET} tail", "a ".repeat(padding), "b".repeat(padding % 3));
            let masked = masker.mask_bytes(text.as_bytes(), n_max);
            assert!(masked.len() <= n_max);
            assert_hidden(&text, &masked);
            assert!(!masked.contains("Zq7"), "{masked}");
        }
    }
    assert_eq!(masker.mask_bytes(b"a\x00b\x1b[31m\xffc", 64), "ab [31m\u{fffd}c");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[a-z0-9_./ -]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A valid event: every text plain enough to come through as it is.
fn plain_event() -> impl Strategy<Value = Value> {
    let text = || proptest::option::of("[a-z]{1,12}( [0-9.]{1,6}|é|\"|\\\\)?");
    let id = || proptest::option::of("[a-z]{1,10}-[0-9]{1,8}");
    (0..253_402_300_800_000i64, id(), id(), id(), text(), text(), any::<std::net::IpAddr>(), 1..=1_000_000u32, any::<bool>(), any_json())
        .prop_map(|(ts, event_id, key_id, merchant_id, user_agent, origin, source_ip, count, ok, unknown)| {
            json!({"ts": ts, "event_id": event_id, "key_id": key_id, "merchant_id": merchant_id, "user_agent": user_agent,
                "origin": origin, "source_ip": source_ip.to_string(), "count": count, "outcome": if ok { "ok" } else { "denied" },
                "reason": if ok { Value::Null } else { json!("rotated_key") }, "unknown": unknown})
        })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), limit in 0..100usize) {
        let decoder = decoder();
        let _ = decoder.decode_auth(&bytes, Some(&bytes));
        let _ = decoder.decode_fact(&bytes, Some(&bytes));
        prop_assert!(Masker::default().mask_bytes(&bytes, limit).len() <= limit);
    }

    #[test]
    fn almost_json_never_panics_and_is_judged_as_serde_json_does(json in any_json(), cut in 0..400usize, byte in any::<u8>(), pretty in any::<bool>()) {
        let mut payload = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        if let Some(changed) = payload.get_mut(cut) {
            *changed = byte;
        }
        let is_object = serde_json::from_slice::<Value>(&payload).is_ok_and(|value| value.is_object());
        let is_json = decoder().decode_auth(&payload, None).err().is_none_or(|rejected| rejected.reason != RejectReason::NotJson);
        prop_assert_eq!(is_object, is_json, "{}", String::from_utf8_lossy(&payload));
    }

    #[test]
    fn a_valid_event_reads_as_serde_json_reads_it(event in plain_event(), pretty in any::<bool>()) {
        let json = if pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) }.unwrap();
        let got = decoder().decode_auth(json.as_bytes(), None).unwrap();
        let text = |field: &str| event[field].as_str();
        prop_assert_eq!(got.ts, event["ts"].as_i64().unwrap());
        prop_assert_eq!(got.event_id.as_deref(), text("event_id"));
        prop_assert_eq!(got.key_id.as_deref(), text("key_id"));
        prop_assert_eq!(got.merchant_id.as_deref(), text("merchant_id"));
        prop_assert_eq!(got.user_agent.as_deref(), text("user_agent"));
        prop_assert_eq!(got.origin.as_deref(), text("origin"));
        prop_assert_eq!(got.source_ip, text("source_ip").map(|ip| ip.parse::<std::net::IpAddr>().unwrap().to_canonical()));
        prop_assert_eq!(u64::from(got.count), event["count"].as_u64().unwrap());
        prop_assert_eq!(got.outcome == Outcome::Ok, text("outcome") == Some("ok"));
        prop_assert_eq!(got.reason, text("reason").map(Refusal::from_word));
    }

    #[test]
    fn masking_twice_is_masking_once(text in masked_soup()) {
        let masker = Masker::default();
        for mask in [Masker::mask_text, Masker::mask_id] {
            let once = mask(&masker, &text).into_owned();
            prop_assert_eq!(mask(&masker, &once), once.as_str());
        }
    }

    #[test]
    fn masked_text_contains_no_planted_secret(before in masked_soup(), after in masked_soup(), form in 0..10usize, live in any::<bool>()) {
        let prefix = if live { "caibo_live_sk_" } else { "caibo_test_sk_" };
        let text = format!("{before} {} {after}", written_forms(prefix)[form]);
        let masker = Masker::default();
        for masked in [masker.mask_text(&text).into_owned(), masker.mask_id(&text).into_owned(), masker.mask_bytes(text.as_bytes(), 1024)] {
            prop_assert!(!masked.contains(&SECRET[..8]) && !masked.contains(&SECRET[8..24]), "{} became {}", text, masked);
        }
    }
}

/// Texts made of what the masker looks for.
fn masked_soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "caibo_live_sk_",
            "CAIBO_TEST_SK_",
            "sk_live_",
            "Bearer ",
            "basic",
            "api_key",
            "token",
            "password",
            "=",
            ":",
            "\"",
            "'",
            "\\",
            "\\\"",
            "%",
            "%25",
            "5f",
            "\\u005f",
            "eyJ",
            "AKIA",
            "-----BEGIN PRIVATE KEY-----",
            "-----END ",
            "…",
            " ",
            "&",
            ".",
            "é",
            "_",
            "[",
            "null",
            "authorization",
            "0123456789abcdef"
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9]{1,20}",
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
