//! What too many calls say: far more than usual in some length of window, or some at hours that are always still.

use super::records::{RUN, RUN_TIMES};
use super::rises;
use super::{Ask, BUCKET, EDGE, Excess, HOUR, MINUTE, Millis, Rates, STEADY_EXTRA_TIMES, WEEK_SEEN, Window};
use crate::engine::baseline::negative_binomial::{limit, surprise_high, surprise_of_busy_times};
use crate::engine::fleet::{Trait, Traits};
use crate::time::DAY;

/// One length of window: how many times the usual it takes at least, whatever the odds. Short windows take more: when
/// a gateway is slow everybody tries again, and no key's own past shows how much.
struct Length {
    length: Millis,
    floor: f64,
    /// Two-minute buckets that are taken for a burst, [`BURST_MAX`] at most.
    burst: usize,
    /// How much less surprise it takes, since a day has fewer such windows.
    fewer: f64,
}

const SHORT: [Length; 4] = [
    Length { length: 4 * MINUTE, floor: 10.0, burst: 0, fewer: 0.0 },
    Length { length: 10 * MINUTE, floor: 4.0, burst: 0, fewer: 0.0 },
    Length { length: 30 * MINUTE, floor: 2.2, burst: 3, fewer: 0.0 },
    Length { length: HOUR, floor: 1.9, burst: 3, fewer: 0.0 },
];
const BURST_MAX: usize = 3;
/// The same where there are far more calls than ever, in ten minutes.
const BURST_OF_TEN: usize = 2;
/// How much less surprise that takes.
const RECORD_SURPRISE: f64 = 0.75;
/// Up to this length the fleet's bursts say how many times the usual it takes, within these times of what is shipped.
const FLEETS_BURST: Millis = 10 * MINUTE;
const BURSTS: [f64; 2] = [0.75, 2.5];
const SOME_HOURS: Millis = 3 * HOUR;
const LONG: [Length; 3] = [
    Length { length: SOME_HOURS, floor: 2.2, burst: 0, fewer: 0.4 },
    Length { length: 6 * HOUR, floor: 2.2, burst: 0, fewer: 0.7 },
    Length { length: DAY, floor: 2.2, burst: 0, fewer: 0.0 },
];
/// A burst is as large as the largest ten minutes where it has no more than so many times their calls. Where so many times the calls of an
/// hour nearby are no fewer, it is one that is expected there.
const BURST_TIMES: f64 = 1.3;
const BURST_OF_HOUR_TIMES: f64 = 2.0;
/// Those of a single run.
const RUN_OF_HOUR_TIMES: f64 = 3.0;
/// As many have come in such a time before where it is no more than so many times the most.
const AS_EVER: f64 = 1.1;
/// So many times as many calls more than usual it takes in a short window as in a longer one.
const BURST_EXTRA_TIMES: f64 = 2.0;
/// And before each day of the week was seen: the bursts of a few days are not those of all.
const FIRST_BURST_EXTRA_TIMES: f64 = 3.0;
/// A whole day takes so many times as many: a key's days scatter more than the few that it has shown.
pub(super) const DAY_EXTRA_TIMES: f64 = 3.0;
/// Nearly every call ends where its hour has fewer calls, or half of them for those.
const HOURS_CALLS: f64 = 8.0;
/// From this share of the variance on, how busy times are is all that scatters.
const BUSY_SHARE: f64 = 0.7;
/// How much more of an hour's calls may have come than of the hour itself.
const EARLY: f64 = 0.25;
/// How many days' calls, or times the expected ones, a job that runs once a month may make before one was seen: a key that bills once a
/// month may do little else, so until a month has passed it may be many times as much.
const MONTH_DAYS: f64 = 100.0;
const FIRST_MONTH_DAYS: f64 = 300.0;
const MONTH_SEEN: u8 = 32;
const MONTH_FLOOR: f64 = 60.0;
/// Days' calls that the bills of a key may make at the beginning of its first month, where it does other work as well.
const BILLS_DAYS: f64 = 20.0;
/// And the least in an hour: they are made as fast as can be. Fewer are a rise.
const BILLS_RATE: f64 = 0.75;
/// Calls a day below which it is waited until each day of the week was seen.
const FEW_A_DAY: f64 = 50.0;
/// A burst of a key that works in bursts must be larger than any before by so much; and where they are of one size.
const BURST_FLOOR: f64 = 1.8;
const BURST_OF_ONE_SIZE_FLOOR: f64 = 1.2;
/// Where calls come in rows, each row is a count of its own: a short window takes so many times the expected ones at most, and
/// so many times the largest ten minutes; an hour takes about the largest hour. These have shown how far the key's counts reach, so
/// that its odds are taken with a part of the scatter only, and no heavy tail is allowed for as well.
const ROW_FLOOR: f64 = 3.0;
const ROW_TIMES: f64 = 1.3;
const ROW_HOUR_TIMES: f64 = 0.95;
const ROW_SCATTER: f64 = 0.2;
/// The same in windows of which no largest one is known.
const ROW_SCATTER_LONG: f64 = 0.3;
/// How much less surprise it takes there: of the seven lengths of windows three hours are not looked at, and four minutes hold no other row
/// than ten, so that the same budget is shared by five (ln 7/5).
const ROW_FEWER: f64 = 0.34;
/// Calls in the last ten minutes, in times the expected, for what has begun to go on.
const GOES_ON: f64 = 1.5;
/// Fewer calls a day have no hours.
const OFF_HOURS_FROM: f64 = 6.0;
/// An hour is still where no more than this share of an average hour is expected in it and beside it.
pub(super) const STILL: f64 = 0.15;

