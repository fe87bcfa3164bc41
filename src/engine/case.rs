//! Cases: one episode of a rule on a part of a key, from its first sign to its end.

use serde_json::{Map, Value, json};

use crate::alert::{Alert, Kind, Reason, Severity, State, alert_id};
use crate::engine::detect::Sign;
use crate::event::{AuthEvent, Outcome};
use crate::rules::Rule;
use crate::time::{Millis, rfc3339};

/// Open cases that one key can have.
pub const CASES_PER_KEY: usize = 16;
/// Reasons of one alert, one a kind.
pub const REASONS_PER_CASE: usize = 6;
/// Sources named in one alert.
pub const SOURCES_PER_CASE: usize = 8;
/// New endpoints named in one alert.
pub const ENDPOINTS_PER_CASE: usize = 5;
/// Evidence that stays where another kind becomes the strongest reason: the page that a key must be taken out of.
const KEPT: [&str; 2] = ["mark", "page"];
/// Event IDs named in one alert.
pub const SAMPLES_PER_CASE: usize = 5;

/// An episode that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenCase {
    /// The last sign.
    pub last_at: Millis,
    /// How long without a sign ends it; `None` = the detector ends it.
    pub quiet: Option<Millis>,
    /// It opens with the first sign from then on; until then nobody knows of it. `None` = it is open.
    pub opens_at: Option<Millis>,
    /// Which part of the key it is about.
    pub part: Box<str>,
    /// The record as it stands, without what `notes` add to the evidence.
    pub alert: Alert,
    /// What the events of the episode had in common.
    pub notes: Notes,
}

/// What is gathered from the events of an episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Accepted calls.
    pub accepted: u64,
    /// Refused calls.
    pub refused: u64,
    /// First and last event.
    pub first_at: Option<Millis>,
    /// Last event.
    pub last_at: Option<Millis>,
    /// Where they came from, in the order of their appearance.
    pub sources: Vec<SourceNote>,
    /// Calls from sources that the list had no room for.
    pub other_calls: u64,
    /// The first event IDs.
    pub sample_event_ids: Vec<String>,
}

/// One source of an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNote {
    /// The first address of the network.
    pub address: String,
    /// The network.
    pub network: String,
    /// The first user agent.
    pub user_agent: Option<String>,
    /// Calls.
    pub calls: u64,
}

/// Who and what a case is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The merchant, where known.
    pub merchant_id: Option<&'a str>,
    /// The key; none where the case is about a source network.
    pub key_id: Option<&'a str>,
    /// Its masked form.
    pub key_hint: Option<&'a str>,
}

impl OpenCase {
    /// Opens a case with its first sign.
    pub fn open(
        rule: &Rule,
        about: About<'_>,
        sign: &Sign,
        severity: Severity,
        event: Option<&AuthEvent<'_>>,
        now: Millis,
    ) -> Self {
        let whose = match (about.key_id, &sign.source) {
            (Some(key_id), _) => format!("key {key_id}"),
            (None, Some(source)) => format!("source {}", source.network),
            (None, None) => "source".to_owned(),
        };
        let subject = match sign.part.as_str() {
            "" => whose,
            part => format!("{whose} {part}"),
        };
        let alert = Alert {
            version: 1,
            alert_id: alert_id(&rule.name, &subject, sign.starts_at),
            revision: 1,
            rule: rule.name.to_string(),
            rule_hash: rule.hash.to_string(),
            kind: rule.kind,
            reasons: vec![Reason { kind: rule.kind, score: sign.score, text: sign.reason.clone() }],
            score: sign.score,
            severity,
            state: State::Firing,
            starts_at: sign.starts_at,
            detected_at: now.max(sign.starts_at),
            ends_at: None,
            merchant_id: about.merchant_id.map(str::to_owned),
            key_id: about.key_id.map(str::to_owned),
            key_hint: about.key_hint.map(str::to_owned),
            source: sign.source.clone(),
            audience: rule.audience,
            summary: summary(rule, sign),
            evidence: Value::Object(sign.evidence.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()),
            runbook: rule.runbook.clone(),
            subject,
        };
        let mut case = OpenCase {
            last_at: sign.last_at,
            quiet: quiet(rule, sign),
            opens_at: (rule.opens_after > 0).then_some(sign.starts_at + rule.opens_after),
            part: sign.part.as_str().into(),
            alert,
            notes: Notes::default(),
        };
        if let Some(event) = event {
            case.notes.add(event, sign);
        }
        case
    }

