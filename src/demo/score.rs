//! What was planted against what was found. Pure: labels and alerts in, rows out.

use crate::alert::Alert;
use crate::time::{HOUR, Millis};

/// An alert may begin this long before the incident does: it names the beginning of the window that it counted, and
/// windows are up to an hour long.
const EARLY: Millis = HOUR;
/// And this long after it has ended.
const LATE: Millis = HOUR;

/// One planted incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Its kind, as alerts name it.
    pub kind: String,
    /// Other kinds that would be right too.
    pub also: Vec<String>,
    /// Whose key.
    pub merchant_id: Option<String>,
    /// Which key.
    pub key_id: Option<String>,
    /// When it began (event time).
    pub starts_at: Millis,
    /// When it ended.
    pub ends_at: Millis,
    /// In plain words.
    pub what: String,
}

/// A planted incident with what was found of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was planted.
    pub planted: Planted,
    /// The alerts about it, the earliest first.
    pub alerts: Vec<Alert>,
}

impl Row {
    /// Whether it had begun when event time came to `played_to`: what had not can not be found.
    pub fn is_played(&self, played_to: Millis) -> bool {
        self.planted.starts_at <= played_to || !self.alerts.is_empty()
    }

    /// From the incident's beginning to the first alert, in event time; `None` where it was not found.
    pub fn found_after(&self) -> Option<Millis> {
        let first = self.alerts.iter().map(|alert| alert.detected_at).min()?;
        Some((first - self.planted.starts_at).max(0))
    }
}

/// Planted and found, side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// An incident each, in the order of their beginnings.
    pub rows: Vec<Row>,
    /// Alerts about nothing that was planted.
    pub extra: Vec<Alert>,
}

/// Matches each alert with the incident that it is about.
pub fn score(mut planted: Vec<Planted>, alerts: &[Alert]) -> Score {
    planted.sort_by(|a, b| (a.starts_at, &a.kind).cmp(&(b.starts_at, &b.kind)));
    let mut rows: Vec<Row> = planted.into_iter().map(|planted| Row { planted, alerts: Vec::new() }).collect();
    let mut extra = Vec::new();
    let mut alerts: Vec<&Alert> = alerts.iter().collect();
    alerts.sort_by(|a, b| (a.detected_at, &a.alert_id).cmp(&(b.detected_at, &b.alert_id)));
    for alert in alerts {
        match rows.iter_mut().find(|row| is_about(alert, &row.planted)) {
            Some(row) => row.alerts.push(alert.clone()),
            None => extra.push(alert.clone()),
        }
    }
    Score { rows, extra }
}

fn is_about(alert: &Alert, planted: &Planted) -> bool {
    let kind = alert.kind.as_str();
    let same_kind = planted.kind == kind || planted.also.iter().any(|also| also == kind);
    let same_whom = match &planted.key_id {
        Some(key) => alert.key_id.as_ref() == Some(key),
        None => planted.merchant_id.is_some() && alert.merchant_id == planted.merchant_id,
    };
    let in_time = planted.starts_at - EARLY <= alert.starts_at && alert.starts_at <= planted.ends_at + LATE;
    same_kind && same_whom && in_time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Audience, Kind, Severity, State};
    use crate::time::MINUTE;

    fn alert(kind: Kind, key: &str, starts_at: Millis) -> Alert {
        Alert {
            version: 1,
            alert_id: format!("kw-{}-{key}-{starts_at}", kind.as_str()),
            revision: 1,
            rule: kind.as_str().replace('_', "-"),
            rule_hash: String::new(),
            kind,
            reasons: Vec::new(),
            score: 1.0,
            severity: Severity::High,
            state: State::Firing,
            starts_at,
            detected_at: starts_at + MINUTE,
            ends_at: None,
            merchant_id: Some("m".into()),
            key_id: Some(key.into()),
            key_hint: None,
            source: None,
            audience: Audience::Both,
            summary: String::new(),
            evidence: serde_json::Value::Null,
            runbook: Vec::new(),
            subject: String::new(),
        }
    }

    #[test]
    fn an_alert_is_about_the_incident_of_its_kind_key_and_time() {
        let t = 1_000 * HOUR;
        let planted = Planted {
            kind: "spike".into(),
            also: vec!["new_ip".into()],
            merchant_id: Some("m".into()),
            key_id: Some("k".into()),
            starts_at: t,
            ends_at: t + HOUR,
            what: String::new(),
        };
        for (alert, is_found) in [
            (alert(Kind::Spike, "k", t), true),
            (alert(Kind::Spike, "k", t - EARLY), true),
            (alert(Kind::Spike, "k", t - EARLY - 1), false),
            (alert(Kind::Spike, "k", t + HOUR + LATE), true),
            (alert(Kind::Spike, "k", t + HOUR + LATE + 1), false),
            (alert(Kind::NewIp, "k", t), true),
            (alert(Kind::StaleKey, "k", t), false),
            (alert(Kind::Spike, "other", t), false),
        ] {
            let score = score(vec![planted.clone()], std::slice::from_ref(&alert));
            assert_eq!(score.rows[0].alerts.len(), usize::from(is_found), "{}", alert.alert_id);
            assert_eq!(score.extra.len(), usize::from(!is_found), "{}", alert.alert_id);
        }
        let found = score(vec![planted.clone()], &[alert(Kind::Spike, "k", t + HOUR), alert(Kind::Spike, "k", t)]);
        assert_eq!(found.rows[0].found_after(), Some(MINUTE), "the first one counts");
        assert!(found.rows[0].is_played(0), "it was found");
        let missed = score(vec![planted], &[]);
        assert_eq!(missed.rows[0].found_after(), None);
        assert_eq!([t - 1, t].map(|to| missed.rows[0].is_played(to)), [false, true]);
    }
}
