//! Logs of other gateways: real samples of each preset against golden events, mappings of one's own, and what breaks.

use std::path::Path;
use std::process::Command;

use keywatch::event::auth::Decoder;
use keywatch::event::mapping::{Format, Mapping, PRESETS, RECORDS_MAX, Take, preset};
use keywatch::event::proxies::Cidr;
use keywatch::event::redact::Masker;
use keywatch::source::file::FileSource;

const SECRET: &str = "caibo_live_sk_4f9a8b7c6d5e4f3a2b1c0d9e";

fn decoder(format: Format) -> Decoder {
    Decoder::new(b"test", Masker::default()).with_format(format)
}

/// Every event or complaint of a file, a line each.
fn decoded(decoder: &Decoder, path: &Path) -> String {
    let mut source = FileSource::open(path, "file", 0).unwrap();
    if decoder.holds_several() {
        source = source.of_documents();
    }
    let mut text = String::new();
    while let Some(batch) = source.next_batch().unwrap() {
        for message in &batch.messages {
            decoder.decode_each(batch.payload(message), |event| {
                text += &match event {
                    Ok(event) => serde_json::to_string(&event).unwrap(),
                    Err(rejected) => format!("{}: {}", rejected.reason.as_str(), rejected.detail),
                };
                text.push('\n');
            });
        }
    }
    text
}

#[test]
fn each_preset_reads_real_samples() {
    for (name, file) in
        [("kong", "kong.jsonl"), ("envoy", "envoy.jsonl"), ("cloudtrail", "cloudtrail.json"), ("nginx", "nginx.jsonl")]
    {
        let decoder = decoder(Format::Mapped(preset(name).unwrap()));
        let text = decoded(&decoder, &Path::new("tests/data/formats").join(file));
        assert!(!text.contains(SECRET), "{text}");
        insta::with_settings!({snapshot_path => "data/formats", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, text);
        });
    }
    assert_eq!(PRESETS.iter().filter(|(name, _)| preset(name).is_some()).count(), PRESETS.len() - 1, "but for native");
}

#[test]
fn a_replay_reads_each_preset() {
    for (name, file, judged) in [
        ("kong", "kong.jsonl", "3 lines"),
        ("envoy", "envoy.jsonl", "3 lines"),
        ("cloudtrail", "cloudtrail.json", "1 line"),
        ("nginx", "nginx.jsonl", "4 lines"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_keywatch"))
            .args(["replay", "--rules", "rules", "--format", name, "--events"])
            .arg(Path::new("tests/data/formats").join(file))
            .output()
            .unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert!(run.status.success() && told.contains(judged) && told.contains("judged"), "{name}: {told}");
        assert!(!told.contains("no event"), "{name}: {told}");
    }
}

fn pointer(at: &str) -> Take {
    Take::Pointers(vec![at.into()])
}

#[test]
fn a_mapping_of_ones_own_takes_what_it_names() {
    let words = [("prod", "live"), ("sandbox", "test")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    let mapping = Mapping {
        records: Some("/batch/items".into()),
        names_access_keys: false,
        fields: vec![
            ("ts", pointer("/at")),
            ("status", pointer("/code")),
            ("key_id", Take::Pointers(vec!["/key".into(), "/credential/0".into()])),
            ("merchant_id", Take::Always("m_1".into())),
            ("endpoint_env", Take::Words("/stage".into(), words)),
            ("path", pointer("/a~1b/path")),
            ("source_ip", pointer("/peer")),
            ("count", pointer("/n")),
        ],
    };
    let decoder = decoder(Format::Mapped(mapping));
    let message = br#"{"batch":{"items":[
        {"at":1726783838.5,"code":"200","key":"k1","stage":"prod","a/b":{"path":"/v1/pay?card=4"},"peer":"[2001:db8::1]:443","n":7},
        {"at":"2024-09-19T22:10:38Z","code":403,"credential":["k2"],"stage":"staging","peer":"ec2.amazonaws.com"},
        {"at":"soon","code":200},
        {"code":200},
        7,
        {"at":1,"code":200,"n":0}
    ]}}"#;
    let mut found = Vec::new();
    decoder.decode_each(message, |event| {
        found.push(match event {
            Ok(e) => format!(
                "{} {:?} {:?} {:?} {:?} {:?} {:?} x{}",
                e.ts, e.outcome, e.reason, e.key_id, e.endpoint_env, e.path, e.source_ip, e.count
            ),
            Err(rejected) => format!("{}: {}", rejected.reason.as_str(), rejected.detail),
        });
    });
    let want = [
        r#"1726783838500 Ok None Some("k1") Some(Live) Some("/v1/pay") Some(2001:db8::1) x7"#,
        r#"1726783838000 Denied None Some("k2") None None None x1"#,
        "no_time: record 2: field `ts`: expected a time from 1970 to 9999, found a string",
        "no_time: record 3: field `ts`: expected a time from 1970 to 9999, found null",
        "not_json: record 4: a record is no JSON object",
        "wrong_type: record 5: field `count`: expected an integer from 1 to 1,000,000, found another number",
    ];
    assert_eq!(found, want);
}