    /// Takes a further sign in, which may be another rule's. True where it is worth telling: worse than before, for a
    /// new reason, from a network not yet named, or the sign that opens it at last. `is_noted` = the event is counted.
    pub fn join(
        &mut self,
        rule: &Rule,
        sign: &Sign,
        severity: Severity,
        event: &AuthEvent<'_>,
        is_noted: bool,
        now: Millis,
    ) -> bool {
        let is_own = *self.alert.rule == *rule.name;
        self.last_at = self.last_at.max(sign.last_at);
        if is_own {
            self.quiet = quiet(rule, sign);
        }
        let new_source = !is_noted && self.notes.add(event, sign);
        let counts = is_own || sign.opens;
        // How many calls there are says less than who makes them.
        let is_guest = !is_own && !rule.kind.is_of_misuse();
        let score = if is_guest { sign.score.min(0.95 * self.strongest()) } else { sign.score };
        let worse = counts && severity > self.alert.severity;
        let stronger = counts && self.strongest() < score;
        if worse {
            self.alert.severity = severity;
        }
        if (worse && is_own) || stronger {
            self.alert.summary = summary(rule, sign);
        }
        let kind_before = self.alert.kind;
        let new_reason = counts && self.add_reason(rule.kind, sign, score);
        if self.alert.kind != kind_before {
            // What another kind has observed is no measure for this one.
            let kept = self.alert.evidence.as_object().into_iter().flatten();
            let kept = kept.filter(|(name, _)| KEPT.contains(&name.as_str()));
            self.alert.evidence = Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
        }
        if is_own || stronger {
            self.take_evidence(sign);
        }
        self.keep(sign);
        match self.opens_at {
            Some(opens_at) if event.ts < opens_at => return false,
            Some(_) => {
                self.opens_at = None;
                self.alert.detected_at = now.max(self.alert.starts_at);
                return true;
            }
            None => {}
        }
        let is_news = worse || new_source || new_reason;
        if is_news {
            self.alert.revision += 1;
        }
        is_news
    }

    fn strongest(&self) -> f64 {
        self.alert.reasons.first().map_or(0.0, |reason| reason.score)
    }

    /// Notes why. True where it is a reason of a kind that the alert did not have.
    fn add_reason(&mut self, kind: Kind, sign: &Sign, score: f64) -> bool {
        let reasons = &mut self.alert.reasons;
        let is_full = reasons.len() >= REASONS_PER_CASE;
        let known = reasons.iter_mut().find(|reason| reason.kind == kind);
        let is_new = match known {
            Some(reason) if reason.score < score => {
                (reason.score, reason.text) = (score, sign.reason.clone());
                false
            }
            Some(_) => return false,
            None if !sign.opens || is_full => return false,
            None => {
                reasons.push(Reason { kind, score, text: sign.reason.clone() });
                true
            }
        };
        reasons.sort_by(|a, b| b.score.total_cmp(&a.score));
        if let Some(strongest) = reasons.first() {
            self.alert.kind = strongest.kind;
        }
        // Signs that say the same independently: the chance that none of them is right.
        self.alert.score = 1.0 - reasons.iter().map(|reason| 1.0 - reason.score).product::<f64>();
        is_new
    }

    fn take_evidence(&mut self, sign: &Sign) {
        let observed = |evidence: &Value| evidence.get("observed").and_then(Value::as_u64).unwrap_or(0);
        let mut new = Value::Object(sign.evidence.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect());
        if sign.evidence.is_empty() || observed(&new) < observed(&self.alert.evidence) {
            return;
        }
        let endpoints = endpoints_of_both(&self.alert.evidence, &new);
        if !sign.opens {
            new = std::mem::take(&mut self.alert.evidence);
        } else if let (Some(before), Value::Object(fields)) = (self.alert.evidence.as_object_mut(), &mut new) {
            for name in KEPT {
                fields.extend(before.remove(name).map(|value| (name.to_owned(), value)));
            }
        }
        if let (Some(endpoints), Value::Object(fields)) = (endpoints, &mut new) {
            fields.insert("endpoints".into(), endpoints);
        }
        self.alert.evidence = new;
    }

    /// Keeps what is to be mended, whichever reason is the strongest.
    fn keep(&mut self, sign: &Sign) {
        let Value::Object(evidence) = &mut self.alert.evidence else { return };
        for (name, value) in sign.evidence.iter().filter(|(name, value)| KEPT.contains(name) && !value.is_null()) {
            evidence.entry(*name).or_insert_with(|| value.clone());
        }
    }

