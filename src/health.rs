//! Whether the process is well, as `/readyz` answers it, and what it does, as `/status` does.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::status::{Rules, Status, VERSION};

/// What is known of the process's health.
#[derive(Debug, Default)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    facts_read: bool,
    caught_up: bool,
    store: Option<String>,
    source: Option<String>,
    facts: Option<String>,
    instance: String,
    address: Option<SocketAddr>,
    rules: Rules,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts have been read to their end.
    pub fn facts_read(&self) {
        self.lock().facts_read = true;
    }

    /// Whether every partition has been read to its end.
    pub fn caught_up(&self, caught_up: bool) {
        self.lock().caught_up = caught_up;
    }

    /// Whether every partition has been read to its end.
    pub fn is_caught_up(&self) -> bool {
        self.lock().caught_up
    }

    /// What is wrong with the store, if anything.
    pub fn store_trouble(&self, trouble: Option<String>) {
        self.lock().store = trouble;
    }

    /// What is wrong with the source, if anything.
    pub fn source_trouble(&self, trouble: Option<String>) {
        self.lock().source = trouble;
    }

    /// What is wrong with the source of facts, if anything.
    pub fn facts_trouble(&self, trouble: Option<String>) {
        self.lock().facts = trouble;
    }

    /// Which of several instances this is.
    pub fn named(&self, instance: &str) {
        self.lock().instance = instance.to_owned();
    }

    /// Where it answers.
    pub fn listens(&self, address: SocketAddr) {
        self.lock().address = Some(address);
    }

    /// Where it answers, once it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.lock().address
    }

    /// The rules in force and on disk.
    pub fn rules(&self, rules: Rules) {
        self.lock().rules = rules;
    }

    /// All that `/status` says.
    pub fn status(&self) -> Status {
        let inner = self.lock().clone();
        let reasons = inner.reasons();
        Status {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").into(),
            instance: inner.instance,
            ready: reasons.is_empty(),
            reasons,
            rules: inner.rules,
        }
    }

    /// Ready, or the reasons why not, one a line.
    pub fn ready(&self) -> Result<(), String> {
        let reasons = self.lock().reasons();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }
}

impl Inner {
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.facts_read {
            reasons.push("facts are still being read".to_owned());
        }
        if !self.caught_up {
            reasons.push("not caught up with the events yet".to_owned());
        }
        reasons.extend(self.store.as_ref().map(|error| format!("store: {error}")));
        reasons.extend(self.source.as_ref().map(|error| format!("source: {error}")));
        reasons.extend(self.facts.as_ref().map(|error| format!("facts: {error}")));
        reasons
    }
}
