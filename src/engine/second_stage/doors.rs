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
const LEFT_FOR: Millis = 7 * DAY;
/// For so long it is looked whether what may be more than a part of a scan is one after all.
const DOUBT: Millis = 10 * MINUTE;

/// Strangers of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Doors {
    networks: BTreeMap<String, Stranger>,
    /// Those with an open case.
    open: BTreeSet<String>,
    /// Those of whose alerts it is doubtful whether they belong to a case.
    #[serde(default)]
    doubtful: BTreeSet<String>,
    /// Those that had an open case within a day, and when last.
    #[serde(default)]
    scanned: BTreeMap<String, Millis>,
    swept_at: Millis,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stranger {
    /// By merchant.
    touches: BTreeMap<String, Touch>,
    case: Option<Case>,
    /// Alerts of keys about it that no case has, of the last hour.
    #[serde(default)]
    alerts: BTreeMap<String, Part>,
    /// Alerts that a case has taken which is over, and that are not over.
    #[serde(default)]
    left: BTreeMap<String, Part>,
}

/// An alert of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    merchant: String,
    at: Millis,
    is_over: bool,
    /// Other networks that used the key.
    others: BTreeSet<String>,
    /// Since when one of them is not known to scan.
    elsewhere_since: Option<Millis>,
    /// Since when the network goes on with the key after its scan was over.
    goes_on_since: Option<Millis>,
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

impl Part {
    /// Since when it may be more than a part of a scan.
    fn doubt_since(&self) -> Option<Millis> {
        self.elsewhere_since.into_iter().chain(self.goes_on_since).min()
    }
}

impl Doors {
    /// Whether something goes on: then every minute counts.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty() || !self.doubtful.is_empty()
    }

    /// Merges a minute. Returns how many knocks and alerts a bound turned away.
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
        let mut asked: BTreeSet<String> = self.open.union(&self.doubtful).cloned().collect();
        for ((network, merchant), knock) in knocks {
            let Some(stranger) = self.stranger(&network) else {
                dropped += 1;
                continue;
            };
            stranger.doubt(&merchant, now);
            dropped += u64::from(!stranger.note(merchant, knock));
            asked.insert(network);
        }
        for (id, alert) in misused {
            let network = alert.network.clone();
            let Some(stranger) = self.stranger(&network) else {
                dropped += 1;
                continue;
            };
            dropped += u64::from(!stranger.note_alert(id, alert, now, out));
            asked.insert(network);
        }
        if !ended.is_empty() {
            self.networks.values_mut().for_each(|stranger| stranger.note_ends(ended));
        }
        for network in &asked {
            let Some(stranger) = self.networks.get_mut(network) else { continue };
            stranger.alerts.retain(|_, alert| now.end - WINDOW <= alert.at);
            stranger.touches.retain(|_, touch| now.end - WINDOW <= touch.last_at);
            stranger.open(network, rule, ask, now, out);
            let has_room = self.scanned.len() < NETWORKS_MAX || self.scanned.contains_key(network);
            if stranger.case.is_some() && has_room {
                self.scanned.insert(network.clone(), now.end);
            }
        }
        for network in asked {
            let Some(stranger) = self.networks.get_mut(&network) else {
                note(&mut self.open, &network, false);
                note(&mut self.doubtful, &network, false);
                continue;
            };
            if !rule.is_shadow() {
                stranger.take_alerts(&network, &self.scanned, now, out);
            }
            stranger.tell(&network, rule, ask, now, out);
            note(&mut self.open, &network, stranger.case.is_some());
            note(&mut self.doubtful, &network, stranger.is_doubtful());
        }
        if self.swept_at + SWEEP <= now.end {
            self.swept_at = now.end;
            self.scanned.retain(|_, at| now.end - DAY <= *at);
            self.networks.retain(|_, stranger| stranger.is_of_use(now));
        }
        dropped
    }

    /// A network, where there is room for it.
    fn stranger(&mut self, network: &str) -> Option<&mut Stranger> {
        if !self.networks.contains_key(network) && self.networks.len() >= NETWORKS_MAX {
            return None;
        }
        Some(self.networks.entry(network.to_owned()).or_default())
    }
}

