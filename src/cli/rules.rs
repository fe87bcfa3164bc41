//! `keywatch rules check`: every problem of a folder of rules at once, for people, programs, and pull requests;
//! and the schema. `keywatch rules test` is in `test`, `fmt` in `fmt`, `versions` and `restore` are in `versions`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::alert::plural;
use crate::cli::{Failure, complain, say};
use crate::client::Place;
use crate::engine::detect::SPECS;
use crate::rules::RuleSet;
use crate::rules::compile::load;
use crate::rules::schema;
use crate::wall;
use crate::yaml::{Problem, render};

pub mod fmt;
mod replace;
mod running;
pub mod test;
pub mod versions;

/// How many of the next active hours are shown.
const NEXT: usize = 3;

/// What to do with rule files.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Report every problem of a folder of rules
    Check {
        /// The folder
        #[arg(default_value = "rules")]
        directory: PathBuf,
        /// How to print
        #[arg(short, long, value_enum, default_value = "text")]
        output: Form,
        /// Warnings count as problems
        #[arg(long)]
        strict: bool,
        /// Compare with the rules in force in a running keywatch: http://HOST:PORT (http.listen)
        #[arg(long, value_name = "URL")]
        running: Option<Place>,
    },
    /// Run the tests that stand beside the rules
    Test(test::Args),
    /// List the rules versions that the store keeps, the newest last
    Versions(versions::VersionsArgs),
    /// Write the files of a former version into a folder
    Restore(versions::RestoreArgs),
    /// Set rule files and their tests anew: order of fields, indentation, spaces, quotes
    Fmt(fmt::Args),
    /// Print the JSON Schema of rule files, for editors
    Schema {
        /// Of which files
        #[arg(long = "for", value_enum, default_value = "rules")]
        files: Files,
    },
}

/// Files that a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Files {
    /// Rule files
    Rules,
    /// Their tests, `*.test.yml`
    Tests,
}

/// How to print problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// Annotations of a pull request
    Github,
}

/// `keywatch rules …`
pub fn rules(command: &RulesCommand) -> Result<(), Failure> {
    let (directory, output, strict, running) = match command {
        RulesCommand::Check { directory, output, strict, running } => (directory, output, strict, running),
        RulesCommand::Test(args) => return test::test(args),
        RulesCommand::Versions(args) => return versions::versions(args),
        RulesCommand::Restore(args) => return versions::restore(args),
        RulesCommand::Fmt(args) => return fmt::fmt(args),
        RulesCommand::Schema { files: Files::Rules } => return tell_schema(&schema::text(SPECS)),
        RulesCommand::Schema { files: Files::Tests } => return tell_schema(&schema::text_for_tests()),
    };
    if running.is_some() && *output == Form::Github {
        return Err(Failure::Usage("`--running` has no form `github`: `--output text` or `json`".into()));
    }
    let loaded = load(directory, SPECS, &[]);
    let loaded = loaded.map(|set| with_expired(set, directory));
    let (set, problems) = match &loaded {
        Ok(set) => (Some(set), &set.warnings),
        Err(problems) => (None, problems),
    };
    let is_fine = set.is_some() && (!*strict || problems.is_empty());
    if let (Some(set), Some(place), true) = (set, running, is_fine) {
        return running::compare(directory, set, place, *output);
    }
    match output {
        Form::Json => say(&as_json(set, problems)),
        Form::Github => problems.iter().for_each(|problem| say(&annotation(problem))),
        Form::Text => {
            if let Some(set) = set.filter(|_| is_fine) {
                tell(directory, set);
            } else {
                return Err(Failure::No(with_references(problems)));
            }
        }
    }
    if is_fine { Ok(()) } else { Err(Failure::Told) }
}

fn tell_schema(text: &str) -> Result<(), Failure> {
    say(text);
    Ok(())
}

