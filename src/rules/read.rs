//! One rule file → drafts. What is wrong is noted, and absent from the draft or at its default.

use super::active::{ActiveHours, read_active};
use super::exceptions::{ExceptionDraft, read_exceptions};
use super::overrides::{OverrideDraft, read_overrides};
use super::set::nearest;
use super::text::{MAX_NAME, Written, is_kebab_case, kebab_case, one_line};
use super::{Grouping, Matcher, Status};
use crate::alert::{Audience, Severity};
use crate::engine::detect::{DetectorSpec, Fires};
use crate::engine::params::{ParamType, ParamValue, Params};
use crate::event::Env;
use crate::time::{DAY, Millis};
use crate::yaml::{MapReader, Node, Position, Problems, Value, closest, known_words};

/// Steps of a runbook: more are not read.
pub const MAX_STEPS: usize = 5;
/// Entries of a list in `match`.
pub(super) const MAX_LISTED: usize = 10_000;
/// A title survives in a mail's subject.
pub(super) const MAX_TITLE: usize = 60;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_STEP: usize = 300;
/// Entries of `severity_when`.
pub(super) const MAX_CHANGES: usize = 16;
/// `for` and `keep_firing_for`, at most.
pub(super) const MAX_HOLD: Millis = 7 * DAY;

/// What a file adds to the rule set.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) drafts: Vec<Draft<'a>>,
    pub(super) overrides: Vec<OverrideDraft>,
}

/// A rule as it was read: what was wrong is absent or at its default.
pub(super) struct Draft<'a> {
    /// Which file, by its place in the directory's order.
    pub(super) file: usize,
    pub(super) name: String,
    pub(super) name_at: Position,
    pub(super) spec: Option<&'a DetectorSpec>,
    pub(super) params: Params,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) severity: Option<Severity>,
    pub(super) audience: Option<Audience>,
    pub(super) status: Status,
    pub(super) matcher: Matcher,
    pub(super) condition: Option<Written>,
    /// It is written, be it wrong.
    pub(super) has_condition: bool,
    pub(super) severity_when: Vec<(Written, SeverityChange)>,
    pub(super) exceptions: Vec<ExceptionDraft>,
    pub(super) active: Option<ActiveHours>,
    pub(super) group_by: Vec<Grouping>,
    /// `None` = not said.
    pub(super) missing_together: Option<bool>,
    pub(super) group_at: Position,
    pub(super) opens_after: Millis,
    pub(super) keep_firing_for: Millis,
    pub(super) runbook: Vec<String>,
    pub(super) owner: Option<String>,
}

/// What `severity_when` makes of a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeverityChange {
    /// This one, whatever it was.
    To(Severity),
    /// One milder; `info` stays.
    Lower,
    /// One worse; `critical` stays.
    Higher,
}

impl SeverityChange {
    const WORDS: [(&'static str, SeverityChange); 6] = [
        ("lower", SeverityChange::Lower),
        ("higher", SeverityChange::Higher),
        ("info", SeverityChange::To(Severity::Info)),
        ("warning", SeverityChange::To(Severity::Warning)),
        ("high", SeverityChange::To(Severity::High)),
        ("critical", SeverityChange::To(Severity::Critical)),
    ];

    /// The severity that results.
    pub fn apply(self, severity: Severity) -> Severity {
        let place = Severity::ALL.iter().position(|s| *s == severity).unwrap_or_default();
        match self {
            SeverityChange::To(severity) => severity,
            SeverityChange::Lower => Severity::ALL[place.saturating_sub(1)],
            SeverityChange::Higher => Severity::ALL[(place + 1).min(Severity::ALL.len() - 1)],
        }
    }

    /// The word for it in a rule file.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, change)| *change == self).map_or("", |(word, _)| word)
    }
}

/// What a rule may leave out: `defaults:`.
#[derive(Default)]
pub(super) struct Defaults {
    severity: Option<Severity>,
    audience: Option<Audience>,
    runbook: Option<Vec<String>>,
    active: Option<ActiveHours>,
    owner: Option<String>,
}

