//! `keywatch lab budget`: whether rules keep to the false alerts that they promise, on traffic that never changes.
//!
//! A rule's `budget` is false alerts in 1,000 key-days. Keys of one shape call as they always did, nothing is planted, and
//! what a rule tells after the warm-up is false. A count is uncertain: the interval is Poisson's, exact (F. Garwood,
//! "Fiducial limits for the Poisson distribution", Biometrika 1936), of 95 %.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::detect::SPECS;
use crate::engine::params::ParamValue;
use crate::lab::report::rate;
use crate::lab::{Plan, Progress, run};
use crate::rules::RuleSet;
use crate::rules::set::Override;
use crate::simulate::{Shape, Traffic};
use crate::yaml::{self, Node, Problems, Value};

/// The parameter that is a promise.
const BUDGET: &str = "budget";
/// So much below its promise a rule is deafer than it need be.
const FAR_BELOW: f64 = 0.1;

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not more than promised.
    Kept,
    /// More, but the interval holds what was promised: more key-days would tell.
    Unsure,
    /// More, beyond chance.
    NotKept,
    /// Less than a tenth, beyond chance.
    FarBelow,
    /// Nothing was promised.
    NoPromise,
}

impl Verdict {
    fn of(promised: Option<f64>, rate: f64, (low, high): (f64, f64)) -> Verdict {
        match promised {
            None => Verdict::NoPromise,
            Some(promised) if promised < low => Verdict::NotKept,
            Some(promised) if high < promised * FAR_BELOW => Verdict::FarBelow,
            Some(promised) if promised < rate => Verdict::Unsure,
            Some(_) => Verdict::Kept,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Verdict::Kept => "kept",
            Verdict::Unsure => "unsure",
            Verdict::NotKept => "NOT KEPT",
            Verdict::FarBelow => "far below",
            Verdict::NoPromise => "-",
        }
    }
}

/// A promise beside what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its rule; `all` = the whole set.
    pub rule: String,
    /// The shape of the keys; `all` = of every shape.
    pub shape: String,
    /// False alerts promised in 1,000 key-days.
    pub promised: Option<f64>,
    /// False alerts counted.
    pub alerts: u32,
    /// Days that keys lived after the warm-up.
    pub key_days: f64,
    /// False alerts in 1,000 key-days.
    pub rate: f64,
    /// The same, by an interval of 95 %.
    pub interval: (f64, f64),
    /// Whether it was kept.
    pub verdict: Verdict,
}

/// Every promise.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of each rule over all shapes, and of all rules.
    pub rules: Vec<Line>,
    /// Of all rules for each shape.
    pub shapes: Vec<Line>,
    /// Of each rule for each shape.
    pub cells: Vec<Line>,
}

/// Runs each shape with the plan's first rules, whose promises these are.
pub async fn budget(
    plan: &Plan,
    shapes: &[Shape],
    promises: &BTreeMap<String, f64>,
    mut each: impl FnMut(Shape, Progress),
) -> anyhow::Result<Report> {
    let mut counted = Vec::new();
    for shape in shapes {
        let plan = Plan { traffic: Traffic::Still(*shape), with_incidents: false, with_rivals: false, ..plan.clone() };
        let report = run(&plan, |progress| each(*shape, progress)).await?;
        let Some(run) = report.runs.into_iter().next() else { continue };
        let by_rule = run.false_by_rule.into_iter().map(|(rule, count)| (rule, count.after)).collect();
        counted.push(Counted { shape: *shape, key_days: run.key_days, by_rule });
    }
    Ok(report(&counted, promises))
}

/// What was counted of one shape.
struct Counted {
    shape: Shape,
    key_days: f64,
    by_rule: BTreeMap<String, u32>,
}

