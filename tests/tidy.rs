//! The house rules that no compiler checks: what pure code may name, who owns which crate, how files begin and end.

use std::path::{Path, PathBuf};

/// Code that sees only its arguments: no clock, no I/O, no randomness, no logging.
const PURE: &[&str] = &[
    "src/alert",
    "src/alerting",
    "src/engine",
    "src/event",
    "src/import",
    "src/notify/render",
    "src/rules",
    "src/time",
    "src/yaml",
];

/// What one file within a pure folder may name all the same: it reads the folder of rules.
const ALLOWED_IN: (&str, &[&str]) = ("src/rules/files.rs", &["std::fs", "std::io"]);

/// What pure code doesn't name.
const FORBIDDEN_IN_PURE: &[&str] = &[
    "tokio::",
    "tokio_util::",
    "tracing::",
    "rdkafka::",
    "sqlx::",
    "lettre::",
    "prometheus::",
    "axum::",
    "rand::",
    "fastrand::",
    "std::fs",
    "std::env",
    "std::thread",
    "std::io",
    "std::process",
    "std::time",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "crate::wall",
    "crate::metrics",
    "crate::pipeline",
    "crate::source",
    "crate::http",
    "crate::cli",
];

/// Of `std::net`, pure code names values only.
const NET_VALUES: &[&str] = &["IpAddr", "Ipv4Addr", "Ipv6Addr"];

/// One external system, one module: crates and the only modules that name them.
const OWNED: &[(&str, &[&str])] = &[
    ("axum", &["src/http"]),
    ("cel_core", &["src/rules/expr/parse"]),
    ("chrono", &["src/time", "src/notify/render/when", "src/rules/active", "src/rules/expr/clock", "src/simulate"]),
    (
        "chrono_tz",
        &[
            "src/time",
            "src/notify/render/when",
            "src/config",
            "src/rules/active",
            "src/rules/expr/clock",
            "src/simulate",
        ],
    ),
    ("clap", &["src/cli", "src/main"]),
    ("csv", &["src/import/table"]),
    ("fastrand", &["src/wall"]),
    ("foldhash", &["src/engine/hash"]),
    ("hmac", &["src/event/auth"]),
    ("lettre", &["src/notify/mail"]),
    ("maxminddb", &["src/geoip"]),
    ("memchr", &["src/event/redact", "src/source/file"]),
    ("postcard", &["src/engine/snapshot"]),
    ("prometheus", &["src/metrics"]),
    ("rdkafka", &["src/source/kafka"]),
    ("regex", &["src/rules/expr/pattern"]),
    ("rustix", &["src/doctor/disk"]),
    ("self_cell", &["src/pipeline/decode"]),
    ("saphyr_parser", &["src/yaml"]),
    ("sqlx", &["src/store"]),
    ("terminal_size", &["src/cli"]),
    ("tracing_subscriber", &["src/cli", "src/main"]),
];

/// Crates that any module may name, if it isn't pure where they aren't.
const SHARED: &[&str] =
    &["anyhow", "hashbrown", "serde", "serde_json", "sha2", "thiserror", "tokio", "tokio_util", "tracing"];

/// No file is longer.
const LINES_MAX: usize = 600;

struct File {
    path: String,
    text: String,
}

impl File {
    /// The lines that are code and not tests, numbered from 1. Comments may name anything.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        code.enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file under `folder`, in order of path.
fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: PathBuf| File {
        path: path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"),
        text: std::fs::read_to_string(path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

/// Whether a file is the module `module` (without `.rs`) or lies within it.
fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Whether `word` stands in `line` by itself, not as the end of a longer name.
fn names(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let continues = !word.ends_with(':') && line[at + word.len()..].starts_with(is_name);
        !line[..at].ends_with(is_name) && !continues
    })
}

fn names_crate(line: &str, krate: &str) -> bool {
    names(line, &format!("{krate}::")) || names(line, &format!("use {krate};"))
}

#[track_caller]
fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn pure_code_sees_only_its_arguments() {
    let mut found = Vec::new();
    for file in files("src") {
        if !PURE.iter().any(|module| is_within(&file.path, module)) {
            continue;
        }
        let allowed = if file.path == ALLOWED_IN.0 { ALLOWED_IN.1 } else { &[] };
        let forbidden: Vec<_> = FORBIDDEN_IN_PURE.iter().filter(|word| !allowed.contains(word)).collect();
        for (number, line) in file.code() {
            for word in forbidden.iter().filter(|word| names(line, word)) {
                found.push(format!("{}:{number}: `{word}`", file.path));
            }
            let Some((_, named)) = line.split_once("std::net::") else { continue };
            let mut named = named.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let is_value = if line.contains("std::net::{") {
                named.all(|word| NET_VALUES.contains(&word))
            } else {
                named.next().is_some_and(|word| NET_VALUES.contains(&word))
            };
            if !is_value {
                found.push(format!("{}:{number}: `std::net`", file.path));
            }
        }
    }
    assert_none("pure files that name the world outside", found);
}

#[test]
fn each_outer_system_is_known_to_one_module() {
    let mut found = Vec::new();
    for file in files("src") {
        for (number, line) in file.code() {
            for (krate, owners) in OWNED {
                if names_crate(line, krate) && !owners.iter().any(|owner| is_within(&file.path, owner)) {
                    found.push(format!("{}:{number}: `{krate}` belongs to {}", file.path, owners.join(", ")));
                }
            }
        }
    }
    assert_none("crates named outside their module", found);
}

#[test]
fn each_dependency_has_its_place() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let placed: Vec<&str> = OWNED.iter().map(|(krate, _)| *krate).chain(SHARED.iter().copied()).collect();
    let dependencies: Vec<String> =
        section.lines().filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect();
    let unplaced = dependencies.iter().filter(|name| !placed.contains(&name.as_str())).cloned().collect();
    assert_none("dependencies that are neither in OWNED nor in SHARED", unplaced);
    let gone = placed.into_iter().filter(|name| !dependencies.iter().any(|d| d == name)).map(str::to_owned).collect();
    assert_none("crates in OWNED or SHARED that are no dependency", gone);
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut found = Vec::new();
    for file in files("src").into_iter().chain(files("tests")) {
        let path = &file.path;
        if !file.text.starts_with("//! ") {
            found.push(format!("{path}: does not begin with `//!`"));
        }
        if path.ends_with("/mod.rs") {
            found.push(format!("{path}: is named mod.rs; `foo.rs` stands beside `foo/`"));
        }
        let n_lines = file.text.lines().count();
        if LINES_MAX < n_lines {
            found.push(format!("{path}: {n_lines} lines, at most {LINES_MAX} are allowed"));
        }
    }
    assert_none("files out of form", found);
}

#[test]
fn nothing_is_left_for_later() {
    let words =
        [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("dbg", "!("), "(being written)"];
    let mut found = Vec::new();
    for file in files("src").into_iter().chain(files("tests")).filter(|file| file.path != "tests/tidy.rs") {
        for (i, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{}: `{word}`", file.path, i + 1));
            }
        }
    }
    assert_none("unfinished places", found);
}

#[test]
fn the_checks_themselves_see() {
    assert!(names("use tokio::sync;", "tokio::") && !names("my_tokio::x", "tokio::"));
    assert!(names("at: Instant,", "Instant") && !names("Instantly", "Instant") && !names("AnInstant", "Instant"));
    assert!(is_within("src/store.rs", "src/store") && is_within("src/store/db.rs", "src/store"));
    assert!(!is_within("src/store_x.rs", "src/store"));
}
