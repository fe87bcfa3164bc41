//! Rules: what a bad file is told, what a version and a hash cover, and that the shipped rules are fit to be read.

use std::path::{Path, PathBuf};

use keywatch::alert::{Audience, Kind, Severity};
use keywatch::brand::Brand;
use keywatch::engine::detect::{Detector, DetectorSpec, Fires, SPECS};
use keywatch::engine::params::{ParamSpec, ParamType, ParamValue, Params};
use keywatch::event::Env;
use keywatch::rules::compile::{compile, compile_with, load};
use keywatch::rules::files::load_directory;
use keywatch::rules::set::Override;
use keywatch::rules::{Rule, RuleFile, RuleSet};
use keywatch::time::{DAY, HOUR, MINUTE};
use keywatch::yaml::{Problem, render};
use proptest::prelude::*;

/// What no message may ever contain.
const PLANTED: &str = "pl4nted";

/// Shows the parameters that it was built from.
#[derive(Debug)]
struct Fake {
    #[expect(dead_code, reason = "read through Debug")]
    params: Params,
}

impl Detector for Fake {}

const fn spec(kind: Kind, fires: Fires, params: &'static [ParamSpec]) -> DetectorSpec {
    DetectorSpec { kind, doc: "", fires, params, build: |params| Box::new(Fake { params: params.clone() }) }
}

const fn param(name: &'static str, ty: ParamType) -> ParamSpec {
    ParamSpec { name, ty, doc: "" }
}

/// Detectors of the tests' own, so that the messages stay what they are when detectors change.
const OURS: &[DetectorSpec] = &[
    spec(Kind::Custom, Fires::OnCondition, &[]),
    spec(
        Kind::StaleKey,
        Fires::ByTime,
        &[param("unused_for", ParamType::Duration { min: DAY, max: 3650 * DAY, default: 90 * DAY })],
    ),
    spec(
        Kind::Spike,
        Fires::OnAccepted,
        &[
            param("budget", ParamType::Number { min: 0.001, max: 1000.0, default: 0.5 }),
            param("min_extra", ParamType::Count { min: 1, max: 1_000_000, default: 30 }),
            param("quiet", ParamType::Duration { min: 10 * MINUTE, max: 7 * DAY, default: HOUR }),
        ],
    ),
];

const STALE: &str = "name: stale
kind: stale_key
title: Key not used
description: Nobody uses this key.
severity: info
audience: both
runbook: [Revoke it.]
";

fn file(name: &str, text: &str) -> RuleFile {
    RuleFile { name: name.into(), text: text.into() }
}

fn one(text: &str) -> Rule {
    let mut set = compile(vec![file("x.yml", text)], OURS).unwrap_or_else(|p| panic!("{text}\n{}", render(&p)));
    assert_eq!(set.rules.len(), 1, "{text}");
    set.rules.remove(0)
}

fn set(overrides: &[&str]) -> Result<RuleSet, Vec<Problem>> {
    let spike = STALE.replace("name: stale", "name: spike").replace("stale_key", "spike");
    let off = STALE.replace("name: stale", "name: off\nstatus: off");
    let overrides: Vec<Override> = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
    compile_with(vec![file("b.yml", &spike), file("a.yml", STALE), file("c.yml", &off)], OURS, &overrides)
}

