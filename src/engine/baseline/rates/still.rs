//! When a key rests: the hours of the last week in which it made no call, however many were expected. What an attack or a sale has taught
//! the profile is no reason to miss calls where there were none.

use serde::{Deserialize, Serialize};

use super::{BUCKET, HOUR, HOURS, Millis, Rates};
use crate::engine::baseline::profile;

/// Hours of a week.
const WEEK_HOURS: i64 = 7 * 24;
/// So many hours without a call, one after the other, are a rest.
const REST_HOURS: i64 = 5;
/// A rest of the day before counts where so much of what is expected was expected then.
const EXPECTED_AS_WELL: f64 = 0.5;
/// Where more than usual came once, no more is missed than so many times the calls of an average hour.
const RUN_IS_NO_HABIT: f64 = 2.0;
/// An hour of so many calls and more was missed where so much of it came, and so many times that is missed the day after.
const MISSED_FROM: f64 = 20.0;
const MISSED: f64 = 0.35;
const MISSED_TIMES: f64 = 1.5;

/// Hours of the week (UTC), a bit each: no call came the last time, and calls came after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillHours(pub [u8; WEEK_HOURS as usize / 8]);

impl StillHours {
    pub(super) fn set(&mut self, hour: i64, is_still: bool) {
        let place = hour.rem_euclid(WEEK_HOURS) as usize;
        let bit = 1 << (place % 8);
        if is_still { self.0[place / 8] |= bit } else { self.0[place / 8] &= !bit }
    }

    fn is_still(&self, hour: i64) -> bool {
        let place = hour.rem_euclid(WEEK_HOURS) as usize;
        self.0[place / 8] & 1 << (place % 8) != 0
    }

    /// Whether an hour is part of a rest.
    pub(super) fn rested(&self, hour: i64) -> bool {
        self.is_still(hour)
            && (hour - REST_HOURS + 1..=hour).any(|from| (from..from + REST_HOURS).all(|hour| self.is_still(hour)))
    }
}

impl Rates {
    /// The hours of the last week without a call.
    pub fn still_hours(&self) -> StillHours {
        self.still
    }

    /// Goes on with what was stored of them.
    pub fn set_still_hours(&mut self, still: StillHours) {
        self.still = still;
    }

    /// Notes that a call comes in an hour, before it is counted, and none came since the last one's, unless something is not known of the
    /// time. While it is silent nothing is noted, so that a silence is held against the week before.
    pub(super) fn note_still(&mut self, at: Millis, is_unseen: bool) {
        let hour = at.div_euclid(HOUR);
        let last = (self.newest * BUCKET).div_euclid(HOUR);
        if self.newest < 0 || hour <= last {
            return;
        }
        for silent in (last + 1..hour).rev().take(WEEK_HOURS as usize) {
            self.still.set(silent, !is_unseen);
        }
        self.still.set(hour, false);
    }

    /// The calls that are expected in an hour, where too many would be worse than too few.
    pub(super) fn expected_low(&self, hour: i64) -> f64 {
        let low = |hour: i64| self.least(|offset| self.profile.expected_low(profile::hour_of(hour * HOUR, offset)));
        let mut expected = low(hour);
        // Where work rested last week, or the day before though it was expected then, it may rest again, whatever the profile has learned from
        // what came and went.
        let rested_yesterday = || self.still.rested(hour - 24) && EXPECTED_AS_WELL * expected <= low(hour - 24);
        if self.still.rested(hour) || rested_yesterday() {
            return 0.0;
        }
        // What came far more than usual once is no reason to miss it.
        if self.runs.came_once_at(profile::hour_of(hour * HOUR, self.offset)) {
            expected = expected.min(RUN_IS_NO_HABIT * self.mean_hour());
        }
        // Nor is what was missed yesterday: a job that has moved would be missed every night.
        let yesterday = hour - 24;
        if (self.learned_to - HOURS as i64..self.learned_to).contains(&yesterday) {
            let at_most = MISSED_TIMES * self.hour_total(yesterday);
            // What came as usual needs no look at what was to be expected.
            if at_most < expected && self.was_missed(yesterday, low(yesterday)) {
                expected = at_most;
            }
        }
        expected
    }

    /// Whether most of the calls of a closed hour stayed away where so many were to be expected at least.
    fn was_missed(&self, hour: i64, usual: f64) -> bool {
        MISSED_FROM <= usual && self.hour_total(hour) < MISSED * usual
    }
}
