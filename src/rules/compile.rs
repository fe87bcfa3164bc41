//! Rule files → a [`RuleSet`]. The whole directory is one version: it is valid as a whole, or not at all.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::active::ActiveHours;
use super::exceptions::{EntryDraft, ExceptionDraft, MAX_ENTRIES, Operator};
use super::expr::schema::{self, FIELDS, Type};
use super::expr::{Compiler, Condition, Needs};
use super::files::load_directory;
use super::names::{Names, has_word, report};
use super::read::{Defaults, Draft, Sections, read_defaults, read_file};
use super::set::{Override, nearest};
use super::text::Written;
use super::{Counting, Exception, ExceptionEntry, Grouping, Matcher, Rule, RuleFile, RuleSet, SeverityChange, Status};
use crate::alert::{Audience, Severity, hex};
use crate::engine::detect::{DetectorSpec, Fires, SPECS};
use crate::engine::params::ParamValue;
use crate::event::{Env, Outcome};
use crate::time::duration_text;
use crate::yaml::{self, Node, Position, Problem, Problems};

/// Rules in a directory.
pub const MAX_RULES: usize = 10_000;

/// Reads and compiles a directory. Problems name files as the directory was given.
pub fn load(dir: &Path, specs: &[DetectorSpec], overrides: &[Override]) -> Result<RuleSet, Vec<Problem>> {
    load_files(dir, load_directory(dir)?, specs, overrides)
}

/// Compiles the files that were read from a directory, as [`load`] does.
pub fn load_files(
    dir: &Path,
    files: Vec<RuleFile>,
    specs: &[DetectorSpec],
    overrides: &[Override],
) -> Result<RuleSet, Vec<Problem>> {
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let with_folder = |mut problems: Vec<Problem>| {
        for problem in problems.iter_mut().filter(|problem| names.contains(&problem.file)) {
            problem.file = dir.join(&problem.file).display().to_string();
        }
        problems
    };
    match compile_with(files, specs, overrides) {
        Ok(set) => Ok(RuleSet { warnings: with_folder(set.warnings), ..set }),
        Err(problems) => Err(with_folder(problems)),
    }
}

/// Compiles files that were read before.
pub fn compile(files: Vec<RuleFile>, specs: &[DetectorSpec]) -> Result<RuleSet, Vec<Problem>> {
    compile_with(files, specs, &[])
}

/// A file with its tree, and what is wrong with it.
struct Parsed {
    problems: Problems,
    root: Option<Node>,
}

/// Compiles files with some parameters set from outside. The version says that they were.
pub fn compile_with(
    mut files: Vec<RuleFile>,
    specs: &[DetectorSpec],
    overrides: &[Override],
) -> Result<RuleSet, Vec<Problem>> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let parsed: Vec<Parsed> = files.iter().map(parse).collect();
    let defaults = gather_defaults(&files, &parsed);
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut changes = Vec::new();
    for (place, Parsed { problems, root }) in parsed.iter().enumerate() {
        let Some(root) = root else { continue };
        let Sections { drafts: read, overrides } = read_file(place, root, specs, &defaults, problems);
        for draft in read {
            if let Some(first) = drafts.iter().find(|other| !draft.name.is_empty() && other.name == draft.name) {
                let (file, at) = (&files[first.file].name, first.name_at);
                problems.add_with_hint(
                    draft.name_at,
                    format!("rule `{}` is there twice", draft.name),
                    format!("the first one is {file}:{}:{}", at.line, at.column),
                );
            }
            drafts.push(draft);
        }
        changes.extend(overrides);
    }
    for change in &changes {
        change.apply(&mut drafts, &parsed[change.file].problems);
    }
    let mut names = Names::default();
    for (place, Parsed { problems, root }) in parsed.iter().enumerate() {
        if let Some(root) = root {
            names.read(place, root, problems, &files);
        }
    }
    let mut conditions = Vec::new();
    let context = Context { compiler: &names.compiler, files: &files, parsed: &parsed };
    let compiled: Vec<Logic> = drafts.iter().map(|draft| context.logic(draft, &mut conditions)).collect();
    let all: Vec<&Problems> = parsed.iter().map(|file| &file.problems).collect();
    names.check(&files, &all, &conditions);
    let unused = names.unused_files(&files);
    let in_lists = std::mem::take(&mut names.in_files);
    let mut problems: Vec<Problem> = parsed.into_iter().flat_map(|file| file.problems.into_sorted()).collect();
    problems.extend(in_lists);
    if MAX_RULES < drafts.len() {
        problems.push(Problem::whole(files[0].name.clone(), format!("more than {MAX_RULES} rules in the directory")));
    }
    // A rule that is wrong in itself need not be told what the command line would make of it.
    if problems.iter().all(|problem| problem.is_warning) {
        problems.extend(overrides.iter().filter_map(|change| change.apply(&mut drafts).err()));
    }
    if problems.iter().any(|problem| !problem.is_warning) {
        // What is probably not meant can wait until what is wrong is mended: much of it comes from there.
        problems.retain(|problem| !problem.is_warning);
        return Err(problems);
    }
    problems.extend(unused);
    let version = version(&files, overrides);
    let n_off = drafts.iter().filter(|draft| draft.status == Status::Off).count();
    let drafts = drafts.into_iter().zip(compiled).filter(|(draft, _)| draft.status != Status::Off);
    let mut rules: Vec<Rule> = drafts.filter_map(|(draft, logic)| draft.build(logic)).collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let by_outcome = [Outcome::Ok, Outcome::Denied].map(|outcome| places_for(&rules, outcome));
    let of_sources = places_of_sources(&rules);
    let asks_for_windows = rules.iter().flat_map(Rule::conditions).any(|c| c.needs().includes(Needs::WINDOWS));
    Ok(RuleSet { version, rules, n_off, files, warnings: problems, by_outcome, of_sources, asks_for_windows })
}

