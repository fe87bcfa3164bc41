//! How many accepted calls a key makes: counts of two minutes and of hours, what was to be expected, and how much they
//! scatter.
//!
//! Buckets are aligned to UTC and filled by event time, so that order within the lateness does not matter. An hour is
//! learned when the key's own messages have passed its end by the lateness. What cannot be usual is held out of learning
//! at fixed levels, whatever the rules say.

use crate::engine::baseline::profile::{self, Profile, unpack};
use crate::engine::baseline::scatter::{Clumps, Scatter, Tail};
use crate::engine::fleet::{FleetBook, Traits};
use crate::event::holidays::Holidays;
use crate::time::{DAY, HOUR, MINUTE, Millis};

/// Length of a bucket.
pub const BUCKET: Millis = 2 * MINUTE;
/// Buckets kept: an hour and its lateness.
const RING: usize = 36;
const PER_HOUR: i64 = HOUR / BUCKET;
const PER_TEN: i64 = 10 * MINUTE / BUCKET;
/// Closed hours kept.
const HOURS: usize = 24;
/// Closed hours whose expected calls are kept.
const FORESEEN: usize = HOURS - 1;
/// How many observations what the fleet is like stands for, before a key has shown its own scatter.
const FLEET_TENS: f64 = 24.0;
const FLEET_HOURS: f64 = 24.0;
const FLEET_SOME: f64 = 16.0;
const FLEET_DAYS: f64 = 4.0;
/// Days after which the calls of a key are known whose calls come in rows.
const ROW_DAYS: u8 = 2;
/// How much one call tells of whether calls come in rows, and one row at most.
const ROW_LEARNS: f32 = 0.001;
const ROW_LEARNS_MAX: f32 = 0.2;
/// An hour's calls come in a burst where so much of them falls into ten minutes.
const BURSTY: f32 = 0.55;
/// A key that makes more calls a day does much else than one run.
const MUCH_ELSE: f64 = 50.0;
/// An hour with more than so many times the calls of the one beside it is where work begins or ends, or a job runs: where in it the calls
/// come is not known.
const EDGE: f64 = 2.0;
/// A run of usual size makes no more than so many times the calls of its hour.
const RUN_TIMES: f64 = 2.0;
/// Bursts are of about the same size where hours vary by no more than this many times as much as chance.
const HOURLY: f64 = 3.0;
/// Or by no more than this much of their size: where none comes in some hours, it is far more.
const HOURLY_SCATTER: f64 = 0.35;

/// A machine that calls by the clock: its hours vary no more than this many times as much as chance.
const STEADY: f64 = 1.2;
/// It takes so many times as many calls too many or too few: it does not try again and again.
const STEADY_EXTRA_TIMES: f64 = 0.5;
/// Days after which each day of the week was seen.
const WEEK_SEEN: u8 = 8;

/// What is remembered of a key's counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Counts of two minutes, in units of `1 << shift`, by bucket number modulo their number.
    ring: [u16; RING],
    shift: u8,
    /// Calls that are less than a unit.
    rest: u32,
    /// Hours in a row that were held out of learning.
    held: u8,
    /// Closed hours' counts as the upper half of an `f32`, by hour number modulo their number.
    hours: [u16; HOURS],
    /// Bucket number of the newest count, -1 before the first.
    newest: i64,
    /// Hours before this number are learned, -1 before the first.
    learned_to: i64,
    /// How far the key's clock is ahead of UTC.
    offset: Millis,
    clock: KeyClock,
    profile: Profile,
    ten: Scatter,
    hour: Scatter,
    /// The part of the hours' scatter that lies below what was expected: sum of (mu-x)² where x is less, forgotten as the rest is.
    below: f32,
    /// Of three hours.
    some: Scatter,
    day: Scatter,
    /// Expected calls of the three hours and of the day (on the key's clock) so far, without what was learned since; not finite where
    /// they are not known as a whole.
    so_far: [f32; 2],
    clumps: Clumps,
    tail: Tail,
    /// Calls and expected calls of the last day or so.
    level: [f32; 2],
    /// The largest hour.
    peak: f32,
    /// The largest ten minutes.
    peak_ten: f32,
    /// The share of calls that came in rows which stand for many.
    rows: f32,
    /// The usual share of the busiest ten minutes in an hour's calls.
    bursts: f32,
    /// Expected calls of the last 5 and the last 23 closed hours.
    before: [f32; 2],
    /// What was expected at most of the last closed hours before they were learned, by hour number modulo their number: an hour must
    /// not make itself usual while it is part of a longer window.
    foreseen: [u16; FORESEEN],
    silences: Silences,
    months: MonthDays,
    runs: Runs,
    records: Records,
    still: StillHours,
    lows: Lows,
    rises: Rises,
    known: Known,
}

