//! What is true of each key of a simulation: from facts and events, not from labels. An alert about something that is
//! true is not false, though nobody planted it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use crate::event::facts::{Fact, FactBook};
use crate::event::{AuthEvent, Outcome, Refusal};
use crate::lab::score::Found;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// A key that is this old is overdue, as the shipped rule has it.
const OVERDUE_AFTER: Millis = 365 * DAY;
/// Around an alert: its time is the window's, and events are late.
const NEAR: Millis = HOUR;

/// What one key did.
#[derive(Debug, Default)]
struct Calls {
    /// Accepted calls, and how many each line stands for.
    accepted: Vec<(Millis, u32)>,
    refused: Vec<(Millis, Option<Refusal>)>,
    other_env: Vec<Millis>,
    in_browser: Vec<Millis>,
}

/// What is true of a simulation.
#[derive(Debug)]
pub struct Known {
    span: Range<Millis>,
    unused_for: Millis,
    book: FactBook,
    calls: BTreeMap<String, Calls>,
}

impl Known {
    /// Nothing yet, of a simulation over `span`.
    pub fn new(span: Range<Millis>, unused_for: Millis, fact_keys: usize) -> Known {
        Known { span, unused_for, book: FactBook::new(fact_keys), calls: BTreeMap::new() }
    }

    /// Takes a fact.
    pub fn fact(&mut self, fact: &Fact) {
        self.book.learn(fact);
    }

    /// Takes an event that is no duplicate.
    pub fn event(&mut self, event: &AuthEvent<'_>) {
        let Some(key) = event.key_id.as_deref() else { return };
        if !self.calls.contains_key(key) {
            self.calls.insert(key.to_owned(), Calls::default());
        }
        let Some(calls) = self.calls.get_mut(key) else { return };
        match event.outcome {
            Outcome::Ok => calls.accepted.push((event.ts, event.count)),
            Outcome::Denied => calls.refused.push((event.ts, event.reason)),
        }
        if event.key_env.is_some() && event.endpoint_env.is_some() && event.key_env != event.endpoint_env {
            calls.other_env.push(event.ts);
        }
        if event.origin.is_some() || event.referer.is_some() {
            calls.in_browser.push(event.ts);
        }
    }

    /// Sorts what was taken: events come a little out of order.
    pub fn close(&mut self) {
        for calls in self.calls.values_mut() {
            calls.accepted.sort_unstable();
            calls.refused.sort_unstable_by_key(|(at, _)| *at);
            calls.other_env.sort_unstable();
            calls.in_browser.sort_unstable();
        }
    }

    /// The whole simulation.
    pub fn span(&self) -> Range<Millis> {
        self.span.clone()
    }

    /// Days that keys lived between two times: from their creation to the day they were revoked or replaced.
    pub fn key_days(&self, span: Range<Millis>) -> f64 {
        let alive = self.book.keys().map(|(_, facts)| {
            let ended = [facts.revoked_at, facts.replaced_at.map(|at| facts.grace_until.unwrap_or(at))];
            let until = ended.into_iter().flatten().min().unwrap_or(Millis::MAX).min(span.end);
            (until - facts.created_at.unwrap_or(Millis::MIN).max(span.start)).max(0)
        });
        alive.sum::<Millis>() as f64 / DAY as f64
    }

    /// Keys that replaced one another are one in this sense.
    pub fn is_kin(&self, one: &str, other: &str) -> bool {
        let follows = |new: &str, old: &str| {
            self.book.key(new).is_some_and(|facts| facts.replaces.as_deref() == Some(old))
                || self.book.key(old).is_some_and(|facts| facts.replaced_by.as_deref() == Some(new))
        };
        follows(one, other) || follows(other, one)
    }

    /// Accepted calls of a key in a time.
    pub fn accepted(&self, key: &str, span: Range<Millis>) -> u64 {
        self.of(key).map_or(0, |calls| {
            within(&calls.accepted, &span, |(at, _)| *at).iter().map(|(_, count)| u64::from(*count)).sum()
        })
    }

    /// Refused lines of a key in a time.
    pub fn refused(&self, key: &str, span: Range<Millis>) -> u64 {
        self.of(key).map_or(0, |calls| within(&calls.refused, &span, |(at, _)| *at).len() as u64)
    }

