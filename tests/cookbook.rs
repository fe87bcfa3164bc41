//! Every recipe of the cookbook, laid over the shipped rules: valid without a warning, and its tests pass and cover it.

use std::path::{Path, PathBuf};

use keywatch::engine::detect::SPECS;
use keywatch::rules::compile::compile;
use keywatch::rules::files::load_directory;
use keywatch::rules::scenario::read::read;
use keywatch::rules::scenario::report::Coverage;
use keywatch::rules::scenario::run::run;
use keywatch::rules::{RuleFile, RuleSet};
use keywatch::yaml::render;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: &Path) -> RuleFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    RuleFile { name, text: std::fs::read_to_string(path).unwrap() }
}

fn recipes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs/cookbook")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension() == Some("yml".as_ref()) && !path.to_string_lossy().ends_with(".test.yml"));
    paths.sort();
    paths
}

/// The shipped rules with one recipe, and the text files that it names.
fn with(recipe: &Path) -> RuleSet {
    let mut files = load_directory(&root().join("rules")).unwrap();
    let recipe_file = file(recipe);
    let beside = std::fs::read_dir(recipe.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let texts = beside.filter(|path| path.extension() == Some("txt".as_ref())).map(|path| file(&path));
    files.extend(texts.filter(|text| recipe_file.text.contains(&text.name)));
    files.push(recipe_file);
    compile(files, SPECS).unwrap_or_else(|problems| panic!("{}: {}", recipe.display(), render(&problems)))
}

#[test]
fn there_are_twenty_and_more() {
    assert!(recipes().len() >= 20);
}

#[test]
fn each_is_valid_beside_the_shipped_rules() {
    for recipe in recipes() {
        let rules = with(&recipe);
        let own = file(&recipe).name;
        let warnings: Vec<_> = rules.warnings.iter().filter(|warning| warning.file == own).collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}

#[test]
fn each_does_what_its_tests_say() {
    let shipped = keywatch::rules::compile::load(&root().join("rules"), SPECS, &[]).unwrap();
    for recipe in recipes() {
        let rules = with(&recipe);
        let tests = file(&recipe.with_extension("test.yml"));
        let name = tests.name.clone();
        let tests = read(&tests, &rules, SPECS).unwrap_or_else(|problems| panic!("{}", render(&problems)));
        assert!(!tests.is_empty(), "{name} has no test");
        let mut coverage = Coverage::new(&rules);
        for test in &tests {
            let outcome = run(test, &rules, SPECS);
            assert!(outcome.failures.is_empty(), "{name}: {}: {:#?}", test.name, outcome.failures);
            coverage.add(test, &outcome);
        }
        // What the recipe brings: rules of its own, and values for exceptions of the shipped ones.
        let is_shipped = |gap: &str| shipped.rules.iter().any(|rule| gap.starts_with(&format!("{}:", rule.name)));
        let mut gaps = coverage.gaps();
        gaps.retain(|gap| !is_shipped(gap) || gap.contains("spares something"));
        assert!(gaps.is_empty(), "{name}: {gaps:#?}");
    }
}
