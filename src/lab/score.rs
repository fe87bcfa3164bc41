//! What was planted against what was found (pure). The rules of it are in `docs/lab.md`.

use serde::Serialize;
use serde_json::Value;

use crate::alert::Alert;
use crate::lab::known::{Known, network_of};
use crate::simulate::{Label, Labels};
use crate::time::{DAY, HOUR, MINUTE, Millis, rfc3339};

/// An alert may name a time so much before the incident's first sign: lines are late by minutes.
const EARLY: Millis = 5 * MINUTE;
/// And so much after its last one: windows are up to an hour long.
const LATE: Millis = HOUR;
/// What comes so long after an incident on the same key is its aftermath.
const AFTERMATH: Millis = DAY;

/// Incidents that last as long as a fact does: only an alert that says so is about them.
const STANDING: [&str; 5] = ["stale_key", "rotation_overdue", "expiring_key", "rotation_unproven", "key_exposed"];
/// Incidents of which the new key and the old one have a part each.
const OF_ROTATIONS: [&str; 3] = ["rotated_key_use", "rotation_unproven", "key_lifecycle"];

/// Something that was found: an alert, or what another tool would have told.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name.
    pub id: String,
    /// What found it.
    pub rule: String,
    /// Its kind, as text: a detector may be younger than this.
    pub kind: String,
    /// Kinds of further reasons.
    pub reasons: Vec<String>,
    /// Whose key.
    pub merchant_id: Option<String>,
    /// Which key.
    pub key_id: Option<String>,
    /// The address to blame.
    pub source: Option<String>,
    /// When it began.
    pub starts_at: Millis,
    /// When it was known.
    pub detected_at: Millis,
    /// In words.
    pub summary: String,
    /// The evidence, for who tunes.
    pub evidence: Value,
}

impl Found {
    /// From an alert.
    pub fn of(alert: &Alert) -> Found {
        Found {
            id: alert.alert_id.clone(),
            rule: alert.rule.clone(),
            kind: alert.kind.as_str().to_owned(),
            reasons: alert.reasons.iter().map(|reason| reason.kind.as_str().to_owned()).collect(),
            merchant_id: alert.merchant_id.clone(),
            key_id: alert.key_id.clone(),
            source: alert.source.as_ref().map(|source| source.address.clone()),
            starts_at: alert.starts_at,
            detected_at: alert.detected_at,
            summary: alert.summary.clone(),
            evidence: alert.evidence.clone(),
        }
    }
}

/// What an alert came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It found the incident at this place.
    Hit(usize),
    /// It is one more about the incident at this place.
    More(usize),
    /// Nobody planted it, and it is true.
    True(&'static str),
    /// It is false. With what lies there and only looks like an incident.
    False(Vec<String>),
}

/// One incident with what was found of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was planted.
    pub label: Label,
    /// Alerts that say so: places in [`Rows::found`], the earliest first.
    pub hits: Vec<usize>,
    /// Further alerts of the same time and key.
    pub more: Vec<usize>,
    /// From the first sign to the first hit, in event time.
    pub delay: Option<Millis>,
}

/// Everything of one simulation.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// An incident each.
    pub incidents: Vec<Row>,
    /// What was found, by the time at which it was known.
    pub found: Vec<Found>,
    /// What each came to.
    pub verdicts: Vec<Verdict>,
}

/// Sets what was found against what was planted.
pub fn judge(labels: &Labels, known: &Known, mut found: Vec<Found>) -> Rows {
    found.sort_by(|a, b| (a.detected_at, &a.id).cmp(&(b.detected_at, &b.id)));
    let mut incidents: Vec<Row> = labels
        .incidents
        .iter()
        .map(|label| Row { label: label.clone(), hits: Vec::new(), more: Vec::new(), delay: None })
        .collect();
    let mut verdicts = Vec::with_capacity(found.len());
    for (at, alert) in found.iter().enumerate() {
        // The kind that was planted before one that would be right too, then the earliest.
        let hit = |row: &Row| is_of(alert, &row.label, known) && is_hit(alert, &row.label);
        let exact = incidents.iter().position(|row| hit(row) && row.label.kind == alert.kind);
        let verdict = if let Some(n) = exact.or_else(|| incidents.iter().position(hit)) {
            let row = &mut incidents[n];
            row.hits.push(at);
            row.delay.get_or_insert((alert.detected_at - row.label.starts_at).max(0));
            Verdict::Hit(n)
        } else if let Some(n) = incidents.iter().position(|row| is_more(alert, &row.label, known)) {
            incidents[n].more.push(at);
            Verdict::More(n)
        } else if let Some(why) = known.bears_out(alert) {
            Verdict::True(why)
        } else if labels.benign.iter().any(|label| is_failure(alert, label)) {
            Verdict::True("a part of the platform failed")
        } else {
            let lies_on = labels.benign.iter().filter(|label| lies_on(alert, label));
            Verdict::False(lies_on.map(|label| label.kind.clone()).collect())
        };
        verdicts.push(verdict);
    }
    Rows { incidents, found, verdicts }
}

