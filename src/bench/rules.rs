//! `keywatch bench rules`: what a condition costs, for one event, and what twenty rules with conditions add to the engine.

use std::hint::black_box;

use crate::bench::engine::{Size, measure};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::{Names, Spread, event};
use crate::engine::detect::SPECS;
use crate::event::auth::Decoder;
use crate::event::{AuthEvent, Outcome, Refusal};
use crate::rules::compile::compile as compile_files;
use crate::rules::expr::{Compiler, Condition, ListKind, Scope};
use crate::rules::{RuleFile, RuleSet};
use crate::time::SECOND;
use crate::wall;

/// Conditions as people write them.
pub const CONDITIONS: [&str; 20] = [
    r#"event.outcome == "denied""#,
    r#"event.outcome == "denied" && event.reason in ["revoked_key", "rotated_key", "expired_key"]"#,
    r#"event.key_env == "test" && event.endpoint_env == "live""#,
    r#"event.path.startsWith("/v1/refunds") && event.method == "POST""#,
    r#"event.path in ["/v1/refunds", "/v1/payouts", "/v1/payments/{id}"]"#,
    r#"event.user_agent.contains("curl")"#,
    r#"event.user_agent.lower().contains("postman")"#,
    r#"event.user_agent.matches(r"(?i)^python-requests/2\.[0-9]+")"#,
    r#"has(event.origin) && !event.origin.endsWith(".example.com")"#,
    r#"event.source_ip.inCidr("203.0.113.0/24")"#,
    "!(event.source_ip in lists.office)",
    r#"event.country in ["KP", "IR", "SY"]"#,
    "event.asn in [64500, 64501, 64502]",
    "event.status >= 500 && event.status < 600",
    r#"event.ts.getHours("Europe/Zurich") < 6"#,
    r#"event.ts.getDayOfWeek("UTC") in [0, 6] && event.path.startsWith("/v1/payouts")"#,
    r#"key.age_days > 365 && event.outcome == "ok""#,
    "features.is_new_network == true && features.knows_networks",
    "double(features.calls_10m) > features.usual_10m * 10.0 && features.calls_10m > 100",
    r#"event.ts - key.last_accepted > duration("30d")"#,
];

/// User agents, of a usual length.
const AGENTS: [&str; 3] = [
    "shop-backend/4.2 (+https://shop.example.com) Java/17.0.9",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "python-requests/2.31.0",
];

/// Networks of the list that one condition looks into.
const OFFICES: usize = 1000;

/// Different events that are asked about.
const EVENTS: usize = 500;

/// Keys of the engine that judges with and without these rules.
const KEYS: usize = 2_000;
/// Each set of rules is measured so often, in turn, and its best run counts: the machine's noise only ever adds.
const TURNS: usize = 5;

/// Asks every condition about `n_events` events (rounded up to a multiple of 500), and tells what one answer costs: asked at once, and behind its prefilter. Then lets the engine judge as many events by `rules`, and by `rules` with a rule for each condition.
pub fn run(n_events: usize, rules: &RuleSet, decoder: &Decoder) -> Report {
    let mut report = Report::new("rules");
    let conditions = compile();
    let names: Vec<Names> = (0..1000).map(Names::of).collect();
    // Few enough to stay in the processor's cache: the condition is measured, not the memory.
    let rounds = n_events.div_ceil(EVENTS);
    let n_events = rounds * EVENTS;
    let events: Vec<AuthEvent<'_>> = (0..EVENTS)
        .map(|i| {
            let (key, ts) = (i % names.len(), 1_795_420_800_000 + i as i64 * SECOND);
            let is_denied = i % 20 == 0;
            AuthEvent {
                method: Some(["GET", "POST"][i % 2].into()),
                path: Some(["/v1/payments/{id}", "/v1/payments", "/v1/refunds"][i % 3].into()),
                user_agent: Some(AGENTS[i % AGENTS.len()].into()),
                outcome: if is_denied { Outcome::Denied } else { Outcome::Ok },
                reason: is_denied.then_some(Refusal::RateLimited),
                ..event(&names[key], key, i as u64, ts, 1)
            }
        })
        .collect();
    report.count("events", n_events as u64);
    report.count("conditions", conditions.len() as u64);
    let mut all_nanos = 0.0;
    let mut n_filtered = 0u64;
    for (text, condition) in CONDITIONS.iter().zip(&conditions) {
        let started = wall::instant();
        let events = (0..rounds).flat_map(|_| &events);
        let n_true = events.filter(|event| black_box(condition.matches(&Scope::of(event)))).count();
        let nanos = started.elapsed().as_nanos() as f64 / n_events.max(1) as f64;
        all_nanos += nanos;
        report.figures.push(Figure::plain(format!("{text} ({n_true} true)"), nanos, "ns"));
    }
    let started = wall::instant();
    for event in (0..rounds).flat_map(|_| &events) {
        let scope = Scope::of(event);
        for condition in &conditions {
            let is_open = condition.prefilter().may_match(&scope);
            n_filtered += u64::from(!is_open);
            black_box(is_open && condition.matches(&scope));
        }
    }
    let n_answers = (n_events * conditions.len()).max(1) as f64;
    report.count("answers_by_prefilter", n_filtered);
    report.figures.push(Figure::plain("mean of one condition", all_nanos / conditions.len() as f64, "ns"));
    report.figures.push(Figure::plain(
        "mean of one condition behind its prefilter",
        started.elapsed().as_nanos() as f64 / n_answers,
        "ns",
    ));
    add_engine(&mut report, n_events, rules, decoder);
    report
}

