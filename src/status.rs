//! What `/status` says, as a form of its own: the service writes it, and `keywatch rules check --running` reads it.

use serde::{Deserialize, Serialize};

/// The version of the form.
pub const VERSION: u32 = 1;
/// Problems of the files on disk that are told one by one.
pub const PROBLEMS_MAX: usize = 5;

/// What a running service says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this form.
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// Which of several instances.
    pub instance: String,
    /// Whether `/readyz` answers 200.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// The rules.
    pub rules: Rules,
}

/// The rules in force and the rules on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What is judged by.
    pub in_force: InForce,
    /// What lies in the folder.
    pub on_disk: OnDisk,
    /// Whether they are not the same.
    pub differ: bool,
}

/// The rules that are judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Their version.
    pub version: String,
    /// When they were adopted for all instances.
    pub adopted_at: String,
    /// By which instance.
    pub adopted_by: String,
    /// When this instance took them up.
    pub taken_up_at: String,
    /// Where this instance has them from.
    pub source: Source,
    /// How many rules.
    pub rules: Counts,
}

/// Where an instance has its rules from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Its own files.
    #[default]
    Files,
    /// The store: another instance adopted them, or its own files are old or not valid.
    Store,
}

/// Rules by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the rule files' own")]
pub struct Counts {
    pub stable: usize,
    pub test: usize,
    pub off: usize,
}

/// The files of this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDisk {
    /// The folder.
    pub directory: String,
    /// Their version, valid or not; absent where they cannot be read.
    pub version: Option<String>,
    /// When they were read last.
    pub read_at: String,
    /// Since when they change and have not been read again.
    pub changing_since: Option<String>,
    /// Whether a change is adopted without being asked (`rules.watch`).
    pub watched: bool,
    /// What is wrong with them.
    pub problems: Problems,
}

/// What is wrong with files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problems {
    /// How many problems.
    pub count: usize,
    /// The first of them, each as `file:line:column: message`.
    pub first: Vec<String>,
}

impl Problems {
    /// Of what was found.
    pub fn of(found: &[crate::yaml::Problem]) -> Self {
        let first = found.iter().take(PROBLEMS_MAX).map(|problem| match problem.line {
            0 => format!("{}: {}", problem.file, problem.message),
            line => format!("{}:{line}:{}: {}", problem.file, problem.column, problem.message),
        });
        Problems { count: found.len(), first: first.collect() }
    }

    /// The first ones and how many more, a line each.
    pub fn lines(&self) -> String {
        let mut lines = self.first.join("\n");
        if self.first.len() < self.count {
            lines.push_str(&format!("\nand {} more", self.count - self.first.len()));
        }
        lines
    }
}
