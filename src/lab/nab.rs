//! `keywatch lab nab`: the engine on the count series of the Numenta Anomaly Benchmark, which nobody here wrote.
//!
//! A series is a key, a row an event that stands for `count` calls. A detection is the row at which an alert opens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::event::auth::Decoder;
use crate::event::redact::Masker;
use crate::geoip::GeoIp;
use crate::lab::{Folder, replay_of};
use crate::replay::replay;
use crate::rules::RuleSet;
use crate::time::{Millis, parse_rfc3339, rfc3339};

pub mod sweep;

use sweep::Score;

/// The series that are counts, in this order.
pub const SERIES: [&str; 14] = [
    "realTweets/Twitter_volume_AAPL.csv",
    "realTweets/Twitter_volume_AMZN.csv",
    "realTweets/Twitter_volume_CRM.csv",
    "realTweets/Twitter_volume_CVS.csv",
    "realTweets/Twitter_volume_FB.csv",
    "realTweets/Twitter_volume_GOOG.csv",
    "realTweets/Twitter_volume_IBM.csv",
    "realTweets/Twitter_volume_KO.csv",
    "realTweets/Twitter_volume_PFE.csv",
    "realTweets/Twitter_volume_UPS.csv",
    "realKnownCause/nyc_taxi.csv",
    "realAWSCloudwatch/elb_request_count_8c0756.csv",
    "artificialWithAnomaly/art_load_balancer_spikes.csv",
    "artificialWithAnomaly/art_increase_spike_density.csv",
];

/// What published detectors reach on the same series, each with its best single threshold there.
pub const ANCHORS: [(&str, f64); 6] = [
    ("ARTime", 82.2),
    ("CAD OSE", 71.4),
    ("Numenta HTM", 70.9),
    ("Skyline", 62.0),
    ("Twitter ADVec", 54.8),
    ("windowed Gaussian", 43.0),
];

/// What an event's count may be at most.
const COUNT_MAX: f64 = 1_000_000.0;
/// The key's ID.
const KEY: &str = "key_series";

/// One row of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    at: Millis,
    value: f64,
}

/// What came of one series.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its file.
    pub series: &'static str,
    /// Points, normalised.
    pub score: f64,
    /// Windows.
    pub windows: u32,
    /// Of them, found.
    pub found: u32,
    /// Detections outside of windows.
    pub wrong: u32,
    /// Every alert, scored or in the probation: rule, when it opened, whether in a window.
    pub alerts: Vec<Opened>,
}

/// An alert.
#[derive(Clone, Debug, Serialize)]
pub struct Opened {
    /// Its rule.
    pub rule: String,
    /// The number of the row at which it opened.
    pub row: usize,
    /// That row's time.
    pub at: String,
    /// That row's value.
    pub value: f64,
    /// Whether the row lies in a window.
    pub in_window: bool,
}

/// All series.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The sum of all, normalised: the number that detectors are compared by.
    pub score: f64,
    /// A line each.
    pub series: Vec<Line>,
}

/// Judges every series, telling each first. `data` is a checkout of the benchmark: `data/` and `labels/` below it.
pub async fn run(data: &Path, rules: &Arc<RuleSet>, mut each: impl FnMut(&str)) -> anyhow::Result<Report> {
    let labels = data.join("labels/combined_windows.json");
    let text = std::fs::read(&labels).with_context(|| format!("read `{}`", labels.display()))?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_slice(&text).with_context(|| format!("understand `{}`", labels.display()))?;
    let (mut total, mut series) = (Score::default(), Vec::new());
    for name in SERIES {
        each(name);
        let rows = read(&data.join("data").join(name))?;
        let windows = windows(labels.get(name).map_or(&[][..], Vec::as_slice), &rows)
            .with_context(|| format!("find the windows of `{name}`"))?;
        let alerts = judge(&rows, &windows, rules.clone()).await.with_context(|| format!("judge `{name}`"))?;
        let detections: Vec<usize> = alerts.iter().map(|alert| alert.row).collect();
        let score = sweep::score(rows.len(), &windows, &detections);
        total.add(score);
        let Score { windows, found, wrong, .. } = score;
        series.push(Line { series: name, score: score.normalised(), windows, found, wrong, alerts });
    }
    Ok(Report { score: total.normalised(), series })
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("read `{shown}`"))?;
    let rows = text.lines().skip(1).enumerate().map(|(n, line)| {
        let row =
            line.split_once(',').and_then(|(at, value)| Some(Row { at: time(at)?, value: value.trim().parse().ok()? }));
        row.with_context(|| format!("understand {shown}:{}", n + 2))
    });
    rows.collect()
}

/// The benchmark's times carry no zone.
fn time(text: &str) -> Option<Millis> {
    parse_rfc3339(&format!("{}Z", text.trim().replace(' ', "T")))
}