    /// Accepted calls of a key in an ordinary day: all that came until `at`, by the days on which the key called.
    pub fn calls_per_day(&self, key: &str, at: Millis) -> f64 {
        let first = self.of(key).and_then(|calls| calls.accepted.first()).map_or(at, |(first, _)| *first);
        let days = ((at - first) as f64 / DAY as f64).max(1.0);
        self.accepted(key, self.span.start..at) as f64 / days
    }

    fn of(&self, key: &str) -> Option<&Calls> {
        self.calls.get(key)
    }

    /// Why an alert is true though nobody planted it; `None` where nothing bears it out.
    pub fn bears_out(&self, alert: &Found) -> Option<&'static str> {
        let key = alert.key_id.as_deref()?;
        let facts = self.book.key(key);
        let none = Calls::default();
        let calls = self.of(key).unwrap_or(&none);
        let (at, told) = (alert.starts_at, alert.detected_at.max(alert.starts_at));
        let around = at - NEAR..told + MINUTE;
        let refused_as =
            |reason| within(&calls.refused, &around, |(at, _)| *at).iter().any(|(_, r)| *r == Some(reason));
        let used_after = |from: Option<Millis>| {
            let is_in = |t: Millis| from.is_some_and(|from| from <= t) && around.contains(&t);
            calls.accepted.iter().any(|(t, _)| is_in(*t)) || calls.refused.iter().any(|(t, _)| is_in(*t))
        };
        // Within the lateness before `at` a call may be there: a timer judges as of its own time.
        let unused_before = |at: Millis| {
            let silent = at - self.unused_for + NEAR..at - MINUTE;
            self.span.start < silent.start && within(&calls.accepted, &silent, |(at, _)| *at).is_empty()
        };
        let rotated_out = facts.and_then(|facts| facts.replaced_at.map(|at| facts.grace_until.unwrap_or(at)));
        match alert.kind.as_str() {
            "stale_key" if unused_before(at) => Some("the key was unused"),
            "dormant_awake" if unused_before(at) => Some("the key had been unused"),
            "revoked_key_use" if refused_as(Refusal::RevokedKey) || used_after(facts?.revoked_at) => {
                Some("the key had been revoked")
            }
            "rotated_key_use" if refused_as(Refusal::RotatedKey) || used_after(rotated_out) => {
                Some("the key had been replaced")
            }
            "suspended_use" if refused_as(Refusal::AccountSuspended) => Some("the merchant was suspended"),
            "env_mismatch" if !within(&calls.other_env, &around, |at| *at).is_empty() => {
                Some("it was sent to the other environment")
            }
            "client_side_use" if !within(&calls.in_browser, &around, |at| *at).is_empty() => Some("a browser sent it"),
            "key_exposed" if facts?.exposed_at.is_some_and(|exposed| exposed <= told) => Some("it was found in public"),
            "expiring_key" if facts?.expires_at.is_some_and(|expires| at <= expires) => Some("the key expires"),
            "rotation_overdue" if facts?.created_at.is_some_and(|made| made + OVERDUE_AFTER <= told + MINUTE) => {
                Some("the key was a year old")
            }
            "rotation_unproven" => {
                let old = self.book.key(facts?.replaces.as_deref()?)?;
                let is_in_grace = old.replaced_at? <= told && at <= old.grace_until?;
                let is_unproven = within(&calls.accepted, &(self.span.start..at - MINUTE), |(at, _)| *at).is_empty();
                (is_in_grace && is_unproven).then_some("the new key had made no call")
            }
            // A key that nobody revoked and that does not call again for as long as makes it stale has truly fallen silent.
            "drop" => {
                let (before, after) = calls.accepted.split_at(calls.accepted.partition_point(|(t, _)| *t <= told));
                let (last, again) = (before.last()?.0, after.first().map(|(again, _)| *again));
                let is_over = again.map_or(told < self.span.end - DAY, |again| last + self.unused_for <= again);
                (is_over
                    && !facts.is_some_and(|facts| {
                        facts.is_revoked(at) || facts.replaced_at.is_some_and(|replaced| replaced <= at)
                    }))
                .then_some("the key was not used any more")
            }
            _ => None,
        }
    }
}

/// The part of a sorted list that lies in a time.
fn within<'a, T>(list: &'a [T], span: &Range<Millis>, at: impl Fn(&T) -> Millis) -> &'a [T] {
    let begins = list.partition_point(|item| at(item) < span.start);
    let ends = list.partition_point(|item| at(item) < span.end);
    &list[begins..ends.max(begins)]
}

