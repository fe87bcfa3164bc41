//! What counts say: far more calls than usual, calls at hours that are always still, silence where there are always calls.

use super::{Ask, BUCKET, Excess, HOUR, HOURS, MINUTE, Millis, Rates, Window};
use crate::engine::baseline::negative_binomial::{limit, surprise_high, surprise_low, surprise_of_busy_times};
use crate::engine::baseline::profile;
use crate::engine::fleet::{Trait, Traits};
use crate::time::{DAY, day_of_month};

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
/// Up to this length the fleet's bursts say how many times the usual it takes, within these times of what is shipped.
const FLEETS_BURST: Millis = 10 * MINUTE;
const BURSTS: [f64; 2] = [0.75, 2.5];
const SOME_HOURS: Millis = 3 * HOUR;
const LONG: [Length; 3] = [
    Length { length: SOME_HOURS, floor: 2.2, burst: 0, fewer: 0.4 },
    Length { length: 6 * HOUR, floor: 2.2, burst: 0, fewer: 0.7 },
    Length { length: DAY, floor: 2.2, burst: 0, fewer: 1.4 },
];
/// No more than so many times the calls of the hours beside it are counted on in an hour.
const EVENING: f64 = 1.5;
/// An hour with more than so many times the calls of the one beside it is where work begins or ends, or a job runs: where in it the calls
/// come is not known.
const EDGE: f64 = 2.0;
/// A burst is as large as the largest ten minutes where it has no more than so many times their calls. Where so many times the calls of an
/// hour nearby are no fewer, it is one that is expected there.
const BURST_TIMES: f64 = 1.3;
const BURST_OF_HOUR_TIMES: f64 = 2.0;
/// So many times as many calls more than usual it takes in a short window as in a longer one.
const BURST_EXTRA_TIMES: f64 = 2.0;
/// From this share of the variance on, how busy times are is all that scatters.
const BUSY_SHARE: f64 = 0.7;
/// How much more of an hour's calls may have come than of the hour itself.
const EARLY: f64 = 0.25;
/// Days of the month on which its jobs run: its beginning, its middle and its end are paydays, and bills are made. How many
/// days' calls, or times the expected ones, such a job may make before one was seen: a key that bills once a month may do
/// little else, so until a month has passed it may be many times as much.
const MONTH_JOBS: [std::ops::RangeInclusive<u32>; 3] = [1..=3, 15..=15, 28..=31];
const MONTH_DAYS: f64 = 100.0;
const FIRST_MONTH_DAYS: f64 = 300.0;
const MONTH_SEEN: u8 = 32;
const MONTH_FLOOR: f64 = 60.0;
/// A machine that calls by the clock, its hours varying no more than this many times as much as chance, makes no bills.
const STEADY: f64 = 1.2;
/// Days' calls that the bills of a key may make at the beginning of its first month, where it does other work as well; and how far from that
/// beginning on UTC it may be.
const BILLS_DAYS: f64 = 2.0;
const BILLS_AROUND: Millis = 14 * HOUR;
/// They take half an hour or so: as much of an hour's calls falls into ten minutes.
const BILLS_SHARE: f64 = 0.3;
/// And how much busier the beginning of a month may be for everybody.
const MONTH_BEGINS: u32 = 3;
const MONTH_TIMES: f64 = 1.5;
/// Days after which each day of the week was seen, and calls a day below which that is waited for.
const WEEK_SEEN: u8 = 8;
const FEW_A_DAY: f64 = 50.0;
/// A burst of a key that works in bursts must be larger than any before by so much; and where they are of one size.
const BURST_FLOOR: f64 = 1.8;
const BURST_OF_ONE_SIZE_FLOOR: f64 = 1.2;
/// Where calls come in rows, each row is a count of its own: a short window takes so many times the expected ones at most, and
/// so many times the largest ten minutes; an hour takes about the largest hour. These have shown how far the key's counts reach, so
/// that its odds are taken with a part of the scatter only, and no heavy tail is allowed for as well.
const ROW_FLOOR: f64 = 3.0;
const ROW_TIMES: f64 = 1.3;
const ROW_HOUR_TIMES: f64 = 0.9;
const ROW_SCATTER: f64 = 0.2;
/// Calls in the last ten minutes, in times the expected, for what has begun to go on.
const GOES_ON: f64 = 1.5;
/// An hour is still where no more than this share of an average hour is expected in it and beside it.
const STILL: f64 = 0.15;
/// Silence is looked for no further ahead.
const SILENCE_HOURS_MAX: i64 = 12;
/// And is no news before.
pub(super) const SILENCE_MIN: Millis = 15 * MINUTE;
/// The same where calls come in rows that stand for many: the next row may be an hour away.
const SILENCE_OF_ROWS: Millis = 3 * HOUR;
/// The same where it works in bursts that come every hour.
const SILENCE_OF_RUNS: Millis = 2 * HOUR;
/// Silences that are long enough for the scatter of so many hours together.
const SILENCES: [Millis; 2] = [3 * HOUR, 6 * HOUR];
/// How much the counts of many keys together scatter towards nothing at all, at most.
const SCATTER_OF_MANY: f64 = 0.1;

