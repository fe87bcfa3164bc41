//! Judges one test: the engine's own intake and shard, one partition, and the test's clock.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Merged;
use super::mail::mail_of;
use super::{Expected, Known, Test, offset_text};
use crate::alert::Alert;
use crate::engine::detect::{DetectorSpec, Watch};
use crate::engine::fleet::{FleetBook, SHIPPED};
use crate::engine::intake::{Admitted, Intake, IntakeLimits};
use crate::engine::second_stage::signal::Signal;
use crate::engine::second_stage::{SecondStage, StageOutput};
use crate::engine::shard::{Output, Shard, World};
use crate::event::AuthEvent;
use crate::event::facts::FactBook;
use crate::rules::RuleSet;
use crate::rules::compile::compile_with;
use crate::rules::expr::Scope;
use crate::time::{MINUTE, Millis};
use crate::yaml::Position;

/// The bounds of a service, as they are where nobody sets them; no test comes near them.
const LIMITS: IntakeLimits = IntakeLimits { lateness: 5 * MINUTE, dedup_ids: 1_000, parked_events: 1_000 };
const SOURCES: usize = 1_000;
/// What an alert has where it has nothing.
const NONE: &str = "-";
/// Unexpected alerts that are shown of one moment.
const SHOWN_MAX: usize = 20;

/// What came of a test.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events judged.
    pub n_events: u64,
    /// What is not as it was expected; none = the test passed.
    pub failures: Vec<Failure>,
    /// Rules of which an alert was found, among those that the test looks at.
    pub fired: BTreeSet<String>,
    /// Exceptions that spared something: rule and exception.
    pub spared: BTreeSet<(String, String)>,
}

/// An expectation that does not hold.
#[derive(Debug)]
pub struct Failure {
    /// Where it stands.
    pub at: Position,
    /// The moment.
    pub time: Millis,
    /// Expected and not found, as lines of a test.
    pub missing: Vec<String>,
    /// Found and not expected, as lines that could be pasted.
    pub unexpected: Vec<String>,
    /// Nearly as expected.
    pub differing: Vec<Differing>,
}

/// An alert that is nearly as expected.
#[derive(Debug)]
pub struct Differing {
    /// What was expected, as a line of a test.
    pub expected: String,
    /// Fields that differ: name, what was expected, what was found.
    pub fields: Vec<(String, String, String)>,
}

/// Runs a test under the rules that its file was read with.
pub fn run(test: &Test, rules: &RuleSet, specs: &[DetectorSpec]) -> Outcome {
    // Whether they compile was checked when the test was read.
    let changed = match test.set.is_empty() {
        true => None,
        false => compile_with(rules.files.clone(), specs, &test.set).ok(),
    };
    let rules = changed.as_ref().unwrap_or(rules);
    let mut facts = FactBook::new(super::ITEMS_MAX * 2);
    for fact in &test.facts {
        facts.learn(fact);
    }
    let mut stage = Stage::new(test.starts, World { facts: &facts, rules, fleet: &SHIPPED });
    let mut events = Merged::new(&test.generators);
    let mut outcome = Outcome::default();
    for expectation in &test.expect {
        while let Some(event) = events.next(expectation.time) {
            outcome.n_events += 1;
            stage.judge(event);
        }
        stage.pass(expectation.time);
        let is_looked_at = |alert: &&Alert| test.rules.as_ref().is_none_or(|only| only.contains(&alert.rule));
        let mut found: Vec<&Alert> = stage.found().filter(is_looked_at).collect();
        found.sort_by(|a, b| (a.starts_at, &a.rule, &a.subject).cmp(&(b.starts_at, &b.rule, &b.subject)));
        outcome.fired.extend(found.iter().map(|alert| alert.rule.clone()));
        let view = View { starts: test.starts, facts: &facts };
        let unknown = expectation.knows.iter().filter(|known| !stage.knows(known, expectation.time));
        let unknown: Vec<String> =
            unknown.map(|known| format!("knows {{key: {}, that: {}}}", quoted(&known.key), known.text)).collect();
        let mut failure = compare(&expectation.alerts, &found, view);
        if !unknown.is_empty() {
            failure.get_or_insert_with(Failure::nowhere).missing.extend(unknown);
        }
        outcome.failures.extend(failure.map(|failure| Failure {
            at: expectation.at,
            time: expectation.time,
            ..failure
        }));
    }
    outcome.spared = stage.spared;
    outcome
}

