//! What keys have shown of their clocks and silences, and of how their calls clump and scatter: added by versions 5 to 8, behind
//! the subject.

use serde::{Deserialize, Serialize};

use super::{SnapshotError, damaged};
use crate::engine::baseline::rates::{Foresight, KeyClock, Silences};
use crate::engine::subject::Key;

/// By the key's place. Only of those keys that have shown something, or are in doubt.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabits {
    of_version_7: StoredHabitsV7,
    below: Vec<(u32, f32)>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredHabitsV7 {
    of_version_6: StoredHabitsV6,
    foreseen: Vec<(u32, Foresight)>,
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

impl From<StoredHabitsV6> for StoredHabitsV7 {
    fn from(of_version_6: StoredHabitsV6) -> Self {
        StoredHabitsV7 { of_version_6, foreseen: Vec::new() }
    }
}

impl From<StoredHabitsV7> for StoredHabits {
    fn from(of_version_7: StoredHabitsV7) -> Self {
        StoredHabits { of_version_7, below: Vec::new() }
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
        let used = || rates().filter(|(_, rates)| !rates.is_empty());
        let of_version_7 = StoredHabitsV7 {
            of_version_6: StoredHabitsV6 { of_version_5, clumps },
            foreseen: used().map(|(place, rates)| (place, rates.foresight())).collect(),
        };
        StoredHabits { of_version_7, below: used().map(|(place, rates)| (place, rates.below())).collect() }
    }

    pub(super) fn put_into(self, keys: &mut [Key]) -> Result<(), SnapshotError> {
        let StoredHabitsV7 { of_version_6, foreseen } = self.of_version_7;
        let StoredHabitsV6 { of_version_5, clumps } = of_version_6;
        let missing = || damaged("the key of a clock or of a silence is not there");
        for (place, lag, other, lead, hours, stays) in of_version_5.clocks {
            let key = keys.get_mut(place as usize).ok_or_else(missing)?;
            key.features.rates.set_clock(KeyClock { lag, other, lead, hours, stays });
        }
        for (place, clumps) in clumps {
            let key = keys.get_mut(place as usize).ok_or_else(missing)?;
            key.features.rates.set_clumps(clumps);
        }
        for (place, silences) in of_version_5.silences {
            let key = keys.get_mut(place as usize).ok_or_else(missing)?;
            key.features.rates.set_silences(Silences(silences));
        }
        for (place, foreseen) in foreseen {
            let key = keys.get_mut(place as usize).ok_or_else(missing)?;
            key.features.rates.set_foresight(foreseen);
        }
        for (place, below) in self.below {
            let key = keys.get_mut(place as usize).ok_or_else(missing)?;
            key.features.rates.set_below(below);
        }
        Ok(())
    }
}