fn report(counted: &[Counted], promises: &BTreeMap<String, f64>) -> Report {
    let all: f64 = promises.values().sum();
    let key_days: f64 = counted.iter().map(|of| of.key_days).sum();
    let mut rules: Vec<&str> = promises.keys().map(String::as_str).collect();
    let silent: Vec<&str> = counted.iter().flat_map(|of| of.by_rule.keys()).map(String::as_str).collect();
    rules.extend(silent);
    rules.sort_unstable();
    rules.dedup();
    let count = |of: &Counted, rule: &str| of.by_rule.get(rule).copied().unwrap_or(0);
    let promised = |rule: &str| promises.get(rule).copied();
    let of_rule =
        |rule: &&str| line(rule, "all", promised(rule), counted.iter().map(|of| count(of, rule)).sum(), key_days);
    let mut of_rules: Vec<Line> = rules.iter().map(of_rule).collect();
    of_rules.push(line("all", "all", Some(all), of_rules.iter().map(|line| line.alerts).sum(), key_days));
    let of_shape = |of: &Counted| line("all", of.shape.as_str(), Some(all), of.by_rule.values().sum(), of.key_days);
    let cells = counted.iter().flat_map(|of| {
        rules.iter().map(move |rule| line(rule, of.shape.as_str(), promised(rule), count(of, rule), of.key_days))
    });
    Report { rules: of_rules, shapes: counted.iter().map(of_shape).collect(), cells: cells.collect() }
}

fn line(rule: &str, shape: &str, promised: Option<f64>, alerts: u32, key_days: f64) -> Line {
    let (low, high) = poisson_interval(alerts);
    let per = |count: f64| if key_days <= 0.0 { 0.0 } else { count * 1_000.0 / key_days };
    let interval = if key_days <= 0.0 { (0.0, f64::MAX) } else { (per(low), per(high)) };
    let rate = rate(alerts, key_days);
    let verdict = Verdict::of(promised, rate, interval);
    let (rule, shape) = (rule.to_owned(), shape.to_owned());
    Line { rule, shape, promised, alerts, key_days, rate, interval, verdict }
}

