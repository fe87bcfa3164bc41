//! The lab from end to end: small, but through simulator, replay, scores and table.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn lab(args: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    Command::new(env!("CARGO_BIN_EXE_keywatch")).arg("lab").args(args).current_dir(root).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// One object of JSON a line.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_it_counts_adds_up() {
    let details = folder("details");
    let small = ["--seeds", "3..4", "--keys", "30", "--days", "24", "-o", "json"];
    let run = lab(&[&small[..], &["--details", details.to_str().unwrap()]].concat());
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(text(&run.stderr), "", "silent in a pipe");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let names: Vec<&str> = report["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rules", "elastalert2-like", "mean+3sigma"]);
    let first = &report["runs"][0];
    let sum =
        |field: &str| first["kinds"].as_object().unwrap().values().map(|k| k[field].as_u64().unwrap()).sum::<u64>();
    let (planted, found) = (sum("planted"), sum("found"));
    // Kinds that have detectors are found; at this size each is planted once or twice.
    assert!(planted >= 30 && found >= 12, "{found} of {planted}");
    for kind in ["revoked_key_use", "env_mismatch", "new_ip"] {
        let kind = &first["kinds"][kind];
        assert!(kind["planted"].as_u64() > Some(0) && kind["planted"] == kind["found"], "{kind}");
    }
    // Every key lives from before the first day; some end within.
    let (warm, after) = (first["warm_up_key_days"].as_f64().unwrap(), first["key_days"].as_f64().unwrap());
    assert!((2.0 * 28.0 * 14.0..=2.0 * 32.0 * 14.0).contains(&warm), "{warm}");
    assert!((2.0 * 25.0 * 10.0..=2.0 * 34.0 * 10.0).contains(&after), "{after}");

    let missed = lines(&details.join("misses.jsonl"));
    assert_eq!(missed.len() as u64, planted - found);
    assert!(missed.iter().all(|miss| miss["what"].is_string() && miss["seed"].is_u64()));
    let wrong = lines(&details.join("false-alerts.jsonl"));
    let of_rule =
        |of: &str| first["false_by_rule"].as_object().unwrap().values().map(|n| n[of].as_u64().unwrap()).sum::<u64>();
    assert_eq!(wrong.len() as u64, of_rule("warm_up") + of_rule("after"));
    assert!(wrong.iter().all(|alert| alert["lies_on"].is_array() && alert["evidence"].is_object()));
    let right = lines(&details.join("found.jsonl"));
    let alerts: u64 = sum("alerts");
    let of_missed = right.iter().filter(|alert| {
        let is_of = |miss: &&Value| match &miss["key_id"] {
            Value::Null => miss["source"] == alert["source"],
            key_id => key_id == &alert["key_id"],
        };
        missed.iter().filter(is_of).any(|miss| miss["kind"] == alert["planted"])
    });
    assert_eq!(right.len() as u64, alerts + of_missed.count() as u64);
    assert!(details.join("mean+3sigma/false-alerts.jsonl").exists());
}

#[test]
fn the_same_seed_gives_the_same_table_at_80_columns() {
    let args = ["--seeds", "3", "--keys", "25", "--days", "20", "--against", "rules"];
    let (one, again) = (lab(&args), lab(&args));
    assert!(one.status.success(), "{}", text(&one.stderr));
    let table = text(&one.stdout);
    assert_eq!(table, text(&again.stdout));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.starts_with("keywatch lab: seed 3, 25 keys, 20 days each\n"), "{table}");
}

