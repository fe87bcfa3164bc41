//! What the platform as a whole is like: how many merchants call, and of how many a call is refused, in every ten minutes of the
//! last eight days. A single key tells little of an outage of half an hour; that half of all merchants fell silent in the
//! same ten minutes tells all of it.
//!
//! What is usual at a time is the least (of refusals: the most) of the half hour before, of that time yesterday and a week
//! ago: a fleet that goes to sleep, a weekend and an hour of jobs are each like one of them. The number of merchants is
//! taken to vary as counts do, by its square root.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::activity::{Activity, BUCKET, Merchants, bucket_of};
use crate::engine::detect::platform_incident::Ask;
use crate::time::{DAY, HOUR, Millis};

const A_DAY: i64 = DAY / BUCKET;
const A_WEEK: i64 = 7 * A_DAY;
/// Tens of minutes that are kept: what is needed a week later.
const KEPT: usize = A_WEEK as usize + A_DAY as usize;
/// So many tens of minutes are the half hour before.
const BEFORE: i64 = 3;
/// So many fewer merchants than usual are few, as a share of them.
const FEWER_SHARE: f64 = 0.4;
/// And as a multiple of their square root, as so many more are many. It is wide, since it is looked at 144 times a day and
/// merchants are not quite independent.
const DEVIATIONS: f64 = 4.0;
/// They are back once no more than this share of the usual is missing.
const BACK_SHARE: f64 = 0.25;
/// They are many until fewer than so much of what opened the trouble are refused more than usual.
const STILL_MANY: f64 = 0.5;
/// Trouble that lasts longer is how things are now.
const LASTS: i64 = A_DAY;

/// The last eight days, and what is wrong now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    tens: BTreeMap<i64, Merchants>,
    /// The next ten minutes to take in.
    next: Option<i64>,
    few: Option<Trouble>,
    refusing: Option<Trouble>,
}

/// Something that is wrong with the whole platform.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// The ten minutes that it was seen in first.
    first: i64,
    /// Those that it was seen in last.
    last: i64,
    /// What it was like when it was worst.
    pub(super) worst: Merchants,
    /// How many merchants called, or had a call refused, usually.
    pub(super) usual: u32,
}

impl Trouble {
    /// When it was seen first.
    pub(super) fn from(&self) -> Millis {
        self.first * BUCKET
    }

    /// Whether what began and was found at these times may be part of it. What is silent in it may have called last a while before.
    pub(super) fn covers(&self, began: Millis, found: Millis) -> bool {
        self.from() - HOUR <= began && began < (self.last + 1) * BUCKET && self.from() - BUCKET <= found
    }
}

impl Course {
    /// Few merchants call.
    pub(super) fn few(&self) -> Option<&Trouble> {
        self.few.as_ref()
    }

    /// Calls of many are refused.
    pub(super) fn refusing(&self) -> Option<&Trouble> {
        self.refusing.as_ref()
    }

    /// Whether something is wrong.
    pub(super) fn is_troubled(&self) -> bool {
        self.few.is_some() || self.refusing.is_some()
    }

    /// Takes in the tens of minutes that are over by `now`. Those in which nobody called are a gap in the data: what falls silent in
    /// it is no merchant's doing, and how many call is not learned from it.
    pub(super) fn record(&mut self, activity: &Activity, now: Millis, ask: Option<Ask>) {
        let end = bucket_of(now);
        let called: BTreeMap<i64, Merchants> = activity.tens(self.next.unwrap_or(i64::MIN), now).collect();
        let Some(first) = self.next.or_else(|| called.first_key_value().map(|(first, _)| *first)) else { return };
        for bucket in first.max(end - A_DAY)..end {
            let merchants = called.get(&bucket).copied();
            if let Some(ask) = ask {
                self.judge(bucket, merchants.unwrap_or_default(), ask);
            }
            self.tens.extend(merchants.map(|merchants| (bucket, merchants)));
            while self.tens.len() > KEPT {
                self.tens.pop_first();
            }
        }
        self.next = Some(end.max(first));
        // What lasts is how things are.
        let is_over = |trouble: &Trouble| trouble.first + LASTS < end;
        self.few.take_if(|trouble| is_over(trouble));
        self.refusing.take_if(|trouble| is_over(trouble));
    }