/// Between which means a count is not unlikely: each end leaves it a chance of 2.5 %.
fn poisson_interval(count: u32) -> (f64, f64) {
    // The chance of at most n is less, the larger the mean.
    let mean_at = |n: u32, chance: f64| {
        let (mut low, mut high) = (0.0, f64::from(n) * 2.0 + 20.0);
        for _ in 0..80 {
            let middle = (low + high) / 2.0;
            if chance < at_most(n, middle) { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    };
    let low = count.checked_sub(1).map_or(0.0, |less| mean_at(less, 0.975));
    (low, mean_at(count, 0.025))
}

/// The chance of at most `n` where `mean` are expected.
fn at_most(n: u32, mean: f64) -> f64 {
    let mut logarithm = -mean;
    let mut sum = logarithm.exp();
    for k in 1..=n {
        logarithm += mean.ln() - f64::from(k).ln();
        sum += logarithm.exp();
    }
    sum.min(1.0)
}

/// What each rule promises: its own `budget`, else its detector's default, where the command line sets no other.
pub fn promises(rules: &RuleSet, set: &[Override]) -> BTreeMap<String, f64> {
    let mut promises = BTreeMap::new();
    for rule in &rules.rules {
        let spec = SPECS.iter().find(|spec| spec.kind == rule.kind);
        let default = spec.and_then(|spec| spec.params.iter().find(|param| param.name == BUDGET));
        let Some(default) = default else { continue };
        let (ParamValue::Number(mut budget), name) = (default.ty.default_value(), rule.name.to_string()) else {
            continue;
        };
        for file in rules.files.iter().filter(|file| file.name.ends_with(".yml")) {
            let root = yaml::parse(&file.text, &Problems::new(&file.name, &file.text));
            if let Some(written) = root.and_then(|root| written(&root, &name)) {
                budget = written;
            }
        }
        let told = set.iter().rev().find(|change| change.rule == name && change.param == BUDGET);
        if let Some(told) = told.and_then(|change| change.value.parse().ok()) {
            budget = told;
        }
        promises.insert(name, budget);
    }
    promises
}

/// The budget that a file gives the rule of a name, wherever in it the rule stands.
fn written(node: &Node, rule: &str) -> Option<f64> {
    match &node.value {
        Value::Scalar(_) => None,
        Value::List(items) => items.iter().find_map(|item| written(item, rule)),
        Value::Map(entries) => {
            let of = |entries: &[yaml::Entry], name: &str| entries.iter().position(|entry| entry.key == name);
            let text = |node: &Node| match &node.value {
                Value::Scalar(scalar) => Some(scalar.text.clone()),
                _ => None,
            };
            let names_it = ["name", "rule"]
                .iter()
                .any(|field| of(entries, field).and_then(|at| text(&entries[at].value)).as_deref() == Some(rule));
            let params = of(entries, "params").filter(|_| names_it).map(|at| &entries[at].value.value);
            if let Some(Value::Map(params)) = params
                && let Some(at) = of(params, BUDGET)
            {
                return text(&params[at].value)?.parse().ok();
            }
            entries.iter().find_map(|entry| written(&entry.value, rule))
        }
    }
}

/// The report as text. Of single cells only those that do not keep their promise.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let head = |text: &mut String, what: &str| {
        let _ = writeln!(
            text,
            "{what:20}{:>9}{:>8}{:>10}{:>7}{:>14}  verdict",
            "promised", "alerts", "key-days", "rate", "95 %"
        );
    };
    let row = |text: &mut String, name: &str, line: &Line| {
        let (low, high) = line.interval;
        let _ = writeln!(
            text,
            "{name:20}{:>9}{:>8}{:>10.0}{:>7.2}{:>14}  {}",
            line.promised.map_or_else(|| "-".into(), |promised| format!("{promised:.3}")),
            line.alerts,
            line.key_days,
            line.rate,
            format!("{low:.2}-{high:.2}"),
            line.verdict.words()
        );
    };
    head(&mut text, "rule, every shape");
    report.rules.iter().for_each(|line| row(&mut text, &line.rule, line));
    text.push('\n');
    head(&mut text, "shape, every rule");
    report.shapes.iter().for_each(|line| row(&mut text, &line.shape, line));
    let broken: Vec<&Line> = report.cells.iter().filter(|line| line.verdict == Verdict::NotKept).collect();
    if !broken.is_empty() {
        text.push('\n');
        head(&mut text, "not kept");
        for line in broken {
            row(&mut text, &format!("{} {}", line.rule, line.shape), line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleFile;
    use crate::rules::compile::compile;
    use crate::rules::shipped::SHIPPED;

    #[test]
    fn intervals_are_garwoods() {
        // From his table, and from any statistics package: qchisq(c(.025, .975), 2 n + c(0, 2)) / 2.
        for (count, low, high) in [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (20, 12.2165, 30.8884)]
        {
            let (found_low, found_high) = poisson_interval(count);
            assert!(
                (found_low - low).abs() < 1e-3 && (found_high - high).abs() < 1e-3,
                "{count}: {found_low} {found_high}"
            );
        }
    }

    #[test]
    fn a_promise_is_broken_only_beyond_chance() {
        for (promised, alerts, key_days, verdict) in [
            (Some(1.0), 10, 10_000.0, Verdict::Kept),
            (Some(1.0), 12, 10_000.0, Verdict::Unsure),
            (Some(1.0), 25, 10_000.0, Verdict::NotKept),
            (Some(1.0), 5, 10_000.0, Verdict::Kept),
            (Some(1.0), 2, 100_000.0, Verdict::FarBelow),
            // Nothing in a few days says nothing.
            (Some(1.0), 0, 1_000.0, Verdict::Kept),
            (None, 25, 10_000.0, Verdict::NoPromise),
        ] {
            assert_eq!(line("r", "s", promised, alerts, key_days).verdict, verdict, "{promised:?} {alerts} {key_days}");
        }
    }

    #[test]
    fn promises_come_from_the_rule_its_detector_or_the_command_line() {
        let files = |budget: &str| {
            let files = SHIPPED.iter().map(|(name, text)| RuleFile {
                name: (*name).to_owned(),
                text: text.replace("  budget: 0.4\n", budget),
            });
            files.collect::<Vec<_>>()
        };
        let spike = |budget: &str, set: &[Override]| {
            promises(&compile(files(budget), SPECS).unwrap(), set).get("spike").copied().unwrap()
        };
        assert_eq!(spike("  budget: 0.25\n", &[]), 0.25);
        assert!(0.0 < spike("", &[]));
        assert_eq!(spike("  budget: 0.25\n", &[Override::parse("spike.budget=2").unwrap()]), 2.0);
    }
}
