//! `keywatch lab`.

use std::io::{IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::brand::Brand;
use crate::cli::alerts::Output;
use crate::cli::replay::wrong_set;
use crate::cli::simulate::Family;
use crate::cli::{Failure, runtime, say, term};
use crate::engine::detect::SPECS;
use crate::lab::budget::Verdict;
use crate::lab::report::Report;
use crate::lab::{Plan, Progress, Rules, budget, nab, run, table, unused_for};
use crate::rules::RuleSet;
use crate::rules::compile::load;
use crate::rules::set::Override;
use crate::simulate::{Shape, Traffic};
use crate::time::{DAY, Millis};
use crate::yaml::render;

/// Files of `--details`.
const FILES: [&str; 4] = ["misses.jsonl", "false-alerts.jsonl", "true-alerts.jsonl", "found.jsonl"];

/// Arguments of `keywatch lab`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<LabCommand>,
    #[command(flatten)]
    #[doc = "What the comparison takes"]
    compare: CompareArgs,
}

/// Other measurements.
#[derive(Debug, clap::Subcommand)]
pub enum LabCommand {
    /// Traffic that never changes: whether rules keep to the false alerts that their budgets promise
    Budget(BudgetArgs),
    /// The count series of the Numenta Anomaly Benchmark, beside what published detectors reach there
    Nab(NabArgs),
}

