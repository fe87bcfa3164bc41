//! `keywatch rules test`: the shipped tests pass and cover everything, and what a failing or a bad test is told.

use std::path::{Path, PathBuf};
use std::process::Command;

use keywatch::engine::detect::SPECS;
use keywatch::rules::RuleFile;
use keywatch::rules::compile::load;
use keywatch::rules::scenario::read::read;
use keywatch::rules::scenario::report::Coverage;
use keywatch::rules::scenario::run::run;
use keywatch::rules::scenario::{EVENTS_MAX, TESTS_MAX};
use keywatch::yaml::render;

/// What no message may ever contain.
const PLANTED: &str = "pl4nted";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Exit code, standard output, standard error.
fn keywatch(args: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch")).args(args).current_dir(root()).env("COLUMNS", "80").output();
    let run = run.unwrap();
    (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
}

fn golden(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "data/rule_tests", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_shipped_tests_pass_and_leave_no_gap() {
    let (code, out, err) = keywatch(&["rules", "test", "rules", "--require-coverage"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    golden("shipped", &out);
}

#[test]
fn every_shipped_rule_has_both_tests_beside_it() {
    let rules = load(&root().join("rules"), SPECS, &[]).unwrap();
    for rule in &rules.rules {
        let name = format!("{}.test.yml", rule.name);
        let text = std::fs::read_to_string(root().join("rules").join(&name)).unwrap();
        let tests =
            read(&RuleFile { name, text }, &rules, SPECS).unwrap_or_else(|problems| panic!("{}", render(&problems)));
        let mut coverage = Coverage::new(&rules);
        for test in &tests {
            coverage.add(test, &run(test, &rules, SPECS));
        }
        let own: Vec<String> =
            coverage.gaps().into_iter().filter(|gap| gap.starts_with(&format!("{}:", rule.name))).collect();
        assert!(own.is_empty(), "{own:?}");
    }
}

#[test]
fn a_failing_test_shows_what_differs() {
    let folder = "tests/data/rule_tests/failing";
    let dir = tempfile::tempdir().unwrap();
    let junit = dir.path().join("junit.xml");
    let (code, out, err) = keywatch(&["rules", "test", folder, "--junit", junit.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    golden("failing", &out);
    golden("failing-junit", &std::fs::read_to_string(junit).unwrap());
    let (code, out, err) = keywatch(&["rules", "test", folder, "-o", "json"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    golden("failing-json", &serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn what_no_test_covers_is_named() {
    let folder = "tests/data/rule_tests/gaps";
    let (code, out, err) = keywatch(&["rules", "test", folder, "--require-coverage"]);
    assert_eq!(code, Some(1), "{out}");
    golden("gaps", &format!("{out}{err}"));
    assert_eq!(keywatch(&["rules", "test", folder]).0, Some(0));
}

#[test]
fn a_part_of_the_tests_can_be_run() {
    let (code, out, _) = keywatch(&["rules", "test", "tests/data/rule_tests/failing", "--run", "^THIS .*that are <"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("1 test passed, 0 failed, 4 not run; 3 events judged\n") && !out.contains("coverage"),
        "{out}"
    );
    let (code, out, err) = keywatch(&["rules", "test", "rules", "--run", "banana"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let (code, _, bad) = keywatch(&["rules", "test", "rules", "--run", "a[b"]);
    assert_eq!(code, Some(2));
    assert!(bad.starts_with("error: --run is no pattern: unclosed character class"), "{bad}");
    assert!(err.starts_with("error: no test's file or name matches `banana`, of "), "{err}");
}

#[test]
fn a_folder_without_tests_does_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(root().join("rules/spike.yml"), dir.path().join("spike.yml")).unwrap();
    let (code, out, err) = keywatch(&["rules", "test", dir.path().to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("there are no tests (`*.test.yml`) here"), "{err}");
    std::fs::write(dir.path().join("a.test.yml"), "tests: []\n").unwrap();
    let (code, out, _) = keywatch(&["rules", "test", dir.path().to_str().unwrap(), "-o", "json"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("an empty list of tests"), "{out}");
}

#[test]
fn every_mistake_has_its_message() {
    let rules = load(&root().join("rules"), SPECS, &[]).unwrap();
    let folder = root().join("tests/data/rule_tests/bad");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".test.yml"))
        .collect();
    names.sort();
    assert!(names.len() >= 15);
    for name in names {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let Err(problems) = read(&RuleFile { name: format!("rules/{name}"), text }, &rules, SPECS) else {
            panic!("{name} has no problem");
        };
        let shown = render(&problems);
        assert!(!shown.contains(PLANTED), "{name} shows a secret:\n{shown}");
        for problem in &problems {
            assert!(!problem.message.ends_with('.') && !problem.message.starts_with(char::is_uppercase), "{problem}");
        }
        golden(&format!("bad-{}", name.trim_end_matches(".test.yml")), &shown);
    }
}

#[test]
fn tests_and_events_are_bounded() {
    let rules = load(&root().join("rules"), SPECS, &[]).unwrap();
    let problems_of = |text: String| match read(&RuleFile { name: "x".into(), text }, &rules, SPECS) {
        Ok(_) => String::new(),
        Err(problems) => render(&problems),
    };
    let one = |n: usize| format!("- {{name: t{n}, events: [{{key: k}}], expect: [{{at: 1d, alerts: []}}]}}\n");
    let many = |n: usize| format!("tests:\n{}", (0..n).map(one).collect::<String>());
    assert_eq!(problems_of(many(TESTS_MAX)), "");
    assert!(problems_of(many(TESTS_MAX + 1)).contains("more than 1000 tests in one file"));
    let events = |n: u64| {
        let half = EVENTS_MAX / 2;
        format!(
            "tests:\n- {{name: t, events: [{{key: k, count: {half}, within: 1d}}, {{key: k, count: {n}, within: 1d}}], \
             expect: [{{at: 2d, alerts: []}}]}}\n"
        )
    };
    assert_eq!(problems_of(events(EVENTS_MAX / 2)), "");
    assert!(problems_of(events(EVENTS_MAX / 2 + 1)).contains("more than 2000000 events in one test"));
}

#[test]
fn the_pages_example_prints_what_the_page_says() {
    let page = std::fs::read_to_string(root().join("docs/reference/rule-tests.md")).unwrap();
    let block = |kind: &str, n: usize| {
        let blocks: Vec<&str> = page.split(&format!("```{kind}\n")).skip(1).collect();
        blocks[n].split("```").next().unwrap().to_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("refunds.yml", block("yaml", 0)), ("refunds.test.yml", block("yaml", 1))] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let folder = dir.path().to_str().unwrap();
    let (code, out, err) = keywatch(&["rules", "test", folder, "--require-coverage"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let out = out.replace(&format!("{}/", Path::new(folder).display()), "rules/");
    assert_eq!(out, block("text", 0));
}
