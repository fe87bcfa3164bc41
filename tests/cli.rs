//! The program as its users meet it: what it prints and how it ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "cli/nothing_read.rs"]
mod nothing_read;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env("COLUMNS", "80");
    command
}

fn finish(output: std::process::Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn keywatch(args: &[&str]) -> Ran {
    finish(command(args).output().unwrap())
}

/// Checks how it ended, that nothing went to standard output, and what it said.
#[track_caller]
fn check(args: &[&str], code: i32, expected: &str) {
    let ran = keywatch(args);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.trim_end()), (Some(code), "", expected), "{args:?}");
}

const SAMPLE: [&str; 7] = [
    "replay",
    "--events",
    "sample/events.jsonl",
    "--key-events",
    "sample/key-events.jsonl",
    "--set",
    "stale-key.unused_for=10d",
];

/// A folder with a configuration whose store is `url`.
fn config(url: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keywatch.yml");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let text = format!(
        "source:\n  kafka:\n    brokers: localhost:9092\nrules:\n  directory: {}\nstore:\n  url: {url}\n",
        rules.display()
    );
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn the_sample_has_one_alert_of_each_kind_and_none_for_the_innocent() {
    let ran = keywatch(&SAMPLE);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let last = "10 alerts: 1 client-side-use, 1 env-mismatch, 1 expiring-key, 1 key-exposed,\n1 new-ip, 1 revoked-key-use, 1 rotated-key-use, 1 rotation-overdue, 1 spike,\n1 stale-key\n";
    assert!(ran.err.ends_with(last), "{}", ran.err);
    assert!(ran.err.contains("warning: 1 line was no event: not_json\n"), "{}", ran.err);
    assert!(!ran.out.contains("m_1163"), "the merchant with a new server in the same network is told of nothing");
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
}

#[test]
fn alerts_are_the_same_as_records_on_standard_output_and_on_any_number_of_shards() {
    let records = |partitions: &str| {
        let mut args = SAMPLE.to_vec();
        args.extend(["--partitions", partitions, "--alerts-out", "-"]);
        let ran = keywatch(&args);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (Some(0), "\nwarning: 1 line was no event: not_json\n"),
            "no summary in a pipe"
        );
        ran.out
    };
    let one = records("1");
    assert_eq!(one.lines().count(), 10);
    assert!(one.lines().all(|line| line.starts_with("{\"version\":1,\"alert_id\":\"kw-")));
    assert_eq!(one, records("5"));
}

#[test]
fn a_narrow_terminal_never_cuts_a_reference() {
    let ran = finish(command(&SAMPLE).env("COLUMNS", "40").output().unwrap());
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("kw-")).count(), 10);
    let references = ran.out.lines().filter_map(|line| line.split_whitespace().next().filter(|w| w.starts_with("kw-")));
    assert!(references.into_iter().all(|id| id.len() == 19));
}

#[test]
fn events_come_from_standard_input_too() {
    let mut args = SAMPLE.to_vec();
    args[2] = "-";
    let mut child = command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let events = std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sample/events.jsonl")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&events));
    let ran = finish(child.wait_with_output().unwrap());
    feeder.join().unwrap().unwrap();
    assert_eq!((ran.code, &ran.out), (Some(0), &keywatch(&SAMPLE).out));
}

#[test]
fn mails_are_written_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = SAMPLE.to_vec();
    args.extend(["--mail-out", dir.path().to_str().unwrap()]);
    assert_eq!(keywatch(&args).code, Some(0));
    let mails: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    assert!(mails.iter().any(|mail| text(mail).contains("To: anna@birchandloaf.example")), "the merchant is told");
    assert!(mails.iter().any(|mail| text(mail).contains("To: support@caibo.digital")), "and so is support");
}

#[test]
fn what_cannot_be_read_is_exit_code_3() {
    check(&["replay", "--events", "no/such.jsonl"], 3, "error: cannot open `no/such.jsonl`: there is no such file");
    let (dir, config) = config("sqlite:none.db");
    let store = dir.path().join("none.db");
    let ran = keywatch(&["alerts", "list", "--config", &config]);
    let expected = format!(
        "error: there is no store at `{}` yet\n\nhint: `keywatch run` makes it, or `keywatch migrate`\n",
        store.display()
    );
    assert_eq!((ran.code, ran.out.as_str(), ran.err), (Some(3), "", expected));
    assert!(!store.exists(), "a command that reads makes nothing");
}

#[test]
fn a_store_that_is_away_is_exit_code_3() {
    // Port 1 is nobody's.
    let (_dir, config) = config("postgres://keywatch@127.0.0.1:1/keywatch");
    let ran = keywatch(&["alerts", "list", "--config", &config]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""));
    assert!(ran.err.starts_with("error: open the store (store.url): store unavailable: "), "{}", ran.err);
}