/// What follows from the rest, worked out when an hour begins rather than at each call. Not stored.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Calls expected in an hour of an average day.
    mean_hour: f32,
    /// Most of what it does comes in few hours.
    does_jobs: bool,
    /// It works in bursts: a job, or a machine that builds.
    is_bursty: bool,
    /// The bursts come every hour or so, as many calls in one hour as in the other.
    is_hourly: bool,
    /// It rests on some days of the week.
    rests: bool,
    usual: Usual,
    /// What the fleet is like on the day of the newest call.
    fleet: Traits,
}

/// What is usual in one hour.
#[derive(Clone, Copy, Debug)]
struct Usual {
    /// Hours since 1970 (UTC), -1 where it was not worked out.
    hour: i32,
    /// The most calls that are expected in the hour, the one before and the next.
    near: f32,
    /// Calls expected in the hour before and in this one, where too many would be worse than too few.
    low: [f32; 2],
    /// The same where too few would be worse, with a little of the neighbours.
    smooth: [f32; 2],
}

impl Default for Known {
    fn default() -> Self {
        Known {
            mean_hour: 0.0,
            does_jobs: false,
            is_bursty: false,
            is_hourly: false,
            rests: false,
            usual: Usual { hour: -1, near: 0.0, low: [0.0; 2], smooth: [0.0; 2] },
            fleet: Traits::default(),
        }
    }
}

/// It follows from the rest, and what was not worked out yet is no difference.
impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// How a window's count compares with what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Start of the window.
    pub starts_at: Millis,
    /// Its length.
    pub length: Millis,
    /// Calls so far.
    pub observed: u64,
    /// Calls expected in the whole window.
    pub expected: f64,
}

/// Far more or far fewer calls than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    /// The window that tells it best.
    pub window: Window,
    /// How surprising it is for this key: -ln of the odds.
    pub surprise: f64,
    /// The largest count that would still be usual; none where the least is meant.
    pub usual_up_to: Option<u64>,
    /// The most calls that came before in so long; none where that is not known.
    pub most_before: Option<u64>,
    /// Of too few that are far below what came before: the least part of the expected calls that came in so long, in hundredths.
    pub least_before: Option<u64>,
    /// When it began.
    pub since: Millis,
}

/// A day's calls and what is usual, hour by hour: the last hour may have just begun.
#[derive(Clone, Debug, PartialEq)]
pub struct LastDay {
    /// When its first hour began.
    pub starts_at: Millis,
    /// Calls.
    pub observed: Vec<u64>,
    /// Calls expected.
    pub usual: Vec<f64>,
}

/// What is known around a key's calls.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// How far out of order events may come.
    pub lateness: Millis,
    /// The last stretch of which nothing is known: it is not learned.
    pub unseen: Option<(Millis, Millis)>,
    /// What the fleet is like.
    pub fleet: &'a FleetBook,
}

/// What a detector asks of the counts.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Surprise that it takes: -ln of the odds in one window.
    pub surprise: f64,
    /// Calls above the expected ones that it takes at least.
    pub min_extra: f64,
    /// Days on which people may do less.
    pub holidays: Holidays,
    /// Whether nothing is a bill run or another job of a month.
    pub is_no_job: bool,
}

impl Ask {
    /// Of a surprise and the calls beside it.
    pub const fn new(surprise: f64, min_extra: f64) -> Self {
        Ask { surprise, min_extra, holidays: Holidays::NONE, is_no_job: false }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Rates {
            ring: [0; RING],
            shift: 0,
            rest: 0,
            held: 0,
            hours: [0; HOURS],
            newest: -1,
            learned_to: -1,
            offset: 0,
            clock: KeyClock::default(),
            profile: Profile::default(),
            ten: Scatter::default(),
            hour: Scatter::default(),
            below: 0.0,
            some: Scatter::default(),
            day: Scatter::default(),
            so_far: [f32::NEG_INFINITY; 2],
            clumps: Clumps::default(),
            tail: Tail::default(),
            level: [0.0; 2],
            peak: 0.0,
            peak_ten: 0.0,
            rows: 0.0,
            bursts: 0.0,
            before: [0.0; 2],
            foreseen: [0; FORESEEN],
            silences: Silences::default(),
            months: MonthDays::default(),
            runs: Runs::default(),
            records: Records::default(),
            lows: Lows::default(),
            rises: Rises::default(),
            still: StillHours::default(),
            known: Known::default(),
        }
    }
}

