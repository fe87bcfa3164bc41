//! Facts from files: what a bad file is told, what a good one changes, and that a running service takes it up.

#[path = "import/command.rs"]
mod command;
#[path = "import/service.rs"]
mod service;

use keywatch::event::auth::Decoder;
use keywatch::event::facts::FactKind;
use keywatch::event::redact::Masker;
use keywatch::import::{Columns, Parsed, Reading, parse, render};
use keywatch::time::{Millis, parse_rfc3339, rfc3339};

/// What no message may ever contain.
const RAW: &str = "caibo_live_sk_pl4ntedpl4ntedpl4nted99";

fn at(text: &str) -> Millis {
    parse_rfc3339(text).unwrap()
}

/// `flags`: `map FIELD=COLUMN`, `ignore COLUMN`, `by CHAR`, `ts TIME`, `secret`, with commas between them.
fn read(flags: &str, text: &str) -> Parsed {
    let masker = Masker::default();
    let decoder = Decoder::new(b"test", masker.clone());
    let mut reading = Reading {
        form: None,
        columns: Columns { delimiter: b',', map: Vec::new(), ignore: Vec::new() },
        ts: None,
        now: at("2026-11-27T00:00:00Z"),
        has_fingerprint_secret: false,
        decoder: &decoder,
        masker: &masker,
    };
    for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
        let (name, value) = flag.split_once(' ').unwrap_or((flag, ""));
        match name {
            "map" => {
                let (field, column) = value.split_once('=').unwrap();
                let field = keywatch::import::FIELDS.into_iter().find(|known| *known == field).unwrap();
                reading.columns.map.push((field, column.into()));
            }
            "ignore" => reading.columns.ignore.push(value.into()),
            "by" => reading.columns.delimiter = value.as_bytes()[0],
            "ts" => reading.ts = Some(at(value)),
            "secret" => reading.has_fingerprint_secret = true,
            other => panic!("{other}"),
        }
    }
    parse(text.as_bytes(), &reading)
}

#[test]
fn every_problem_is_told_with_its_line_and_none_shows_a_secret() {
    let many = format!("key_id,created_at\n{}", "k,today\n".repeat(30));
    let raw_key = format!("key_id,created_at\n{RAW},2026-01-01T00:00:00Z\n");
    let raw_header = format!("key_1,{RAW}\nkey_2,{RAW}\n");
    let mut shown = String::new();
    for (flags, text) in [
        ("", "key_id,merchent_id,created_at\nk1,m1,2026-01-01T00:00:00Z\n"),
        ("", "key_id,owner\nk1,me\n"),
        ("", "key_id;merchant_id\nk1;m1\n"),
        ("map key_id=ID,ignore remarks", "Id,merchant_id,remark\n"),
        ("map key_id=ID", "ID,ID\nk1,k2\n"),
        ("map key_id=ID", "ID,key_id\nk1,k2\n"),
        ("", "key_id,created_at\nk1,2026-01-01\nk2,2026-13-01T00:00:00Z\nk3,1767225600000\n"),
        ("map created_at=Created", "key_id,Created\nk1,2026-01-01 10:00\n"),
        ("", "key_id,merchant_id\nk1,m1\n"),
        ("", "key_id,created_at\n,2026-01-01T00:00:00Z\n"),
        ("", "key_id,created_at,name\nk1,2026-01-01T00:00:00Z,a,b\n"),
        ("", "merchant_id,contacts,ts\nm1,a@example.com b@example.com,2026-01-01T00:00:00Z\n"),
        ("", "key_id,type,ts\nk1,key_made,2026-01-01T00:00:00Z\n"),
        ("", "key_id,status,created_at\nk1,revoked,2026-01-01T00:00:00Z\n"),
        ("ts 2026-11-01T00:00:00Z", "key_id,replaces\nk2,k1\n"),
        ("", "key_id,created_at\nk1,2062-01-01T00:00:00Z\n"),
        ("", &raw_key),
        ("", &raw_header),
        ("", "[{\"key_id\": \"k1\"}]\n"),
        ("", "{\"key_id\": \"k1\", \"created_at\": 1}\n{\"key_id\": \n{\"key_id\": 7, \"created_at\": 1}\n"),
        ("", &many),
    ] {
        let parsed = read(flags, text);
        assert!(!parsed.wrong.is_empty(), "{flags}\n{text}");
        let head: String = text.lines().take(2).map(|line| format!("| {line}\n")).collect();
        shown += &format!("{flags}\n{head}{}\n", render(&parsed, "x.csv", "error"));
    }
    let told = shown.replace(&format!("| key_1,{RAW}\n| key_2,{RAW}"), "").replace(&format!("| {RAW}"), "");
    assert!(!told.contains("pl4nted"), "{told}");
    insta::with_settings!({snapshot_path => "data/import", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("problems", told);
    });
}

