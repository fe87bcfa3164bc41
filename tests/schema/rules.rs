//! The schema of rule files.

use std::collections::BTreeSet;

use keywatch::engine::detect::{Fires, SPECS};
use keywatch::engine::params::ParamType;
use keywatch::rules::RuleFile;
use keywatch::rules::compile::compile;
use keywatch::rules::fields::{FILE, GROUPS};
use keywatch::rules::schema::schema;
use keywatch::time::duration_text;
use keywatch::yaml::schema::{Field, Type};
use keywatch::yaml::{Problem, render};
use serde_json::{Value, json};

use crate::validate::{files, of_yaml, validate};

fn load(text: &str) -> Result<(), Vec<Problem>> {
    compile(vec![RuleFile { name: "x.yml".into(), text: text.to_owned() }], SPECS).map(|_| ())
}

fn rule() -> Value {
    json!({
        "name": "a", "kind": "custom", "title": "T", "description": "D", "severity": "info", "audience": "both",
        "condition": "event.outcome == \"denied\"", "runbook": ["Do it."],
    })
}

fn entry() -> Value {
    json!({"of": "k1", "reason": "r", "owner": "o", "expires": "never"})
}

/// A file in which a group stands, and the path to it.
fn around(group: &str) -> (Value, &'static str) {
    let with = |name: &str, value: Value| {
        let mut rule = rule();
        rule[name] = value;
        rule
    };
    let exceptions = json!([{"name": "known", "fields": ["key.id"], "values": [entry()]}]);
    let active = json!({"zone": "UTC"});
    match group {
        "rule" => (rule(), ""),
        "match" => (with("match", json!({})), "/match"),
        "severity_when" => {
            (with("severity_when", json!([{"condition": "key.calls > 3", "severity": "lower"}])), "/severity_when/0")
        }
        "exception" => (with("exceptions", exceptions), "/exceptions/0"),
        "entry" => (with("exceptions", exceptions), "/exceptions/0/values/0"),
        "active" => (with("active", active), "/active"),
        "override" => (json!({"rules": [rule()], "overrides": [{"rule": "a"}]}), "/overrides/0"),
        "override_match" => {
            (json!({"rules": [rule()], "overrides": [{"rule": "a", "match": {}}]}), "/overrides/0/match")
        }
        "list" => (json!({"rules": [rule()], "lists": {"office": {"type": "int", "values": [1]}}}), "/lists/office"),
        "defaults" => (json!({"rules": [rule()], "defaults": {}}), "/defaults"),
        other => panic!("{other}: say where it stands"),
    }
}

fn set(group: &str, name: &str, value: Value) -> Value {
    let (mut whole, path) = around(group);
    let at = whole.pointer_mut(path).unwrap();
    at[name] = value;
    // What else a field asks for.
    match (group, name) {
        ("rule", "group_by") => whole["missing"] = json!("skip"),
        ("list", "type") if at["type"] == "cidr" => at["values"] = json!(["203.0.113.0/24"]),
        ("list", "file") => drop(at.as_object_mut().unwrap().remove("values")),
        _ => {}
    }
    whole
}

/// Both take a file, or both refuse it.
#[track_caller]
fn both(whole: &Value, is_right: bool) {
    loader(whole, is_right);
    let wrong = validate(&schema(SPECS), whole);
    assert_eq!(wrong.is_empty(), is_right, "schema: {whole} {wrong:?}");
}

#[track_caller]
fn loader(whole: &Value, is_right: bool) {
    let loaded = load(&whole.to_string());
    let problems = loaded.as_ref().err().map(|problems| render(problems)).unwrap_or_default();
    assert_eq!(loaded.is_ok(), is_right, "loader: {whole}\n{problems}");
}

#[test]
fn what_stands_around_is_valid() {
    GROUPS.iter().for_each(|(group, _)| both(&around(group).0, true));
}

