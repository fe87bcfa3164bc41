//! `keywatch rules check --running URL`: whether the rules here are the ones that a running keywatch judges by.

use std::path::Path;

use anyhow::anyhow;
use serde_json::json;

use crate::cli::rules::{Form, counted};
use crate::cli::{Failure, runtime, say};
use crate::client::{Place, get};
use crate::rules::RuleSet;
use crate::status::{self, InForce, Status};

/// What came of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The rules here are in force there.
    InForce,
    /// Others are.
    Differs,
    /// The files there are not valid, whatever is in force.
    ProblemsOnDisk,
}

impl Answer {
    fn of(local: &str, there: &status::Rules) -> Answer {
        match (there.on_disk.problems.count, there.in_force.version == local) {
            (0, true) => Answer::InForce,
            (0, false) => Answer::Differs,
            _ => Answer::ProblemsOnDisk,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Answer::InForce => "in_force",
            Answer::Differs => "differs",
            Answer::ProblemsOnDisk => "problems_on_disk",
        }
    }
}

/// Asks, compares, and says what came of it.
pub(super) fn compare(directory: &Path, set: &RuleSet, place: &Place, form: Form) -> Result<(), Failure> {
    let status = ask(place)?;
    let answer = Answer::of(&set.version, &status.rules);
    if form == Form::Json {
        let local =
            json!({"directory": directory.display().to_string(), "version": set.version, "rules": set.rules.len()});
        say(&json!({"answer": answer.as_str(), "local": local, "running": status}).to_string());
        return if answer == Answer::InForce { Ok(()) } else { Err(Failure::Told) };
    }
    let text = harmless(&words(directory, &set.version, place, &status.rules, answer));
    match answer {
        Answer::InForce => {
            say(&text);
            Ok(())
        }
        _ => Err(Failure::No(text)),
    }
}

fn ask(place: &Place) -> Result<Status, Failure> {
    let answer = runtime()?.block_on(get(place, "/status"));
    let answer = answer.map_err(|error| Failure::Unanswered(anyhow!("cannot ask {place}: {error}")))?;
    let status = match answer.status {
        200 => serde_json::from_str::<Status>(&answer.body).ok(),
        _ => None,
    };
    status.filter(|status| status.version == status::VERSION).ok_or_else(|| {
        Failure::Unanswered(anyhow!(
            "{place} answers /status ({}), but not as this keywatch would\n\nhint: another version, or another program, listens there",
            answer.status
        ))
    })
}

fn words(directory: &Path, local: &str, place: &Place, there: &status::Rules, answer: Answer) -> String {
    let (folder, disk) = (directory.display(), &there.on_disk);
    let versions = format!("  here      version {local}\n  in force  {}", adopted(&there.in_force));
    match answer {
        Answer::InForce => format!("{folder}: in force at {place}: {}", adopted(&there.in_force)),
        Answer::Differs => {
            format!(
                "error: {folder} differs from the rules in force at {place}\n{versions}\n\nhint: {}",
                why(local, disk)
            )
        }
        Answer::ProblemsOnDisk => {
            let is_in_force = there.in_force.version == local;
            let verdict = if is_in_force { "is in force" } else { "differs from the rules in force" };
            let lines = disk.problems.lines().replace('\n', "\n  ");
            format!(
                "error: {folder} {verdict} at {place}, which has problems with what it has on disk\n{versions}\n  \
                 on disk   {} in `{}`, read {}\n\n  {lines}\n\nhint: mend the files there; the rules in force stay meanwhile",
                counted(disk.problems.count, "problem"),
                disk.directory,
                minute(&disk.read_at),
            )
        }
    }
}

/// Why others are in force, as far as it can be seen from there.
fn why(local: &str, disk: &status::OnDisk) -> String {
    let at = format!("its folder `{}`", disk.directory);
    match (&disk.changing_since, disk.version.as_deref()) {
        (Some(since), _) => format!("{at} changes since {}; it is read when it came to rest", minute(since)),
        (None, Some(version)) if version == local && disk.watched => {
            format!("{at} has these rules; it was not changed since they were followed by others, or the store is away")
        }
        (None, Some(version)) if version == local => format!("{at} has these rules; SIGHUP adopts them"),
        _ => format!("put these files in {at}"),
    }
}

fn adopted(rules: &InForce) -> String {
    let n = counted(rules.rules.stable + rules.rules.test, "rule");
    format!("version {}, {n}, adopted {} by {}", rules.version, minute(&rules.adopted_at), rules.adopted_by)
}

/// A time of `/status` as people read it.
fn minute(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => rfc3339.into(),
    }
}

/// What another program sent, without what a terminal would obey.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(version: &str, problems: usize) -> status::Rules {
        let mut rules = status::Rules::default();
        rules.in_force.version = version.into();
        rules.on_disk.problems.count = problems;
        rules
    }

    #[test]
    fn a_broken_folder_there_is_never_fine() {
        for (version, problems, expected) in [
            ("a", 0, Answer::InForce),
            ("b", 0, Answer::Differs),
            ("a", 2, Answer::ProblemsOnDisk),
            ("b", 1, Answer::ProblemsOnDisk),
        ] {
            assert_eq!(Answer::of("a", &there(version, problems)), expected, "{version} {problems}");
        }
    }

    #[test]
    fn why_others_are_in_force_is_said() {
        let disk = |version: &str, watched, changing: Option<&str>| status::OnDisk {
            directory: "/etc/rules".into(),
            version: Some(version.into()),
            watched,
            changing_since: changing.map(str::to_owned),
            ..status::OnDisk::default()
        };
        for (disk, expected) in [
            (disk("other", true, None), "put these files in its folder `/etc/rules`"),
            (disk("ours", false, None), "its folder `/etc/rules` has these rules; SIGHUP adopts them"),
            (disk("ours", true, None), "it was not changed since they were followed by others"),
            (disk("other", true, Some("2026-11-28T01:02:03.004Z")), "changes since 2026-11-28 01:02 UTC;"),
        ] {
            let said = why("ours", &disk);
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(harmless("a\u{1b}[31m\nb"), "a\u{fffd}[31m\nb");
    }
}