#[test]
fn a_status_is_a_decision_where_nothing_else_is() {
    let mapping = Mapping {
        records: None,
        names_access_keys: false,
        fields: vec![
            ("ts", pointer("/ts")),
            ("status", pointer("/s")),
            ("key_id", pointer("/k")),
            ("reason", pointer("/r")),
        ],
    };
    let decoder = decoder(Format::Mapped(mapping));
    for (status, more, want) in [
        ("200", "", "Ok None"),
        ("404", "", "Ok None"),
        ("503", "", "Ok None"),
        ("401", "", "Denied Some(UnknownKey)"),
        ("401", r#","k":"k1""#, "Denied Some(Other)"),
        ("403", "", "Denied None"),
        ("429", "", "Denied Some(RateLimited)"),
        ("401", r#","r":"revoked_key""#, "Denied Some(RevokedKey)"),
        ("null", "", "incomplete"),
    ] {
        let message = format!(r#"{{"ts":1726783838123,"s":{status}{more}}}"#);
        decoder.decode_each(message.as_bytes(), |event| {
            let found = match event {
                Ok(e) => format!("{:?} {:?}", e.outcome, e.reason),
                Err(rejected) => rejected.reason.as_str().to_owned(),
            };
            assert_eq!(found, want, "{message}");
        });
    }
}

#[test]
fn what_is_broken_is_refused_whole_and_what_is_too_much_in_part() {
    let cloudtrail = decoder(Format::Mapped(preset("cloudtrail").unwrap()));
    let complaint = |message: &str| {
        let mut told = Vec::new();
        cloudtrail.decode_each(message.as_bytes(), |event| told.push(event.unwrap_err()));
        told
    };
    let broken = complaint(&format!(r#"{{"Records":[{{"eventTime":"2024-01-01T00:00:00Z","api_key":"{SECRET}"}},"#));
    assert_eq!((broken.len(), broken[0].reason.as_str()), (1, "not_json"));
    assert!(broken[0].detail.contains("line 1, column") && !broken[0].redacted.contains(SECRET), "{broken:?}");
    let many = format!(r#"{{"Records":[{}0]}}"#, "0,".repeat(RECORDS_MAX + 5));
    let told = complaint(&many);
    assert_eq!(told.len(), RECORDS_MAX + 1);
    assert!(told[RECORDS_MAX].detail.contains("10006 records, at most 10000"), "{}", told[RECORDS_MAX].detail);
    let nested = format!(r#"{{"Records":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
    assert_eq!(complaint(&nested)[0].reason.as_str(), "not_json", "too deep");
}

#[test]
fn forwarded_for_counts_only_behind_trusted_proxies() {
    let line = br#"{"ts":1726783838123,"key_id":"k","outcome":"ok","source_ip":"10.0.0.9","forwarded_for":"6.6.6.6, 203.0.113.9, 10.0.0.8"}"#;
    let client = |decoder: &Decoder| decoder.decode_auth(line, None).unwrap().source_ip.unwrap().to_string();
    let plain = Decoder::new(b"test", Masker::default());
    assert_eq!(client(&plain), "10.0.0.9");
    assert_eq!(client(&plain.clone().behind(vec![Cidr::parse("10.0.0.0/8").unwrap()])), "203.0.113.9");
    assert_eq!(client(&plain.behind(vec![Cidr::parse("192.0.2.0/24").unwrap()])), "10.0.0.9");
}
