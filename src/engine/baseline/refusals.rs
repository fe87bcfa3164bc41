//! How many calls of a key are refused: an hour in five-minute buckets, and what is usual. Apart from accepted use, whose
//! baseline no refusal touches.

use serde::{Deserialize, Serialize};

use crate::engine::baseline::negative_binomial::surprise_high;
use crate::time::{HOUR, MINUTE, Millis};

/// Length of a bucket.
pub const BUCKET: Millis = 5 * MINUTE;
/// Three hours and their lateness: small keys take long to show that none of their calls is accepted any more.
const RING: usize = 38;
const PER_HOUR: i64 = HOUR / BUCKET;
/// For so long what is refused may be one call that is tried again, in buckets.
const ONE_CALL_FOR: i64 = 3 * PER_HOUR;
/// Refusals come in clumps: an integration that fails fails again.
const ALPHA: f64 = 1.0;
/// How many refusals a row that stands for several counts as, at most.
const ROW_MAX: u32 = 2;
/// The same call again, of the same things, is no further one where so many were refused in five minutes already: it is one call, tried
/// again and again.
const AGAIN_MAX: u16 = 2;
/// The half of a request that says of what things it is.
const THINGS: u32 = 0xffff;
/// How many refusals are believed to come at once, and how many refusals stand for that. Who has been refused in clumps is again.
const CLUMP: f64 = 2.0;
const CLUMP_CALLS: f64 = 6.0;
/// No clump is larger, and an hour counts for so many times what is usual at most: an episode must not make itself usual.
const CLUMP_MAX: f64 = 6.0;
const CLUMP_CLIP: f64 = 2.0;
/// The least weight that a new hour has.
const SLOWEST: f32 = 0.005;
/// Refusals an hour that are believed before any hour was seen, and for how many hours that stands.
const PRIOR: (f64, f64) = (0.05, 48.0);

/// What is remembered of a key's refusals. Only keys that had any have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusals {
    ring: [u16; RING],
    newest: i64,
    learned_to: i64,
    mean_hour: f32,
    mean_square: f32,
    hours: u16,
    tried: Tried,
}

/// What is asked for: half of a hash of the endpoint, and half of one of the things that the path names, 0 where it names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request(pub u32);

impl Request {
    /// Of hashes of an endpoint and of things.
    pub fn new(endpoint: u32, things: Option<u32>) -> Self {
        Request(endpoint & !THINGS | things.map_or(0, |things| (things ^ things >> 16) & THINGS))
    }

    fn names_things(self) -> bool {
        self.0 & THINGS != 0
    }

    fn is_of_endpoint_of(self, other: Self) -> bool {
        self.0 & !THINGS == other.0 & !THINGS
    }
}

/// What was refused last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The call.
    pub request: Request,
    /// The five-minute bucket in which another endpoint was refused than the one before; 0 = none was.
    pub other_at: i64,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals {
            ring: [0; RING],
            newest: 0,
            learned_to: 0,
            mean_hour: 0.0,
            mean_square: 0.0,
            hours: 0,
            tried: Tried::default(),
        }
    }
}

/// The plain numbers, for the stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusalsParts {
    /// Five-minute counts, the newest first; those that are missing are 0.
    pub ring: Vec<u16>,
    /// Newest bucket.
    pub newest: i64,
    /// First hour not yet learned.
    pub learned_to: i64,
    /// Usual refusals an hour.
    pub mean_hour: f32,
    /// Hours behind it.
    pub hours: u16,
}

impl Refusals {
    /// A key that was first seen at `since` and has had none.
    pub fn new(since: Millis) -> Self {
        Refusals { newest: since.div_euclid(BUCKET), learned_to: since.div_euclid(HOUR), ..Refusals::default() }
    }

    /// Takes the numbers apart.
    pub fn to_parts(&self) -> RefusalsParts {
        let Refusals { newest, learned_to, mean_hour, hours, .. } = *self;
        let mut ring: Vec<u16> = (0..RING as i64).map(|age| self.count_of(newest - age)).collect();
        ring.truncate(ring.iter().rposition(|calls| *calls > 0).map_or(0, |last| last + 1));
        RefusalsParts { ring, newest, learned_to, mean_hour, hours }
    }

    /// Puts them together again.
    pub fn from_parts(parts: &RefusalsParts) -> Self {
        let RefusalsParts { newest, learned_to, mean_hour, hours, .. } = *parts;
        let mut ring = [0; RING];
        (0..RING as i64).zip(&parts.ring).for_each(|(age, calls)| ring[slot(newest.wrapping_sub(age))] = *calls);
        // Until more is known they come as most keys' do.
        let mean_square = CLUMP as f32 * mean_hour;
        Refusals { ring, newest, learned_to, mean_hour, mean_square, hours, ..Refusals::default() }
    }