/// The loader names what it knows where it meets what it does not know.
#[track_caller]
fn asked(whole: &Value) -> BTreeSet<String> {
    let problems = load(&whole.to_string()).unwrap_err();
    let unknown = problems.iter().find(|problem| problem.message.contains("zzzzzz")).unwrap();
    unknown.hint.as_deref().unwrap_or_default().split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names(fields: &[Field]) -> BTreeSet<String> {
    fields.iter().map(|field| field.name.to_owned()).collect()
}

#[test]
fn every_field_of_the_table_is_read_and_every_one_that_is_read_is_in_the_table() {
    let unknown = "zzzzzzzzzzzzqqqq";
    for (group, fields) in GROUPS {
        let whole = set(group, unknown, json!(1));
        assert_eq!(asked(&whole), names(fields), "{group}");
        both(&whole, false);
    }
    let whole = json!({"rules": [rule()], unknown: 1});
    assert_eq!(asked(&whole), names(FILE));
    both(&whole, false);
    for spec in SPECS {
        let mut whole = rule();
        whole["kind"] = spec.kind.as_str().into();
        whole["params"] = json!({unknown: 1});
        let ours = spec.params.iter().map(|param| param.name.to_owned()).collect();
        assert_eq!(asked(&whole), ours, "{}", spec.kind.as_str());
        both(&whole, false);
    }
}

#[test]
fn both_agree_on_every_field() {
    for (group, fields) in GROUPS {
        for field in *fields {
            let put = |value: Value| set(group, field.name, value);
            both(&put(json!({"a": {"b": 1}})), false);
            match field.ty {
                Type::Word(words) => {
                    let put = |word: &str| put(word.into());
                    words.iter().for_each(|(word, _)| both(&put(word), true));
                    both(&put("qqqqqqqqqqqq"), false);
                    both_list(&put("qqqqqqqqqqqq"), words);
                }
                Type::List(Type::Word(words), ..) => {
                    for (word, _) in *words {
                        let fits =
                            !matches!(*word, "startsWith" | "endsWith" | "contains") || field.name == "operators";
                        both(&put(json!([word])), fits);
                    }
                    both(&put(json!(["qqqqqqqqqqqq"])), false);
                    both(&put(json!("qqqqqqqqqqqq")), false);
                }
                Type::Duration(min, max) => {
                    both(&put(duration_text(max).into()), true);
                    loader(&put(duration_text(max + 1).into()), false);
                    assert_eq!(min, 0, "{group}.{}", field.name);
                    both(&put(json!("5 minutes")), false);
                    both(&put(json!(5)), false);
                }
                Type::List(Type::Text | Type::Value, min, max) => {
                    both(&put(json!([])), min == 0);
                    both(&put(json!("one")), false);
                    both(&put(json!([["one"]])), false);
                    // Ten thousand once are enough.
                    if let Some(max) = max.filter(|max| *max < 1_000 || field.name == "merchants") {
                        let some = |n: u64| (0..n).map(|n| format!("m{n}")).collect::<Vec<_>>();
                        both(&put(some(max).into()), true);
                        both(&put(some(max + 1).into()), false);
                    }
                }
                Type::Text | Type::Short(_) => both(&put(json!(" ")), false),
                _ => {}
            }
            let mut whole = around(group).0;
            let within = whole.pointer_mut(around(group).1).unwrap().as_object_mut().unwrap();
            if field.is_required && within.remove(field.name).is_some() {
                both(&whole, false);
            }
        }
    }
}

/// The loader lists exactly these words.
#[track_caller]
fn both_list(whole: &Value, words: &[(&str, &str)]) {
    let problems = load(&whole.to_string()).unwrap_err();
    let listed = words.iter().map(|(word, _)| format!("`{word}`")).collect::<BTreeSet<_>>();
    let told = problems.iter().find_map(|problem| problem.message.strip_prefix("expected one of ")).unwrap();
    let told: BTreeSet<String> = told.split(", found ").next().unwrap().split(", ").map(str::to_owned).collect();
    assert_eq!(told, listed, "{whole}");
}

#[test]
fn both_agree_on_every_parameter() {
    for spec in SPECS {
        let put = |name: &str, value: Value| {
            let mut whole = rule();
            whole["kind"] = spec.kind.as_str().into();
            if matches!(spec.fires, Fires::ByTime | Fires::OnAccepted) {
                whole["condition"] = "key.calls > 3".into();
            }
            if spec.fires == Fires::Together {
                whole.as_object_mut().unwrap().remove("condition");
            }
            whole["params"] = json!({name: value});
            whole
        };
        for param in spec.params {
            let put = |value: Value| put(param.name, value);
            let changed = |value: &Value| json!({"rules": [put(value.clone())], "overrides": [{"rule": "a", "params": {param.name: value}}]});
            let good = match param.ty {
                ParamType::Duration { min, max, .. } => {
                    both(&put(duration_text(max).into()), true);
                    loader(&put(duration_text(max + 1).into()), false);
                    both(&put(json!(5)), false);
                    duration_text(min).into()
                }
                ParamType::Count { min, max, .. } => {
                    both(&put(max.into()), true);
                    both(&put((max + 1).into()), false);
                    both(&put((min as i64 - 1).into()), false);
                    both(&put(json!("3")), false);
                    Value::from(min)
                }
                ParamType::Number { min, max, .. } => {
                    both(&put(max.into()), true);
                    both(&put((max + 0.001).into()), false);
                    both(&put((min - 0.001).into()), false);
                    Value::from(min)
                }
            };
            both(&put(good.clone()), true);
            both(&changed(&good), true);
            both(&put(json!({"a": 1})), false);
        }
    }
}

#[test]
fn forms_and_what_fields_ask_of_each_other() {
    let with = |name: &str, value: Value| set("rule", name, value);
    let of_kind = |kind: &str, name: &str, value: Value| {
        let mut whole = json!({
            "name": "a", "kind": kind, "title": "T", "description": "D", "severity": "info", "audience": "both",
            "runbook": ["Do it."],
        });
        whole[name] = value;
        whole
    };
    let entry_with = |name: &str, value: Value| set("entry", name, value);
    let active = |more: Value| {
        let mut whole = with("active", more);
        whole["active"]["zone"] = "Europe/Zurich".into();
        whole
    };
    for (whole, is_right) in [
        (with("name", json!("a1-b2")), true),
        (with("name", json!("9lives")), false),
        (with("name", json!("a--b")), false),
        (with("name", json!("a".repeat(60))), true),
        (with("name", json!("a".repeat(61))), false),
        (with("title", json!("t".repeat(60))), true),
        (with("title", json!("t".repeat(61))), false),
        (with("title", json!(404)), true),
        (with("active", json!({"zone": "Europe/Zurch"})), false),
        (active(json!({"days": ["mon-fri", "Sunday"], "hours": ["08:00-18:00", "22:00 - 6:00"]})), true),
        (active(json!({"days": []})), false),
        (active(json!({"days": ["freitag-mon"]})), false),
        (active(json!({"hours": ["8-18"]})), false),
        (with("active", Value::Null), false),
        (with("match", Value::Null), true),
        (with("params", Value::Null), true),
        (entry_with("expires", json!("2027-06-30")), true),
        (entry_with("expires", json!("30.6.2027")), false),
        (entry_with("of", json!([["k1", 2, true]])), true),
        (entry_with("of", json!({"a": 1})), false),
        (of_kind("custom", "status", json!("test")), false),
        (of_kind("new_ip", "status", json!("test")), true),
        (of_kind("new_ip", "group_by", json!(["path"])), false),
        (of_kind("stale_key", "for", json!("1h")), false),
        (of_kind("stale_key", "for", json!("0s")), true),
        (of_kind("stale_key", "active", json!({"zone": "UTC"})), false),
        (json!({"rules": []}), false),
        (json!({"lists": {"office": {"type": "cidr", "values": ["203.0.113.0/24"]}}}), true),
        (json!({"lists": {"office": {"type": "cidr"}}}), false),
        (json!({"lists": {"office": {"type": "string", "values": ["a"], "file": "a.txt"}}}), false),
        (json!({"lists": {"Office": {"type": "string", "values": ["a"]}}}), false),
        (json!({"macros": {"is_refused": "event.outcome == \"denied\""}}), true),
        (json!({"macros": {"is-refused": "event.outcome == \"denied\""}}), false),
        (json!({"overrides": [{"severity": "high"}]}), false),
        (json!({}), false),
        (json!([]), false),
    ] {
        both(&whole, is_right);
    }
    let mut grouped = set("rule", "group_by", json!(["path"]));
    both(&grouped, true);
    grouped.as_object_mut().unwrap().remove("missing");
    both(&grouped, false);
}

/// An editor marks these two, which the loader takes.
#[test]
fn where_the_schema_is_stricter() {
    for (name, value) in [("owner", Value::Null), ("title", json!(true))] {
        let whole = set("rule", name, value);
        loader(&whole, true);
        assert!(!validate(&schema(SPECS), &whole).is_empty(), "{name}");
    }
}

#[test]
fn good_files_are_valid() {
    let mut good = Vec::new();
    for folder in ["rules", "tests/data/rule_tests/failing", "tests/data/rule_tests/gaps"] {
        good.extend(files(folder, ".yml"));
    }
    let page = std::fs::read_to_string("docs/reference/rules.md").unwrap();
    let examples = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    good.extend(examples.map(|text| ("docs/reference/rules.md".to_owned(), text.to_owned())));
    assert!(good.len() >= 13);
    for (name, text) in good {
        let wrong = validate(&schema(SPECS), &of_yaml(&text).unwrap());
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

const CONDITION: &str = "what a condition says";

/// Golden bad files whose defect a schema cannot see, and what it is that it cannot see.
const UNSEEN: &[(&str, &str)] = &[
    ("condition-bad-cidr", CONDITION),
    ("condition-bad-pattern", CONDITION),
    ("condition-bad-zone", CONDITION),
    ("condition-by-time", CONDITION),
    ("condition-folded", CONDITION),
    ("condition-impossible", CONDITION),
    ("condition-list-of-wrong-kind", CONDITION),
    ("condition-loop", CONDITION),
    ("condition-no-answer", CONDITION),
    ("condition-quoted", CONDITION),
    ("condition-syntax", CONDITION),
    ("condition-two-mistakes", CONDITION),
    ("condition-unknown-field", CONDITION),
    ("condition-unknown-list", CONDITION),
    ("condition-unknown-word", CONDITION),
    ("condition-wrong-type", CONDITION),
    ("exception-bad-value", "whether a value fits its field"),
    ("exception-operators-missing", "lists of the same length"),
    ("exception-too-few-values", "lists of the same length"),
    ("exception-twice", "a name used twice"),
    ("list-bad-entry", "whether a value fits its list"),
    ("list-missing-file", "other files"),
    ("macro-cycle", CONDITION),
    ("merchants-excepted", "a value in two lists"),
    ("override-unknown-exception", "other rules"),
    ("override-unknown-rule", "other rules"),
    ("param-out-of-range", "the range of a duration"),
    ("rule-twice", "a name used twice"),
    ("unreachable-env", CONDITION),
    ("unreachable-outcome", CONDITION),
    ("unreachable-severity", "a condition used twice"),
    ("unknown-word", "what stands for the words of a brand"),
];

#[test]
fn bad_files_are_refused_where_a_schema_can_see_why() {
    let mut unseen = BTreeSet::new();
    for (name, text) in files("tests/data/rules", ".yml") {
        // What is no YAML of ours has no fields.
        let Some(whole) = of_yaml(&text) else { continue };
        if validate(&schema(SPECS), &whole).is_empty() {
            unseen.insert(name);
        }
    }
    let expected: BTreeSet<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(unseen, expected);
}