#[test]
fn every_defect_has_its_message() {
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/data/rules")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .collect();
    files.sort();
    assert!(60 <= files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let Err(problems) = compile(vec![file(&format!("rules/{name}.yml"), &text)], OURS) else {
            panic!("{name} has no problem");
        };
        let shown = render(&problems);
        assert!(!shown.contains(PLANTED), "{name} shows a secret:\n{shown}");
        assert!(!shown.contains('\u{1b}'), "{name}");
        for problem in &problems {
            assert!(!problem.message.ends_with('.') && !problem.message.starts_with(char::is_uppercase), "{problem}");
        }
        insta::with_settings!({snapshot_path => "data/rules", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn a_rule_is_read_as_it_is_written() {
    let rule = one(&format!(
        "{STALE}status: stable
match:
  key_env: live
  merchants: [m_2, 007]
  except_keys: ['k_1']
params: {{unused_for: 4w}}
owner: support
references: [https://example.com]
"
    ));
    assert_eq!((&*rule.name, rule.kind), ("stale", Kind::StaleKey));
    assert_eq!((rule.severity, rule.audience), (Severity::Info, Audience::Both));
    assert_eq!(rule.matcher.key_env, Some(Env::Live));
    assert_eq!(rule.matcher.merchants, Some(vec!["007".into(), "m_2".into()]));
    assert_eq!(rule.matcher.except_keys, ["k_1"]);
    let mut params = Params::defaults(OURS[1].params);
    params.set("unused_for", ParamValue::Duration(28 * DAY));
    assert_eq!(format!("{:?}", rule.detector), format!("{:?}", Fake { params }));
}

#[test]
fn a_set_is_ordered_and_leaves_out_what_is_off() {
    let set = set(&[]).unwrap();
    let names: Vec<&str> = set.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["spike", "stale"]);
    let files: Vec<&str> = set.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["a.yml", "b.yml", "c.yml"]);
    let list = format!("rules:\n  - {}", STALE.replace('\n', "\n    ").trim_end());
    assert_eq!(one(&list).hash, one(STALE).hash);
}

#[test]
fn a_name_used_twice_names_both_places() {
    let problems = compile(vec![file("b.yml", STALE), file("a.yml", &format!("\n{STALE}"))], OURS).unwrap_err();
    assert_eq!(
        render(&problems),
        "error: b.yml:1:7: rule `stale` is there twice\n  |\n1 | name: stale\n  |       ^^^^^\n\nhint: the first one is a.yml:2:7\n"
    );
}

#[test]
fn the_hash_covers_what_fires_and_what_is_said() {
    let hash = one(STALE).hash;
    assert_eq!(hash.len(), 16);
    for same in [
        format!("# a comment\n{STALE}"),
        STALE.replace("title: Key not used", "title: >\n  Key\n  not used\n"),
        STALE.replace("[Revoke it.]", "\n  - Revoke it."),
        format!("{STALE}owner: me\nstatus: stable\nreferences: [x]\nparams: {{unused_for: 90d}}\nmatch: {{}}\n"),
        format!("{STALE}params: {{unused_for: 2160h}}\n"),
    ] {
        assert_eq!(one(&same).hash, hash, "{same}");
    }
    for other in [
        STALE.replace("not used", "unused"),
        STALE.replace("info", "high"),
        STALE.replace("both", "support"),
        STALE.replace("Revoke", "Stop"),
        STALE.replace("name: stale", "name: other"),
        format!("{STALE}params: {{unused_for: 91d}}\n"),
        format!("{STALE}match: {{key_env: live}}\n"),
        format!("{STALE}match: {{except_keys: [k]}}\n"),
        format!("{STALE}match: {{except_merchants: [k]}}\n"),
    ] {
        assert_ne!(one(&other).hash, hash, "{other}");
    }
}

#[test]
fn the_version_covers_names_texts_and_what_was_set() {
    let version = |files: Vec<RuleFile>, overrides: &[Override]| compile_with(files, OURS, overrides).unwrap().version;
    let first = version(vec![file("x.yml", STALE)], &[]);
    assert_eq!(first.len(), 32);
    assert_eq!(version(vec![file("x.yml", STALE)], &[]), first);
    assert_ne!(version(vec![file("y.yml", STALE)], &[]), first);
    assert_ne!(version(vec![file("x.yml", &format!("{STALE}#\n"))], &[]), first);
    assert_ne!(version(vec![file("x.yml", STALE)], &[Override::parse("stale.unused_for=1d").unwrap()]), first);
}

#[test]
fn parameters_can_be_set_from_outside() {
    let changed = set(&["spike.budget=2", "stale.unused_for=30d", "spike.budget=2.5"]).unwrap();
    let shown = format!("{:?}", changed.rules);
    assert!(shown.contains("Number(2.5)") && shown.contains(&format!("Duration({})", 30 * DAY)), "{shown}");
    assert_ne!(changed.rules[0].hash, set(&[]).unwrap().rules[0].hash);

    for (text, message, hint) in [
        ("stael.unused_for=1d", "there is no rule `stael`", "did you mean `stale`?"),
        ("nothing.x=1", "there is no rule `nothing`", "the rules are `stale`, `spike`, `off`"),
        ("off.unused_for=1d", "the rule `off` is off: this would change nothing", ""),
        ("stale.unused_four=1d", "the rule `stale` has no parameter `unused_four`", "did you mean `unused_for`?"),
        ("spike.x=1", "the rule `spike` has no parameter `x`", "its parameters are `budget`, `min_extra`, `quiet`"),
        (
            "stale.unused_for=90",
            "expected a duration such as `5m`, found a number",
            "add a unit: `ms`, `s`, `m`, `h`, `d` or `w`",
        ),
        ("stale.unused_for=1h", "must be from `1d` to `3650d`, found `1h`", ""),
        ("spike.min_extra=many", "expected a whole number, found `many`", ""),
        ("spike.budget=NaN", "expected a number, found `NaN`", ""),
    ] {
        let problems = set(&[text]).unwrap_err();
        let hint = if hint.is_empty() { String::new() } else { format!("\nhint: {hint}\n") };
        assert_eq!(render(&problems), format!("error: --set {text}: {message}\n{hint}"));
    }
    for text in ["", "stale", "stale=1", "stale.unused_for", "stale.=1", ".x=1", "stale.unused_for="] {
        let problem = Override::parse(text).unwrap_err().to_string();
        assert!(problem.starts_with(&format!("error: --set {text}: expected RULE.PARAM=VALUE\n")), "{problem}");
    }
}

#[test]
fn a_directory_is_read_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let message = |dir: &Path| load_directory(dir).unwrap_err()[0].message.clone();
    assert_eq!(message(&dir.path().join("none")), "cannot read the directory: there is no such directory");
    assert_eq!(message(dir.path()), "there are no rule files (`*.yml`) in this directory");

    write("b.yml", STALE);
    write("more/a.yml", &STALE.replace("name: stale", "name: other"));
    write("b.test.yml", "not: [a, rule");
    write(".hidden.yml", "not: [a, rule");
    write("..data/c.yml", "not: [a, rule");
    write("README.md", "");
    let names: Vec<String> = load_directory(dir.path()).unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["b.yml", "more/a.yml"]);
    assert_eq!(load(dir.path(), OURS, &[]).unwrap().rules.len(), 2);

    write("more/a.yml", STALE);
    let problems = load(dir.path(), OURS, &[]).unwrap_err();
    assert_eq!(Path::new(&problems[0].file), dir.path().join("more/a.yml"));

    write("c.yaml", STALE);
    std::fs::write(dir.path().join("d.yml"), [0xff]).unwrap();
    let problems = load_directory(dir.path()).unwrap_err();
    assert!(problems[0].message.contains("end in `.yml`"), "{}", problems[0]);
    assert_eq!(problems[1].message, "cannot read the file: it is not UTF-8 text");
}

#[test]
fn the_number_of_files_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..1_001 {
        std::fs::write(dir.path().join(format!("{i}.yml")), "").unwrap();
    }
    let problems = load_directory(dir.path()).unwrap_err();
    assert_eq!(problems[0].message, "more than 1000 rule files");
}

