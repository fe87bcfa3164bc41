//! `keywatch rules fmt`: sets rule files anew, each as a whole or not at all.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::rules::counted;
use crate::cli::{Failure, complain, say};
use crate::config::load::{read_bounded, reason};
use crate::rules::RuleFile;
use crate::rules::files::{load_directory, load_tests};
use crate::rules::format::format;
use crate::yaml::{MAX_BYTES, Problem, render};

/// Lines of a file that `--diff` compares at most.
const DIFF_MAX: usize = 5_000;

/// Set rule files and their tests anew: order of fields, indentation, spaces, quotes
///
/// Comments stay. Where one could not, or there is anything else that cannot be kept, the file is refused, with the line, and
/// left as it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, or folders of them
    #[arg(default_value = "rules")]
    paths: Vec<PathBuf>,
    /// Write nothing; exit code 1 where a file is not formatted
    #[arg(long)]
    check: bool,
    /// Write nothing; show what would change
    #[arg(long)]
    diff: bool,
}

/// `keywatch rules fmt`
pub fn fmt(args: &Args) -> Result<(), Failure> {
    let files = read(&args.paths).map_err(|problems| Failure::No(render(&problems)))?;
    let is_dry = args.check || args.diff;
    let (mut problems, mut n_changed, n_files) = (Vec::new(), 0, files.len());
    for file in files {
        let text = match format(&file) {
            Ok(text) => text,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        if text == file.text {
            continue;
        }
        n_changed += 1;
        match args.diff {
            true => say(&difference(&file.name, &file.text, &text)),
            false => say(&file.name),
        }
        if !is_dry {
            write(Path::new(&file.name), &text).map_err(Failure::Unanswered)?;
        }
    }
    let n_refused = problems.iter().map(|problem| &problem.file).collect::<std::collections::BTreeSet<_>>().len();
    if n_refused > 0 {
        return Err(Failure::No(render(&problems)));
    }
    let done = if is_dry { "not formatted" } else { "formatted" };
    complain(&format!("{}, {n_changed} {done}", counted(n_files, "file")));
    if args.check && n_changed > 0 { Err(Failure::Told) } else { Ok(()) }
}

fn read(paths: &[PathBuf]) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            for found in [load_directory(path), load_tests(path)] {
                match found {
                    Ok(found) => {
                        files.extend(found.into_iter().filter(|file| file.name.ends_with(".yml")).map(|file| {
                            RuleFile { name: path.join(&file.name).display().to_string(), text: file.text }
                        }))
                    }
                    Err(found) => problems.extend(found),
                }
            }
            continue;
        }
        let name = path.display().to_string();
        match read_bounded(path, MAX_BYTES as u64) {
            Ok(text) => files.push(RuleFile { name, text }),
            Err(error) => {
                problems.push(Problem::whole(name, format!("cannot read the file: {}", reason(&error))));
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Writes beside the file and puts it in its place: whoever reads sees the one or the other. Permissions stay.
fn write(path: &Path, text: &str) -> Result<(), anyhow::Error> {
    // A link stays one.
    let path = fs::canonicalize(path).with_context(|| format!("find `{}`", path.display()))?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let fresh = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let put = || -> std::io::Result<()> {
        let mut file = fs::File::create_new(&fresh)?;
        file.write_all(text.as_bytes())?;
        let old = fs::metadata(&path)?;
        file.set_permissions(old.permissions())?;
        // Not everybody may give a file away; then it is the writer's.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    let done = put();
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    done.with_context(|| format!("write `{}`", path.display()))
}

/// Lines that go (`-`) and that come (`+`), with the lines between.
fn difference(name: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut told = format!("--- {name}\n+++ {name}\n");
    if DIFF_MAX < old.len() || DIFF_MAX < new.len() {
        return told + "(too long to compare)\n";
    }
    // How many lines two ends have in common, at most: lengths of common sequences from each place on.
    let width = new.len() + 1;
    let mut common = vec![0u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            told += &format!(" {}\n", old[i]);
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            told += &format!("-{}\n", old[i]);
            i += 1;
        } else {
            told += &format!("+{}\n", new[j]);
            j += 1;
        }
    }
    told
}
