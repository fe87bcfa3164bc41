//! What came of all tests, for people, for programs and for JUnit's readers; and what no test covers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run::{Failure, Outcome};
use super::{Test, offset_text};
use crate::alert::plural;
use crate::rules::RuleSet;
use crate::time::rfc3339;

/// What tests that passed have shown of each rule.
#[derive(Debug)]
pub struct Coverage {
    rules: Vec<RuleCoverage>,
}

/// What they have shown of one rule.
#[derive(Debug)]
pub struct RuleCoverage {
    /// Its name.
    pub rule: String,
    /// Tests in which it fired, as they expected.
    pub n_fires: usize,
    /// Tests that name it in `rules` and in which it never fired.
    pub n_silent: usize,
    /// Its exceptions, and whether one of them spared something.
    pub exceptions: Vec<(String, bool)>,
}

impl Coverage {
    /// Of nothing yet.
    pub fn new(rules: &RuleSet) -> Self {
        let one = |rule: &crate::rules::Rule| RuleCoverage {
            rule: rule.name.to_string(),
            n_fires: 0,
            n_silent: 0,
            // A shape without values spares nothing: there is nothing to test.
            exceptions: rule
                .exceptions
                .iter()
                .filter(|exception| !exception.entries.is_empty())
                .map(|exception| (exception.name.to_string(), false))
                .collect(),
        };
        Coverage { rules: rules.rules.iter().map(one).collect() }
    }

    /// Takes in one test. What failed shows nothing.
    pub fn add(&mut self, test: &Test, outcome: &Outcome) {
        if !outcome.failures.is_empty() {
            return;
        }
        for one in &mut self.rules {
            let is_named = test.rules.as_ref().is_some_and(|only| only.contains(&one.rule));
            let fired = outcome.fired.contains(&one.rule);
            one.n_fires += usize::from(fired);
            one.n_silent += usize::from(!fired && is_named && outcome.n_events > 0);
            for (exception, used) in &mut one.exceptions {
                *used |= outcome.spared.contains(&(one.rule.clone(), exception.clone()));
            }
        }
    }

    /// What is not covered, a line each.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for one in &self.rules {
            if one.n_fires == 0 {
                gaps.push(format!("{}: no test in which it fires", one.rule));
            }
            if one.n_silent == 0 {
                gaps.push(format!("{}: no test that names it in `rules` and in which it stays silent", one.rule));
            }
            let unused = one.exceptions.iter().filter(|(_, used)| !used);
            gaps.extend(unused.map(|(name, _)| format!("{}: no test in which `{name}` spares something", one.rule)));
        }
        gaps
    }

    /// One line: how many rules are covered.
    pub fn summary(&self) -> String {
        let n = |is: &dyn Fn(&RuleCoverage) -> bool| self.rules.iter().filter(|one| is(one)).count();
        let exceptions = || self.rules.iter().flat_map(|one| &one.exceptions);
        let (fire, silent) = (n(&|one| one.n_fires > 0), n(&|one| one.n_silent > 0));
        let mut text = format!("coverage: of {} {fire} fire, {silent} stay silent", plural(self.rules.len(), "rule"));
        if exceptions().count() > 0 {
            let used = exceptions().filter(|(_, used)| *used).count();
            let _ = write!(text, "; of {} {used} used", plural(exceptions().count(), "exception"));
        }
        text
    }

    fn json(&self) -> Value {
        let one = |one: &RuleCoverage| {
            let exceptions: Vec<Value> =
                one.exceptions.iter().map(|(name, used)| json!({"name": name, "used": used})).collect();
            json!({"rule": one.rule, "fires": one.n_fires, "silent": one.n_silent, "exceptions": exceptions})
        };
        Value::Array(self.rules.iter().map(one).collect())
    }
}