/// Whether it is about the same key, or about the same source.
fn is_of(alert: &Found, label: &Label, known: &Known) -> bool {
    match (&label.key_id, &alert.key_id) {
        (Some(planted), Some(found)) => {
            planted == found
                || OF_ROTATIONS.contains(&label.kind.as_str()) && known.is_kin(planted, found)
                // A suspension is of all the merchant's keys.
                || label.kind == "suspended_use" && label.merchant_id == alert.merchant_id
        }
        (Some(_), None) => label.merchant_id.is_some() && label.merchant_id == alert.merchant_id,
        (None, _) if label.source.is_some() => {
            let network = |address: &Option<String>| address.as_deref().and_then(network_of);
            network(&label.source) == network(&alert.source)
        }
        (None, _) => label.merchant_id.is_some() && label.merchant_id == alert.merchant_id,
    }
}

fn names(alert: &Found, label: &Label) -> bool {
    let is_right = |kind: &str| label.kind == kind || label.also.contains(&kind);
    is_right(&alert.kind) || alert.reasons.iter().any(|kind| is_right(kind))
}

fn is_hit(alert: &Found, label: &Label) -> bool {
    let span = label.starts_at - EARLY..=label.ends_at.saturating_add(LATE);
    names(alert, label) && (span.contains(&alert.starts_at) || span.contains(&alert.detected_at))
}

fn is_more(alert: &Found, label: &Label, known: &Known) -> bool {
    if !is_of(alert, label, known) || STANDING.contains(&label.kind.as_str()) && !names(alert, label) {
        return false;
    }
    (label.starts_at - EARLY..=label.ends_at.saturating_add(AFTERMATH)).contains(&alert.detected_at)
}

/// Whether an alert about the platform is of a failure of the platform, or of the log.
fn is_failure(alert: &Found, label: &Label) -> bool {
    const OF_PLATFORM: [&str; 4] = ["platform_refusals", "platform_silence", "outage_lost", "retry_storm"];
    let span = label.starts_at - EARLY..=label.ends_at.saturating_add(LATE);
    alert.kind == "platform_incident" && OF_PLATFORM.contains(&label.kind.as_str()) && span.contains(&alert.starts_at)
}

/// Whether something harmless lies where an alert is.
fn lies_on(alert: &Found, label: &Label) -> bool {
    let same_key = label.key_id.is_none() || label.key_id == alert.key_id;
    let same_merchant = label.merchant_id.is_none() || label.merchant_id == alert.merchant_id;
    let span = label.starts_at - LATE..=label.ends_at.saturating_add(AFTERMATH);
    // What the whole platform shows is over when it is over.
    let is_soon = label.merchant_id.is_some() || alert.starts_at <= label.ends_at + LATE;
    same_key && same_merchant && is_soon && span.contains(&alert.detected_at)
}

/// A line of `misses.jsonl`.
#[derive(Debug, Serialize)]
pub struct Miss<'a> {
    seed: u64,
    #[serde(flatten)]
    label: &'a Label,
    calls_per_day: Option<f64>,
    calls_in_it: Option<u64>,
    refused_in_it: Option<u64>,
    found_beside: Vec<&'a str>,
}

/// A line of `found.jsonl`, `false-alerts.jsonl`, `true-alerts.jsonl`.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    seed: u64,
    kind: &'a str,
    rule: &'a str,
    alert_id: &'a str,
    reasons: &'a [String],
    merchant_id: Option<&'a str>,
    key_id: Option<&'a str>,
    source: Option<&'a str>,
    starts_at: String,
    detected_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planted: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    true_because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lies_on: Option<&'a [String]>,
    warm_up: bool,
    calls_per_day: Option<f64>,
    summary: &'a str,
    evidence: &'a Value,
}