/// With a warning for each exception whose last day is over: files say the same at any time, and time goes on.
fn with_expired(mut set: RuleSet, directory: &Path) -> RuleSet {
    let now = wall::now();
    let entries = set.rules.iter().flat_map(|rule| {
        rule.exceptions.iter().flat_map(|exception| &exception.entries).map(move |entry| (rule, entry))
    });
    let over = entries.filter(|(_, entry)| entry.ends_at.is_some_and(|end| end <= now)).map(|(rule, entry)| {
        let message = format!("rule `{}`: an exception of {} is over: {}", rule.name, entry.owner, entry.reason);
        let mut problem = Problem::whole(directory.display().to_string(), message)
            .with_hint("take it out, or give it a later `expires`");
        problem.is_warning = true;
        problem
    });
    let over: Vec<Problem> = over.collect();
    set.warnings.extend(over);
    set
}

fn tell(directory: &Path, set: &RuleSet) {
    if !set.warnings.is_empty() {
        complain(&render(&set.warnings));
        complain("");
    }
    for rule in &set.rules {
        if let Some(active) = &rule.active {
            let next = active.next(wall::now(), NEXT);
            let next = if next.is_empty() { "never within the next two weeks".to_owned() } else { next.join(", ") };
            say(&format!("{}: opens alerts {next}", rule.name));
        }
    }
    let warnings = match set.warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        n => format!(", {n} warnings"),
    };
    let rules = plural(set.rules.len(), "rule");
    say(&format!("{}: fine, {rules}, version {}{warnings}", directory.display(), set.version));
}

pub(super) fn as_json(set: Option<&RuleSet>, problems: &[Problem]) -> String {
    let problems: Vec<_> = problems
        .iter()
        .map(|p| {
            json!({"level": level(p), "file": p.file, "line": p.line, "column": p.column, "message": p.message, "hint": p.hint,
                "reference": reference_of(p)})
        })
        .collect();
    let (version, rules) = (set.map(|set| &set.version), set.map(|set| set.rules.len()));
    json!({"valid": set.is_some(), "version": version, "rules": rules, "problems": problems}).to_string()
}

/// The problems, and at the end the pages that say what is allowed there.
pub(super) fn with_references(problems: &[Problem]) -> String {
    let pages: BTreeSet<&str> = problems.iter().map(reference_of).collect();
    let pages: Vec<&str> = pages.into_iter().collect();
    format!("{}\n\nreference: {}", render(problems).trim_end(), pages.join(", "))
}

/// Where the reference speaks of what the line is about, by the field that the line begins with.
fn reference_of(problem: &Problem) -> &'static str {
    if problem.file.ends_with(".test.yml") {
        return "docs/reference/rule-tests.md";
    }
    let line = problem.line_text.trim_start_matches([' ', '-', '{']);
    let field: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    match field.as_str() {
        "condition" | "severity_when" | "group_by" | "missing" => "docs/reference/conditions.md",
        "exceptions" | "fields" | "operators" | "values" | "of" | "reason" | "expires" => {
            "docs/reference/rules.md#exceptions"
        }
        "active" | "zone" | "days" | "hours" => "docs/reference/rules.md#hours",
        "defaults" | "lists" | "macros" | "overrides" | "rule" => "docs/reference/rules.md#more-than-one-file",
        "kind" | "params" => "docs/reference/rules.md#kinds",
        _ => "docs/reference/rules.md",
    }
}

/// A problem as GitHub's workflow commands have it.
fn annotation(problem: &Problem) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let place = match problem.line {
        0 => String::new(),
        line => format!(",line={line},col={}", problem.column),
    };
    let hint = problem.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!(
        "::{} file={}{place}::{}",
        level(problem),
        property(&problem.file),
        data(&format!("{}{hint}", problem.message))
    )
}

/// How many, with the noun.
fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn level(problem: &Problem) -> &'static str {
    if problem.is_warning { "warning" } else { "error" }
}