impl Rates {
    /// Far more calls than usual in a window that ends at `at`, which is a call's time.
    pub fn too_many(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        let hour_long = self.calls_since(at, HOUR) as f64;
        if hour_long < ask.min_extra.min(HOURS_CALLS) * STEADY_EXTRA_TIMES || at.div_euclid(BUCKET) != self.newest {
            return None;
        }
        let ten = self.calls_since(at, 10 * MINUTE) as f64;
        let expected_ten = self.expected_since(at, 10 * MINUTE);
        // What has passed is told by the windows that it passed in.
        if ten < (GOES_ON * expected_ten).max(1.0) {
            return None;
        }
        let level = |length: Millis| self.level().max(self.month_times(at, length));
        let of_hour = level(HOUR);
        let short = SHORT.iter().find_map(|length| {
            let expected = self.expected_since(at, length.length) * of_hour;
            let observed = self.calls_since(at, length.length);
            self.judge(at, length, observed as f64, expected, ask)
        });
        short.or_else(|| {
            let hour = at.div_euclid(HOUR);
            LONG.iter().find_map(|length| {
                let n = length.length / HOUR - 1;
                if self.is_in_rows() {
                    // An hour is a few counts there: what it has come to is what the next ones are held against.
                    let expected: f64 = (hour - n..=hour).map(|hour| self.expected_high(hour)).sum::<f64>()
                        * self.month_times(at, length.length);
                    let is_judged = length.length != SOME_HOURS && expected * length.floor < hour_long * (n + 1) as f64;
                    let observed = self.hours_together(hour - n..=hour);
                    return if is_judged { self.judge(at, length, observed, expected, ask) } else { None };
                }
                if length.length == SOME_HOURS && hour_long <= GOES_ON * self.expected_since(at, HOUR) {
                    return None;
                }
                // How the last day was says nothing of the last day.
                let level = if length.length == DAY { self.month_times(at, DAY) } else { level(length.length) };
                let expected = self.expected_in_hours(at, length.length) * level;
                if hour_long * (n + 1) as f64 <= expected * length.floor {
                    return None;
                }
                let told = self.judge(at, length, self.spread_over(hour - n..=hour), expected, ask)?;
                // What is shown is what was counted.
                let observed = self.hours_together(hour - n..=hour) as u64;
                Some(Excess { window: Window { observed, ..told.window }, ..told })
            })
        })
    }

    /// Calls expected in the hour of `at` and those before, together as long as `length`.
    fn expected_in_hours(&self, at: Millis, length: Millis) -> f64 {
        let hour = at.div_euclid(HOUR);
        let this = self.smooth(hour);
        let before = match length {
            SOME_HOURS => {
                // What an hour expects may come at its beginning.
                let part = (at - hour * HOUR) as f64 / HOUR as f64 + EARLY;
                let is_job = self.is_bursty() || EDGE * self.foreseen(hour - 1) < this;
                let this = if is_job { this } else { this * part.min(1.0) };
                let two = self.foreseen(hour - 2) + self.foreseen(hour - 1);
                // Work may have gone on longer than usual.
                let late = 0.5 * self.expected_in(hour - 3) - self.expected_in(hour - 2);
                return two + late.max(0.0) + this;
            }
            DAY => self.before[1],
            _ => self.before[0],
        };
        // The hours before that are learned, and those that are not yet.
        let unlearned: f64 = (self.learned_to..hour).map(|hour| self.smooth(hour)).sum();
        f64::from(before) + unlearned + this
    }

