//! Which rules are in force (law 11): the store names the version, files are a proposal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::brand::Brand;
use crate::config::Config;
use crate::engine::detect::SPECS;
use crate::metrics::Metrics;
use crate::rules::RuleSet;
use crate::rules::compile::{compile, load, version_of};
use crate::rules::files::load_directory;
use crate::store::{Store, StoreError};
use crate::time::SECOND;
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
    /// The files on disk: their version, and the word for it in the metrics.
    on_disk: (String, String),
    /// When the files were looked at last.
    looked_at: Option<Instant>,
}

/// Between two looks at the files on disk.
const LOOK_AT_DISK: Duration = Duration::from_secs(10);

/// Stands for the version of files that are no valid rules.
const INVALID: &str = "invalid";

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
            unreadable: None,
            on_disk: (proposed.version.clone(), proposed.version.clone()),
            looked_at: None,
            current: Arc::new(proposed),
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
        book.report();
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
                self.on_disk = (rules.version.clone(), rules.version.clone());
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
                self.report();
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

    /// Tells the rules in force and the files on disk apart, so that nobody believes that a file edited is a file in force.
    pub async fn look_at_disk(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_AT_DISK) {
            return;
        }
        self.looked_at = Some(wall::instant());
        let (directory, seen) = (self.directory.clone(), self.on_disk.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let Ok(files) = load_directory(&directory) else { return (String::new(), INVALID.to_owned()) };
            let version = version_of(&files);
            if version == seen.0 {
                return seen;
            }
            let word = if compile(files, SPECS).is_ok() { version.clone() } else { INVALID.to_owned() };
            (version, word)
        });
        let Ok(found) = looked.await else { return };
        if found.1 != self.on_disk.1 && found.1 != self.current.version {
            tracing::info!(on_disk = %found.1, in_force = %self.current.version,
                "the rule files on disk are not the rules in force; SIGHUP adopts them");
        }
        self.on_disk = found;
        self.metrics.rules_versions(&self.current.version, &self.on_disk.1);
    }

    fn report(&self) {
        self.metrics.rules_versions(&self.current.version, &self.on_disk.1);
        for rule in &self.current.rules {
            let exceptions: Vec<&str> = rule.exceptions.iter().map(|exception| &*exception.name).collect();
            self.metrics.begin_rule(&rule.name, rule.severity.as_str(), rule.kind.as_str(), &exceptions);
        }
        self.metrics.rules_active.set(self.current.rules.len() as i64);
        self.metrics.rules_adopted_time_seconds.set(wall::now() / SECOND);
    }

    async fn adopt(&mut self, rules: Arc<RuleSet>) -> Result<(), StoreError> {
        let now = wall::now();
        self.store.adopt_rules(&rules.version, &rules.files, &self.instance, now).await?;
        let names: Vec<String> = rules.rules.iter().map(|rule| rule.name.to_string()).collect();
        let ended = self.store.resolve_removed(&names, now, now).await?;
        for warning in &rules.warnings {
            tracing::warn!(file = warning.file, line = warning.line, "{}", warning.message);
        }
        tracing::info!(version = %rules.version, rules = names.len(), cases_ended = ended.len(), "rules adopted");
        self.current = rules;
        self.report();
        Ok(())
    }
}
