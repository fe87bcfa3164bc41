//! The dashboard against the catalogue of metrics: nothing on it that is not there, and nothing there that is on no panel.

use std::collections::BTreeSet;
use std::path::Path;

use keywatch::metrics::catalogue::{CATALOGUE, PROCESS, Type, Values};
use serde_json::Value;

#[path = "support/dashboard.rs"]
mod dashboard;

use dashboard::{dashboard, expressions, panels};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Words of an expression that could be metrics, without the endings that a histogram's parts have.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("keywatch_") || word.starts_with("process_") || *word == "up")
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            match parts {
                Some(name) if CATALOGUE.iter().any(|m| m.name == name && matches!(m.ty, Type::Histogram(_))) => name,
                _ => word,
            }
            .to_owned()
        })
        .collect()
}

fn known() -> BTreeSet<String> {
    CATALOGUE.iter().map(|m| m.name).chain(PROCESS.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_on_the_dashboard_and_no_other() {
    let shown: BTreeSet<String> = expressions(&dashboard()).iter().flat_map(|(_, e)| metrics_in(e)).collect();
    let known = known();
    assert_eq!(shown.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "shown, but not in the catalogue");
    assert_eq!(known.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "in the catalogue, but not shown");
}

#[test]
fn labels_are_those_of_the_catalogue() {
    for (title, expression) in expressions(&dashboard()) {
        let inside = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let matched: Vec<&str> = inside
            .flat_map(|inside| inside.split(','))
            .filter_map(|one| one.split(['=', '!']).next().map(str::trim))
            .collect();
        let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let grouped: Vec<&str> = grouped.flat_map(|inside| inside.split(',')).map(str::trim).collect();
        let of_metrics: BTreeSet<&str> = CATALOGUE
            .iter()
            .filter(|m| metrics_in(&expression).contains(m.name))
            .flat_map(|m| m.labels.iter().map(|label| label.name))
            .chain(["job", "instance", "le"])
            .collect();
        for label in matched.iter().chain(&grouped) {
            assert!(of_metrics.contains(label), "{title}: `{label}` is no label of what `{expression}` names");
        }
        assert!(matched.contains(&"job") && matched.contains(&"instance"), "{title}: not of the chosen instances");
    }
}

#[test]
fn counters_are_asked_for_their_rise() {
    for (title, expression) in expressions(&dashboard()) {
        for (at, _) in expression.match_indices("_total") {
            let before = &expression[..at];
            let function = before.rfind('(').map_or("", |open| before[..open].rsplit([' ', '(']).next().unwrap_or(""));
            assert!(["rate", "increase"].contains(&function), "{title}: `{expression}`");
        }
    }
}

#[test]
fn panels_say_what_they_show_and_in_which_unit() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "keywatch-overview", "links and bookmarks name it");
    assert_eq!(dashboard["title"], "keywatch / Overview");
    assert_eq!((&dashboard["editable"], &dashboard["timezone"]), (&Value::from(false), &Value::from("utc")));
    let open = dashboard["panels"].as_array().unwrap().iter();
    let open = open.filter(|panel| !["row", "text"].contains(&panel["type"].as_str().unwrap())).count();
    assert!(open <= 12, "{open} panels are open: more than a glance takes in");
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: its number is there twice");
        if panel["type"] == "text" {
            continue;
        }
        assert!(!title.is_empty() && panel["description"].as_str().unwrap().len() > 30, "{title}: says too little");
        assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}: asks nothing");
        if panel["type"] == "timeseries" {
            assert_eq!(panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"], "none", "{title}: stacked");
        }
    }
}

#[test]
fn nothing_overlaps() {
    let dashboard = dashboard();
    let top = dashboard["panels"].as_array().unwrap().iter().collect::<Vec<_>>();
    let rows = top.iter().filter_map(|row| row["panels"].as_array()).map(|inside| inside.iter().collect());
    for group in std::iter::once(top.clone()).chain(rows) {
        let mut taken = BTreeSet::new();
        for panel in group {
            let at = |name: &str| panel["gridPos"][name].as_i64().unwrap();
            assert!(at("x") + at("w") <= 24, "{}: too wide", panel["title"]);
            for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert((x, y)), "{}: lies over another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn the_alert_rules_name_metrics_and_labels_that_exist() {
    let text = std::fs::read_to_string(root().join("deploy/prometheus/keywatch.rules.yml")).unwrap();
    let known = known();
    let mut named = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("- name")) {
        named.extend(metrics_in(line));
    }
    named.remove("up");
    assert!(named.len() >= 8, "{named:?}");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
    for (label, value) in [("result", "given_up"), ("outcome", "fact")] {
        let is_known = CATALOGUE
            .iter()
            .flat_map(|m| m.labels)
            .any(|l| l.name == label && matches!(l.values, Values::Known(values) if values.contains(&value)));
        assert!(is_known && text.contains(label) && text.contains(value), "{label}={value}");
    }
}

#[test]
fn every_alert_rule_is_tested_quiet_and_firing() {
    let folder = root().join("deploy/prometheus");
    let rules = std::fs::read_to_string(folder.join("keywatch.rules.yml")).unwrap();
    let tests = std::fs::read_to_string(folder.join("keywatch.test.yml")).unwrap();
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {name}, exp_alerts: []")), "{name}: not tested to be quiet");
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "{name}: not tested to fire");
    }
}