    fn judge(&mut self, bucket: i64, merchants: Merchants, ask: Ask) {
        let usual = self.usual(bucket, self.few, |known| known.active, u32::min);
        let is_few = usual.is_some_and(|usual| is_few(merchants.active, usual, self.few.is_some()));
        follow(&mut self.few, is_few, bucket, merchants, usual, |now, worst| now.active < worst.active);

        let usual = self.usual(bucket, self.refusing, |known| known.refused, u32::max);
        let least = ask.merchants(merchants.active.into()) as f64;
        let is_refusing = usual.is_some_and(|usual| are_many(merchants.refused, usual, least, self.refusing.is_some()));
        follow(&mut self.refusing, is_refusing, bucket, merchants, usual, |now, worst| worst.refused < now.refused);
    }

    /// What is usual in ten minutes. None where yesterday is not known, or nothing of the half hour before it, or before the
    /// trouble that goes on.
    fn usual(
        &self,
        bucket: i64,
        trouble: Option<Trouble>,
        of: impl Fn(&Merchants) -> u32,
        pick: impl Fn(u32, u32) -> u32,
    ) -> Option<u32> {
        let known = |at: i64| self.tens.get(&at).map(&of);
        let first = trouble.map_or(bucket, |trouble| trouble.first);
        let before = (1..=BEFORE).filter_map(|n| known(first - n)).reduce(&pick)?;
        let earlier = known(bucket - A_DAY)?;
        Some([Some(earlier), known(bucket - A_WEEK)].into_iter().flatten().fold(before, pick))
    }
}

fn is_few(active: u32, usual: u32, goes_on: bool) -> bool {
    let (missing, usual) = (f64::from(usual) - f64::from(active), f64::from(usual));
    if goes_on {
        return BACK_SHARE * usual < missing;
    }
    (FEWER_SHARE * usual).max(DEVIATIONS * usual.sqrt()) <= missing && 0.0 < missing
}

fn are_many(refused: u32, usual: u32, least: f64, goes_on: bool) -> bool {
    let part = if goes_on { STILL_MANY } else { 1.0 };
    part * (DEVIATIONS * f64::from(usual).sqrt()).max(least) <= f64::from(refused) - f64::from(usual)
}

