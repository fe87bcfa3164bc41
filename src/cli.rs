//! The command line: parses, calls, prints. Exit codes: 0 fine, 1 the answer is no, 2 wrong use, 3 could not answer.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod alerts;
pub mod bench;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod lab;
pub mod replay;
pub mod rules;
pub mod run;
pub mod simulate;
pub mod term;
pub mod text;

/// keywatch watches how merchants' API keys are used, and tells the right person when one is misused or about to break.
#[derive(Debug, Parser)]
#[command(name = "keywatch", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Run(ConfigArg),
    /// See it work: simulated traffic through an embedded broker, nothing to install
    Demo(demo::Args),
    /// Judge a file of events, in its own time
    Replay(replay::Args),
    /// Write labelled traffic into files
    Simulate(simulate::Args),
    /// Score rules on labelled traffic: what they find, how soon, and what they find that is not there
    Lab(lab::Args),
    /// Take facts about keys and merchants from a file, where the gateway cannot publish them
    Import(import::Args),
    /// Bring the store's tables to this version's form
    Migrate(ConfigArg),
    /// See whether all that the service needs is there, and what to do where it is not
    Doctor(doctor::Args),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: check::ConfigCommand,
    },
    /// Look at rule files
    Rules {
        #[command(subcommand)]
        command: rules::RulesCommand,
    },
    /// Look at alerts
    Alerts {
        #[command(subcommand)]
        command: alerts::AlertsCommand,
    },
    /// Measure how fast and how small the program is on this machine
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub struct ConfigArg {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "keywatch.yml")]
    pub config: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub enum Failure {
    /// The answer is no: a file is not valid, a check failed. The text has all problems.
    No(String),
    /// The same, and what was printed has said why.
    Told,
    /// Wrong use.
    Usage(String),
    /// The question could not be answered.
    Unanswered(anyhow::Error),
    /// The same, and the log has said why.
    Logged,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Unanswered(error)
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(arg) => run::run(&arg),
        Command::Demo(args) => demo::demo(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Lab(args) => lab::lab(&args),
        Command::Import(args) => import::import(&args),
        Command::Migrate(arg) => run::migrate(&arg),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Config { command } => check::config(&command),
        Command::Rules { command } => rules::rules(&command),
        Command::Alerts { command } => alerts::alerts(&command),
        Command::Bench { command } => bench::bench(&command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (code, text) = match failure {
                Failure::No(text) => (1, text),
                Failure::Usage(text) => (2, format!("error: {text}")),
                Failure::Unanswered(error) => (3, format!("error: {error:#}")),
                Failure::Told => return ExitCode::from(1),
                Failure::Logged => return ExitCode::from(3),
            };
            complain(&text);
            ExitCode::from(code)
        }
    }
}

/// Prints to standard output. A reader that has gone away (`| head`) is no error.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Prints to standard error.
pub fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end_matches('\n'));
}

/// A runtime for commands that need one.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unanswered(anyhow::Error::from(error).context("start the runtime")))
}
