//! `keywatch run` and `keywatch migrate`.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::cli::check::load_config;
use crate::cli::{ConfigArg, Failure, runtime, say};
use crate::config::LogConfig;
use crate::store::Store;
use crate::wall;

/// Runs the service.
pub fn run(arg: &ConfigArg) -> Result<(), Failure> {
    let config = load_config(&arg.config)?;
    start_log(&config.log)?;
    runtime()?.block_on(app::run(config)).map_err(|error| {
        tracing::error!("{error:#}");
        Failure::Logged
    })
}

/// Migrates the store.
pub fn migrate(arg: &ConfigArg) -> Result<(), Failure> {
    let config = load_config(&arg.config)?;
    let done = runtime()?.block_on(async {
        let store = Store::open(&config.store).await.context("open the store (store.url)")?;
        let done = store.migrate().await?;
        store.close().await;
        anyhow::Ok(done)
    })?;
    match done.as_slice() {
        [] => say("nothing to do: the store is up to date"),
        done => say(&format!("done: {}", done.join(", "))),
    }
    Ok(())
}

/// Logs go to standard error. Other crates speak only when something is wrong: they may not know what a secret is.
fn start_log(config: &LogConfig) -> Result<(), Failure> {
    let filter = match config.level.as_str() {
        level @ ("error" | "warn" | "info" | "debug" | "trace") => format!("warn,keywatch={level}"),
        filter => filter.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| Failure::Usage(format!("log.level `{}` is no level and no filter: {error}", config.level)))?;
    let colours = std::io::stderr().is_terminal() && wall::env("NO_COLOR").is_none_or(|no| no.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let started = if config.json { log.json().try_init() } else { log.try_init() };
    started.map_err(|error| Failure::Unanswered(anyhow::anyhow!("start the log: {error}")))
}
