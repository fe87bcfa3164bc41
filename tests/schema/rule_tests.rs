//! The schema of files of tests, `*.test.yml`.

use std::collections::BTreeSet;

use keywatch::engine::detect::SPECS;
use keywatch::rules::compile::load as load_rules;
use keywatch::rules::scenario::read::read;
use keywatch::rules::scenario::schema::{FILE, GROUPS, schema};
use keywatch::rules::{RuleFile, RuleSet};
use keywatch::yaml::schema::{Field, Type};
use keywatch::yaml::{Problem, render};
use serde_json::{Value, json};

use crate::validate::{files, of_yaml, validate};

fn rules() -> RuleSet {
    load_rules("rules".as_ref(), SPECS, &[]).unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

fn load(rules: &RuleSet, text: &str) -> Result<(), Vec<Problem>> {
    read(&RuleFile { name: "x.test.yml".into(), text: text.to_owned() }, rules, SPECS).map(|_| ())
}

fn around() -> Value {
    json!({"tests": [{
        "name": "t",
        "facts": [{"type": "key_created", "at": "0d", "key": "k1"}],
        "events": [{"key": "k1"}],
        "expect": [{
            "at": "1d",
            "alerts": [{"rule": "new-ip"}],
            "knows": [{"key": "k1", "that": "key.calls == 1"}],
        }],
    }]})
}

fn path(group: &str) -> &'static str {
    match group {
        "test" => "/tests/0",
        "fact" => "/tests/0/facts/0",
        "event" => "/tests/0/events/0",
        "expectation" => "/tests/0/expect/0",
        "known" => "/tests/0/expect/0/knows/0",
        "alert" => "/tests/0/expect/0/alerts/0",
        other => panic!("{other}: say where it stands"),
    }
}

fn set(group: &str, name: &str, value: Value) -> Value {
    let mut whole = around();
    whole.pointer_mut(path(group)).unwrap()[name] = value;
    whole
}

#[track_caller]
fn both(rules: &RuleSet, whole: &Value, is_right: bool) {
    let loaded = load(rules, &whole.to_string());
    let problems = loaded.as_ref().err().map(|problems| render(problems)).unwrap_or_default();
    assert_eq!(loaded.is_ok(), is_right, "loader: {whole}\n{problems}");
    let wrong = validate(&schema(), whole);
    assert_eq!(wrong.is_empty(), is_right, "schema: {whole} {wrong:?}");
}

fn names(fields: &[Field]) -> BTreeSet<String> {
    fields.iter().map(|field| field.name.to_owned()).collect()
}

#[track_caller]
fn asked(rules: &RuleSet, whole: &Value) -> BTreeSet<String> {
    let problems = load(rules, &whole.to_string()).unwrap_err();
    let unknown = problems.iter().find(|problem| problem.message.contains("zzzzzz")).unwrap();
    unknown.hint.as_deref().unwrap_or_default().split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_of_the_table_is_read_and_every_one_that_is_read_is_in_the_table() {
    let rules = rules();
    both(&rules, &around(), true);
    let unknown = "zzzzzzzzzzzzqqqq";
    for (group, fields) in GROUPS {
        let whole = set(group, unknown, json!(1));
        assert_eq!(asked(&rules, &whole), names(fields), "{group}");
        both(&rules, &whole, false);
    }
    let mut whole = around();
    whole[unknown] = json!(1);
    both(&rules, &whole, false);
    assert_eq!(names(FILE), BTreeSet::from(["tests".to_owned()]));
}

#[test]
fn both_agree_on_words_and_on_what_must_be_there() {
    let rules = rules();
    for (group, fields) in GROUPS {
        for field in *fields {
            if let Type::Word(words) = field.ty {
                let whole = set(group, field.name, json!("qqqqqqqqqqqq"));
                both(&rules, &whole, false);
                let problems = load(&rules, &whole.to_string()).unwrap_err();
                let told =
                    problems.iter().find_map(|problem| problem.message.strip_prefix("expected one of ")).unwrap();
                let told: BTreeSet<&str> = told.split(", found ").next().unwrap().split(", ").collect();
                let ours: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                assert_eq!(told, ours.iter().map(String::as_str).collect(), "{group}.{}", field.name);
            }
            let mut whole = around();
            let within = whole.pointer_mut(path(group)).unwrap().as_object_mut().unwrap();
            if field.is_required {
                within.remove(field.name).unwrap();
                both(&rules, &whole, false);
            }
        }
    }
}

#[test]
fn forms_and_what_fields_ask_of_each_other() {
    let rules = rules();
    let event = |more: Value| {
        let mut whole = around();
        whole["tests"][0]["events"][0].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    for (whole, is_right) in [
        (set("test", "starts", json!("2025-11-02T00:00:00Z")), true),
        (set("test", "starts", json!("2025-11-02")), false),
        (set("test", "set", json!({"new-ip.min_calls": 20})), true),
        (set("test", "set", json!({"learning": "3d"})), false),
        (set("test", "expect", json!([])), false),
        (set("expectation", "at", json!("tomorrow")), false),
        (set("expectation", "alerts", json!([])), true),
        (set("expectation", "alerts", Value::Null), false),
        (set("fact", "type", json!("key_regenerated")), false),
        (set("fact", "type", json!("key_expires")), false),
        (set("fact", "type", json!("merchant_updated")), false),
        (event(json!({"from": ["203.0.113.7", "2001:db8::1"]})), true),
        (event(json!({"from": "203.0.113.0/24"})), false),
        (event(json!({"rate": "20 per hour", "for": "3h"})), true),
        (event(json!({"rate": "20/hour", "for": "3h"})), false),
        (event(json!({"rate": "0 per hour", "for": "3h"})), false),
        (event(json!({"rate": "20 per hour"})), false),
        (event(json!({"for": "3h"})), false),
        (event(json!({"count": 3, "within": "3h"})), true),
        (event(json!({"count": 3})), false),
        (event(json!({"within": "3h"})), false),
        (event(json!({"count": 3, "within": "3h", "rate": "20 per hour", "for": "3h"})), false),
        (event(json!({"outcome": "ok", "reason": "revoked_key"})), false),
        (event(json!({"outcome": "denied", "reason": "revoked_key"})), true),
        (event(json!({"calls": 0})), false),
    ] {
        both(&rules, &whole, is_right);
    }
}

#[test]
fn good_files_are_valid() {
    for folder in ["rules", "tests/data/rule_tests/failing", "tests/data/rule_tests/gaps"] {
        for (name, text) in files(folder, ".test.yml") {
            let wrong = validate(&schema(), &of_yaml(&text).unwrap());
            assert!(wrong.is_empty(), "{name}: {wrong:?}");
        }
    }
}

/// Golden bad files whose defect a schema cannot see, and what it is that it cannot see.
const UNSEEN: &[(&str, &str)] =
    &[("name-twice", "a name used twice"), ("rule-misspelt", "other files"), ("too-late", "what other lines say")];

#[test]
fn bad_files_are_refused_where_a_schema_can_see_why() {
    let mut unseen = BTreeSet::new();
    for (name, text) in files("tests/data/rule_tests/bad", ".test.yml") {
        let Some(whole) = of_yaml(&text) else { continue };
        if validate(&schema(), &whole).is_empty() {
            unseen.insert(name);
        }
    }
    let expected: BTreeSet<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(unseen, expected);
}