/// What an event costs the engine under the rules alone, and with twenty more: that only speak of refused calls, that are
/// asked and not true, and as they stand, where one is true of every call and so keeps an alert of each key up to date.
fn add_engine(report: &mut Report, n_events: usize, rules: &RuleSet, decoder: &Decoder) {
    let sets = [
        ("the given rules", None),
        ("and 20 rules of refused calls", with(rules, |text| format!("event.outcome == \"denied\" && ({text})"))),
        ("and 20 rules that are asked and not true", with(rules, |text| format!("({text}) && event.count > 1"))),
        ("and 20 rules, one of them always true", with(rules, str::to_owned)),
    ];
    let size = Size { keys: KEYS, zipf_keys: KEYS, events: n_events, per_second: 1_000.0 };
    let mut best = [f64::INFINITY; 4];
    for _ in 0..TURNS {
        for ((_, set), best) in sets.iter().zip(&mut best) {
            let measured = measure(KEYS, Spread::Uniform, &size, set.as_ref().unwrap_or(rules), decoder);
            *best = best.min(measured.step.as_nanos() as f64 / measured.events.max(1) as f64);
        }
    }
    for ((title, _), nanos) in sets.iter().zip(best) {
        report.figures.push(Figure::plain(format!("judging by {title}"), nanos, "ns/event"));
    }
    report.figures.push(Figure::plain(
        "what one more rule of refused calls adds",
        (best[1] - best[0]) / 20.0,
        "ns/event",
    ));
    report.figures.push(Figure::plain("what one more rule adds that is asked", (best[2] - best[0]) / 20.0, "ns/event"));
}

/// The rules, and one of kind `custom` for each condition.
fn with(rules: &RuleSet, condition: impl Fn(&str) -> String) -> Option<RuleSet> {
    let offices: Vec<String> = offices().collect();
    let mut text = format!("lists:\n  office: {{type: cidr, values: [{}]}}\nrules:\n", offices.join(", "));
    for (n, one) in CONDITIONS.iter().enumerate() {
        let condition = condition(one).replace('\'', "''");
        text += &format!(
            "  - {{name: bench-{n}, kind: custom, title: Bench, description: Bench., severity: info, audience: support, \
             runbook: [None.], condition: '{condition}'}}\n"
        );
    }
    let mut files = rules.files.clone();
    files.push(RuleFile { name: "bench-of-conditions.yml".into(), text });
    compile_files(files, SPECS).ok()
}

fn offices() -> impl Iterator<Item = String> {
    (0..OFFICES).map(|i| format!("10.{}.{}.0/24", i / 256, i % 256))
}

fn compile() -> Vec<Condition> {
    let offices: Vec<String> = offices().collect();
    let offices: Vec<&str> = offices.iter().map(String::as_str).collect();
    let mut compiler = Compiler::new();
    // Both are constants: a test compiles them.
    let is_added = compiler.add_list("office", ListKind::Cidr, &offices).is_ok();
    let compiled: Vec<Condition> = CONDITIONS.iter().filter_map(|text| compiler.compile(text).ok()).collect();
    assert!(is_added && compiled.len() == CONDITIONS.len(), "a condition of the measurement does not compile");
    compiled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_asked_about_every_event() {
        let Ok(rules) = compile_files(Vec::new(), SPECS) else { panic!("no rules are valid rules") };
        let decoder = crate::app::decoder(None, &crate::brand::Brand::default());
        let report = run(501, &rules, &decoder);
        assert_eq!(report.counts["events"], 1000);
        assert_eq!(report.figures.len(), CONDITIONS.len() + 8);
        assert!(with(&rules, str::to_owned).is_some_and(|set| set.rules.len() == CONDITIONS.len()));
        assert_eq!(report.counts["conditions"], CONDITIONS.len());
    }
}