/// Places of the rules about source networks.
fn places_of_sources(rules: &[Rule]) -> Vec<u16> {
    let is_of_sources = |rule: &Rule| SPECS.iter().any(|spec| spec.kind == rule.kind && spec.fires == Fires::OnSource);
    (0..rules.len()).filter(|at| is_of_sources(&rules[*at])).filter_map(|at| u16::try_from(at).ok()).collect()
}

/// Places of the rules that an outcome may concern.
fn places_for(rules: &[Rule], outcome: Outcome) -> Vec<u16> {
    let may = |rule: &Rule| match (&rule.counting, &rule.condition) {
        _ if rule.detector.asks_of_all().is_some() => false,
        (Some(_), Some(condition)) => condition.prefilter().allows_outcome(outcome),
        _ => true,
    };
    (0u16..).zip(rules).filter(|(_, rule)| may(rule)).map(|(place, _)| place).collect()
}

fn parse(file: &RuleFile) -> Parsed {
    let problems = Problems::new(&file.name, &file.text);
    let root = file.name.ends_with(".yml").then(|| yaml::parse(&file.text, &problems)).flatten();
    Parsed { problems, root }
}

/// `defaults:` of the directory, of which there is at most one.
fn gather_defaults(files: &[RuleFile], parsed: &[Parsed]) -> Defaults {
    let mut found: Option<(usize, Defaults, yaml::Position)> = None;
    for (place, Parsed { problems, root }) in parsed.iter().enumerate() {
        let Some((defaults, at)) = root.as_ref().and_then(|root| read_defaults(root, problems)) else { continue };
        match &found {
            Some((first, _, first_at)) => problems.add_with_hint(
                at,
                "`defaults` is there twice",
                format!("the first one is {}:{}:{}", files[*first].name, first_at.line, first_at.column),
            ),
            None => found = Some((place, defaults, at)),
        }
    }
    found.map(|(_, defaults, _)| defaults).unwrap_or_default()
}

/// The version that a folder's files have together, valid or not.
pub fn version_of(files: &[RuleFile]) -> String {
    version(files, &[])
}

/// Hash of names and texts, each with its length before it, so that nothing can move from one to the next.
fn version(files: &[RuleFile], overrides: &[Override]) -> String {
    let mut hash = Sha256::new();
    let set = overrides.iter().flat_map(|o| [&o.rule, &o.param, &o.value]);
    for part in files.iter().flat_map(|file| [&file.name, &file.text]).chain(set) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..16])
}