#[test]
fn latin_1_is_told_from_utf_8() {
    let masker = Masker::default();
    let decoder = Decoder::new(b"test", masker.clone());
    let columns = Columns { delimiter: b',', map: Vec::new(), ignore: Vec::new() };
    let (decoder, masker) = (&decoder, &masker);
    let reading = Reading { form: None, columns, ts: Some(0), now: 0, has_fingerprint_secret: false, decoder, masker };
    let parsed = parse(b"key_id,name\nk1,caf\xe9\n", &reading);
    assert_eq!(parsed.wrong[0].message, "column `name`: not UTF-8");
}

/// One line a fact: kind, date, subject and what else is checked.
fn facts(flags: &str, text: &str) -> Vec<String> {
    let parsed = read(flags, text);
    assert!(parsed.wrong.is_empty(), "{}", render(&parsed, "x", "error"));
    let one = |fact: &keywatch::event::facts::Fact| {
        let kind = match fact.kind {
            FactKind::KeyCreated => "created",
            FactKind::KeyRegenerated => "regenerated",
            FactKind::KeyRevoked => "revoked",
            FactKind::MerchantUpdated => "merchant",
            other => panic!("{other:?}"),
        };
        let texts = [fact.key_id.as_deref(), fact.merchant_id.as_deref(), fact.replaces.as_deref()];
        let texts: Vec<&str> = texts.into_iter().flatten().collect();
        let contacts = fact.contacts.clone().unwrap_or_default().join("+");
        format!("{kind} {} {} {contacts}", &rfc3339(fact.ts)[..10], texts.join("/")).trim_end().to_owned()
    };
    parsed.facts.iter().map(one).collect()
}

#[test]
fn what_a_row_leaves_out_is_filled_in() {
    let check = |flags: &str, text: &str, want: &[&str]| assert_eq!(facts(flags, text), want, "{flags}\n{text}");
    check("", "key_id,merchant_id,created_at\nk1,m1,2026-01-01T00:00:00Z\n", &["created 2026-01-01 k1/m1"]);
    check("", "\u{feff}key_id,created_at\r\nk1,1767225600000\r\n\r\n", &["created 2026-01-01 k1"]);
    check("ts 2026-11-01T00:00:00Z", "key_id,created_at\nk1,2026-01-01T00:00:00Z\n", &["created 2026-11-01 k1"]);
    check(
        "ts 2026-11-01T00:00:00Z",
        "merchant_id,contacts\nm1,a@x.y; b@x.y;\n",
        &["merchant 2026-11-01 m1 a@x.y+b@x.y"],
    );
    check(
        "by ;,ts 2026-11-01T00:00:00Z",
        "merchant_id;contacts\nm1;\"a@x.y;b@x.y\"\n",
        &["merchant 2026-11-01 m1 a@x.y+b@x.y"],
    );
    // A replacement has its own date, however often and whenever the table is made.
    check(
        "ts 2026-11-01T00:00:00Z",
        "key_id,replaces,created_at\nk2,k1,2026-01-01T00:00:00Z\n",
        &["regenerated 2026-01-01 k2/k1", "created 2026-11-01 k2/k1"],
    );
    check("", "key_id,replaces,created_at\nk2,k1,2026-01-01T00:00:00Z\n", &["regenerated 2026-01-01 k2/k1"]);
    // A table of keys that also names merchants' contacts.
    check(
        "ts 2026-11-01T00:00:00Z",
        "key_id,merchant_id,contacts\nk1,m1,a@x.y\n",
        &["created 2026-11-01 k1/m1 a@x.y", "merchant 2026-11-01 m1 a@x.y"],
    );
    check(
        "map key_id=ID,map created_at=Created,ignore Remarks",
        "ID,Created,Remarks\nk1,2026-01-01T00:00:00Z,mine\n",
        &["created 2026-01-01 k1"],
    );
    check("", "{\"key_id\":\"k1\",\"type\":\"key_revoked\",\"revoked_at\":0}\n\n", &["revoked 1970-01-01 k1"]);
    check("", "", &[]);
    check("", "key_id\n", &[]);
}

#[test]
fn a_raw_key_leaves_only_its_fingerprint() {
    let parsed = read("secret", &format!("api_key,created_at\n{RAW},2026-01-01T00:00:00Z\n"));
    assert!(parsed.wrong.is_empty() && parsed.facts.len() == 1, "{parsed:?}");
    assert!(parsed.facts[0].key_fingerprint.is_some() && parsed.facts[0].key_hint.is_some());
    assert!(!format!("{parsed:?}").contains("pl4nted"), "{parsed:?}");
}