/// Arguments of `keywatch lab budget`.
#[derive(Debug, clap::Args)]
pub struct BudgetArgs {
    /// Simulations of each shape: a number, or from A to B
    #[arg(long, value_name = "A..B", default_value = "1", value_parser = seeds)]
    pub seeds: RangeInclusive<u64>,
    /// Keys of each
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: u32,
    /// Days of each; the first fourteen are not counted
    #[arg(long, value_name = "N", default_value_t = 63, value_parser = clap::value_parser!(u32).range(15..=120))]
    pub days: u32,
    /// A shape of keys; may be given several times. Default: every shape of usual traffic
    #[arg(long, value_name = "SHAPE", value_parser = clap::builder::PossibleValuesParser::new(Shape::ALL.map(|(_, word)| word)))]
    pub shape: Vec<String>,
    /// Folder of rules
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Change a rule's parameter, e.g. `spike.budget=1`
    #[arg(long = "set", value_name = "RULE.PARAM=VALUE")]
    pub set: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Arguments of `keywatch lab nab`.
#[derive(Debug, clap::Args)]
pub struct NabArgs {
    /// A checkout of github.com/numenta/NAB: `data` and `labels` in it are read
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of rules
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Change a rule's parameter, e.g. `spike.budget=3`: the sensitivity
    #[arg(long = "set", value_name = "RULE.PARAM=VALUE")]
    pub set: Vec<String>,
    /// How to print; as JSON with every alert
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Arguments of `keywatch lab` itself.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Simulations, one for each seed: a number, or from A to B
    #[arg(long, value_name = "A..B", default_value = "1..5", value_parser = seeds)]
    pub seeds: RangeInclusive<u64>,
    /// Keys of each
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: u32,
    /// Days of each; the second half has the incidents
    #[arg(long, value_name = "N", default_value_t = 35, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub days: u32,
    /// Who calls, and what goes on beside incidents
    #[arg(long, value_enum, default_value = "usual")]
    pub traffic: Family,
    /// Folder of the rules in question
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub rules: PathBuf,
    /// Folder of other rules, for comparison
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Change a parameter of the rules in question, e.g. `spike.budget=1`
    #[arg(long = "set", value_name = "RULE.PARAM=VALUE")]
    pub set: Vec<String>,
    /// Leave out the usual rules of other tools
    #[arg(long)]
    pub no_rivals: bool,
    /// Look no addresses up
    #[arg(long)]
    pub no_geoip: bool,
    /// Write every miss, every false, true and right alert into files of this folder, one JSON object a line
    #[arg(long, value_name = "DIR")]
    pub details: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number =
        |text: &str| text.trim_start_matches('=').parse::<u64>().map_err(|_| "write it as 3 or 1..5".to_owned());
    let (from, to) = match text.split_once("..") {
        None => (number(text)?, number(text)?),
        Some((from, to)) => (number(from)?, number(to)?),
    };
    match to.checked_sub(from) {
        Some(0..1_000) => Ok(from..=to),
        _ => Err("from the smaller to the larger, at most 1,000 seeds".into()),
    }
}

/// `keywatch lab …`
pub fn lab(args: &Args) -> Result<(), Failure> {
    match &args.command {
        None => compare(&args.compare),
        Some(LabCommand::Budget(args)) => promises_kept(args),
        Some(LabCommand::Nab(args)) => benchmark(args),
    }
}

/// Counts false alerts where there is nothing to find.
fn promises_kept(args: &BudgetArgs) -> Result<(), Failure> {
    let rules = read_rules(&args.rules, None, &args.set)?;
    let set: Vec<Override> = args.set.iter().filter_map(|text| Override::parse(text).ok()).collect();
    let promises = budget::promises(&rules, &set);
    let usual = Shape::SHARES.iter().map(|(shape, _)| *shape).chain([Shape::Builds]);
    let named = Shape::ALL.into_iter().filter(|(_, word)| args.shape.iter().any(|name| name == word));
    let shapes: Vec<Shape> =
        if args.shape.is_empty() { usual.collect() } else { named.map(|(shape, _)| shape).collect() };
    let plan = Plan {
        seeds: args.seeds.clone(),
        keys: args.keys,
        days: args.days,
        traffic: Traffic::Usual,
        with_incidents: false,
        rules: vec![Rules { name: shown(&args.rules), rules }],
        with_rivals: false,
        with_geoip: true,
        unused_for: 90 * DAY,
    };
    let lives = std::io::stderr().is_terminal() && !term::is_dumb();
    let tell = |shape: Shape, progress: Progress| {
        live_line(lives, &format!("{}, seed {}: {}", shape.as_str(), progress.seed, progress.doing));
    };
    let report = runtime()?.block_on(budget::budget(&plan, &shapes, &promises, tell));
    live_line(lives, "");
    let report = report?;
    match args.output {
        Output::Text => say(&budget::table(&report)),
        Output::Json => say(&serde_json::to_string(&report).context("write the report")?),
    }
    let is_broken = report.rules.iter().chain(&report.shapes).any(|line| line.verdict == Verdict::NotKept);
    if is_broken { Err(Failure::Told) } else { Ok(()) }
}

/// Scores rules on public series.
fn benchmark(args: &NabArgs) -> Result<(), Failure> {
    if !["data", "labels"].iter().all(|folder| args.data.join(folder).is_dir()) {
        let here = args.data.display();
        return Err(Failure::Unanswered(anyhow::anyhow!(
            "`{here}` is no checkout of NAB: it has no folders `data` and `labels`\n\n\
             hint: `git clone https://github.com/numenta/NAB`, and name that folder"
        )));
    }
    let rules = read_rules(&args.rules, None, &args.set)?;
    let lives = std::io::stderr().is_terminal() && !term::is_dumb();
    let report = runtime()?.block_on(nab::run(&args.data, &rules, |series| live_line(lives, series)));
    live_line(lives, "");
    let report = report?;
    match args.output {
        Output::Text => say(&nab::table(&report)),
        Output::Json => say(&serde_json::to_string(&report).context("write the report")?),
    }
    Ok(())
}

/// Scores rules on simulated traffic.
fn compare(args: &CompareArgs) -> Result<(), Failure> {
    let silent = unused_for(args.days);
    let mut rules = vec![Rules { name: shown(&args.rules), rules: read_rules(&args.rules, Some(silent), &args.set)? }];
    if let Some(against) = &args.against {
        rules.push(Rules { name: shown(against), rules: read_rules(against, Some(silent), &[])? });
    }
    let plan = Plan {
        seeds: args.seeds.clone(),
        keys: args.keys,
        days: args.days,
        traffic: if args.traffic == Family::Hard { Traffic::Hard } else { Traffic::Usual },
        with_incidents: true,
        rules,
        with_rivals: !args.no_rivals,
        with_geoip: !args.no_geoip,
        unused_for: silent,
    };
    let lives = std::io::stderr().is_terminal() && !term::is_dumb();
    let tell = |progress: Progress| live_line(lives, &format!("seed {}: {}", progress.seed, progress.doing));
    let report = runtime()?.block_on(run(&plan, tell));
    live_line(lives, "");
    let report = report?;
    if let Some(directory) = &args.details {
        write_details(directory, &report)?;
    }
    match args.output {
        Output::Text => say(&table::table(&report)),
        Output::Json => say(&serde_json::to_string(&report).context("write the report")?),
    }
    Ok(())
}

fn shown(directory: &Path) -> String {
    directory.file_name().map_or_else(|| directory.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Reads a folder. What is planted as unused is silent for less than the shipped 90 days: the rules about it are told so.
fn read_rules(directory: &Path, silent: Option<Millis>, set: &[String]) -> Result<Arc<RuleSet>, Failure> {
    let no = |problems: Vec<crate::yaml::Problem>| Failure::No(render(&problems));
    let there = load(directory, SPECS, &[]).map_err(no)?;
    let mut overrides = Vec::new();
    let unused = ["stale-key", "dormant-awake"].into_iter().filter(|name| there.rule(name).is_some());
    for (name, silent) in unused.zip(silent.into_iter().cycle()) {
        let days = format!("{}d", silent / DAY);
        overrides.push(Override { rule: name.into(), param: "unused_for".into(), value: days });
    }
    for text in set {
        overrides.push(Override::parse(text).map_err(|problem| wrong_set(&[problem]))?);
    }
    let rules = load(directory, SPECS, &overrides).map_err(|problems| wrong_set(&problems))?;
    Ok(Arc::new(rules.in_words_of(&Brand::default())))
}

/// One line on a terminal that is written over; nothing in a pipe.
fn live_line(lives: bool, text: &str) {
    if lives {
        let _ = write!(std::io::stderr(), "\r{text}\x1b[K");
    }
}

fn write_details(directory: &Path, report: &Report) -> anyhow::Result<()> {
    for run in &report.runs {
        // The rules in question in the folder itself, others below it.
        let is_first = std::ptr::eq(run, &report.runs[0]);
        let directory = if is_first { directory.to_owned() } else { directory.join(run.name.replace(['/', ' '], "-")) };
        std::fs::create_dir_all(&directory).with_context(|| format!("make `{}`", directory.display()))?;
        for name in FILES {
            let lines = run.details.iter().filter(|(file, _)| *file == name).map(|(_, line)| line.clone() + "\n");
            let path = directory.join(name);
            std::fs::write(&path, lines.collect::<String>()).with_context(|| format!("write `{}`", path.display()))?;
        }
    }
    Ok(())
}