impl Rows {
    /// Incidents that were not found.
    pub fn misses<'a>(&'a self, seed: u64, known: &Known) -> Vec<Miss<'a>> {
        let missed = self.incidents.iter().filter(|row| row.hits.is_empty());
        missed
            .map(|row| {
                let label = &row.label;
                let key = label.key_id.as_deref();
                Miss {
                    seed,
                    label,
                    calls_per_day: key.map(|key| tenths(known.calls_per_day(key, label.starts_at))),
                    calls_in_it: key.map(|key| known.accepted(key, label.starts_at..label.ends_at + 1)),
                    refused_in_it: key.map(|key| known.refused(key, label.starts_at..label.ends_at + 1)),
                    found_beside: row.more.iter().map(|at| self.found[*at].kind.as_str()).collect(),
                }
            })
            .collect()
    }

    /// Every alert with what it came to.
    pub fn lines<'a>(&'a self, seed: u64, known: &Known, warm_up_ends: Millis) -> Vec<(&'a Verdict, Line<'a>)> {
        let both = self.found.iter().zip(&self.verdicts);
        both.map(|(alert, verdict)| {
            let row = match verdict {
                Verdict::Hit(n) | Verdict::More(n) => Some(&self.incidents[*n]),
                Verdict::True(_) | Verdict::False(_) => None,
            };
            let delay = row.map(|row| (alert.detected_at - row.label.starts_at) as f64 / 1_000.0);
            let line = Line {
                seed,
                kind: &alert.kind,
                rule: &alert.rule,
                alert_id: &alert.id,
                reasons: &alert.reasons,
                merchant_id: alert.merchant_id.as_deref(),
                key_id: alert.key_id.as_deref(),
                source: alert.source.as_deref(),
                starts_at: rfc3339(alert.starts_at),
                detected_at: rfc3339(alert.detected_at),
                delay_s: delay,
                planted: row.map(|row| row.label.kind.as_str()),
                what: row.map(|row| row.label.what.as_str()),
                true_because: if let Verdict::True(why) = verdict { Some(why) } else { None },
                lies_on: if let Verdict::False(lies_on) = verdict { Some(lies_on) } else { None },
                warm_up: alert.detected_at < warm_up_ends,
                calls_per_day: alert.key_id.as_deref().map(|key| tenths(known.calls_per_day(key, alert.starts_at))),
                summary: &alert.summary,
                evidence: &alert.evidence,
            };
            (verdict, line)
        })
        .collect()
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::facts::{Fact, FactKind};

    const T: Millis = 20_720 * DAY;

    fn label(kind: &str, also: &[&'static str], key: Option<&str>, span: (Millis, Millis)) -> Label {
        Label {
            kind: kind.into(),
            also: also.to_vec(),
            merchant_id: key.map(|_| "m1".into()),
            key_id: key.map(Into::into),
            source: None,
            starts_at: T + span.0,
            ends_at: T + span.1,
            what: String::new(),
        }
    }

    fn found(kind: &str, key: Option<&str>, starts_at: Millis, detected_at: Millis) -> Found {
        Found {
            id: format!("{kind}-{starts_at}"),
            rule: kind.replace('_', "-"),
            kind: kind.into(),
            reasons: Vec::new(),
            merchant_id: Some("m1".into()),
            key_id: key.map(Into::into),
            source: None,
            starts_at: T + starts_at,
            detected_at: T + detected_at,
            summary: String::new(),
            evidence: Value::Null,
        }
    }

    fn labels(incidents: Vec<Label>, benign: Vec<Label>) -> Labels {
        let (lines, duplicates, broken) = (0, 0, 0);
        let (starts_at, ends_at) = (T - 20 * DAY, T + 20 * DAY);
        Labels {
            version: 1,
            seed: 1,
            keys: 1,
            days: 40,
            starts_at,
            ends_at,
            lines,
            duplicates,
            broken,
            incidents,
            benign,
        }
    }

    /// `k2` has replaced `k1`.
    fn known() -> Known {
        let mut known = Known::new(T - 20 * DAY..T + 20 * DAY, 10 * DAY, 100);
        let key = |id: &str| Some(id.to_owned());
        known.fact(&Fact {
            key_id: key("k2"),
            replaces: key("k1"),
            merchant_id: key("m1"),
            ..Fact::new(FactKind::KeyRegenerated, T - DAY)
        });
        known.close();
        known
    }

    fn verdict(incidents: Vec<Label>, benign: Vec<Label>, alert: Found) -> Verdict {
        judge(&labels(incidents, benign), &known(), vec![alert]).verdicts.remove(0)
    }

    #[test]
    fn an_alert_is_about_the_incident_of_its_kind_key_and_time() {
        let spike = || label("spike", &["new_ip"], Some("k"), (0, HOUR));
        for (alert, expected) in [
            (found("spike", Some("k"), 0, MINUTE), Verdict::Hit(0)),
            // Another kind that would be right too, and one that only comes with it.
            (found("new_ip", Some("k"), 0, MINUTE), Verdict::Hit(0)),
            (found("drop", Some("k"), 0, MINUTE), Verdict::More(0)),
            // The window began before it; what was known before it is no merit.
            (found("spike", Some("k"), -50 * MINUTE, 10 * MINUTE), Verdict::Hit(0)),
            (found("spike", Some("k"), -2 * HOUR, -6 * MINUTE), Verdict::False(Vec::new())),
            (found("spike", Some("k"), HOUR, 2 * HOUR), Verdict::Hit(0)),
            (found("spike", Some("k"), 2 * HOUR + 1, 2 * HOUR + 1), Verdict::More(0)),
            (found("spike", Some("k"), HOUR + DAY, HOUR + DAY + 1), Verdict::False(Vec::new())),
            (found("spike", Some("other"), 0, MINUTE), Verdict::False(Vec::new())),
        ] {
            assert_eq!(verdict(vec![spike()], Vec::new(), alert.clone()), expected, "{alert:?}");
        }
        let mut mixed = found("off_hours", Some("k"), 0, MINUTE);
        mixed.reasons = vec!["off_hours".into(), "spike".into()];
        assert_eq!(verdict(vec![spike()], Vec::new(), mixed), Verdict::Hit(0), "a reason's kind counts");
    }

    #[test]
    fn a_standing_incident_takes_only_alerts_that_say_so() {
        let stale = || label("stale_key", &[], Some("k"), (0, 10 * DAY));
        assert_eq!(verdict(vec![stale()], Vec::new(), found("stale_key", Some("k"), 0, 5 * MINUTE)), Verdict::Hit(0));
        let other = found("spike", Some("k"), DAY, DAY);
        assert_eq!(verdict(vec![stale()], Vec::new(), other), Verdict::False(Vec::new()));
    }

    #[test]
    fn rotations_have_two_keys_suspensions_all_of_a_merchants_and_scans_a_network() {
        let unproven = || label("rotation_unproven", &["rotated_key_use"], Some("k2"), (0, DAY));
        assert_eq!(verdict(vec![unproven()], Vec::new(), found("rotated_key_use", Some("k1"), 0, 1)), Verdict::Hit(0));
        let spike = || label("spike", &[], Some("k2"), (0, DAY));
        assert_eq!(verdict(vec![spike()], Vec::new(), found("spike", Some("k1"), 0, 1)), Verdict::False(Vec::new()));
        let suspended = || label("suspended_use", &[], Some("k"), (0, DAY));
        assert_eq!(verdict(vec![suspended()], Vec::new(), found("suspended_use", Some("k9"), 0, 1)), Verdict::Hit(0));
        for (address, expected) in [("100.69.7.200", Verdict::Hit(0)), ("100.69.8.9", Verdict::False(Vec::new()))] {
            let scan = Label { source: Some("100.69.7.9".into()), ..label("key_scan", &[], None, (0, HOUR)) };
            let mut alert = found("key_scan", None, 0, MINUTE);
            alert.source = Some(address.into());
            assert_eq!(verdict(vec![scan], Vec::new(), alert), expected, "{address}");
        }
    }

    #[test]
    fn what_the_platform_suffers_is_true_of_the_platform_alone() {
        let failure = |kind: &str| Label { merchant_id: None, ..label(kind, &[], None, (0, HOUR)) };
        let is_true = |label: Label, alert: Found| {
            let is_of_platform = verdict(Vec::new(), vec![label], alert);
            is_of_platform == Verdict::True("a part of the platform failed")
        };
        let platform = |at| Found { merchant_id: None, ..found("platform_incident", None, at, at + 5 * MINUTE) };
        assert!(is_true(failure("platform_refusals"), platform(0)));
        assert!(is_true(failure("platform_silence"), platform(-4 * MINUTE)));
        assert!(!is_true(failure("platform_silence"), platform(DAY)));
        assert!(!is_true(failure("sale"), platform(0)));
        assert!(!is_true(failure("platform_silence"), found("drop", Some("k"), 0, MINUTE)));
    }

    #[test]
    fn the_first_hit_is_the_delay_and_false_alerts_say_what_they_lie_on() {
        let incidents = vec![label("spike", &[], Some("k"), (0, HOUR))];
        let sale = label("sale", &[], Some("k"), (2 * DAY, 3 * DAY));
        let storm =
            Label { key_id: None, merchant_id: None, ..label("retry_storm", &[], None, (2 * DAY, 2 * DAY + MINUTE)) };
        let alerts = vec![
            found("spike", Some("k"), 0, 20 * MINUTE),
            found("spike", Some("k"), 1, 7 * MINUTE),
            found("spike", Some("k"), 2 * DAY + HOUR, 2 * DAY + 2 * HOUR),
        ];
        let rows = judge(&labels(incidents, vec![sale, storm]), &known(), alerts);
        assert_eq!(rows.incidents[0].delay, Some(7 * MINUTE));
        assert_eq!(rows.incidents[0].hits.len(), 2);
        assert_eq!(rows.verdicts[2], Verdict::False(vec!["sale".into(), "retry_storm".into()]));
    }
}
