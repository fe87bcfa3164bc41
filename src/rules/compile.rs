//! Rule files → a [`RuleSet`]. The whole directory is one version: it is valid as a whole, or not at all.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Matcher, Rule, RuleFile, RuleSet};
use crate::alert::{Audience, Severity, hex};
use crate::brand;
use crate::config::load::{read_bounded, reason};
use crate::engine::detect::DetectorSpec;
use crate::engine::params::{ParamSpec, ParamType, ParamValue, Params};
use crate::event::Env;
use crate::time::duration_text;
use crate::yaml::{
    self, Fault, MAX_BYTES, MapReader, Node, Position, Problem, Problems, Value, check_count, check_duration,
    check_number, closest, known_words,
};

/// Files in a rules directory.
pub const MAX_FILES: usize = 1_000;
/// Folders within folders.
const MAX_FOLDERS: usize = 8;
/// Rules in a directory.
pub const MAX_RULES: usize = 10_000;
/// Steps of a runbook: more are not read.
pub const MAX_STEPS: usize = 5;
/// Entries of a list in `match`.
const MAX_LISTED: usize = 10_000;
const MAX_NAME: usize = 60;
/// A title survives in a mail's subject.
const MAX_TITLE: usize = 60;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_STEP: usize = 300;

/// A parameter that the command line sets: `--set RULE.PARAM=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The rule's name.
    pub rule: String,
    /// The parameter's name.
    pub param: String,
    /// The value, as a rule file would have it.
    pub value: String,
}

impl Override {
    /// Reads `RULE.PARAM=VALUE`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let split = text.split_once('=').and_then(|(left, value)| Some((left.split_once('.')?, value.trim())));
        match split {
            Some(((rule, param), value)) if ![rule, param, value].contains(&"") => {
                Ok(Override { rule: rule.trim().into(), param: param.trim().into(), value: value.into() })
            }
            _ => Err(Problem::whole(format!("--set {text}"), "expected RULE.PARAM=VALUE")
                .with_hint("such as `--set stale-key.unused_for=30d`")),
        }
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::whole(format!("--set {}.{}={}", self.rule, self.param, self.value), message)
    }
}

/// Reads and compiles a directory. Problems name files as the directory was given.
pub fn load(dir: &Path, specs: &[DetectorSpec], overrides: &[Override]) -> Result<RuleSet, Vec<Problem>> {
    let files = load_directory(dir)?;
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    compile_with(files, specs, overrides).map_err(|mut problems| {
        for problem in &mut problems {
            if names.contains(&problem.file) {
                problem.file = dir.join(&problem.file).display().to_string();
            }
        }
        problems
    })
}

/// Reads every `*.yml` of a directory and its folders but for `*.test.yml`, ordered by name. What starts with a dot is
/// left alone, as are the folders that Kubernetes keeps behind a mounted map.
pub fn load_directory(dir: &Path) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let mut walk = Walk { files: Vec::new(), problems: Vec::new() };
    walk.folder(dir, "", 0);
    if walk.files.is_empty() && walk.problems.is_empty() {
        let problem = Problem::whole(dir.display().to_string(), "there are no rule files (`*.yml`) in this directory");
        walk.problems.push(problem);
    }
    walk.files.sort_by(|a, b| a.name.cmp(&b.name));
    walk.problems.sort_by(|a, b| a.file.cmp(&b.file));
    if walk.problems.is_empty() { Ok(walk.files) } else { Err(walk.problems) }
}

struct Walk {
    files: Vec<RuleFile>,
    problems: Vec<Problem>,
}

impl Walk {
    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize) {
        let shown = dir.display().to_string();
        if MAX_FOLDERS < depth {
            self.problems.push(Problem::whole(shown, format!("folders nest deeper than {MAX_FOLDERS}")));
            return;
        }
        let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot read the directory: {}", directory_reason(&error));
                self.problems.push(Problem::whole(shown, message));
                return;
            }
        };
        for entry in entries {
            let path = entry.path();
            let Ok(file_name) = entry.file_name().into_string() else { continue };
            if file_name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{file_name}");
            if path.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1);
            } else {
                self.file(&path, name);
            }
            if MAX_FILES < self.files.len() {
                self.problems.push(Problem::whole(shown, format!("more than {MAX_FILES} rule files")));
                return;
            }
        }
    }

    fn file(&mut self, path: &Path, name: String) {
        let shown = path.display().to_string();
        if name.ends_with(".yaml") {
            let problem = Problem::whole(shown, "this file would not be read: names of rule files end in `.yml`");
            self.problems.push(problem.with_hint("rename it, or move it elsewhere"));
        } else if name.ends_with(".yml") && !name.ends_with(".test.yml") {
            match read_bounded(path, MAX_BYTES as u64) {
                Ok(text) => self.files.push(RuleFile { name, text }),
                Err(error) => {
                    let message = format!("cannot read the file: {}", reason(&error));
                    self.problems.push(Problem::whole(shown, message));
                }
            }
        }
    }
}

