//! `keywatch bench` in small: the form of what it says, and that it counts everything it was asked to do. Never how fast.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a measurement in the repository's folder and reads its JSON.
#[track_caller]
fn bench(args: &[&str]) -> Value {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .args(["bench"])
        .args(args)
        .args(["-o", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["bench"], args[0]);
    assert!(report["cores"].as_u64().unwrap() >= 1);
    for field in ["cpu", "build", "date", "version"] {
        assert!(!report[field].as_str().unwrap().is_empty(), "{field}");
    }
    for figure in report["figures"].as_array().unwrap() {
        assert!(figure["value"].as_f64().is_some_and(|value| value >= 0.0), "{figure}");
        assert!(figure["name"].is_string() && figure["unit"].is_string(), "{figure}");
        assert_eq!(figure.get("target").is_some(), figure.get("of_target").is_some(), "{figure}");
    }
    report
}

fn names(report: &Value) -> Vec<&str> {
    report["figures"].as_array().unwrap().iter().map(|figure| figure["name"].as_str().unwrap()).collect()
}

#[test]
fn the_engine_judges_every_event_of_both_runs() {
    let report = bench(&["engine", "--keys", "300", "--zipf-keys", "50", "--events", "70000"]);
    let counts = &report["counts"];
    assert_eq!((&counts["uniform_judged"], &counts["zipf_judged"]), (&70_000.into(), &70_000.into()));
    // One call in 10,000 comes from a strange network: rare, and the same in every run.
    assert!(counts["uniform_findings"].as_u64().unwrap() > 0, "{counts}");
    let again = bench(&["engine", "--keys", "300", "--zipf-keys", "50", "--events", "70000"]);
    assert_eq!(again["counts"], *counts);
    for name in ["uniform, 300 keys", "uniform: decode", "uniform: step", "zipf: serde_json alone"] {
        assert!(names(&report).contains(&name), "{name}");
    }
}

#[test]
fn memory_is_told_for_each_key() {
    let report = bench(&["memory", "--keys", "2000"]);
    assert_eq!(report["counts"]["keys"], 2_000);
    assert_eq!(report["counts"]["merchants"], 1_000);
    assert_eq!(names(&report), ["resident memory"]);
}

#[test]
fn a_checkpoint_stores_the_changed_keys_and_no_others() {
    let report = bench(&["checkpoint", "--keys", "3000", "--dirty", "500"]);
    // Two keys to a merchant, and of each key the day that changed.
    assert_eq!(report["counts"]["subject_rows"], 250);
    assert_eq!(report["counts"]["usage_rows"], 500);
}

#[test]
fn a_restart_judges_the_first_batch() {
    let report = bench(&["restart", "--keys", "2000"]);
    assert_eq!(report["counts"]["judged"], 1_000);
    assert_eq!(names(&report)[0], "first event judged");
}

#[test]
fn people_get_a_table() {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .args(["bench", "memory", "--keys", "100"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.starts_with("keywatch ") && text.contains("bench memory"), "{text}");
    assert!(text.contains("resident memory") && text.contains("target"), "{text}");
}
