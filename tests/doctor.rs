//! `keywatch doctor` as its users meet it, against librdkafka's mock cluster: what it prints, how it ends, what it leaves.

use std::path::Path;
use std::process::{Command, Output};

use keywatch::app::rulebook::read_rules;
use keywatch::brand::Brand;
use keywatch::config::{Secret, StoreConfig};
use keywatch::doctor::Check;
use keywatch::simulate::mmdb;
use keywatch::source::kafka::testing::{Mock, Producer, committed};
use keywatch::store::{ShardId, Store};
use keywatch::time::{DAY, MINUTE, Millis, SECOND, rfc3339};
use keywatch::wall;

/// A folder with all that a configuration needs, and a broker.
struct Ground {
    dir: tempfile::TempDir,
    mock: Mock,
    producer: Producer,
}

impl Ground {
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        std::os::unix::fs::symlink(rules, dir.path().join("rules")).unwrap();
        let mock = Mock::start().unwrap();
        mock.create_topic("auth-events", 2).unwrap();
        let producer = Producer::connect(&mock.brokers()).unwrap();
        Ground { dir, mock, producer }
    }

    /// Writes the configuration: a store and mails as files, and what else is given.
    fn configure(&self, brokers: &str, more: &str) {
        let text = format!(
            "source:\n  kafka:\n    brokers: {brokers}\nhttp:\n  listen: 127.0.0.1:0\nmail:\n  from: kw@shop.example\n  \
             support: [help@shop.example]\n  operations: [ops@shop.example]\n  transport:\n    files:\n      directory: \
             outbox\n{more}"
        );
        std::fs::write(self.dir.path().join("keywatch.yml"), text).unwrap();
    }

    fn event(&self, partition: i32, key: Option<&str>, merchant: &str, at: Millis, more: &str) {
        let text = format!(
            r#"{{"event_id":"evt_{partition}_{at}","ts":"{}","key_id":"key_{merchant}","merchant_id":"{merchant}","outcome":"ok"{more}}}"#,
            rfc3339(at)
        );
        self.send("auth-events", partition, key, &text);
    }

    fn send(&self, topic: &str, partition: i32, key: Option<&str>, text: &str) {
        self.producer.send(topic, partition, key.map(str::as_bytes), Some(text.as_bytes())).unwrap();
    }

    /// Traffic as it should be.
    fn good_traffic(&self) {
        let from = wall::now() - 150 * MINUTE;
        for i in 0..20 {
            for (partition, merchant) in [(0, "m_1"), (1, "m_2")] {
                let at = from + i * SECOND;
                self.event(partition, Some(merchant), merchant, at, r#","source_ip":"203.0.113.9""#);
            }
        }
        self.mock.create_topic("key-events", 1).unwrap();
        let fact = r#"{"type":"key_created","ts":"2026-01-01T00:00:00Z","key_id":"key_m_1","merchant_id":"m_1"}"#;
        self.send("key-events", 0, Some("m_1/key_m_1"), fact);
        self.producer.flush().unwrap();
    }

    fn doctor(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
        command.arg("doctor").args(args).current_dir(self.dir.path()).env("COLUMNS", "80");
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(env.iter().copied()).output().unwrap()
    }

    /// What is in the folder, by name, with its bytes.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<(String, Vec<u8>)> = entries
            .filter(|path| path.is_file())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The same text without what differs from run to run.
fn settled(text: &str, mock: &Mock) -> String {
    let rules = read_rules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"), &Brand::default()).unwrap();
    let mut text = text.replace(&mock.brokers(), "BROKER").replace(&rules.version, "VERSION");
    for after in [" s old", " GiB free"] {
        text = without_number(&text, after);
    }
    text
}

/// Each number that stands before a text, as `N`.
fn without_number(text: &str, after: &str) -> String {
    let mut parts = text.split(after);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kept = out.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        out.truncate(kept);
        out.push('N');
        out.push_str(after);
        out.push_str(part);
    }
    out
}

/// Compares with `tests/data/doctor/NAME.snap`.
#[track_caller]
fn golden(name: &str, shown: &str) {
    insta::with_settings!({snapshot_path => "data/doctor", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, shown);
    });
}

#[test]
fn all_is_well() {
    let ground = Ground::new();
    ground.configure(&ground.mock.brokers(), "");
    ground.good_traffic();
    let before = ground.files();
    let ran = ground.doctor(&[], &[]);
    let shown = text(&ran);
    assert_eq!(ran.status.code(), Some(0), "{shown}");
    golden("all_is_well", &settled(&shown, &ground.mock));

    assert_eq!(ground.files(), before, "it leaves nothing behind");
    assert!(!ground.dir.path().join("outbox").exists());
    assert_eq!(committed(&ground.mock.brokers(), "keywatch", "auth-events", 0), Ok(None), "and commits nothing");
}

