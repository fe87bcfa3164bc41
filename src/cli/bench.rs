//! `keywatch bench`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use crate::app::decoder;
use crate::bench::report::Report;
use crate::bench::{self, checkpoint, engine, kafka, memory, restart};
use crate::brand::Brand;
use crate::cli::alerts::Output;
use crate::cli::{Failure, runtime, say};
use crate::config::Secret;
use crate::engine::detect::SPECS;
use crate::rules::RuleSet;
use crate::rules::compile::load;
use crate::time::SECOND;
use crate::yaml::render;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// From bytes in memory to findings, on one thread
    Engine {
        /// Keys that call equally often
        #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        keys: u32,
        /// Keys that call by Zipf's law
        #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        zipf_keys: u32,
        /// Events measured in each of the two runs
        #[arg(long, value_name = "N", default_value = "2000000", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
        events: u32,
        /// Events in one second of event time
        #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
        per_second: u32,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
    /// What the conditions of rules cost
    Rules {
        /// Events that each condition is asked about
        #[arg(long, value_name = "N", default_value = "200000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        events: u32,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
    /// From Kafka to findings and checkpoints, beside a consumer that only counts
    Kafka {
        /// A broker's plain port; a topic is made there, and left to its retention
        #[arg(long, value_name = "HOST:PORT")]
        brokers: String,
        /// Keys that call equally often
        #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        keys: u32,
        /// Seconds between two checkpoints of a partition; by default as the service has it
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
        checkpoint_every: u32,
        /// Events measured
        #[arg(long, value_name = "N", default_value = "8000000", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
        events: u32,
        #[command(flatten)]
        #[doc = "Which store"]
        store: StoreArg,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
    /// A checkpoint of changed keys among many stored ones
    Checkpoint {
        /// Stored keys
        #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        keys: u32,
        /// Keys that changed
        #[arg(long, value_name = "N", default_value = "100000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        dirty: u32,
        #[command(flatten)]
        #[doc = "Which store"]
        store: StoreArg,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
    /// From the start of the process to the first judged event, with many stored keys
    Restart {
        /// Stored keys
        #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        keys: u32,
        #[command(flatten)]
        #[doc = "Which store"]
        store: StoreArg,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
    /// Resident memory of learned keys
    Memory {
        /// Learned keys
        #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
        keys: u32,
        #[command(flatten)]
        #[doc = "What every measurement takes"]
        common: Common,
    },
}

/// Which store.
#[derive(Debug, clap::Args)]
pub struct StoreArg {
    /// An empty store to fill, `sqlite:PATH` or `postgres://…`; SQLite in a temporary folder where absent
    #[arg(long = "store", value_name = "URL")]
    url: Option<String>,
}

impl StoreArg {
    fn url(&self) -> Option<Secret> {
        self.url.clone().map(Secret::new)
    }
}

/// What every measurement takes.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Folder of rules
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// `keywatch bench …`
pub fn bench(command: &BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Engine { keys, zipf_keys, events, per_second, common } => {
            let size = engine::Size {
                keys: *keys as usize,
                zipf_keys: *zipf_keys as usize,
                events: *events as usize,
                per_second: f64::from(*per_second),
            };
            print(&engine::run(&size, &rules(&common.rules)?, &decoder(None, &Brand::default())), common)
        }
        BenchCommand::Kafka { brokers, keys, checkpoint_every, events, store, common } => {
            let checkpoint_every = i64::from(*checkpoint_every) * SECOND;
            let size = kafka::Size { keys: *keys as usize, checkpoint_every, events: *events as usize };
            let (rules, decoder) = (Arc::new(rules(&common.rules)?), Arc::new(decoder(None, &Brand::default())));
            print(&runtime()?.block_on(kafka::run(&size, brokers, store.url(), &rules, &decoder))?, common)
        }
        BenchCommand::Checkpoint { keys, dirty, store, common } => {
            let size = checkpoint::Size { keys: *keys as usize, dirty: (*dirty).min(*keys) as usize };
            let rules = rules(&common.rules)?;
            print(
                &runtime()?.block_on(checkpoint::run(&size, store.url(), &rules, &decoder(None, &Brand::default())))?,
                common,
            )
        }
        BenchCommand::Restart { keys, store, common } => {
            let (rules, decoder) = (Arc::new(rules(&common.rules)?), Arc::new(decoder(None, &Brand::default())));
            print(&runtime()?.block_on(restart::run(*keys as usize, store.url(), &rules, &decoder))?, common)
        }
        BenchCommand::Rules { events, common } => {
            let rules = rules(&common.rules)?;
            print(&bench::rules::run(*events as usize, &rules, &decoder(None, &Brand::default())), common)
        }
        BenchCommand::Memory { keys, common } => print(&memory::run(*keys as usize, &rules(&common.rules)?), common),
    }
}

fn rules(folder: &Path) -> Result<RuleSet, Failure> {
    load(folder, SPECS, &[]).map_err(|problems| Failure::No(render(&problems)))
}

fn print(report: &Report, common: &Common) -> Result<(), Failure> {
    match common.output {
        Output::Text => say(&report.table()),
        Output::Json => say(&serde_json::to_string(report).map_err(anyhow::Error::from)?),
    }
    Ok(())
}