/// Opens trouble, goes on with it, or ends it.
fn follow(
    trouble: &mut Option<Trouble>,
    is_on: bool,
    bucket: i64,
    now: Merchants,
    usual: Option<u32>,
    is_worse: impl Fn(&Merchants, &Merchants) -> bool,
) {
    let (true, Some(usual)) = (is_on, usual) else {
        *trouble = None;
        return;
    };
    let known = trouble.get_or_insert(Trouble { first: bucket, last: bucket, worst: now, usual });
    known.last = bucket;
    if is_worse(&now, &known.worst) {
        (known.worst, known.usual) = (now, usual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask { min_merchants: 5, min_share: 0.05, within: 30 * 60_000, quiet: 30 * 60_000 };
    /// A Monday.
    const FIRST: i64 = 2_945_952;

    /// So many merchants by the hour of the day: few at night, and at the full hour those with jobs besides.
    fn rhythm(bucket: i64) -> u32 {
        let hour = (bucket % A_DAY) / 6;
        let base = if (7..19).contains(&hour) { 80 } else { 24 };
        base + if bucket % 6 == 0 { 40 } else { 0 }
    }

    /// The course of `days` of it, and what `change` makes of it then.
    fn after(days: i64, change: impl Fn(i64, Merchants) -> Merchants, more: i64) -> (Course, Vec<(i64, &'static str)>) {
        let mut course = Course::default();
        let mut told = Vec::new();
        let from = FIRST + days * A_DAY;
        for bucket in FIRST..from + more {
            let usual = Merchants { active: rhythm(bucket), refused: 3 + (bucket % 2) as u32 };
            let merchants = if bucket < from { usual } else { change(bucket - from, usual) };
            course.judge(bucket, merchants, ASK);
            course.tens.insert(bucket, merchants);
            told.extend(course.few().map(|_| (bucket - from, "few")));
            told.extend(course.refusing().map(|_| (bucket - from, "refusing")));
        }
        (course, told)
    }

    #[test]
    fn a_day_a_night_and_the_jobs_of_the_full_hour_are_no_trouble() {
        let (_, told) = after(9, |_, usual| usual, A_DAY);
        assert_eq!(told, []);
    }

    #[test]
    fn trouble_is_seen_while_it_lasts() {
        // From nine o'clock on, for forty minutes.
        let is_in = |n: i64| (54..58).contains(&n);
        let ten_to_ten = [(54, "few"), (55, "few"), (56, "few"), (57, "few")];
        let (_, told) =
            after(2, |n, usual| Merchants { active: usual.active / if is_in(n) { 5 } else { 1 }, ..usual }, 70);
        assert_eq!(told, ten_to_ten);
        // A third of them is not enough.
        let (_, told) =
            after(2, |n, usual| Merchants { active: usual.active * 2 / if is_in(n) { 3 } else { 2 }, ..usual }, 70);
        assert_eq!(told, []);
        let (course, told) =
            after(2, |n, usual| Merchants { refused: usual.refused + if is_in(n) { 30 } else { 0 }, ..usual }, 57);
        assert_eq!(told, [(54, "refusing"), (55, "refusing"), (56, "refusing")]);
        let trouble = course.refusing().unwrap();
        let from = (FIRST + 2 * A_DAY + 54) * BUCKET;
        assert_eq!((trouble.worst.refused, trouble.usual, trouble.from()), (34, 4, from));
        assert!(trouble.covers(from - HOUR, from) && trouble.covers(from + 29 * 60_000, from + HOUR));
        assert!(!trouble.covers(from - HOUR - 1, from), "too long before");
        assert!(!trouble.covers(from - HOUR, from - BUCKET - 1), "found before");
        assert!(!trouble.covers(from + 3 * BUCKET, from + HOUR), "begun after");
    }

    #[test]
    fn a_gap_in_the_data_is_seen_and_not_learned() {
        let (mut course, mut activity) = (Course::default(), Activity::default());
        let gap = FIRST + A_DAY + 10..FIRST + A_DAY + 16;
        for bucket in FIRST..FIRST + 2 * A_DAY {
            if !gap.contains(&bucket) {
                (0..40).for_each(|m| activity.note(&format!("m_{m}"), bucket));
            }
            // It is only known afterwards: no message came that would have shown that time goes on.
            if gap.start - 1 <= bucket && bucket < gap.end - 1 {
                continue;
            }
            course.record(&activity, (bucket + 1) * BUCKET, Some(ASK));
            let seen = course.few().map(|trouble| (trouble.first, trouble.last, trouble.worst.active));
            assert_eq!(seen, (bucket == gap.end - 1).then_some((gap.start, bucket, 0)));
        }
        assert_eq!(course.tens.len() as i64, 2 * A_DAY - 6);
    }

    #[test]
    fn nothing_is_said_on_the_first_day() {
        let (_, told) = after(0, |n, usual| Merchants { active: if n < 60 { usual.active } else { 2 }, ..usual }, 100);
        assert_eq!(told, []);
    }

    #[test]
    fn what_lasts_for_a_day_is_how_things_are() {
        let mut course = Course::default();
        let mut activity = Activity::default();
        for bucket in FIRST..FIRST + 4 * A_DAY {
            let many = if bucket < FIRST + 2 * A_DAY { 100 } else { 10 };
            (0..many).for_each(|m| activity.note(&format!("m_{m}"), bucket));
            course.record(&activity, (bucket + 1) * BUCKET, Some(ASK));
            let n_tens = bucket - FIRST - 2 * A_DAY;
            assert_eq!(course.few().is_some(), (0..A_DAY).contains(&n_tens), "{n_tens}");
        }
        // Nobody calls: that is a gap in the data. Of ten merchants it may be chance.
        course.record(&activity, (FIRST + 4 * A_DAY + 30) * BUCKET, Some(ASK));
        assert_eq!((course.few(), course.tens.len()), (None, 4 * A_DAY as usize));
        for bucket in FIRST + 5 * A_DAY..FIRST + 15 * A_DAY {
            activity.note("m", bucket);
            course.record(&activity, (bucket + 1) * BUCKET, None);
        }
        assert_eq!(course.tens.len(), KEPT);
    }
}
