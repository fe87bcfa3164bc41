//! Runs that come again at the same time of day: bills, imports, sales at announced hours. What was far more than usual is
//! remembered by its time of day; what came there on two days is usual there.

use serde::{Deserialize, Serialize};

use super::{MINUTE, Millis, Rates};
use crate::engine::baseline::profile::{pack, unpack};
use crate::time::DAY;

/// Runs kept of a key.
pub const RUNS: usize = 8;
/// A time of day is told to so much.
const TEN: Millis = 10 * MINUTE;
const TENS_A_DAY: i64 = DAY / TEN;
/// A run may be earlier or later by so many of them; one that came once only by less.
const EARLY_OR_LATE: i64 = 2;
const ONCE_EARLY_OR_LATE: i64 = 1;
/// It has come on so many days before it is expected. Once is enough where so much of its hour fell into ten minutes, since people are not
/// as punctual as programs, and a month later, which is so many days.
const DAYS: u8 = 2;
const AT_ONCE: f32 = 0.6;
const MONTH: std::ops::RangeInclusive<i64> = 27..=32;
/// What has not come for so long is forgotten.
const FORGOTTEN_AFTER_DAYS: i64 = 64;
/// A run is as large as its largest, which fades by this part each time it comes.
const FADES: f32 = 0.9;

/// Runs at one time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its tenth minutes of the day on the key's clock.
    pub ten: u8,
    /// On how many days it came.
    pub days: u8,
    /// The newest of them, since 1970 on the key's clock.
    pub day: u16,
    /// Calls of its busiest ten minutes, wherever these begin, and of its hour, as the upper half of an `f32`.
    pub calls: [u16; 2],
}

/// What is remembered of a key's runs. Most keys have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Option<Box<[Run; RUNS]>>);

impl Runs {
    /// From what was stored. More than are kept are left out.
    pub fn new(runs: impl IntoIterator<Item = Run>) -> Self {
        let mut kept = Runs::default();
        for (place, run) in runs.into_iter().take(RUNS).enumerate() {
            kept.0.get_or_insert_default()[place] = run;
        }
        kept
    }

    /// Those that came on a day.
    pub fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        self.0.iter().flat_map(|runs| runs.iter().copied()).filter(|run| 0 < run.days)
    }

    /// Learns an hour since 1970 on the key's clock that had far more calls than usual.
    pub(super) fn learn(&mut self, hour: i64, tens: &[f64; 6], total: f64) {
        let Some(busiest) = (0..6).max_by(|a, b| tens[*a].total_cmp(&tens[*b])) else { return };
        let day = hour.div_euclid(24);
        let ten = hour.rem_euclid(24) * 6 + busiest as i64;
        // Ten minutes that begin anywhere lie in two.
        let beside = [busiest.checked_sub(1), Some(busiest + 1)].into_iter().flatten().filter_map(|at| tens.get(at));
        let ten_long = tens[busiest] + beside.copied().fold(0.0, f64::max);
        let calls = [ten_long as f32, total as f32];
        let runs = self.0.get_or_insert_default();
        let near = |run: &Run| 0 < run.days && apart(i64::from(run.ten), ten) <= EARLY_OR_LATE;
        if let Some(run) = runs.iter_mut().find(|run| near(run)) {
            let is_again = i64::from(run.day) != day;
            let fades = if is_again { FADES } else { 1.0 };
            for (old, new) in run.calls.iter_mut().zip(calls) {
                *old = pack((fades * unpack(*old)).max(new));
            }
            run.days = run.days.saturating_add(u8::from(is_again));
            (run.ten, run.day) = (ten as u8, day as u16);
            return;
        }
        // In place of the one that came least often, or longest ago.
        let is_forgotten = |run: &Run| i64::from(run.day) + FORGOTTEN_AFTER_DAYS < day;
        if let Some(run) = runs.iter_mut().min_by_key(|run| (!is_forgotten(run), run.days.min(DAYS), run.day)) {
            *run = Run { ten: ten as u8, days: 1, day: day as u16, calls: calls.map(pack) };
        }
    }

    /// Whether one came once only at the time of day of an hour since 1970 on the key's clock.
    pub(super) fn came_once_at(&self, hour: i64) -> bool {
        self.iter().any(|run| {
            let is_kept = hour.div_euclid(24) - i64::from(run.day) <= FORGOTTEN_AFTER_DAYS;
            run.days < DAYS && is_kept && i64::from(run.ten) / 6 == hour.rem_euclid(24)
        })
    }

    /// Calls of the runs that are usual in a window of the key's clock.
    fn usual(&self, from: Millis, to: Millis) -> f64 {
        let day = to.div_euclid(DAY);
        let is_within = |run: &Run, day: i64| {
            let early = if run.days < DAYS { ONCE_EARLY_OR_LATE } else { EARLY_OR_LATE };
            let (begins, ends) = (i64::from(run.ten) - early, i64::from(run.ten) + 1 + early);
            from < day * DAY + ends * TEN && day * DAY + begins * TEN <= to
        };
        let is_usual = |run: &Run| {
            let came = i64::from(run.day);
            let [ten, hour] = run.calls.map(unpack);
            // What came once, and that within the window, does not make itself usual.
            let is_habit = DAYS <= run.days || (AT_ONCE * hour <= ten && !is_within(run, came));
            (is_habit && day - came <= FORGOTTEN_AFTER_DAYS) || MONTH.contains(&(day - came))
        };
        // Of today, yesterday or tomorrow.
        let is_due = |run: &Run| (-1..=1).any(|ahead| is_within(run, day + ahead)) && is_usual(run);
        let place = usize::from(TEN < to - from);
        self.iter().filter(is_due).map(|run| f64::from(unpack(run.calls[place]))).sum()
    }
}