    /// The detector says that it is over. True where that ends it now; where its rule keeps it open for a while, it ends
    /// by itself unless a sign comes.
    pub fn is_over(&mut self, rule: &Rule, at: Millis) -> bool {
        if rule.keep_firing_for == 0 || self.opens_at.is_some() {
            return true;
        }
        if self.quiet.is_none() {
            self.last_at = at;
            self.quiet = Some(rule.keep_firing_for);
        }
        false
    }

    /// When it ends by itself if nothing more happens.
    pub fn ends_by_itself_at(&self) -> Option<Millis> {
        self.quiet.map(|quiet| self.last_at + quiet)
    }

    /// The record with all evidence, as others see it.
    pub fn record(&self) -> Alert {
        let mut alert = self.alert.clone();
        if let Value::Object(evidence) = &mut alert.evidence {
            self.notes.write(evidence);
        }
        alert
    }

    /// The record of its end.
    pub fn end(mut self, at: Millis, why: &str) -> Alert {
        self.alert.state = State::Resolved;
        self.alert.ends_at = Some(at.max(self.alert.starts_at));
        self.alert.revision += 1;
        let mut alert = self.record();
        if let Value::Object(evidence) = &mut alert.evidence {
            evidence.insert("ended".into(), why.into());
        }
        alert
    }
}

/// The endpoints that signs of one case have named, where there are several.
fn endpoints_of_both(before: &Value, new: &Value) -> Option<Value> {
    let one = |evidence: &Value| evidence.get("endpoint").cloned();
    let list = |evidence: &Value| evidence.get("endpoints").and_then(Value::as_array).cloned();
    let (first, added) = (one(before)?, one(new)?);
    let mut all = list(before).unwrap_or_else(|| vec![first]);
    for endpoint in list(new).unwrap_or_default().into_iter().chain([added]) {
        if !all.contains(&endpoint) && all.len() < ENDPOINTS_PER_CASE {
            all.push(endpoint);
        }
    }
    (all.len() > 1).then_some(Value::Array(all))
}

/// What a sign says, or the rule's title where its detector leaves that to it.
fn summary(rule: &Rule, sign: &Sign) -> String {
    if sign.summary.is_empty() { format!("{}.", rule.title.trim_end_matches('.')) } else { sign.summary.clone() }
}

/// How long without a sign ends an episode, by its detector and its rule.
fn quiet(rule: &Rule, sign: &Sign) -> Option<Millis> {
    sign.quiet.map(|quiet| quiet.max(rule.keep_firing_for))
}

impl Notes {
    /// Notes an event of the episode. True where it came from a network not yet named, if the sign blames sources.
    fn add(&mut self, event: &AuthEvent<'_>, sign: &Sign) -> bool {
        let calls = u64::from(event.count);
        match event.outcome {
            Outcome::Ok => self.accepted += calls,
            Outcome::Denied => self.refused += calls,
        }
        self.first_at = Some(self.first_at.map_or(event.ts, |at| at.min(event.ts)));
        self.last_at = Some(self.last_at.map_or(event.ts, |at| at.max(event.ts)));
        if self.sample_event_ids.len() < SAMPLES_PER_CASE
            && let Some(id) = &event.event_id
        {
            self.sample_event_ids.push(id.to_string());
        }
        let Some(source) = &sign.source else { return false };
        if let Some(known) = self.sources.iter_mut().find(|s| s.network == source.network) {
            known.calls += calls;
            return false;
        }
        if self.sources.len() >= SOURCES_PER_CASE {
            self.other_calls += calls;
            return false;
        }
        self.sources.push(SourceNote {
            address: source.address.clone(),
            network: source.network.clone(),
            user_agent: event.user_agent.as_ref().map(|ua| ua.to_string()),
            calls,
        });
        self.sources.len() > 1
    }

    fn write(&self, evidence: &mut Map<String, Value>) {
        if self.first_at.is_none() {
            return;
        }
        evidence.insert("accepted".into(), self.accepted.into());
        evidence.insert("refused".into(), self.refused.into());
        evidence.extend(self.first_at.map(|at| ("first_at".into(), rfc3339(at).into())));
        evidence.extend(self.last_at.map(|at| ("last_at".into(), rfc3339(at).into())));
        if !self.sample_event_ids.is_empty() {
            evidence.insert("sample_event_ids".into(), json!(self.sample_event_ids));
        }
        if !self.sources.is_empty() {
            let named: Vec<Value> = self
                .sources
                .iter()
                .map(|s| json!({"address": s.address, "network": s.network, "user_agent": s.user_agent, "calls": s.calls}))
                .collect();
            evidence.insert("sources".into(), named.into());
        }
        if self.other_calls > 0 {
            evidence.insert("calls_from_other_sources".into(), self.other_calls.into());
        }
    }
}