fn shipped() -> RuleSet {
    let rules = load(Path::new("rules"), SPECS, &[]).unwrap_or_else(|problems| panic!("{}", render(&problems)));
    rules.in_words_of(&Brand::default())
}

#[test]
fn every_detector_has_a_shipped_rule_of_its_name() {
    let set = shipped();
    // What a condition says, no detector knows: of those kinds none is shipped.
    for spec in SPECS.iter().filter(|spec| spec.fires != Fires::OnCondition) {
        let name = spec.kind.as_str().replace('_', "-");
        let rule = set.rules.iter().find(|rule| *rule.name == name).unwrap_or_else(|| panic!("no rule {name}"));
        assert_eq!(rule.kind, spec.kind);
        assert!(set.files.iter().any(|file| file.name == format!("{name}.yml")));
    }
    let n_detectors = SPECS.iter().filter(|spec| spec.fires != Fires::OnCondition).count();
    assert_eq!(set.rules.len(), n_detectors);
}

/// A shipped rule writes every parameter out, at its default: with and without `params` it is the same rule.
#[test]
fn shipped_rules_show_the_defaults() {
    for rule_file in shipped().files {
        let spec =
            SPECS.iter().find(|spec| rule_file.text.contains(&format!("\nkind: {}\n", spec.kind.as_str()))).unwrap();
        let Some((before, rest)) = rule_file.text.split_once("\nparams:\n") else {
            assert!(spec.params.is_empty(), "{}", rule_file.name);
            continue;
        };
        let end = rest.match_indices('\n').find(|(at, _)| !rest[at + 1..].starts_with(' ')).unwrap().0;
        let bare = format!("{before}{}", &rest[end..]);
        let hash = |text: &str| compile(vec![file("x.yml", text)], SPECS).unwrap().rules[0].hash.clone();
        assert_eq!(hash(&rule_file.text), hash(&bare), "{}", rule_file.name);
        for param in spec.params {
            assert!(rest[..end].contains(&format!("  {}: ", param.name)), "{}: {}", rule_file.name, param.name);
        }
    }
}