/// The network of an address, as alerts write it: /24 of IPv4, /48 of IPv6.
pub fn network_of(address: &str) -> Option<String> {
    Some(match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Env;
    use crate::event::facts::FactKind;

    const T: Millis = 20_720 * DAY;

    fn call(known: &mut Known, at: Millis, reason: Option<Refusal>) {
        let outcome = if reason.is_some() { Outcome::Denied } else { Outcome::Ok };
        known.event(&AuthEvent { outcome, reason, ..AuthEvent::at(T + at, "k", Some("m")) });
    }

    fn alert(kind: &str, at: Millis) -> Found {
        Found {
            id: String::new(),
            rule: String::new(),
            kind: kind.into(),
            reasons: Vec::new(),
            merchant_id: Some("m".into()),
            key_id: Some("k".into()),
            source: None,
            starts_at: T + at,
            detected_at: T + at + 5 * MINUTE,
            summary: String::new(),
            evidence: serde_json::Value::Null,
        }
    }

    #[test]
    fn what_is_true_is_not_false() {
        let mut known = Known::new(T..T + 40 * DAY, 10 * DAY, 100);
        let key = Some("k".to_owned());
        known.fact(&Fact {
            key_id: key.clone(),
            created_at: Some(T - 350 * DAY),
            ..Fact::new(FactKind::KeyCreated, T - 350 * DAY)
        });
        known.fact(&Fact { key_id: key.clone(), ..Fact::new(FactKind::KeyExposed, T + 20 * DAY) });
        call(&mut known, DAY, None);
        call(&mut known, 12 * DAY, None);
        call(&mut known, 12 * DAY + DAY / 2, None);
        call(&mut known, 14 * DAY, Some(Refusal::RevokedKey));
        let wrong = AuthEvent {
            key_env: Some(Env::Test),
            endpoint_env: Some(Env::Live),
            ..AuthEvent::at(T + 15 * DAY, "k", None)
        };
        known.event(&wrong);
        known.close();
        for (kind, at, is_true) in [
            ("stale_key", 11 * DAY, true),
            ("stale_key", 13 * DAY, false),
            ("stale_key", 5 * DAY, false),
            ("dormant_awake", 12 * DAY, true),
            ("dormant_awake", 15 * DAY, false),
            ("revoked_key_use", 14 * DAY, true),
            ("revoked_key_use", 16 * DAY, false),
            ("env_mismatch", 15 * DAY, true),
            ("env_mismatch", 12 * DAY, false),
            ("key_exposed", 20 * DAY, true),
            ("key_exposed", 19 * DAY, false),
            ("rotation_overdue", 15 * DAY, true),
            ("rotation_overdue", 14 * DAY, false),
            ("drop", 16 * DAY, true),
            ("drop", 11 * DAY, true),
            ("drop", 12 * DAY, false),
            ("spike", 12 * DAY, false),
        ] {
            assert_eq!(known.bears_out(&alert(kind, at)).is_some(), is_true, "{kind} at {}", at / DAY);
        }
    }

    #[test]
    fn keys_are_alive_from_their_making_to_their_end() {
        let mut known = Known::new(T..T + 40 * DAY, 10 * DAY, 100);
        let fact = |kind, id: &str, at: Millis| Fact { key_id: Some(id.into()), ..Fact::new(kind, T + at) };
        known.fact(&Fact { created_at: Some(T - DAY), ..fact(FactKind::KeyCreated, "old", -DAY) });
        known.fact(&Fact {
            created_at: Some(T + 10 * DAY),
            replaces: Some("old".into()),
            grace_until: Some(T + 12 * DAY),
            ..fact(FactKind::KeyRegenerated, "new", 10 * DAY)
        });
        known.fact(&Fact { revoked_at: Some(T + 20 * DAY), ..fact(FactKind::KeyRevoked, "new", 20 * DAY) });
        assert_eq!(known.key_days(T..T + 40 * DAY), 12.0 + 10.0);
        assert_eq!(known.key_days(T + 11 * DAY..T + 15 * DAY), 1.0 + 4.0);
        assert!(known.is_kin("new", "old") && known.is_kin("old", "new") && !known.is_kin("new", "other"));
    }

    #[test]
    fn networks_are_as_alerts_write_them() {
        for (address, network) in [
            ("100.69.7.200", Some("100.69.7.0/24")),
            ("::ffff:100.69.7.200", Some("100.69.7.0/24")),
            ("2001:db8:7:1::9", Some("2001:db8:7::/48")),
            ("nonsense", None),
        ] {
            assert_eq!(network_of(address).as_deref(), network);
        }
    }
}