impl Draft<'_> {
    /// The rule. `None` only where a problem was noted.
    fn build(self, logic: Logic) -> Option<Rule> {
        let (spec, severity, audience) = (self.spec?, self.severity?, self.audience?);
        let hash = self.hash(spec, severity, audience);
        let detector = (spec.build)(&self.params);
        let counting = detector.counts_in().map(|window| Counting {
            of: self.counted(window),
            window,
            group_by: self.group_by.clone(),
            missing_together: self.missing_together.unwrap_or(false),
        });
        Some(Rule {
            name: Arc::from(self.name),
            hash: Arc::from(hash),
            kind: spec.kind,
            title: self.title,
            description: self.description,
            severity,
            audience,
            status: self.status,
            runbook: self.runbook,
            owner: self.owner,
            matcher: self.matcher,
            active: self.active,
            condition: logic.condition,
            severity_when: logic.severity_when,
            exceptions: logic.exceptions,
            counting,
            opens_after: self.opens_after,
            keep_firing_for: self.keep_firing_for,
            detector,
        })
    }

    /// Hash of what a rule counts: its condition, its window, its groups. Nothing else makes it count anew.
    fn counted(&self, window: crate::time::Millis) -> u64 {
        let groups: Vec<&str> = self.group_by.iter().map(|by| Grouping::as_str(*by)).collect();
        let condition = self.condition.as_ref().map(Written::plain);
        let content = json!([self.name, condition, window, groups, self.missing_together]);
        let digest = Sha256::digest(content.to_string());
        u64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
    }

    /// Hash of what fires and of what is said. Comments, order of fields, folding of lines, `owner`, `references` and
    /// `status` are not in it; a detector's defaults are.
    fn hash(&self, spec: &DetectorSpec, severity: Severity, audience: Audience) -> String {
        let params: Vec<_> = self.params.iter().map(|(name, value)| json!([name, param_text(*value)])).collect();
        let mut content = json!([
            self.name,
            spec.kind.as_str(),
            self.title,
            self.description,
            severity.as_str(),
            audience.as_str(),
            self.runbook,
            self.matcher.key_env.map(Env::as_str),
            self.matcher.merchants,
            self.matcher.except_merchants,
            self.matcher.except_keys,
            params,
        ]);
        // What a rule does not say leaves its hash as it was before rules could say it.
        let mut more = |name: &str, value: serde_json::Value| {
            if let Some(content) = content.as_array_mut() {
                content.push(json!([name, value]));
            }
        };
        if let Some(active) = &self.active {
            more("active", ActiveHours::text(active).into());
        }
        if let Some(condition) = &self.condition {
            more("condition", condition.plain().into());
        }
        if !self.severity_when.is_empty() {
            let changes =
                self.severity_when.iter().map(|(condition, change)| json!([condition.plain(), change.as_str()]));
            more("severity_when", changes.collect());
        }
        for shape in &self.exceptions {
            let entries = shape.entries.iter().map(|entry| {
                let of: Vec<Vec<&str>> =
                    entry.of.iter().map(|any| any.iter().map(|(value, _)| value.as_str()).collect()).collect();
                json!([of, entry.ends_at])
            });
            let fields = shape.fields.iter().map(|(field, _, operator)| json!([field, operator.as_str()]));
            let (fields, entries): (Vec<_>, Vec<_>) = (fields.collect(), entries.collect());
            more(&shape.name, json!([fields, entries]));
        }
        if !self.group_by.is_empty() {
            let groups: Vec<&str> = self.group_by.iter().map(|by| by.as_str()).collect();
            more("group_by", json!([groups, self.missing_together]));
        }
        for (name, hold) in [("for", self.opens_after), ("keep_firing_for", self.keep_firing_for)] {
            if hold > 0 {
                more(name, hold.into());
            }
        }
        hex(&Sha256::digest(content.to_string())[..8])
    }
}

/// What of a rule is compiled apart from its fields.
#[derive(Default)]
struct Logic {
    condition: Option<Condition>,
    severity_when: Vec<(Condition, super::read::SeverityChange)>,
    exceptions: Vec<Exception>,
}

/// What compiling the conditions of a directory needs.
struct Context<'a> {
    compiler: &'a Compiler,
    files: &'a [RuleFile],
    parsed: &'a [Parsed],
}