/// Calls are back once there are so many times the expected ones, in the first of these windows in which so many are expected, or
/// in an hour.
const BACK: f64 = 0.6;
const BACK_FOR: [Millis; 2] = [10 * MINUTE, 30 * MINUTE];
const BACK_CALLS: f64 = 15.0;

/// A job's calls fall into three hours of the day, at least so much of them.
const JOB_SHARE: f64 = 0.6;
/// It was missed where so much of a day's calls was to be expected, after so many hours in which little else was.
const JOB_PART: f64 = 0.5;
const JOB_GRACE_HOURS: i64 = 2;
const JOB_REST: f64 = 0.1;
/// It runs once a day, some minutes or hours later than the day before. So soon after a run it is not expected again: where its hours have
/// moved, the old ones are no second run.
const JOB_RESTS_HOURS: i64 = 10;
const JOB_EVERY: Millis = DAY + 3 * HOUR;
/// A job of working days rests over a weekend.
const JOB_HOURS_MAX: i64 = 80;
/// Fewer calls than so much of the expected ones are too few: in an hour, and in longer windows while the last hour has
/// less than so much.
const FEW: f64 = 0.35;
const FEW_STILL: f64 = 0.5;
/// Longer windows in which too few is looked for, and how much more surprise they take together.
const FEW_HOURS: [i64; 2] = [3, 6];
const FEW_MORE: f64 = 0.7;

/// The expected calls of which none is as surprising as is asked: P(nothing) = (1 + alpha·M)^(-1/alpha) where M of them come, each
/// with so many at once.
fn nothing_is_surprising(ask: &Ask, alpha: f64, clump: f64) -> f64 {
    (((ask.surprise * alpha).exp() - 1.0) / alpha * clump).max(ask.min_extra)
}

fn month_begins_near(at: Millis) -> bool {
    [at - BILLS_AROUND, at, at + BILLS_AROUND].into_iter().any(|at| day_of_month(at) == 1)
}

