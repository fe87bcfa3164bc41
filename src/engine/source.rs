//! Source networks: who sends requests without a known merchant. Anyone on the internet can fill this table, so it has
//! a fixed size, is never stored, and touches nothing else.

use std::collections::{HashMap, VecDeque};

use crate::engine::baseline::networks::Network;
use crate::event::{AuthEvent, Refusal};
use crate::time::Millis;

/// What is remembered of one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceSeen {
    /// First attempt.
    pub first_at: Millis,
    /// Last attempt.
    pub last_at: Millis,
    /// Attempts with a malformed key or header.
    pub malformed: u64,
    /// Attempts with a key that nobody has.
    pub unknown: u64,
    /// Other attempts without a merchant.
    pub other: u64,
}

/// The last networks that sent such requests, at most `cap`: the first to come is the first to go.
#[derive(Debug)]
pub struct SourceTable {
    seen: HashMap<Network, SourceSeen>,
    order: VecDeque<Network>,
    cap: usize,
    forgotten: u64,
}

impl SourceTable {
    /// A table of at most `cap` networks.
    pub fn new(cap: usize) -> Self {
        SourceTable { seen: HashMap::new(), order: VecDeque::new(), cap: cap.max(1), forgotten: 0 }
    }

    /// How many networks the bound pushed out.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What is remembered of a network.
    pub fn get(&self, network: Network) -> Option<&SourceSeen> {
        self.seen.get(&network)
    }

    /// Networks remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Counts one event.
    pub fn note(&mut self, event: &AuthEvent<'_>) {
        let Some(address) = event.source_ip else { return };
        let network = Network::of(address);
        if !self.seen.contains_key(&network) {
            if self.seen.len() >= self.cap
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
                self.forgotten += 1;
            }
            self.order.push_back(network);
            self.seen.insert(network, SourceSeen { first_at: event.ts, ..SourceSeen::default() });
        }
        if let Some(seen) = self.seen.get_mut(&network) {
            seen.last_at = seen.last_at.max(event.ts);
            let counter = match event.reason {
                Some(Refusal::MalformedKey | Refusal::MalformedHeader | Refusal::MissingKey) => &mut seen.malformed,
                Some(Refusal::UnknownKey) => &mut seen.unknown,
                _ => &mut seen.other,
            };
            *counter += u64::from(event.count);
        }
    }
}
