//! What versions 5 to 14 added behind a shard: its last short gap, and what its stream has shown.

use serde::{Deserialize, Serialize};

use super::{SnapshotError, StoredShard, StoredShardV1, StoredShardV2, read};
use crate::engine::baseline::rates::{FiveHours, Foresight, Lows, Rates, Records, Rises, Run, Runs};
use crate::engine::detect::Watch;
use crate::time::Millis;

/// What version 5 added behind a shard: its last short gap.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredLull(Option<(i64, i64)>);

/// What version 6 added behind it: how its events clump.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredClumps([f32; 5]);

/// What version 7 added behind that: what was expected of its last closed hours.
#[derive(Default, Deserialize)]
struct StoredFiveHours(Option<FiveHours>);

/// What version 8 added behind that: how much of its hours' scatter lies below.
#[derive(Default, Deserialize)]
struct StoredBelow(Option<f32>);

/// What version 9 has in place of both.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredForeseen(Option<Foresight>);

/// What version 10 added behind that: its runs.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredRuns(Vec<Run>);

/// What version 11 added behind that: the most calls that came.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredRecords(Records);

/// What version 13 added behind that: the least shares of what was expected.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredLows(Lows);

/// What version 14 added behind that: how the last days rose.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredRises(Rises);

/// What any version has behind a shard.
#[derive(Default)]
pub(super) struct Behind {
    lull: StoredLull,
    clumps: StoredClumps,
    five_hours: StoredFiveHours,
    below: StoredBelow,
    foreseen: StoredForeseen,
    runs: StoredRuns,
    records: StoredRecords,
    lows: StoredLows,
    rises: StoredRises,
}

/// What version 13 has behind a shard.
type WrittenV13<'a> =
    (StoredShard<'a>, StoredLull, StoredClumps, StoredForeseen, StoredRuns, StoredRecords, StoredLows);

/// A shard as it is written, with all that is behind it.
type Written<'a> = (WrittenV13<'a>, StoredRises);

/// Puts behind a shard what is written there.
pub(super) fn with<'a>(stored: StoredShard<'a>, watch: &Watch, stream: &Rates) -> Written<'a> {
    let (lull, clumps) = (StoredLull(watch.lull), StoredClumps(stream.clumps()));
    let (foreseen, runs) = (StoredForeseen(Some(stream.foresight())), StoredRuns(stream.runs().iter().collect()));
    let (records, lows) = (StoredRecords(stream.records()), StoredLows(stream.lows()));
    ((stored, lull, clumps, foreseen, runs, records, lows), StoredRises(stream.rises()))
}

/// Reads a shard of any version.
pub(super) fn read_shard(bytes: &[u8]) -> Result<(StoredShard<'_>, Behind), SnapshotError> {
    Ok(match bytes.first() {
        Some(1) => (StoredShardV2::from(read::<StoredShardV1>(bytes)?).into(), Behind::default()),
        Some(2 | 3) => (read::<StoredShardV2>(bytes)?.into(), Behind::default()),
        Some(4) => (read(bytes)?, Behind::default()),
        Some(5) => {
            let (stored, lull) = read(bytes)?;
            (stored, Behind { lull, ..Behind::default() })
        }
        Some(6) => {
            let (stored, lull, clumps) = read(bytes)?;
            (stored, Behind { lull, clumps, ..Behind::default() })
        }
        Some(7) => {
            let (stored, lull, clumps, five_hours) = read(bytes)?;
            (stored, Behind { lull, clumps, five_hours, ..Behind::default() })
        }
        Some(8) => {
            let (stored, lull, clumps, five_hours, below) = read(bytes)?;
            (stored, Behind { lull, clumps, five_hours, below, ..Behind::default() })
        }
        Some(9) => {
            let (stored, lull, clumps, foreseen) = read(bytes)?;
            (stored, Behind { lull, clumps, foreseen, ..Behind::default() })
        }
        Some(10) => {
            let (stored, lull, clumps, foreseen, runs) = read(bytes)?;
            (stored, Behind { lull, clumps, foreseen, runs, ..Behind::default() })
        }
        Some(11 | 12) => {
            let (stored, lull, clumps, foreseen, runs, records) = read(bytes)?;
            (stored, Behind { lull, clumps, foreseen, runs, records, ..Behind::default() })
        }
        Some(13) => of_version_13(read(bytes)?, StoredRises::default()),
        _ => {
            let (of_version_13, rises): Written<'_> = read(bytes)?;
            self::of_version_13(of_version_13, rises)
        }
    })
}

fn of_version_13(written: WrittenV13<'_>, rises: StoredRises) -> (StoredShard<'_>, Behind) {
    let (stored, lull, clumps, foreseen, runs, records, lows) = written;
    (stored, Behind { lull, clumps, foreseen, runs, records, lows, rises, ..Behind::default() })
}

impl Behind {
    /// Gives the stream what it has shown. What is left is the last short gap.
    pub(super) fn put_into(self, stream: &mut Rates) -> Option<(Millis, Millis)> {
        stream.set_clumps(self.clumps.0);
        if let Some(five_hours) = self.five_hours.0 {
            stream.set_five_hours(five_hours);
        }
        if let Some(below) = self.below.0 {
            stream.set_below(below);
        }
        if let Some(foreseen) = self.foreseen.0 {
            stream.set_foresight(foreseen);
        }
        stream.set_runs(Runs::new(self.runs.0));
        stream.set_records(self.records.0);
        stream.set_lows(self.lows.0);
        stream.set_rises(self.rises.0);
        self.lull.0
    }
}