impl Rates {
    /// Far more calls than usual in a window that ends at `at`, which is a call's time.
    pub fn too_many(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        // Nearly every call ends here.
        let hour_long = self.calls_since(at, HOUR) as f64;
        if hour_long < ask.min_extra.min(8.0) || at.div_euclid(BUCKET) != self.newest {
            return None;
        }
        let ten = self.calls_since(at, 10 * MINUTE) as f64;
        let expected_ten = self.expected_since(at, 10 * MINUTE);
        // What has passed is told by the windows that it passed in.
        if ten < (GOES_ON * expected_ten).max(1.0) {
            return None;
        }
        let month = if day_of_month(at + self.offset) <= MONTH_BEGINS { MONTH_TIMES } else { 1.0 };
        let level = self.level().max(month);
        let short = SHORT.iter().find_map(|length| {
            let expected = self.expected_since(at, length.length) * level;
            let observed = self.calls_since(at, length.length);
            self.judge(at, length, observed as f64, expected, ask)
        });
        short.or_else(|| {
            let hour = at.div_euclid(HOUR);
            LONG.iter().find_map(|length| {
                let n = length.length / HOUR - 1;
                if self.is_in_rows() {
                    // An hour is a few counts there: what it has come to is what the next ones are held against.
                    let expected: f64 = (hour - n..=hour).map(|hour| self.expected_high(hour)).sum::<f64>() * month;
                    let is_judged = length.length != SOME_HOURS && expected * length.floor < hour_long * (n + 1) as f64;
                    let observed = self.hours_together(hour - n..=hour);
                    return if is_judged { self.judge(at, length, observed, expected, ask) } else { None };
                }
                if length.length == SOME_HOURS && hour_long <= GOES_ON * self.expected_since(at, HOUR) {
                    return None;
                }
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
        let floor = match length.length {
            _ if self.is_in_rows() => length.floor.min(ROW_FLOOR),
            ..=FLEETS_BURST => length.floor * self.bursts_of_fleet(),
            _ => length.floor,
        };
        let is_burst = length.length <= FLEETS_BURST && !self.is_in_rows();
        let min_extra = if is_burst { BURST_EXTRA_TIMES * ask.min_extra } else { ask.min_extra };
        if observed < expected * floor * ask.floors || observed - expected < min_extra {
            return None;
        }
        // Before each day of the week was seen once, what comes once a week looks like nothing before.
        let is_little = self.usual_day() < FEW_A_DAY;
        if self.days_learned() < WEEK_SEEN && is_little {
            return None;
        }
        let days = if self.days_learned() < MONTH_SEEN { FIRST_MONTH_DAYS } else { MONTH_DAYS };
        let months_work = (days * self.usual_day()).max(MONTH_FLOOR * expected);
        let may_bill = is_little && STEADY < self.hour.times_poisson();
        if (may_bill || self.known.does_jobs) && !self.is_in_rows() && self.is_day_of_jobs(at) && observed < months_work
        {
            return None;
        }
        // Others bill at its beginning as well, on one clock or another.
        if is_short
            && !self.is_in_rows()
            && self.days_learned() < MONTH_SEEN
            && month_begins_near(at)
            && observed < BILLS_DAYS * self.usual_day()
            && (length.length < HOUR || BILLS_SHARE * observed <= self.busiest_ten(at))
        {
            return None;
        }
        // A job that runs in some hours only makes all their calls at once.
        let is_expected = observed <= BURST_OF_HOUR_TIMES * f64::from(self.usual(at.div_euclid(HOUR)).near)
            && observed <= BURST_TIMES * f64::from(self.peak_ten);
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
            let peak = f64::from(self.peak);
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
        let trimmed = if length.burst > 0 && !self.is_in_rows() && !self.known.is_hourly {
            self.without_burst(at, length, observed)
        } else {
            observed
        };
        let part = if self.is_in_rows() { ROW_SCATTER } else { 1.0 };
        let busy = part * self.alpha(length.length);
        let clumps = self.of_clumps(length.length, expected);
        let alpha = busy + clumps;
        let mut raw = surprise_high(trimmed as u64, expected, alpha);
        // Where much is expected, what scatters is how busy the times are.
        let share = busy / (alpha + 1.0 / expected);
        if BUSY_SHARE <= share && !self.is_in_rows() {
            raw = raw.min(surprise_of_busy_times(trimmed, expected, alpha + 1.0 / expected));
        }
        let surprise =
            if !self.is_in_rows() { self.tail.corrected(raw, self.known.fleet.value(Trait::Tail)) } else { raw };
        let needed = ask.surprise - length.fewer;
        if surprise < needed {
            return None;
        }
        // The same correction, the other way round.
        let odds = (-needed * raw / surprise.max(1e-9)).exp();
        let usual_up_to = Some(limit(expected, alpha, odds.max(1e-300)).saturating_sub(1));
        let starts_at = at.div_euclid(BUCKET) * BUCKET + BUCKET - length.length;
        let window = Window { starts_at, length: length.length, observed: observed as u64, expected };
        Some(Excess { window, surprise, usual_up_to, since: self.began(starts_at, at, expected, length.length) })
    }

    /// The most calls in ten of the last sixty minutes.
    fn busiest_ten(&self, at: Millis) -> f64 {
        let last = at.div_euclid(BUCKET);
        let tens = (0..HOUR / BUCKET - 4).map(|back| self.count_from(last - back - 4, last - back));
        tens.max().unwrap_or(0) as f64
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
    fn without_burst(&self, at: Millis, length: &Length, observed: f64) -> f64 {
        let last = at.div_euclid(BUCKET);
        // The largest first: those of the burst, and as many again.
        let mut largest = [0.0_f64; 2 * BURST_MAX];
        for bucket in last - length.length / BUCKET + 1..=last {
            let x = self.count_of(bucket) as f64;
            let place = largest.partition_point(|larger| x <= *larger);
            if place < largest.len() {
                largest[place..].rotate_right(1);
                largest[place] = x;
            }
        }
        let (burst, next) = largest[..2 * length.burst].split_at(length.burst);
        observed - burst.iter().sum::<f64>() + next.iter().sum::<f64>()
    }

    /// When the calls rose: the first two minutes of the window with twice the usual and more.
    fn began(&self, from: Millis, at: Millis, expected: f64, length: Millis) -> Millis {
        let usual = expected * BUCKET as f64 / length as f64;
        let first = from.max(at - HOUR).div_euclid(BUCKET);
        let rose = (first..=at.div_euclid(BUCKET)).find(|bucket| self.count_of(*bucket) as f64 > 2.0 * usual + 0.5);
        if length > HOUR { from } else { rose.map_or(from, |bucket| (bucket * BUCKET).max(from)) }
    }

    fn is_day_of_jobs(&self, at: Millis) -> bool {
        let day = day_of_month(at + self.offset);
        MONTH_JOBS.iter().any(|days| days.contains(&day))
    }

    /// Calls in an hour that is always still for this key, where others are not.
    pub fn off_hours(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        let observed = self.calls_since(at, HOUR);
        let mean = self.mean_hour();
        if (observed as f64) < ask.min_extra || self.usual_day() < 12.0 || self.is_bursty() {
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
            since: self.began(starts_at, at, expected, HOUR),
        })
    }

    /// When silence since `last` becomes too surprising; `None` where it does not within half a day, or where the key has
    /// no rhythm.
    pub fn silence_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        if self.is_bursty() && !self.known.is_hourly {
            return self.job_due(last, ask);
        }
        let least = match () {
            () if self.is_in_rows() => SILENCE_OF_ROWS,
            // Between two runs it is always silent.
            () if self.known.is_hourly => SILENCE_OF_RUNS,
            () => SILENCE_MIN,
        };
        // What makes single hours busy evens out: a long silence takes less, for its length.
        let of = |length: Millis, least: Millis| {
            let needed = nothing_is_surprising(ask, self.alpha(length), self.known_clump(HOUR).max(1.0));
            self.missing(last, needed.max(self.usual_silence())).map(|at| at.max(last + least))
        };
        let long = SILENCES.into_iter().map(|length| of(length, length.max(least)));
        let by_own =
            self.silence_by_own(ask.surprise).map(|needed| needed.max(ask.min_extra).max(self.usual_silence()));
        let by_own = by_own.and_then(|needed| self.missing(last, needed)).map(|at| at.max(last + least));
        long.chain([of(HOUR, least), by_own]).flatten().min()
    }

    /// When silence since `last` becomes too surprising for the events of many keys together; `None` where it does not within
    /// half a day. What makes single hours busy, one key or a retry storm, does not make them silent: little scatter is allowed for.
    pub fn silence_of_many_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        self.missing(last, nothing_is_surprising(ask, self.gross_alpha().min(SCATTER_OF_MANY), 1.0))
    }

    /// When so many calls were to be expected since `last`; `None` where they are not within half a day.
    fn missing(&self, last: Millis, needed: f64) -> Option<Millis> {
        let (mut sum, mut before) = (0.0, None);
        for (at, end, rate) in self.low_rates(last).take_while(|(at, ..)| *at < last + SILENCE_HOURS_MAX * HOUR) {
            let part = (end - at) as f64 / HOUR as f64;
            if needed <= sum + rate * part {
                let within = (needed - sum) / rate * HOUR as f64;
                // Where work begins, an hour's calls may come at its end.
                let begins = before.is_some_and(|before: f64| EDGE * before < rate);
                return Some(if begins { end } else { at + within as Millis });
            }
            sum += rate * part;
            before = Some(rate);
        }
        None
    }

    /// Hour by hour from `from` on, each with its beginning and end, the calls in an hour that are to be expected at least.
    pub(super) fn low_rates(&self, from: Millis) -> impl Iterator<Item = (Millis, Millis, f64)> + '_ {
        let level = self.level().min(1.0);
        let first = from.div_euclid(HOUR);
        (first..).map(move |hour| {
            let near = |offset: i64| self.expected_low(hour + offset);
            // The evening may come early.
            let rate = near(0).min(EVENING * near(1).max(near(-1))) * level;
            (from.max(hour * HOUR), (hour + 1) * HOUR, rate)
        })
    }

    /// When a job that runs every day has missed its hours: they are over, and some more have passed.
    fn job_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        if self.profile.concentration() < JOB_SHARE || !self.profile.knows_weeks() {
            return None;
        }
        let needed = nothing_is_surprising(ask, self.alpha_day(), 1.0).max(JOB_PART * self.usual_day());
        let from = last.div_euclid(HOUR) + 1;
        let by_clock = |offset: Millis| {
            let expected = |hour: i64| self.profile.expected_low(profile::hour_of(hour * HOUR, offset));
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

    /// Far fewer calls than usual in the last hour, some coming still.
    pub fn too_few(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        if (self.is_bursty() && !self.known.is_hourly) || at.div_euclid(BUCKET) != self.newest {
            return None;
        }
        let hour = at.div_euclid(HOUR);
        let part = (at - hour * HOUR) as f64 / HOUR as f64;
        let level = self.level().min(1.0);
        let [last, this] = self.usual(hour).low.map(f64::from);
        // Where in them the calls come is known of hours only that are like the ones beside them.
        let beside = [-2, 1].map(|ahead| self.expected_low(hour + ahead));
        let sure = |calls: f64, before: f64, after: f64| calls.min(EVENING * before.max(after));
        let last = sure(last, beside[0], this).min(EDGE * this);
        let this = sure(this, last, beside[1]).min(EDGE * last);
        let expected = (this * part + last * (1.0 - part)) * level;
        let observed = self.calls_since(at, HOUR);
        if FEW_STILL * expected < observed as f64 {
            return None;
        }
        let is_of_hours = !self.is_in_rows() && !self.known.is_hourly;
        let is_few = ask.min_extra <= expected && observed as f64 <= FEW * expected && is_of_hours;
        let hour_long = is_few.then(|| {
            let starts_at = at.div_euclid(BUCKET) * BUCKET + BUCKET - HOUR;
            let window = Window { starts_at, length: HOUR, observed, expected };
            (window, self.surprise_of_few(HOUR, observed as f64, expected), ask.surprise)
        });
        let longer = FEW_HOURS.iter().filter_map(|n| {
            let length = n * HOUR;
            let before: f64 = (hour - n + 1..hour).map(|hour| self.expected_low(hour)).sum();
            let expected = (before + this * part) * level;
            let observed = (hour - n + 1..=hour).map(|hour| self.hour_total(hour)).sum::<f64>();
            (2.0 * ask.min_extra <= expected && observed <= FEW * expected).then(|| {
                let window = Window { starts_at: (hour - n + 1) * HOUR, length, observed: observed as u64, expected };
                (window, self.surprise_of_few(length, observed, expected), ask.surprise + FEW_MORE)
            })
        });
        let found = hour_long.into_iter().chain(longer).find(|(_, surprise, needed)| needed <= surprise);
        found.map(|(window, surprise, _)| Excess { window, surprise, usual_up_to: None, since: window.starts_at })
    }

    /// How surprising so few calls are, clumps being counted rather than calls: that none comes is likelier than their variance says.
    fn surprise_of_few(&self, length: Millis, observed: f64, expected: f64) -> f64 {
        let clump = self.known_clump(length).max(1.0);
        surprise_low((observed / clump).round() as u64, expected / clump, self.alpha(length))
    }

    /// Whether the last ten minutes are as usual (the last hour, of what runs once in it): nothing is too few any more.
    pub fn is_back(&self, at: Millis) -> bool {
        let length = if self.known.is_hourly { HOUR } else { 10 * MINUTE };
        let expected = self.expected_since(at, length) * self.level().min(1.0);
        0.5 * expected <= self.calls_since(at, length) as f64
    }

    /// Whether enough calls have come for long enough that nothing is too few any more: a few by chance are not.
    pub fn is_back_to_stay(&self, at: Millis) -> bool {
        let level = self.level().min(1.0);
        let expected = |length: Millis| self.expected_since(at, length) * level;
        let enough = |length: &Millis| BACK_CALLS <= expected(*length) && !self.known.is_hourly;
        let length = BACK_FOR.into_iter().find(enough).unwrap_or(HOUR);
        BACK * expected(length) <= self.calls_since(at, length) as f64
    }

    /// Calls expected between two times.
    pub fn expected_between(&self, from: Millis, to: Millis) -> f64 {
        let (mut at, mut sum) = (from, 0.0);
        while at < to && at - from < 2 * HOURS as i64 * HOUR {
            let hour = at.div_euclid(HOUR);
            let end = ((hour + 1) * HOUR).min(to);
            sum += self.expected_in(hour) * (end - at) as f64 / HOUR as f64;
            at = end;
        }
        sum
    }
}