fn directory_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".into(),
        std::io::ErrorKind::NotADirectory => "it is a file".into(),
        _ => reason(error),
    }
}

/// Compiles files that were read before.
pub fn compile(files: Vec<RuleFile>, specs: &[DetectorSpec]) -> Result<RuleSet, Vec<Problem>> {
    compile_with(files, specs, &[])
}

/// Compiles files with some parameters set from outside. The version says that they were.
pub fn compile_with(
    mut files: Vec<RuleFile>,
    specs: &[DetectorSpec],
    overrides: &[Override],
) -> Result<RuleSet, Vec<Problem>> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut drafts: Vec<Draft> = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for file in &files {
        let noted = Problems::new(&file.name, &file.text);
        for draft in read_file(file, specs, &noted) {
            if let Some(first) = drafts.iter().find(|other| !draft.name.is_empty() && other.name == draft.name) {
                noted.add_with_hint(
                    draft.name_at,
                    format!("rule `{}` is there twice", draft.name),
                    format!("the first one is {}:{}:{}", first.file, first.name_at.line, first.name_at.column),
                );
            }
            drafts.push(draft);
        }
        problems.extend(noted.into_sorted());
    }
    if MAX_RULES < drafts.len() {
        problems.push(Problem::whole(files[0].name.clone(), format!("more than {MAX_RULES} rules in the directory")));
    }
    // A rule that is wrong in itself need not be told what the command line would make of it.
    if problems.is_empty() {
        problems.extend(overrides.iter().filter_map(|change| change.apply(&mut drafts).err()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let version = version(&files, overrides);
    let mut rules: Vec<Rule> = drafts.into_iter().filter(|draft| !draft.is_off).filter_map(Draft::build).collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(RuleSet { version, rules, files })
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

/// A rule as it was read: what was wrong is absent or at its default.
struct Draft<'a> {
    file: String,
    name: String,
    name_at: Position,
    spec: Option<&'a DetectorSpec>,
    params: Params,
    title: String,
    description: String,
    severity: Option<Severity>,
    audience: Option<Audience>,
    is_off: bool,
    matcher: Matcher,
    runbook: Vec<String>,
}

impl Draft<'_> {
    /// The rule. `None` only where a problem was noted.
    fn build(self) -> Option<Rule> {
        let (spec, severity, audience) = (self.spec?, self.severity?, self.audience?);
        let hash = self.hash(spec, severity, audience);
        Some(Rule {
            name: Arc::from(self.name),
            hash: Arc::from(hash),
            kind: spec.kind,
            title: self.title,
            description: self.description,
            severity,
            audience,
            runbook: self.runbook,
            matcher: self.matcher,
            detector: (spec.build)(&self.params),
        })
    }

    /// Hash of what fires and of what is said. Comments, order of fields, folding of lines, `owner`, `references` and
    /// `status` are not in it; a detector's defaults are.
    fn hash(&self, spec: &DetectorSpec, severity: Severity, audience: Audience) -> String {
        let params: Vec<_> = self.params.iter().map(|(name, value)| json!([name, param_text(*value)])).collect();
        let content = json!([
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
        hex(&Sha256::digest(content.to_string())[..8])
    }
}

fn param_text(value: ParamValue) -> String {
    match value {
        ParamValue::Duration(millis) => duration_text(millis),
        ParamValue::Count(count) => count.to_string(),
        ParamValue::Number(number) => number.to_string(),
    }
}

/// One rule, or several under `rules:`.
fn read_file<'s>(file: &RuleFile, specs: &'s [DetectorSpec], problems: &Problems) -> Vec<Draft<'s>> {
    let Some(root) = yaml::parse(&file.text, problems) else { return Vec::new() };
    let has_list = matches!(&root.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "rules"));
    if !has_list {
        return vec![read_rule(&file.name, &root, specs, problems)];
    }
    let mut top = MapReader::new(problems, &root);
    let drafts = match top.node("rules").map(|node| (&node.value, node.at)) {
        Some((Value::List(items), _)) if !items.is_empty() => {
            items.iter().map(|item| read_rule(&file.name, item, specs, problems)).collect()
        }
        _ => {
            problems.add(top.at("rules"), "expected a list of rules");
            Vec::new()
        }
    };
    top.finish();
    drafts
}