fn windows(labels: &[(String, String)], rows: &[Row]) -> anyhow::Result<Vec<(usize, usize)>> {
    let row = |text: &str| {
        let at = time(text).with_context(|| format!("`{text}` is no time"))?;
        rows.iter().position(|row| row.at == at).with_context(|| format!("there is no row at {text}"))
    };
    labels.iter().map(|(first, last)| Ok((row(first)?, row(last)?))).collect()
}

/// The series as events of one key. A row of 0 is a call of somebody else's: the key is silent, and time goes on.
fn events(rows: &[Row]) -> String {
    let mut text = String::new();
    for (n, Row { at, value }) in rows.iter().enumerate() {
        let count = value.round().clamp(0.0, COUNT_MAX) as u32;
        let (ts, common) = (
            rfc3339(*at),
            r#""endpoint_env":"live","method":"POST","path":"/v1/payments","user_agent":"caibo-node/5.1.0""#,
        );
        let _ = if count == 0 {
            writeln!(
                text,
                r#"{{"event_id":"ev_{n}","ts":"{ts}",{common},"source_ip":"100.64.9.9","outcome":"denied","reason":"missing_key"}}"#
            )
        } else {
            writeln!(
                text,
                r#"{{"event_id":"ev_{n}","ts":"{ts}",{common},"key_id":"{KEY}","key_env":"live","merchant_id":"m_series","source_ip":"100.64.1.1","outcome":"ok","status":200,"count":{count}}}"#
            )
        };
    }
    text
}

async fn judge(rows: &[Row], windows: &[(usize, usize)], rules: Arc<RuleSet>) -> anyhow::Result<Vec<Opened>> {
    let Some(last) = rows.last() else { return Ok(Vec::new()) };
    let folder = Folder::new()?;
    let path = folder.join("events.jsonl");
    std::fs::write(&path, events(rows)).with_context(|| format!("write `{}`", path.display()))?;
    let decoder = Decoder::new(b"lab", Masker::default());
    let replayed = replay(replay_of(&path, None, last.at, Arc::new(GeoIp::default())), rules, &decoder).await?;
    let of_key = replayed.alerts.iter().filter(|alert| alert.key_id.as_deref() == Some(KEY));
    let mut opened: Vec<Opened> = of_key
        .map(|alert| {
            let row = rows.iter().position(|row| alert.detected_at <= row.at).unwrap_or(rows.len() - 1);
            Opened {
                rule: alert.rule.clone(),
                row,
                at: rfc3339(rows[row].at),
                value: rows[row].value,
                in_window: windows.iter().any(|(first, last)| (*first..=*last).contains(&row)),
            }
        })
        .collect();
    opened.sort_by(|a, b| (a.row, &a.rule).cmp(&(b.row, &b.rule)));
    Ok(opened)
}

/// The report as text.
pub fn table(report: &Report) -> String {
    let mut text = format!("{:46}{:>8}{:>8}{:>7}{:>7}\n", "series", "score", "windows", "found", "wrong");
    for line in &report.series {
        let name = line.series.split_once('/').map_or(line.series, |(_, name)| name);
        let _ = writeln!(
            text,
            "{:46}{:>8.1}{:>8}{:>7}{:>7}",
            name.trim_end_matches(".csv"),
            line.score,
            line.windows,
            line.found,
            line.wrong
        );
    }
    let sum = |of: fn(&Line) -> u32| report.series.iter().map(of).sum::<u32>();
    let _ = writeln!(
        text,
        "{:46}{:>8.1}{:>8}{:>7}{:>7}\n",
        "all: keywatch",
        report.score,
        sum(|line| line.windows),
        sum(|line| line.found),
        sum(|line| line.wrong)
    );
    text.push_str("the same series by others, each with the best single threshold:\n");
    for (name, score) in ANCHORS {
        let _ = writeln!(text, "  {name:44}{score:>8.1}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_event_that_stands_for_its_value() {
        let rows = [Row { at: 0, value: 103.6 }, Row { at: 300_000, value: 0.0 }];
        let events = events(&rows);
        let decoder = Decoder::new(b"test", Masker::default());
        let lines: Vec<_> = events.lines().map(|line| decoder.decode_auth(line.as_bytes(), None).unwrap()).collect();
        assert_eq!((lines[0].key_id.as_deref(), lines[0].count, lines[0].ts), (Some(KEY), 104, 0));
        assert_eq!((lines[1].key_id.as_deref(), lines[1].ts), (None, 300_000));
    }

    #[test]
    fn windows_are_rows_of_the_series() {
        let rows: Vec<Row> = (0..10).map(|n| Row { at: n * 300_000, value: 1.0 }).collect();
        let window = |from: &str, to: &str| windows(&[(from.into(), to.into())], &rows);
        assert_eq!(window("1970-01-01 00:05:00.000000", "1970-01-01 00:15:00.000000").unwrap(), [(1, 3)]);
        assert!(window("1970-01-01 00:06:00.000000", "1970-01-01 00:15:00.000000").is_err());
    }
}
