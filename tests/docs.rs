//! Generated files are as the code says. `KEYWATCH_WRITE=1 cargo test --test docs` writes them anew.

#[path = "docs/conditions.rs"]
mod conditions;
#[path = "docs/cookbook.rs"]
mod cookbook;
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
fn the_cookbook_shows_its_files() {
    expect_file("docs/cookbook.md", &cookbook::page());
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

#[test]
fn the_page_about_gateways_is_as_presets_and_commands_say() {
    let page = std::fs::read_to_string(root().join("docs/connect.md")).unwrap();
    let page = replace_between(&page, "presets", &reference::presets());
    let mapping = std::fs::read_to_string(root().join("tests/data/formats/apigateway.yml")).unwrap();
    assert!(
        page.contains(mapping.split_once('\n').unwrap().1),
        "the page shows another mapping than its command reads"
    );
    let mut parts = page.split("```sh\nkeywatch replay ");
    let mut whole = parts.next().unwrap().to_owned();
    let mut n_commands = 0;
    for part in parts {
        let (arguments, rest) = part.split_once("\n```\n\n```text\n").expect("what it prints follows the command");
        let (_, rest) = rest.split_once("```\n").unwrap();
        let plain = format!("replay {}", arguments.replace("\\\n", " "));
        let (stdout, stderr) = keywatch(&plain.split_whitespace().collect::<Vec<_>>());
        let stderr: String = stderr.lines().map(|line| without_seconds(line) + "\n").collect();
        let shown = format!("{stdout}{stderr}");
        whole += &format!("```sh\nkeywatch replay {arguments}\n```\n\n```text\n{}```\n{rest}", shown.trim_start());
        n_commands += 1;
    }
    assert_eq!(n_commands, 5);
    expect_file("docs/connect.md", &whole);
}

fn without_seconds(line: &str) -> String {
    let counted = [" lines in ", " line in "].iter().find_map(|word| Some((word, line.split_once(word)?)));
    match counted {
        Some((word, (n, rest))) => format!("{n}{word}0.1 s{}", rest.split_once(" s").map_or("", |(_, rest)| rest)),
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
    compiler.add_list("our_programs", ListKind::Text, &["shop/1.0"]).unwrap();
    compiler.add_macro("at_night", "event.ts.getHours(merchant.timezone) < 6");
    let page = conditions::conditions();
    let examples: Vec<&str> = page.split("```cel\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    let examples: Vec<&str> = examples.iter().flat_map(|example| example.split("\n\n")).collect();
    assert_eq!(examples.len(), 7);
    for example in examples {
        assert!(compiler.compile(example).is_ok(), "{example}: {:?}", compiler.compile(example));
    }
}

/// Beside the shipped rules, one of which is changed on the page.
#[test]
fn the_examples_of_the_reference_of_rules_are_valid() {
    use keywatch::rules::RuleFile;
    let page = reference::rules();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let mut files = keywatch::rules::files::load_directory(&root().join("rules")).unwrap();
        files.push(RuleFile { name: "example.yml".into(), text: example.to_owned() });
        let set = keywatch::rules::compile::compile(files, keywatch::engine::detect::SPECS);
        let problems = match &set {
            Ok(set) => &set.warnings,
            Err(problems) => problems,
        };
        // The example shows a list of programs that its only rule does not need.
        let told: Vec<_> = problems.iter().filter(|p| p.message != "nobody uses the list `scanners`").collect();
        assert!(told.is_empty(), "{}", keywatch::yaml::render(problems));
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
fn the_page_about_doctor_names_every_check() {
    expect_file("docs/doctor.md", &reference::doctor());
}

#[test]
fn the_schema_of_the_configuration_is_as_its_fields_say() {
    expect_file("docs/reference/config.schema.json", &keywatch::config::schema::text());
    assert_eq!(keywatch(&["config", "schema"]).0, keywatch::config::schema::text());
    let example = std::fs::read_to_string(root().join("keywatch.example.yml")).unwrap();
    assert!(example.starts_with("# yaml-language-server: $schema=docs/reference/config.schema.json\n"));
}

#[test]
fn the_schemas_of_rules_are_as_their_readers_say() {
    use keywatch::rules::schema;
    let (rules, tests) = (schema::text(keywatch::engine::detect::SPECS), schema::text_for_tests());
    expect_file("docs/reference/rules.schema.json", &rules);
    expect_file("docs/reference/rules.tests.schema.json", &tests);
    assert_eq!(keywatch(&["rules", "schema"]).0, rules);
    assert_eq!(keywatch(&["rules", "schema", "--for", "tests"]).0, tests);
    for entry in std::fs::read_dir(root().join("rules")).unwrap() {
        let path = entry.unwrap().path();
        let kind = if path.to_string_lossy().ends_with(".test.yml") { "rules.tests" } else { "rules" };
        let text = std::fs::read_to_string(&path).unwrap();
        let line = format!("# yaml-language-server: $schema=../docs/reference/{kind}.schema.json\n");
        assert!(text.starts_with(&line), "{} does not begin with {line}", path.display());
    }
}

#[test]
fn every_anchor_is_a_heading() {
    let mut sources = pages();
    sources.push(root().join("src/metrics/catalogue.rs"));
    sources.push(root().join("src/cli/rules.rs"));
    let alerts = std::fs::read_dir(root().join("deploy/prometheus")).unwrap().map(|entry| entry.unwrap().path());
    sources.extend(alerts.filter(|path| path.extension().is_some_and(|e| e == "yml")));
    let (mut dead, mut n_anchors) = (Vec::new(), 0);
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let is_page = source.extension().is_some_and(|e| e == "md");
        for (at, _) in text.match_indices('#') {
            let before = &text[..at];
            let anchor: String =
                text[at + 1..].chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            let from = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c))).map_or(0, |n| n + 1);
            let page = &before[from..];
            // In a page, a link; elsewhere a path from the root.
            let page = match () {
                () if is_page && before.ends_with("](") => source.clone(),
                () if is_page && before[..from].ends_with("](") && page.ends_with(".md") => {
                    source.parent().unwrap().join(page)
                }
                () if !is_page && page.starts_with("docs/") && page.ends_with(".md") => root().join(page),
                () => continue,
            };
            n_anchors += 1;
            let is_there = std::fs::read_to_string(&page).is_ok_and(|text| slugs(&text).contains(&anchor));
            if !is_there {
                dead.push(format!("{}: {}#{anchor}", source.display(), page.display()));
            }
        }
    }
    assert!(n_anchors >= 20, "only {n_anchors} anchors were looked at");
    assert!(dead.is_empty(), "no such heading:\n{}", dead.join("\n"));
}

