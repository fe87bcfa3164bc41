//! Days of the month on which jobs run: its beginning, its middle and its end are paydays, and bills are made. What a key does on them is
//! remembered, since what runs once a month looks like nothing before.

use super::{Millis, Rates};
use crate::time::{DAY, HOUR, day_of_month};

/// Days of jobs, and how many days of a key must have been learned when they end for it to have seen them as a whole.
const STRETCHES: [(std::ops::RangeInclusive<u32>, u8); STRETCH_COUNT] = [(1..=3, 4), (15..=15, 2), (28..=31, 5)];
const STRETCH_COUNT: usize = 3;
/// The places of a month's beginning and of its middle among them.
const BEGINNING: usize = 0;
const MIDDLE: usize = 1;
/// How far from the beginning of a month on UTC its bills may be made, where the key's clock is not known.
const BILLS_AROUND: Millis = 14 * HOUR;
/// How much busier it may be for everybody when a month begins, and a whole day of it for a key that was not seen on one.
const MONTH_TIMES: f64 = 1.5;
const MONTH_DAY_TIMES: f64 = 3.0;
/// Something that is not usual came in the present stretch.
const JOB: u8 = u8::MAX;

/// How often in a row the days of jobs passed without one, by their place in the month: its beginning, its middle, its end. None where they
/// were not seen yet, or one ran the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthDays(pub [u8; STRETCH_COUNT]);

impl MonthDays {
    /// Learns a whole hour since 1970 on the key's clock: whether it had more calls than could be usual. `days_learned` before it.
    pub(super) fn learn(&mut self, hour: i64, is_job: bool, days_learned: u8) {
        let (from, to) = (hour * HOUR, (hour + 1) * HOUR);
        let Some(place) = place(from) else { return };
        let passed = &mut self.0[place];
        if is_job {
            *passed = JOB;
        }
        if self::place(to) == Some(place) {
            return;
        }
        let is_seen = STRETCHES[place].1 <= days_learned;
        *passed = match *passed {
            JOB => 0,
            times if is_seen => times.saturating_add(1).min(JOB - 1),
            times => times,
        };
    }

    /// Whether jobs may run at a time on the key's clock.
    pub(super) fn may_run(self, at: Millis) -> bool {
        place(at).is_some_and(|place| self.is_open(place))
    }

    /// Whether they may at the beginning of a month.
    pub(super) fn may_begin(self) -> bool {
        self.is_open(BEGINNING)
    }

    /// Whether bills may be made on the day of a time on the key's clock.
    fn may_bill(self, at: Millis) -> bool {
        match day_of_month(at) {
            1 => self.is_open(BEGINNING),
            15 => self.is_open(MIDDLE),
            _ => false,
        }
    }

    fn is_open(self, place: usize) -> bool {
        matches!(self.0[place], 0 | JOB)
    }
}

/// Which days of jobs a time on the key's clock belongs to.
fn place(at: Millis) -> Option<usize> {
    let day = day_of_month(at);
    STRETCHES.iter().position(|(days, _)| days.contains(&day))
}

impl Rates {
    /// Whether the jobs of a month may have run in a window of such a length (a day at most) that ends at a time.
    pub(super) fn may_hold_jobs(&self, at: Millis, length: Millis) -> bool {
        [at, at - length].into_iter().any(|at| self.months.may_run(at + self.offset))
    }

    /// Whether bills of a month may be made at a time: on its first day or the one in its middle, on the key's clock or on UTC's.
    pub(super) fn may_bill_at(&self, at: Millis) -> bool {
        let around = if self.offset == 0 { [-BILLS_AROUND, BILLS_AROUND] } else { [0, self.offset] };
        std::iter::once(0).chain(around).any(|offset| self.months.may_bill(at + offset))
    }

    /// How much busier the beginning of a month may be for everybody, in a window of such a length (a day at most) that ends at a time.
    pub(super) fn month_times(&self, at: Millis, length: Millis) -> f64 {
        match () {
            // What calls by the clock has no months.
            () if self.is_steady() => 1.0,
            () if [at, at - length].into_iter().all(|at| place(at + self.offset) != Some(BEGINNING)) => 1.0,
            () if length < DAY || !self.months.may_begin() => MONTH_TIMES,
            () => MONTH_DAY_TIMES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01.
    const NEW_YEAR: i64 = 20_454 * DAY / HOUR;

    fn months_after(days: std::ops::Range<i64>, job: Option<i64>) -> MonthDays {
        let mut months = MonthDays::default();
        for hour in days.start * 24..days.end * 24 {
            let is_job = job.is_some_and(|day| hour == day * 24 + 4);
            months.learn(NEW_YEAR + hour, is_job, ((hour - days.start * 24) / 24).min(255) as u8);
        }
        months
    }

    #[test]
    fn days_of_jobs_are_known_once_they_passed() {
        for (days, job, want) in [
            (0..10, None, [0, 0, 0]),
            (0..16, None, [0, 1, 0]),
            // Three days are too few to know what is usual; the end of January, and the beginning of February.
            (0..31, None, [0, 1, 1]),
            (0..34, None, [1, 1, 1]),
            (0..61, None, [1, 2, 2]),
            // The last day of February is one of its end; a job on the first of it is known for a month.
            (0..59, Some(31), [0, 2, 2]),
            (0..40, Some(14), [1, 0, 1]),
            (0..16, Some(14), [0, 0, 0]),
            (0..33, Some(31), [JOB, 1, 1]),
            (0..93, Some(31), [2, 3, 3]),
        ] {
            assert_eq!(months_after(days.clone(), job).0, want, "{days:?} {job:?}");
        }
    }

    #[test]
    fn a_month_without_jobs_closes_its_days() {
        let at = |day: i64| (NEW_YEAR + day * 24 + 12) * HOUR;
        let known = months_after(0..34, None);
        let places =
            [0, 14, 27, 30, 31, 3, 20].map(|day| (known.may_run(at(day)), MonthDays::default().may_run(at(day))));
        let open = [true, true, true, true, true, false, false];
        assert_eq!(places, open.map(|open| (false, open)));
    }
}
