//! One network at the doors of several merchants, none of which knows it: somebody has a list of keys.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::signal::Knock;
use super::{Now, StageOutput};
use crate::alert::{Alert, Reason, Severity, Source, State, alert_id};
use crate::engine::detect::key_scan::AskOfDoors;
use crate::engine::shard::Change;
use crate::event::AuthEvent;
use crate::rules::expr::Scope;
use crate::rules::{Rule, RuleSet};
use crate::time::{HOUR, MINUTE, Millis};

/// Networks that are remembered.
const NETWORKS_MAX: usize = 10_000;
/// Merchants that are told apart for one network.
const MERCHANTS_MAX: usize = 256;
/// Merchants that an alert names.
const EXAMPLES: usize = 20;
/// What counts together.
const WINDOW: Millis = HOUR;
/// Between two looks for what may be forgotten.
const SWEEP: Millis = 10 * MINUTE;

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
    case: Option<Case>,
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
        now: Now,
        rules: &RuleSet,
        out: &mut StageOutput,
    ) -> u64 {
        let rule = rules.rules.iter().find_map(|rule| Some((rule, rule.detector.asks_of_doors()?)));
        let Some((rule, ask)) = rule else {
            *self = Doors::default();
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
            dropped += u64::from(!stranger.note(merchant, knock));
            asked.insert(network);
        }
        for network in asked {
            let Some(stranger) = self.networks.get_mut(&network) else { continue };
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
            self.networks.retain(|_, stranger| stranger.case.is_some() || stranger.touches.values().any(is_news));
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

    fn judge(&mut self, network: &str, rule: &Rule, ask: AskOfDoors, now: Now, out: &mut StageOutput) {
        self.case.take_if(|case| case.rule != *rule.name);
        if self.case.is_none() && ask.min_merchants <= self.touches.len() as u64 {
            self.case = self.opened(rule, now, out);
        }
        let Some(case) = &mut self.case else { return };
        for (merchant, touch) in &self.touches {
            case.last_at = case.last_at.max(touch.last_at);
            if case.merchants.contains_key(merchant) || case.merchants.len() < MERCHANTS_MAX {
                *case.merchants.entry(merchant.clone()).or_default() |= touch.accepted;
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
            self.case = None;
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
        })
    }
}

impl Case {
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
        if ends_at.is_some() {
            evidence["ended"] = "quiet".into();
        }
        let works = match accepted.len() {
            0 => "No call was accepted.".to_owned(),
            n => format!("At {n} of them calls were accepted."),
        };
        let subject = format!("source {network}");
        let text = format!(
            "Within an hour calls with keys of {n_merchants} merchants came from {network}, which is new to each of them. {works}"
        );
        Alert {
            version: 1,
            alert_id: alert_id(&rule.name, &subject, self.starts_at),
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
            subject,
        }
    }
}
