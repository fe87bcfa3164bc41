//! `keywatch config check`: every problem at once; and the schema.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::alert::plural;
use crate::app::rulebook::read_rules;
use crate::cli::{ConfigArg, Failure, complain, say};
use crate::config::load::load;
use crate::config::{Config, schema};
use crate::geoip::GeoIp;
use crate::wall;
use crate::yaml::render;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem of the configuration, and of the rules and databases that it names
    Check {
        /// The configuration file, as `--config` names it
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// Where it is
        #[command(flatten)]
        arg: ConfigArg,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Reads the configuration; all its problems are the failure.
pub fn load_config(path: &Path) -> Result<Config, Failure> {
    load(path, &|name| wall::env(name)).map_err(|problems| Failure::No(render(&problems)))
}

/// `keywatch config …`
pub fn config(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check { file, arg } = command else {
        say(&schema::text());
        return Ok(());
    };
    let path = file.as_ref().unwrap_or(&arg.config);
    let config = load_config(path)?;
    let named_in = |field: &str, what: String| {
        Failure::No(format!("{}\n\nhint: `{field}` in {} names it", what.trim_end(), path.display()))
    };
    let rules =
        read_rules(&config.rules.directory, &config.brand).map_err(|what| match config.rules.directory.is_dir() {
            true => Failure::No(what),
            false => named_in("rules.directory", what),
        })?;
    GeoIp::open(&config.geoip.databases).map_err(|what| named_in("geoip.databases", format!("error: {what}")))?;
    if config.geoip.databases.is_empty() {
        for rule in rules.rules.iter().filter(|rule| rule.asks_for_place()) {
            complain(&format!(
                "warning: rule `{}` asks where an address is, and no database says so: this is never true\n\nhint: name \
                 databases in `geoip.databases`, or leave the rule out",
                rule.name
            ));
        }
    }
    say(&format!(
        "{}: fine, with {} from {}",
        path.display(),
        plural(rules.rules.len(), "rule"),
        config.rules.directory.display()
    ));
    Ok(())
}
