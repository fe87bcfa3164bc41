//! Days off: a key that rests at weekends rests on some other days, too, and no calendar tells which those are for its merchant. A working
//! day whose work has not begun is taken for one; the next is not. What people do rests on the public holidays of the merchant's country.

use super::too_many::STILL;
use super::{DAY, HOUR, HOURS, Millis, Rates};
use crate::engine::baseline::profile;
use crate::event::holidays::Holidays;

/// Work has begun once an hour has so much of its calls, and so many at least, each with those that come with it.
const BEGUN: f64 = 0.5;
const BEGUN_CALLS: f64 = 4.0;
/// An hour belongs to the work where it has so much of an average one's calls.
const WORK: f64 = 0.5;
/// A stretch of work is no longer than so many hours.
const STRETCH_HOURS: i64 = 16;
/// Days that follow a silence among which holidays are looked for.
pub(super) const HOLIDAYS_MAX: i64 = 7;
/// A place where people work is shut for so many hours of a day, in which hardly any of an average hour's calls are made. What people do at
/// home goes on at night, and on holidays.
const NIGHT_HOURS: usize = 6;
const SHUT: f64 = 0.03;
/// The day before was worked where it had so much of its calls.
const WORKED: f64 = 0.3;

impl Rates {
    /// Whether the key rests on some days of the week, and the day of `at` looks like one of them so far, though it is none.
    pub(super) fn may_be_day_off(&self, at: Millis) -> bool {
        self.known.rests && self.is_workday(at) && !self.has_begun(at) && self.has_worked_before(at)
    }

    /// Working days that begin after a call at `last` and may be days off, by their number since 1970 on the key's clock: the first, and the
    /// one after where the key rests between the two. `None` for a key that never rests.
    pub(super) fn days_off_after(&self, last: Millis) -> Option<[i64; 2]> {
        if !self.known.rests {
            return None;
        }
        let today = self.day_of(last);
        // Where work has begun today, it is no day off.
        let from = if self.may_be_day_off(last) { today } else { today + 1 };
        let workday_from = |from: i64| (from..from + 7).find(|day| self.is_workday(self.begin_of(*day)));
        let first = workday_from(from)?;
        let next = workday_from(first + 1).filter(|next| first + 1 < *next);
        Some([first, next.unwrap_or(first)])
    }

    /// Whether some of a time is on a public holiday, on which a place may be shut that is shut at night.
    pub fn may_be_holiday(&self, from: Millis, to: Millis, holidays: Holidays) -> bool {
        let mut days = self.day_of(from)..=self.day_of(to);
        days.any(|day| holidays.has(day)) && self.has_nights(to)
    }

    /// The holidays, where one of the days that follow a time is one and the key may be shut on it. Mostly none is, and nothing else is asked.
    pub(super) fn holidays_after(&self, at: Millis, holidays: Holidays) -> Holidays {
        let today = self.day_of(at);
        let is_near = (today..today + HOLIDAYS_MAX).any(|day| holidays.has(day));
        if is_near && self.has_nights(at) { holidays } else { Holidays::NONE }
    }

    /// Whether hardly any calls are made for some hours of a day.
    fn has_nights(&self, at: Millis) -> bool {
        let hour = at.div_euclid(HOUR);
        let still = SHUT * self.mean_hour();
        NIGHT_HOURS <= (hour - HOURS as i64..hour).filter(|hour| self.expected_low(*hour) < still).count()
    }

    /// The day of a time, on the key's clock.
    pub(super) fn day_of(&self, at: Millis) -> i64 {
        (at + self.offset).div_euclid(DAY)
    }

    fn begin_of(&self, day: i64) -> Millis {
        day * DAY - self.offset
    }

    fn is_workday(&self, at: Millis) -> bool {
        !self.profile.rests_on(profile::hour_of(at, self.offset))
    }

    /// Whether work rests in an hour since 1970 (UTC), as it does at night.
    pub(super) fn is_night(&self, hour: i64) -> bool {
        self.expected_low(hour) < STILL * self.mean_hour()
    }

    fn has_begun(&self, at: Millis) -> bool {
        let this = at.div_euclid(HOUR);
        // Where the merchant's zone is not known, a day may begin while work goes on.
        let stretch = (this - STRETCH_HOURS..this).rev().take_while(|hour| !self.is_night(*hour)).last();
        let first = self.begin_of(self.day_of(at)).div_euclid(HOUR).min(stretch.unwrap_or(this));
        let least = BEGUN_CALLS * self.at_once();
        (first..=this).any(|hour| {
            let expected = self.expected_low(hour);
            WORK * self.mean_hour() <= expected && (BEGUN * expected).max(least) <= self.hour_total(hour)
        })
    }

    fn has_worked_before(&self, at: Millis) -> bool {
        let hour = at.div_euclid(HOUR);
        let today = self.begin_of(self.day_of(at)).div_euclid(HOUR);
        let kept = hour - HOURS as i64 + 1..today;
        let expected: f64 = kept.clone().map(|hour| self.expected_low(hour)).sum();
        let calls: f64 = kept.map(|hour| self.hour_total(hour)).sum();
        // Nothing is known of it where it is a day of rest, or the part of it that is remembered.
        WORKED * expected <= calls
    }
}
