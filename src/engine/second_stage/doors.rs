//! One network at the doors of several merchants, none of which knows it: somebody has a list of keys. That is one case; what
//! was found about the single keys from there is taken over.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::signal::{Knock, Misused};
use super::{Now, StageOutput, Taking};
use crate::alert::{Alert, Kind, Reason, Severity, Source, State, alert_id};
use crate::engine::detect::key_scan::AskOfDoors;
use crate::engine::shard::Change;
use crate::event::AuthEvent;
use crate::rules::expr::Scope;
use crate::rules::{Rule, RuleSet};
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// Networks that are remembered.
const NETWORKS_MAX: usize = 10_000;
/// Merchants that are told apart for one network.
const MERCHANTS_MAX: usize = 256;
/// Alerts of keys that are told apart for one network, and that one case takes over.
const ALERTS_MAX: usize = 1_000;
/// Merchants that an alert names.
const EXAMPLES: usize = 20;
/// What counts together.
const WINDOW: Millis = HOUR;
/// Between two looks for what may be forgotten.
const SWEEP: Millis = 10 * MINUTE;
/// An alert that was taken by a case that is over is over too, by then.
const CLOSED_FOR: Millis = 7 * DAY;

/// Strangers of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Doors {
    networks: BTreeMap<String, Stranger>,
    /// Those with an open case.
    open: BTreeSet<String>,
    swept_at: Millis,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stranger {
    /// By merchant.
    touches: BTreeMap<String, Touch>,
    /// Alerts of keys about it, of the last hour, that no case has.
    #[serde(default)]
    alerts: BTreeMap<String, Part>,
    case: Option<Case>,
    /// The case before, as long as alerts that it has taken are not over.
    #[serde(default)]
    closed: Option<Closed>,
}

/// What a case that is over has taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Closed {
    alert_id: String,
    at: Millis,
    taken: BTreeMap<String, Part>,
}

/// An alert of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    merchant: String,
    at: Millis,
    is_over: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Touch {
    first_at: Millis,
    last_at: Millis,
    accepted: bool,
    address: String,
}

/// An open case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    rule: String,
    address: String,
    starts_at: Millis,
    detected_at: Millis,
    last_at: Millis,
    revision: u32,
    severity: Severity,
    /// Merchants that its newest revision tells of.
    told: usize,
    /// Every merchant of it, and whether a call was accepted there.
    merchants: BTreeMap<String, bool>,
    /// Alerts that it has taken over.
    #[serde(default)]
    taken: BTreeMap<String, Part>,
}

impl Doors {
    /// Whether a case goes on: then every minute counts.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Merges a minute. Returns how many knocks a bound turned away.
    pub(super) fn merge(
        &mut self,
        knocks: BTreeMap<(String, String), Knock>,
        misused: BTreeMap<String, Misused>,
        ended: &BTreeMap<String, Millis>,
        now: Now,
        rules: &RuleSet,
        out: &mut StageOutput,
    ) -> u64 {
        let rule = rules.rules.iter().find_map(|rule| Some((rule, rule.detector.asks_of_doors()?)));
        let Some((rule, ask)) = rule else {
            let gone = std::mem::take(self);
            gone.networks.into_iter().for_each(|(network, mut stranger)| stranger.end(&network, now, out));
            return 0;
        };
        let mut dropped = 0;
        let mut asked = self.open.clone();
        for ((network, merchant), knock) in knocks {
            if !self.networks.contains_key(&network) && self.networks.len() >= NETWORKS_MAX {
                dropped += 1;
                continue;
            }
            let stranger = self.networks.entry(network.clone()).or_default();
            stranger.give_back(|alert| alert.merchant == merchant, now, out);
            dropped += u64::from(!stranger.note(merchant, knock));
            asked.insert(network);
        }
        for (id, alert) in misused {
            if !self.networks.contains_key(&alert.network) && self.networks.len() >= NETWORKS_MAX {
                dropped += 1;
                continue;
            }
            let stranger = self.networks.entry(alert.network.clone()).or_default();
            let network = alert.network.clone();
            dropped += u64::from(!stranger.note_alert(id, alert, now, out));
            asked.insert(network);
        }
        if !ended.is_empty() {
            self.networks.values_mut().for_each(|stranger| stranger.note_ends(ended));
        }
        for network in asked {
            let Some(stranger) = self.networks.get_mut(&network) else { continue };
            stranger.alerts.retain(|_, alert| now.end - WINDOW <= alert.at);
            stranger.touches.retain(|_, touch| now.end - WINDOW <= touch.last_at);
            stranger.judge(&network, rule, ask, now, out);
            match stranger.case {
                Some(_) => self.open.insert(network),
                None => self.open.remove(&network),
            };
        }
        if self.swept_at + SWEEP <= now.end {
            self.swept_at = now.end;
            let is_news = |touch: &Touch| now.end - WINDOW <= touch.last_at;
            self.networks.retain(|_, stranger| {
                stranger.alerts.retain(|_, alert| now.end - WINDOW <= alert.at);
                stranger.closed.take_if(|closed| closed.taken.is_empty() || closed.at + CLOSED_FOR < now.end);
                let is_of_use = stranger.case.is_some() || stranger.closed.is_some() || !stranger.alerts.is_empty();
                is_of_use || stranger.touches.values().any(is_news)
            });
        }
        dropped
    }
}

