//! Which rules are in force (law 11): the store names the version, files are a proposal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::brand::Brand;
use crate::config::Config;
use crate::engine::detect::SPECS;
use crate::metrics::Metrics;
use crate::rules::RuleSet;
use crate::rules::compile::{compile, load};
use crate::store::{Store, StoreError};
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
    current: Arc<RuleSet>,
    /// A version in the store that this program cannot read: said once.
    unreadable: Option<String>,
}

/// Reads and validates a folder of rules as one version.
pub fn read_rules(directory: &Path, brand: &Brand) -> Result<RuleSet, String> {
    let rules = load(directory, SPECS, &[]).map_err(|problems| render(&problems))?;
    Ok(rules.in_words_of(brand))
}

impl Rulebook {
    /// Reads the folder, and adopts it unless the store already has a later version.
    ///
    /// A folder that was in force before and was followed by another is old: this instance was started with files that
    /// somebody has replaced since, and must not take the others back.
    pub async fn open(config: &Config, store: Store, instance: String, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let (directory, brand) = (&config.rules.directory, config.brand.clone());
        let proposed =
            read_rules(directory, &brand).map_err(|problems| anyhow::anyhow!("the rules are not valid\n{problems}"))?;
        let mut book = Rulebook {
            directory: directory.to_owned(),
            brand,
            store,
            instance,
            metrics,
            current: Arc::new(proposed),
            unreadable: None,
        };
        let proposal = book.current.clone();
        match book.store.rules_in_force().await? {
            Some(stored) if stored.version == proposal.version => {}
            Some(stored) if book.store.known_rules(&proposal.version).await? => {
                tracing::warn!(on_disk = %proposal.version, in_force = %stored.version, adopted_by = %stored.adopted_by,
                    "the rule files on disk are older than the rules in force; SIGHUP would adopt them");
                let rules = compile(stored.files, SPECS).map_err(|p| {
                    anyhow::anyhow!("the rules in force cannot be read by this version\n{}", render(&p))
                })?;
                book.current = Arc::new(rules.in_words_of(&book.brand));
            }
            _ => book.adopt(proposal).await?,
        }
        book.metrics.rules_in_force(&book.current.version);
        Ok(book)
    }

    /// The rules in force, as this instance knows them.
    pub fn in_force(&self) -> Arc<RuleSet> {
        self.current.clone()
    }

    /// SIGHUP: validates the folder whole, and adopts it for every instance. An invalid one changes nothing.
    pub async fn reload(&mut self) -> Option<Arc<RuleSet>> {
        let (word, changed) = match read_rules(&self.directory, &self.brand) {
            Err(problems) => {
                tracing::error!("the rules are not valid; those in force stay\n{problems}");
                ("invalid", None)
            }
            Ok(rules) => {
                let rules = Arc::new(rules);
                match self.adopt(rules.clone()).await {
                    Ok(()) => ("adopted", Some(rules)),
                    Err(error) => {
                        tracing::error!(%error, "the rules are valid but could not be adopted; those in force stay");
                        ("store_away", None)
                    }
                }
            }
        };
        self.metrics.rules_reloads.with_label_values(&[word]).inc();
        changed
    }

    /// Takes up a version that another instance has adopted.
    pub async fn follow(&mut self) -> Option<Arc<RuleSet>> {
        let stored = match self.store.rules_in_force().await {
            Ok(Some(stored)) => stored,
            Ok(None) => return None,
            Err(error) => {
                tracing::debug!(%error, "cannot ask which rules are in force");
                return None;
            }
        };
        if stored.version == self.current.version || self.unreadable.as_ref() == Some(&stored.version) {
            return None;
        }
        match compile(stored.files, SPECS) {
            Ok(rules) => {
                self.current = Arc::new(rules.in_words_of(&self.brand));
                self.metrics.rules_in_force(&self.current.version);
                Some(self.current.clone())
            }
            Err(problems) => {
                tracing::error!(version = %stored.version, "another instance adopted rules that this version cannot read\n{}",
                    render(&problems));
                self.unreadable = Some(stored.version);
                None
            }
        }
    }

    async fn adopt(&mut self, rules: Arc<RuleSet>) -> Result<(), StoreError> {
        let now = wall::now();
        self.store.adopt_rules(&rules.version, &rules.files, &self.instance, now).await?;
        let names: Vec<String> = rules.rules.iter().map(|rule| rule.name.to_string()).collect();
        let ended = self.store.resolve_removed(&names, now, now).await?;
        tracing::info!(version = %rules.version, rules = names.len(), cases_ended = ended.len(), "rules adopted");
        self.metrics.rules_in_force(&rules.version);
        self.current = rules;
        Ok(())
    }
}