struct Stage<'a> {
    world: World<'a>,
    intake: Intake,
    shard: Shard,
    second: SecondStage,
    /// What it says the fleet is like.
    fleet: FleetBook,
    offset: i64,
    /// By ID, as they stand.
    all: BTreeMap<String, Alert>,
    /// Those that another case has.
    taken: BTreeSet<String>,
    spared: BTreeSet<(String, String)>,
    /// The subject of each key that was seen.
    subjects: BTreeMap<String, String>,
}

impl<'a> Stage<'a> {
    /// A partition that is watched from a moment on.
    fn new(starts: Millis, world: World<'a>) -> Self {
        let mut shard = Shard::new(LIMITS.lateness, SOURCES, Watch::default());
        let mut merchants: Vec<&str> = world.facts.merchants_with_keys().collect();
        merchants.sort_unstable();
        for merchant in merchants {
            shard.foster(merchant, world);
        }
        shard.watch_from(starts, world);
        let intake = Intake::new(LIMITS, None, Vec::new());
        Stage {
            world,
            intake,
            shard,
            second: SecondStage::new(LIMITS.lateness),
            fleet: FleetBook::default(),
            offset: 0,
            all: BTreeMap::new(),
            taken: BTreeSet::new(),
            spared: BTreeSet::new(),
            subjects: BTreeMap::new(),
        }
    }

    fn judge(&mut self, event: AuthEvent<'static>) {
        let ts = event.ts;
        if let Some((subject, key)) = Shard::subject_id(&event, self.world.facts)
            && !self.subjects.contains_key(key)
        {
            self.subjects.insert(key.to_owned(), subject.into_owned());
        }
        let mut admitted: Vec<Admitted<'_>> = Vec::new();
        self.intake.admit(self.offset, event, &mut admitted);
        if self.intake.parked().len() > 0 {
            // A test's clock is right by definition: after days of silence nobody need agree.
            self.intake.end_of_input(self.offset, ts, &mut admitted);
        }
        self.offset += 1;
        for one in &admitted {
            if self.second.known_until() < one.now {
                self.merge(one.now);
            }
            let mut out = Output::default();
            let world = World { fleet: &self.fleet, ..self.world };
            self.shard.step(one, world, &mut out);
            self.take(out);
        }
        if let Some(now) = admitted.last().map(|one| one.now)
            && self.second.next_due().is_some_and(|due| due <= now)
        {
            self.merge(now);
        }
    }

    /// Merges what time, having come to `now`, has left behind.
    fn merge(&mut self, now: Millis) {
        let mut merged = StageOutput::default();
        self.second.note_activity(self.shard.activity(), now);
        self.second.advance(now, now, self.world.rules, &mut merged);
        self.take_merged(merged);
    }

    /// Alerts that somebody sees: what is taken over is not among them.
    fn found(&self) -> impl Iterator<Item = &Alert> {
        self.all.iter().filter(|(id, _)| !self.taken.contains(*id)).map(|(_, alert)| alert)
    }

    /// Whether something is true of a key, as of a moment at which nothing happens.
    fn knows(&self, known: &Known, at: Millis) -> bool {
        let World { facts, .. } = self.world;
        let key_facts = facts.key(&known.key);
        let ids = [self.subjects.get(&known.key).map(String::as_str), key_facts.and_then(|f| f.merchant_id.as_deref())];
        let Some(subject) = ids.into_iter().flatten().find_map(|id| self.shard.subject(id)) else { return false };
        let Some(key) = subject.position(&known.key).ok().map(|place| &subject.keys[place].features) else {
            return false;
        };
        let merchant_id = subject.merchant_id();
        let moment = AuthEvent::at(at, &known.key, merchant_id);
        let windows = key.rates.windows(at);
        known.condition.matches(&Scope {
            key_env: key_facts.and_then(|facts| facts.env).or(key.env),
            key: Some(key),
            key_facts,
            merchant_id,
            merchant: Some(&subject.merchant),
            merchant_facts: merchant_id.and_then(|id| facts.merchant(id)),
            windows: windows.as_ref(),
            ..Scope::of(&moment)
        })
    }

    /// Lets time go on: what is due until then happens.
    fn pass(&mut self, to: Millis) {
        let mut out = Output::default();
        self.shard.pass(to, to, World { fleet: &self.fleet, ..self.world }, &mut out);
        self.take(out);
        let mut merged = StageOutput::default();
        self.second.note_activity(self.shard.activity(), to + LIMITS.lateness);
        self.second.pass(to, self.world.rules, &mut merged);
        self.take_merged(merged);
    }