impl Stranger {
    /// False where there is no room for one more merchant.
    fn note(&mut self, merchant: String, knock: Knock) -> bool {
        if let Some(touch) = self.touches.get_mut(&merchant) {
            touch.accepted |= knock.accepted;
            touch.last_at = touch.last_at.max(knock.at);
            return true;
        }
        let has_room = self.touches.len() < MERCHANTS_MAX;
        if has_room {
            let Knock { accepted, at, address, .. } = knock;
            self.touches.insert(merchant, Touch { first_at: at, last_at: at, accepted, address });
        }
        has_room
    }

    /// False where there is no room for one more alert.
    fn note_alert(&mut self, id: String, alert: Misused, now: Now, out: &mut StageOutput) -> bool {
        let Misused { network, merchant, stands_alone, at, .. } = alert;
        self.give_back(|taken| taken.merchant == merchant, now, out);
        if stands_alone {
            self.alerts.remove(&id);
            if let Some(case) = &mut self.case
                && case.taken.remove(&id).is_some()
            {
                out.takings.push(taking(&case.alert_id(&network), id, false, now));
            }
            return true;
        }
        if self.case.as_ref().is_some_and(|case| case.taken.contains_key(&id)) || self.alerts.contains_key(&id) {
            return true;
        }
        let has_room = self.alerts.len() < ALERTS_MAX;
        if has_room {
            self.alerts.insert(id, Part { merchant, at, is_over: false });
        }
        has_room
    }

    fn note_ends(&mut self, ended: &BTreeMap<String, Millis>) {
        let taken = self.case.iter_mut().flat_map(|case| case.taken.iter_mut());
        let over = self.alerts.iter_mut().chain(taken).filter(|(id, _)| ended.contains_key(*id));
        over.for_each(|(_, alert)| alert.is_over = true);
        if let Some(closed) = &mut self.closed {
            closed.taken.retain(|id, _| !ended.contains_key(id));
        }
    }

    /// Where the network goes on with a key after the case is over, that is its merchant's own matter again.
    fn give_back(&mut self, goes_on: impl Fn(&Part) -> bool, now: Now, out: &mut StageOutput) {
        let Some(closed) = &mut self.closed else { return };
        closed.taken.retain(|id, alert| {
            let is_given = goes_on(alert);
            if is_given {
                out.takings.push(taking(&closed.alert_id, id.clone(), false, now));
            }
            !is_given
        });
    }

    /// The rule is gone, or has another name: whatever was taken goes on by itself.
    fn end(&mut self, network: &str, now: Now, out: &mut StageOutput) {
        self.close(network, now);
        self.give_back(|_| true, now, out);
    }

    fn close(&mut self, network: &str, now: Now) {
        let Some(case) = self.case.take() else { return };
        let alert_id = case.alert_id(network);
        let left = case.taken.into_iter().filter(|(_, alert)| !alert.is_over).collect();
        self.closed = Some(Closed { alert_id, at: now.end, taken: left });
    }

    fn judge(&mut self, network: &str, rule: &Rule, ask: AskOfDoors, now: Now, out: &mut StageOutput) {
        if self.case.as_ref().is_some_and(|case| case.rule != *rule.name) {
            self.end(network, now, out);
        }
        if self.case.is_none() && ask.min_merchants <= self.touches.len() as u64 {
            self.case = self.opened(rule, now, out);
            // It is the same strangers again.
            if let (Some(case), Some(closed)) = (&mut self.case, self.closed.take()) {
                case.taken = closed.taken;
            }
        }
        let Some(case) = &mut self.case else { return };
        for (merchant, touch) in &self.touches {
            case.last_at = case.last_at.max(touch.last_at);
            if case.merchants.contains_key(merchant) || case.merchants.len() < MERCHANTS_MAX {
                *case.merchants.entry(merchant.clone()).or_default() |= touch.accepted;
            }
        }
        if !rule.is_shadow() {
            for (id, alert) in std::mem::take(&mut self.alerts) {
                if case.taken.len() < ALERTS_MAX {
                    out.takings.push(taking(&case.alert_id(network), id.clone(), true, now));
                    case.taken.insert(id, alert);
                }
            }
        }
        // Where a call was accepted, a stranger has a key that works.
        let severity = match case.merchants.values().any(|accepted| *accepted) {
            true => case.severity.max(Severity::Critical),
            false => case.severity,
        };
        let is_news = case.told * 2 <= case.merchants.len() || severity > case.severity;
        if is_news {
            case.severity = severity;
            case.told = case.merchants.len();
            case.revision += 1;
            let alert = case.record(network, rule, None);
            out.changes.push(Change { alert, at: case.last_at, foster: false });
        }
        if case.last_at + ask.quiet < now.end {
            case.revision += 1;
            let at = case.last_at + ask.quiet;
            let alert = case.record(network, rule, Some(at));
            out.changes.push(Change { alert, at, foster: false });
            self.close(network, now);
        }
    }