    /// What was refused last.
    pub fn tried(&self) -> Tried {
        self.tried
    }

    /// Goes on with what was stored of that.
    pub fn set_tried(&mut self, tried: Tried) {
        self.tried = tried;
    }

    /// Usual squares of the refusals of an hour.
    pub fn mean_square(&self) -> f32 {
        self.mean_square
    }

    /// Goes on with what was stored of that.
    pub fn set_mean_square(&mut self, mean_square: f32) {
        self.mean_square = mean_square;
    }

    /// Counts refused calls at `at`.
    pub fn add(&mut self, at: Millis, calls: u32, request: Request, lateness: Millis) {
        let bucket = at.div_euclid(BUCKET);
        let before = std::mem::replace(&mut self.tried.request, request);
        // What was refused hours before has nothing to do with it.
        if !request.is_of_endpoint_of(before) && 0 < self.stretches(at) {
            self.tried.other_at = bucket;
        }
        if bucket > self.newest {
            self.learn_to((at - lateness).div_euclid(HOUR));
            for gone in (self.newest + 1).max(bucket - RING as i64 + 1)..=bucket {
                self.ring[slot(gone)] = 0;
            }
            self.newest = bucket;
        } else if self.newest - bucket >= RING as i64 {
            return;
        }
        // A row that stands for many is one clump.
        let count = &mut self.ring[slot(bucket)];
        if request == before && request.names_things() && AGAIN_MAX <= *count {
            return;
        }
        *count = count.saturating_add(calls.min(ROW_MAX) as u16);
    }

    fn learn_to(&mut self, closed_to: i64) {
        // Hours without any are learned together: (1-w)^n of the mean is left.
        while self.learned_to < closed_to {
            let hour = self.learned_to;
            let total = self.hour(hour);
            let empty = if total > 0.0 { 0 } else { (closed_to - hour).min(24 * 365) };
            if empty > 1 && hour * PER_HOUR > self.newest {
                let weight = (1.0 / (f32::from(self.hours) + empty as f32)).max(SLOWEST);
                let left = (1.0 - weight)
                    .powi(empty as i32)
                    .max(f32::from(self.hours) / (f32::from(self.hours) + empty as f32));
                (self.mean_hour, self.mean_square) = (self.mean_hour * left, self.mean_square * left);
                self.hours = self.hours.saturating_add(empty as u16);
                self.learned_to = closed_to;
                return;
            }
            // What is far beyond the usual is an episode, and not learned whole.
            let usual = f64::from(self.mean_hour);
            let learned = total.min(10.0 * usual + 10.0) as f32;
            let weight = (1.0 / (f32::from(self.hours) + 1.0)).max(SLOWEST);
            let at_once = learned.min((CLUMP_CLIP * self.clump()) as f32);
            self.mean_square += weight * (learned * at_once - self.mean_square);
            self.mean_hour += weight * (learned - self.mean_hour);
            self.hours = self.hours.saturating_add(1);
            self.learned_to += 1;
        }
    }

    fn hour(&self, hour: i64) -> f64 {
        (hour * PER_HOUR..(hour + 1) * PER_HOUR).map(|bucket| f64::from(self.count_of(bucket))).sum()
    }

    fn count_of(&self, bucket: i64) -> u16 {
        let age = self.newest - bucket;
        if (0..RING as i64).contains(&age) { self.ring[slot(bucket)] } else { 0 }
    }

    /// Refusals of the last `length` (at most three hours) up to the bucket of `at`.
    pub fn since(&self, at: Millis, length: Millis) -> u64 {
        let last = at.div_euclid(BUCKET);
        (last - length / BUCKET + 1..=last).map(|bucket| u64::from(self.count_of(bucket))).sum()
    }

    /// Whether the same endpoint was refused each time in the last three hours.
    pub fn are_of_one_endpoint(&self, at: Millis) -> bool {
        self.tried.other_at <= at.div_euclid(BUCKET) - ONE_CALL_FOR
    }

    /// In how many five-minute buckets of the last three hours there were any.
    pub fn stretches(&self, at: Millis) -> usize {
        self.last_hours(at).filter(|calls| 0 < *calls).count()
    }

    /// Refusals of the last three hours, and those of them that did not come in the ten minutes with most of them: a call that is tried again
    /// at once, and then after longer and longer waits, has few of these.
    pub fn beside_onset(&self, at: Millis) -> [u64; 2] {
        let all: u64 = self.last_hours(at).sum();
        let onset = self.last_hours(at).zip(self.last_hours(at).skip(1)).map(|(one, next)| one + next).max();
        [all, all - onset.unwrap_or(0)]
    }

