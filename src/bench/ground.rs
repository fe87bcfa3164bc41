//! What the service needs around it to be measured: a folder that goes away, a store, and a pipeline's parts.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{AlertsConfig, Limits, Secret, StoreConfig};
use crate::event::auth::Decoder;
use crate::event::facts::FactBook;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::pipeline::{Parts, Role};
use crate::rules::RuleSet;
use crate::store::Store;
use crate::time::{HOUR, SECOND};
use crate::wall;

/// A folder for one measurement, removed at its end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it where the system keeps temporary files.
    pub fn new() -> std::io::Result<Self> {
        let path = wall::temporary_folder().join(format!("keywatch-bench-{}", wall::instance_name()));
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }

    /// The store's URL where none is given: SQLite in the folder.
    pub fn store_url(&self) -> Secret {
        Secret::new(format!("sqlite:{}", self.0.join("keywatch.db").display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens the store and brings it to this version's form.
pub async fn open_store(url: &Secret) -> anyhow::Result<Store> {
    let store = Store::open(&StoreConfig { url: url.clone(), max_connections: 8, migrate: true }).await?;
    store.migrate().await?;
    Ok(store)
}

/// A pipeline's parts, as the service has them by default.
pub fn parts(store: &Store, rules: &Arc<RuleSet>, decoder: &Arc<Decoder>) -> anyhow::Result<Parts> {
    let limits = Limits::default();
    let health = Arc::new(Health::default());
    health.facts_read();
    Ok(Parts {
        role: Role::Events,
        store: store.clone(),
        instance: wall::instance_name(),
        facts: Arc::new(RwLock::new(FactBook::new(limits.fact_keys))),
        limits,
        alerts: AlertsConfig { group_wait: 30 * SECOND, max_age: HOUR, mail_old: false },
        decoder: decoder.clone(),
        rules: rules.clone(),
        metrics: Arc::new(Metrics::new()?),
        health,
        first_start: wall::now(),
        history: None,
        geoip: Arc::default(),
        fleet: Arc::default(),
        wake_dispatcher: Arc::new(Notify::new()),
        stopping: CancellationToken::new(),
    })
}