#[test]
fn much_is_wrong() {
    let ground = Ground::new();
    std::fs::write(ground.dir.path().join("outbox"), "a file").unwrap();
    let entry = mmdb::Entry {
        first: "2001:db8::".parse().unwrap(),
        bits: 32,
        value: mmdb::Value::Map(vec![("autonomous_system_number".into(), mmdb::Value::Uint32(64500))]),
    };
    let old = mmdb::write("GeoLite2-ASN", &[entry], 1_700_000_000);
    std::fs::write(ground.dir.path().join("old.mmdb"), old).unwrap();
    let more = "store:\n  url: sqlite:gone/keywatch.db\ngeoip:\n  databases: [old.mmdb, none.mmdb]\n";
    ground.configure(&ground.mock.brokers(), more);
    let from = wall::now() - 150 * MINUTE;
    for i in 0..10 {
        let more = r#","source_ip":"10.0.0.9","forwarded_for":"203.0.113.9","api_key":"caibo_live_sk_0123456789abcdef0123456789abcdef""#;
        ground.event((i % 2) as i32, Some("key_m_1"), "m_1", from + i * SECOND, more);
    }
    ground.send("auth-events", 0, None, "hello caibo_live_sk_0123456789abcdef0123456789abcdef");
    ground.producer.flush().unwrap();
    let ran = ground.doctor(&[], &[]);
    let shown = text(&ran);
    assert_eq!(ran.status.code(), Some(1), "{shown}");
    assert!(!shown.contains("0123456789abcdef"), "a secret is shown: {shown}");
    let years = shown.lines().map(|line| match line.split_once(", built 2023-11-14, ") {
        Some((before, _)) => format!("{before}, built 2023-11-14, N days ago\n"),
        None => format!("{line}\n"),
    });
    golden("much_is_wrong", &settled(&years.collect::<String>(), &ground.mock));
}

#[test]
fn without_a_broker_the_rest_is_looked_at() {
    let ground = Ground::new();
    ground.configure("127.0.0.1:9", "");
    let ran = ground.doctor(&[], &[]);
    let shown = text(&ran);
    assert_eq!(ran.status.code(), Some(1), "{shown}");
    golden("without_a_broker", &settled(&shown, &ground.mock));
}

#[test]
fn programs_get_an_array_and_narrow_terminals_short_lines() {
    let ground = Ground::new();
    ground.configure(&ground.mock.brokers(), "");
    ground.good_traffic();
    let all: Vec<serde_json::Value> = serde_json::from_str(&text(&ground.doctor(&["-o", "json"], &[]))).unwrap();
    let names: Vec<&str> = all.iter().map(|one| one["check"].as_str().unwrap()).collect();
    let mut expected: Vec<&str> = Check::ALL.iter().map(|check| check.name()).collect();
    expected.insert(6, "topic");
    assert_eq!(names, expected, "in order, and a line for each topic");
    for one in &all {
        assert_eq!(one["hint"].is_null(), one["status"] == "ok", "{one}");
    }

    let narrow = text(&ground.doctor(&["--sample", "5"], &[("COLUMNS", "40")]));
    let flat = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("10 of 10 are events"), "{narrow}");
    for line in narrow.lines().filter(|line| line.contains(' ')) {
        assert!(line.chars().count() <= 40 || line.trim().split(' ').count() < 2, "{line}");
    }
    let coloured = text(&ground.doctor(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(coloured.contains("\x1b[32mok\x1b[0m       "), "{coloured}");
    let plain = text(&ground.doctor(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!plain.contains('\x1b'));
}

#[test]
fn an_invalid_configuration_is_said_as_config_check_says_it() {
    let ground = Ground::new();
    ground.configure(&ground.mock.brokers(), "limits:\n  latenes: 5m\n");
    let ran = ground.doctor(&[], &[]);
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0));
    let checked = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .args(["config", "check"])
        .current_dir(ground.dir.path())
        .env("COLUMNS", "80")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_compared_with_the_disk_and_with_kafka() {
    let ground = Ground::new();
    ground.configure(&ground.mock.brokers(), "");
    ground.good_traffic();
    let url = format!("sqlite:{}", ground.dir.path().join("keywatch.db").display());
    let config = StoreConfig { url: Secret::new(url), max_connections: 1, migrate: true };
    let store = Store::open(&config).await.unwrap();
    store.migrate().await.unwrap();
    let now = wall::now();
    for (partition, next) in [(0, 20), (1, 15)] {
        let shard = ShardId { topic: "auth-events".into(), partition };
        let lease = store.acquire_shard(&shard, "test", now).await.unwrap();
        store.finish_checkpoint(&shard, lease.epoch, next, b"", now - 3 * DAY).await.unwrap();
    }
    store.adopt_rules("another-version", &[], "test", now - 3 * DAY).await.unwrap();

    // Whether somebody has the file open or not.
    for is_open in [true, false] {
        if !is_open {
            store.close().await;
        }
        let before = ground.files();
        let shown = text(&ground.doctor(&[], &[]));
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "ok SQLite keywatch.db: can be read and written;",
            "ok tables: version 8, this program's",
            "warn rules in force: version another-version, adopted 3 days ago",
            "which nobody has adopted hint: a running keywatch adopts them by itself",
            "warn lag of auth-events: 5 messages behind, in 1 of 2 partitions; last stored 3 days ago",
        ] {
            assert!(flat.contains(part), "open: {is_open}: {part}\n{shown}");
        }
        let after = ground.files();
        let shared = |files: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
            files.iter().filter(|(name, _)| !name.ends_with("-shm")).cloned().collect()
        };
        assert!(shared(&before) == shared(&after), "open: {is_open}: the store was changed");
        let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after));
    }
}