#[test]
fn shipped_rules_are_written_for_people() {
    const AVOIDED: &[&str] = &[
        "anomaly",
        "z-score",
        "baseline",
        "threshold",
        "incident",
        "ioc",
        "credential",
        "rotate",
        "rotated",
        "env",
        "asn",
        "cidr",
        "ua",
        "malicious",
        "hacker",
        "breach",
        "compromised",
        "suspicious",
        "critical",
        "urgent",
        "immediately",
        "dear",
        "verify",
        "click",
        "please",
        "simply",
    ];
    for rule in shipped().rules {
        for text in rule.runbook.iter().chain([&rule.title, &rule.description]) {
            for word in text.split(|c: char| !c.is_alphanumeric() && c != '-') {
                assert!(!AVOIDED.contains(&word.to_lowercase().as_str()), "{}: `{word}` in: {text}", rule.name);
            }
            for sentence in text.split(". ") {
                let words = sentence.split_whitespace().count();
                assert!(words <= 20, "{}: {words} words: {sentence}", rule.name);
            }
        }
        // What broke, or is about no key of a merchant's, is not mended by a new key.
        use Kind::{Drop, ErrorBurst, KeyScan, MalformedKey, PlatformIncident};
        let is_about_a_key = !matches!(rule.kind, Drop | ErrorBurst | KeyScan | MalformedKey | PlatformIncident);
        let says_where = rule.runbook.iter().any(|step| step.contains("Profile Settings, API Key"));
        assert!(says_where || !is_about_a_key, "{}", rule.name);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = compile(vec![file("x.yml", &text)], OURS);
        let _ = Override::parse(&text);
    }

    #[test]
    fn nearly_a_rule_does_not_make_it_panic(cut in 0usize..400, what in "(- |: |\\[|\\{|\"|'|\t|\n|\r|rules:|---|\\||>|é|\u{0}){0,3}", keep in 0usize..400) {
        let mut text = format!("{STALE}params: {{unused_for: 90d}}\nmatch: {{merchants: [a]}}\n");
        text.insert_str(cut.min(text.len()), &what);
        text.truncate((0..=keep.max(cut)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0).min(text.len()));
        if let Err(problems) = compile(vec![file("x.yml", &text)], OURS) {
            prop_assert!(!problems.is_empty());
            let _ = render(&problems);
        }
    }
}
