//! `keywatch rules versions` and `restore`: the versions that the store keeps, and the way back to one of them.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::json;

use super::replace::replace;
use crate::cli::alerts::{Output, ask};
use crate::cli::rules::counted;
use crate::cli::{ConfigArg, Failure, say, text};
use crate::engine::detect::SPECS;
use crate::rules::compile::{compile, load_files, version_of};
use crate::rules::files::load_directory;
use crate::store::{RULE_VERSIONS_KEPT, Store, StoredRules};
use crate::time::rfc3339;
use crate::wall;
use crate::yaml::render;

/// List the rules versions that the store keeps, the newest last
#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    #[command(flatten)]
    #[doc = "Where the configuration is"]
    config: ConfigArg,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Write the files of a former version into a folder
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The version, or enough of its beginning
    version: String,
    /// The folder; new or empty, unless `--replace`
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Put them in the place of the folder's rule files and lists, which are kept beside it
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    #[doc = "Where the configuration is"]
    config: ConfigArg,
}

/// `keywatch rules versions`
pub(super) fn versions(args: &VersionsArgs) -> Result<(), Failure> {
    let question = async |store: &Store| Ok((store.rule_versions().await?, store.adoption_in_force().await?));
    let (kept, adoption) = ask(&args.config, question)?;
    for stored in &kept {
        let rules = compile(stored.files.clone(), SPECS).map(|set| set.rules.len());
        let in_force = adoption.as_ref().is_some_and(|adoption| adoption.version == stored.version);
        match args.output {
            Output::Json => say(&json!({
                "version": stored.version,
                "adopted_at": rfc3339(stored.adopted_at),
                "adopted_by": stored.adopted_by,
                "in_force": in_force,
                "files": stored.files.len(),
                "rules": rules.ok(),
            })
            .to_string()),
            Output::Text => {
                let rules = match rules {
                    Ok(n) => counted(n, "rule"),
                    Err(_) => "not valid for this version of the program".to_owned(),
                };
                let mark = if in_force { ", in force" } else { "" };
                let (at, by) = (text::minute(stored.adopted_at), &stored.adopted_by);
                say(&format!("{}  {at}  {rules}{mark}, adopted by {by}", stored.version));
            }
        }
    }
    if kept.is_empty() && args.output == Output::Text {
        say("no version was adopted yet");
    }
    Ok(())
}

/// `keywatch rules restore`
pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let kept = ask(&args.config, async |store| Ok(store.rule_versions().await?))?;
    let stored = named(&kept, &args.version)?;
    let folder = args.to.display();
    let occupied = std::fs::read_dir(&args.to).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !args.replace {
        return Err(Failure::No(format!(
            "error: `{folder}` is not empty\n\nhint: name a new folder, or give `--replace`: what is there is kept beside it"
        )));
    }
    let stamp = rfc3339(wall::now()).chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    if let Some(backup) = replace(&args.to, &stored.files, &stamp)? {
        say(&format!("{folder}: the files that were there are in {}", backup.display()));
    }
    read_back(&args.to, stored)
}

fn named<'a>(kept: &'a [StoredRules], asked: &str) -> Result<&'a StoredRules, Failure> {
    let found: Vec<&StoredRules> = kept.iter().filter(|stored| stored.version.starts_with(asked)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::No(format!(
            "error: the store keeps no version `{asked}`\n\nhint: `keywatch rules versions` lists those it keeps, the last {RULE_VERSIONS_KEPT}"
        ))),
        several => {
            let names: Vec<&str> = several.iter().map(|stored| stored.version.as_str()).collect();
            Err(Failure::No(format!("error: `{asked}` could be {}", names.join(", "))))
        }
    }
}

/// Reads back what was written: only what a service would read counts.
fn read_back(folder: &Path, stored: &StoredRules) -> Result<(), Failure> {
    let shown = folder.display();
    let files = load_directory(folder).map_err(|problems| Failure::No(render(&problems)))?;
    if version_of(&files) != stored.version {
        return Err(Failure::Unanswered(anyhow!(
            "`{shown}` does not hold what was written: does somebody else write there?"
        )));
    }
    let set = load_files(folder, files, SPECS, &[]).map_err(|problems| Failure::No(render(&problems)))?;
    let (n_files, n_rules) = (counted(stored.files.len(), "file"), counted(set.rules.len(), "rule"));
    say(&format!("{shown}: version {}, {n_files}, {n_rules}", stored.version));
    Ok(())
}
