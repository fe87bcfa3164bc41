//! The most calls that have come in each length of window: what is far beyond all of them needs less of a model of how counts scatter,
//! and what is not may have come a week before.

use serde::{Deserialize, Serialize};

use super::{Ask, BUCKET, DAY, HOUR, MINUTE, Millis, Rates, WEEK_SEEN};
use crate::engine::baseline::profile::{pack, unpack};

/// Lengths of windows of which the most calls are known.
pub const RECORDS: usize = 6;
const LENGTHS: [Millis; RECORDS] = [10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, DAY];
/// Of these, so many are no longer than an hour. The last of them is an hour.
const SHORT: usize = 3;
/// A day is held against those before it once so many hours have passed, or so many while more calls come than ever.
const DAY_HOURS: i64 = 24;
const DAY_HOURS_MAX: i64 = 48;
/// Days of which the most calls tell how many may come, the last one not among them. The maximum of n days is passed on a later one with odds of one to n.
const RECORD_DAYS: u32 = 11;
/// So long a window may hold a single run, of which the next may be so many times as large as the largest: longer windows tell what goes on.
pub(super) const RUN: Millis = 10 * MINUTE;
pub(super) const RUN_TIMES: f64 = 1.5;
/// While each day of the week was seen so few times, that may be at any hour, and so many times as many may come in up to an hour.
const WEEKS_FEW: u8 = 14;
const WEEKS_TIMES: f64 = 1.3;
/// Beyond a record are so many times as many calls.
const BEYOND: f64 = 1.25;
/// And far beyond it, with so many times the calls beside that a spike takes: the tail of the days' maxima falls with the fourth power and
/// faster where counts are not small (a Pareto tail beyond the largest; Weissman, JASA 73, 1978).
const FAR_BEYOND: f64 = 1.5;
const FAR_BEYOND_EXTRA: f64 = 1.5;

/// The most calls in each length of window, as the upper half of an `f32`: until the last day of the key began, and since. A day
/// must not be held against itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Before the day.
    pub before: [u16; RECORDS],
    /// In the day.
    pub today: [u16; RECORDS],
    /// When the day began, in hours since 1970 (UTC).
    pub day: u32,
    /// When the first one did; 0 before it.
    pub since: u32,
}

impl Records {
    fn learn(&mut self, place: usize, calls: f64) {
        self.today[place] = self.today[place].max(pack(calls as f32));
    }

    /// Begins a day where one is over by an hour since 1970 that had so many calls. Whether it did.
    fn turn(&mut self, hour: i64, calls: f64) -> bool {
        if self.since == 0 {
            (self.since, self.day) = (hour as u32, hour as u32);
        }
        let passed = hour - i64::from(self.day);
        let is_over = calls <= f64::from(unpack(self.before[SHORT - 1])) || DAY_HOURS_MAX <= passed;
        if passed < DAY_HOURS || !is_over {
            return false;
        }
        for (before, today) in self.before.iter_mut().zip(&mut self.today) {
            // Nothing is forgotten: it is told as the most that ever came.
            *before = (*before).max(std::mem::take(today));
        }
        self.day = hour as u32;
        true
    }
}

impl Rates {
    /// The most calls that came.
    pub fn records(&self) -> Records {
        self.records
    }

    /// Goes on with what was stored of them.
    pub fn set_records(&mut self, records: Records) {
        self.records = records;
    }

    /// Learns what the minutes hold that end with the newest bucket, which is whole.
    pub(super) fn learn_short_records(&mut self) {
        for (place, length) in LENGTHS.into_iter().enumerate().take(SHORT) {
            let calls = self.count_from(self.newest - length / BUCKET + 1, self.newest);
            self.records.learn(place, calls as f64);
        }
    }

    /// The same of those that a call has come late to, where its bucket is older than the newest.
    pub(super) fn learn_late_records(&mut self, bucket: i64) {
        if bucket == self.newest {
            return;
        }
        for (place, length) in LENGTHS.into_iter().enumerate().take(SHORT) {
            let n = length / BUCKET;
            let last = (bucket + n).min(self.newest) - 1;
            // Mostly there is no record among them.
            if self.count_from(bucket - n + 1, last) as f64 <= f64::from(unpack(self.records.today[place])) {
                continue;
            }
            for last in bucket..=last {
                let calls = self.count_from(last - n + 1, last);
                self.records.learn(place, calls as f64);
            }
        }
    }

    /// Learns what the hours hold that end with one that has just closed. Whether a day began with it.
    pub(super) fn learn_long_records(&mut self, hour: i64) -> bool {
        let most = self.record(DAY);
        let begins_day = self.records.turn(hour, self.hour_total(hour));
        if begins_day {
            self.rises.turn(most);
        }
        for (place, length) in LENGTHS.into_iter().enumerate().skip(SHORT) {
            let calls = (hour - length / HOUR + 1..=hour).map(|hour| self.hour_total(hour)).sum();
            self.records.learn(place, calls);
        }
        begins_day
    }

    /// The most calls in a window of such a length, or of the next that is looked at, before the last day.
    pub(super) fn record(&self, length: Millis) -> f64 {
        let place = LENGTHS.iter().position(|of| length <= *of).unwrap_or(RECORDS - 1);
        f64::from(unpack(self.records.before[place]))
    }

    /// The same for people: of just that length, once days enough have told it.
    pub(super) fn most_before(&self, length: Millis) -> Option<u64> {
        (LENGTHS.contains(&length) && self.has_records()).then(|| self.record(length).round() as u64)
    }

    /// Whether so many calls in a window that ends at `at` are more than ever, and it is known how many may come.
    pub(super) fn is_beyond_record(&self, at: Millis, length: Millis, calls: f64) -> bool {
        self.knows_record(at, length) && BEYOND * self.month_times(at, length) * self.record(length) <= calls
    }

    /// Whether they are far more than ever, so many of them spread over the window: what everybody tries again comes at once.
    pub(super) fn is_far_beyond_record(&self, at: Millis, length: Millis, calls: f64, spread: f64, ask: &Ask) -> bool {
        let most = self.month_times(at, length) * self.record(length);
        let is_far = most + FAR_BEYOND_EXTRA * ask.min_extra <= calls && FAR_BEYOND * most <= spread;
        is_far && !self.is_bursty() && self.knows_record(at, length)
    }

    /// Whether they may be what came before, come again, before it is known when it comes: what a week brings was seen once or twice in the
    /// first two.
    pub(super) fn may_come_again(&self, length: Millis, calls: f64) -> bool {
        let times = match self.days_learned() {
            ..=WEEKS_FEW if length <= RUN => RUN_TIMES,
            ..=WEEKS_FEW if length <= HOUR => WEEKS_TIMES,
            ..WEEK_SEEN => 1.0,
            _ => return false,
        };
        !self.is_in_rows() && calls < times * self.record(length)
    }

    /// Whether what came until now tells how many calls may come. What a month begins with comes once a month.
    fn knows_record(&self, at: Millis, length: Millis) -> bool {
        !self.is_in_rows() && self.has_records() && (self.month_times(at, length) <= 1.0 || !self.months.may_begin())
    }

    /// Whether they are of days enough.
    fn has_records(&self) -> bool {
        RECORD_DAYS * 24 <= self.records.day.saturating_sub(self.records.since)
    }
}