#[test]
fn a_store_is_migrated_when_asked_and_read_afterwards() {
    let (dir, config) = config("sqlite:some.db");
    std::fs::write(dir.path().join("some.db"), "").unwrap();
    let ran = keywatch(&["alerts", "list", "--config", &config]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.err.contains("run `keywatch migrate`"), "{}", ran.err);
    assert_eq!(
        keywatch(&["migrate", "--config", &config]).out,
        "done: 0001_init, 0002_fact_revisions, 0003_shadow, 0004_lighter_checkpoints, 0005_second_stage, 0006_usage_by_day, 0007_ends_of_partitions, 0008_fleet\n"
    );
    assert_eq!(keywatch(&["migrate", "--config", &config]).out, "nothing to do: the store is up to date\n");
    assert_eq!(keywatch(&["alerts", "list", "--config", &config]).out, "no alerts\n");
    let text = "error: no alert `kw-12`\n\nhint: `keywatch alerts list` shows the references";
    check(&["alerts", "show", "kw-12", "--config", &config], 1, text);
}

#[test]
fn alerts_are_listed_and_shown_from_the_store() {
    let (dir, config) = config("sqlite:state.db");
    let mut args = SAMPLE.to_vec();
    let state = dir.path().join("state.db");
    args.extend(["--save-state", state.to_str().unwrap()]);
    assert_eq!(keywatch(&args).code, Some(0));
    insta::assert_snapshot!(keywatch(&["alerts", "list", "--config", &config, "--firing"]).out, @r"
    kw-055f9d2c3e764f96  2026-11-09 13:00 UTC  high      firing    key-exposed
      m_1150  caibo_test_sk_…12ac  The key was found where others can read it.
    kw-02936b874fc9a750  2026-11-11 15:00 UTC  info      firing    rotation-overdue
      m_1150  caibo_live_sk_…3b90  The key is old and has not been replaced.
    kw-efc6af83f0ad044b  2026-11-14 15:23 UTC  info      firing    stale-key
      m_1150  caibo_test_sk_…12ac  The key has not been used for 10 days.
    kw-396b6684660827af  2026-11-16 12:00 UTC  warning   firing    expiring-key
      m_1131  caibo_live_sk_…e27d  The key will stop soon, and is still in use.
    ");
    insta::assert_snapshot!(keywatch(&["alerts", "show", "kw-be96", "--config", &config]).out, @r"
    kw-be9637a80f2dde61  2026-11-11 09:40 UTC  warning   resolved  rotated-key-use
      m_1108  caibo_live_sk_…c5e1  A key that has been replaced is still in use.

      began     2026-11-11T09:40:00.000Z
      detected  2026-11-11T09:40:00.000Z
      ended     2026-11-13T15:40:00.000Z
      source    192.0.2.61, network 192.0.2.0/24

    why
      A call with the replaced key was refused.

    evidence
      accepted: 0
      ended: quiet
      first_at: 2026-11-11T09:40:00.000Z
      grace_until: 2026-11-11T09:00:00.000Z
      last_at: 2026-11-12T15:40:00.000Z
      refused: 6
      replaced_at: 2026-11-10T09:00:00.000Z
      replaced_by: key_lumen_2026
      sample_event_ids: evt_00888, evt_00889, evt_00890, evt_00891, evt_00892
      sources: address 192.0.2.61, calls 6, network 192.0.2.0/24, user_agent
      lumen-invoices/0.9

    what to do
      1. If nobody of yours replaced this key, change the password of the Control
         Panel. Tell support@caibo.digital at once.
      2. Look up in this mail which servers still send the old key, by their
         network and program.
      3. Put the new key on each of them. You find it in the Caibo Control Panel
         (Profile Settings, API Key).
      4. Make one call from each and check that it is accepted.
      5. If you do not know one of the servers, tell support@caibo.digital. Give
         your merchant account ID and the reference of this mail.

    who was told
      nobody yet
    ");
    let ran = keywatch(&["alerts", "list", "--config", &config, "--merchant", "m_1042", "-o", "json"]);
    assert!(ran.out.starts_with("{\"version\":1,") && ran.out.lines().count() == 1, "{}", ran.out);
    let ran = keywatch(&["alerts", "show", "kw-", "--config", &config]);
    assert!(ran.code == Some(1) && ran.err.starts_with("error: `kw-` could be kw-"), "{}", ran.err);
    let ran = keywatch(&args);
    assert_eq!(ran.code, Some(3), "a state that is there already is not written over");
}

#[test]
fn what_is_not_valid_is_exit_code_1_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keywatch.yml");
    std::fs::write(&path, "source:\n  kafka:\n    brokers: localhost:9092\nlimits:\n  latenes: 5m\n").unwrap();
    let ran = keywatch(&["config", "check", "--config", path.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with(&format!("error: {}:5:3: unknown field `latenes`", path.display())), "{}", ran.err);
    assert!(ran.err.contains("hint: did you mean `lateness`?"), "{}", ran.err);

    let brokers = "source:\n  kafka:\n    brokers: localhost:9092\n";
    for (more, message, field) in [
        (
            "geoip:\n  databases: [none.mmdb]\nrules:\n  directory: RULES\n",
            "none.mmdb: there is no such file",
            "geoip.databases",
        ),
        (
            "rules:\n  directory: ruels\n",
            "ruels: cannot read the directory: there is no such directory",
            "rules.directory",
        ),
    ] {
        let rules = format!("{}/rules", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(&path, format!("{brokers}{}", more.replace("RULES", &rules))).unwrap();
        let ran = keywatch(&["config", "check", "--config", path.to_str().unwrap()]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{field}");
        let hint = format!("\n\nhint: `{field}` in {} names it", path.display());
        assert!(ran.err.contains(message) && ran.err.trim_end().ends_with(&hint), "{}", ran.err);
        assert!(!ran.err.contains("\n\n\n"), "{}", ran.err);
    }

    let rule = dir.path().join("bad.yml");
    std::fs::write(&rule, "name: bad\nkind: spikes\n").unwrap();
    let ran = keywatch(&["rules", "check", dir.path().to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains(&format!("{}:2:7: unknown kind `spikes`", rule.display())), "{}", ran.err);
    let pages = "\n\nreference: docs/reference/rules.md, docs/reference/rules.md#kinds\n";
    assert!(ran.err.ends_with(pages), "{}", ran.err);
}

#[test]
fn a_rule_that_asks_for_places_without_a_database_is_remarked() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rules) = (dir.path().join("keywatch.yml"), dir.path().join("rules"));
    std::fs::create_dir(&rules).unwrap();
    let recipe = format!("{}/docs/cookbook/calls-through-anonymisers.yml", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(recipe, rules.join("a.yml")).unwrap();
    let config = "source:\n  kafka:\n    brokers: localhost:9092\nrules:\n  directory: rules\n";
    std::fs::write(&path, config).unwrap();
    let ran = keywatch(&["config", "check", "--config", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.starts_with("warning: rule `accepted-through-anonymiser` asks where an address is"), "{}", ran.err);
}

#[test]
fn what_ships_is_valid() {
    for named in [&["--config", "keywatch.example.yml"][..], &["keywatch.example.yml"]] {
        let ran = keywatch(&[&["config", "check"], named].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "keywatch.example.yml: fine, with 24 rules from rules\n"));
    }
    let ran = keywatch(&["rules", "check"]);
    assert!(ran.code == Some(0) && ran.out.starts_with("rules: fine, 24 rules, version "), "{}{}", ran.out, ran.err);
}

#[test]
fn wrong_use_is_exit_code_2() {
    let ran = keywatch(&["replay", "--event", "x"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("unexpected argument '--event'") && ran.err.contains("'--events'"), "{}", ran.err);
    assert_eq!(keywatch(&[]).code, Some(2));
    let set = |value: &str, expected: &str| check(&["replay", "--events", "-", "--set", value], 2, expected);
    set(
        "stale-key",
        "error: --set stale-key: expected RULE.PARAM=VALUE\n\nhint: such as `--set stale-key.unused_for=30d`",
    );
    set(
        "stale-kez.unused_for=10d",
        "error: --set stale-kez.unused_for=10d: there is no rule `stale-kez`\n\nhint: did you mean `stale-key`?",
    );
    set(
        "stale-key.unused_for=10",
        "error: --set stale-key.unused_for=10: expected a duration such as `5m`, found a number\n\n\
         hint: add a unit: `ms`, `s`, `m`, `h`, `d` or `w`",
    );
    let until = "error: --until `tomorrow` is no time\n\nhint: write it as 2026-11-23T08:00:00Z";
    check(&["replay", "--events", "-", "--until", "tomorrow"], 2, until);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&SAMPLE).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The shipped rules in a folder of their own, one of them changed.
fn rules_with(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut text = std::fs::read_to_string(&path).unwrap();
        if name == file {
            assert!(text.contains(from), "{file}: no `{from}`");
            text = text.replace(from, to);
        }
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn what_a_rule_in_status_test_finds_is_told_to_nobody_and_shown_to_those_who_ask() {
    let rules = rules_with("new-ip.yml", "owner: support", "owner: support\nstatus: test");
    let (mails, state) = (rules.path().join("mails"), rules.path().join("state.db"));
    let folder = rules.path().to_str().unwrap();
    let args = [&SAMPLE[..], &["--rules", folder, "--mail-out", mails.to_str().unwrap(), "--save-state"]].concat();
    let quiet = keywatch(&[&args[..], &[state.to_str().unwrap()]].concat());
    assert_eq!((quiet.code, quiet.out.contains("new-ip"), quiet.out.contains("spike")), (Some(0), false, true));
    let subjects: String = std::fs::read_dir(&mails)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!subjects.contains("new network") && subjects.contains("Subject:"));
    let all = keywatch(&[&SAMPLE[..], &["--rules", folder, "--all"]].concat());
    assert!(all.out.contains("new-ip"), "{}", all.out);
    // The same from the store.
    let (_dir, path) = config(&format!("sqlite:{}", state.display()));
    let list = |more: &[&str]| keywatch(&[&["alerts", "list", "--config", &path], more].concat()).out;
    assert_eq!((list(&[]).contains("new-ip"), list(&["--all"]).contains("new-ip")), (false, true));
}

#[test]
fn rules_are_checked_for_people_programs_and_pull_requests() {
    let bad = rules_with("spike.yml", "severity: warning", "severity: warnin");
    let folder = bad.path().to_str().unwrap();
    let text = keywatch(&["rules", "check", folder]);
    assert_eq!((text.code, text.out.as_str()), (Some(1), ""));
    assert!(text.err.contains("spike.yml:9:11: expected one of") && text.err.contains("hint: did you mean `warning`?"));
    let json = keywatch(&["rules", "check", folder, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &report["valid"], &report["problems"][0]["line"]), (Some(1), &false.into(), &9.into()));
    let github = keywatch(&["rules", "check", folder, "-o", "github"]);
    let line = github.out.lines().next().unwrap();
    assert!(line.starts_with("::error file=") && line.contains(",line=9,col=11::expected one of"), "{line}");
    assert!(line.ends_with("%0Ahint: did you mean `warning`?") && github.out.lines().count() == 1, "{line}");

    let warned = rules_with("spike.yml", "name: spike", "name: spike\nactive: {zone: Europe/Zurich}");
    std::fs::write(warned.path().join("lists.yml"), "lists: {office: {type: cidr, values: [203.0.113.0/24]}}\n")
        .unwrap();
    let folder = warned.path().to_str().unwrap();
    let text = keywatch(&["rules", "check", folder]);
    assert!(
        text.code == Some(0) && text.err.contains("warning: ") && text.err.contains("nobody uses the list `office`")
    );
    assert!(text.out.contains("spike: opens alerts ") && text.out.contains(", 1 warning"), "{}", text.out);
    assert_eq!(keywatch(&["rules", "check", folder, "--strict"]).code, Some(1));
}

/// A first start reads facts of years: who made a key from where before anything was watched is what is known, and no news.
#[test]
fn what_was_done_before_the_first_event_is_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let fact = |at: &str, key: &str, ip: &str| {
        format!(
            r#"{{"type":"key_created","ts":"{at}T09:00:00Z","key_id":"{key}","merchant_id":"m1","key_env":"live","actor_ip":"{ip}"}}"#
        )
    };
    let facts = [
        fact("2025-01-01", "k1", "192.0.2.7"),
        fact("2025-02-01", "k2", "192.0.2.8"),
        fact("2025-03-01", "k3", "198.51.100.9"),
        fact("2026-01-09", "k4", "203.0.113.9"),
    ];
    std::fs::write(path("facts"), facts.join("\n")).unwrap();
    let events: Vec<String> = (0..240)
        .map(|hour| {
            format!(
                r#"{{"ts":{},"key_id":"k1","merchant_id":"m1","outcome":"ok"}}"#,
                1_767_225_600_000_i64 + hour * 3_600_000
            )
        })
        .collect();
    std::fs::write(path("events"), events.join("\n")).unwrap();
    let told = |facts: &str| {
        let ran = keywatch(&[
            "replay",
            "--rules",
            "rules",
            "--events",
            &path("events"),
            "--key-events",
            facts,
            "--alerts-out",
            "-",
        ]);
        ran.out.lines().filter(|line| line.contains(r#""kind":"key_lifecycle""#)).count()
    };
    assert_eq!(told(&path("facts")), 0, "k3 is history, and k4 comes from a third place");
    std::fs::write(path("two"), [&facts[0], &facts[1], &facts[3]].map(String::as_str).join("\n")).unwrap();
    assert_eq!(told(&path("two")), 1, "k4 was made while it was watched");
}
