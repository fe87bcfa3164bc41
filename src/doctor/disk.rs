//! What may be written, and how much room there is, found out without writing. The only module that names rustix.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};

/// Whether files could be made in a folder. One that is missing would be made: then its nearest ancestor counts.
pub(super) fn folder_is_writable(folder: &Path) -> Result<(), String> {
    let mut at = folder;
    while !at.exists() {
        at = match at.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err("no part of the path exists".to_owned()),
        };
    }
    if !at.is_dir() {
        return Err(format!("`{}` is a file, not a folder", at.display()));
    }
    access(at, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("`{}` cannot be written: {}", at.display(), std::io::Error::from(error)))
}

/// Whether a file may be written; it is not touched.
pub(super) fn file_is_writable(file: &Path) -> Result<(), String> {
    access(file, Access::READ_OK | Access::WRITE_OK)
        .map_err(|error| format!("`{}` cannot be written: {}", file.display(), std::io::Error::from(error)))
}

/// Bytes that our user could still write where this file lies.
pub(super) fn room(path: &Path) -> Option<u64> {
    let room = statvfs(path).ok()?;
    room.f_bavail.checked_mul(room.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_to_be_made_is_as_good_as_its_nearest_ancestor() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(folder_is_writable(&dir.path().join("a/b/c")), Ok(()));
        assert_eq!(folder_is_writable(Path::new("no-such-folder/below")), Ok(()));
        assert!(folder_is_writable(&file.join("below")).unwrap_err().ends_with("is a file, not a folder"));
        assert!(!dir.path().join("a").exists(), "nothing is made");
        assert!(file_is_writable(&file).is_ok() && file_is_writable(&dir.path().join("none")).is_err());
        assert!(room(dir.path()).is_some_and(|bytes| 0 < bytes));
    }
}
