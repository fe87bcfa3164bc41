//! The program itself, with a store in a file.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keywatch::config::{Secret, StoreConfig};
use keywatch::event::facts::MerchantStatus;
use keywatch::store::{Store, StoredFacts};

struct Place(tempfile::TempDir);

impl Place {
    fn new(more: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("source:\n  kafka:\n    brokers: localhost:9092\n{more}");
        std::fs::write(folder.path().join("keywatch.yml"), text).unwrap();
        Place(folder)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
        command.arg("import").args(args).current_dir(self.0.path()).env("COLUMNS", "80");
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        ended(self.command(args).output().unwrap())
    }

    fn stored(&self) -> StoredFacts {
        let url = format!("sqlite:{}", self.0.path().join("keywatch.db").display());
        let config = StoreConfig { url: Secret::new(url), max_connections: 1, migrate: true };
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = Store::open(&config).await.unwrap();
            let facts = store.load_facts().await.unwrap();
            store.close().await;
            facts
        })
    }
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const TABLE: &str = "\
key_id,merchant_id,key_env,key_hint,created_at,replaces,grace_until,contacts,timezone
k1,m1,live,caibo_live_sk_…9f2c,2026-01-01T00:00:00Z,,,anna@example.com;ben@example.com,Europe/Paris
k2,m1,live,caibo_live_sk_…08b6,2026-05-01T09:00:00Z,k1,2026-05-02T09:00:00Z,,
k3,m2,test,caibo_test_sk_…12ac,2026-02-01T00:00:00Z,,,,
";

const TS: [&str; 2] = ["--ts", "2026-11-01T00:00:00Z"];

#[test]
fn the_same_file_changes_nothing_the_second_time() {
    let place = Place::new("");
    place.write("keys.csv", TABLE);
    let args = ["keys.csv", TS[0], TS[1]];
    let dry = place.run(&["keys.csv", TS[0], TS[1], "--dry-run"]);
    let changed = "keys       3 new, 0 changed, 0 unchanged\nmerchants  1 new, 0 changed, 0 unchanged\n";
    assert_eq!(dry, (0, changed.into(), "a dry run: nothing was written\n".into()));
    assert!(!place.0.path().join("keywatch.db").exists(), "a dry run makes nothing");
    assert_eq!(place.run(&args), (0, changed.into(), String::new()));
    let first = place.stored();
    let (keys, merchants) = &first;
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0].1.replaced_by.as_deref(), Some("k2"));
    assert_eq!(keys[0].1.grace_until, Some(1_777_712_400_000));
    assert_eq!(merchants[0].1.contacts, ["anna@example.com", "ben@example.com"]);
    let unchanged = "keys       0 new, 0 changed, 3 unchanged\nmerchants  0 new, 0 changed, 1 unchanged\n";
    assert_eq!(place.run(&args), (0, unchanged.into(), String::new()));
    assert_eq!(place.stored(), first);
    // The next day's table says the same, and one thing else.
    place.write("keys.csv", &TABLE.replace("Europe/Paris", "Europe/Oslo"));
    let next = place.run(&["keys.csv", "--ts", "2026-11-02T00:00:00Z", "-o", "json"]);
    let json = r#"{"dry_run":false,"keys":{"changed":0,"new":0,"unchanged":3},"left_out":0,"merchants":{"changed":1,"new":0,"unchanged":0},"rows":3}"#;
    assert_eq!(next, (0, format!("{json}\n"), String::new()));
    let (keys, merchants) = place.stored();
    assert_eq!(merchants[0].1.timezone.as_deref(), Some("Europe/Oslo"));
    assert_eq!(keys[0].1.replaced_at, first.0[0].1.replaced_at, "a replacement keeps its date");
}

#[test]
fn nothing_is_written_where_a_line_is_wrong_unless_it_is_left_out() {
    let place = Place::new("");
    place.write("keys.csv", &TABLE.replace("2026-02-01T00:00:00Z", "yesterday"));
    let args = ["keys.csv", TS[0], TS[1]];
    let error = "keys.csv:4: field `created_at`: expected a time with its zone\n\
         hint: write it as 2026-11-23T08:00:00Z, or as milliseconds since 1970\n";
    let (code, out, err) = place.run(&args);
    assert_eq!((code, out.as_str()), (1, ""));
    let nothing = "nothing was imported; `--skip-bad` imports the other lines\n";
    assert_eq!(err, format!("error: {error}{nothing}"));
    assert!(!place.0.path().join("keywatch.db").exists());
    let (code, out, err) = place.run(&["keys.csv", TS[0], TS[1], "--skip-bad"]);
    assert_eq!((code, out.lines().next()), (0, Some("keys       2 new, 0 changed, 0 unchanged")));
    assert_eq!(err, format!("warning: {error}1 line was left out\n"));
    assert_eq!(place.stored().0.len(), 2);
}

#[test]
fn json_lines_come_from_standard_input() {
    let place = Place::new("");
    let mut child = place
        .command(&["-", "--config", "keywatch.yml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/key-events.jsonl")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&lines).unwrap();
    drop(stdin);
    let (code, out, err) = ended(child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("keys ") && out.contains(" new, 0 changed, 0 unchanged\nmerchants "), "{out}");
}

#[test]
fn a_status_that_is_said_every_day_pushes_no_change_out() {
    let place = Place::new("");
    for day in 1..=20 {
        let status = if day == 2 { "suspended" } else { "active" };
        place.write("merchants.csv", &format!("merchant_id,status\nm1,{status}\n"));
        let ts = format!("2026-11-{day:02}T00:00:00Z");
        assert_eq!(place.run(&["merchants.csv", "--ts", &ts]).0, 0);
    }
    let status: Vec<_> = place.stored().1[0].1.status.iter().map(|(_, status)| *status).collect();
    assert_eq!(status, [MerchantStatus::Active, MerchantStatus::Suspended, MerchantStatus::Active]);
}

#[test]
fn the_table_of_the_documentation_is_right() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/import.md")).unwrap();
    let table = page.split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    let place = Place::new("");
    place.write("keys.csv", table);
    let changed = "keys       2 new, 0 changed, 0 unchanged\nmerchants  1 new, 0 changed, 0 unchanged\n";
    assert_eq!(place.run(&["keys.csv", "--ts", "now"]), (0, changed.into(), String::new()));
}

#[test]
fn bounds_and_wrong_use() {
    let place = Place::new("limits:\n  fact_keys: 100\n");
    let rows: String = (0..101).map(|n| format!("k{n}\n")).collect();
    place.write("keys.csv", &format!("key_id\n{rows}"));
    let (code, _, err) = place.run(&["keys.csv", TS[0], TS[1]]);
    let expected =
        "error: there would be 101 keys with facts, more than `limits.fact_keys` (100): nothing was imported\n";
    assert_eq!((code, err.as_str()), (3, expected));
    assert_eq!(place.stored().0.len(), 0);
    let (code, _, err) = place.run(&["keys.csv", "--map", "key=ID"]);
    let expected = "error: --map key=ID: there is no field `key`\n\nhint: our fields are ";
    assert!(code == 2 && err.starts_with(expected), "{code} {err}");
    assert_eq!(place.run(&["none.csv"]).0, 3);
    assert_eq!(place.run(&["keys.csv", "--ts", "today"]).0, 2);
    assert_eq!(place.run(&["keys.csv", "--delimiter", "ab"]).0, 2);
}
