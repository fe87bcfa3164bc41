//! What too few calls say: silence where there are always calls, hardly any in some hours. Daily jobs are in `jobs.rs`.

use super::days_off::HOLIDAYS_MAX;
use super::{Ask, BUCKET, EDGE, Excess, HOUR, MINUTE, Millis, RING, Rates, STEADY_EXTRA_TIMES, Window};
use crate::engine::baseline::negative_binomial::surprise_low;
use crate::event::holidays::Holidays;
use crate::time::DAY;

/// No more than so many times the calls of the hours beside it are counted on in an hour.
const EVENING: f64 = 1.5;
/// What is expected is added up for no longer.
const EXPECTED_MAX: Millis = 14 * DAY;
/// Silence is looked for no further ahead.
const SILENCE_HOURS_MAX: i64 = 26;
/// And is no news before.
pub(super) const SILENCE_MIN: Millis = 15 * MINUTE;
/// Of what calls by the clock one run left out is no news, whatever its calls: silence lasts for more than twice the usual pause.
const RUNS_MISSED: f64 = 2.4;
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
const BACK: f64 = 0.75;
const BACK_FOR: [Millis; 2] = [10 * MINUTE, 30 * MINUTE];
const BACK_CALLS: f64 = 15.0;
/// Fewer calls than so much of the expected ones are too few: in an hour, and in longer windows while the last hour has
/// less than so much.
const FEW: f64 = 0.5;
const FEW_STILL: f64 = 0.6;
/// And while the last ten minutes have.
const FEW_NOW: f64 = 0.65;
/// Of a job that runs each hour one of two runs left out is no news: it takes fewer, in so many hours at least, of which the last may have
/// only begun.
const FEW_OF_RUNS: f64 = 0.35;
const RUNS_HOURS: i64 = 3;
/// How often it is worked out anew how many silences may begin, as what is needed depends on it.
const BEGINNINGS_STEPS: usize = 3;
/// Longer windows in which too few is looked for.
const FEW_HOURS: [i64; 6] = [2, 3, 4, 6, 8, 12];

/// The expected calls of which none is as surprising as is asked: P(nothing) = (1 + alpha·M)^(-1/alpha) where M of them come, each
/// with so many at once.
pub(super) fn nothing_is_surprising(ask: &Ask, alpha: f64, clump: f64) -> f64 {
    (((ask.surprise * alpha).exp() - 1.0) / alpha * clump).max(ask.min_extra)
}

/// The same of silences that may begin with any call, `rate` of them coming in an hour: an hour is one look for silence, and as many more
/// as are to be expected to begin in it. Where a gamma variable g of mean 1 and variance alpha makes hours busy, these are
/// E[rate·g·exp(-g·M)] = rate·(1 + alpha·M)^(-1/alpha - 1), which is rate/(1 + alpha·M) times the chance of one look.
fn silence_is_surprising(ask: &Ask, alpha: f64, clump: f64, rate: f64) -> f64 {
    (0..BEGINNINGS_STEPS).fold(nothing_is_surprising(ask, alpha, clump), |needed, _| {
        let looks = 1.0 + rate / (clump + alpha * needed);
        nothing_is_surprising(&Ask { surprise: ask.surprise + looks.ln(), ..*ask }, alpha, clump)
    })
}