impl Rates {
    /// Reads from each part of the memory that counting and judging will read.
    pub(in crate::engine) fn touch(&self) -> u64 {
        let ring = self.ring[0] ^ self.ring[RING / 2] ^ self.ring[RING - 1] ^ self.hours[0] ^ self.hours[HOURS - 1];
        u64::from(ring) ^ self.newest as u64 ^ u64::from(self.peak.to_bits()) ^ u64::from(self.profile.days_learned())
    }

    /// Nothing has been counted yet.
    pub fn is_empty(&self) -> bool {
        self.newest < 0
    }

    /// Counts accepted calls at `at`. What is older than the ring is not counted. `zone` says how far its zone's clock is ahead
    /// of UTC at a time.
    pub fn add(&mut self, at: Millis, calls: u32, around: Surroundings<'_>, zone: impl Fn(Millis) -> Millis) {
        let bucket = at.div_euclid(BUCKET);
        let is_first = self.newest < bucket;
        if self.newest < 0 {
            self.newest = bucket;
            self.believe(around.fleet);
            // The first hour is seen in part only.
            self.learned_to = bucket.div_euclid(PER_HOUR) + 1;
            self.offset = zone(at);
        }
        if bucket > self.newest {
            let is_new_day = self.begins_day(at);
            self.learn_short_records();
            self.learn_to(at, around, zone);
            for gone in (self.newest + 1)..=bucket.min(self.newest + RING as i64) {
                self.ring[slot(gone)] = 0;
            }
            self.newest = bucket;
            if is_new_day {
                self.believe(around.fleet);
            }
        } else if self.newest - bucket >= RING as i64 {
            return;
        }
        let hour = at.div_euclid(HOUR);
        if i64::from(self.known.usual.hour) < hour {
            self.known.usual = self.usual_of(hour);
        }
        // Where several come in two minutes, they tell as much as single calls do.
        let is_row = if calls > 1 && is_first { 1.0 } else { 0.0 };
        self.rows += (ROW_LEARNS * calls as f32).min(ROW_LEARNS_MAX) * (is_row - self.rows);
        let calls = u64::from(calls) + u64::from(self.rest);
        while (self.count_of(bucket) + calls) >> self.shift > u64::from(u16::MAX) {
            self.shift += 1;
            self.ring.iter_mut().for_each(|n| *n >>= 1);
        }
        // What is less than the unit waits for the next.
        let count = &mut self.ring[slot(bucket)];
        *count += (calls >> self.shift) as u16;
        self.rest = (calls & ((1 << self.shift) - 1)) as u32;
        self.learn_late_records(bucket);
    }

    /// Whether a call at `at` begins an hour that others before it did not.
    pub fn begins_hour(&self, at: Millis) -> bool {
        self.newest.div_euclid(PER_HOUR) < at.div_euclid(HOUR)
    }

    /// Whether a call at `at` begins a day (UTC) that others before it did not.
    pub fn begins_day(&self, at: Millis) -> bool {
        (self.newest * BUCKET).div_euclid(DAY) < at.div_euclid(DAY)
    }

    /// Takes what the fleet is like on the day of the newest call for what is usual where the key has yet to show it.
    pub fn believe(&mut self, fleet: &FleetBook) {
        self.known.fleet = fleet.at(self.newest * BUCKET);
    }

    /// Works out again what follows from what was learned.
    fn work_out(&mut self) {
        let mean_hour = self.profile.mean_hour();
        let peak = f64::from(self.peak);
        let usual_day = mean_hour * (DAY / HOUR) as f64;
        let does_jobs_only = self.profile.is_in_few_hours();
        let does_jobs = does_jobs_only || (10.0 <= peak && usual_day <= peak);
        // One large run among much else makes no job of it.
        let is_of_jobs = does_jobs_only || (does_jobs && usual_day < MUCH_ELSE);
        let is_bursty = is_of_jobs || self.bursts >= BURSTY;
        let fleet = self.known.fleet;
        let is_of_one_size = self.hour.times_poisson() <= HOURLY || self.alpha_hour() <= HOURLY_SCATTER;
        let is_hourly = is_bursty && !is_of_jobs && is_of_one_size;
        let rests = self.profile.rests();
        let mean_hour = mean_hour as f32;
        self.known = Known { mean_hour, does_jobs, is_bursty, is_hourly, rests, fleet, ..Known::default() };
    }