/// What differs, a block for each expectation that does not hold. `-` is missing, `+` unexpected, `~` differs.
pub fn differences(test: &Test, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for failure in &outcome.failures {
        lines.push(format!("{}:{}: at {}", test.file, failure.at.line, moment(test, failure)));
        lines.extend(failure.missing.iter().map(|line| format!("  - missing:    {line}")));
        lines.extend(failure.unexpected.iter().map(|line| format!("  + unexpected: {line}")));
        for differing in &failure.differing {
            lines.push(format!("  ~ differs:    {}", differing.expected));
            for (field, want, is) in &differing.fields {
                lines.push(format!("                {field}: expected `{want}`, found `{is}`"));
            }
        }
    }
    lines
}

fn moment(test: &Test, failure: &Failure) -> String {
    let at = rfc3339(failure.time);
    format!("{} ({})", offset_text(test.starts, failure.time), at.replace(".000Z", "Z"))
}

/// Everything as one JSON object. `coverage` is left out where not all tests were run.
pub fn as_json(tests: &[(Test, Outcome)], coverage: Option<&Coverage>) -> String {
    let difference = |failure: &Failure| {
        let differing: Vec<Value> = failure
            .differing
            .iter()
            .map(|one| {
                let fields: Vec<Value> = one
                    .fields
                    .iter()
                    .map(|(field, want, is)| json!({"field": field, "expected": want, "found": is}))
                    .collect();
                json!({"expected": one.expected, "fields": fields})
            })
            .collect();
        json!({"line": failure.at.line, "at": rfc3339(failure.time), "missing": failure.missing,
            "unexpected": failure.unexpected, "differing": differing})
    };
    let one = |(test, outcome): &(Test, Outcome)| {
        let failures: Vec<Value> = outcome.failures.iter().map(difference).collect();
        json!({"file": test.file, "line": test.at.line, "name": test.name, "passed": failures.is_empty(),
            "events": outcome.n_events, "failures": failures})
    };
    let n_failed = n_failed(tests);
    let mut all = json!({"valid": true, "passed": tests.len() - n_failed, "failed": n_failed,
        "tests": tests.iter().map(one).collect::<Vec<_>>()});
    if let (Some(coverage), Value::Object(fields)) = (coverage, &mut all) {
        fields.insert("coverage".to_owned(), coverage.json());
        fields.insert("gaps".to_owned(), coverage.gaps().into());
    }
    all.to_string()
}

/// How many did not pass.
pub fn n_failed(tests: &[(Test, Outcome)]) -> usize {
    tests.iter().filter(|(_, outcome)| !outcome.failures.is_empty()).count()
}

/// Everything as JUnit's XML: a suite for each file.
pub fn as_junit(tests: &[(Test, Outcome)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = |tests: &[&(Test, Outcome)]| {
        let failed = tests.iter().filter(|(_, outcome)| !outcome.failures.is_empty()).count();
        format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\"", tests.len())
    };
    let _ = writeln!(text, "<testsuites name=\"keywatch rules test\" {}>", counts(&tests.iter().collect::<Vec<_>>()));
    let files: BTreeSet<&str> = tests.iter().map(|(test, _)| test.file.as_str()).collect();
    for file in files {
        let own: Vec<&(Test, Outcome)> = tests.iter().filter(|(test, _)| test.file == file).collect();
        let file = xml(file);
        let _ = writeln!(text, "  <testsuite name=\"{file}\" {}>", counts(&own));
        for (test, outcome) in own {
            let name = xml(&test.name);
            let head =
                format!("    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{}\"", test.at.line);
            if outcome.failures.is_empty() {
                let _ = writeln!(text, "{head}/>");
                continue;
            }
            let message = format!("{} not as expected", plural(outcome.failures.len(), "moment"));
            let differences = xml(&differences(test, outcome).join("\n"));
            let _ = writeln!(
                text,
                "{head}>\n      <failure message=\"{message}\">{differences}</failure>\n    </testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text within XML. What XML cannot have at all becomes a question mark.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
