//! The engine without a shell: events in a small notation, alerts out as one line each.
//!
//! An event is `TIME[..TIME/STEP] [MERCHANT/]KEY OUTCOME ADDRESS [ENV>ENDPOINT] [xCOUNT] [arrives=TIME] [id=ID] [/PATH]`, where
//! the outcome is `ok`, `denied` or a reason. Times are `5d10:00`: days since the lab's start, and the clock (UTC).
//! `fact TIME KIND KEY [env=] [created=] [replaces=] [grace=] [revoked=]` is a fact; `end TIME` lets time go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use keywatch::alert::Alert;
use keywatch::engine::detect::{SPECS, Watch};
use keywatch::engine::fleet::SHIPPED;
use keywatch::engine::intake::{Admitted, Intake, IntakeLimits};
use keywatch::engine::shard::{Output, Shard, World};
use keywatch::engine::snapshot::{decode_subject, encode_subject};
use keywatch::event::facts::{Fact, FactBook, FactKind};
use keywatch::event::{AuthEvent, Env, Outcome, Refusal};
use keywatch::rules::RuleSet;
use keywatch::rules::compile::compile_with;
use keywatch::rules::files::load_directory;
use keywatch::rules::set::Override;
use keywatch::time::{DAY, HOUR, MINUTE, Millis, SECOND, parse_duration};

/// Midnight of the lab's day 0.
pub const START: Millis = 20_000 * DAY;
/// How far out of order events may come.
pub const LATENESS: Millis = 5 * MINUTE;
/// The lab's bounds.
pub const LIMITS: IntakeLimits = IntakeLimits { lateness: LATENESS, dedup_ids: 100_000, parked_events: 1_000 };

/// The shipped rules, some parameters changed.
pub fn rules(overrides: &[&str]) -> Arc<RuleSet> {
    let files = load_directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap();
    let overrides: Vec<Override> = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
    Arc::new(compile_with(files, SPECS, &overrides).unwrap())
}

/// The rules without one of them.
pub fn rules_without(name: &str) -> RuleSet {
    let mut files = load_directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap();
    files.retain(|file| file.name != format!("{name}.yml"));
    compile_with(files, SPECS, &[]).unwrap()
}

/// `5d10:00` or `5d10:00:30` or `5d`.
pub fn at(text: &str) -> Millis {
    let (days, clock) = text.split_once('d').unwrap_or_else(|| panic!("`{text}` is no time"));
    let mut parts = clock.split(':').map(|part| if part.is_empty() { 0 } else { part.parse::<i64>().unwrap() });
    let mut next = |unit| parts.next().unwrap_or(0) * unit;
    START + days.parse::<i64>().unwrap() * DAY + next(HOUR) + next(MINUTE) + next(SECOND)
}

/// The other way round.
pub fn text_of(time: Millis) -> String {
    let t = time - START;
    let mut text = format!("{}d{:02}:{:02}", t.div_euclid(DAY), t.rem_euclid(DAY) / HOUR, t.rem_euclid(HOUR) / MINUTE);
    if t % MINUTE != 0 {
        text.push_str(&format!(":{:02}", t % MINUTE / SECOND));
    }
    text
}

/// An event of the merchant `m1`, accepted.
pub fn event(ts: Millis, key: &str, address: &str) -> AuthEvent<'static> {
    let (merchant, key) = key.split_once('/').unwrap_or(("m1", key));
    AuthEvent {
        key_id: Some(key.to_owned().into()),
        key_env: Some(Env::Live),
        merchant_id: Some(merchant.to_owned().into()),
        endpoint_env: Some(Env::Live),
        source_ip: address.parse().ok(),
        outcome: Outcome::Ok,
        ..AuthEvent::at(ts, "", None)
    }
}

fn env(word: &str) -> Option<Env> {
    match word {
        "live" => Some(Env::Live),
        "test" => Some(Env::Test),
        _ => None,
    }
}

