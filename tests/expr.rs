//! Conditions of rules: what they give, what is wrong with them, which events can reach them.

#[path = "expr/problems.rs"]
mod problems;
#[path = "expr/sample.rs"]
mod sample;

use keywatch::event::{Env, Outcome, Refusal};
use keywatch::rules::expr::schema::FIELDS;
use keywatch::rules::expr::{Compiler, Condition, FUNCTIONS, ListKind, Needs, Scope, TextNeed};
use proptest::prelude::*;

use sample::Sample;

fn compiler() -> Compiler {
    let mut compiler = Compiler::new();
    compiler.add_list("office", ListKind::Cidr, &["203.0.113.0/24", "2001:db8::/32"]).unwrap();
    compiler.add_list("clouds", ListKind::Asn, &["AS64500", "64501"]).unwrap();
    compiler.add_list("countries", ListKind::Text, &["CH", "DE"]).unwrap();
    compiler.add_list("codes", ListKind::Int, &["401", "403"]).unwrap();
    compiler.add_macro("refused", "event.outcome == \"denied\"");
    compiler.add_macro("refused_abroad", "refused && !(event.country in lists.countries)");
    compiler
}

#[track_caller]
fn compile(text: &str) -> Condition {
    compiler().compile(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

#[track_caller]
fn value(sample: &Sample, text: &str) -> Option<bool> {
    let condition = compiler().lenient().compile(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    sample.ask(|scope| {
        let value = condition.value(scope);
        assert_eq!(condition.matches(scope), value == Some(true), "{text}");
        assert!(value != Some(true) || condition.prefilter().may_match(scope), "{text}: {:?}", condition.prefilter());
        value
    })
}

#[test]
fn conditions_give_what_cel_would() {
    let full = Sample::full();
    for (text, want) in [
        // Texts and words.
        (r#"event.outcome == "denied""#, true),
        (r#"event.outcome != "denied""#, false),
        (r#"event.reason in ["revoked_key", "rotated_key"]"#, true),
        (r#""revoked_key" == event.reason"#, true),
        (r#"event.path == "/v1/refunds/{id}""#, true),
        (r#"event.path.startsWith("/v1/refunds") && event.path.endsWith("{id}")"#, true),
        (r#"event.path.contains("fund")"#, true),
        (r#"event.path < "/v2""#, true),
        (r#"event.path in ["/a", "/v1/refunds/{id}", "/z"]"#, true),
        (r#"event.path in ["/a", "/z"]"#, false),
        (r#"event.user_agent.matches(r"^Python-requests/2\.[0-9]+")"#, true),
        (r#"event.user_agent.matches("^python")"#, false),
        (r#"event.user_agent.matches("(?i)^python")"#, true),
        (r#"matches(event.user_agent, "requests")"#, true),
        (r#"event.user_agent.lower().contains("python-req")"#, true),
        (r#"event.user_agent.lowerAscii() == "python-requests/2.31""#, true),
        (r#"event.method.lower() in ["post", "put"]"#, true),
        (r#"event.user_agent.lower().startsWith("python")"#, true),
        (r#"event.method.lower() < "posu""#, true),
        (r#"event.reason.startsWith("revoked")"#, true),
        ("event.user_agent.size() == 20 && size(event.method) == 4", true),
        // Numbers.
        ("event.status >= 400 && event.status < 500", true),
        ("event.status in [401, 403]", true),
        ("event.status in lists.codes", true),
        ("403 == event.status", true),
        ("400 < event.status", true),
        ("event.status / 100 == 4", true),
        ("event.status % 100 == 3", true),
        ("-event.status == -403", true),
        ("event.count * 2 + 1 == 7", true),
        ("event.latency_ms > 12", true),
        ("event.latency_ms == 12.5", true),
        ("event.latency_ms * 2 == 25.0", true),
        ("double(event.count) / 2.0 == 1.5", true),
        ("int(event.latency_ms) == 12", true),
        ("event.status > key.age_days", true),
        // Addresses.
        (r#"event.source_ip == "203.0.113.7""#, true),
        (r#"event.source_ip != "203.0.113.7""#, false),
        (r#"event.source_ip.inCidr("203.0.113.0/24")"#, true),
        (r#"inCidr(event.source_ip, "10.0.0.0/8")"#, false),
        (r#"event.source_ip in ["10.0.0.0/8", "203.0.113.7"]"#, true),
        ("event.source_ip in lists.office", true),
        ("!(event.source_ip in lists.office)", false),
        (r#"event.network == "203.0.113.0/24""#, true),
        (r#"event.network in ["203.0.113.0/24", "198.51.100.0/24"]"#, true),
        (r#"event.country in lists.countries"#, false),
        ("event.asn in lists.clouds", true),
        // Times: Monday 2026-11-23 08:00 UTC.
        (r#"event.ts == timestamp("2026-11-23T08:00:00Z")"#, true),
        (r#"event.ts > timestamp("2026-11-23T08:00:00+01:00")"#, true),
        (r#"event.ts.getHours("Europe/Zurich") == 9"#, true),
        ("event.ts.getHours() == 8", true),
        (r#"event.ts.getHours("-05:30") == 2"#, true),
        ("event.ts.getHours(merchant.timezone) == 17", true),
        ("event.ts.getDayOfWeek() == 1", true),
        (r#"event.ts.getDayOfWeek("UTC") in [0, 6]"#, false),
        ("event.ts.getFullYear() == 2026 && event.ts.getMonth() == 10 && event.ts.getDate() == 23", true),
        (r#"event.ts - key.created_at == duration("10d")"#, true),
        (r#"event.ts - key.last_accepted > duration("1h30m")"#, true),
        (r#"key.created_at + duration("10d") == event.ts"#, true),
        ("(event.ts - key.created_at).getHours() == 240", true),
        ("int(event.ts) == 1795420800", true),
        // Key, merchant, features.
        (r#"key.env == "live" && key.id == "k_1""#, true),
        ("key.age_days == 10 && key.calls == 500 && key.refused == 3", true),
        (r#"key.name == "shop""#, true),
        (r#""vip" in merchant.tags"#, true),
        (r#""batch" in key.tags"#, false),
        ("key.tags.size() == 0 && !has(key.tags) && has(merchant.tags)", true),
        (r#"merchant.status == "suspended""#, true),
        (r#"merchant.id == event.merchant_id"#, true),
        ("key.is_revoked", true),
        ("key.is_rotated_out == false", true),
        ("features.is_new_network", true),
        ("features.knows_networks && features.is_new_network_of_merchant", true),
        ("features.calls_10m > features.usual_10m * 10.0", true),
        ("features.calls_1h >= 60", true),
        // Logic.
        (r#"event.status == 200 || event.outcome == "denied""#, true),
        (r#"event.outcome == "ok" ? event.status == 200 : event.status >= 400"#, true),
        (r#"(event.outcome == "ok" ? 200 : 403) == event.status"#, true),
        ("refused", true),
        ("refused_abroad && event.count > 1", true),
        ("has(event.user_agent) && event.user_agent != null", true),
        ("event.referer == null && !has(event.referer)", true),
        (r#"event.country in [event.country, "XX"]"#, true),
    ] {
        assert_eq!(value(&full, text), Some(want), "{text}");
    }
}

#[test]
fn what_is_absent_has_no_value_and_is_not_true() {
    let bare = Sample::bare();
    for (text, want) in [
        (r#"event.user_agent == "curl""#, None),
        (r#"event.user_agent != "curl""#, None),
        (r#"!(event.user_agent == "curl")"#, None),
        (r#"event.user_agent.contains("x")"#, None),
        (r#"event.user_agent.lower().contains("x")"#, None),
        (r#"event.user_agent in ["a", "b"]"#, None),
        (r#"event.reason == "rate_limited""#, None),
        (r#"event.reason != "rate_limited""#, None),
        ("event.status > 400", None),
        ("event.source_ip in lists.office", None),
        (r#"event.network == "203.0.113.0/24""#, None),
        ("features.is_new_network", None),
        ("features.calls_10m > 5", None),
        ("event.ts.getHours(merchant.timezone) == 8", None),
        ("event.ts - key.created_at > duration(\"1d\")", None),
        ("key.calls / event.status > 1", None),
        // As in CEL: one side decides where it can.
        (r#"event.outcome == "denied" && event.status > 400"#, Some(false)),
        (r#"event.status > 400 && event.outcome == "denied""#, Some(false)),
        (r#"event.outcome == "ok" || event.status > 400"#, Some(true)),
        (r#"event.status > 400 || event.outcome == "ok""#, Some(true)),
        (r#"event.outcome == "ok" && event.status > 400"#, None),
        (r#"event.status > 400 ? true : event.count > 0"#, None),
        ("event.count / 0 == 1", None),
        ("event.count % (key.calls - key.calls) == 1", None),
        ("event.count + 9223372036854775807 > 0", None),
        // Presence is always known.
        ("has(event.user_agent)", Some(false)),
        ("event.user_agent == null", Some(true)),
        ("event.status != null", Some(false)),
        ("!has(event.status) || event.status > 400", Some(true)),
        ("key.calls == 0 && !key.is_revoked", Some(true)),
        (r#""vip" in merchant.tags"#, Some(false)),
    ] {
        assert_eq!(value(&bare, text), want, "{text}");
    }
}

#[test]
fn events_that_cannot_match_never_reach_the_condition() {
    for (text, ok, denied, live, path) in [
        (r#"event.outcome == "denied""#, false, true, true, None),
        (r#"!(event.outcome == "denied") && event.status > 1"#, true, false, true, None),
        (r#"event.outcome == "denied" || event.status > 1"#, true, true, true, None),
        (r#"event.outcome == "ok" && key.env == "test""#, true, false, false, None),
        (
            r#"event.outcome == "denied" && event.path == "/x" || event.outcome == "denied" && event.path.startsWith("/y")"#,
            false,
            true,
            true,
            Some(2),
        ),
        (r#"event.path in ["/a", "/b", "/c"] && event.status > 1"#, true, true, true, Some(3)),
        (r#"event.path in ["/a", "/b"] || event.status > 1"#, true, true, true, None),
        (r#"event.path.startsWith("/a") && event.path in ["/ab", "/ac"]"#, true, true, true, Some(1)),
        ("event.status > 1", true, true, true, None),
    ] {
        let condition = compile(text);
        let filter = condition.prefilter();
        let found = (
            filter.allows_outcome(Outcome::Ok),
            filter.allows_outcome(Outcome::Denied),
            filter.allows_key_env(Env::Live),
            filter.path().map(<[TextNeed]>::len),
        );
        assert_eq!(found, (ok, denied, live, path), "{text}");
    }
    let filter = compile(r#"event.reason in ["revoked_key", "expired_key"] && event.method == "POST""#);
    let filter = filter.prefilter();
    assert!(filter.allows_reason(Refusal::RevokedKey) && !filter.allows_reason(Refusal::RateLimited));
    assert_eq!(filter.method(), Some(&[TextNeed::Is("POST".into())][..]));
    assert!(compile("event.status > 1").prefilter().is_open() && !filter.is_open());
    assert!(
        !Sample::bare().ask(|scope| filter.may_match(scope)) && Sample::full().ask(|scope| filter.may_match(scope))
    );
}

#[test]
fn a_condition_says_what_it_needs() {
    let needs = compile("event.country == \"CH\" && features.calls_1h > 5").needs();
    assert!(needs.includes(Needs::PLACE.and(Needs::WINDOWS)) && !needs.includes(Needs::KEY));
    assert_eq!(compile("event.status > 400").needs(), Needs::EVENT);
    assert!(compile("refused_abroad").needs().includes(Needs::PLACE));
    assert!(compile("key.age_days > 1").needs().includes(Needs::KEY.and(Needs::KEY_FACTS)));
}

#[test]
fn every_field_and_function_of_the_reference_compiles() {
    let mut compiler = compiler().lenient();
    for (i, field) in FIELDS.iter().enumerate() {
        let text = format!("{0} == {0}", field.name);
        let text = if field.ty().name() == "list(string)" { format!("has({})", field.name) } else { text };
        assert!(compiler.compile(&text).is_ok(), "{text}: {:?}", compiler.compile(&text));
        assert!(FIELDS[..i].iter().all(|other| other.name != field.name && other.read != field.read), "{}", field.name);
        // Absent and present ones are read without harm.
        let condition = compiler.compile(&text).unwrap();
        Sample::full().ask(|scope| condition.value(scope));
        let bare = Sample::bare().ask(|scope| condition.value(scope));
        assert!(field.optional || bare.is_some(), "{} is absent", field.name);
    }
    compiler = Compiler::new();
    for function in FUNCTIONS {
        assert!(function.example.contains(function.name), "{}", function.name);
        assert!(
            compiler.compile(function.example).is_ok(),
            "{}: {:?}",
            function.name,
            compiler.compile(function.example)
        );
    }
}

/// Pieces of conditions, right and wrong.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("event.outcome"),
        Just("event.status"),
        Just("event.user_agent"),
        Just("event.source_ip"),
        Just("event.ts"),
        Just("key.tags"),
        Just("lists.office"),
        Just("refused_abroad"),
        Just("event.nothing"),
        Just("\"denied\""),
        Just("r\"[\""),
        Just("\"203.0.113.0/24\""),
        Just("'é\\'"),
        Just("400"),
        Just("1.5"),
        Just("null"),
        Just("true"),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just("=="),
        Just("!="),
        Just("<"),
        Just("in"),
        Just("+"),
        Just("-"),
        Just("/"),
        Just("%"),
        Just("?"),
        Just(":"),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(","),
        Just("."),
        Just(".matches("),
        Just(".getHours("),
        Just("duration("),
        Just("timestamp("),
        Just("has("),
        Just(".inCidr("),
        Just("// x\n"),
        Just("`"),
        Just("9223372036854775808"),
        Just("\"\"\""),
        Just("b'"),
        Just("\\"),
        Just("1e5r\""),
        Just("é"),
        Just(" "),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

#[track_caller]
fn survives(text: &str) -> Result<(), TestCaseError> {
    let n_chars = text.chars().count();
    match compiler().compile(text) {
        Ok(condition) => {
            for sample in [Sample::full(), Sample::bare()] {
                sample.ask(|scope: &Scope<'_>| {
                    assert!(!condition.matches(scope) || condition.prefilter().may_match(scope));
                });
            }
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(
                    problem.at.start <= problem.at.end && problem.at.end <= n_chars,
                    "{problem:?} in {text:?}"
                );
                prop_assert!(!problem.message.contains('\u{1b}') && !problem.message.contains('\n'), "{problem:?}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_does_harm(text in ".{0,200}") {
        survives(&text)?;
    }

    #[test]
    fn no_pieces_do_harm(text in pieces()) {
        survives(&text)?;
    }

    #[test]
    fn no_nesting_does_harm(unit in "[(\\[{!?:\\-.a1\"'r]{1,6}", times in 1usize..1500, tail in "[)\\]}1a]{0,4}") {
        survives(&format!("{}{tail}", unit.repeat(times)))?;
    }
}

#[test]
fn macros_cannot_blow_up() {
    let mut compiler = Compiler::new();
    compiler.add_macro("m0", "event.status > 400");
    for i in 1..8 {
        compiler.add_macro(&format!("m{i}"), &vec![format!("m{}", i - 1); 20].join(" || "));
    }
    let problems = compiler.compile("m7").unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.contains("more than 2000 parts")), "{problems:?}");
}
