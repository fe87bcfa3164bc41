//! `keywatch alerts list` and `show`, straight from the store.

use std::path::Path;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use crate::alert::{Alert, State};
use crate::cli::check::load_config;
use crate::cli::{ConfigArg, Failure, runtime, say, text};
use crate::store::{AlertFilter, Store};

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List alerts, the newest last
    List {
        #[command(flatten)]
        #[doc = "Where the configuration is"]
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
        /// Also what rules in status `test` found
        #[arg(long)]
        all: bool,
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
        #[doc = "Where the configuration is"]
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
        AlertsCommand::List { config, firing, merchant, key, all, limit, output } => {
            let filter = AlertFilter {
                state: firing.then_some(State::Firing),
                merchant_id: merchant.clone(),
                key_id: key.clone(),
                // One more than is shown tells that there are more.
                limit: (*limit > 0).then_some(i64::from(*limit) + 1),
                with_shadow: *all,
            };
            let mut alerts = ask(config, async |store| Ok(store.alerts(&filter).await?))?;
            let hidden = alerts.len().saturating_sub(if *limit == 0 { usize::MAX } else { *limit as usize });
            alerts.drain(..hidden);
            match output {
                Output::Json => alerts.iter().for_each(|alert| say(&json(alert))),
                Output::Text if alerts.is_empty() => say("no alerts"),
                Output::Text => text::in_order(&alerts).for_each(|alert| say(&text::alert(alert, text::width()))),
            }
            if *output == Output::Text && hidden > 0 {
                say(&format!("the newest {limit} shown, and there are more: `--limit N` shows N, `--limit 0` all"));
            }
            Ok(())
        }
        AlertsCommand::Show { id, config, output } => {
            let (found, told) = ask(config, async |store| {
                let found = store.alerts_with_prefix(id).await?;
                let told = match found.as_slice() {
                    [alert] => store.told_of(&alert.alert_id).await?,
                    _ => Vec::new(),
                };
                Ok((found, told))
            })?;
            match (found.as_slice(), output) {
                ([], _) => Err(Failure::No(format!(
                    "error: no alert `{id}`\n\nhint: `keywatch alerts list` shows the references"
                ))),
                ([alert], Output::Json) => {
                    say(&json(alert));
                    Ok(())
                }
                ([alert], Output::Text) => {
                    say(&text::alert_whole(alert, text::width()));
                    say(&text::told(alert, &told, text::width()));
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

/// Asks the store that the configuration names. It is never made for a question.
pub(super) fn ask<T>(
    config: &ConfigArg,
    question: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let config = load_config(&config.config)?;
    if let Some(path) = sqlite_file(config.store.url.reveal())
        && !path.exists()
    {
        return Err(Failure::Unanswered(anyhow::anyhow!(
            "there is no store at `{}` yet\n\nhint: `keywatch run` makes it, or `keywatch migrate`",
            path.display()
        )));
    }
    let answer = runtime()?.block_on(async {
        let store = Store::open(&config.store).await.context("open the store (store.url)")?;
        store.require_migrated().await?;
        let answer = question(&store).await?;
        store.close().await;
        anyhow::Ok(answer)
    })?;
    Ok(answer)
}

/// The file of a store that is one: opening it would make it, and a command that only reads makes nothing.
pub(super) fn sqlite_file(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:").filter(|path| !path.contains(":memory:"))?;
    Some(Path::new(path.split('?').next().unwrap_or(path)))
}

fn json(alert: &Alert) -> String {
    serde_json::to_string(alert).unwrap_or_default()
}