impl Context<'_> {
    /// Compiles what a rule asks; notes the texts in `texts`, so that what nobody names can be told.
    fn logic(&self, draft: &Draft<'_>, texts: &mut Vec<String>) -> Logic {
        let mut compile = |written: &Written, file: usize| {
            texts.push(written.text.clone());
            self.compile(written, file, draft)
        };
        let condition = draft.condition.as_ref().and_then(|written| compile(written, draft.file));
        let severity_when = draft.severity_when.iter();
        let severity_when =
            severity_when.filter_map(|(written, change)| Some((compile(written, draft.file)?, *change))).collect();
        self.check_kind(draft);
        self.check_reach(draft, condition.as_ref());
        let exceptions = draft.exceptions.iter().map(|shape| self.exception(draft, shape)).collect();
        Logic { condition, severity_when, exceptions }
    }

    fn compile(&self, written: &Written, file: usize, draft: &Draft<'_>) -> Option<Condition> {
        let problems = &self.parsed[file].problems;
        if let Some(name) = self.not_at_hand(draft, &written.text) {
            let kind = draft.spec.map_or("", |spec| spec.kind.as_str());
            let message = format!("a rule of kind `{kind}` fires when nothing happens: there is no `{name}` then");
            problems.add_with_hint(written.at, message, "ask for `key.` and `merchant.` fields only");
            return None;
        }
        match self.compiler.compile(&written.text) {
            Ok(condition) => Some(condition),
            Err(found) => {
                found.iter().for_each(|problem| report(problem, written, &self.files[file].text, problems));
                None
            }
        }
    }

    /// What a rule that fires by time cannot ask for, if its text does.
    fn not_at_hand(&self, draft: &Draft<'_>, text: &str) -> Option<&'static str> {
        let is_timed = draft.spec.is_some_and(|spec| spec.fires == Fires::ByTime);
        ["event", "features"].into_iter().find(|name| is_timed && has_word(text, name))
    }

    /// What can never happen, although each part of the rule could.
    fn check_reach(&self, draft: &Draft<'_>, condition: Option<&Condition>) {
        let problems = &self.parsed[draft.file].problems;
        if let (Some(condition), Some(written)) = (condition, &draft.condition) {
            let filter = condition.prefilter();
            if let Some(env) = draft.matcher.key_env.filter(|env| !filter.allows_key_env(*env)) {
                let message = format!("never true of the {} keys that `match` leaves", env.as_str());
                problems.add_with_hint(written.at, message, "leave `match.key_env` out, or ask for the same here");
            }
            let is_of_accepted = draft.spec.is_some_and(|spec| spec.fires == Fires::OnAccepted);
            if is_of_accepted && !filter.allows_outcome(Outcome::Ok) {
                let kind = draft.spec.map_or("", |spec| spec.kind.as_str());
                let message =
                    format!("a rule of kind `{kind}` looks at accepted calls only: this is never true of one");
                problems.add_with_hint(written.at, message, "for refused calls use kind `threshold` or `custom`");
            }
        }
        for (n, (written, _)) in draft.severity_when.iter().enumerate() {
            let same = |(other, _): &&(Written, SeverityChange)| other.text.trim() == written.text.trim();
            if let Some((first, _)) = draft.severity_when[..n].iter().find(same) {
                let hint = format!("the same condition is on line {}: the first that is true counts", first.at.line);
                problems.add_with_hint(written.at, "never reached", hint);
            }
        }
    }

    /// Fields that a kind needs, or has no use for.
    fn check_kind(&self, draft: &Draft<'_>) {
        let Some(spec) = draft.spec else { return };
        let (problems, kind) = (&self.parsed[draft.file].problems, spec.kind.as_str());
        if spec.fires == Fires::OnCondition {
            if draft.condition.is_none() && !draft.has_condition {
                let message = format!("a rule of kind `{kind}` needs a `condition`");
                problems.add_with_hint(draft.name_at, message, "such as `condition: event.outcome == \"denied\"`");
            }
            if !draft.group_by.is_empty() && draft.missing_together.is_none() {
                problems.add_with_hint(
                    draft.group_at,
                    "what becomes of events without one of these is not said",
                    "add `missing: skip`, or `missing: together` to count them as one group",
                );
            }
        } else if !draft.group_by.is_empty() {
            let message = format!("a rule of kind `{kind}` has groups of its own");
            problems.add_with_hint(draft.group_at, message, "`group_by` is for `custom` and `threshold`");
        }
        if spec.fires == Fires::Together {
            let asked = [
                ("condition", draft.has_condition),
                ("severity_when", !draft.severity_when.is_empty()),
                ("exceptions", !draft.exceptions.is_empty()),
                ("match", draft.matcher != Matcher::default()),
                ("active", draft.active.is_some()),
                ("for", draft.opens_after > 0),
                ("keep_firing_for", draft.keep_firing_for > 0),
            ];
            for (name, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
                let message = format!("a rule of kind `{kind}` looks at many keys at once: it has no `{name}`");
                problems.add_with_hint(draft.name_at, message, "leave it out; its parameters say what it takes");
            }
        }
        if spec.fires == Fires::ByTime && draft.active.is_some() {
            let message =
                format!("a rule of kind `{kind}` fires once, by time: outside `active` hours its alert would be lost");
            problems.add_with_hint(draft.name_at, message, "leave `active` out");
        }
        if spec.fires == Fires::ByTime && draft.opens_after > 0 {
            let message = format!("a rule of kind `{kind}` fires by time: `for` has no effect");
            problems.add_with_hint(draft.name_at, message, "its own parameters say how long it waits");
        }
    }

    fn exception(&self, draft: &Draft<'_>, shape: &ExceptionDraft) -> Exception {
        let problems = &self.parsed[draft.file].problems;
        let fields: Vec<Option<Type>> = shape.fields.iter().map(|field| self.field_type(draft, field)).collect();
        if MAX_ENTRIES < shape.entries.len() {
            problems.add(shape.at, format!("more than {MAX_ENTRIES} entries for `{}`, over all files", shape.name));
        }
        let entries = match fields.iter().copied().collect::<Option<Vec<Type>>>() {
            Some(types) => shape.entries.iter().filter_map(|entry| self.entry(shape, entry, &types)).collect(),
            None => Vec::new(),
        };
        Exception { name: Arc::from(shape.name.as_str()), entries }
    }

    fn field_type(&self, draft: &Draft<'_>, (name, at, operator): &(String, Position, Operator)) -> Option<Type> {
        let problems = &self.parsed[draft.file].problems;
        let Some(field) = schema::find(name) else {
            let shown = problems.quote(*at, name);
            let hint = nearest(
                name,
                "fields begin with `event.`, `key.`, `merchant.`:",
                FIELDS.iter().map(|field| field.name),
            );
            problems.add_with_hint(*at, format!("unknown field {shown}"), hint);
            return None;
        };
        if let Some(absent) = self.not_at_hand(draft, name) {
            problems.add(*at, format!("this rule fires when nothing happens: there is no `{absent}` then"));
            return None;
        }
        let ty = field.ty();
        let fits = match operator {
            Operator::Equals => ty != Type::Texts,
            Operator::In => matches!(ty, Type::Ip | Type::Text | Type::Int | Type::Texts),
            _ => ty == Type::Text,
        };
        if !fits {
            let message = format!("`{name}` is {}: `{}` does not go with it", ty.noun(), operator.as_str());
            problems.add(*at, message);
        }
        fits.then_some(ty)
    }

    /// An entry as a condition: every field, any of its alternatives.
    fn entry(&self, shape: &ExceptionDraft, entry: &EntryDraft, types: &[Type]) -> Option<ExceptionEntry> {
        let problems = &self.parsed[entry.file].problems;
        let mut all = Vec::new();
        for (((name, _, operator), ty), any) in shape.fields.iter().zip(types).zip(&entry.of) {
            let mut parts = Vec::new();
            for (value, at) in any {
                let part = comparison(name, *operator, *ty, value);
                if let Err(found) = self.compiler.compile(&part) {
                    let why = found.first().map_or(String::new(), |problem| problem.message.clone());
                    let message = format!("{} does not fit `{name}`: {why}", problems.quote(*at, value));
                    match found.into_iter().next().and_then(|problem| problem.hint) {
                        Some(hint) => problems.add_with_hint(*at, message, hint),
                        None => problems.add(*at, message),
                    }
                    return None;
                }
                if *ty == Type::Ip && value.ends_with("/0") {
                    let message = format!("{} is every address", problems.quote(*at, value));
                    problems.warn(*at, message, "an exception for all of them is a rule that is off");
                }
                parts.push(part);
            }
            all.push(format!("({})", parts.join(" || ")));
        }
        match self.compiler.compile(&all.join(" && ")) {
            Ok(condition) => Some(ExceptionEntry {
                condition,
                reason: entry.reason.clone(),
                owner: entry.owner.clone(),
                ends_at: entry.ends_at,
            }),
            Err(found) => {
                let why = found.first().map_or(String::new(), |problem| problem.message.clone());
                problems.add(entry.at, format!("this exception cannot be used: {why}"));
                None
            }
        }
    }
}

/// A field compared with a value, as a condition has it.
fn comparison(name: &str, operator: Operator, ty: Type, value: &str) -> String {
    let text = serde_json::Value::from(value).to_string();
    match (operator, ty) {
        (Operator::Equals | Operator::In, Type::Ip) => format!("{name}.inCidr({text})"),
        (Operator::In, Type::Texts) => format!("{text} in {name}"),
        (Operator::Equals | Operator::In, Type::Int | Type::Double | Type::Bool) => format!("{name} == {value}"),
        (Operator::Equals | Operator::In, _) => format!("{name} == {text}"),
        (Operator::StartsWith | Operator::EndsWith | Operator::Contains, _) => {
            format!("{name}.{}({text})", operator.as_str())
        }
    }
}

fn param_text(value: ParamValue) -> String {
    match value {
        ParamValue::Duration(millis) => duration_text(millis),
        ParamValue::Count(count) => count.to_string(),
        ParamValue::Number(number) => number.to_string(),
    }
}