    fn take(&mut self, out: Output) {
        for signal in Signal::all_of(&out, self.world.rules) {
            self.second.take_in(signal);
        }
        out.changes.into_iter().for_each(|change| self.note(change.alert));
        let named = |(rule, exception, _): (std::sync::Arc<str>, std::sync::Arc<str>, u64)| {
            (rule.to_string(), exception.to_string())
        };
        self.spared.extend(out.spared.into_iter().map(named));
    }
}

impl Stage<'_> {
    fn note(&mut self, alert: Alert) {
        match self.all.get(&alert.alert_id) {
            Some(known) if known.revision >= alert.revision => {}
            _ => drop(self.all.insert(alert.alert_id.clone(), alert)),
        }
    }

    fn take_merged(&mut self, merged: StageOutput) {
        merged.fleet.into_iter().for_each(|(day, traits)| self.fleet.add(day, traits));
        for taking in merged.takings {
            match taking.is_taken {
                true => self.taken.insert(taking.alert_id),
                false => self.taken.remove(&taking.alert_id),
            };
        }
        merged.changes.into_iter().for_each(|change| self.note(change.alert));
        self.spared.extend(merged.spared.into_iter().map(|(rule, name)| (rule.to_string(), name.to_string())));
    }
}

impl Failure {
    /// Nothing yet; whoever knows the place fills it in.
    fn nowhere() -> Self {
        let (missing, unexpected, differing) = (Vec::new(), Vec::new(), Vec::new());
        Failure { at: Position::START, time: 0, missing, unexpected, differing }
    }
}

/// From where a test looks at its alerts.
#[derive(Clone, Copy)]
struct View<'a> {
    starts: Millis,
    facts: &'a FactBook,
}

/// What differs; `None` = nothing.
fn compare(expected: &[Expected], found: &[&Alert], view: View<'_>) -> Option<Failure> {
    let wrong: Vec<Vec<Vec<usize>>> =
        expected.iter().map(|one| found.iter().map(|alert| one.wrong(alert, view)).collect()).collect();
    let pairs = pair(expected.len(), found.len(), |one, alert| wrong[one][alert].is_empty());
    let mut left: Vec<usize> = (0..expected.len()).filter(|one| !pairs.contains(&Some(*one))).collect();
    let mut over: Vec<usize> = (0..found.len()).filter(|alert| pairs[*alert].is_none()).collect();
    if left.is_empty() && over.is_empty() {
        return None;
    }
    // Near ones: of the same rule and key where these are asked, the fewest differences first.
    let is_near = |one: usize, alert: usize| {
        let fields = &expected[one].0;
        let wrong = &wrong[one][alert];
        wrong.len() < fields.len() && wrong.iter().all(|field| !matches!(fields[*field].0.as_str(), "rule" | "key"))
    };
    let mut near: Vec<(usize, usize, usize)> = Vec::new();
    for &one in &left {
        near.extend(over.iter().filter(|a| is_near(one, **a)).map(|&alert| (wrong[one][alert].len(), one, alert)));
    }
    near.sort_unstable();
    let mut differing = Vec::new();
    for (_, one, alert) in near {
        if !left.contains(&one) || !over.contains(&alert) {
            continue;
        }
        left.retain(|other| *other != one);
        over.retain(|other| *other != alert);
        let fields = wrong[one][alert].iter().map(|field| {
            let (name, want) = &expected[one].0[*field];
            (name.clone(), want.clone(), shown(found[alert], name, view))
        });
        differing.push(Differing { expected: expected[one].line(), fields: fields.collect() });
    }
    let missing = left.into_iter().map(|one| expected[one].line()).collect();
    let n_over = over.len();
    let mut unexpected: Vec<String> =
        over.into_iter().take(SHOWN_MAX).map(|alert| line_of(found[alert], view)).collect();
    if SHOWN_MAX < n_over {
        unexpected.push(format!("and {} more", n_over - SHOWN_MAX));
    }
    Some(Failure { missing, unexpected, differing, ..Failure::nowhere() })
}

/// For each alert the expectation that it answers, so that as many as can be are answered.
fn pair(n_expected: usize, n_found: usize, fits: impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let mut pairs = vec![None; n_found];
    for one in 0..n_expected {
        // A way on which each alert that is taken leaves its expectation for another one.
        let mut came_from: Vec<Option<usize>> = vec![None; n_found];
        let mut queue = vec![one];
        let mut free = None;
        while let Some(asking) = queue.pop() {
            for alert in (0..n_found).filter(|alert| fits(asking, *alert)) {
                if came_from[alert].is_some() || free.is_some() {
                    continue;
                }
                came_from[alert] = Some(asking);
                match pairs[alert] {
                    Some(other) => queue.push(other),
                    None => free = Some(alert),
                }
            }
        }
        while let Some(alert) = free {
            let asking = came_from[alert];
            free = asking.and_then(|asking| pairs.iter().position(|pair| *pair == Some(asking)));
            pairs[alert] = asking;
        }
    }
    pairs
}