    fn judge(&self, at: Millis, length: &Length, observed: f64, expected: f64, ask: &Ask) -> Option<Excess> {
        let is_short = length.length <= HOUR;
        if self.may_come_again(length.length, observed) {
            return None;
        }
        let is_record = self.is_of_record(at, length, observed, ask);
        let floor = match length.length {
            _ if self.is_in_rows() => length.floor.min(ROW_FLOOR),
            _ if is_record => length.floor,
            ..=FLEETS_BURST => length.floor * self.bursts_of_fleet(),
            _ => length.floor,
        };
        // Of what comes at once each hour, no longer window tells whether it was tried again.
        let may_be_burst = length.length <= FLEETS_BURST || (is_short && self.known.is_hourly);
        let is_burst = may_be_burst && !self.is_in_rows();
        let min_extra = match () {
            () if length.length == DAY => DAY_EXTRA_TIMES * ask.min_extra,
            () if is_burst && !is_record => self.burst_extra_times() * ask.min_extra * self.bursts_of_fleet().max(1.0),
            () if self.is_steady() => STEADY_EXTRA_TIMES * ask.min_extra,
            () => ask.min_extra,
        };
        let is_enough = |expected: f64| expected * floor <= observed && min_extra <= observed - expected;
        if !is_enough(expected) {
            return None;
        }
        // What comes at this time of day is usual there.
        let expected = expected + self.usual_runs(at, length.length);
        let expected = if is_short { expected + self.another_run(at, length.length) } else { expected };
        if !is_enough(expected) {
            return None;
        }
        // Before each day of the week was seen once, what comes once a week looks like nothing before, and so does a whole Saturday.
        let is_little = self.usual_day() < FEW_A_DAY;
        let may_be_weekly = is_little || (length.length == DAY && !self.is_in_rows() && !self.is_by_the_clock());
        if self.days_learned() < WEEK_SEEN && may_be_weekly {
            return None;
        }
        let days = if self.days_learned() < MONTH_SEEN { FIRST_MONTH_DAYS } else { MONTH_DAYS };
        let months_work = (days * self.usual_day()).max(MONTH_FLOOR * expected);
        let may_bill = is_little && !self.is_by_the_clock();
        if (may_bill || self.known.does_jobs)
            && !ask.is_no_job
            && !self.is_in_rows()
            && self.may_hold_jobs(at, length.length)
            && observed < months_work
        {
            return None;
        }
        // Others bill at its beginning or in its middle as well, on one clock or another.
        if length.length < DAY
            && !ask.is_no_job
            && !self.is_in_rows()
            && self.days_learned() < MONTH_SEEN
            && self.may_bill_at(at)
            && self.may_be_bills(at, length.length)
        {
            return None;
        }
        // A job that runs in some hours only makes all their calls at once.
        // So is what a week brings at one hour, wherever in it.
        let [as_ever, of_hour] =
            if length.length <= RUN { [RUN_TIMES, RUN_OF_HOUR_TIMES] } else { [AS_EVER, BURST_OF_HOUR_TIMES] };
        let most = (BURST_TIMES * f64::from(self.peak_ten)).max(as_ever * self.record(length.length));
        let is_expected = observed <= of_hour * f64::from(self.usual(at.div_euclid(HOUR)).near) && observed <= most;
        if is_short && is_expected && !self.is_in_rows() {
            return None;
        }
        if self.is_in_rows() && is_short {
            let is_row = length.length <= 10 * MINUTE;
            let largest =
                if is_row { ROW_TIMES * f64::from(self.peak_ten) } else { ROW_HOUR_TIMES * f64::from(self.peak) };
            if observed < largest {
                return None;
            }
        } else if self.is_bursty() {
            // What has come since the day began is not held against itself.
            let peak = match self.days_learned() {
                ..WEEK_SEEN => f64::from(self.peak),
                _ => f64::from(self.peak).min(self.record(HOUR)),
            };
            let largest = match () {
                // Several of them are no more than the hours say.
                () if self.known.is_hourly => BURST_OF_ONE_SIZE_FLOOR * peak,
                () if is_short => BURST_FLOOR * peak,
                () => BURST_FLOOR * peak.max(self.usual_day()),
            };
            if observed < largest + ask.min_extra / 2.0 {
                return None;
            }
        }
        let trimmed = if length.burst > 0 && !self.is_in_rows() && !self.known.is_hourly && !is_record {
            self.without_burst(at, length.length, length.burst, observed)
        } else {
            observed
        };
        let part = match () {
            () if !self.is_in_rows() => 1.0,
            () if is_short => ROW_SCATTER,
            () => ROW_SCATTER_LONG,
        };
        let busy = part * self.alpha(length.length);
        let clumps = self.of_clumps(length.length, expected);
        let alpha = busy + clumps;
        let mut raw = surprise_high(trimmed as u64, expected, alpha);
        // Where much is expected, what scatters is how busy the times are.
        let share = busy / (alpha + 1.0 / expected);
        if BUSY_SHARE <= share && !self.is_in_rows() && !self.is_beyond_record(at, length.length, observed) {
            raw = raw.min(surprise_of_busy_times(trimmed, expected, alpha + 1.0 / expected));
        }
        let surprise =
            if !self.is_in_rows() { self.tail.corrected(raw, self.known.fleet.value(Trait::Tail)) } else { raw };
        let needed = match () {
            () if is_record => RECORD_SURPRISE * (ask.surprise - length.fewer),
            () if self.is_in_rows() => ask.surprise - ROW_FEWER,
            () if length.length == DAY && self.is_rising(at, observed, ask) => rises::SURPRISE * ask.surprise,
            () => ask.surprise - length.fewer,
        };
        if surprise < needed {
            return None;
        }
        // The same correction, the other way round.
        let odds = (-needed * raw / surprise.max(1e-9)).exp();
        let usual_up_to = Some(limit(expected, alpha, odds.max(1e-300)).saturating_sub(1));
        let starts_at = at.div_euclid(BUCKET) * BUCKET + BUCKET - length.length;
        let window = Window { starts_at, length: length.length, observed: observed as u64, expected };
        let since = self.began(starts_at, at, expected, length.length);
        Some(Excess {
            window,
            surprise,
            usual_up_to,
            most_before: self.most_before(length.length),
            least_before: None,
            since,
        })
    }

