//! A file of tests → [`Test`]s. Strict: what is written is understood, or named with its place.

use std::sync::LazyLock;

use super::events::{Lines, list, read_fact};
use super::{Expectation, Expected, Known, SPAN_MAX, STARTS, TESTS_MAX, Test, offset_text};
use crate::alert::{Audience, Kind, Severity, State};
use crate::brand::Brand;
use crate::engine::detect::DetectorSpec;
use crate::event::auth::Decoder;
use crate::event::redact::Masker;
use crate::rules::compile::compile_with;
use crate::rules::expr::Compiler;
use crate::rules::names::report;
use crate::rules::set::{Override, nearest};
use crate::rules::text::Written;
use crate::rules::{RuleFile, RuleSet};
use crate::time::{Millis, parse_duration, parse_rfc3339};
use crate::yaml::{self, MapReader, Position, Problem, Problems, Value};

/// Characters of a test's name.
pub(super) const NAME_MAX: usize = 120;
const AUDIENCES: [Audience; 4] = Audience::ALL;

/// What the times of a test are reckoned from.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) starts: Millis,
}

impl Times {
    /// The last moment of a test.
    pub(super) fn last(self) -> Millis {
        self.starts + SPAN_MAX
    }

    /// A moment of the test.
    pub(super) fn read(self, map: &mut MapReader<'_>, name: &'static str) -> Option<Millis> {
        let at = self.read_free(map, name)?;
        let (problems, place) = (map.problems(), map.at(name));
        if at < self.starts {
            problems.add_with_hint(place, "this is before the test starts", "an earlier `starts`");
            return None;
        }
        if self.last() < at {
            problems.add(place, "this is more than ten years after the test starts");
            return None;
        }
        Some(at)
    }

    /// A moment that may also lie outside.
    pub(super) fn read_free(self, map: &mut MapReader<'_>, name: &'static str) -> Option<Millis> {
        let text = map.string(name)?;
        let offset = parse_duration(&text).and_then(|offset| self.starts.checked_add(offset));
        let at = offset.or_else(|| parse_rfc3339(&text));
        if at.is_none() {
            let (problems, place) = (map.problems(), map.at(name));
            let shown = problems.quote(place, &text);
            let hint = match text.bytes().all(|b| b.is_ascii_digit()) {
                true => "add a unit: `s`, `m`, `h` or `d`",
                false => "an offset from `starts` such as `14d1h30m`, or a time such as `2026-11-02T08:00:00Z`",
            };
            problems.add_with_hint(place, format!("{shown} is no time"), hint);
        }
        at
    }
}

/// How long something goes on.
pub(super) fn duration(map: &mut MapReader<'_>, name: &'static str) -> Option<Millis> {
    map.duration(name, 1..=SPAN_MAX)
}

/// What looks like a secret is neither kept in a test nor shown.
static MASKER: LazyLock<Masker> = LazyLock::new(|| Brand::default().masker());

/// A text that a terminal can show, and that is no secret.
pub(super) fn plain(map: &mut MapReader<'_>, name: &'static str) -> Option<String> {
    let text = map.string(name)?;
    if text.chars().any(char::is_control) {
        map.problems().add(map.at(name), format!("`{name}` has characters that cannot be shown"));
        return None;
    }
    if MASKER.mask_text(&text) != text {
        let hint = "a test needs a key's ID, never the key: `key: k1`";
        map.problems().add_with_hint(map.at(name), format!("`{name}` holds what looks like a secret"), hint);
        return None;
    }
    Some(text)
}

/// The problems of a file, without what looks like a secret.
fn masked(problems: Vec<Problem>) -> Vec<Problem> {
    let mask = |text: &str| MASKER.mask_text(text).into_owned();
    let one = |problem: Problem| {
        let line_text = mask(&problem.line_text);
        let (from, width) = problem.underline;
        let n_shown = u32::try_from(line_text.chars().count()).unwrap_or(u32::MAX);
        let underline = (from, width.min(n_shown.saturating_sub(from)).max(1));
        let (message, hint) = (mask(&problem.message), problem.hint.as_deref().map(mask));
        Problem { message, hint, line_text: line_text.into(), underline, ..problem }
    };
    problems.into_iter().map(one).collect()
}

