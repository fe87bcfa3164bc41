//! `keywatch demo`, end to end: simulator, learning from a file, broker, service, database, mails as files.

use std::path::Path;
use std::process::{Command, Output};

fn demo(out: &Path, columns: &str, env: &[(&str, &str)]) -> Output {
    // Two hours of traffic, as by default, in five seconds.
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.args(["demo", "--for", "5s", "--speed", "1440", "--out"]).arg(out).env("COLUMNS", columns);
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(env.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Commands and paths are not cut, whatever the width.
fn is_to_copy(line: &str, folder: &std::path::Path) -> bool {
    [folder.to_str().unwrap(), env!("CARGO_BIN_EXE_keywatch")].iter().any(|long| line.contains(long))
}

#[test]
fn everything_that_is_planted_is_found_mailed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let first = demo(&out, "80", &[]);
    let shown = text(&first.stdout);
    assert!(first.status.success(), "{shown}\n{}", text(&first.stderr));
    assert!(first.stderr.is_empty(), "{}", text(&first.stderr));
    assert!(shown.contains("7 of 7 found, no alert about nothing that was planted"), "{shown}");
    assert!(!shown.contains('\x1b') && !shown.contains('\r'), "a pipe gets plain text");
    for line in shown.lines().filter(|line| !is_to_copy(line, &out)) {
        assert!(line.chars().count() <= 80, "{line}");
    }

    // The mails are there, to the merchants and to support, and name the alerts.
    let mails: Vec<String> = std::fs::read_dir(out.join("mails"))
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let count = shown.lines().find_map(|line| line.strip_suffix(" mails")).unwrap().parse::<usize>().unwrap();
    assert_eq!(mails.len(), count, "{shown}");
    assert!(mails.iter().any(|mail| mail.contains("\nTo: support@caibo.example")), "{shown}");
    assert!(mails.iter().any(|mail| mail.contains("\nTo: it@m-")), "{shown}");

    // What it says to try next works.
    let joined = shown.replace("\\\n    ", "");
    let program = env!("CARGO_BIN_EXE_keywatch");
    let suggested: Vec<&str> =
        joined.lines().filter_map(|line| line.trim().strip_prefix(program)?.strip_prefix(" alerts ")).collect();
    assert_eq!(suggested.len(), 2, "{shown}");
    for arguments in suggested {
        let tried = Command::new(env!("CARGO_BIN_EXE_keywatch")).arg("alerts").args(arguments.split(' ')).output();
        let tried = tried.unwrap();
        assert!(tried.status.success() && !tried.stdout.is_empty(), "{arguments}: {}", text(&tried.stderr));
    }

    // The same seed shows the same, in the folder that it made before; colours where they are asked for.
    let again = demo(&out, "80", &[("CLICOLOR_FORCE", "1")]);
    let colourful = text(&again.stdout);
    assert!(again.status.success() && colourful.contains("\x1b[1m"), "{colourful}");
    let table = |shown: &str| {
        let from = shown.find("What was planted").unwrap();
        let table = &shown[from..];
        let table = &table[..table.find(" mails").unwrap()];
        ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"]
            .iter()
            .fold(table.to_owned(), |t, code| t.replace(code, ""))
    };
    assert_eq!(table(&shown), table(&colourful));
}

#[test]
fn a_narrow_terminal_gets_narrow_lines_and_nobody_unwanted_colours() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = demo(&folder.path().join("demo"), "40", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    let shown = text(&narrow.stdout);
    assert!(narrow.status.success() && !shown.contains('\x1b'), "{shown}");
    // Commands and paths are not cut: they are to be copied.
    for line in shown.lines().filter(|line| !is_to_copy(line, folder.path())) {
        assert!(line.chars().count() <= 40, "{line}");
    }
}

#[test]
fn a_folder_that_is_not_its_own_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter"), "mine").unwrap();
    let refused = demo(folder.path(), "80", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("is not empty, and no demo made it"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(folder.path().join("letter")).unwrap(), "mine");
}

#[test]
fn too_much_and_too_little_traffic_is_wrong_use() {
    for (arguments, hint) in [
        (["--for", "1s", "--speed", "60"], "1 min of traffic"),
        (["--for", "1h", "--speed", "600"], "600 h of traffic"),
        (["--for", "2h", "--speed", "1"], "from 1s to 1h"),
        (["--for", "soon", "--speed", "60"], "write it as 90s"),
        (["--for", "2m", "--speed", "0"], "a number from 1 to 10000"),
    ] {
        let refused = Command::new(env!("CARGO_BIN_EXE_keywatch")).arg("demo").args(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(hint), "{arguments:?}: {}", text(&refused.stderr));
    }
}
