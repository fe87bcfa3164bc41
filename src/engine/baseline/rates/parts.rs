//! Counts as plain numbers, for the stored form. [`KeyClock`], [`Silences`], clumps and what was foreseen have their own place there.

use serde::{Deserialize, Serialize};

use super::{
    FORESEEN, HOURS, KeyClock, Known, Lows, MonthDays, RING, Rates, Records, Rises, Runs, Silences, StillHours,
    foreseen_slot,
};
use crate::engine::baseline::profile::{Profile, ProfileParts, pack};
use crate::engine::baseline::scatter::{Scatter, Tail};
use crate::time::Millis;

/// The plain numbers of [`Rates`], for the stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct RatesParts<'a> {
    /// Counts of two minutes, the unit's logarithm, and what is less than a unit.
    pub ring: ([u16; RING], u8, u32),
    /// Hours in a row that were held out.
    pub held: u8,
    /// Closed hours.
    pub hours: [u16; HOURS],
    /// Newest bucket.
    pub newest: i64,
    /// First hour not yet learned.
    pub learned_to: i64,
    /// The clock's offset.
    pub offset: Millis,
    /// Expected calls.
    pub profile: ProfileParts<'a>,
    /// Scatter of ten minutes, of hours, of days: excess, square of each; then the tail's.
    pub scatter: [f32; 8],
    /// Level (calls, expected), largest hour, share of rows, expected calls before (two), share of bursts, largest ten minutes.
    pub more: [f32; 8],
}

/// No hour since 1970 has a larger number: what is stored may be damaged.
const HOURS_MAX: i64 = 1 << 32;

/// What was expected before it was learned and what else a key has shown of its hours, for the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foresight {
    /// Of the last closed hours.
    pub hours: [u16; FORESEEN],
    /// Of three hours and of the day, up to now; not finite where it is not known as a whole.
    pub so_far: [f32; 2],
    /// How three hours scatter about it.
    pub some: [f32; 3],
    /// How much of the hours' scatter lies below it.
    pub below: f32,
    /// What came on days of the month on which jobs run.
    pub months: [u8; 3],
}

/// The same as it was stored before, of fewer hours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiveHours {
    /// Of the last closed hours, by their number modulo five.
    pub hours: [u16; 5],
    /// As above.
    pub so_far: [f32; 2],
    /// As above.
    pub some: [f32; 3],
}

impl Rates {
    /// Takes the numbers apart.
    pub fn to_parts(&self) -> RatesParts<'_> {
        let of = |s: &Scatter| [s.excess, s.square];
        let [a, b, c] = [of(&self.ten), of(&self.hour), of(&self.day)];
        RatesParts {
            ring: (self.ring, self.shift, self.rest),
            held: self.held,
            hours: self.hours,
            newest: self.newest,
            learned_to: self.learned_to,
            offset: self.offset,
            profile: self.profile.to_parts(),
            scatter: [a[0], a[1], b[0], b[1], c[0], c[1], self.tail.excess, self.tail.n],
            more: [
                self.level[0],
                self.level[1],
                self.peak,
                self.rows,
                self.before[0],
                self.before[1],
                self.bursts,
                self.peak_ten,
            ],
        }
    }

    /// Puts them together again.
    pub fn from_parts(parts: &RatesParts<'_>) -> Self {
        let s = &parts.scatter;
        let of = |at: usize| Scatter { excess: s[at], square: s[at + 1], mean: 0.0 };
        let [calls, expected, peak, rows, five, day, bursts, peak_ten] = parts.more;
        let mut rates = Rates {
            ring: parts.ring.0,
            shift: parts.ring.1,
            rest: parts.ring.2,
            held: parts.held,
            hours: parts.hours,
            newest: parts.newest,
            learned_to: parts.learned_to,
            offset: parts.offset,
            clock: KeyClock::default(),
            profile: Profile::from_parts(&parts.profile),
            ten: of(0),
            hour: of(2),
            below: 0.0,
            some: Scatter::default(),
            day: of(4),
            so_far: [f32::NEG_INFINITY; 2],
            clumps: Default::default(),
            tail: Tail { excess: s[6], n: s[7] },
            level: [calls, expected],
            peak,
            peak_ten,
            rows,
            bursts,
            before: [five, day],
            foreseen: [0; FORESEEN],
            silences: Silences::default(),
            months: MonthDays::default(),
            runs: Runs::default(),
            records: Records::default(),
            still: StillHours::default(),
            lows: Lows::default(),
            rises: Rises::default(),
            known: Known::default(),
        };
        rates.work_out();
        rates.believe_sides_alike();
        // What was foreseen of these hours is not among the numbers: what is expected now is near it.
        let hours = if (0..HOURS_MAX).contains(&rates.learned_to) { 0..FORESEEN as i64 } else { 0..0 };
        for hour in hours.map(|back| rates.learned_to - 1 - back).filter(|hour| 0 <= *hour) {
            rates.foreseen[foreseen_slot(hour)] = pack(rates.expected_high(hour) as f32);
        }
        rates
    }

    /// As much of the hours' scatter lies below as above, as far as nothing else was stored.
    pub(super) fn believe_sides_alike(&mut self) {
        self.below = (self.hour.excess + self.hour.mean) / 2.0;
    }

    /// Goes on with how much of the hours' scatter lies below what was expected.
    pub fn set_below(&mut self, below: f32) {
        self.below = below;
    }

    /// What was expected before it was learned, and so on.
    pub fn foresight(&self) -> Foresight {
        let Scatter { excess, square, mean } = self.some;
        let some = [excess, square, mean];
        Foresight { hours: self.foreseen, so_far: self.so_far, some, below: self.below, months: self.months.0 }
    }

    /// Goes on with what was stored of that.
    pub fn set_foresight(&mut self, foresight: Foresight) {
        let Foresight { hours, so_far, some: [excess, square, mean], below, months } = foresight;
        (self.foreseen, self.so_far, self.some) = (hours, so_far, Scatter { excess, square, mean });
        (self.below, self.months) = (below, MonthDays(months));
    }

    /// The same with what was stored before.
    pub fn set_five_hours(&mut self, FiveHours { hours, so_far, some: [excess, square, mean] }: FiveHours) {
        (self.so_far, self.some) = (so_far, Scatter { excess, square, mean });
        if (0..HOURS_MAX).contains(&self.learned_to) {
            for hour in (0..5).map(|back| self.learned_to - 1 - back).filter(|hour| 0 <= *hour) {
                self.foreseen[foreseen_slot(hour)] = hours[hour.rem_euclid(5) as usize];
            }
        }
    }
}