    /// The buckets of the last three hours, oldest first.
    fn last_hours(&self, at: Millis) -> impl Iterator<Item = u64> {
        let last = at.div_euclid(BUCKET);
        (last - ONE_CALL_FOR + 1..=last).map(|bucket| u64::from(self.count_of(bucket)))
    }

    /// Refusals that are usual in a length of time.
    pub fn expected(&self, length: Millis) -> f64 {
        let (prior, weight) = PRIOR;
        let hours = f64::from(self.hours);
        (f64::from(self.mean_hour) * hours + prior * weight) / (hours + weight) * length as f64 / HOUR as f64
    }

    /// How many refusals come at once: those of an hour that has any, as a refusal meets them, the mean square by the mean (Patil and Rao,
    /// "Weighted distributions and size-biased sampling", *Biometrics* 34, 1978).
    pub fn clump(&self) -> f64 {
        let hours = f64::from(self.hours).min(1.0 / f64::from(SLOWEST));
        let [mean, square] = [self.mean_hour, self.mean_square].map(|mean| f64::from(mean) * hours);
        ((square + CLUMP * CLUMP_CALLS) / (mean + CLUMP_CALLS)).clamp(1.0, CLUMP_MAX)
    }

    /// The same beside so many accepted calls: who works in sessions has refusals when there are calls at all.
    pub fn expected_beside(&self, length: Millis, Beside { accepted, usual_hour }: Beside) -> f64 {
        let usual = self.expected(HOUR);
        self.expected(length).max(accepted as f64 * usual / usual_hour.max(usual))
    }

    /// The share of calls that are refused, where so many are accepted in an average hour.
    pub fn share(&self, usual_hour: f64) -> f64 {
        let usual = self.expected(HOUR);
        usual / (usual + usual_hour)
    }

    /// Refusals after `last_accepted`, the last call that was accepted, where none has been since and they came in several
    /// five-minute buckets.
    pub fn only_refused(&self, last_accepted: Millis, at: Millis) -> OnlyRefused {
        let (from, to) = (last_accepted.div_euclid(BUCKET) + 1, at.div_euclid(BUCKET));
        let mut only = OnlyRefused { calls: 0, buckets: 0, since: at };
        for bucket in (from.max(self.newest - RING as i64 + 1)..=to).rev() {
            let calls = self.count_of(bucket);
            if calls > 0 {
                only.calls += u64::from(calls);
                only.buckets += 1;
                only.since = bucket * BUCKET;
            }
        }
        only
    }

    /// How surprising so many are, where `clump` of them come at once: -ln of the odds.
    pub fn surprise(&self, at: Millis, length: Millis, beside: Beside, clump: f64) -> f64 {
        let clumps = self.since(at, length) as f64 / clump;
        let of = |clumps: f64| surprise_high(clumps as u64, self.expected_beside(length, beside) / clump, ALPHA);
        // Part of a clump counts as that part.
        of(clumps) + clumps.fract() * (of(clumps + 1.0) - of(clumps))
    }
}

/// The calls that refusals come beside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    /// Accepted calls in the window.
    pub accepted: u64,
    /// Accepted calls in an average hour.
    pub usual_hour: f64,
}

