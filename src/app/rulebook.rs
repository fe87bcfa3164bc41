//! Which rules are in force (law 11): the store names the version, files are a proposal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::folder::{Found, Reading, read};
use crate::brand::Brand;
use crate::config::Config;
use crate::engine::detect::SPECS;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::rules::compile::{compile, load};
use crate::rules::files::{Print, print_of};
use crate::rules::{RuleSet, Status};
use crate::status::{Counts, InForce, OnDisk, Problems, Rules, Source};
use crate::store::{Adoption, Store, StoreError, StoredRules};
use crate::time::{SECOND, rfc3339};
use crate::wall;
use crate::yaml::render;

/// The rules in force, the folder of proposals, and the store between the instances.
#[derive(Debug)]
pub struct Rulebook {
    directory: PathBuf,
    brand: Brand,
    store: Store,
    instance: String,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    current: Arc<RuleSet>,
    /// A version in the store that this program cannot read: said once.
    unreadable: Option<String>,
    /// What `/status` says.
    told: Rules,
    /// A valid proposal that the store could not take yet.
    pending: Option<Arc<RuleSet>>,
}

/// Stands for the version of files that are no valid rules.
const INVALID: &str = "invalid";

/// Reads and validates a folder of rules as one version.
pub fn read_rules(directory: &Path, brand: &Brand) -> Result<RuleSet, String> {
    let rules = load(directory, SPECS, &[]).map_err(|problems| render(&problems))?;
    Ok(rules.in_words_of(brand))
}

/// How the folder looked before it was read for the first time, and the version that was read.
pub type Begun = (Print, Option<String>);

