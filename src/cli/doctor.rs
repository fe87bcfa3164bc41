//! `keywatch doctor`: every check as a line for people, or all of them for programs.

use serde_json::json;

use crate::cli::alerts::Output;
use crate::cli::check::load_config;
use crate::cli::term::{Ink, Style, width};
use crate::cli::{ConfigArg, Failure, runtime, say, text};
use crate::doctor::{Finding, Plan, Status, examine};
use crate::wall;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[doc = "Where the configuration is"]
    config: ConfigArg,
    /// Messages read of each partition, the newest; 20,000 in all at most
    #[arg(long, value_name = "N", default_value_t = 200)]
    sample: u32,
    /// How to print; json is one array
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// `keywatch doctor`
pub fn doctor(args: &Args) -> Result<(), Failure> {
    let path = &args.config.config;
    let config = load_config(path)?;
    let plan = Plan { config: &config, path, sample: args.sample, now: wall::now() };
    let (ink, width) = (Ink::stdout(), width());
    let mut findings = Vec::new();
    let runtime = runtime()?;
    runtime.block_on(examine(plan, &mut |finding| {
        if args.output == Output::Text {
            say(&line(&finding, width, ink));
        }
        findings.push(finding);
    }));
    // A check that took too long may have left a thread behind.
    runtime.shutdown_background();
    let verdict = verdict(&findings);
    match args.output {
        Output::Json => {
            let all: Vec<_> = findings.iter().map(record).collect();
            say(&serde_json::to_string_pretty(&all).unwrap_or_default());
        }
        Output::Text => say(&format!("\n{}", text::wrap(&verdict, width, ""))),
    }
    match findings.iter().any(|finding| finding.status == Status::Fail) {
        true => Err(Failure::Told),
        false => Ok(()),
    }
}

/// Columns of the status.
const STATUS: usize = 9;

/// A finding as people read it: the status first, and below it what to do.
pub fn line(finding: &Finding, width: usize, ink: Ink) -> String {
    let indent = " ".repeat(STATUS);
    let word = finding.status.as_str();
    let style = match finding.status {
        Status::Ok => Style::Green,
        Status::Warn => Style::Yellow,
        Status::Fail => Style::Red,
        Status::Skipped => Style::Dim,
    };
    let told = text::wrap(&plain(&format!("{}: {}", finding.looked_at, finding.found)), width, &indent);
    let rest = told.get(STATUS..).unwrap_or_default();
    let mut line = format!("{}{}{rest}", ink.paint(style, word), " ".repeat(STATUS - word.len()));
    if let Some(hint) = &finding.hint {
        line.push('\n');
        line.push_str(&text::wrap(&plain(&format!("hint: {hint}")), width, &indent));
    }
    line
}

/// What servers say may hold anything; a terminal gets text.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn record(finding: &Finding) -> serde_json::Value {
    json!({
        "check": finding.check.name(),
        "status": finding.status.as_str(),
        "looked_at": finding.looked_at,
        "found": finding.found,
        "hint": finding.hint,
    })
}

/// The last line.
pub fn verdict(findings: &[Finding]) -> String {
    let n = |status| findings.iter().filter(|finding| finding.status == status).count();
    let (n_ok, n_warn, n_fail, n_skipped) = (n(Status::Ok), n(Status::Warn), n(Status::Fail), n(Status::Skipped));
    let word = match (n_fail, n_warn) {
        (0, 0) => "well",
        (0, _) => "can run",
        _ => "not well",
    };
    format!("{word}: {n_ok} ok, {n_warn} warn, {n_fail} fail, {n_skipped} skipped")
}