/// Reads one file; `rules` are those that stand beside it. All its problems, where it has any.
pub fn read(file: &RuleFile, rules: &RuleSet, specs: &[DetectorSpec]) -> Result<Vec<Test>, Vec<Problem>> {
    let problems = Problems::new(&file.name, &file.text);
    let decoder = Decoder::new(b"rule tests", MASKER.clone());
    let mut tests: Vec<Test> = Vec::new();
    if let Some(root) = yaml::parse(&file.text, &problems) {
        let mut top = MapReader::new(&problems, &root);
        top.require("tests");
        let items = match top.node("tests").map(|node| &node.value) {
            Some(Value::List(items)) if items.is_empty() => {
                problems.add(top.at("tests"), "an empty list of tests");
                &[][..]
            }
            Some(Value::List(items)) if items.len() <= TESTS_MAX => items.as_slice(),
            Some(Value::List(_)) => {
                problems.add(top.key_at("tests"), format!("more than {TESTS_MAX} tests in one file"));
                &[]
            }
            Some(_) => {
                problems.add_with_hint(top.at("tests"), "expected a list", "each test begins with `- name: `");
                &[]
            }
            None => &[],
        };
        for item in items {
            let reader = Reader { rules, specs, decoder: &decoder, problems: &problems, text: &file.text };
            let Some(test) = reader.test(MapReader::new(&problems, item)) else { continue };
            match tests.iter().find(|other| other.name == test.name) {
                Some(first) => problems.add_with_hint(
                    test.at,
                    "a test of this name is there already",
                    format!("the first one is on line {}", first.at.line),
                ),
                None => tests.push(test),
            }
        }
        top.finish();
    }
    let problems = masked(problems.into_sorted());
    if problems.is_empty() { Ok(tests) } else { Err(problems) }
}

struct Reader<'a> {
    rules: &'a RuleSet,
    specs: &'a [DetectorSpec],
    decoder: &'a Decoder,
    problems: &'a Problems,
    /// The file's text: problems point into it.
    text: &'a str,
}

