//! What keys have shown of their clocks and silences, and of how their calls clump and scatter: added by versions 5 to 15,
//! behind the subject.

use serde::{Deserialize, Serialize};

use super::{SnapshotError, damaged};
use crate::engine::baseline::declines::Declines;
use crate::engine::baseline::rates::{
    FiveHours, Foresight, KeyClock, Lows, Rates, Records, Rises, Run, Runs, Silences, StillHours,
};
use crate::engine::baseline::refusals::Tried;
use crate::engine::subject::Key;

/// By the key's place. Only of those keys that have shown something, or are in doubt.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabits {
    of_version_14: StoredHabitsV14,
    declines: Vec<(u32, Declines)>,
    squares: Vec<(u32, f32)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV14 {
    of_version_13: StoredHabitsV13,
    rises: Vec<(u32, Rises)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV13 {
    of_version_12: StoredHabitsV12,
    lows: Vec<(u32, Lows)>,
    tried: Vec<(u32, Tried)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV12 {
    of_version_11: StoredHabitsV11,
    still: Vec<(u32, StillHours)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV11 {
    of_version_10: StoredHabitsV10,
    records: Vec<(u32, Records)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV10 {
    of_version_9: StoredHabitsV9,
    runs: Vec<(u32, Vec<Run>)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV9 {
    of_version_6: StoredHabitsV6,
    foreseen: Vec<(u32, Foresight)>,
}

#[derive(Deserialize)]
pub(super) struct StoredHabitsV8 {
    of_version_7: StoredHabitsV7,
    below: Vec<(u32, f32)>,
}

#[derive(Deserialize)]
pub(super) struct StoredHabitsV7 {
    of_version_6: StoredHabitsV6,
    foreseen: Vec<(u32, FiveHours)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV6 {
    of_version_5: StoredHabitsV5,
    clumps: Vec<(u32, [f32; 5])>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV5 {
    clocks: Vec<(u32, i16, i16, f32, u16, bool)>,
    silences: Vec<(u32, [u8; 8])>,
}

impl From<StoredHabitsV5> for StoredHabitsV6 {
    fn from(of_version_5: StoredHabitsV5) -> Self {
        StoredHabitsV6 { of_version_5, clumps: Vec::new() }
    }
}

/// What any version stored of them.
#[derive(Default)]
pub(super) struct Habits {
    now: StoredHabits,
    five_hours: Vec<(u32, FiveHours)>,
    below: Vec<(u32, f32)>,
}

impl From<StoredHabits> for Habits {
    fn from(now: StoredHabits) -> Self {
        Habits { now, ..Habits::default() }
    }
}

impl From<StoredHabitsV6> for Habits {
    fn from(of_version_6: StoredHabitsV6) -> Self {
        StoredHabitsV9 { of_version_6, foreseen: Vec::new() }.into()
    }
}

impl From<StoredHabitsV9> for Habits {
    fn from(of_version_9: StoredHabitsV9) -> Self {
        StoredHabitsV10 { of_version_9, runs: Vec::new() }.into()
    }
}

impl From<StoredHabitsV10> for Habits {
    fn from(of_version_10: StoredHabitsV10) -> Self {
        StoredHabitsV11 { of_version_10, records: Vec::new() }.into()
    }
}

impl From<StoredHabitsV11> for Habits {
    fn from(of_version_11: StoredHabitsV11) -> Self {
        StoredHabitsV12 { of_version_11, still: Vec::new() }.into()
    }
}

impl From<StoredHabitsV12> for Habits {
    fn from(of_version_12: StoredHabitsV12) -> Self {
        StoredHabitsV13 { of_version_12, ..StoredHabitsV13::default() }.into()
    }
}

impl From<StoredHabitsV13> for Habits {
    fn from(of_version_13: StoredHabitsV13) -> Self {
        StoredHabitsV14 { of_version_13, rises: Vec::new() }.into()
    }
}

impl From<StoredHabitsV14> for Habits {
    fn from(of_version_14: StoredHabitsV14) -> Self {
        StoredHabits { of_version_14, ..StoredHabits::default() }.into()
    }
}

impl From<StoredHabitsV7> for Habits {
    fn from(StoredHabitsV7 { of_version_6, foreseen }: StoredHabitsV7) -> Self {
        Habits { five_hours: foreseen, ..of_version_6.into() }
    }
}

impl From<StoredHabitsV8> for Habits {
    fn from(StoredHabitsV8 { of_version_7, below }: StoredHabitsV8) -> Self {
        Habits { below, ..of_version_7.into() }
    }
}

impl StoredHabits {
    pub(super) fn of(keys: &[Key]) -> Self {
        let rates = || keys.iter().enumerate().map(|(place, key)| (place as u32, &key.features.rates));
        let clocks = rates().map(|(place, rates)| (place, rates.clock()));
        let clocks = clocks.filter(|(_, clock)| *clock != KeyClock::default());
        let silences = rates().map(|(place, rates)| (place, rates.silences().0));
        let clumps = rates().map(|(place, rates)| (place, rates.clumps()));
        let of_version_5 = StoredHabitsV5 {
            clocks: clocks.map(|(place, c)| (place, c.lag, c.other, c.lead, c.hours, c.stays)).collect(),
            silences: silences.filter(|(_, silences)| silences.iter().any(|n| *n > 0)).collect(),
        };
        let clumps = clumps.filter(|(_, clumps)| *clumps != [0.0; 5]).collect();
        let used = rates().filter(|(_, rates)| !rates.is_empty());
        let runs = rates().map(|(place, rates)| (place, rates.runs().iter().collect::<Vec<_>>()));
        let of_version_9 = StoredHabitsV9 {
            of_version_6: StoredHabitsV6 { of_version_5, clumps },
            foreseen: used.map(|(place, rates)| (place, rates.foresight())).collect(),
        };
        let records = rates().map(|(place, rates)| (place, rates.records()));
        let still = rates().map(|(place, rates)| (place, rates.still_hours()));
        let of_version_11 = StoredHabitsV11 {
            of_version_10: StoredHabitsV10 { of_version_9, runs: runs.filter(|(_, runs)| !runs.is_empty()).collect() },
            records: records.filter(|(_, records)| *records != Records::default()).collect(),
        };
        let of_version_12 = StoredHabitsV12 {
            of_version_11,
            still: still.filter(|(_, still)| *still != StillHours::default()).collect(),
        };
        let lows = rates().map(|(place, rates)| (place, rates.lows()));
        let places = || (0_u32..).zip(keys);
        let refusals = || places().filter_map(|(place, key)| Some((place, key.features.refusals.as_ref()?)));
        let tried = refusals().map(|(place, refusals)| (place, refusals.tried()));
        let of_version_13 = StoredHabitsV13 {
            of_version_12,
            lows: lows.filter(|(_, lows)| *lows != Lows::default()).collect(),
            tried: tried.filter(|(_, tried)| *tried != Tried::default()).collect(),
        };
        let rises = rates().map(|(place, rates)| (place, rates.rises()));
        let of_version_14 =
            StoredHabitsV14 { of_version_13, rises: rises.filter(|(_, rises)| *rises != Rises::default()).collect() };
        let declines = places().map(|(place, key)| (place, key.features.declines));
        let squares = refusals().map(|(place, refusals)| (place, refusals.mean_square()));
        StoredHabits {
            of_version_14,
            declines: declines.filter(|(_, declines)| *declines != Declines::default()).collect(),
            squares: squares.filter(|(_, square)| *square != 0.0).collect(),
        }
    }
}

impl Habits {
    pub(super) fn put_into(self, keys: &mut [Key]) -> Result<(), SnapshotError> {
        let StoredHabits { of_version_14, declines, squares } = self.now;
        let StoredHabitsV14 { of_version_13, rises } = of_version_14;
        let StoredHabitsV13 { of_version_12, lows, tried } = of_version_13;
        let StoredHabitsV12 { of_version_11, still } = of_version_12;
        let StoredHabitsV11 { of_version_10, records } = of_version_11;
        let StoredHabitsV10 { of_version_9, runs } = of_version_10;
        let StoredHabitsV9 { of_version_6, foreseen } = of_version_9;
        let StoredHabitsV6 { of_version_5, clumps } = of_version_6;
        for (place, lag, other, lead, hours, stays) in of_version_5.clocks {
            rates_of(keys, place)?.set_clock(KeyClock { lag, other, lead, hours, stays });
        }
        for (place, clumps) in clumps {
            rates_of(keys, place)?.set_clumps(clumps);
        }
        for (place, silences) in of_version_5.silences {
            rates_of(keys, place)?.set_silences(Silences(silences));
        }
        for (place, five_hours) in self.five_hours {
            rates_of(keys, place)?.set_five_hours(five_hours);
        }
        for (place, below) in self.below {
            rates_of(keys, place)?.set_below(below);
        }
        for (place, foreseen) in foreseen {
            rates_of(keys, place)?.set_foresight(foreseen);
        }
        for (place, runs) in runs {
            rates_of(keys, place)?.set_runs(Runs::new(runs));
        }
        for (place, records) in records {
            rates_of(keys, place)?.set_records(records);
        }
        for (place, still) in still {
            rates_of(keys, place)?.set_still_hours(still);
        }
        for (place, lows) in lows {
            rates_of(keys, place)?.set_lows(lows);
        }
        for (place, rises) in rises {
            rates_of(keys, place)?.set_rises(rises);
        }
        for (place, tried) in tried {
            if let Some(refusals) = &mut key_of(keys, place)?.features.refusals {
                refusals.set_tried(tried);
            }
        }
        for (place, square) in squares {
            if let Some(refusals) = &mut key_of(keys, place)?.features.refusals {
                refusals.set_mean_square(square);
            }
        }
        for (place, declines) in declines {
            key_of(keys, place)?.features.declines = declines;
        }
        Ok(())
    }
}

fn rates_of(keys: &mut [Key], place: u32) -> Result<&mut Rates, SnapshotError> {
    Ok(&mut key_of(keys, place)?.features.rates)
}

fn key_of(keys: &mut [Key], place: u32) -> Result<&mut Key, SnapshotError> {
    keys.get_mut(place as usize).ok_or_else(|| damaged("the key of a habit is not there"))
}
