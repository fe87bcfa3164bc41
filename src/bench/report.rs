//! What a measurement says: figures beside their targets, as a table or as JSON.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bench::machine::Machine;
use crate::time::rfc3339;
use crate::wall;

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What the design asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// How much of the target is reached: 1 or more = all of it, whether more or less of the unit is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_target: Option<f64>,
}

impl Figure {
    /// A number without a target.
    pub fn plain(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Figure { name: name.into(), value, unit, target: None, of_target: None }
    }

    /// A number of which there should be at least `target`.
    pub fn at_least(name: impl Into<String>, value: f64, unit: &'static str, target: f64) -> Self {
        Figure { target: Some(target), of_target: Some(value / target), ..Figure::plain(name, value, unit) }
    }

    /// A number of which there should be at most `target`.
    pub fn at_most(name: impl Into<String>, value: f64, unit: &'static str, target: f64) -> Self {
        Figure { target: Some(target), of_target: Some(target / value), ..Figure::plain(name, value, unit) }
    }
}

/// What one run of `keywatch bench` found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was measured: `engine`, `memory`, and so on.
    pub bench: &'static str,
    /// When (UTC).
    pub date: String,
    /// The program's version.
    pub version: &'static str,
    /// Where.
    #[serde(flatten)]
    pub machine: Machine,
    /// Sizes and counts: how much was measured, and what came of it.
    pub counts: Map<String, Value>,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Report {
    /// A report of this machine, now, without figures yet.
    pub fn new(bench: &'static str) -> Self {
        Report {
            bench,
            date: rfc3339(wall::now()),
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::this(),
            counts: Map::new(),
            figures: Vec::new(),
        }
    }

    /// Notes a size or a count.
    pub fn count(&mut self, name: impl Into<String>, value: u64) {
        self.counts.insert(name.into(), value.into());
    }

    /// The report as a table.
    pub fn table(&self) -> String {
        let m = &self.machine;
        let mut text = format!(
            "keywatch {} bench {}, {} build, {}, {} cores, {}\n",
            self.version, self.bench, m.build, m.cpu, m.cores, self.date
        );
        for (name, value) in &self.counts {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
        for figure in &self.figures {
            let Figure { name, value, unit, target, of_target } = figure;
            text.push_str(&format!("{name:width$}  {:>14} {unit:10}", number(*value)));
            if let (Some(target), Some(of_target)) = (target, of_target) {
                text.push_str(&format!("  target {:>10}, {of_target:.2} of it", number(*target)));
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}

/// Few digits, thousands apart. Figures are never negative.
fn number(value: f64) -> String {
    let decimals = if value.abs() < 10.0 { 3 } else { usize::from(value.abs() < 1_000.0) };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut spaced = String::new();
    for (i, digit) in whole.bytes().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(char::from(digit));
    }
    spaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_few_digits() {
        for (value, text) in [(0.5, "0.500"), (12.34, "12.3"), (999.96, "1,000.0"), (1234567.8, "1,234,568")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_ratio_above_one_is_good_both_ways() {
        assert_eq!(Figure::at_least("a", 2.0, "x", 1.0).of_target, Some(2.0));
        assert_eq!(Figure::at_most("a", 2.0, "x", 1.0).of_target, Some(0.5));
    }
}