impl Reader<'_> {
    fn test(&self, mut map: MapReader<'_>) -> Option<Test> {
        let problems = self.problems;
        map.require("name");
        let name = plain(&mut map, "name");
        let at = map.at("name");
        if name.as_ref().is_some_and(|name| NAME_MAX < name.chars().count()) {
            problems.add(at, format!("a test's name has at most {NAME_MAX} characters"));
        }
        let starts = map.string("starts").and_then(|text| {
            let starts = parse_rfc3339(&text);
            if starts.is_none() {
                let shown = problems.quote(map.at("starts"), &text);
                problems.add_with_hint(
                    map.at("starts"),
                    format!("{shown} is no time"),
                    "write it as 2026-11-02T00:00:00Z",
                );
            }
            starts
        });
        let times = Times { starts: starts.unwrap_or(STARTS) };
        let set = self.set(&mut map);
        let only = map.strings("rules");
        for (name, at) in only.iter().flatten() {
            self.check_rule(name, *at);
        }
        let only: Option<Vec<String>> = only.map(|names| names.into_iter().map(|(name, _)| name).collect());
        let facts = list(&mut map, "facts", |fact, _| read_fact(fact, times));
        let mut lines = Lines::new(times, self.decoder);
        let mut places = Vec::new();
        let generators = list(&mut map, "events", |line, node| {
            let generator = lines.read(line)?;
            places.push(node.at);
            Some(generator)
        });
        map.require("expect");
        let mut expect = list(&mut map, "expect", |one, node| self.expectation(one, node.at, times, only.as_deref()));
        expect.sort_by_key(|one| one.time);
        if map.has("expect") && matches!(map.node("expect").map(|n| &n.value), Some(Value::List(l)) if l.is_empty()) {
            problems.add_with_hint(map.at("expect"), "nothing is expected", "silence is `- {at: 15d, alerts: []}`");
        }
        if let Some(last) = expect.last() {
            for (generator, place) in generators.iter().zip(places).filter(|(line, _)| last.time < line.from) {
                let from = offset_text(times.starts, generator.from);
                let hint = format!("the last one is at {}", offset_text(times.starts, last.time));
                let message = format!("these events begin at {from}, after the last expectation: nothing sees them");
                problems.add_with_hint(place, message, hint);
            }
        }
        map.finish();
        let file = problems.file().to_owned();
        Some(Test { file, at, name: name?, starts: times.starts, set, rules: only, facts, generators, expect })
    }

    /// `set:`, checked by compiling the rules with it.
    fn set(&self, map: &mut MapReader<'_>) -> Vec<Override> {
        let fields = map.map("set");
        let mut set = Vec::new();
        for entry in fields.free_entries() {
            let Some(value) = fields.text(&entry.value) else { continue };
            match Override::parse(&format!("{}={value}", entry.key)) {
                Err(_) => {
                    let shown = self.problems.quote(entry.key_at, &entry.key);
                    let message = format!("{shown} is no parameter of a rule");
                    self.problems.add_with_hint(entry.key_at, message, "such as `set: {new-ip.min_calls: 20}`");
                }
                Ok(change) => {
                    let compiled = compile_with(self.rules.files.clone(), self.specs, std::slice::from_ref(&change));
                    for problem in compiled.err().into_iter().flatten().filter(|problem| !problem.is_warning) {
                        match problem.hint {
                            Some(hint) => self.problems.add_with_hint(entry.key_at, problem.message, hint),
                            None => self.problems.add(entry.key_at, problem.message),
                        }
                    }
                    set.push(change);
                }
            }
        }
        set
    }

    /// Whether there is a rule of that name.
    fn check_rule(&self, name: &str, at: Position) -> bool {
        let is_there = self.rules.rule(name).is_some();
        if !is_there {
            let shown = self.problems.quote(at, name);
            let hint = nearest(name, "the rules are", self.rules.rules.iter().map(|rule| &*rule.name));
            self.problems.add_with_hint(at, format!("there is no active rule {shown}"), hint);
        }
        is_there
    }

    fn expectation(
        &self,
        mut map: MapReader<'_>,
        at: Position,
        times: Times,
        only: Option<&[String]>,
    ) -> Option<Expectation> {
        map.require("at");
        let time = times.read(&mut map, "at");
        if !map.has("alerts") {
            let hint = "the exact alerts, such as `alerts: [{rule: new-ip}]`; silence is `alerts: []`";
            self.problems.add_with_hint(at, "an expectation without `alerts`", hint);
        }
        let alerts = list(&mut map, "alerts", |alert, _| Some(self.expected(alert, times, only)));
        let knows = list(&mut map, "knows", |line, _| self.known(line));
        map.finish();
        Some(Expectation { at, time: time?, alerts, knows })
    }

    /// A key, and a condition that must be true of what is known of it.
    fn known(&self, mut map: MapReader<'_>) -> Option<Known> {
        map.require("key");
        map.require("that");
        let key = plain(&mut map, "key");
        let written = Written::read(&mut map, "that");
        map.finish();
        let written = written?;
        match Compiler::new().compile(&written.text) {
            Ok(condition) => Some(Known { key: key?, text: written.plain(), condition }),
            Err(found) => {
                found.iter().for_each(|problem| report(problem, &written, self.text, self.problems));
                None
            }
        }
    }

    fn expected(&self, mut map: MapReader<'_>, times: Times, only: Option<&[String]>) -> Expected {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: Option<String>| fields.extend(value.map(|value| (name.to_owned(), value)));
        let rule = plain(&mut map, "rule");
        if let Some(rule) = &rule {
            let is_there = self.check_rule(rule, map.at("rule"));
            if is_there && only.is_some_and(|only| !only.contains(rule)) {
                let hint = "add it to the test's `rules`";
                self.problems.add_with_hint(map.at("rule"), "this test does not look at that rule", hint);
            }
        }
        add("rule", rule);
        let kind = map.word("kind", &Kind::ALL.map(|kind| (kind.as_str(), kind.as_str())));
        add("kind", kind.map(str::to_owned));
        add("key", plain(&mut map, "key"));
        add("merchant", plain(&mut map, "merchant"));
        let severity = map.word("severity", &Severity::ALL.map(|severity| (severity.as_str(), severity.as_str())));
        add("severity", severity.map(str::to_owned));
        let audience = map.word("audience", &AUDIENCES.map(|audience| (audience.as_str(), audience.as_str())));
        add("audience", audience.map(str::to_owned));
        let state = map.word("state", &[State::Firing, State::Resolved].map(|state| (state.as_str(), state.as_str())));
        add("state", state.map(str::to_owned));
        add("part", plain(&mut map, "part"));
        add("source", plain(&mut map, "source"));
        for name in ["starts", "ends"] {
            add(name, times.read(&mut map, name).map(|at| offset_text(times.starts, at)));
        }
        for name in ["summary_contains", "subject", "mail_contains"] {
            add(name, plain(&mut map, name));
        }
        let evidence = map.map("evidence");
        for entry in evidence.free_entries() {
            add(&format!("evidence.{}", entry.key), evidence.text(&entry.value));
        }
        map.finish();
        Expected(fields)
    }
}
