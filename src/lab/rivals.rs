//! What other tools' usual rules would have told of the same traffic: small, and independent of the engine.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

use crate::event::{AuthEvent, Outcome};
use crate::lab::score::Found;
use crate::time::Millis;

mod elastalert;
mod sigma;

/// One of them.
pub trait Rival {
    /// What the table calls it.
    fn name(&self) -> &'static str;
    /// Takes an event, in the order in which they arrive.
    fn event(&mut self, event: &AuthEvent<'_>);
    /// What it would have told.
    fn found(self: Box<Self>) -> Vec<Found>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Rival>> {
    vec![Box::<elastalert::Elastalert>::default(), Box::<sigma::Sigma>::default()]
}

/// The last IDs that were seen, as many as the engine remembers.
pub struct Ids {
    hasher: RandomState,
    seen: HashSet<u64>,
    order: VecDeque<u64>,
}

/// How many IDs are remembered.
const IDS: usize = 100_000;

impl Default for Ids {
    fn default() -> Self {
        Ids { hasher: RandomState::new(), seen: HashSet::new(), order: VecDeque::new() }
    }
}

impl Ids {
    /// Whether this ID comes for the first time.
    pub fn is_new(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if IDS < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

fn is_accepted(event: &AuthEvent<'_>) -> bool {
    event.outcome == Outcome::Ok
}

/// An alert about an event's key, or about its source where it has none.
fn about(event: &AuthEvent<'_>, rule: &str, kind: &str, starts_at: Millis, detected_at: Millis) -> Found {
    let key_id = event.key_id.as_deref().map(str::to_owned);
    let source = event.source_ip.map(|address| address.to_string());
    Found {
        id: format!("{rule} {} {detected_at}", key_id.as_deref().or(source.as_deref()).unwrap_or_default()),
        rule: rule.to_owned(),
        kind: kind.to_owned(),
        reasons: Vec::new(),
        merchant_id: event.merchant_id.as_deref().map(str::to_owned),
        key_id,
        source,
        starts_at,
        detected_at,
        summary: String::new(),
        evidence: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Refusal;
    use crate::time::{DAY, HOUR, MINUTE};

    const T: Millis = 20_720 * DAY;

    fn found(mut rival: Box<dyn Rival>, calls: &[(Millis, u32, &str, bool)]) -> Vec<(String, Millis)> {
        for (at, count, address, is_accepted) in calls {
            let (outcome, reason) =
                if *is_accepted { (Outcome::Ok, None) } else { (Outcome::Denied, Some(Refusal::RateLimited)) };
            let event = AuthEvent {
                count: *count,
                source_ip: address.parse().ok(),
                outcome,
                reason,
                ..AuthEvent::at(T + at, "k", Some("m"))
            };
            rival.event(&event);
        }
        rival.found().into_iter().map(|found| (found.kind, found.detected_at - T)).collect()
    }

    /// A call every hour for so many days, 20 or 22 at once.
    fn steady(days: i64) -> Vec<(Millis, u32, &'static str, bool)> {
        (0..days * 24).map(|hour| (hour * HOUR, 20 + 2 * (hour % 2) as u32, "100.64.1.1", true)).collect()
    }

    #[test]
    fn elastalerts_rules_compare_with_the_hour_before_and_with_what_was_ever_seen() {
        let fresh = || Box::<elastalert::Elastalert>::default();
        assert_eq!(found(fresh(), &steady(9)), []);
        let mut calls = steady(9);
        calls.push((9 * DAY + MINUTE, 70, "100.64.1.1", true));
        assert_eq!(found(fresh(), &calls), [("spike".into(), 9 * DAY + MINUTE)]);
        let mut calls = steady(9);
        calls.push((9 * DAY, 1, "100.64.1.2", true));
        calls.push((9 * DAY + 1, 1, "100.64.1.3", true));
        assert_eq!(found(fresh(), &calls), [("new_ip".into(), 9 * DAY)], "once an hour");
        let mut calls = steady(9);
        calls.extend((0..60).map(|n| (9 * DAY + n, 1, "100.64.1.1", false)));
        assert_eq!(found(fresh(), &calls), [("error_burst".into(), 9 * DAY + 49)]);
    }

    #[test]
    fn three_sigma_looks_at_whole_hours_after_a_week() {
        let fresh = || Box::<sigma::Sigma>::default();
        assert_eq!(found(fresh(), &steady(9)), []);
        let mut calls = steady(9);
        calls.extend([(9 * DAY, 90, "100.64.1.1", true), (9 * DAY + HOUR, 20, "100.64.1.1", true)]);
        assert_eq!(found(fresh(), &calls), [("spike".into(), 9 * DAY + HOUR)]);
        let mut calls = steady(9);
        calls.push((9 * DAY + 3 * HOUR, 20, "100.64.1.1", true));
        assert_eq!(found(fresh(), &calls), [("drop".into(), 9 * DAY + HOUR)], "one alert for three silent hours");
        let mut early = steady(3);
        early.push((3 * DAY, 900, "100.64.9.9", true));
        early.push((3 * DAY + HOUR, 1, "100.64.1.1", true));
        assert_eq!(found(fresh(), &early), []);
    }

    #[test]
    fn an_id_is_new_once_among_the_last_ones() {
        let mut ids = Ids::default();
        assert!(ids.is_new("a") && !ids.is_new("a") && ids.is_new("b"));
        for n in 0..IDS {
            assert!(ids.is_new(&n.to_string()));
        }
        assert!(ids.is_new("a"), "forgotten");
    }
}