/// Puts a network into a set, or takes it out.
fn note(set: &mut BTreeSet<String>, network: &str, is_in: bool) {
    if is_in {
        set.insert(network.to_owned());
    } else {
        set.remove(network);
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

    /// The network goes on with a key after the case that took its alert: unless that is a scan again, it is its merchant's
    /// own matter.
    fn doubt(&mut self, merchant: &str, now: Now) {
        for alert in self.left.values_mut().filter(|alert| alert.merchant == merchant) {
            alert.goes_on_since.get_or_insert(now.end);
        }
    }

    /// False where there is no room for one more alert.
    fn note_alert(&mut self, id: String, alert: Misused, now: Now, out: &mut StageOutput) -> bool {
        let Misused { network, merchant, others, moves_money, at, .. } = alert;
        if moves_money {
            self.alerts.remove(&id);
            let of_case = self.case.as_mut().and_then(|case| case.taken.remove(&id));
            if self.left.remove(&id).or(of_case).is_some() {
                out.takings.push(self.taking(&network, id, false, now));
            }
            return true;
        }
        let taken = self.case.as_mut().and_then(|case| case.taken.get_mut(&id));
        if let Some(known) = taken.or(self.left.get_mut(&id)).or(self.alerts.get_mut(&id)) {
            known.others.extend(others);
            return true;
        }
        let has_room = self.alerts.len() < ALERTS_MAX;
        if has_room {
            self.alerts
                .insert(id, Part { merchant, at, is_over: false, others, elsewhere_since: None, goes_on_since: None });
        }
        has_room
    }

    fn note_ends(&mut self, ended: &BTreeMap<String, Millis>) {
        let taken = self.case.iter_mut().flat_map(|case| case.taken.iter_mut());
        let over = self.alerts.iter_mut().chain(taken).filter(|(id, _)| ended.contains_key(*id));
        over.for_each(|(_, alert)| alert.is_over = true);
        self.left.retain(|id, _| !ended.contains_key(id));
    }

    /// Opens a case where there are enough merchants.
    fn open(&mut self, network: &str, rule: &Rule, ask: AskOfDoors, now: Now, out: &mut StageOutput) {
        if self.case.as_ref().is_some_and(|case| case.rule != *rule.name) {
            self.end(network, now, out);
        }
        if self.case.is_none() && ask.min_merchants <= self.touches.len() as u64 {
            self.case = self.opened(rule, now, out);
        }
        let Some(case) = &mut self.case else { return };
        for (id, mut alert) in std::mem::take(&mut self.left) {
            // It is the same strangers again.
            alert.goes_on_since = None;
            case.taken.insert(id, alert);
        }
        for (merchant, touch) in &self.touches {
            case.last_at = case.last_at.max(touch.last_at);
            if case.merchants.contains_key(merchant) || case.merchants.len() < MERCHANTS_MAX {
                *case.merchants.entry(merchant.clone()).or_default() |= touch.accepted;
            }
        }
    }

    /// Takes the alerts over that are about nothing but scans. What turns out to be more is given back after a while: the
    /// other network may be about to show that it scans, too.
    fn take_alerts(&mut self, network: &str, scanned: &BTreeMap<String, Millis>, now: Now, out: &mut StageOutput) {
        let is_scan = |alert: &Part| alert.others.iter().all(|other| scanned.contains_key(other));
        if let Some(case) = &mut self.case {
            let by = case.alert_id(network);
            let room = ALERTS_MAX.saturating_sub(case.taken.len());
            let fits: Vec<String> =
                self.alerts.iter().filter(|(_, alert)| is_scan(alert)).map(|(id, _)| id.clone()).take(room).collect();
            for id in fits {
                let Some(alert) = self.alerts.remove(&id) else { continue };
                out.takings.push(taking(&by, id.clone(), true, now));
                case.taken.insert(id, alert);
            }
        }
        let of_case = self.case.iter_mut().flat_map(|case| case.taken.values_mut());
        for alert in of_case.chain(self.left.values_mut()) {
            alert.elsewhere_since = if is_scan(alert) { None } else { alert.elsewhere_since.or(Some(now.end)) };
        }
        self.give_back(network, |alert| alert.doubt_since().is_some_and(|since| since + DOUBT <= now.end), now, out);
    }

    fn give_back(&mut self, network: &str, which: impl Fn(&Part) -> bool, now: Now, out: &mut StageOutput) {
        let of_case = self.case.iter().flat_map(|case| &case.taken);
        let all = of_case.chain(&self.left).filter(|(_, alert)| !alert.is_over && which(alert));
        let ids: Vec<String> = all.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let of_case = self.case.as_mut().and_then(|case| case.taken.remove(&id));
            let Some(alert) = of_case.or_else(|| self.left.remove(&id)) else { continue };
            out.takings.push(self.taking(network, id.clone(), false, now));
            self.alerts.insert(id, Part { at: now.end, elsewhere_since: None, goes_on_since: None, ..alert });
        }
    }

    /// The rule is gone, or has another name: whatever was taken goes on by itself.
    fn end(&mut self, network: &str, now: Now, out: &mut StageOutput) {
        self.give_back(network, |_| true, now, out);
        self.case = None;
    }

    fn taking(&self, network: &str, id: String, is_taken: bool, now: Now) -> Taking {
        let by = self.case.as_ref().map(|case| case.alert_id(network)).unwrap_or_default();
        taking(&by, id, is_taken, now)
    }

    fn is_doubtful(&self) -> bool {
        let of_case = self.case.iter().flat_map(|case| case.taken.values());
        of_case.chain(self.left.values()).any(|alert| alert.doubt_since().is_some())
    }

    fn is_of_use(&mut self, now: Now) -> bool {
        self.alerts.retain(|_, alert| now.end - WINDOW <= alert.at);
        self.left.retain(|_, alert| now.end - LEFT_FOR <= alert.at);
        let is_asked = self.touches.values().any(|touch| now.end - WINDOW <= touch.last_at);
        is_asked || self.case.is_some() || !self.alerts.is_empty() || !self.left.is_empty()
    }

    /// Tells of what is new about the case, and ends it.
    fn tell(&mut self, network: &str, rule: &Rule, ask: AskOfDoors, now: Now, out: &mut StageOutput) {
        let Some(case) = &mut self.case else { return };
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
            let taken = std::mem::take(&mut case.taken);
            self.left.extend(taken.into_iter().filter(|(_, alert)| !alert.is_over));
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
