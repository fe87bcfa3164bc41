//! Conditions against the evaluator of the `cel` crate: what is generated, where nothing is absent, has the same answer.

use cel::{Context, Program};
use keywatch::event::facts::MerchantFacts;
use keywatch::event::{AuthEvent, Outcome, Refusal};
use keywatch::rules::expr::{Compiler, Scope};
use proptest::prelude::*;

/// An event of which all that the expressions ask is there.
#[derive(Clone, Debug)]
struct Facts {
    status: u16,
    count: u32,
    asn: u32,
    latency_ms: f64,
    ts: i64,
    outcome: Outcome,
    reason: Refusal,
    method: &'static str,
    path: &'static str,
    user_agent: String,
    tags: Vec<String>,
}

fn facts() -> impl Strategy<Value = Facts> {
    let word = prop_oneof![Just("GET"), Just("POST"), Just("get"), Just("")];
    let path = prop_oneof![Just("/v1/a"), Just("/v1/b"), Just("/v2"), Just("a")];
    let tags = proptest::collection::vec(prop_oneof![Just("a".to_owned()), Just("POST".to_owned())], 0..3);
    let numbers = (0u16..600, 1u32..10, 0u32..5, -50i32..50, 0i64..4_000_000_000_000);
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Denied)];
    let reason = prop_oneof![Just(Refusal::RevokedKey), Just(Refusal::Other)];
    (numbers, outcome, reason, word, path, "[a-cA-C/é]{0,6}", tags).prop_map(
        |((status, count, asn, latency, ts), outcome, reason, method, path, user_agent, tags)| Facts {
            status,
            count,
            asn,
            latency_ms: f64::from(latency) / 4.0,
            // Whole seconds: `int(timestamp)` of the other rounds otherwise.
            ts: ts / 1000 * 1000,
            outcome,
            reason,
            method,
            path,
            user_agent,
            tags,
        },
    )
}

fn ours(text: &str, facts: &Facts) -> Option<bool> {
    let event = AuthEvent {
        key_id: None,
        method: Some(facts.method.into()),
        path: Some(facts.path.into()),
        user_agent: Some(facts.user_agent.as_str().into()),
        outcome: facts.outcome,
        reason: Some(facts.reason),
        count: facts.count,
        status: Some(facts.status),
        asn: Some(facts.asn),
        latency_ms: Some(facts.latency_ms),
        ..AuthEvent::at(facts.ts, "", None)
    };
    let merchant = MerchantFacts { tags: Some(facts.tags.clone()), ..MerchantFacts::default() };
    let scope = Scope { merchant_facts: Some(&merchant), ..Scope::of(&event) };
    let condition = Compiler::new().lenient().compile(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
    let value = condition.value(&scope);
    assert!(value != Some(true) || condition.prefilter().may_match(&scope), "{text}");
    value
}

fn theirs(text: &str, facts: &Facts) -> Option<bool> {
    use std::collections::HashMap;
    let program = Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut context = Context::default();
    let time = chrono::DateTime::from_timestamp_millis(facts.ts).unwrap().fixed_offset();
    let outcome = if facts.outcome == Outcome::Ok { "ok" } else { "denied" };
    let event: HashMap<&str, cel::Value> = [
        ("status", i64::from(facts.status).into()),
        ("count", i64::from(facts.count).into()),
        ("asn", i64::from(facts.asn).into()),
        ("latency_ms", facts.latency_ms.into()),
        ("ts", cel::Value::Timestamp(time)),
        ("outcome", outcome.into()),
        ("reason", facts.reason.as_str().into()),
        ("method", facts.method.into()),
        ("path", facts.path.into()),
        ("user_agent", facts.user_agent.clone().into()),
    ]
    .into();
    let merchant: HashMap<&str, Vec<String>> = [("tags", facts.tags.clone())].into();
    context.add_variable_from_value("event", event);
    context.add_variable_from_value("merchant", merchant);
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Some(value),
        Ok(other) => panic!("{text}: {other:?}"),
        Err(_) => None,
    }
}

fn int() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("event.status".to_owned()),
        Just("event.count".to_owned()),
        Just("event.asn".to_owned()),
        (-5i64..600).prop_map(|n| if n < 0 { format!("({n})") } else { n.to_string() }),
        Just("9223372036854775807".to_owned()),
        Just("int(event.ts)".to_owned()),
        Just("event.user_agent.size()".to_owned()),
        Just("size(merchant.tags)".to_owned()),
        prop_oneof![
            Just("getHours"),
            Just("getMinutes"),
            Just("getDayOfWeek"),
            Just("getFullYear"),
            Just("getMonth"),
            Just("getDate"),
            Just("getDayOfYear"),
            Just("getDayOfMonth")
        ]
        .prop_map(|part| format!("event.ts.{part}()")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("%")], inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.prop_map(|a| format!("(-{a})")),
        ]
    })
    .boxed()
}

fn double() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("event.latency_ms".to_owned()),
        (-9i32..9).prop_map(|n| format!("({:?})", f64::from(n) / 4.0)),
        Just("double(event.count)".to_owned()),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/")], inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    })
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        Just("event.outcome".to_owned()),
        Just("event.reason".to_owned()),
        Just("event.method".to_owned()),
        Just("event.path".to_owned()),
        Just("event.user_agent".to_owned()),
        prop_oneof![
            Just("ok"),
            Just("denied"),
            Just("GET"),
            Just("/v1"),
            Just("/v1/a"),
            Just("a"),
            Just(""),
            Just("é"),
            Just("revoked_key")
        ]
        .prop_map(|text| format!("{text:?}")),
    ]
    .boxed()
}

fn comparison() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")]
}

fn condition() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => (int(), comparison(), int()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (double(), comparison(), double()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        3 => (text(), comparison(), text()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (text(), prop_oneof![Just("startsWith"), Just("endsWith"), Just("contains")], text())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        1 => (text(), prop_oneof![Just("^/v[12]"), Just("(?i)^[a-c]+$"), Just("e.?$"), Just("")])
            .prop_map(|(a, pattern)| format!("{a}.matches({pattern:?})")),
        1 => (text(), proptest::collection::vec(text(), 0..4)).prop_map(|(a, list)| format!("{a} in [{}]", list.join(", "))),
        1 => (int(), proptest::collection::vec(0i64..6, 0..5)).prop_map(|(a, list)| format!("{a} in {list:?}")),
        1 => text().prop_map(|a| format!("{a} in merchant.tags")),
        1 => (0i64..4000).prop_map(|n| format!("event.ts > timestamp(\"2001-09-09T01:46:40Z\") + duration(\"{n}h\")")),
        1 => (-99i64..99).prop_map(|n| format!("event.ts - timestamp(\"2026-11-23T08:00:00Z\") < duration(\"{n}h30m\")")),
        1 => any::<bool>().prop_map(|b| b.to_string()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" && "))),
            3 => proptest::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" || "))),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => (inner.clone(), prop_oneof![Just("=="), Just("!=")], inner)
                .prop_map(|(a, op, b)| format!("(({a}) {op} ({b}))")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_evaluators_agree(text in condition(), facts in facts()) {
        prop_assert_eq!(ours(&text, &facts), theirs(&text, &facts), "{}", text);
    }
}
