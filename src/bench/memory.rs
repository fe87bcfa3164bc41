//! Resident memory for each learned key, everything included that the engine keeps of it.

use crate::bench::engine::{Bench, CALLS_PER_SECOND};
use crate::bench::machine::{peak_bytes, resident_bytes};
use crate::bench::report::{Figure, Report};
use crate::bench::traffic::Spread;
use crate::rules::RuleSet;

/// The target at a million keys (bytes a key).
const TARGET: f64 = 600.0;

/// Teaches `keys` keys and looks how much the process has grown.
pub fn run(keys: usize, rules: &RuleSet) -> Report {
    let mut report = Report::new("memory");
    let before = resident_bytes().unwrap_or(0);
    let mut bench = Bench::new(rules);
    bench.teach(keys, &Spread::Uniform, CALLS_PER_SECOND);
    let after = resident_bytes().unwrap_or(0);
    report.count("keys", keys as u64);
    report.count("merchants", bench.shard.len() as u64);
    report.count("resident_bytes_before", before);
    report.count("resident_bytes_after", after);
    report.count("resident_bytes_peak", peak_bytes().unwrap_or(0));
    let a_key = after.saturating_sub(before) as f64 / keys as f64;
    report.figures.push(Figure::at_most("resident memory", a_key, "bytes/key", TARGET));
    report
}