/// Sections that a file may have instead of one rule.
pub(super) const SECTIONS: [&str; 5] = ["rules", "overrides", "lists", "macros", "defaults"];

/// Whether a file has sections, or is one rule.
pub(super) fn has_sections(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if entries.iter().any(|entry| SECTIONS.contains(&entry.key.as_str())))
}

/// One rule, or the rules and overrides of a file with sections.
pub(super) fn read_file<'s>(
    file: usize,
    root: &Node,
    specs: &'s [DetectorSpec],
    defaults: &Defaults,
    problems: &Problems,
) -> Sections<'s> {
    if !has_sections(root) {
        return Sections { drafts: vec![read_rule(file, root, specs, defaults, problems)], overrides: Vec::new() };
    }
    let mut top = MapReader::new(problems, root);
    let mut sections = Sections::default();
    match top.node("rules").map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => {
            sections.drafts = items.iter().map(|item| read_rule(file, item, specs, defaults, problems)).collect();
        }
        None if SECTIONS[1..].iter().any(|name| top.has(name)) => {}
        _ => problems.add(top.at("rules"), "expected a list of rules"),
    }
    sections.overrides = read_overrides(file, &mut top);
    // Read elsewhere, as all files need them.
    for name in ["lists", "macros", "defaults"] {
        let _ = top.node(name);
    }
    top.finish();
    sections
}

/// Reads `defaults:`, which one file of a directory may have.
pub(super) fn read_defaults(root: &Node, problems: &Problems) -> Option<(Defaults, Position)> {
    if !has_sections(root) {
        return None;
    }
    // What it does not know is for `read_file` to say.
    let mut top = MapReader::new(problems, root);
    if !top.has("defaults") {
        return None;
    }
    let at = top.key_at("defaults");
    let mut map = top.map("defaults");
    let defaults = Defaults {
        severity: map.word("severity", &Severity::ALL.map(|s| (s.as_str(), s))),
        audience: map.word("audience", &AUDIENCES.map(|a| (a.as_str(), a))),
        runbook: map.node("runbook").is_some().then(|| read_runbook(&mut map)),
        active: map.optional_map("active").and_then(read_active),
        owner: map.string("owner"),
    };
    map.finish();
    Some((defaults, at))
}

const AUDIENCES: [Audience; 4] = Audience::ALL;

