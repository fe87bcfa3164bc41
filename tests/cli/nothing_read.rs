//! A replay that read nothing, rule folders with slips, and lists that are cut: each says so.

use std::path::Path;
use std::process::Command;

use crate::{Ran, SAMPLE, config, keywatch};

fn in_folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn replayed(file: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["replay", "--events", file.to_str().unwrap()];
    args.extend(more);
    keywatch(&args)
}

#[test]
fn a_replay_that_judged_nothing_is_no_answer() {
    let fact = r#"{"type":"key_created","ts":"2026-11-10T09:00:00Z","key_id":"k","merchant_id":"m"}"#;
    for (text, place, hint) in [
        (&b"ts,key_id,outcome\n2026-11-10,k,ok\n"[..], "events:1: not_json", "`--format` says what gateway wrote it"),
        (&b"\x1f\x8b\x08\x00\x00"[..], "events:1: not_json", "it is compressed: `gunzip -c"),
        (&b"[{\"ts\":\"2026-11-10T09:00:00Z\"}]\n"[..], "events:1: ", "one JSON object a line is expected: `jq"),
        (fact.as_bytes(), "events:1: ", "are `--events` and `--key-events` the right way round?"),
        (&b""[..], "is empty: there was nothing to judge", ""),
    ] {
        let dir = in_folder(&[("events", text)]);
        let ran = replayed(&dir.path().join("events"), &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
        assert!(ran.err.contains(place) && ran.err.contains(hint), "{}", ran.err);
    }
    let swapped = replayed(Path::new(SAMPLE[2]), &["--key-events", SAMPLE[2]]);
    assert!(
        swapped.code == Some(3) && swapped.err.contains("no line of `sample/events.jsonl` is a fact"),
        "{}",
        swapped.err
    );
}

#[test]
fn a_file_that_is_mostly_late_is_remarked() {
    let line = |day: u32| {
        format!(
            "{{\"event_id\":\"e{day}\",\"ts\":\"2026-11-{day:02}T09:00:00Z\",\"key_id\":\"k\",\"merchant_id\":\"m\",\"outcome\":\"ok\"}}\n"
        )
    };
    let newest_first: String = (1..20).rev().map(line).collect();
    let dir = in_folder(&[("events", newest_first.as_bytes())]);
    let out = dir.path().join("alerts");
    // Warnings are printed though nobody looks at the summary.
    let ran = replayed(&dir.path().join("events"), &["--alerts-out", out.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.err.contains("events are late, most of them") && ran.err.contains("hint: sort the file"),
        "{}",
        ran.err
    );
}

#[test]
fn what_the_arguments_name_is_looked_for_first() {
    for (more, want) in [
        (&["--alerts-out", "no/such/alerts"][..], "error: there is no folder `no/such` to write alerts into"),
        (&["--rules", "ruels"][..], "error: there is no folder of rules `ruels`"),
        (&["--config", "none.yml"][..], "error: cannot open `none.yml`: there is no such file"),
        (&["--geoip", "none.mmdb"][..], "error: none.mmdb: there is no such file"),
    ] {
        let ran = replayed(Path::new(SAMPLE[2]), more);
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
        assert!(ran.err.starts_with(want), "{}", ran.err);
    }
    let ran = keywatch(&["lab", "nab", "--data", "sample"]);
    assert!(ran.code == Some(3) && ran.err.contains("`sample` is no checkout of NAB"), "{}", ran.err);
}

const RULE: &str = "name: r\nkind: custom\ntitle: A call\ndescription: A call.\nseverity: warning\naudience: support\nowner: support\n\
     runbook: [Look.]\ncondition: event.source_ip in lists.good\nexceptions:\n  - name: known\n    fields: [event.source_ip]\n    \
     operators: [in]\n    values:\n      - {of: OF, reason: ours, owner: ops, expires: EXPIRES}\n";

fn checked(list: &[u8], of: &str, expires: &str, more: &[&str]) -> Ran {
    let rule = RULE.replace("OF", of).replace("EXPIRES", expires);
    let lists = "lists:\n  good: {type: cidr, file: good.txt}\n";
    let file = format!("rules:\n  - {}{lists}", rule.trim_end().replace('\n', "\n    ") + "\n");
    let dir = in_folder(&[("r.yml", file.as_bytes()), ("good.txt", list)]);
    let mut args = vec!["rules", "check", dir.path().to_str().unwrap()];
    args.extend(more);
    keywatch(&args)
}

#[test]
fn lists_of_networks_are_read_as_people_write_them() {
    let fine = checked("\u{feff}203.0.113.0/24\r\n".as_bytes(), "192.0.2.1", "never", &["--strict"]);
    assert_eq!(fine.code, Some(0), "{}", fine.err);
    assert!(fine.out.contains(": fine, 1 rule, version "), "{}", fine.out);

    let bad = checked(b"203.0.113.0/24\n  10.0.0.5/24 # ours\n", "192.0.2.1", "never", &[]);
    assert_eq!(bad.code, Some(1), "{}", bad.err);
    for want in ["good.txt:2:3: the address has bits", "2 |   10.0.0.5/24 # ours", "hint: did you mean `10.0.0.0/24`?"]
    {
        assert!(bad.err.contains(want), "{want}: {}", bad.err);
    }
    assert!(!bad.err.contains("there is no list"), "{}", bad.err);

    let empty = checked(b"# none yet\n", "192.0.2.1", "never", &["--strict"]);
    assert!(empty.code == Some(1) && empty.err.contains("`good.txt` has no values"), "{}", empty.err);
}

#[test]
fn exceptions_that_are_slips_are_remarked() {
    let list = b"203.0.113.0/24\n";
    for (of, expires, strict, want) in [
        ("0.0.0.0/0", "never", Some(1), "`0.0.0.0/0` is every address"),
        ("192.0.2.1", "2020-01-31", Some(1), "rule `r`: an exception of ops is over: ours"),
        ("10.0.0.5/24", "never", Some(1), "10.0.0.0/24"),
    ] {
        let ran = checked(list, of, expires, &["--strict"]);
        assert_eq!(ran.code, strict, "{}", ran.err);
        assert!(ran.err.contains(want), "{want}: {}", ran.err);
    }
}

#[test]
fn a_pipe_among_the_rules_is_refused() {
    let dir = in_folder(&[]);
    let pipe = dir.path().join("list.txt");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let ran = keywatch(&["rules", "check", dir.path().to_str().unwrap()]);
    assert!(ran.code == Some(1) && ran.err.contains("it is a pipe, a socket or a device"), "{}", ran.err);
}

#[test]
fn a_list_that_is_cut_says_so_and_is_in_order() {
    let (dir, config) = config("sqlite:state.db");
    let state = dir.path().join("state.db");
    let mut args = SAMPLE.to_vec();
    args.extend(["--save-state", state.to_str().unwrap()]);
    assert_eq!(keywatch(&args).code, Some(0));
    let list = |limit: &str| keywatch(&["alerts", "list", "--config", &config, "--limit", limit]).out;
    let cut = list("3");
    assert_eq!(cut.lines().filter(|line| line.starts_with("kw-")).count(), 3, "{cut}");
    assert!(cut.ends_with("the newest 3 shown, and there are more: `--limit N` shows N, `--limit 0` all\n"), "{cut}");
    let all = list("0");
    assert!(!all.contains("there are more"), "{all}");
    let times: Vec<&str> = all.lines().filter(|line| line.starts_with("kw-")).map(|line| &line[21..37]).collect();
    assert!(times.is_sorted(), "{times:?}");
}