impl Expected {
    /// The fields, by place, that are other than asked.
    fn wrong(&self, alert: &Alert, view: View<'_>) -> Vec<usize> {
        let is_wrong = |(_, (name, want)): &(usize, &(String, String))| !agrees(alert, name, want, view);
        self.0.iter().enumerate().filter(is_wrong).map(|(place, _)| place).collect()
    }

    /// As a test has it.
    pub fn line(&self) -> String {
        let (evidence, plain): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| name.starts_with("evidence."));
        let field = |(name, value): &(String, String)| format!("{name}: {}", quoted(value));
        let mut fields: Vec<String> = plain.into_iter().map(field).collect();
        if !evidence.is_empty() {
            let inner = evidence
                .into_iter()
                .map(|(name, value)| format!("{}: {}", quoted(name.trim_start_matches("evidence.")), quoted(value)));
            fields.push(format!("evidence: {{{}}}", inner.collect::<Vec<_>>().join(", ")));
        }
        format!("{{{}}}", fields.join(", "))
    }
}

fn agrees(alert: &Alert, name: &str, want: &str, view: View<'_>) -> bool {
    let is = shown(alert, name, view);
    match name {
        "summary_contains" | "mail_contains" => is.contains(want),
        "source" => alert.source.as_ref().is_some_and(|source| source.address == want || source.network == want),
        // A number is the same however it is written.
        name if name.starts_with("evidence.") => {
            is == want || matches!((is.parse::<f64>(), want.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        _ => is == want,
    }
}

/// A field of an alert as tests write it; [`NONE`] where it has none.
fn shown(alert: &Alert, name: &str, view: View<'_>) -> String {
    let none = || NONE.to_owned();
    match name {
        "rule" => alert.rule.clone(),
        "kind" => alert.kind.as_str().to_owned(),
        "key" => alert.key_id.clone().unwrap_or_else(none),
        "merchant" => alert.merchant_id.clone().unwrap_or_else(none),
        "severity" => alert.severity.as_str().to_owned(),
        "audience" => alert.audience.as_str().to_owned(),
        "state" => alert.state.as_str().to_owned(),
        "part" => part_of(alert).unwrap_or_else(none),
        "source" => alert.source.as_ref().map_or_else(none, |source| source.network.clone()),
        "starts" => offset_text(view.starts, alert.starts_at),
        "ends" => alert.ends_at.map_or_else(none, |at| offset_text(view.starts, at)),
        "summary_contains" => alert.summary.clone(),
        "subject" => mail_of(alert, view.facts).subject,
        // Its lines are broken at a width; a test asks for words.
        "mail_contains" => mail_of(alert, view.facts).text.split_whitespace().collect::<Vec<_>>().join(" "),
        name => match name.strip_prefix("evidence.").and_then(|name| alert.evidence.get(name)) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => none(),
        },
    }
}

/// Which part of the key an alert is about.
fn part_of(alert: &Alert) -> Option<String> {
    let rest = alert.subject.strip_prefix("key ")?.strip_prefix(alert.key_id.as_deref()?)?;
    Some(rest.trim_start().to_owned()).filter(|part| !part.is_empty())
}

/// An alert as a test could expect it.
fn line_of(alert: &Alert, view: View<'_>) -> String {
    let mut fields = Vec::new();
    for name in ["rule", "key", "merchant", "severity", "audience", "state", "part", "starts", "ends"] {
        let is = shown(alert, name, view);
        if is != NONE {
            fields.push((name.to_owned(), is));
        }
    }
    Expected(fields).line()
}

/// A text within a line of YAML, in quotes where it needs them.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./ -".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    match begins && !text.ends_with(' ') && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn as_many_as_can_be_are_paired() {
        // The first asks less than the second: it must make way.
        assert_eq!(pair(2, 2, |one, alert| one == 0 || alert == 0), [Some(1), Some(0)]);
        let fits = |one: usize, alert: usize| match one {
            0 => alert < 2,
            1 => alert == 0,
            _ => alert == 2,
        };
        assert_eq!(pair(3, 3, fits), [Some(1), Some(0), Some(2)]);
        assert_eq!(pair(2, 1, |_, _| true), [Some(0)]);
        assert_eq!(pair(0, 1, |_, _| true), [None]);
    }
}