fn read_rule<'s>(
    file: usize,
    node: &Node,
    specs: &'s [DetectorSpec],
    defaults: &Defaults,
    problems: &Problems,
) -> Draft<'s> {
    let mut map = MapReader::new(problems, node);
    let name = map.required_string("name").unwrap_or_default();
    let name_at = map.at("name");
    if !name.is_empty() && !is_kebab_case(&name) {
        let message = format!("a rule's name has lower-case letters, digits and single dashes, at most {MAX_NAME}");
        match kebab_case(&name) {
            Some(better) => problems.add_with_hint(name_at, message, format!("write `{better}`")),
            None => problems.add(name_at, message),
        }
    }
    let spec = read_kind(&mut map, specs);
    let title = read_text(&mut map, "title", MAX_TITLE);
    let description = read_text(&mut map, "description", MAX_DESCRIPTION);
    let severity = match defaults.severity {
        Some(default) => map.word("severity", &Severity::ALL.map(|s| (s.as_str(), s))).or(Some(default)),
        None => map.required_word("severity", &Severity::ALL.map(|s| (s.as_str(), s))),
    };
    let audience = match defaults.audience {
        Some(default) => map.word("audience", &AUDIENCES.map(|a| (a.as_str(), a))).or(Some(default)),
        None => map.required_word("audience", &AUDIENCES.map(|a| (a.as_str(), a))),
    };
    let status = map.word("status", &Status::ALL.map(|s| (s.as_str(), s))).unwrap_or(Status::Stable);
    let matcher = read_matcher(map.map("match"));
    let condition = Written::read(&mut map, "condition");
    let has_condition = map.has("condition");
    let severity_when = read_severity_when(&mut map);
    let exceptions = read_exceptions(file, &mut map);
    let active = match map.optional_map("active") {
        Some(active) => read_active(active),
        // What fires by time fires once: at a closed hour it would be lost for good.
        None => defaults
            .active
            .clone()
            .filter(|_| spec.is_none_or(|spec| !matches!(spec.fires, Fires::ByTime | Fires::Together))),
    };
    let group_by = read_grouping(&mut map);
    let missing_together = map.word("missing", &[("together", true), ("skip", false)]);
    let group_at = map.key_at("group_by");
    let opens_after = map.duration("for", 0..=MAX_HOLD).unwrap_or(0);
    let keep_firing_for = map.duration("keep_firing_for", 0..=MAX_HOLD).unwrap_or(0);
    let params = read_params(map.map("params"), spec);
    let runbook = match &defaults.runbook {
        Some(default) if !map.has("runbook") => default.clone(),
        _ => read_runbook(&mut map),
    };
    let owner = map.string("owner").or_else(|| defaults.owner.clone());
    let _ = map.strings("references");
    map.finish();
    Draft {
        file,
        name,
        name_at,
        spec,
        params,
        title,
        description,
        severity,
        audience,
        status,
        matcher,
        condition,
        has_condition,
        severity_when,
        exceptions,
        active,
        group_by,
        missing_together,
        group_at,
        opens_after,
        keep_firing_for,
        runbook,
        owner,
    }
}

fn read_kind<'s>(map: &mut MapReader<'_>, specs: &'s [DetectorSpec]) -> Option<&'s DetectorSpec> {
    let word = map.required_string("kind")?;
    let spec = specs.iter().find(|spec| spec.kind.as_str() == word);
    if spec.is_none() {
        let kinds = || specs.iter().map(|spec| spec.kind.as_str());
        let list = format!("the kinds are {}", known_words(kinds()));
        let hint = match closest(&word, kinds()) {
            Some(kind) => format!("did you mean `{kind}`? {list}"),
            None => list,
        };
        let at = map.at("kind");
        let word = map.problems().quote(at, &word);
        map.problems().add_with_hint(at, format!("unknown kind {word}"), hint);
    }
    spec
}

/// A text in one line: folding and indentation of the file are not part of it.
fn read_text(map: &mut MapReader<'_>, name: &'static str, max: usize) -> String {
    let text = map.required_string(name).unwrap_or_default();
    one_line(map.problems(), map.at(name), &text, max)
}

fn read_runbook(map: &mut MapReader<'_>) -> Vec<String> {
    map.require("runbook");
    if let Some(Value::List(items)) = map.node("runbook").map(|node| &node.value) {
        if items.is_empty() {
            map.problems().add(map.key_at("runbook"), "`runbook` needs at least one step");
        }
        if let Some(surplus) = items.get(MAX_STEPS) {
            let message = format!("{} steps, at most {MAX_STEPS}: more are not read", items.len());
            map.problems().add(surplus.at, message);
        }
    }
    let steps = map.strings("runbook").unwrap_or_default();
    steps.iter().map(|(step, at)| one_line(map.problems(), *at, step, MAX_STEP)).collect()
}

fn read_grouping(map: &mut MapReader<'_>) -> Vec<Grouping> {
    let words = || Grouping::ALL.iter().map(|by| by.as_str());
    let mut fields = Vec::new();
    for (word, at) in map.strings("group_by").unwrap_or_default() {
        match Grouping::ALL.into_iter().find(|by| by.as_str() == word) {
            Some(by) if fields.contains(&by) => map.problems().add(at, format!("`{word}` is there twice")),
            Some(by) => fields.push(by),
            None => {
                let shown = map.problems().quote(at, &word);
                let hint = nearest(&word, "events of a key are grouped by", words());
                map.problems().add_with_hint(at, format!("events cannot be grouped by {shown}"), hint);
            }
        }
    }
    fields
}

