//! Follows the folder of rules, and tells what has come of it. A task of its own: a network disk that hangs keeps nobody
//! else waiting. What is done with what it finds is for [`super::rulebook`] to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::brand::Brand;
use crate::engine::detect::SPECS;
use crate::rules::RuleSet;
use crate::rules::compile::{load_files, version_of};
use crate::rules::files::{Print, load_directory, print_of};
use crate::rules::watch::{Look, Watch};
use crate::time::Millis;
use crate::wall;
use crate::yaml::Problem;

/// A folder that was read whole.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The files' version, valid or not; `None` where they cannot be read.
    pub version: Option<String>,
    /// The rules, or what is wrong.
    pub rules: Result<Arc<RuleSet>, Vec<Problem>>,
    /// When it was read.
    pub read_at: Millis,
    /// Somebody asked for it (SIGHUP).
    pub is_asked: bool,
}

/// What has come of the folder.
#[derive(Clone, Debug)]
pub enum Found {
    /// It changes since then, and is not read yet.
    Changing(Millis),
    /// It was read then, and is as it was.
    Same(Millis),
    /// It was read, and is another.
    Read(Reading),
}

/// The folder, and when it is looked at.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub directory: PathBuf,
    /// In whose words rules speak.
    pub brand: Brand,
    /// How often to look.
    pub look_every: Millis,
    /// How long nothing must have changed before it is read.
    pub settle: Millis,
}

/// Reads and validates a folder as one version.
pub fn read(directory: &Path, brand: &Brand, is_asked: bool) -> Reading {
    let read_at = wall::now();
    let (version, rules) = match load_directory(directory) {
        Err(problems) => (None, Err(problems)),
        Ok(files) => {
            let version = version_of(&files);
            let rules = load_files(directory, files, SPECS, &[]).map(|rules| Arc::new(rules.in_words_of(brand)));
            (Some(version), rules)
        }
    };
    Reading { version, rules, read_at, is_asked }
}

/// What is known of the folder: how it looked, and the version that it had when it was read.
struct Known {
    watch: Watch<Print>,
    version: Option<String>,
    is_changing: bool,
}

/// What a turn is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Look,
    Asked,
}

impl Folder {
    /// Looks again and again, until stopped. `first` is how it looked just before it was read with that version.
    pub async fn follow(
        self,
        first: Print,
        version: Option<String>,
        asked: Arc<Notify>,
        tell: mpsc::Sender<Found>,
        stop: CancellationToken,
    ) {
        let begun = wall::instant();
        let mut known = Known { watch: Watch::new(self.settle, first, 0), version, is_changing: false };
        let every = Duration::from_millis(u64::try_from(self.look_every).unwrap_or(1));
        loop {
            let turn = tokio::select! {
                () = stop.cancelled() => return,
                () = asked.notified() => Turn::Asked,
                () = tokio::time::sleep(every) => Turn::Look,
            };
            let folder = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let now = Millis::try_from(begun.elapsed().as_millis()).unwrap_or(Millis::MAX);
                let found = folder.turn(&mut known, turn, now);
                (known, found)
            });
            let found;
            (known, found) = tokio::select! {
                () = stop.cancelled() => return,
                looked = looked => match looked {
                    Ok(looked) => looked,
                    // Reading a folder does not panic; should it, the service ends, and says so.
                    Err(_) => return,
                },
            };
            if let Some(found) = found
                && tell.send(found).await.is_err()
            {
                return;
            }
        }
    }

    fn turn(&self, known: &mut Known, turn: Turn, now: Millis) -> Option<Found> {
        let before = print_of(&self.directory);
        let look = match turn {
            Turn::Asked => {
                known.watch.read_as(before.clone(), now);
                Look::Settled
            }
            Turn::Look => known.watch.look(before.clone(), now),
        };
        let reading = match look {
            Look::Still => return None,
            Look::Changing(_) => return self.changes(known),
            Look::Settled => read(&self.directory, &self.brand, turn == Turn::Asked),
            Look::Verify => {
                let version = load_directory(&self.directory).ok().map(|files| version_of(&files));
                if version == known.version {
                    return Some(Found::Same(wall::now()));
                }
                known.watch.disturb(now);
                return self.changes(known);
            }
        };
        // What was written while it was read is half of two versions: it comes to rest first. Who asks means what is there.
        let after = print_of(&self.directory);
        if after != before && turn == Turn::Look {
            known.watch.look(after, now);
            return self.changes(known);
        }
        known.is_changing = false;
        let is_same = reading.version.is_some() && reading.version == known.version && !reading.is_asked;
        known.version.clone_from(&reading.version);
        Some(if is_same { Found::Same(reading.read_at) } else { Found::Read(reading) })
    }

    /// Told once.
    fn changes(&self, known: &mut Known) -> Option<Found> {
        let was_changing = std::mem::replace(&mut known.is_changing, true);
        (!was_changing).then(|| Found::Changing(wall::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::watch::VERIFY_EVERY;

    #[test]
    fn a_folder_that_only_looks_the_same_is_read_when_it_came_to_rest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yml"), "rules: nonsense\n").unwrap();
        let directory = dir.path().to_owned();
        let folder = Folder { directory, brand: Brand::default(), look_every: 1, settle: 5_000 };
        let version = Some("another".to_owned());
        let mut known =
            Known { watch: Watch::new(folder.settle, print_of(&folder.directory), 0), version, is_changing: false };
        let mut at = |turn, now| folder.turn(&mut known, turn, now);
        assert!(at(Turn::Look, 1).is_none());
        assert!(matches!(at(Turn::Look, VERIFY_EVERY), Some(Found::Changing(_))));
        assert!(at(Turn::Look, VERIFY_EVERY + 1).is_none(), "said once");
        let Some(Found::Read(reading)) = at(Turn::Look, VERIFY_EVERY + 5_000) else { panic!("came to rest") };
        assert!(reading.version.is_some() && reading.rules.is_err() && !reading.is_asked);
        assert!(at(Turn::Look, VERIFY_EVERY + 5_001).is_none());
        assert!(matches!(at(Turn::Look, 3 * VERIFY_EVERY), Some(Found::Same(_))));
        let asked = at(Turn::Asked, 3 * VERIFY_EVERY + 1);
        assert!(matches!(asked, Some(Found::Read(Reading { is_asked: true, .. }))), "who asks is answered");
        // A change that is taken back was perhaps read by nobody: it is the same.
        std::fs::write(dir.path().join("a.yml"), "rules: nonsense\n").unwrap();
        let now = 3 * VERIFY_EVERY + 2;
        assert!(matches!(at(Turn::Look, now), Some(Found::Changing(_))));
        assert!(matches!(at(Turn::Look, now + 5_000), Some(Found::Same(_))));
    }
}
