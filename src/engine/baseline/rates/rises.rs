//! Days that rise, one after the other: what is half as much again each day, for days, is nothing to get used to.

use serde::{Deserialize, Serialize};

use super::too_many::DAY_EXTRA_TIMES;
use super::{Ask, DAY, Millis, Rates};
use crate::engine::baseline::profile::{pack, unpack};

/// Days that are looked back.
const DAYS: usize = 3;
/// The most calls of a day must have risen so much with each of the last ones, and in them to so many times as many: a key that grows
/// tenfold in three weeks takes six days for that.
const STEP: f64 = 1.15;
const TIMES: f64 = 2.0;
/// A key's first days rise as its business begins.
const FROM_DAY: u8 = 10;
/// How much less surprise that takes: the last days are what it is compared with, and have taught it their scatter.
pub(super) const SURPRISE: f64 = 0.4;

/// The most calls that had come in a day before each of the last days began, the newest first, as the upper half of an `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rises(pub [u16; DAYS]);

impl Rises {
    /// Begins a day; before the one that ends so many had come.
    pub(super) fn turn(&mut self, most: f64) {
        self.0.rotate_right(1);
        self.0[0] = pack(most as f32);
    }
}

impl Rates {
    /// How the last days rose.
    pub fn rises(&self) -> Rises {
        self.rises
    }

    /// Goes on with what was stored of that.
    pub fn set_rises(&mut self, rises: Rises) {
        self.rises = rises;
    }

    /// Whether the calls of a day until `at` go on from days that rose.
    pub(super) fn is_rising(&self, at: Millis, calls: f64, ask: &Ask) -> bool {
        let [last, before, first] = self.rises.0.map(|most| f64::from(unpack(most)));
        let enough = (TIMES * first).max(first + DAY_EXTRA_TIMES * ask.min_extra);
        0.0 < first
            && enough <= calls
            && STEP * last <= self.record(DAY)
            && STEP * before <= last
            && FROM_DAY <= self.days_learned()
            && !self.is_in_rows()
            && !self.is_bursty()
            && self.month_times(at, DAY) <= 1.0
    }
}
