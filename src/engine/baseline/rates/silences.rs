//! How often a key that calls all the time is silent for a while: a silence that comes again and again is how it works, and no
//! drop. Where a program begins to run once an hour, its silences would otherwise be told hour after hour.

use super::too_few::SILENCE_MIN;
use super::{BUCKET, DAY, HOUR, Millis, Rates};

/// Silences of the last weeks by how many calls were to be expected in them: each class begins where the one before ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silences(pub [u8; CLASSES]);

/// Classes of [`Silences`].
pub const CLASSES: usize = 8;
/// Where the first one begins, and how much longer each is than the one before.
const LEAST: f64 = 8.0;
const TIMES: f64 = 1.5;
/// So many silences as long or longer make one usual. A key that has fewer outages in a few weeks is told of each.
const USUAL: u32 = 4;
/// So many tell how long they are.
const ENOUGH: f64 = 12.0;
/// As half is forgotten each week, they are those of so many hours.
const REMEMBERED_HOURS: f64 = 10.0 * 24.0;
/// A silence must be longer than the usual ones by this factor.
const LONGER: f64 = 1.1;
/// An hour of the week is at most so many times as busy as an average one, where it is not worth while to look.
const BUSIEST: f64 = 12.0;

impl Rates {
    /// The silences that the key has had.
    pub fn silences(&self) -> Silences {
        self.silences
    }

    /// Goes on with what was stored of them.
    pub fn set_silences(&mut self, silences: Silences) {
        self.silences = silences;
    }

    /// Notes a silence that a call at `at` ends, before the call is counted. `unseen` is the last stretch of which nothing is
    /// known.
    pub fn note_silence(&mut self, at: Millis, unseen: Option<(Millis, Millis)>) {
        let from = (self.newest + 1) * BUCKET;
        let is_unseen = unseen.is_some_and(|(begins, ends)| begins < at && from < ends);
        self.note_still(at, is_unseen);
        let is_silence = self.newest >= 0 && SILENCE_MIN <= at - from && at - from < DAY;
        let at_most = BUSIEST * f64::from(self.known.mean_hour) * (at - from) as f64 / HOUR as f64;
        if !is_silence || at_most < LEAST || is_unseen {
            return;
        }
        let missing: f64 = self
            .low_rates(from)
            .take_while(|(begins, ..)| *begins < at)
            .fold(0.0, |sum, (begins, ends, rate)| sum + rate * (ends.min(at) - begins) as f64 / HOUR as f64);
        if LEAST <= missing {
            let class = ((missing / LEAST).ln() / TIMES.ln()) as usize;
            let n = &mut self.silences.0[class.min(CLASSES - 1)];
            *n = n.saturating_add(1);
        }
    }

    /// Calls that must be missing for a silence to be as surprising as is asked in an hour, as the key's own silences tell: how much longer
    /// than [`LEAST`] they are falls off exponentially where calls come at random, in clumps or not, and the mean of it is as long
    /// as clumps and quiet times make it (peaks over threshold, as for [`Tail`](crate::engine::baseline::scatter::Tail)). None where
    /// there were too few.
    pub(super) fn silence_by_own(&self, surprise: f64) -> Option<f64> {
        let n: f64 = self.silences.0.iter().map(|n| f64::from(*n)).sum();
        if n < ENOUGH {
            return None;
        }
        let middle = |class: usize| LEAST * TIMES.powf(class as f64 + 0.5) - LEAST;
        let mean = self.silences.0.iter().enumerate().map(|(class, n)| f64::from(*n) * middle(class)).sum::<f64>() / n;
        // The standard error of a mean of exponential ones.
        let mean = mean * (1.0 + 1.0 / n.sqrt());
        Some(LEAST + mean * (surprise + (n / REMEMBERED_HOURS).ln()))
    }

    /// Forgets half of them; once a week.
    pub(super) fn forget_silences(&mut self) {
        self.silences.0.iter_mut().for_each(|n| *n /= 2);
    }

    /// Calls that may be missing without a word: what was missing often.
    pub(super) fn usual_silence(&self) -> f64 {
        let mut n = 0;
        let longest = self.silences.0.iter().rposition(|of_class| {
            n += u32::from(*of_class);
            USUAL <= n
        });
        longest.map_or(0.0, |class| LONGER * LEAST * TIMES.powi(class as i32 + 1))
    }
}