/// The anchors of a page's headings, as GitHub makes them.
fn slugs(page: &str) -> Vec<String> {
    let mut is_code = false;
    let mut slugs: Vec<String> = Vec::new();
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let slug: String = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let same = slugs.iter().filter(|known| **known == slug).count();
        slugs.push(if same == 0 { slug } else { format!("{slug}-{same}") });
    }
    slugs
}

#[test]
fn slugs_are_as_github_makes_them() {
    let page = "# A, b & `c`\n## Store away\n```sh\n# no heading\n```\n## Store away\n### What it does_not-do?\n";
    assert_eq!(slugs(page), ["a-b--c", "store-away", "store-away-1", "what-it-does_not-do"]);
}

#[test]
fn every_kind_is_in_the_reference_of_alerts() {
    let alerts = std::fs::read_to_string(root().join("docs/reference/alerts.md")).unwrap();
    for kind in keywatch::alert::Kind::ALL {
        assert!(alerts.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
    }
}

#[test]
fn every_kind_has_a_page() {
    let index = std::fs::read_to_string(root().join("docs/kinds.md")).unwrap();
    for kind in keywatch::alert::Kind::ALL.map(keywatch::alert::Kind::as_str) {
        assert!(index.contains(&format!("[`{kind}`](kinds/{kind}.md)")), "docs/kinds.md does not list {kind}");
        let page = std::fs::read_to_string(root().join(format!("docs/kinds/{kind}.md"))).unwrap_or_default();
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        let want = ["## What it sees", "## What it needs", "## How it errs", "## How to tune it"];
        assert_eq!(headings, want, "docs/kinds/{kind}.md");
    }
}

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![];
    for folder in ["", "docs", "docs/kinds", "docs/reference"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    assert!(pages.len() >= 10);
    pages
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
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
