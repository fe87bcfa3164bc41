//! The last day of a key as a row of blocks: calls of each hour, and what is usual, on one scale.

use super::when::number;
use crate::alert::Alert;
use crate::time::{Millis, parse_duration, parse_rfc3339};

/// From nothing to the most.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Hours shown at most.
const HOURS_MAX: usize = 48;

/// What an alert's `series` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// When the first step began.
    pub starts_at: Millis,
    /// When the last one ends, which may have just begun.
    pub ends_at: Millis,
    /// Calls, a letter for each step.
    pub calls: String,
    /// Calls in the busiest step.
    pub most: i64,
    /// What is usual, on the same scale.
    pub usual: String,
    /// The most that is usual in one step.
    pub usual_most: i64,
}

impl Chart {
    /// Of an alert that has a series of that form.
    pub fn of(alert: &Alert) -> Option<Chart> {
        let series = alert.evidence.get("series")?;
        let numbers = |name: &str| -> Option<Vec<f64>> {
            let list = series.get(name)?.as_array().filter(|list| (1..=HOURS_MAX).contains(&list.len()))?;
            list.iter().map(|n| n.as_f64().filter(|n| (0.0..1e12).contains(n))).collect()
        };
        let (calls, usual) = (numbers("observed")?, numbers("usual")?);
        let starts_at = parse_rfc3339(series.get("starts_at")?.as_str()?)?;
        let step = parse_duration(series.get("step")?.as_str()?)?;
        let most = |list: &[f64]| list.iter().fold(0.0, |a: f64, b| a.max(*b));
        let scale = most(&calls).max(most(&usual)).max(1.0);
        Some(Chart {
            starts_at,
            ends_at: starts_at + step * calls.len() as Millis,
            most: most(&calls).round() as i64,
            usual_most: most(&usual).round() as i64,
            calls: blocks(&calls, scale),
            usual: blocks(&usual, scale),
        })
    }

    /// In one line, for a table.
    pub fn line(&self) -> String {
        let (most, usual) = (number(self.most), number(self.usual_most));
        format!("{} (up to {most} in an hour); usual {} (up to {usual})", self.calls, self.usual)
    }
}

fn blocks(numbers: &[f64], scale: f64) -> String {
    let last = BLOCKS.len() - 1;
    let block = |n: &f64| BLOCKS[((n / scale * last as f64).ceil() as usize).min(last)];
    numbers.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(evidence: serde_json::Value) -> Alert {
        let mut record = serde_json::json!({
            "version": 1, "alert_id": "kw-1", "revision": 1, "rule": "spike", "rule_hash": "", "kind": "spike", "reasons": [],
            "score": 0.5, "severity": "warning", "state": "firing", "starts_at": "2026-11-02T23:00:00.000Z",
            "detected_at": "2026-11-02T23:01:00.000Z", "ends_at": null, "merchant_id": "m", "key_id": "k", "key_hint": null,
            "source": null, "audience": "both", "summary": "", "runbook": []
        });
        record["evidence"] = evidence;
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_day_is_a_row_of_blocks() {
        let with = |series: serde_json::Value| alert(serde_json::json!({"series": series}));
        let chart = Chart::of(&with(serde_json::json!({
            "starts_at": "2026-11-02T00:00:00.000Z", "step": "1h", "observed": [0, 1, 4, 80], "usual": [0.0, 1.2, 10.0, 9.5]
        })));
        let chart = chart.unwrap();
        assert_eq!(chart.line(), "▁▂▂█ (up to 80 in an hour); usual ▁▂▂▂ (up to 10)");
        assert_eq!(chart.ends_at - chart.starts_at, 4 * crate::time::HOUR);
        for damaged in [
            serde_json::json!(null),
            serde_json::json!({"starts_at": "2026-11-02T00:00:00.000Z", "step": "1h", "observed": [], "usual": []}),
            serde_json::json!({"starts_at": "today", "step": "1h", "observed": [1], "usual": [1]}),
            serde_json::json!({"starts_at": "2026-11-02T00:00:00.000Z", "step": "1h", "observed": ["x"], "usual": [1]}),
        ] {
            assert_eq!(Chart::of(&with(damaged)), None);
        }
    }
}
