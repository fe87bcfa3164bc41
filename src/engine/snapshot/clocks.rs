//! What keys have shown of their clocks: added by version 5, behind the subject.

use serde::{Deserialize, Serialize};

use super::{SnapshotError, damaged};
use crate::engine::baseline::rates::KeyClock;
use crate::engine::subject::Key;

/// By the key's place. Only of those keys that have shown something, or are in doubt.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredClocks(Vec<(u32, i16, i16, f32, u16, bool)>);

impl StoredClocks {
    pub(super) fn of(keys: &[Key]) -> Self {
        let clocks = keys.iter().enumerate().map(|(place, key)| (place as u32, key.features.rates.clock()));
        let shown = clocks.filter(|(_, clock)| *clock != KeyClock::default());
        StoredClocks(shown.map(|(place, c)| (place, c.lag, c.other, c.lead, c.hours, c.stays)).collect())
    }

    pub(super) fn put_into(self, keys: &mut [Key]) -> Result<(), SnapshotError> {
        for (place, lag, other, lead, hours, stays) in self.0 {
            let key = keys.get_mut(place as usize).ok_or_else(|| damaged("the key of a clock is not there"))?;
            key.features.rates.set_clock(KeyClock { lag, other, lead, hours, stays });
        }
        Ok(())
    }
}