fn read_severity_when(map: &mut MapReader<'_>) -> Vec<(Written, SeverityChange)> {
    let problems = map.problems();
    let items = match map.node("severity_when").map(|node| &node.value) {
        None => return Vec::new(),
        Some(Value::List(items)) if items.len() <= MAX_CHANGES => items,
        Some(Value::List(_)) => {
            problems.add(map.key_at("severity_when"), format!("more than {MAX_CHANGES} entries"));
            return Vec::new();
        }
        Some(_) => {
            problems.add_with_hint(
                map.at("severity_when"),
                "expected a list",
                "such as `- {condition: key.env == \"test\", severity: lower}`",
            );
            return Vec::new();
        }
    };
    let read = |item: &Node| {
        let mut map = MapReader::new(problems, item);
        map.require("condition");
        let condition = Written::read(&mut map, "condition");
        let change = map.required_word("severity", &SeverityChange::WORDS);
        map.finish();
        // A wrong word has been told: what its condition says is looked at all the same.
        Some((condition?, change.unwrap_or(SeverityChange::Lower)))
    };
    items.iter().filter_map(read).collect()
}

pub(super) fn read_matcher(mut map: MapReader<'_>) -> Matcher {
    let merchants = read_ids(&mut map, "merchants");
    if map.has("merchants") && merchants.as_ref().is_some_and(Vec::is_empty) {
        map.problems().add_with_hint(
            map.key_at("merchants"),
            "an empty list matches no merchant",
            "leave `merchants` out for all, or set `status: off`",
        );
    }
    let matcher = Matcher {
        key_env: map.word("key_env", &[("live", Env::Live), ("test", Env::Test)]),
        merchants,
        except_merchants: read_ids(&mut map, "except_merchants").unwrap_or_default(),
        except_keys: read_ids(&mut map, "except_keys").unwrap_or_default(),
    };
    let is_excepted = |id: &&String| matcher.except_merchants.contains(id);
    if let Some(never) = matcher.merchants.iter().flatten().find(is_excepted) {
        let shown = map.problems().quote(map.at("except_merchants"), never);
        let message = format!("{shown} is in `merchants` as well: the rule never looks at it");
        map.problems().add_with_hint(map.at("except_merchants"), message, "keep it in one of the two lists");
    }
    map.finish();
    matcher
}

pub(super) fn read_ids(map: &mut MapReader<'_>, name: &'static str) -> Option<Vec<String>> {
    let mut ids: Vec<String> = map.strings(name)?.into_iter().map(|(id, _)| id).collect();
    if MAX_LISTED < ids.len() {
        map.problems().add(map.key_at(name), format!("{} entries, at most {MAX_LISTED}", ids.len()));
    }
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

pub(super) fn read_params(map: MapReader<'_>, spec: Option<&DetectorSpec>) -> Params {
    let mut params = Params::defaults(spec.map_or(&[], |spec| spec.params));
    for (name, value) in read_given_params(map, spec) {
        params.set(name, value);
    }
    params
}

/// The parameters that are written. Of an unknown kind nothing is known.
pub(super) fn read_given_params(
    mut map: MapReader<'_>,
    spec: Option<&DetectorSpec>,
) -> Vec<(&'static str, ParamValue)> {
    let Some(spec) = spec else { return Vec::new() };
    let mut given = Vec::new();
    for param in spec.params {
        let value = match param.ty {
            ParamType::Duration { min, max, .. } => map.duration(param.name, min..=max).map(ParamValue::Duration),
            ParamType::Count { min, max, .. } => map.count(param.name, min..=max).map(ParamValue::Count),
            ParamType::Number { min, max, .. } => map.number(param.name, min..=max).map(ParamValue::Number),
        };
        given.extend(value.map(|value| (param.name, value)));
    }
    map.finish();
    given
}
