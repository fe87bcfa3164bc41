//! What is wrong with conditions, as people see it.

use keywatch::rules::expr::{Compiler, ExprProblem};

use super::compiler;

/// Each problem with the place drawn below the text.
fn drawn(text: &str, problems: &[ExprProblem]) -> String {
    let mut drawing = String::new();
    for problem in problems {
        let shown: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
        let caret = "^".repeat(problem.at.len().max(1));
        drawing += &format!("{shown}\n{}{caret} {}\n", " ".repeat(problem.at.start), problem.message);
        if let Some(hint) = &problem.hint {
            drawing += &format!("hint: {hint}\n");
        }
    }
    drawing
}

fn problems_of(texts: &[&str]) -> String {
    let draw = |text: &&str| match compiler().compile(text) {
        Ok(_) => format!("{text}\nnothing is wrong\n"),
        Err(problems) => drawn(text, &problems),
    };
    texts.iter().map(draw).collect::<Vec<_>>().join("\n")
}

#[test]
fn syntax() {
    insta::assert_snapshot!(problems_of(&[
        "",
        "event.outcome = \"denied\"",
        "event.outcome == \"denied\" and event.status > 400",
        "event.outcome == \"denied",
        "event.path.matches(\"\\d+\")",
        "(event.status > 400",
        "event.status > ",
        "event.status > 400)",
        "event.status > 99999999999999999999",
        "event.status <> 400",
        "event.reason == revoked_key",
        "[1, 2",
        "if",
        "é == 1",
    ]));
}

#[test]
fn names() {
    insta::assert_snapshot!(problems_of(&[
        "event.user_agnet == \"curl\"",
        "event.nothing > 1 && key.banana == 2",
        "user_agent == \"curl\"",
        "event.path.size > 3",
        "event.source_ip in lists.ofice",
        "event.path.startWith(\"/v1\")",
        "event.path.frobnicate()",
        "banana",
    ]));
}

#[test]
fn types() {
    insta::assert_snapshot!(problems_of(&[
        "event.status == \"403\"",
        "event.status == \"many\"",
        "event.path == 3",
        "event.ts > \"2026-11-23T08:00:00Z\"",
        "event.ts - key.created_at > 30",
        "event.status",
        "event.path && event.status > 1",
        "!event.count",
        "event.ts + 5 > event.ts",
        "event.source_ip < \"10.0.0.0\"",
        "event.status in \"400\"",
        "event.status in lists.office",
        "event.source_ip in lists.countries",
        "event.country == lists.countries",
        "event.status in merchant.tags",
        "event.ts.getHours(3) == 1",
        "event.path.startsWith(3)",
        "(event.status > 1 ? \"a\" : 1) == 1",
        "event.ts == null",
        "has(event.ts) || has(3)",
        "event.path + event.method == \"x\"",
    ]));
}

#[test]
fn words_and_literals() {
    insta::assert_snapshot!(problems_of(&[
        "event.outcome == \"denyed\"",
        "event.reason in [\"revoked_key\", \"rotated\"]",
        "key.env == \"sandbox\"",
        "event.user_agent.matches(\"curl/(7\")",
        "event.user_agent.matches(r'^a{9,1}')",
        "event.user_agent.matches(event.path)",
        "event.user_agent.lower().matches(\"x\")",
        "event.source_ip.inCidr(\"10.0.0.1/8\")",
        "event.source_ip.inCidr(\"10.0.0.0/33\")",
        "event.source_ip == \"10.0.0.0/8\"",
        "event.network == \"203.0.113.7\"",
        "event.ts.getHours(\"Europe/Zurch\") < 6",
        "event.ts - key.last_seen > duration(\"5 m\")",
        "event.ts > timestamp(\"yesterday\")",
        "event.user_agent.lower().contains(\"Curl\")",
    ]));
}

#[test]
fn what_is_never_or_always_true() {
    insta::assert_snapshot!(problems_of(&[
        "event.outcome == \"ok\" && event.outcome == \"denied\"",
        "event.status < 200 && event.status > 300",
        "event.status > 70000",
        "event.ts.getHours(\"UTC\") == 24",
        "event.count < 1",
        "event.outcome == \"ok\" || event.outcome == \"denied\"",
        "event.status != 401 || event.status != 403",
        "event.path.startsWith(\"/v1\") && event.path == \"/v2\"",
        "event.path in [\"/a\", \"/b\"] && event.path == \"/c\"",
        "event.user_agent == null && event.user_agent == \"curl\"",
        "has(event.origin) && !has(event.origin)",
        "1 == 2",
        "event.status > 400 && 2 > 1",
        "event.status in []",
        "event.count / 0 > 1",
        "9223372036854775807 + 1 > event.count",
        "true",
    ]));
}

#[test]
fn what_cel_has_and_we_do_not() {
    insta::assert_snapshot!(problems_of(&[
        "merchant.tags.exists(t, t == \"vip\")",
        "merchant.tags.all(t, t == \"vip\")",
        "merchant.tags[0] == \"vip\"",
        "{\"a\": 1}.a == 1",
        "event.count == 1u",
        "event.path == b\"x\"",
        "type(event.count) == int",
        "dyn(event.count) == 1",
        "string(event.count) == \"1\"",
        "event.?path == \"x\"",
        "google.protobuf.Duration{seconds: 1} == duration(\"1s\")",
    ]));
}

#[test]
fn macros_and_bounds() {
    let mut compiler = Compiler::new();
    compiler.add_macro("a", "b || event.status > 400");
    compiler.add_macro("b", "a && event.count > 1");
    compiler.add_macro("typo", "event.statsu > 400");
    let mut shown = String::new();
    for text in ["a", "typo && event.count > 1"] {
        shown += &drawn(text, &compiler.compile(text).unwrap_err());
    }
    shown += &drawn("event.statsu > 400", &compiler.check_macro("typo"));
    for text in ["(".repeat(40), "x".repeat(5000), "!".repeat(12), vec!["1"; 200].join(" + ")] {
        let problems = compiler.compile(&text).unwrap_err();
        shown += &format!("{:?}: {}\n", problems[0].at, problems[0].message);
    }
    insta::assert_snapshot!(shown);
}