/// A script: facts, events in the order of their arrival, and until when time goes on.
#[derive(Default)]
pub struct Script {
    pub facts: FactBook,
    pub events: Vec<AuthEvent<'static>>,
    pub end: Option<Millis>,
}

pub fn parse(text: &str) -> Script {
    let mut script = Script { facts: FactBook::new(1_000), ..Script::default() };
    let mut events: Vec<(Millis, AuthEvent<'static>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "end" => script.end = Some(at(words[1])),
            "fact" => {
                script.facts.learn(&fact(&words[1..]));
            }
            when => {
                let (from, to, step) = match when.split_once("..") {
                    None => (at(when), at(when) + 1, 1),
                    Some((from, rest)) => {
                        let (to, step) = rest.split_once('/').unwrap();
                        (at(from), at(to), parse_duration(step).unwrap())
                    }
                };
                let mut one = event(from, words[1], words[3]);
                match words[2] {
                    "ok" => {}
                    "denied" => one.outcome = Outcome::Denied,
                    reason => {
                        one.outcome = Outcome::Denied;
                        one.reason = Some(Refusal::from_word(reason));
                    }
                }
                let mut arrives = None;
                for word in &words[4..] {
                    if let Some((key, endpoint)) = word.split_once('>') {
                        (one.key_env, one.endpoint_env) = (env(key), env(endpoint));
                    } else if word.starts_with('/') {
                        one.path = Some((*word).to_owned().into());
                    } else if let Some(count) = word.strip_prefix('x') {
                        one.count = count.parse().unwrap();
                    } else if let Some(time) = word.strip_prefix("arrives=") {
                        arrives = Some(at(time));
                    } else if let Some(id) = word.strip_prefix("id=") {
                        one.event_id = Some(id.to_owned().into());
                    } else {
                        panic!("`{word}` in `{line}`");
                    }
                }
                for ts in (from..to).step_by(step as usize) {
                    events.push((arrives.unwrap_or(ts), AuthEvent { ts, ..one.clone() }));
                }
            }
        }
    }
    events.sort_by_key(|(arrives, _)| *arrives);
    script.events = events.into_iter().map(|(_, event)| event).collect();
    script
}

fn fact(words: &[&str]) -> Fact {
    let kind = match words[1] {
        "created" => FactKind::KeyCreated,
        "regenerated" => FactKind::KeyRegenerated,
        "revoked" => FactKind::KeyRevoked,
        other => panic!("`{other}` is no fact"),
    };
    let (merchant, key) = words[2].split_once('/').unwrap_or(("m1", words[2]));
    let mut fact = Fact::new(kind, at(words[0]));
    fact.key_id = Some(key.into());
    fact.merchant_id = Some(merchant.into());
    for word in &words[3..] {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "env" => fact.key_env = env(value),
            "created" => fact.created_at = Some(at(value)),
            "replaces" => fact.replaces = Some(value.into()),
            "grace" => fact.grace_until = Some(at(value)),
            "revoked" => fact.revoked_at = Some(at(value)),
            other => panic!("`{other}`"),
        }
    }
    fact
}

/// One partition: the front, the shard, and what was found.
pub struct Lab {
    pub intake: Intake,
    pub shard: Shard,
    pub found: Found,
    pub offset: i64,
}

/// Alerts as they stand, by ID.
pub type Found = BTreeMap<String, Alert>;

/// Adds changes to what was found; an older revision changes nothing.
pub fn note(found: &mut Found, out: Output) {
    for change in out.changes {
        match found.get(&change.alert.alert_id) {
            Some(known) if known.revision >= change.alert.revision => {}
            _ => drop(found.insert(change.alert.alert_id.clone(), change.alert)),
        }
    }
}

impl Lab {
    pub fn new() -> Lab {
        Lab::with(LIMITS)
    }