fn read_rule<'s>(file: &str, node: &Node, specs: &'s [DetectorSpec], problems: &Problems) -> Draft<'s> {
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
    let severity = map.required_word("severity", &Severity::ALL.map(|s| (s.as_str(), s)));
    let audiences = [Audience::Merchant, Audience::Support, Audience::Both];
    let audience = map.required_word("audience", &audiences.map(|a| (a.as_str(), a)));
    let is_off = map.word("status", &[("stable", false), ("off", true)]).unwrap_or(false);
    let matcher = read_matcher(map.map("match"));
    let params = read_params(map.map("params"), spec);
    let runbook = read_runbook(&mut map);
    let _ = map.string("owner");
    let _ = map.strings("references");
    map.finish();
    Draft {
        file: file.into(),
        name,
        name_at,
        spec,
        params,
        title,
        description,
        severity,
        audience,
        is_off,
        matcher,
        runbook,
    }
}

fn is_kebab_case(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
}

fn kebab_case(name: &str) -> Option<String> {
    let dashed: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let better = dashed.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    is_kebab_case(&better).then_some(better)
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

fn one_line(problems: &Problems, at: Position, text: &str, max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = text.chars().count();
    if max < length {
        problems.add(at, format!("too long: {length} characters, at most {max}"));
    }
    if text.contains(char::is_control) {
        problems.add(at, "contains control characters");
    }
    if let Some(unknown) = brand::unknown_word(&text) {
        let word = unknown.trim_start_matches('{').trim_end_matches('}').trim();
        let names = brand::WORDS.map(|(name, _)| name);
        let hint = match closest(word, names) {
            Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
            None => format!("between `{{{{` and `}}}}` stands one of {}", known_words(names)),
        };
        problems.add_with_hint(
            at,
            format!("`{}` stands for nothing", unknown.chars().take(40).collect::<String>()),
            hint,
        );
    }
    text
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

fn read_matcher(mut map: MapReader<'_>) -> Matcher {
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
    map.finish();
    matcher
}

fn read_ids(map: &mut MapReader<'_>, name: &'static str) -> Option<Vec<String>> {
    let mut ids: Vec<String> = map.strings(name)?.into_iter().map(|(id, _)| id).collect();
    if MAX_LISTED < ids.len() {
        map.problems().add(map.key_at(name), format!("{} entries, at most {MAX_LISTED}", ids.len()));
    }
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

fn read_params(mut map: MapReader<'_>, spec: Option<&DetectorSpec>) -> Params {
    // Of an unknown kind nothing is known.
    let Some(spec) = spec else { return Params::defaults(&[]) };
    let mut params = Params::defaults(spec.params);
    for param in spec.params {
        let value = match param.ty {
            ParamType::Duration { min, max, .. } => map.duration(param.name, min..=max).map(ParamValue::Duration),
            ParamType::Count { min, max, .. } => map.count(param.name, min..=max).map(ParamValue::Count),
            ParamType::Number { min, max, .. } => map.number(param.name, min..=max).map(ParamValue::Number),
        };
        if let Some(value) = value {
            params.set(param.name, value);
        }
    }
    map.finish();
    params
}

/// Checks a value as a rule file's would be.
fn check_param(param: &ParamSpec, text: &str) -> Result<ParamValue, Fault> {
    let found = format!("`{text}`");
    match param.ty {
        ParamType::Duration { min, max, .. } => check_duration(text, &found, &(min..=max)).map(ParamValue::Duration),
        ParamType::Count { min, max, .. } => check_count(text, &found, &(min..=max)).map(ParamValue::Count),
        ParamType::Number { min, max, .. } => check_number(text, &found, &(min..=max)).map(ParamValue::Number),
    }
}

impl Override {
    fn apply(&self, drafts: &mut [Draft<'_>]) -> Result<(), Problem> {
        let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
        let Some(draft) = drafts.iter_mut().find(|draft| draft.name == self.rule) else {
            let problem = self.problem(format!("there is no rule `{}`", self.rule));
            return Err(with_choice(problem, &self.rule, "the rules are", names.iter().map(String::as_str)));
        };
        if draft.is_off {
            return Err(self.problem(format!("the rule `{}` is off: this would change nothing", self.rule)));
        }
        let params = draft.spec.map_or(&[][..], |spec| spec.params);
        let Some(param) = params.iter().find(|param| param.name == self.param) else {
            let problem = self.problem(format!("the rule `{}` has no parameter `{}`", self.rule, self.param));
            return Err(with_choice(problem, &self.param, "its parameters are", params.iter().map(|p| p.name)));
        };
        let value = check_param(param, &self.value).map_err(|fault| {
            let problem = self.problem(fault.message);
            match fault.hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            }
        })?;
        draft.params.set(param.name, value);
        Ok(())
    }
}

/// With the nearest of the choices, or all of them.
fn with_choice<'a>(
    problem: Problem,
    word: &str,
    intro: &str,
    choices: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    match closest(word, choices.clone()) {
        Some(choice) => problem.with_hint(format!("did you mean `{choice}`?")),
        None => problem.with_hint(format!("{intro} {}", known_words(choices))),
    }
}