#[test]
fn harder_traffic_is_scored_too() {
    let run = lab(&["--seeds", "1", "--keys", "40", "--days", "16", "--traffic", "hard", "--no-rivals", "-o", "json"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["runs"].as_array().unwrap().len(), 1);
    let kinds = report["runs"][0]["kinds"].as_object().unwrap();
    assert!(kinds.len() > 10, "{kinds:?}");
}

#[test]
fn a_broken_promise_is_exit_code_1() {
    let rules = folder("budget-rules");
    std::fs::create_dir_all(&rules).unwrap();
    let still = |condition: &str| {
        let rule = format!(
            "name: odd\nkind: custom\ntitle: Odd\ndescription: Something odd.\nseverity: info\naudience: support\n\
             condition: {condition}\nparams: {{quiet: 1h}}\nrunbook: [Look.]\n"
        );
        std::fs::write(rules.join("odd.yml"), rule).unwrap();
        let shapes = ["budget", "--shape", "builds", "--shape", "poller", "--keys", "8", "--days", "18", "-o", "json"];
        let run = lab(&[&shapes[..], &["--rules", rules.to_str().unwrap()]].concat());
        let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{}", text(&run.stderr)));
        (run.status.code(), report)
    };
    let (code, report) = still("event.method == \"PATCH\"");
    assert_eq!((code, &report["rules"][0]["alerts"]), (Some(0), &0.into()), "{report}");
    // Who promises nothing at all may tell nothing at all.
    let (code, report) = still("event.method == \"POST\"");
    let of_all = report["rules"].as_array().unwrap().last().unwrap();
    assert_eq!((code, &of_all["verdict"]), (Some(1), &"not_kept".into()), "{report}");
    assert_eq!(of_all["key_days"], 2.0 * 8.0 * 4.0);
    assert_eq!(report["rules"][0]["verdict"], "no_promise");
    let shapes: Vec<&str> =
        report["shapes"].as_array().unwrap().iter().map(|line| line["shape"].as_str().unwrap()).collect();
    assert_eq!(shapes, ["builds", "poller"]);
}

#[test]
fn wrong_use_is_said() {
    for (args, code, words) in [
        (&["--seeds", "5..1"][..], 2, "from the smaller to the larger"),
        (&["--seeds", "x"], 2, "write it as 3 or 1..5"),
        (&["--rules", "no-such-folder"], 1, "no-such-folder"),
        (&["--set", "no-such-rule.x=1", "--seeds", "1"], 2, "no-such-rule"),
        (&["budget", "--set", "nonsense"], 2, "RULE.PARAM=VALUE"),
        (&["nab", "--data", "no-such-folder"], 3, "`no-such-folder` is no checkout of NAB"),
    ] {
        let run = lab(args);
        assert_eq!(run.status.code(), Some(code), "{args:?}: {}", text(&run.stderr));
        assert!(text(&run.stderr).contains(words), "{args:?}: {}", text(&run.stderr));
    }
}

/// Series that stand in for the benchmark's: steady, with a window in which the calls are tenfold.
#[test]
fn the_benchmark_is_scored_series_by_series() {
    let data = folder("nab");
    let mut windows = serde_json::Map::new();
    let of_series = keywatch::lab::nab::SERIES;
    for (n, series) in of_series.iter().enumerate() {
        let path = data.join("data").join(series);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut rows = "timestamp,value\n".to_owned();
        for row in 0..4_032_i64 {
            let at = keywatch::time::rfc3339(1_425_000_000_000 + row * 300_000);
            let is_high = n == 0 && (3_000..3_012).contains(&row);
            let value = if is_high { 900.0 } else { 40.0 + (row * 7 % 11) as f64 };
            rows += &format!("{} {},{value}\n", &at[..10], &at[11..19]);
        }
        std::fs::write(path, rows).unwrap();
        let time =
            |row: i64| keywatch::time::rfc3339(1_425_000_000_000 + row * 300_000).replace('T', " ").replace('Z', "000");
        windows.insert((*series).to_owned(), serde_json::json!([[time(2_990), time(3_100)]]));
    }
    std::fs::create_dir_all(data.join("labels")).unwrap();
    std::fs::write(data.join("labels/combined_windows.json"), serde_json::to_vec(&windows).unwrap()).unwrap();
    let run = lab(&["nab", "--data", data.to_str().unwrap(), "-o", "json"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let series = report["series"].as_array().unwrap();
    assert_eq!(series.len(), of_series.len());
    assert_eq!((&series[0]["windows"], &series[0]["found"], &series[0]["wrong"]), (&1.into(), &1.into(), &0.into()));
    assert!(series[0]["score"].as_f64() > Some(90.0), "{}", series[0]);
    assert_eq!(series[1]["found"], 0);
    let table = text(&lab(&["nab", "--data", data.to_str().unwrap()]).stdout);
    assert!(table.contains("Twitter_volume_AAPL") && table.contains("  ARTime"), "{table}");
}
