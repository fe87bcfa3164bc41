//! Whether the process is well, as `/readyz` answers it.

use std::sync::{Mutex, MutexGuard, PoisonError};

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

    /// Ready, or the reasons why not, one a line.
    pub fn ready(&self) -> Result<(), String> {
        let inner = self.lock().clone();
        let mut reasons = Vec::new();
        if !inner.facts_read {
            reasons.push("facts are still being read".to_owned());
        }
        if !inner.caught_up {
            reasons.push("not caught up with the events yet".to_owned());
        }
        reasons.extend(inner.store.map(|error| format!("store: {error}")));
        reasons.extend(inner.source.map(|error| format!("source: {error}")));
        reasons.extend(inner.facts.map(|error| format!("facts: {error}")));
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }
}
