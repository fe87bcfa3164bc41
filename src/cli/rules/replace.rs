//! Puts the files of a version into a folder. What was there is copied beside it first: nothing is lost, whatever fails.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use crate::cli::Failure;
use crate::rules::RuleFile;
use crate::rules::files::print_of;

/// Writes the files in the place of the folder's rule files and lists; other files, such as tests, stay. Returns where the
/// former ones are, if there were any. `stamp` tells that place apart from others of its kind.
pub(super) fn replace(folder: &Path, files: &[RuleFile], stamp: &str) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = files.iter().find(|file| !stays_within(&file.name)) {
        return Err(Failure::No(format!(
            "error: the store names a file `{}`, which is no place within a folder",
            file.name
        )));
    }
    fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let folder = &fs::canonicalize(folder).with_context(|| format!("find `{}`", folder.display()))?;
    let former = print_of(folder).names();
    if let Some(link) = former.iter().find_map(|name| link_on_the_way(folder, name)) {
        return Err(Failure::No(format!(
            "error: `{}` is a link: this folder is filled by something else, such as a mounted map\n\nhint: restore into a new \
             folder, and put its files where these come from",
            link.display()
        )));
    }
    let backup = match former.is_empty() {
        true => None,
        false => Some(keep(folder, &former, stamp)?),
    };
    for file in files {
        let path = folder.join(&file.name);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A name with a dot is left alone by who reads the folder; the rename shows the file whole.
        let unseen = path.with_file_name(format!(".{name}.{stamp}"));
        let written =
            make_parent(&path).and_then(|()| fs::write(&unseen, &file.text)).and_then(|()| fs::rename(&unseen, &path));
        written.with_context(|| format!("write `{}`", path.display()))?;
    }
    for name in former.iter().filter(|name| !files.iter().any(|file| file.name == **name)) {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("remove `{}`", path.display()))?;
    }
    Ok(backup)
}

/// Copies files into a new folder beside theirs.
fn keep(folder: &Path, names: &[String], stamp: &str) -> anyhow::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let backup = folder.with_file_name(format!("{name}.before-{stamp}"));
    fs::create_dir(&backup).with_context(|| format!("make `{}`, to keep what is there", backup.display()))?;
    for name in names {
        let (from, to) = (folder.join(name), backup.join(name));
        let copied = make_parent(&to).and_then(|()| fs::copy(&from, &to));
        copied.with_context(|| format!("copy `{}` to `{}`", from.display(), to.display()))?;
    }
    Ok(backup)
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn stays_within(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The first link between the folder and a file in it.
fn link_on_the_way(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    Path::new(name).components().find_map(|part| {
        path.push(part);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()).then(|| path.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> RuleFile {
        RuleFile { name: name.into(), text: text.into() }
    }

    fn refused(outcome: Result<Option<PathBuf>, Failure>) -> String {
        match outcome {
            Err(Failure::No(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_cannot_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules");
        for name in ["../x.yml", "/x.yml", "a/../../x.yml", ""] {
            let said = refused(replace(&folder, &[file("a.yml", "a"), file(name, "x")], "1"));
            assert!(said.contains("no place within a folder") && !folder.exists(), "{name}: {said}");
        }
    }

    #[test]
    fn what_was_there_is_kept_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules");
        let files = [file("a.yml", "new"), file("more/b.yml", "new")];
        assert_eq!(replace(&folder, &files[..1], "1").unwrap(), None, "a new folder");
        for (name, text) in [("a.yml", "old"), ("c.yml", "bad: ["), ("d.yaml", "misnamed"), ("a.test.yml", "tests: []")]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        let backup = replace(&folder, &files, "2").unwrap().unwrap();
        assert_eq!(backup.file_name().unwrap(), "rules.before-2");
        let list = |dir: &Path| {
            let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!((list(&folder), list(&backup)), ("a.test.yml a.yml more".into(), "a.yml c.yml d.yaml".into()));
        assert_eq!(list(&folder.join("more")), "b.yml");
        let text = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!((text(folder.join("a.yml")), text(backup.join("a.yml"))), ("new".into(), "old".into()));
        // A place that is taken is never written over, and then nothing is changed either.
        fs::write(folder.join("a.yml"), "newer").unwrap();
        assert!(matches!(replace(&folder, &files, "2"), Err(Failure::Unanswered(_))));
        assert_eq!((text(folder.join("a.yml")), text(backup.join("a.yml"))), ("newer".into(), "old".into()));
    }

    #[test]
    fn a_mounted_map_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..1")).unwrap();
        fs::write(dir.path().join("..1/a.yml"), "old").unwrap();
        std::os::unix::fs::symlink("..1", dir.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yml", dir.path().join("a.yml")).unwrap();
        let said = refused(replace(dir.path(), &[file("a.yml", "new")], "1"));
        assert!(said.contains("a.yml` is a link"), "{said}");
        assert_eq!(fs::read_to_string(dir.path().join("a.yml")).unwrap(), "old");
    }
}