    /// What is usual in an hour since 1970 (UTC).
    fn usual(&self, hour: i64) -> Usual {
        if i64::from(self.known.usual.hour) == hour { self.known.usual } else { self.usual_of(hour) }
    }

    fn usual_of(&self, hour: i64) -> Usual {
        let of = |offset: Millis, ahead: i64| profile::hour_of(hour * HOUR, offset) + ahead;
        let near = [-1, 0, 1].map(|ahead| self.most(|offset| self.profile.expected(of(offset, ahead))) as f32);
        let near = near.into_iter().fold(0.0, f32::max);
        let low = [-1, 0].map(|ahead| self.expected_low(hour + ahead) as f32);
        let high = [-2, -1, 0, 1].map(|ahead| self.expected_high(hour + ahead));
        // Work does not start at the full hour.
        let smooth = |before: f64, this: f64, after: f64| this.max(0.5 * before.max(after)) as f32;
        Usual {
            hour: hour as i32,
            near,
            low,
            smooth: [smooth(high[0], high[1], high[2]), smooth(high[1], high[2], high[3])],
        }
    }

    /// The largest of what the clocks say that the key may follow.
    fn most(&self, of: impl Fn(Millis) -> f64) -> f64 {
        self.clocks().map(of).fold(0.0, f64::max)
    }

    /// The least of it.
    fn least(&self, of: impl Fn(Millis) -> f64) -> f64 {
        self.clocks().map(of).fold(f64::INFINITY, f64::min)
    }

    fn count_of(&self, bucket: i64) -> u64 {
        let age = self.newest - bucket;
        if (0..RING as i64).contains(&age) { u64::from(self.ring[slot(bucket)]) << self.shift } else { 0 }
    }

    fn ring_hour(&self, hour: i64) -> u64 {
        self.count_from(hour * PER_HOUR, (hour + 1) * PER_HOUR - 1)
    }

    /// Calls in the buckets from `first` to `last`.
    fn count_from(&self, first: i64, last: i64) -> u64 {
        let (first, last) = (first.max(self.newest - RING as i64 + 1), last.min(self.newest));
        if last < first {
            return 0;
        }
        let sum = |counts: &[u16]| counts.iter().map(|n| u32::from(*n)).sum::<u32>();
        let (from, to) = (slot(first), slot(last));
        let units =
            if from <= to { sum(&self.ring[from..=to]) } else { sum(&self.ring[from..]) + sum(&self.ring[..=to]) };
        u64::from(units) << self.shift
    }

    /// Calls of an hour, whether it is closed or not.
    fn hour_total(&self, hour: i64) -> f64 {
        let age = self.learned_to - 1 - hour;
        match age {
            0.. if age < HOURS as i64 => f64::from(unpack(self.hours[hour.rem_euclid(HOURS as i64) as usize])),
            0.. => 0.0,
            _ => self.ring_hour(hour) as f64,
        }
    }

    /// Calls expected in an hour since 1970 (UTC).
    fn expected_in(&self, hour: i64) -> f64 {
        self.profile.expected(profile::hour_of(hour * HOUR, self.offset))
    }

    /// The same where too few would be worse than too many.
    fn expected_high(&self, hour: i64) -> f64 {
        self.most(|offset| self.profile.expected_high(profile::hour_of(hour * HOUR, offset)))
    }

    /// The same as it was before the hour itself was learned, of the last [`FORESEEN`] hours.
    fn foreseen(&self, hour: i64) -> f64 {
        let age = self.learned_to - 1 - hour;
        let is_kept = (0..FORESEEN as i64).contains(&age);
        if is_kept { f64::from(unpack(self.foreseen[foreseen_slot(hour)])) } else { self.expected_high(hour) }
    }

    /// The same where too few would be worse, with a little of both neighbours.
    fn smooth(&self, hour: i64) -> f64 {
        f64::from(self.usual(hour).smooth[1])
    }

    /// The last day hour by hour, up to the hour of `at`.
    pub fn last_day(&self, at: Millis) -> LastDay {
        let last = at.div_euclid(HOUR);
        let hours = last - HOURS as i64 + 1..=last;
        LastDay {
            starts_at: hours.start() * HOUR,
            observed: hours.clone().map(|hour| self.hour_total(hour) as u64).collect(),
            usual: hours.map(|hour| self.expected_in(hour)).collect(),
        }
    }

