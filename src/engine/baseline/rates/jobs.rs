//! Jobs that run every day in the same few hours: when one has missed them, whatever single calls came beside it.

use super::too_few::nothing_is_surprising;
use super::{Ask, BUCKET, HOUR, HOURS, Millis, Rates};
use crate::engine::baseline::profile;
use crate::time::DAY;

/// A job was missed where so much of a day's calls was to be expected, after so many hours in which little else was.
const JOB_PART: f64 = 0.5;
const JOB_GRACE_HOURS: i64 = 2;
const JOB_REST: f64 = 0.1;
/// It runs once a day, some minutes or hours later than the day before. So soon after a run it is not expected again: where its hours have
/// moved, the old ones are no second run.
const JOB_RESTS_HOURS: i64 = 10;
pub(super) const JOB_EVERY: Millis = DAY + 3 * HOUR;
/// A job of working days rests over a weekend.
const JOB_HOURS_MAX: i64 = 80;
/// An hour with so much of a day's calls is a run; of what came since the last one less than this part is no run, and no matter.
const RUN_PART: f64 = 0.2;
const STRAYS: f64 = 0.1;

impl Rates {
    /// Whether its calls are a job that runs every day.
    pub(super) fn runs_daily(&self) -> bool {
        self.is_bursty() && !self.known.is_hourly && self.profile.is_in_few_hours() && self.profile.knows_weeks()
    }

    /// Whether the job has run within the hour until `at`.
    pub(super) fn has_run(&self, at: Millis) -> bool {
        self.is_run(self.calls_since(at, HOUR) as f64)
    }

    fn is_run(&self, calls_of_hour: f64) -> bool {
        RUN_PART * self.usual_day() <= calls_of_hour
    }

    /// Since when calls are missing, and how many came all the same. `last` is the last call: of a daily job it is its last run's end that
    /// counts, within a day, unless something was not seen since.
    pub fn missing_since(&self, last: Millis, seen_from: Option<Millis>) -> (Millis, u64) {
        let whole = (last, 0);
        if !self.runs_daily() || last.div_euclid(BUCKET) != self.newest {
            return whole;
        }
        let newest = last.div_euclid(HOUR);
        let first = newest - HOURS as i64 + 1;
        let ran = (first..=newest).rev().find(|hour| self.is_run(self.hour_total(*hour)));
        let begins = ran.map_or(first, |ran| ran + 1);
        let strays: f64 = (begins..=newest).map(|hour| self.hour_total(hour)).sum();
        let is_seen = seen_from.is_none_or(|from| from <= begins * HOUR);
        if newest < begins || !is_seen || STRAYS * self.usual_day() < strays {
            return whole;
        }
        (begins * HOUR, strays as u64)
    }

    /// When a job that runs every day has missed its hours: they are over, and some more have passed.
    pub(super) fn job_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        if !self.runs_daily() {
            return None;
        }
        let needed = nothing_is_surprising(ask, self.alpha_day(), 1.0).max(JOB_PART * self.usual_day());
        let from = last.div_euclid(HOUR) + 1;
        let by_clock = |offset: Millis| {
            // It may be a job of working days.
            let rests = |hour: i64| ask.holidays.has(self.day_of(hour * HOUR));
            let usual = |hour: i64| self.profile.expected_low(profile::hour_of(hour * HOUR, offset));
            let expected = |hour: i64| if rests(hour) { 0.0 } else { usual(hour) };
            let mut sum = 0.0;
            (from + JOB_RESTS_HOURS..from + JOB_HOURS_MAX).find_map(|hour| {
                sum += expected(hour);
                let coming: f64 = (hour + 1..=hour + JOB_GRACE_HOURS).map(expected).sum();
                // It may have run at the beginning of its hours, and be early.
                let due = ((hour + 1 + JOB_GRACE_HOURS) * HOUR).max(last + JOB_EVERY);
                (needed <= sum && coming < JOB_REST * sum).then_some(due)
            })
        };
        // Whichever clock it follows.
        self.clocks().map(by_clock).try_fold(last, |latest, due| due.map(|due| latest.max(due)))
    }
}
