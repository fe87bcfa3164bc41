//! The lab's numbers as text, at most 80 columns wide where two rule sets and the rivals are compared.

use crate::lab::report::{KindScore, Report, Run, rate};
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// Width of the output.
const WIDTH: usize = 80;
/// Kinds, rules and names of rule sets are written into this; longer ones are cut, since they name no one alert.
const NAME: usize = 19;

/// The whole table.
pub fn table(report: &Report) -> String {
    let Some(first) = report.runs.first() else { return String::new() };
    let (from, to) = report.seeds;
    let seeds = if from == to { format!("seed {from}") } else { format!("seeds {from} to {to}") };
    let mut text = format!("keywatch lab: {seeds}, {} keys, {} days each\n\n", report.keys, report.days);
    text.push_str(&kinds(first, &report.runs[1..]));
    text.push('\n');
    text.push_str(&rules(first));
    text.push('\n');
    text.push_str(&contenders(report));
    text
}

/// What was found of each kind, by the rules in question; beside it the recall of the others.
fn kinds(run: &Run, others: &[Run]) -> String {
    let head = format!("{:NAME$}{:>8}{:>7}{:>8}{:>9}{:>6}", "kind", "planted", "found", "recall", "delay", "each");
    let of_others = |cell: &dyn Fn(&Run) -> String| -> String {
        others.iter().map(|other| format!("  {:>1$}", cell(other), other.name.chars().count().clamp(6, NAME))).collect()
    };
    let names = of_others(&|other| cut(&other.name));
    let fits = head.len() + names.chars().count() <= WIDTH;
    let line = |name: &str, kind: &KindScore, others: String| {
        let each = kind.alerts_each().map_or_else(|| "-".into(), |each| format!("{each:.1}"));
        let delay = kind.median_delay().map_or_else(|| "-".into(), span);
        format!(
            "{:NAME$}{:>8}{:>7}{:>8}{:>9}{:>6}{}\n",
            cut(name),
            kind.planted,
            kind.found,
            percent(kind.recall()),
            delay,
            each,
            if fits { others } else { String::new() }
        )
    };
    let mut text = format!("{head}{}\n", if fits { names.as_str() } else { "" });
    let recall_of = |other: &Run, kind: &str| other.kinds.get(kind).map_or_else(String::new, |k| percent(k.recall()));
    for (name, kind) in &run.kinds {
        text.push_str(&line(name, kind, of_others(&|other| recall_of(other, name))));
    }
    text.push_str(&line("all", &run.total(), of_others(&|other| percent(other.total().recall()))));
    if !fits {
        text.push_str(&format!("\n{:NAME$}{:>8}{names}\n", "recall", cut(&run.name)));
        for (name, kind) in &run.kinds {
            let others = of_others(&|other| recall_of(other, name));
            text.push_str(&format!("{:NAME$}{:>8}{others}\n", cut(name), percent(kind.recall())));
        }
    }
    text
}

/// False alerts, and true ones that nobody planted, by rule.
fn rules(run: &Run) -> String {
    let mut text = format!(
        "{:NAME$}{:>14}{:>14}{:>16}{:>14}\n",
        "false alerts", "after warm-up", "per 1,000 kd", "on look-alikes", "warm-up"
    );
    let mut line = |name: &str, count: crate::lab::report::FalseAlerts| {
        text.push_str(&format!(
            "{:NAME$}{:>14}{:>14.2}{:>16}{:>14}\n",
            cut(name),
            count.after,
            rate(count.after, run.key_days),
            count.on_look_alikes,
            count.warm_up,
        ));
    };
    for (name, count) in &run.false_by_rule {
        line(name, *count);
    }
    line("all", run.total_false());
    if !run.true_by_rule.is_empty() {
        let parts: Vec<String> = run.true_by_rule.iter().map(|(rule, n)| format!("{n} {rule}")).collect();
        let all: u32 = run.true_by_rule.values().sum();
        let words = format!("{all} alerts were not planted and are true all the same: {}", parts.join(", "));
        text.push_str(&crate::cli::text::wrap(&words, WIDTH, ""));
        text.push('\n');
    }
    text
}