impl Rulebook {
    /// Reads the folder, and adopts it unless the store already has a later version.
    ///
    /// A folder that was in force before and was followed by another is old: this instance was started with files that
    /// somebody has replaced since, and must not take the others back. With a folder that is not valid the instance
    /// goes on with what the store names, as it would have without a restart; it says so wherever it speaks.
    pub async fn open(
        config: &Config,
        store: Store,
        instance: String,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> anyhow::Result<(Self, Begun)> {
        let (directory, brand) = (config.rules.directory.clone(), config.brand.clone());
        let (print, reading) = tokio::task::spawn_blocking({
            let (directory, brand) = (directory.clone(), brand.clone());
            move || (print_of(&directory), read(&directory, &brand, false))
        })
        .await?;
        let stored = store.rules_in_force().await?;
        let on_disk = on_disk(&directory, config.rules.watch, &reading);
        let (current, is_news) = match (reading.rules, &stored) {
            (Err(problems), None) => anyhow::bail!("the rules are not valid\n{}", render(&problems)),
            (Err(_), Some(stored)) => {
                tracing::error!(in_force = %stored.version, adopted_by = %stored.adopted_by,
                    "the rules on disk are not valid; starting with the rules in force, which the store has\n{}",
                    on_disk.problems.lines());
                (from_store(stored, &brand)?, false)
            }
            (Ok(proposal), Some(stored)) if stored.version == proposal.version => (proposal, false),
            (Ok(proposal), Some(stored)) if store.known_rules(&proposal.version).await? => {
                tracing::warn!(on_disk = %proposal.version, in_force = %stored.version, adopted_by = %stored.adopted_by,
                    "the rule files on disk are older than the rules in force; SIGHUP would adopt them");
                (from_store(stored, &brand)?, false)
            }
            (Ok(proposal), _) => (proposal, true),
        };
        let told = Rules { on_disk, ..Rules::default() };
        let begun = (print, reading.version);
        let mut book = Rulebook {
            directory,
            brand,
            store,
            instance,
            metrics,
            health,
            current,
            unreadable: None,
            told,
            pending: None,
        };
        match stored {
            Some(stored) if !is_news => book.take_up(book.current.clone(), &stored.adoption()),
            _ => {
                let rules = book.current.clone();
                let adoption = book.adopt(&rules).await?;
                book.take_up(rules, &adoption);
            }
        }
        Ok((book, begun))
    }

    /// The rules in force, as this instance knows them.
    pub fn in_force(&self) -> Arc<RuleSet> {
        self.current.clone()
    }

    /// What was found in the folder. Rules that are valid, and were asked for or are watched, are adopted for every
    /// instance; an invalid folder changes nothing.
    pub async fn found(&mut self, found: Found) -> Option<Arc<RuleSet>> {
        match found {
            Found::Changing(since) => self.told.on_disk.changing_since = Some(rfc3339(since)),
            Found::Same(read_at) => {
                self.told.on_disk.read_at = rfc3339(read_at);
                self.told.on_disk.changing_since = None;
            }
            Found::Read(reading) => return self.proposed(reading).await,
        }
        self.tell();
        None
    }

    async fn proposed(&mut self, reading: Reading) -> Option<Arc<RuleSet>> {
        let after = on_disk(&self.directory, self.told.on_disk.watched, &reading);
        let before = std::mem::replace(&mut self.told.on_disk, after);
        let after = &self.told.on_disk;
        let is_news = reading.is_asked || (&before.version, &before.problems) != (&after.version, &after.problems);
        self.pending = None;
        let changed = match reading.rules {
            Err(_) => {
                if is_news {
                    tracing::error!(directory = %after.directory, problems = after.problems.count,
                        "the rules are not valid; those in force stay\n{}", after.problems.lines());
                    self.count("invalid");
                }
                None
            }
            Ok(rules) if !reading.is_asked && rules.version == self.current.version => {
                tracing::info!(version = %rules.version, "the rule files on disk are the rules in force");
                None
            }
            Ok(rules) if reading.is_asked || after.watched => self.propose(rules).await,
            Ok(rules) => {
                tracing::info!(on_disk = %rules.version, in_force = %self.current.version,
                    "the rule files on disk are not the rules in force; SIGHUP adopts them");
                None
            }
        };
        self.tell();
        changed
    }

    /// Adopts a proposal. Where the store does not answer it is kept, and tried again.
    async fn propose(&mut self, rules: Arc<RuleSet>) -> Option<Arc<RuleSet>> {
        match self.adopt(&rules).await {
            Ok(adoption) => {
                self.take_up(rules.clone(), &adoption);
                self.count("adopted");
                Some(rules)
            }
            Err(error) => {
                tracing::error!(%error, "the rules are valid but could not be adopted; those in force stay until the store answers");
                self.count("store_away");
                self.pending = Some(rules);
                None
            }
        }
    }

    /// Takes up a version that another instance has adopted, or adopts what the store could not take before.
    pub async fn follow(&mut self) -> Option<Arc<RuleSet>> {
        if let Some(rules) = self.pending.clone() {
            let adoption = self.adopt(&rules).await.ok()?;
            self.pending = None;
            self.take_up(rules.clone(), &adoption);
            self.count("adopted");
            return Some(rules);
        }
        let stored = match self.newer().await {
            Ok(stored) => stored?,
            Err(error) => {
                tracing::debug!(%error, "cannot ask which rules are in force");
                return None;
            }
        };
        match from_store(&stored, &self.brand) {
            Ok(rules) => {
                self.take_up(rules.clone(), &stored.adoption());
                Some(rules)
            }
            Err(error) => {
                tracing::error!(version = %stored.version, "another instance adopted rules that this version cannot read\n{error:#}");
                self.unreadable = Some(stored.version);
                None
            }
        }
    }

    /// The rules in force, where they are not those of this instance.
    async fn newer(&self) -> Result<Option<StoredRules>, StoreError> {
        let Some(adoption) = self.store.adoption_in_force().await? else { return Ok(None) };
        if adoption.version == self.current.version || self.unreadable.as_ref() == Some(&adoption.version) {
            return Ok(None);
        }
        self.store.rules_in_force().await
    }

    async fn adopt(&self, rules: &RuleSet) -> Result<Adoption, StoreError> {
        let now = wall::now();
        let adoption = self.store.adopt_rules(&rules.version, &rules.files, &self.instance, now).await?;
        let names: Vec<String> = rules.rules.iter().map(|rule| rule.name.to_string()).collect();
        let ended = self.store.resolve_removed(&names, now, now).await?;
        for warning in &rules.warnings {
            tracing::warn!(file = warning.file, line = warning.line, "{}", warning.message);
        }
        tracing::info!(version = %rules.version, rules = names.len(), cases_ended = ended.len(), "rules adopted");
        Ok(adoption)
    }

    /// From now on these are in force here.
    fn take_up(&mut self, rules: Arc<RuleSet>, adoption: &Adoption) {
        let now = wall::now();
        let count = |status| rules.rules.iter().filter(|rule| rule.status == status).count();
        self.told.in_force = InForce {
            version: rules.version.clone(),
            adopted_at: rfc3339(adoption.adopted_at),
            adopted_by: adoption.adopted_by.clone(),
            taken_up_at: rfc3339(now),
            source: Source::Store,
            rules: Counts { stable: count(Status::Stable), test: count(Status::Test), off: rules.n_off },
        };
        for rule in &rules.rules {
            let exceptions: Vec<&str> = rule.exceptions.iter().map(|exception| &*exception.name).collect();
            self.metrics.begin_rule(&rule.name, rule.severity.as_str(), rule.kind.as_str(), &exceptions);
        }
        self.metrics.rules_active.set(rules.rules.len() as i64);
        self.metrics.rules_adopted_time_seconds.set(now / SECOND);
        self.current = rules;
        self.tell();
    }

    /// Tells the rules in force and the files on disk apart, so that nobody believes that a file edited is a file in force.
    fn tell(&mut self) {
        let Rules { in_force, on_disk, differ } = &mut self.told;
        let is_valid = on_disk.problems.count == 0;
        *differ = !is_valid || on_disk.version.as_ref() != Some(&in_force.version);
        in_force.source = if *differ { Source::Store } else { Source::Files };
        let shown = on_disk.version.as_deref().filter(|_| is_valid).unwrap_or(INVALID);
        self.metrics.rules_versions(&in_force.version, shown);
        self.metrics.rules_problems.set(on_disk.problems.count as i64);
        self.health.rules(self.told.clone());
    }

    fn count(&self, result: &str) {
        self.metrics.rules_reloads.with_label_values(&[result]).inc();
    }
}

/// What is said of a folder that was read.
fn on_disk(directory: &Path, watched: bool, reading: &Reading) -> OnDisk {
    OnDisk {
        directory: directory.display().to_string(),
        version: reading.version.clone(),
        read_at: rfc3339(reading.read_at),
        changing_since: None,
        watched,
        problems: reading.rules.as_ref().err().map(|problems| Problems::of(problems)).unwrap_or_default(),
    }
}

fn from_store(stored: &StoredRules, brand: &Brand) -> anyhow::Result<Arc<RuleSet>> {
    let rules = compile(stored.files.clone(), SPECS).map_err(|problems| anyhow::anyhow!("{}", render(&problems)));
    let rules = rules.context("the rules in force cannot be read by this version of the program")?;
    Ok(Arc::new(rules.in_words_of(brand)))
}
