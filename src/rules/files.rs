//! Reads a folder of rules: the only file here that reads the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::RuleFile;
use crate::config::load::{read_bounded, reason};
use crate::yaml::{MAX_BYTES, Problem};

/// Files in a rules directory.
pub const MAX_FILES: usize = 1_000;
/// Folders within folders.
const MAX_FOLDERS: usize = 8;
/// How the names of files with tests end.
const TEST: &str = ".test.yml";

/// Reads every `*.yml` of a directory and its folders but for `*.test.yml`, and every `*.txt` (values of lists), ordered
/// by name. What starts with a dot is left alone, as are the folders that Kubernetes keeps behind a mounted map.
pub fn load_directory(dir: &Path) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let mut walk = Walk { is_wanted: is_rule, files: Vec::new(), problems: Vec::new() };
    walk.folder(dir, "", 0);
    if !walk.files.iter().any(|file| file.name.ends_with(".yml")) && walk.problems.is_empty() {
        let problem = Problem::whole(dir.display().to_string(), "there are no rule files (`*.yml`) in this directory");
        walk.problems.push(problem);
    }
    walk.finish()
}

/// Reads every `*.test.yml` of a directory and its folders, ordered by name.
pub fn load_tests(dir: &Path) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let mut walk = Walk { is_wanted: |name| name.ends_with(TEST), files: Vec::new(), problems: Vec::new() };
    walk.folder(dir, "", 0);
    walk.finish()
}

fn is_rule(name: &str) -> bool {
    (name.ends_with(".yml") && !name.ends_with(TEST)) || name.ends_with(".txt")
}

/// How a directory looks from outside: each file that [`load_directory`] would read, without reading it. Two looks differ
/// where a file was written, replaced, renamed or removed, or what a link leads to was exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Print {
    files: Vec<(String, [i64; 7])>,
    /// What could not be looked at.
    unreadable: Vec<String>,
}

/// Looks at a directory.
pub fn print_of(dir: &Path) -> Print {
    let mut print = Print::default();
    print.folder(dir, "", 0);
    print.files.sort_unstable();
    print.unreadable.sort_unstable();
    print
}

impl Print {
    /// The files that it saw, relative to the directory.
    pub fn names(&self) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.clone()).collect()
    }

    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize) {
        if MAX_FOLDERS < depth {
            return;
        }
        let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable.push(format!("{prefix}: {}", error.kind())),
        };
        for entry in entries {
            let Ok(file_name) = entry.file_name().into_string() else { continue };
            if file_name.starts_with('.') || MAX_FILES < self.files.len() {
                continue;
            }
            let name = format!("{prefix}{file_name}");
            // Follows links: what counts is the file at their end.
            match fs::metadata(entry.path()) {
                Ok(found) if found.is_dir() => self.folder(&entry.path(), &format!("{name}/"), depth + 1),
                Ok(found) if is_rule(&name) || name.ends_with(".yaml") => {
                    let [device, file, size] = [found.dev(), found.ino(), found.size()].map(u64::cast_signed);
                    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
                    self.files.push((name, [device, file, size, times[0], times[1], times[2], times[3]]));
                }
                Ok(_) => {}
                Err(error) => self.unreadable.push(format!("{name}: {}", error.kind())),
            }
        }
    }
}

struct Walk {
    is_wanted: fn(&str) -> bool,
    files: Vec<RuleFile>,
    problems: Vec<Problem>,
}

impl Walk {
    fn finish(mut self) -> Result<Vec<RuleFile>, Vec<Problem>> {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        self.problems.sort_by(|a, b| a.file.cmp(&b.file));
        if self.problems.is_empty() { Ok(self.files) } else { Err(self.problems) }
    }

    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize) {
        let shown = dir.display().to_string();
        if MAX_FOLDERS < depth {
            self.problems.push(Problem::whole(shown, format!("folders nest deeper than {MAX_FOLDERS}")));
            return;
        }
        let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot read the directory: {}", directory_reason(&error));
                self.problems.push(Problem::whole(shown, message));
                return;
            }
        };
        for entry in entries {
            let path = entry.path();
            let Ok(file_name) = entry.file_name().into_string() else { continue };
            if file_name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{file_name}");
            if path.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1);
            } else {
                self.file(&path, name);
            }
            if MAX_FILES < self.files.len() {
                self.problems.push(Problem::whole(shown, format!("more than {MAX_FILES} rule files")));
                return;
            }
        }
    }

    fn file(&mut self, path: &Path, name: String) {
        let shown = path.display().to_string();
        if name.ends_with(".yaml") {
            let problem = Problem::whole(shown, "this file would not be read: names of rule files end in `.yml`");
            self.problems.push(problem.with_hint("rename it, or move it elsewhere"));
        } else if (self.is_wanted)(&name) {
            // To open a pipe waits for whoever writes into it.
            if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
                self.problems.push(Problem::whole(shown, "cannot read the file: it is a pipe, a socket or a device"));
                return;
            }
            match read_bounded(path, MAX_BYTES as u64) {
                Ok(text) => self.files.push(RuleFile { name, text }),
                Err(error) => {
                    let message = format!("cannot read the file: {}", reason(&error));
                    self.problems.push(Problem::whole(shown, message));
                }
            }
        }
    }
}

fn directory_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".into(),
        std::io::ErrorKind::NotADirectory => "it is a file".into(),
        _ => reason(error),
    }
}