impl Rates {
    /// When silence since `last` becomes too surprising; `None` where it does not within [`SILENCE_HOURS_MAX`], or where the key has
    /// no rhythm.
    pub fn silence_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        let ask = &Ask { holidays: self.holidays_after(last, ask.holidays), ..self.ask_of_few(ask) };
        if self.is_bursty() && !self.known.is_hourly {
            return self.job_due(last, ask);
        }
        let least = match () {
            () if self.is_in_rows() => SILENCE_OF_ROWS,
            // Between two runs it is always silent.
            () if self.known.is_hourly => SILENCE_OF_RUNS,
            () if self.is_steady() => SILENCE_MIN.max((RUNS_MISSED * self.usual_pause(last) as f64) as Millis),
            () => SILENCE_MIN,
        };
        // What calls by the clock has no pauses but those.
        let rate = if self.is_steady() { 0.0 } else { self.low_rates(last).next().map_or(0.0, |(.., rate)| rate) };
        // What makes single hours busy evens out: a long silence takes less, for its length.
        let of = |length: Millis, least: Millis| {
            let needed = silence_is_surprising(ask, self.alpha_of_still(length), self.at_once(), rate);
            self.missing(last, needed.max(self.usual_silence()), ask.holidays).map(|at| at.max(last + least))
        };
        let long = SILENCES.into_iter().map(|length| of(length, length.max(least)));
        let by_own =
            self.silence_by_own(ask.surprise).map(|needed| needed.max(ask.min_extra).max(self.usual_silence()));
        let by_own = by_own.and_then(|needed| self.missing(last, needed, ask.holidays)).map(|at| at.max(last + least));
        long.chain([of(HOUR, least), by_own]).flatten().min()
    }

    /// The longest time from one call to the next within about the last hour until `last`, but for a single one that is longer.
    fn usual_pause(&self, last: Millis) -> Millis {
        let newest = last.div_euclid(BUCKET).min(self.newest);
        let mut with_calls = (0..RING as i64).filter(|back| 0 < self.count_of(newest - back));
        let (mut later, mut pauses) = (with_calls.next().unwrap_or(0), [0; 2]);
        for back in with_calls {
            let pause = back - later;
            pauses = if pauses[0] < pause { [pause, pauses[0]] } else { [pauses[0], pauses[1].max(pause)] };
            later = back;
        }
        let [longest, next] = pauses;
        if next == 0 { longest * BUCKET } else { next * BUCKET }
    }

    /// When silence since `last` becomes too surprising for the events of many keys together; `None` where it does not within
    /// [`SILENCE_HOURS_MAX`]. What makes single hours busy, one key or a retry storm, does not make them silent: little scatter is allowed for.
    pub fn silence_of_many_due(&self, last: Millis, ask: &Ask) -> Option<Millis> {
        self.missing(last, nothing_is_surprising(ask, self.gross_alpha().min(SCATTER_OF_MANY), 1.0), ask.holidays)
    }

    /// When so many calls were to be expected since `last`; `None` where they are not within [`SILENCE_HOURS_MAX`] beside holidays, or where
    /// the key rests on some days within the first working day that cannot be one of them.
    fn missing(&self, last: Millis, needed: f64, holidays: Holidays) -> Option<Millis> {
        let (mut sum, mut before, mut has_rested) = (0.0, None, false);
        let days_off = self.days_off_after(last);
        let until = match days_off {
            Some([_, to]) => (last + SILENCE_HOURS_MAX * HOUR).max((to + 2) * DAY - self.offset),
            None => last + SILENCE_HOURS_MAX * HOUR,
        };
        let today = self.day_of(last);
        let n_holidays = (today..today + HOLIDAYS_MAX).filter(|day| holidays.has(*day)).count() as i64;
        let until = until + n_holidays * DAY;
        for (at, end, rate) in self.low_rates(last).take_while(|(at, ..)| *at < until) {
            if holidays.has(self.day_of(at)) {
                continue;
            }
            if let Some(days) = days_off {
                has_rested = has_rested || self.is_night(at.div_euclid(HOUR));
                let day = self.day_of(at);
                // Where a day begins while work goes on, that work is not the day's.
                if days.contains(&day) && (has_rested || day == self.day_of(last)) {
                    continue;
                }
            }
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

    /// What calls by the clock shows with fewer of them that something is wrong, unless a single run is most of them.
    fn ask_of_few(&self, ask: &Ask) -> Ask {
        let part = if self.is_steady() && !self.known.is_hourly { STEADY_EXTRA_TIMES } else { 1.0 };
        Ask { min_extra: part * ask.min_extra, ..*ask }
    }

    /// Far fewer calls than usual in the last hour, some coming still.
    pub fn too_few(&self, at: Millis, ask: &Ask) -> Option<Excess> {
        let ask = &self.ask_of_few(ask);
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
        if FEW_STILL * expected < observed as f64 || self.may_be_day_off(at) {
            return None;
        }
        let is_of_hours = !self.is_in_rows() && !self.known.is_hourly;
        let is_few = ask.min_extra <= expected && observed as f64 <= FEW * expected && is_of_hours;
        let hour_long = is_few.then(|| {
            let starts_at = at.div_euclid(BUCKET) * BUCKET + BUCKET - HOUR;
            let window = Window { starts_at, length: HOUR, observed, expected };
            (window, self.surprise_of_few(HOUR, observed as f64, expected))
        });
        let few = if self.known.is_hourly { FEW_OF_RUNS } else { FEW };
        let longer = FEW_HOURS.iter().filter(|n| !self.known.is_hourly || RUNS_HOURS <= **n).filter_map(|n| {
            let length = n * HOUR;
            let before: f64 = (hour - n + 1..hour).map(|hour| self.expected_low(hour)).sum();
            // Where a run's calls come in its hour is not known.
            let this = if self.known.is_hourly { 0.0 } else { this * part };
            let expected = (before + this) * self.level_before(hour - n + 1).min(1.0);
            let observed = (hour - n + 1..=hour).map(|hour| self.hour_total(hour)).sum::<f64>();
            (2.0 * ask.min_extra <= expected && observed <= few * expected).then(|| {
                let starts_at = (hour - n + 1) * HOUR;
                let window = Window { starts_at, length, observed: observed as u64, expected };
                // The last hour may have only begun: what has passed scatters as so much does.
                (window, self.surprise_of_few(at - starts_at, observed, expected))
            })
        });
        hour_long.into_iter().chain(longer).find_map(|(window, surprise)| {
            let needed = self.surprise_needed(&window, ask);
            (needed <= surprise).then(|| Excess {
                window,
                surprise,
                usual_up_to: None,
                most_before: None,
                least_before: if surprise < ask.surprise { self.least_before(window.length) } else { None },
                since: window.starts_at,
            })
        })
    }

    /// How surprising so few calls are, clumps being counted rather than calls: that none comes is likelier than their variance says.
    fn surprise_of_few(&self, length: Millis, observed: f64, expected: f64) -> f64 {
        let clump = self.at_once();
        surprise_low((observed / clump).round() as u64, expected / clump, self.alpha_of_still(length))
    }

    /// Whether the last ten minutes are as usual (the last hour, of what comes once in it, as rows may): nothing is too few any more.
    pub fn is_back(&self, at: Millis) -> bool {
        let length = if self.known.is_hourly || self.is_in_rows() { HOUR } else { 10 * MINUTE };
        let expected = self.expected_since(at, length) * self.level().min(1.0);
        FEW_NOW * expected <= self.calls_since(at, length) as f64
    }

    /// Whether enough calls have come for long enough that nothing is too few any more: a few by chance are not.
    pub fn is_back_to_stay(&self, at: Millis) -> bool {
        if self.runs_daily() {
            return self.has_run(at);
        }
        let level = self.level().min(1.0);
        let expected = |length: Millis| self.expected_since(at, length) * level;
        let is_even = !self.known.is_hourly && !self.is_in_rows();
        let enough = |length: &Millis| is_even && BACK_CALLS <= expected(*length);
        let length = BACK_FOR.into_iter().find(enough).unwrap_or(HOUR);
        BACK * expected(length) <= self.calls_since(at, length) as f64
    }

    /// Calls expected between two times.
    pub fn expected_between(&self, from: Millis, to: Millis) -> f64 {
        self.expected_but_on(Holidays::NONE, from, to)
    }

    /// The same of a silence, in which nothing is missed on holidays.
    pub fn expected_in_silence(&self, from: Millis, to: Millis, holidays: Holidays) -> f64 {
        self.expected_but_on(self.holidays_after(from, holidays), from, to)
    }

    fn expected_but_on(&self, days_off: Holidays, from: Millis, to: Millis) -> f64 {
        let (mut at, mut sum) = (from, 0.0);
        while at < to && at - from < EXPECTED_MAX {
            let hour = at.div_euclid(HOUR);
            let end = ((hour + 1) * HOUR).min(to);
            if !days_off.has(self.day_of(at)) {
                sum += self.expected_in(hour) * (end - at) as f64 / HOUR as f64;
            }
            at = end;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_silences_may_begin_in_an_hour_the_longer_they_must_be() {
        for (alpha, clump, rate, want) in [
            // One look: -ln((1 + 0.15·M)^(-1/0.15)) = 11.7 for M = 31.9.
            (0.15, 1.0, 0.0, 31.9),
            (0.15, 1.0, 100.0, 49.9),
            (0.15, 2.0, 100.0, 90.9),
            // Next to Poisson: 11.7, and ln(101) more.
            (0.002, 1.0, 0.0, 11.8),
            (0.002, 1.0, 100.0, 16.6),
            // Few calls are few looks.
            (0.15, 1.0, 0.5, 32.4),
        ] {
            let needed = silence_is_surprising(&Ask::new(11.7, 5.0), alpha, clump, rate);
            assert!((needed - want).abs() < 0.1, "{alpha} {clump} {rate}: {needed}");
            // So many are to be expected in an hour: what a look may have, once it is as long.
            let one = (1.0 + alpha * needed / clump).powf(-1.0 / alpha);
            let begin = one * (1.0 + rate / (clump + alpha * needed));
            assert!((begin.ln() + 11.7).abs() < 0.05, "{alpha} {clump} {rate}: {}", begin.ln());
        }
    }
}
