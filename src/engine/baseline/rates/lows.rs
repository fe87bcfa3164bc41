//! The least share of the expected calls that has come in some hours: what is far below all of them needs less of a model of how counts
//! scatter.

use serde::{Deserialize, Serialize};

use super::{Ask, HOUR, Millis, Rates, WEEK_SEEN, Window};

/// Lengths of windows of which the least share is known, in hours.
const LENGTHS: [i64; 2] = [4, 6];
/// A share is told of windows in which so many calls were to be expected.
const FROM: f64 = 100.0;
/// No hour of a day is so many times as busy as an average one, where it is not worth while to look.
const BUSIEST: f64 = 4.0;
/// Far below are windows with no more than this part of the least share, and no more than so much of what is expected.
const FAR_BELOW: f64 = 0.4;
const FEW: f64 = 0.3;
/// How much less surprise that takes.
const SURPRISE: f64 = 0.6;
/// So many days tell how few may come.
const DAYS: u8 = 3;
/// Steps of a share.
const WHOLE: f64 = 100.0;
const UNKNOWN: u8 = u8::MAX;
/// By so much of what is missing to the whole a least share is forgotten in a day: half of it in three weeks.
const FORGOTTEN: f64 = 0.03;

/// The least shares by length of window, in hundredths: until the last day of the key began, and since. A day must not be held against itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lows {
    /// Before the day.
    pub before: [u8; LENGTHS.len()],
    /// In the day.
    pub today: [u8; LENGTHS.len()],
    /// In so many hours the longest window has none any more of which something is not known.
    pub blind: u8,
    /// Days that have told of them.
    pub days: u8,
}

impl Default for Lows {
    fn default() -> Self {
        Lows { before: [UNKNOWN; LENGTHS.len()], today: [UNKNOWN; LENGTHS.len()], blind: 0, days: 0 }
    }
}

impl Lows {
    /// Begins a day.
    pub(super) fn turn(&mut self) {
        self.days = self.days.saturating_add(u8::from(self.today[0] != UNKNOWN));
        for (before, today) in self.before.iter_mut().zip(&mut self.today) {
            if *before != UNKNOWN {
                let missing = WHOLE - f64::from(*before);
                *before += (FORGOTTEN * missing.max(0.0)).round() as u8;
            }
            *before = (*before).min(std::mem::replace(today, UNKNOWN));
        }
    }

    /// An hour tells nothing: its calls were not seen, or stayed away.
    pub(super) fn skip(&mut self) {
        self.blind = LENGTHS[LENGTHS.len() - 1] as u8;
    }
}

impl Rates {
    /// The least shares.
    pub fn lows(&self) -> Lows {
        self.lows
    }

    /// Goes on with what was stored of them.
    pub fn set_lows(&mut self, lows: Lows) {
        self.lows = lows;
    }

    /// Learns which share of the expected calls came in the hours that end with one that has just closed, before that is learned.
    pub(super) fn learn_lows(&mut self, hour: i64) {
        self.lows.blind = self.lows.blind.saturating_sub(1);
        let longest = LENGTHS[LENGTHS.len() - 1];
        // A silence says nothing of how few may come.
        if self.hour_total(hour) == 0.0 {
            return self.lows.skip();
        }
        if self.days_learned() < WEEK_SEEN || self.mean_hour() * BUSIEST * (longest as f64) < FROM {
            return;
        }
        let level = self.level().min(1.0);
        let (mut observed, mut expected) = (0.0, 0.0);
        for (back, hour) in (1..=longest).zip((hour - longest + 1..=hour).rev()) {
            observed += self.hour_total(hour);
            expected += self.expected_low(hour) * level;
            let Some(place) = LENGTHS.iter().position(|length| *length == back) else { continue };
            if FROM <= expected && i64::from(self.lows.blind) + back <= longest {
                let share = (WHOLE * observed / expected).ceil().min(f64::from(UNKNOWN - 1)) as u8;
                let low = &mut self.lows.today[place];
                *low = share.min(*low);
            }
        }
    }

    /// How surprising so few calls must be in a window of some hours: less than what is asked where it is far below all that came before.
    pub(super) fn surprise_needed(&self, window: &Window, ask: &Ask) -> f64 {
        let least = self.least_before(window.length).filter(|_| FROM <= window.expected && !self.known.is_hourly);
        let is_far = |least: u64| {
            let at_most = (FAR_BELOW * least as f64 / WHOLE).min(FEW);
            window.observed as f64 <= at_most * window.expected
        };
        if least.is_some_and(is_far) { SURPRISE * ask.surprise } else { ask.surprise }
    }

    /// The least share of the expected calls that came in such a time before, in hundredths; none where that is not known.
    pub(super) fn least_before(&self, length: Millis) -> Option<u64> {
        let place = LENGTHS.iter().rposition(|of| *of <= length / HOUR)?;
        let least = self.lows.before[place];
        (least != UNKNOWN && DAYS <= self.lows.days).then_some(u64::from(least))
    }
}