    /// A case, unless the rule's own words spare it.
    fn opened(&self, rule: &Rule, now: Now, out: &mut StageOutput) -> Option<Case> {
        let first = self.touches.values().min_by_key(|touch| (touch.first_at, &touch.address))?;
        let last_at = self.touches.values().map(|touch| touch.last_at).max()?;
        // Of the calls together only the source is known.
        let event = AuthEvent { source_ip: first.address.parse().ok(), ..AuthEvent::at(last_at, "", None) };
        let scope = Scope::of(&event);
        if rule.condition.as_ref().is_some_and(|condition| !condition.matches(&scope))
            || rule.active.as_ref().is_some_and(|hours| !hours.contains(last_at))
        {
            return None;
        }
        if let Some(exception) = rule.exception_for(&scope) {
            out.spared.push((rule.name.clone(), exception.name.clone()));
            return None;
        }
        Some(Case {
            rule: rule.name.to_string(),
            address: first.address.clone(),
            starts_at: first.first_at,
            detected_at: now.read.max(first.first_at),
            last_at,
            revision: 0,
            severity: rule.severity_of(rule.severity, &scope),
            told: 0,
            merchants: BTreeMap::new(),
            taken: BTreeMap::new(),
        })
    }
}

impl Case {
    fn alert_id(&self, network: &str) -> String {
        alert_id(&self.rule, &subject_of(network), self.starts_at)
    }

    fn record(&self, network: &str, rule: &Rule, ends_at: Option<Millis>) -> Alert {
        let n_merchants = self.merchants.len();
        let accepted: Vec<&str> = self.merchants.iter().filter(|(_, is)| **is).map(|(id, _)| id.as_str()).collect();
        let examples: Vec<&str> = self.merchants.keys().map(String::as_str).take(EXAMPLES).collect();
        let mut evidence = json!({
            "merchants": n_merchants,
            "examples": examples,
            "window": "1h",
        });
        if !accepted.is_empty() {
            evidence["works_at"] = json!(accepted.iter().take(EXAMPLES).collect::<Vec<_>>());
        }
        if !self.taken.is_empty() {
            evidence["alerts_taken"] = self.taken.len().into();
        }
        if ends_at.is_some() {
            evidence["ended"] = "quiet".into();
        }
        let works = match accepted.len() {
            0 => "No call was accepted.".to_owned(),
            n => format!("At {n} of them calls were accepted."),
        };
        let text = format!(
            "Within an hour calls with keys of {n_merchants} merchants came from {network}, which is new to each of them. {works}"
        );
        Alert {
            version: 1,
            alert_id: self.alert_id(network),
            revision: self.revision,
            rule: rule.name.to_string(),
            rule_hash: rule.hash.to_string(),
            kind: rule.kind,
            reasons: vec![Reason { kind: rule.kind, score: 0.9, text }],
            score: 0.9,
            severity: self.severity,
            state: if ends_at.is_some() { State::Resolved } else { State::Firing },
            starts_at: self.starts_at,
            detected_at: self.detected_at,
            ends_at,
            merchant_id: None,
            key_id: None,
            key_hint: None,
            source: Some(Source { address: self.address.clone(), network: network.to_owned(), ..Source::default() }),
            audience: rule.audience,
            summary: format!("{network} uses or tries keys of {n_merchants} merchants, and none of them knows it."),
            evidence,
            runbook: rule.runbook.clone(),
            subject: subject_of(network),
        }
    }
}

fn taking(by: &str, alert_id: String, is_taken: bool, now: Now) -> Taking {
    Taking { alert_id, by: by.to_owned(), kind: Kind::KeyScan, at: now.end, is_taken }
}

fn subject_of(network: &str) -> String {
    format!("source {network}")
}
