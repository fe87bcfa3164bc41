//! `keywatch run` and `keywatch migrate`.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::app::{self, Outside};
use crate::cli::check::load_config;
use crate::cli::{ConfigArg, Failure, runtime, say};
use crate::config::LogConfig;
use crate::store::Store;
use crate::wall;

/// Runs the service.
pub fn run(arg: &ConfigArg) -> Result<(), Failure> {
    let config = load_config(&arg.config)?;
    start_log(&config.log)?;
    runtime()?.block_on(app::run(config, Outside::new()?)).map_err(|error| {
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

/// Logs go to standard error.
fn start_log(config: &LogConfig) -> Result<(), Failure> {
    let colours = std::io::stderr().is_terminal() && wall::env("NO_COLOR").is_none_or(|no| no.is_empty());
    log_to(config, std::io::stderr, colours)
}

/// Logs go to a file, where the terminal shows something else.
pub fn start_log_file(config: &LogConfig, path: &Path) -> Result<(), Failure> {
    let file = std::fs::File::create(path).with_context(|| format!("write `{}`", path.display()))?;
    log_to(config, std::sync::Mutex::new(file), false)
}

/// Other crates speak only when something is wrong: they may not know what a secret is.
fn log_to<W>(config: &LogConfig, writer: W, colours: bool) -> Result<(), Failure>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = match config.level.as_str() {
        level @ ("error" | "warn" | "info" | "debug" | "trace") => format!("warn,keywatch={level}"),
        filter => filter.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| Failure::Usage(format!("log.level `{}` is no level and no filter: {error}", config.level)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(writer);
    let started = if config.json { log.json().try_init() } else { log.try_init() };
    started.map_err(|error| Failure::Unanswered(anyhow::anyhow!("start the log: {error}")))
}