/// How many tens of minutes lie between two times of day.
fn apart(a: i64, b: i64) -> i64 {
    let between = (a - b).abs();
    between.min(TENS_A_DAY - between)
}

impl Rates {
    /// What is remembered of its runs.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Goes on with what was stored of them.
    pub fn set_runs(&mut self, runs: Runs) {
        self.runs = runs;
    }

    /// Calls of the runs that are usual in a window of such a length that ends at a time, on whichever clock. Runs of a whole day may be of
    /// as many days: none of them is usual there.
    pub(super) fn usual_runs(&self, at: Millis, length: Millis) -> f64 {
        if DAY <= length {
            return 0.0;
        }
        self.most(|offset| self.runs.usual(at + offset - length, at + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;

    /// Runs of 100 calls at these days and minutes of the day, so many of them in ten minutes.
    fn runs(at: &[(i64, i64)], at_once: f64) -> Runs {
        let mut runs = Runs::default();
        for (day, minute) in at {
            let mut tens = [0.0; 6];
            tens[(minute % 60 / 10) as usize] = at_once;
            tens.iter_mut().for_each(|calls| *calls += (100.0 - at_once) / 6.0);
            runs.learn(day * 24 + minute / 60, &tens, 100.0);
        }
        runs
    }

    /// What is usual in an hour that ends at a minute of a day.
    fn usual(runs: &Runs, day: i64, minute: i64) -> f64 {
        let to = day * DAY + minute * MINUTE;
        runs.usual(to - HOUR, to).round()
    }

    #[test]
    fn what_came_on_two_days_is_usual_at_that_time() {
        // People call all over the hour.
        let twice = runs(&[(3, 605), (5, 618)], 10.0);
        for (day, minute, want) in
            [(6, 620, 100.0), (40, 605, 100.0), (6, 660, 100.0), (6, 700, 0.0), (6, 580, 0.0), (80, 620, 0.0)]
        {
            assert_eq!(usual(&twice, day, minute), want, "day {day}, minute {minute}");
        }
        let once = runs(&[(3, 605)], 10.0);
        assert_eq!([usual(&once, 4, 620), usual(&once, 33, 620)], [0.0, 100.0], "once is enough a month later");
        let punctual = runs(&[(3, 605)], 90.0);
        assert_eq!([usual(&punctual, 4, 620), usual(&punctual, 4, 700)], [100.0, 0.0], "and for a machine");
        let usual_today = [punctual, twice].map(|runs| [usual(&runs, 3, 640), usual(&runs, 5, 640)]);
        assert_eq!(usual_today, [[0.0, 100.0], [100.0, 100.0]], "what came once makes itself no habit");
        let at_midnight = runs(&[(3, 2), (4, 1438)], 90.0);
        assert_eq!((usual(&at_midnight, 7, 5), at_midnight.iter().count()), (100.0, 1), "around midnight");
        let other = runs(&[(3, 605), (3, 605)], 10.0);
        assert_eq!(usual(&other, 4, 620), 0.0, "twice on one day is one day");
    }

    #[test]
    fn a_run_is_as_large_as_it_was() {
        let twice = runs(&[(3, 605), (5, 605)], 90.0);
        let to = 6 * DAY + 615 * MINUTE;
        let ten_long = twice.usual(to - 10 * MINUTE, to);
        assert!((90.0..95.0).contains(&ten_long), "ten minutes that begin anywhere: {ten_long}");
    }

    #[test]
    fn what_came_least_often_makes_room() {
        let mut at: Vec<(i64, i64)> = (0..RUNS as i64).map(|n| (n, 60 * n + 5)).collect();
        at.extend([(20, 5), (21, 1205), (22, 1305)]);
        let kept: Vec<u8> = runs(&at, 90.0).iter().map(|run| run.ten).collect();
        assert_eq!(kept, [0, 120, 130, 18, 24, 30, 36, 42]);
        assert!(runs(&[(3, 605)], 90.0).came_once_at(50 * 24 + 10));
        assert!(!runs(&[(3, 605)], 90.0).came_once_at(50 * 24 + 11));
        assert!(!runs(&[(3, 605), (4, 605)], 90.0).came_once_at(50 * 24 + 10), "twice is a habit");
    }
}