/// A time in which every call was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnlyRefused {
    /// Refused calls.
    pub calls: u64,
    /// Five-minute buckets that they came in: what is tried again at once is one try.
    pub buckets: u32,
    /// When the first of these began.
    pub since: Millis,
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(RING as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY;

    #[test]
    fn tries_after_the_last_accepted_call_are_counted_apart_in_time() {
        let start = 20_000 * DAY;
        let mut refusals = Refusals::new(start);
        for minute in [1, 20, 21, 22, 50, 110, 150] {
            refusals.add(start + minute * MINUTE, 1, Request::default(), 5 * MINUTE);
        }
        let at = start + 150 * MINUTE;
        for (last_accepted, want) in [(10, (6, 4, 20)), (22, (3, 3, 50)), (151, (0, 0, 150))] {
            let only = refusals.only_refused(start + last_accepted * MINUTE, at);
            let since = (only.since - start) / MINUTE;
            assert_eq!((only.calls, only.buckets, since), want, "accepted after {last_accepted} minutes");
        }
        let mut stored = Refusals::from_parts(&refusals.to_parts());
        stored.set_mean_square(refusals.mean_square());
        assert_eq!(stored, refusals);
    }

    #[test]
    fn one_call_that_is_tried_again_is_known() {
        let start = 20_000 * DAY;
        let after = |minutes: &[(i64, u32)]| {
            let mut refusals = Refusals::new(start);
            minutes.iter().for_each(|(minute, endpoint)| {
                refusals.add(start + minute * MINUTE, 1, Request::new(*endpoint << 16, None), 5 * MINUTE)
            });
            let at = start + minutes.last().unwrap().0 * MINUTE;
            (refusals.beside_onset(at), refusals.are_of_one_endpoint(at))
        };
        // After longer and longer waits: most of them came at once.
        let (counts, is_one) = after(&[(0, 7), (0, 7), (1, 7), (2, 7), (4, 7), (8, 7), (16, 7), (32, 7), (64, 7)]);
        assert_eq!((counts, is_one), ([9, 3], true));
        // All the time.
        let steadily: Vec<_> = (0..60).step_by(5).map(|minute| (minute, 7)).collect();
        assert_eq!(after(&steadily), ([12, 10], true));
        // Another call among them; one that was refused hours before is none of them.
        assert!(!after(&[(0, 7), (1, 8), (2, 7)]).1);
        assert!(after(&[(0, 8), (200, 7), (201, 7)]).1);
        assert!(after(&[(0, 7), (1, 8), (200, 8)]).1);
    }

    #[test]
    fn the_same_call_again_counts_twice_in_five_minutes() {
        let start = 20_000 * DAY;
        let counted = |things: &[Option<u32>]| {
            let mut refusals = Refusals::new(start);
            things.iter().for_each(|of| refusals.add(start, 1, Request::new(0x7000_0000, *of), 5 * MINUTE));
            refusals.since(start, HOUR)
        };
        for (what, things, want) in [
            ("one payment", &[Some(8); 9][..], 2),
            ("what names nothing", &[None; 9][..], 9),
            ("one after the other", &[Some(1), Some(2), Some(3), Some(4)][..], 4),
            ("one, and another again", &[Some(1), Some(1), Some(1), Some(2), Some(2)][..], 3),
        ] {
            assert_eq!(counted(things), want, "{what}");
        }
        let [one, other] = [Request::new(0xaaaa_0001, None), Request::new(0xaaaa_0002, Some(0x1_0000))];
        assert!(one.is_of_endpoint_of(other) && !one.names_things() && other.names_things());
    }

    #[test]
    fn who_is_refused_in_clumps_surprises_less_by_one_more() {
        let start = 20_000 * DAY;
        // As many refusals in twenty days: one by one, or four at a time.
        let refused = |at_once: i64| {
            let mut refusals = Refusals::new(start);
            for n in 0..80 {
                let at = start + (n / at_once) * at_once * 6 * HOUR;
                refusals.add(at, 1, Request::default(), 5 * MINUTE);
            }
            let at = start + 20 * DAY + 3 * HOUR;
            (0..6).for_each(|_| refusals.add(at, 1, Request::default(), 5 * MINUTE));
            let clump = refusals.clump();
            (clump, refusals.surprise(at, HOUR, Beside { accepted: 0, usual_hour: 30.0 }, clump))
        };
        let ((one, surprise_of_one), (four, surprise_of_four)) = (refused(1), refused(4));
        assert!(one < 1.3 && (3.5..4.5).contains(&four), "{one} {four}");
        assert!(9.0 < surprise_of_one && surprise_of_four < 5.0, "{surprise_of_one} {surprise_of_four}");
        let never = Refusals::new(start).clump();
        assert!((never - CLUMP).abs() < 1e-9, "{never}");
    }

    #[test]
    fn a_key_that_is_often_refused_surprises_less() {
        let start = 20_000 * DAY;
        let (mut rarely, mut often) = (Refusals::new(start), Refusals::new(start));
        for hour in 0..240 {
            (0..6).for_each(|_| often.add(start + hour * HOUR, 1, Request::default(), 5 * MINUTE));
            if hour % 48 == 0 {
                rarely.add(start + hour * HOUR, 1, Request::default(), 5 * MINUTE);
            }
        }
        let at = start + 10 * DAY + 6 * HOUR;
        for refusals in [&mut rarely, &mut often] {
            (0..12).for_each(|_| refusals.add(at, 1, Request::default(), 5 * MINUTE));
        }
        assert!((often.expected(HOUR) - 5.0).abs() < 1.0, "{}", often.expected(HOUR));
        assert!(rarely.expected(HOUR) < 0.15, "{}", rarely.expected(HOUR));
        assert_eq!(rarely.since(at, HOUR), 12);
        let beside = |accepted| Beside { accepted, usual_hour: 30.0 };
        let (a, b) =
            (rarely.surprise(at, 30 * MINUTE, beside(0), 1.0), often.surprise(at, 30 * MINUTE, beside(0), 1.0));
        assert!(12.0 < a && b < 6.0, "{a} {b}");
        // Beside many calls there are more, whatever the clock says.
        let c = rarely.surprise(at, 30 * MINUTE, beside(1_200), 1.0);
        assert!(c + 4.0 < a, "{a} {c}");
    }
}
