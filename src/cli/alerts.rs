//! `keywatch alerts list` and `show`, straight from the store.

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use crate::alert::{Alert, State};
use crate::cli::check::load_config;
use crate::cli::{ConfigArg, Failure, runtime, say};
use crate::store::{AlertFilter, Store};
use crate::time::rfc3339;

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List alerts, the newest last
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// Only those that go on
        #[arg(long)]
        firing: bool,
        /// Only one merchant's
        #[arg(long, value_name = "ID")]
        merchant: Option<String>,
        /// Only one key's
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// At most so many; 0 = all
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// How to print
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Show one alert
    Show {
        /// The alert's reference, or enough of its beginning
        id: String,
        #[command(flatten)]
        config: ConfigArg,
        /// How to print
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `keywatch alerts …`
pub fn alerts(command: &AlertsCommand) -> Result<(), Failure> {
    match command {
        AlertsCommand::List { config, firing, merchant, key, limit, output } => {
            let filter = AlertFilter {
                state: firing.then_some(State::Firing),
                merchant_id: merchant.clone(),
                key_id: key.clone(),
                limit: (*limit > 0).then_some(i64::from(*limit)),
            };
            let alerts = ask(config, async |store| Ok(store.alerts(&filter).await?))?;
            match output {
                Output::Json => alerts.iter().for_each(|alert| say(&json(alert))),
                Output::Text if alerts.is_empty() => say("no alerts"),
                Output::Text => alerts.iter().for_each(|alert| say(&line(alert))),
            }
            Ok(())
        }
        AlertsCommand::Show { id, config, output } => {
            let found = ask(config, async |store| Ok(store.alerts_with_prefix(id).await?))?;
            match (found.as_slice(), output) {
                ([], _) => Err(Failure::No(format!(
                    "error: no alert `{id}`\n\nhint: `keywatch alerts list` shows the references"
                ))),
                ([alert], Output::Json) => {
                    say(&json(alert));
                    Ok(())
                }
                ([alert], Output::Text) => {
                    say(&line(alert));
                    say(&serde_json::to_string_pretty(alert).unwrap_or_default());
                    Ok(())
                }
                (several, _) => {
                    let names: Vec<&str> = several.iter().map(|alert| alert.alert_id.as_str()).collect();
                    Err(Failure::No(format!("error: `{id}` could be {}", names.join(", "))))
                }
            }
        }
    }
}

fn ask<T>(config: &ConfigArg, question: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> Result<T, Failure> {
    let config = load_config(&config.config)?;
    let answer = runtime()?.block_on(async {
        let store = Store::open(&config.store).await.context("open the store (store.url)")?;
        store.require_migrated().await?;
        let answer = question(&store).await?;
        store.close().await;
        anyhow::Ok(answer)
    })?;
    Ok(answer)
}

fn json(alert: &Alert) -> String {
    serde_json::to_string(alert).unwrap_or_default()
}

/// One alert in one line, the reference first and whole.
pub fn line(alert: &Alert) -> String {
    let whom = alert.merchant_id.as_deref().unwrap_or("-");
    let key = alert.key_hint.as_deref().or(alert.key_id.as_deref()).unwrap_or("-");
    format!(
        "{}  {:8}  {:8}  {}  {}  {}  {}",
        alert.alert_id,
        alert.state.as_str(),
        alert.severity.as_str(),
        rfc3339(alert.starts_at),
        whom,
        key,
        alert.summary
    )
}