    /// Whether far more calls than ever have come in a window.
    fn is_of_record(&self, at: Millis, length: &Length, observed: f64, ask: &Ask) -> bool {
        let burst = match length.length {
            FLEETS_BURST => BURST_OF_TEN,
            _ if length.burst > 0 => length.burst,
            _ => return false,
        };
        // Most windows have no more than have come before.
        self.record(length.length) < observed && {
            let spread = self.without_burst(at, length.length, burst, observed);
            self.is_far_beyond_record(at, length.length, observed, spread, ask)
        }
    }

    /// Whether a key that makes bills may make as many calls for them as it has in so long.
    fn may_be_bills(&self, at: Millis, length: Millis) -> bool {
        let hour = at.div_euclid(HOUR);
        let made = match length {
            ..=HOUR => self.calls_since(at, length) as f64,
            _ => self.hours_together(hour - length / HOUR + 1..=hour),
        };
        // They may have begun just now.
        let ten = length.min(10 * MINUTE);
        let an_hour = (made / length.min(HOUR) as f64).max(self.calls_since(at, ten) as f64 / ten as f64) * HOUR as f64;
        BILLS_RATE * self.usual_day() <= an_hour && made < BILLS_DAYS * self.usual_day()
    }

    /// Calls of one more run of a job that runs each hour, where none in the window was larger than usual: those of two hours may come soon
    /// after each other, and a run that failed comes again.
    fn another_run(&self, at: Millis, length: Millis) -> f64 {
        if !self.known.is_hourly || self.is_in_rows() {
            return 0.0;
        }
        let (run, last) = (self.smooth(at.div_euclid(HOUR)), at.div_euclid(BUCKET));
        let largest = (last - length / BUCKET + 1..=last).map(|bucket| self.count_from(bucket - 1, bucket)).max();
        if largest.unwrap_or(0) as f64 <= BURST_OF_ONE_SIZE_FLOOR * run { run } else { 0.0 }
    }

