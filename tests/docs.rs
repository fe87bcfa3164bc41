//! Generated files are as the code says. `KEYWATCH_WRITE=1 cargo test --test docs` writes them anew.

#[path = "docs/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should be, or writes it where that is asked for.
#[track_caller]
fn expect_file(path: &str, expected: &str) {
    let whole = root().join(path);
    if std::env::var_os("KEYWATCH_WRITE").is_some() {
        std::fs::create_dir_all(whole.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(&whole, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&whole).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(found.lines().count().min(expected.lines().count())) + 1;
    assert!(
        found == expected,
        "{path}:{line} is stale: run `KEYWATCH_WRITE=1 cargo test --test docs` and look at the change"
    );
}

#[test]
fn the_sample_is_what_its_maker_makes() {
    let made = sample::sample();
    assert!(made.events.len() + made.key_events.len() < 600_000, "the sample is too large for a repository");
    expect_file("sample/events.jsonl", &made.events);
    expect_file("sample/key-events.jsonl", &made.key_events);
}
