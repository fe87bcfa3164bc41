//! Scores over all seeds: sums, medians, and how far seeds lie apart. The numbers of the table and of `-o json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lab::WARM_UP;
use crate::lab::known::Known;
use crate::lab::score::{Rows, Verdict};
use crate::time::Millis;

/// Everything that was run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// First and last seed.
    pub seeds: (u64, u64),
    /// How many.
    pub n_seeds: usize,
    /// Keys of each.
    pub keys: u32,
    /// Days of each.
    pub days: u32,
    /// What was scored, the rules in question first.
    pub runs: Vec<Run>,
}

/// One rule set, or one rival.
#[derive(Debug, Default, Serialize)]
pub struct Run {
    /// What the table calls it.
    pub name: String,
    /// By the kind that was planted.
    pub kinds: BTreeMap<String, KindScore>,
    /// By the rule that was wrong.
    pub false_by_rule: BTreeMap<String, FalseAlerts>,
    /// Alerts that nobody planted and that are true, by rule.
    pub true_by_rule: BTreeMap<String, u32>,
    /// Days that keys lived in the warm-up.
    pub warm_up_key_days: f64,
    /// Days that keys lived after it.
    pub key_days: f64,
    /// Each seed's own numbers.
    pub seeds: Vec<SeedScore>,
    /// What is written for who tunes: file, line.
    #[serde(skip)]
    pub details: Vec<(&'static str, String)>,
}

/// What was found of a kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindScore {
    /// Incidents.
    pub planted: u32,
    /// Of them, found.
    pub found: u32,
    /// Alerts about those that were found.
    pub alerts: u32,
    /// From the first sign to the first alert, for each that was found, in milliseconds of event time.
    pub delays_ms: Vec<Millis>,
}

/// False alerts.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FalseAlerts {
    /// In the warm-up.
    pub warm_up: u32,
    /// After it.
    pub after: u32,
    /// Of those after it, on something that looks like an incident: a sale, a move.
    pub on_look_alikes: u32,
}

/// One seed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SeedScore {
    /// The seed.
    pub seed: u64,
    /// Found, of what was planted.
    pub recall: f64,
    /// False alerts in 1,000 key-days after the warm-up.
    pub false_alerts: f64,
    /// And in it.
    pub false_alerts_warm_up: f64,
}

impl KindScore {
    /// Takes another's numbers.
    pub fn add(&mut self, other: &KindScore) {
        self.planted += other.planted;
        self.found += other.found;
        self.alerts += other.alerts;
        self.delays_ms.extend(&other.delays_ms);
    }

    /// The share that was found; 1 of nothing.
    pub fn recall(&self) -> f64 {
        if self.planted == 0 { 1.0 } else { f64::from(self.found) / f64::from(self.planted) }
    }

    /// The middle delay; `None` where nothing was found.
    pub fn median_delay(&self) -> Option<Millis> {
        let mut delays = self.delays_ms.clone();
        delays.sort_unstable();
        let middle = delays.len() / 2;
        match delays.len() {
            0 => None,
            n if n % 2 == 1 => Some(delays[middle]),
            _ => Some((delays[middle - 1] + delays[middle]) / 2),
        }
    }

    /// Alerts for each that was found.
    pub fn alerts_each(&self) -> Option<f64> {
        (self.found > 0).then(|| f64::from(self.alerts) / f64::from(self.found))
    }
}

impl Run {
    /// Nothing yet.
    pub fn new(name: &str) -> Run {
        Run { name: name.to_owned(), ..Run::default() }
    }

    /// Takes a seed's rows.
    pub fn add(&mut self, seed: u64, rows: Rows, known: &Known) {
        let span = known.span();
        let warm_up_ends = (span.start + WARM_UP).min(span.end);
        let (warm_days, days) = (known.key_days(span.start..warm_up_ends), known.key_days(warm_up_ends..span.end));
        let (mut planted, mut found) = (0, 0);
        for row in &rows.incidents {
            let kind = self.kinds.entry(row.label.kind.clone()).or_default();
            kind.planted += 1;
            planted += 1;
            if let Some(delay) = row.delay {
                found += 1;
                kind.found += 1;
                kind.alerts += (row.hits.len() + row.more.len()) as u32;
                kind.delays_ms.push(delay);
            }
        }
        let (mut warm, mut after) = (0, 0);
        for (alert, verdict) in rows.found.iter().zip(&rows.verdicts) {
            match verdict {
                Verdict::True(_) => *self.true_by_rule.entry(alert.rule.clone()).or_default() += 1,
                Verdict::False(lies_on) => {
                    let count = self.false_by_rule.entry(alert.rule.clone()).or_default();
                    if alert.detected_at < warm_up_ends {
                        count.warm_up += 1;
                        warm += 1;
                    } else {
                        count.after += 1;
                        count.on_look_alikes += u32::from(!lies_on.is_empty());
                        after += 1;
                    }
                }
                Verdict::Hit(_) | Verdict::More(_) => {}
            }
        }
        self.warm_up_key_days += warm_days;
        self.key_days += days;
        self.seeds.push(SeedScore {
            seed,
            recall: if planted == 0 { 1.0 } else { f64::from(found) / f64::from(planted) },
            false_alerts: rate(after, days),
            false_alerts_warm_up: rate(warm, warm_days),
        });
        let lines = rows.lines(seed, known, warm_up_ends).into_iter().map(|(verdict, line)| {
            let file = match verdict {
                Verdict::Hit(_) | Verdict::More(_) => "found.jsonl",
                Verdict::True(_) => "true-alerts.jsonl",
                Verdict::False(_) => "false-alerts.jsonl",
            };
            (file, serde_json::to_string(&line).unwrap_or_default())
        });
        let misses = rows.misses(seed, known).into_iter();
        let misses = misses.map(|miss| ("misses.jsonl", serde_json::to_string(&miss).unwrap_or_default()));
        self.details.extend(lines.chain(misses));
    }

    /// All kinds together.
    pub fn total(&self) -> KindScore {
        self.kinds.values().fold(KindScore::default(), |mut sum, kind| {
            sum.add(kind);
            sum
        })
    }

    /// All false alerts.
    pub fn total_false(&self) -> FalseAlerts {
        self.false_by_rule.values().fold(FalseAlerts::default(), |sum, one| FalseAlerts {
            warm_up: sum.warm_up + one.warm_up,
            after: sum.after + one.after,
            on_look_alikes: sum.on_look_alikes + one.on_look_alikes,
        })
    }

    /// The least and the most of a number among the seeds.
    pub fn spread(&self, of: impl Fn(&SeedScore) -> f64) -> (f64, f64) {
        let values = || self.seeds.iter().map(&of);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// In 1,000 key-days; 0 of no days.
pub fn rate(count: u32, key_days: f64) -> f64 {
    if key_days <= 0.0 { 0.0 } else { f64::from(count) * 1_000.0 / key_days }
}
