//! Generated files are as the code says. `KEYWATCH_WRITE=1 cargo test --test docs` writes them anew.

#[path = "docs/conditions.rs"]
mod conditions;
#[path = "docs/reference.rs"]
mod reference;
#[path = "docs/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "a test asks whether it is to write")]
fn is_to_write() -> bool {
    std::env::var_os("KEYWATCH_WRITE").is_some()
}

/// Compares a file with what it should be, or writes it where that is asked for.
#[track_caller]
fn expect_file(path: &str, expected: &str) {
    let whole = root().join(path);
    if is_to_write() {
        std::fs::create_dir_all(whole.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(&whole, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&whole).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(found.lines().count().min(expected.lines().count())) + 1;
    let hint = "run `KEYWATCH_WRITE=1 cargo test --test docs` and look at the change";
    assert!(found == expected, "{path}:{line} is stale: {hint}");
}

/// Runs the program in the repository's folder, as at a terminal of 80 columns.
fn keywatch(args: &[&str]) -> (String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch")).args(args).current_dir(root()).env("COLUMNS", "80").output();
    let run = run.unwrap();
    (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
}

/// A text's part between two marks, with what is to stand there instead.
fn replace_between(text: &str, mark: &str, new: &str) -> String {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->\n"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no `{begin}`"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no `{end}`"));
    format!("{head}{begin}{new}{end}{tail}")
}

#[test]
fn the_sample_is_what_its_maker_makes() {
    let made = sample::sample();
    assert!(made.events.len() + made.key_events.len() < 600_000, "the sample is too large for a repository");
    expect_file("sample/events.jsonl", &made.events);
    expect_file("sample/key-events.jsonl", &made.key_events);
}

#[test]
fn the_readme_shows_what_its_command_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, command) = readme.split_once("cargo run --release -- replay").unwrap();
    let command = format!("replay{}", command.split("\n```").next().unwrap().replace("\\\n", " "));
    let args: Vec<&str> = command.split_whitespace().collect();
    let (stdout, stderr) = keywatch(&args);
    // How long it took differs.
    let stderr: String = stderr.lines().map(|line| without_seconds(line) + "\n").collect();
    let shown = format!("```text\n{stdout}{stderr}```\n");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{shown}");
    expect_file("README.md", &replace_between(&readme, "replay", &shown));
}

fn without_seconds(line: &str) -> String {
    match line.split_once(" lines in ") {
        Some((n, rest)) => format!("{n} lines in 0.1 s{}", rest.split_once(" s").map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    }
}

#[test]
fn the_reference_of_rules_is_as_the_detectors_say() {
    expect_file("docs/reference/rules.md", &reference::rules());
}

#[test]
fn the_reference_of_conditions_is_as_the_language_says() {
    expect_file("docs/reference/conditions.md", &conditions::conditions());
}

#[test]
fn the_examples_of_conditions_compile() {
    use keywatch::rules::expr::{Compiler, ListKind};
    let mut compiler = Compiler::new();
    compiler.add_list("office", ListKind::Cidr, &["203.0.113.0/24"]).unwrap();
    compiler.add_list("banned_countries", ListKind::Text, &["KP"]).unwrap();
    compiler.add_macro("at_night", "event.ts.getHours(merchant.timezone) < 6");
    let page = conditions::conditions();
    let examples: Vec<&str> = page.split("```cel\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    let examples: Vec<&str> = examples.iter().flat_map(|example| example.split("\n\n")).collect();
    assert_eq!(examples.len(), 7);
    for example in examples {
        assert!(compiler.compile(example).is_ok(), "{example}: {:?}", compiler.compile(example));
    }
}

#[test]
fn the_reference_of_metrics_is_as_the_catalogue_says() {
    expect_file("docs/reference/metrics.md", &reference::metrics());
}

#[test]
fn the_reference_of_commands_is_as_their_help_says() {
    expect_file("docs/reference/commands.md", &reference::commands());
}

#[test]
fn every_kind_is_in_the_reference_of_alerts() {
    let alerts = std::fs::read_to_string(root().join("docs/reference/alerts.md")).unwrap();
    for kind in keywatch::alert::Kind::ALL {
        assert!(alerts.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages = vec![];
    for folder in ["", "docs", "docs/reference"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    assert!(pages.len() >= 10);
    let mut dead = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !page.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn files_that_the_pages_name_exist() {
    let mut gone = Vec::new();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_path =
                ["src/", "tests/", "rules/", "docs/", "sample/", ".ci/"].iter().any(|at| name.starts_with(at));
            if is_path && !name.contains(['<', '*', ' ']) && !root().join(name).exists() {
                gone.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(gone.is_empty(), "named, but not there:\n{}", gone.join("\n"));
}