    pub fn with(limits: IntakeLimits) -> Lab {
        let intake = Intake::new(limits, None, Vec::new());
        Lab { intake, shard: Shard::new(LATENESS, 100, Watch::default()), found: Found::new(), offset: 0 }
    }

    /// Admits and judges one event.
    pub fn push(&mut self, event: AuthEvent<'_>, world: World<'_>) {
        let mut admitted = Vec::new();
        self.intake.admit(self.offset, event, &mut admitted);
        self.offset += 1;
        self.judge(&admitted, world);
    }

    pub fn judge(&mut self, admitted: &[Admitted<'_>], world: World<'_>) {
        let mut out = Output::default();
        for a in admitted {
            self.shard.step(a, world, &mut out);
        }
        note(&mut self.found, out);
    }

    /// The input has come to its end: what is parked is judged, and time goes on to `until`.
    pub fn end(&mut self, until: Option<Millis>, world: World<'_>) {
        let mut admitted = Vec::new();
        self.intake.end_of_input(self.offset, START + 3650 * DAY, &mut admitted);
        self.judge(&admitted, world);
        if let Some(until) = until {
            let mut out = Output::default();
            self.shard.pass(until - 1, until, world, &mut out);
            note(&mut self.found, out);
        }
    }
}

/// One line for each alert: rule, subject, from..to (nothing after the dots = open), severity, revision.
pub fn lines<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Vec<String> {
    let mut alerts: Vec<&Alert> = alerts.collect();
    alerts.sort_by(|a, b| (a.starts_at, &a.subject).cmp(&(b.starts_at, &b.subject)));
    let one = |a: &Alert| {
        let ends = a.ends_at.map(text_of).unwrap_or_default();
        let (subject, severity) = (a.subject.strip_prefix("key ").unwrap_or(&a.subject), a.severity.as_str());
        format!("{subject} {}..{ends} {severity} r{}", text_of(a.starts_at), a.revision)
    };
    alerts.into_iter().map(one).collect()
}

/// Runs a script under the shipped rules with some parameters changed; what one rule found must be `want`, a line an
/// alert.
#[track_caller]
pub fn check_with(rule: &str, overrides: &[&str], script: &str, want: &str) -> Vec<Alert> {
    check_in(&rules(overrides), rule, script, want)
}

/// The same under other rules. A short script runs again with the state stored and loaded between any two events.
#[track_caller]
pub fn check_in(rules: &RuleSet, rule: &str, script: &str, want: &str) -> Vec<Alert> {
    let want: Vec<&str> = want.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let alerts = found_in(rules, rule, parse(script), false);
    assert_eq!(lines(alerts.iter()), want, "{script}");
    let again = parse(script);
    if again.events.len() < 200 {
        let again = found_in(rules, rule, again, true);
        assert_eq!(again, alerts, "stored and loaded between events: {script}");
    }
    alerts
}

fn found_in(rules: &RuleSet, rule: &str, script: Script, restarts: bool) -> Vec<Alert> {
    let Script { facts, events, end } = script;
    let world = World { facts: &facts, rules, fleet: &SHIPPED };
    let mut lab = Lab::new();
    let merchants: Vec<&str> = facts.merchants_with_keys().collect();
    for merchant in merchants {
        lab.shard.foster(merchant, world);
    }
    let all: std::collections::BTreeSet<String> = events
        .iter()
        .filter_map(|event| event.merchant_id.as_deref())
        .chain(facts.merchants_with_keys())
        .map(str::to_owned)
        .collect();
    for event in events {
        lab.push(event, world);
        if restarts {
            let mut fresh = Shard::new(LATENESS, 100, lab.shard.watch());
            for subject in all.iter().filter_map(|merchant| lab.shard.subject(merchant)) {
                let stored = decode_subject(&encode_subject(subject), subject.current_to).unwrap();
                fresh.insert(stored, None, world);
            }
            lab.shard = fresh;
        }
    }
    lab.end(end, world);
    lab.found.into_values().filter(|alert| alert.rule == rule).collect()
}
