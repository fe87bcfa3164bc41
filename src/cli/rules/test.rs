//! `keywatch rules test`: runs the tests that stand beside the rules, names each, and says what none covers.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use crate::alert::plural;
use crate::cli::rules::{as_json, with_references};
use crate::cli::term::{Ink, Style};
use crate::cli::{Failure, complain, say};
use crate::engine::detect::SPECS;
use crate::rules::RuleSet;
use crate::rules::compile::load;
use crate::rules::expr::Pattern;
use crate::rules::files::load_tests;
use crate::rules::scenario::Test;
use crate::rules::scenario::read::read;
use crate::rules::scenario::report::{self, Coverage, differences};
use crate::rules::scenario::run::{Outcome, run};
use crate::yaml::Problem;

/// Run the tests that stand beside the rules
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of rules and their tests (`*.test.yml`)
    #[arg(default_value = "rules")]
    directory: PathBuf,
    /// Only tests in whose file or name this is found, upper or lower case
    #[arg(long, value_name = "REGEX")]
    run: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    /// Also write the outcome in this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail where no test lets a rule fire, or keeps it silent, or uses one of its exceptions
    #[arg(long, conflicts_with = "run")]
    require_coverage: bool,
}

/// How to print outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// `keywatch rules test`
pub fn test(args: &Args) -> Result<(), Failure> {
    let (rules, tests) = match read_all(&args.directory) {
        Ok(read) => read,
        Err(problems) if args.output == Form::Json => {
            say(&as_json(None, &problems));
            return Err(Failure::Told);
        }
        Err(problems) => return Err(Failure::No(with_references(&problems))),
    };
    let n_all = tests.len();
    let wanted = args.run.as_ref().map(|pattern| Pattern::new(&format!("(?i){pattern}"))).transpose();
    let wanted = wanted.map_err(|(_, what)| Failure::Usage(format!("--run is no pattern: {what}")))?;
    let is_wanted = |text: &str| wanted.as_ref().is_none_or(|wanted| wanted.is_in(text));
    let tests: Vec<Test> = tests.into_iter().filter(|test| is_wanted(&test.name) || is_wanted(&test.file)).collect();
    if let (Some(text), true) = (&args.run, tests.is_empty()) {
        let hint = "hint: without `--run` all of them run, and are named";
        return Err(Failure::Usage(format!("no test's file or name matches `{text}`, of {n_all} tests\n\n{hint}")));
    }
    let mut coverage = Coverage::new(&rules);
    let mut done: Vec<(Test, Outcome)> = Vec::new();
    for test in tests {
        let outcome = run(&test, &rules, SPECS);
        coverage.add(&test, &outcome);
        if args.output == Form::Text {
            tell(&test, &outcome);
        }
        done.push((test, outcome));
    }
    if let Some(path) = &args.junit {
        write(path, &report::as_junit(&done))?;
    }
    let coverage = args.run.is_none().then_some(coverage);
    let gaps = coverage.as_ref().map(Coverage::gaps).unwrap_or_default();
    let n_failed = report::n_failed(&done);
    match args.output {
        Form::Json => say(&report::as_json(&done, coverage.as_ref())),
        Form::Text => {
            sum_up(&done, n_all, n_failed);
            if let Some(coverage) = &coverage {
                say(&coverage.summary());
                gaps.iter().for_each(|gap| say(&format!("  {gap}")));
            }
        }
    }
    let is_covered = gaps.is_empty() || !args.require_coverage;
    if !is_covered && n_failed == 0 && args.output == Form::Text {
        complain(&format!("error: the tests leave {}, and --require-coverage is given", plural(gaps.len(), "gap")));
    }
    if n_failed == 0 && is_covered { Ok(()) } else { Err(Failure::Told) }
}

/// The rules and their tests, or every problem of both.
fn read_all(directory: &Path) -> Result<(RuleSet, Vec<Test>), Vec<Problem>> {
    let rules = load(directory, SPECS, &[])?;
    let files = load_tests(directory)?;
    if files.is_empty() {
        let problem = Problem::whole(directory.display().to_string(), "there are no tests (`*.test.yml`) here");
        return Err(vec![problem.with_hint("docs/reference/rule-tests.md shows how one is written")]);
    }
    let (mut tests, mut problems) = (Vec::new(), Vec::new());
    for mut file in files {
        file.name = directory.join(&file.name).display().to_string();
        match read(&file, &rules, SPECS) {
            Ok(read) => tests.extend(read),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok((rules, tests)) } else { Err(problems) }
}

fn tell(test: &Test, outcome: &Outcome) {
    let ink = Ink::stdout();
    let is_fine = outcome.failures.is_empty();
    let word = if is_fine { ink.paint(Style::Green, "ok    ") } else { ink.paint(Style::Red, "FAILED") };
    say(&format!("{word}  {}: {}", test.file, test.name));
    differences(test, outcome).iter().for_each(|line| say(&format!("        {line}")));
}

fn sum_up(done: &[(Test, Outcome)], n_all: usize, n_failed: usize) {
    let n_events: u64 = done.iter().map(|(_, outcome)| outcome.n_events).sum();
    let left_out = match n_all - done.len() {
        0 => String::new(),
        n => format!(", {n} not run"),
    };
    say("");
    say(&format!(
        "{} passed, {n_failed} failed{left_out}; {n_events} events judged",
        plural(done.len() - n_failed, "test")
    ));
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()));
    written.map_err(Failure::Unanswered)
}
