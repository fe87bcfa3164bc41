//! The public conformance tests of CEL: each case gives the value it should, or is refused by a reason that its file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keywatch::event::{AuthEvent, Outcome};
use keywatch::rules::expr::{Compiler, Condition, ExprProblem, Scope};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cel")
}

#[expect(clippy::disallowed_methods, reason = "a test asks whether it is to write")]
fn is_to_write() -> bool {
    std::env::var_os("KEYWATCH_WRITE").is_some()
}

fn event() -> AuthEvent<'static> {
    AuthEvent { key_id: None, outcome: Outcome::Ok, ..AuthEvent::at(0, "", None) }
}

/// What came of a case.
enum Result {
    Passed,
    Failed(String),
    /// It is refused, and why.
    Refused(String),
}

fn compile(text: &str) -> std::result::Result<Condition, Vec<ExprProblem>> {
    Compiler::new().lenient().compile(text)
}

fn judge(expr: &str, expected: &str) -> Result {
    let event = event();
    let scope = Scope::of(&event);
    if expected == "error" {
        // Whatever type it is of: as a condition, or compared with something of its type.
        let texts = ["", " == 0", " == 0.0", " == \"\"", " == duration(\"1s\")", " == timestamp(0)"];
        let compiled: Vec<_> = texts.iter().map(|rest| compile(&format!("({expr}){rest}"))).collect();
        return match compiled.iter().find_map(|compiled| compiled.as_ref().ok()) {
            Some(condition) => match condition.value(&scope) {
                None => Result::Passed,
                Some(value) => Result::Failed(format!("gave {value}, not an error")),
            },
            // CEL reports it when it is asked, we when it is read.
            None => Result::Refused(first(compile(expr))),
        };
    }
    match compile(&format!("({expr}) == {expected}")) {
        Ok(condition) => match condition.value(&scope) {
            Some(true) => Result::Passed,
            other => Result::Failed(format!("{other:?}")),
        },
        Err(problems) => Result::Refused(first(Err(problems))),
    }
}

fn first(result: std::result::Result<Condition, Vec<ExprProblem>>) -> String {
    result.err().and_then(|problems| problems.into_iter().next()).map_or_else(String::new, |problem| problem.message)
}

#[test]
fn every_case_passes_or_is_refused_for_the_reason_that_its_file_names() {
    let mut failed = Vec::new();
    let mut passed: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut written = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                written += &format!("{line}\n");
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let (case, expr, expected) = (columns[0], columns[1], columns[2]);
            let reason = columns.get(3).copied().unwrap_or_default();
            let expr: String = serde_json::from_str(expr).unwrap();
            let result = if expected == "-" {
                Result::Refused(reason.strip_prefix("refused: ").unwrap_or_default().to_owned())
            } else {
                judge(&expr, expected)
            };
            let counts = passed.entry(name.clone()).or_default();
            let now = match result {
                Result::Passed => {
                    counts.0 += 1;
                    String::new()
                }
                Result::Refused(why) => {
                    counts.1 += 1;
                    format!("refused: {}", why.replace(['\t', '\n'], " "))
                }
                Result::Failed(how) if reason.starts_with("differs: ") => {
                    counts.1 += 1;
                    let _ = how;
                    reason.to_owned()
                }
                Result::Failed(how) => {
                    failed.push(format!("{name}/{case}: {expr} is not {expected}: {how}"));
                    continue;
                }
            };
            if now != reason && !is_to_write() {
                failed.push(format!("{name}/{case}: {expr}: {now}, the file says {reason}"));
            }
            written += columns[..3].join("\t").as_str();
            written += if now.is_empty() { "" } else { "\t" };
            written += &format!("{now}\n");
        }
        if is_to_write() && failed.is_empty() {
            std::fs::write(&file, written).unwrap();
        }
    }
    assert!(failed.is_empty(), "{} cases:\n{}", failed.len(), failed.join("\n"));
    let (n_passed, n_refused) = passed.values().fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
    // So that no case slips from the one to the other unseen.
    assert_eq!((n_passed, n_refused), (409, 665), "{passed:?}");
}
