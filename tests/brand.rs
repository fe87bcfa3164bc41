//! Another gateway: its own name, address, key page and keys in every text, and not a word of the default one's.

use std::path::Path;
use std::process::Command;

use keywatch::alert::Alert;
use keywatch::simulate::{Incidents, Plan, simulate};

const CONFIG: &str = "\
brand:
  name: Acme Pay
  support: help@acme.example
  key_page: Acme dashboard (Developers, Keys)
  link: https://dashboard.acme.example/keys
  keys:
    live: [acme_live_, acme_prod_]
    test: [acme_sandbox_]
source:
  kafka:
    brokers: localhost:9092
mail:
  from: keywatch@acme.example
  support: [help@acme.example]
  operations: [ops@acme.example]
";

fn keywatch(folder: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch")).args(args).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Every file of a folder, one after the other.
fn all_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_foreign_brand_is_in_every_text_and_the_default_in_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let plan = Plan {
        seed: 7,
        keys: 80,
        days: 24,
        starts_at: 1_785_542_400_000,
        incidents: Incidents::Spread,
        unused_for: 7 * keywatch::time::DAY,
        traffic: keywatch::simulate::Traffic::Usual,
    };
    simulate(&plan, &mut events, &mut facts).unwrap();
    let renamed = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).replace("caibo_live_sk_", "acme_live_");
        text.replace("caibo_test_sk_", "acme_sandbox_").replace("caibo", "acme")
    };
    // One more call with a raw key in its path, as a careless producer would send it.
    let raw = "acme_live_0123456789abcdef0123456789abcdef";
    let careless = format!(
        r#"{{"ts":"{}","outcome":"ok","merchant_id":"m_1","api_key":"{raw}","path":"/v1/{raw}","user_agent":"x {raw}"}}"#,
        "2026-09-01T00:00:00Z"
    );
    std::fs::write(path("events.jsonl"), careless + "\n" + &renamed(events)).unwrap();
    std::fs::write(path("facts.jsonl"), renamed(facts)).unwrap();
    std::fs::write(path("acme.yml"), CONFIG).unwrap();
    let rules = std::fs::canonicalize("rules").unwrap();
    let mut args = vec!["replay", "--rules", rules.to_str().unwrap(), "--config", "acme.yml"];
    args.extend(["--events", "events.jsonl", "--key-events", "facts.jsonl"]);
    args.extend(["--mail-out", "mails", "--save-state", "state.db", "--alerts-out", "-"]);
    let records = keywatch(folder.path(), &args);
    let mails = all_in(&path("mails"));
    let alerts: Vec<Alert> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: std::collections::BTreeSet<&str> = alerts.iter().map(|alert| alert.kind.as_str()).collect();
    assert!(kinds.len() >= 5 && mails.len() > 10, "{kinds:?}, {} mails", mails.len());

    std::fs::write(path("state.yml"), CONFIG.to_owned() + "store:\n  url: sqlite:state.db\n").unwrap();
    let mut shown = keywatch(folder.path(), &["alerts", "list", "--config", "state.yml"]);
    for alert in alerts.iter().take(20) {
        shown += &keywatch(folder.path(), &["alerts", "show", &alert.alert_id, "--config", "state.yml"]);
    }
    for text in mails.iter().chain([&records, &shown]) {
        assert!(!text.to_ascii_lowercase().contains("caibo") && !text.contains("{{"), "{text}");
        assert!(!text.contains(&raw[..26]), "a raw key: {text}");
    }
    for words in ["help@acme.example", "Acme dashboard (Developers", "acme_live_…"] {
        assert!(records.contains(words), "{words}");
    }
    let merchants: Vec<&String> = mails.iter().filter(|mail| mail.contains("We never ask you for a key")).collect();
    assert!(merchants.len() > 3, "{}", merchants.len());
    for mail in merchants {
        let text = mail.replace("=\r\n", "").replace("\r\n", " ");
        assert!(text.contains("https://dashboard.acme.example/keys") && !text.contains("no links"), "{text}");
    }
}

#[test]
fn environments_come_from_the_brands_prefixes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("acme.yml"), CONFIG).unwrap();
    let event = |n: u32, key: &str| {
        format!(
            r#"{{"ts":"2026-11-23T08:{n:02}:00Z","outcome":"denied","reason":"wrong_environment","merchant_id":"m_1","key_id":"key_{n}","key_hint":"{key}","endpoint_env":"live","source_ip":"192.0.2.1"}}"#
        )
    };
    let lines = [event(1, "acme_sandbox_…9f2c"), event(2, "acme_prod_…9f2c"), event(3, "caibo_test_sk_…9f2c")];
    std::fs::write(path("events.jsonl"), lines.join("\n")).unwrap();
    let rules = std::fs::canonicalize("rules").unwrap();
    let mut args = vec!["replay", "--rules", rules.to_str().unwrap(), "--config", "acme.yml"];
    args.extend(["--events", "events.jsonl", "--alerts-out", "-"]);
    let records = keywatch(folder.path(), &args);
    let keys: Vec<String> =
        records.lines().filter_map(|line| serde_json::from_str::<Alert>(line).unwrap().key_id).collect();
    assert_eq!(keys, ["key_1"], "{records}");
}