    /// Full days that the profile has been learned from.
    pub fn days_learned(&self) -> u8 {
        self.profile.days_learned()
    }

    /// Whether so many days were seen as make it known. Rows that stand for many calls tell more: fewer days do.
    pub fn is_learned(&self, days: u8) -> bool {
        let days = if self.is_in_rows() { days.min(ROW_DAYS) } else { days };
        days <= self.days_learned()
    }

    /// Calls expected in a usual day.
    pub fn usual_day(&self) -> f64 {
        self.mean_hour() * (DAY / HOUR) as f64
    }

    /// Calls expected in an hour of an average day.
    fn mean_hour(&self) -> f64 {
        f64::from(self.known.mean_hour)
    }

    /// The newest ten minutes and their hour. `None` unless `at` lies in the newest ten minutes.
    pub fn windows(&self, at: Millis) -> Option<[Window; 2]> {
        let ten = at.div_euclid(10 * MINUTE);
        if ten != self.newest.div_euclid(PER_TEN) {
            return None;
        }
        let hour = at.div_euclid(HOUR);
        let mu = self.smooth(hour).max(1e-3);
        let in_ten = self.count_from(ten * PER_TEN, self.newest);
        let in_hour = self.count_from(hour * PER_HOUR, self.newest);
        Some([
            Window { starts_at: ten * 10 * MINUTE, length: 10 * MINUTE, observed: in_ten, expected: mu / 6.0 },
            Window { starts_at: hour * HOUR, length: HOUR, observed: in_hour, expected: mu },
        ])
    }

    /// Calls of the last `length` up to the bucket of `at`, that one among them; at most an hour.
    pub fn calls_since(&self, at: Millis, length: Millis) -> u64 {
        let last = at.div_euclid(BUCKET);
        self.count_from(last - length / BUCKET + 1, last)
    }

    /// Calls expected in the last `length` (at most an hour) before `at`.
    fn expected_since(&self, at: Millis, length: Millis) -> f64 {
        let hour = at.div_euclid(HOUR);
        let in_this = (at - hour * HOUR).min(length) as f64 / HOUR as f64;
        let in_last = length as f64 / HOUR as f64 - in_this;
        let [last, this] = self.usual(hour).smooth.map(f64::from);
        (this * in_this + last * in_last).max(length as f64 / HOUR as f64 * 1e-3)
    }

    /// Whether so many calls between two times may be an order or a run of usual size: no more than have come in ten minutes, or where the key
    /// works in bursts, than so many times those of the hours that they came in.
    pub fn may_be_usual_burst(&self, from: Millis, to: Millis, calls: f64) -> bool {
        if !self.is_bursty() {
            return calls <= f64::from(self.peak_ten);
        }
        let hours = from.div_euclid(HOUR)..=to.div_euclid(HOUR);
        calls <= RUN_TIMES * hours.map(|hour| f64::from(self.usual(hour).near)).sum::<f64>()
    }

    /// Whether the key works in bursts: a job, or a machine that builds.
    fn is_bursty(&self) -> bool {
        self.known.is_bursty
    }

    /// Whether it is a machine that calls by the clock.
    fn is_by_the_clock(&self) -> bool {
        self.hour.times_poisson() < STEADY
    }

    /// Whether it was seen for long enough to be sure of that.
    fn is_steady(&self) -> bool {
        self.is_by_the_clock() && WEEK_SEEN <= self.days_learned()
    }

    /// Calls that come at once, as those of an order do.
    fn at_once(&self) -> f64 {
        self.known_clump(HOUR).max(1.0)
    }
}

fn foreseen_slot(hour: i64) -> usize {
    hour.rem_euclid(FORESEEN as i64) as usize
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(RING as i64) as usize
}

mod clock;
mod days_off;
mod dispersion;
mod jobs;
mod learn;
mod lows;
mod months;
mod parts;
mod records;
mod rises;
mod runs;
mod silences;
mod still;
mod teach;
mod too_few;
mod too_many;

pub use clock::KeyClock;
pub use lows::Lows;
pub use months::MonthDays;
pub use parts::{FiveHours, Foresight, RatesParts};
pub use records::{RECORDS, Records};
pub use rises::Rises;
pub use runs::{Run, Runs};
pub use silences::Silences;
pub use still::StillHours;

#[cfg(test)]
mod tests;