/// One line for each rule set and rival, the one in question first; the range over seeds below it.
fn contenders(report: &Report) -> String {
    let mut text =
        format!("{:NAME$}{:>9}{:>14}{:>12}{:>9}{:>8}\n", "", "recall", "false/1,000kd", "in warm-up", "delay", "each");
    for run in &report.runs {
        let (total, wrong) = (run.total(), run.total_false());
        text.push_str(&format!(
            "{:NAME$}{:>9}{:>14.2}{:>12.2}{:>9}{:>8}\n",
            cut(&run.name),
            percent(total.recall()),
            rate(wrong.after, run.key_days),
            rate(wrong.warm_up, run.warm_up_key_days),
            total.median_delay().map_or_else(|| "-".into(), span),
            total.alerts_each().map_or_else(|| "-".into(), |each| format!("{each:.1}")),
        ));
        if 1 < report.n_seeds {
            let (low, high) = run.spread(|seed| seed.recall);
            let (least, most) = run.spread(|seed| seed.false_alerts);
            let (warm_least, warm_most) = run.spread(|seed| seed.false_alerts_warm_up);
            text.push_str(&format!(
                "{:NAME$}{:>9}{:>14}{:>12}\n",
                "  over seeds",
                format!("{:.0}-{:.0} %", low * 100.0, high * 100.0),
                range(least, most),
                range(warm_least, warm_most),
            ));
        }
    }
    text
}

fn cut(name: &str) -> String {
    if name.chars().count() < NAME { name.to_owned() } else { name.chars().take(NAME - 2).chain(['…']).collect() }
}

/// From the least to the most; hundreds need no decimals.
fn range(least: f64, most: f64) -> String {
    if most < 100.0 { format!("{least:.1}-{most:.1}") } else { format!("{least:.0}-{most:.0}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A duration in one or two words, short.
pub fn span(millis: Millis) -> String {
    let millis = millis as f64;
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "min")] {
        if unit as f64 <= millis {
            return format!("{:.1} {name}", millis / unit as f64);
        }
    }
    format!("{:.1} s", millis / SECOND as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::report::{FalseAlerts, SeedScore};

    fn run(name: &str, found: u32) -> Run {
        let mut run = Run { warm_up_key_days: 2_000.0, key_days: 4_000.0, ..Run::new(name) };
        let delays_ms = vec![0, 90_000, 3 * HOUR][..found as usize].to_vec();
        run.kinds.insert("impossible_travel".into(), KindScore { planted: 3, found, alerts: 2 * found, delays_ms });
        run.kinds.insert("spike".into(), KindScore { planted: 1, ..KindScore::default() });
        run.false_by_rule.insert("spike".into(), FalseAlerts { warm_up: 6, after: 10, on_look_alikes: 4 });
        run.true_by_rule.insert("stale-key".into(), 2);
        for (seed, recall, false_alerts) in [(1, 0.5, 2.0), (2, 0.75, 3.0)] {
            run.seeds.push(SeedScore { seed, recall, false_alerts, false_alerts_warm_up: 60.0 * false_alerts });
        }
        run
    }

    #[test]
    fn the_table_says_what_was_found_what_was_wrong_and_how_others_do() {
        let runs = vec![run("rules", 3), run("elastalert2-like", 1)];
        let report = Report { seeds: (1, 2), n_seeds: 2, keys: 100, days: 35, runs };
        insta::assert_snapshot!(table(&report), @r"
        keywatch lab: seeds 1 to 2, 100 keys, 35 days each

        kind                planted  found  recall    delay  each  elastalert2-like
        impossible_travel         3      3 100.0 %  1.5 min   2.0            33.3 %
        spike                     1      0   0.0 %        -     -             0.0 %
        all                       4      3  75.0 %  1.5 min   2.0            25.0 %

        false alerts        after warm-up  per 1,000 kd  on look-alikes       warm-up
        spike                          10          2.50               4             6
        all                            10          2.50               4             6
        2 alerts were not planted and are true all the same: 2 stale-key

                              recall false/1,000kd  in warm-up    delay    each
        rules                 75.0 %          2.50        3.00  1.5 min     2.0
          over seeds         50-75 %       2.0-3.0     120-180
        elastalert2-like      25.0 %          2.50        3.00    0.0 s     2.0
          over seeds         50-75 %       2.0-3.0     120-180
        ");
    }

    #[test]
    fn what_does_not_fit_gets_a_table_of_its_own() {
        let runs =
            ["rules", "rules-of-last-week-and-before", "elastalert2-like", "mean+3sigma"].map(|name| run(name, 2));
        let report = Report { seeds: (7, 7), n_seeds: 1, keys: 100, days: 35, runs: runs.into() };
        let text = table(&report);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\nrecall "), "{text}");
    }

    #[test]
    fn spans_are_short() {
        for (millis, text) in [(0, "0.0 s"), (90_000, "1.5 min"), (3 * HOUR, "3.0 h"), (36 * HOUR, "1.5 d")] {
            assert_eq!(span(millis), text);
        }
    }
}
