//! The rules on disk, and whether they are the ones in force.

use super::store::Looked;
use super::{Check, Finding};
use crate::app::rulebook::read_rules;
use crate::config::Config;
use crate::time::rfc3339;

/// The version of the files on disk, where they are valid.
pub(super) fn on_disk(config: &Config) -> (Option<String>, Finding) {
    let directory = config.rules.directory.display().to_string();
    match read_rules(&config.rules.directory, &config.brand) {
        Ok(rules) => {
            let found = format!("{}, version {}", super::count(rules.rules.len(), "rule", "rules"), rules.version);
            (Some(rules.version), Finding::ok(Check::Rules, format!("rules in {directory}"), found))
        }
        Err(problems) => {
            let errors: Vec<&str> = problems.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
            let n = super::count(errors.len(), "problem", "problems");
            let found = format!("{n}, the first: {}", errors.first().unwrap_or(&"unknown"));
            let hint = format!(
                "`keywatch rules check {directory}` shows them all; a first start refuses them, any other keeps the rules in force"
            );
            (None, Finding::fail(Check::Rules, format!("rules in {directory}"), found, hint))
        }
    }
}

/// Whether the store names the same version as the files have.
pub(super) async fn in_force(looked: &Looked, on_disk: Option<&str>, now: crate::time::Millis) -> Finding {
    let (check, at) = (Check::RulesInForce, "rules in force");
    if looked.is_new {
        return Finding::ok(check, at, "none yet: the first start adopts those on disk");
    }
    let Some(store) = looked.store.as_ref().filter(|_| looked.is_readable) else {
        return Finding::skipped(check, at, "the store cannot be asked", "mend `store` and `schema` first");
    };
    let answer = async {
        let stored = store.rules_in_force().await?;
        let is_old = match on_disk {
            Some(version) => store.known_rules(version).await?,
            None => false,
        };
        Ok::<_, crate::store::StoreError>((stored, is_old))
    };
    let (stored, is_old) = match answer.await {
        Ok((Some(stored), is_old)) => (stored, is_old),
        Ok((None, _)) => return Finding::ok(check, at, "none yet: the first start adopts those on disk"),
        Err(error) => return Finding::fail(check, at, error.to_string(), "run `keywatch doctor` again"),
    };
    let since = format!(
        "version {}, adopted {} ago ({})",
        stored.version,
        super::age(now - stored.adopted_at),
        &rfc3339(stored.adopted_at)[..16]
    );
    match on_disk {
        Some(version) if version == stored.version => Finding::ok(check, at, format!("those on disk: {since}")),
        Some(version) if is_old => Finding::warn(
            check,
            at,
            format!("{since}; the files on disk are an older version, {version}"),
            "a start keeps those in force; SIGHUP to a running keywatch would take the old ones back. Put the newer files \
             in rules.directory",
        ),
        Some(version) => Finding::warn(
            check,
            at,
            format!("{since}; the files on disk are version {version}, which nobody has adopted"),
            "a running keywatch adopts them by itself (rules.watch), or with `kill -HUP PID`; else a start does",
        ),
        None => Finding::warn(
            check,
            at,
            format!("{since}; the files on disk are not valid"),
            "mend `rules` first; those in force stay meanwhile",
        ),
    }
}
