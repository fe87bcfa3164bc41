//! `keywatch rules fmt`: what it makes of files, what it refuses, and that nothing is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use keywatch::engine::detect::SPECS;
use keywatch::rules::RuleFile;
use keywatch::rules::compile::compile;
use keywatch::rules::format::format;
use keywatch::yaml::render;
use proptest::prelude::*;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str, text: &str) -> RuleFile {
    RuleFile { name: name.into(), text: text.into() }
}

fn yml(folder: &str) -> Vec<RuleFile> {
    let paths = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<RuleFile> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .map(|path| file(path.file_name().unwrap().to_str().unwrap(), &std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!files.is_empty(), "{folder}");
    files
}

/// Names and hashes of the rules, or what is wrong with them.
fn rules(text: &str) -> Result<Vec<(String, String)>, usize> {
    let set = compile(vec![file("x.yml", text)], SPECS).map_err(|problems| problems.len())?;
    Ok(set.rules.iter().map(|rule| (rule.name.to_string(), rule.hash.to_string())).collect())
}

#[test]
fn files_are_set_anew_or_refused() {
    for file in yml("tests/data/rules_fmt") {
        let shown = match format(&file) {
            Ok(text) => text,
            Err(problems) => render(&problems),
        };
        insta::with_settings!({snapshot_path => "data/rules_fmt", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(file.name.trim_end_matches(".yml"), shown);
        });
    }
}

#[test]
fn what_ships_is_formatted() {
    for file in yml("rules") {
        let text = format(&file).unwrap_or_else(|problems| panic!("{}", render(&problems)));
        assert!(text == file.text, "{}: run `keywatch rules fmt`\n{text}", file.name);
    }
}

#[test]
fn the_bad_files_of_other_tests_do_not_change_what_they_say() {
    let mut n_set = 0;
    for file in yml("tests/data/rules").into_iter().chain(yml("tests/data/rule_tests/bad")) {
        let Ok(text) = format(&file) else { continue };
        assert_eq!(rules(&text), rules(&file.text), "{}", file.name);
        n_set += 1;
    }
    assert!(n_set > 60, "only {n_set} could be set");
}

/// Places a line, a comment at a line's end, or a blank where one may stand, and often where none may.
#[derive(Clone, Debug)]
enum Change {
    Comment(usize, usize),
    Trailing(usize),
    Empty(usize),
    Spaces(usize),
    Indent(usize),
    Move(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let line = 0usize..60;
    prop_oneof![
        (line.clone(), 0usize..7).prop_map(|(line, indent)| Change::Comment(line, indent)),
        line.clone().prop_map(Change::Trailing),
        line.clone().prop_map(Change::Empty),
        line.clone().prop_map(Change::Spaces),
        line.clone().prop_map(Change::Indent),
        (line.clone(), line).prop_map(|(from, to)| Change::Move(from, to)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (n, change) in changes.iter().enumerate() {
        let n_lines = lines.len();
        let at = |line: usize| line % n_lines;
        match *change {
            Change::Comment(line, indent) => lines.insert(at(line), format!("{}# mark{n}.", " ".repeat(indent))),
            Change::Trailing(line) => {
                let line = at(line);
                lines[line] += &format!("  # mark{n}.");
            }
            Change::Empty(line) => lines.insert(at(line), String::new()),
            Change::Spaces(line) => {
                let line = at(line);
                lines[line] = lines[line].replacen(": ", ":   ", 1);
            }
            Change::Indent(line) => {
                let line = at(line);
                lines[line].insert_str(0, "  ");
            }
            Change::Move(from, to) => {
                let line = lines.remove(at(from));
                lines.insert(at(to).min(n_lines - 1), line);
            }
        }
    }
    lines.join("\n")
}

const SOURCES: [&str; 3] = ["rules/new-ip.yml", "tests/data/rules_fmt/sections.yml", "tests/data/rules_fmt/rule.yml"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_twice_is_once(which in 0usize..3, changes in prop::collection::vec(change(), 0..6)) {
        let source = std::fs::read_to_string(root().join(SOURCES[which])).unwrap();
        let before = changed(&source, &changes);
        match format(&file("x.yml", &before)) {
            Ok(after) => {
                prop_assert_eq!(format(&file("x.yml", &after)).ok(), Some(after.clone()));
                prop_assert_eq!(rules(&after), rules(&before), "{}\n---\n{}", before, after);
                for n in 0..changes.len() {
                    let mark = format!("mark{n}.");
                    prop_assert_eq!(before.matches(&mark).count(), after.matches(&mark).count(), "{}\n---\n{}", before, after);
                }
                prop_assert_eq!(before.matches('#').count(), after.matches('#').count());
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    /// Whole lines between fields are where people write comments: there none is refused.
    #[test]
    fn comments_between_fields_are_kept(lines in prop::collection::vec(0usize..30, 1..5)) {
        let source = std::fs::read_to_string(root().join("rules/spike.yml")).unwrap();
        let is_field = |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(": ") || line.ends_with(':');
        let mut text = String::new();
        for (n, line) in source.lines().enumerate() {
            if lines.contains(&n) && is_field(line) && !line.starts_with("   ") && !source.lines().nth(n.wrapping_sub(1)).unwrap_or("").ends_with('>') {
                let indent = line.len() - line.trim_start().len();
                text += &format!("{}# between\n", " ".repeat(indent));
            }
            text += line;
            text += "\n";
        }
        let after = format(&file("x.yml", &text));
        let after = after.map_err(|problems| TestCaseError::fail(format!("{text}\n{}", render(&problems))))?;
        prop_assert_eq!(after.matches("# between").count(), text.matches("# between").count());
    }
}

fn keywatch(args: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_keywatch")).args(args).current_dir(folder).output().unwrap();
    (run.status.code(), String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
}

#[test]
fn the_command_writes_whole_files_and_says_which() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    std::fs::create_dir(path("rules")).unwrap();
    put("rules/a.yml", "kind:   spike\nname: a # it\n");
    put("rules/a.test.yml", "tests:\n- name: t\n");
    put("rules/b.yml", "name: b\n");
    put("rules/c.txt", "left  alone\n");
    std::fs::set_permissions(path("rules/a.yml"), std::fs::Permissions::from_mode(0o640)).unwrap();

    let checked = keywatch(&["rules", "fmt", "--check"], folder.path());
    let names = "rules/a.test.yml\nrules/a.yml\n";
    assert_eq!(checked, (Some(1), names.into(), "3 files, 2 not formatted\n".into()));
    let (code, told, _) = keywatch(&["rules", "fmt", "--diff", "rules/a.yml"], folder.path());
    assert_eq!(told, "--- rules/a.yml\n+++ rules/a.yml\n-kind:   spike\n name: a # it\n+kind: spike\n");
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read_to_string(path("rules/a.yml")).unwrap(), "kind:   spike\nname: a # it\n");

    assert_eq!(keywatch(&["rules", "fmt"], folder.path()), (Some(0), names.into(), "3 files, 2 formatted\n".into()));
    assert_eq!(std::fs::read_to_string(path("rules/a.yml")).unwrap(), "name: a # it\nkind: spike\n");
    assert_eq!(std::fs::metadata(path("rules/a.yml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(path("rules")).unwrap().count(), 4, "something was left behind");
    assert_eq!(keywatch(&["rules", "fmt", "--check"], folder.path()).0, Some(0));

    // A file that is refused stays as it is, and does not keep the others from being set.
    put("rules/b.yml", "name: &b b\n");
    put("rules/a.yml", "name:   a\n");
    let (code, told, complaint) = keywatch(&["rules", "fmt"], folder.path());
    assert_eq!((code, told.as_str()), (Some(1), "rules/a.yml\n"));
    assert!(complaint.starts_with("error: rules/b.yml:1:7: anchors (`&name`) are not supported"), "{complaint}");
    assert_eq!(std::fs::read_to_string(path("rules/b.yml")).unwrap(), "name: &b b\n");
    assert_eq!(keywatch(&["rules", "fmt", "nowhere.yml"], folder.path()).0, Some(1));
}