    fn burst_extra_times(&self) -> f64 {
        if self.days_learned() <= WEEK_SEEN { FIRST_BURST_EXTRA_TIMES } else { BURST_EXTRA_TIMES }
    }

    /// By how much larger the short bursts of the fleet are than what is shipped.
    fn bursts_of_fleet(&self) -> f64 {
        (self.known.fleet.value(Trait::Burst) / Traits::default().value(Trait::Burst)).clamp(BURSTS[0], BURSTS[1])
    }

    /// Whether most calls come in rows that stand for many.
    pub(super) fn is_in_rows(&self) -> bool {
        self.rows >= 0.5
    }

    /// Calls of some hours, the largest counted as the one that comes next: what is in one hour only is told by shorter windows.
    fn spread_over(&self, hours: std::ops::RangeInclusive<i64>) -> f64 {
        let (mut sum, mut largest) = (0.0, [0.0_f64; 2]);
        for calls in hours.map(|hour| self.hour_total(hour)) {
            sum += calls;
            largest = if largest[0] < calls { [calls, largest[0]] } else { [largest[0], largest[1].max(calls)] };
        }
        sum - largest[0] + largest[1]
    }

    /// Calls of some hours.
    fn hours_together(&self, hours: std::ops::RangeInclusive<i64>) -> f64 {
        hours.map(|hour| self.hour_total(hour)).sum()
    }

    /// The window's count where its largest buckets are taken for a burst that everybody may have: they count as those that come
    /// next (a winsorized sum; Tukey, Annals of Mathematical Statistics 33, 1962), so that calls which are spread over the window
    /// all count.
    fn without_burst(&self, at: Millis, length: Millis, burst: usize, observed: f64) -> f64 {
        let last = at.div_euclid(BUCKET);
        // The largest first: those of the burst, and as many again.
        let mut largest = [0.0_f64; 2 * BURST_MAX];
        for bucket in last - length / BUCKET + 1..=last {
            let x = self.count_of(bucket) as f64;
            let place = largest.partition_point(|larger| x <= *larger);
            if place < largest.len() {
                largest[place..].rotate_right(1);
                largest[place] = x;
            }
        }
        let (burst, next) = largest[..2 * burst].split_at(burst);
        observed - burst.iter().sum::<f64>() + next.iter().sum::<f64>()
    }

    /// When the calls rose: the first two minutes of the window with twice the usual and more.
    fn began(&self, from: Millis, at: Millis, expected: f64, length: Millis) -> Millis {
        let usual = expected * BUCKET as f64 / length as f64;
        let first = from.max(at - HOUR).div_euclid(BUCKET);
        let rose = (first..=at.div_euclid(BUCKET)).find(|bucket| self.count_of(*bucket) as f64 > 2.0 * usual + 0.5);
        if length > HOUR { from } else { rose.map_or(from, |bucket| (bucket * BUCKET).max(from)) }
    }

    /// Whether it is the first day of a month on UTC or on the key's clock; on any clock where that is not known.
    /// Calls in an hour that is always still for this key, where others are not.
    pub fn off_hours(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        let observed = self.calls_since(at, HOUR);
        let mean = self.mean_hour();
        if (observed as f64) < ask.min_extra || self.usual_day() < OFF_HOURS_FROM || self.is_bursty() {
            return None;
        }
        // What bills at the beginning of a month does so at night.
        let peak = if self.days_learned() < MONTH_SEEN { f64::INFINITY } else { BURST_TIMES * f64::from(self.peak) };
        if self.may_bill_at(at) && observed as f64 <= peak {
            return None;
        }
        let hour = at.div_euclid(HOUR);
        let still = f64::from(self.usual(hour).near);
        if STILL * mean < still {
            return None;
        }
        let expected = still.max(0.02);
        let alpha = self.dispersion(HOUR, expected);
        let surprise = surprise_high(observed, expected, alpha);
        let starts_at = at.div_euclid(BUCKET) * BUCKET + BUCKET - HOUR;
        (ask.surprise <= surprise).then(|| Excess {
            window: Window { starts_at, length: HOUR, observed, expected },
            surprise,
            usual_up_to: Some(limit(expected, alpha, (-ask.surprise).exp()).saturating_sub(1)),
            most_before: None,
            least_before: None,
            since: self.began(starts_at, at, expected, HOUR),
        })
    }
}
