//! How much counts scatter beyond Poisson, and how heavy the tail of what surprises is: estimated for each key, from a
//! prior that the fleet gives.

/// How fast old scatter is forgotten, per observation.
pub const DECAY: f32 = 0.998;

/// The variance of counts, as clump·mu + alpha·mu²: calls that come in clumps, and hours that are busier than others. alpha by the
/// method of moments: Σ((x-mu)² - clump·mu) / Σ mu² (Cameron and Trivedi, *Regression Analysis of Count Data*, 2nd ed. 2013,
/// sections 3.3.1 and 3.2.4 for a variance in both terms), shrunk towards a prior.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scatter {
    /// Sum of (x-mu)² - mu.
    pub excess: f32,
    /// Sum of mu².
    pub square: f32,
    /// Sum of mu.
    pub mean: f32,
}

/// What is believed before anything is seen.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// Dispersion.
    pub alpha: f64,
    /// How many observations it stands for.
    pub weight: f64,
}

impl Scatter {
    /// Learns one count that was expected to be `mu`.
    pub fn learn(&mut self, x: f64, mu: f64) {
        self.excess = self.excess * DECAY + ((x - mu) * (x - mu) - mu) as f32;
        self.square = self.square * DECAY + (mu * mu) as f32;
        self.mean = self.mean * DECAY + mu as f32;
    }

    /// Variance in times the mean, over all observations together: no clump is larger.
    pub fn times_poisson(self) -> f64 {
        let (excess, mean) = (f64::from(self.excess), f64::from(self.mean));
        1.0 + (excess + (CLUMP - 1.0) * CLUMP_CALLS) / (mean + CLUMP_CALLS)
    }

    /// The dispersion that the key itself has shown; none where that is less than what `weight` observations of a usual mean
    /// `typical` show.
    pub fn own(self, weight: f64, typical: f64, clump: f64) -> Option<f64> {
        (weight * (typical * typical).max(0.25) <= f64::from(self.square))
            .then(|| self.beyond(clump) / f64::from(self.square))
    }

    /// The dispersion. `typical` is a usual mean, `clump` how many calls come at once.
    pub fn alpha(self, prior: Prior, typical: f64, clump: f64) -> f64 {
        let weight = prior.weight * (typical * typical).max(0.25);
        ((self.beyond(clump) + prior.alpha * weight) / (f64::from(self.square) + weight)).clamp(0.002, 20.0)
    }

    /// Sum of (x-mu)² - clump·mu.
    fn beyond(self, clump: f64) -> f64 {
        f64::from(self.excess) - (clump - 1.0) * f64::from(self.mean)
    }
}

/// How many calls come at once: an order is several calls, and so is a person who tries something. Within an hour, the variance of ten
/// minutes in times their mean (the index of dispersion; Cox and Lewis, *The Statistical Analysis of Series of Events*, 1966,
/// section 6.3), over all hours: how busy an hour was does not matter to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clumps {
    /// Sum of (x-m)² over the tens of minutes of hours, m being the hour's mean.
    pub squares: f32,
    /// Sum of what that would be if calls came one by one.
    pub calls: f32,
}

/// How large clumps are believed to be before they are seen, and how many calls that stands for.
const CLUMP: f64 = 3.0;
const CLUMP_CALLS: f64 = 40.0;
/// The least that is allowed for in an hour, but for machines.
const HOUR_CLUMP: f64 = 2.0;
/// The largest that is believed: what is larger is no order, and scatters as busy times do.
const CLUMP_MAX: f64 = 8.0;
/// One hour counts for so many times what is usual at most: an episode must not make itself usual.
const CLUMP_CLIP: f64 = 4.0;

impl Clumps {
    /// Learns an hour from the calls of its tens of minutes.
    pub fn learn(&mut self, tens: &[f64; 6]) {
        let mean = tens.iter().sum::<f64>() / 6.0;
        let squares: f64 = tens.iter().map(|x| (x - mean) * (x - mean)).sum();
        let calls = 5.0 * mean;
        // Busy hours tell how busy their tens of minutes are, quiet ones what comes at once.
        let weight = CLUMP_CALLS / calls.max(CLUMP_CALLS);
        self.squares = self.squares * DECAY + (weight * squares.min(CLUMP_CLIP * self.size() * calls)) as f32;
        self.calls = self.calls * DECAY + (weight * calls) as f32;
    }

    /// Calls that come at once.
    pub fn size(self) -> f64 {
        let clump = (f64::from(self.squares) + CLUMP * CLUMP_CALLS) / (f64::from(self.calls) + CLUMP_CALLS);
        clump.clamp(1.0, CLUMP_MAX)
    }

    /// What to allow for in windows shorter than an hour, where hours scatter by `hours`: retries come at once, whatever was seen. Only a
    /// machine that calls by the clock is taken at its word.
    pub fn size_of_minutes(self, hours: Scatter) -> f64 {
        self.size().max((CLUMP * hours.times_poisson()).clamp(1.0, CLUMP))
    }

    /// The same of whole hours: a job that runs each hour has no clumps there.
    pub fn size_of_hours(self, hours: Scatter) -> f64 {
        let hours = hours.times_poisson();
        self.size().min(hours).max((HOUR_CLUMP * hours).clamp(1.0, HOUR_CLUMP))
    }
}

/// The tail of surprise (-ln of the tail's probability). Under the right model it is exponential with mean 1; where the
/// model is too sure of itself, the mean excess over a threshold is larger (peaks over threshold with an exponential tail:
/// Pickands, Annals of Statistics 3, 1975; as a detector's threshold: Siffer and others, SPOT, KDD 2017).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tail {
    /// Sum of what exceeded the threshold.
    pub excess: f32,
    /// How many did.
    pub n: f32,
}

/// The threshold over which surprise counts.
const THRESHOLD: f64 = 1.0;
/// The mean excess of keys whose counts are as the model says: scatter is estimated from clipped counts, so it is a
/// little small, and surprise a little large.
const USUAL_MEAN: f64 = 1.2;
/// How many exceedances stand for what is believed before.
const TAIL_PRIOR: f64 = 12.0;

impl Tail {
    /// The mean excess that the key itself has shown; none before there were a few.
    pub fn own(self) -> Option<f64> {
        (TAIL_PRIOR <= f64::from(self.n)).then(|| f64::from(self.excess / self.n))
    }

    /// Learns how surprising a usual count was.
    pub fn learn(&mut self, surprise: f64) {
        if surprise > THRESHOLD {
            self.excess = self.excess * DECAY + (surprise - THRESHOLD) as f32;
            self.n = self.n * DECAY + 1.0;
        }
    }

    /// The surprise that is left once this key's own tail is allowed for; `usual` is the mean excess of the fleet.
    pub fn corrected(self, surprise: f64, usual: f64) -> f64 {
        let mean = (f64::from(self.excess) + TAIL_PRIOR * usual) / (f64::from(self.n) + TAIL_PRIOR);
        if surprise <= THRESHOLD { surprise } else { THRESHOLD + (surprise - THRESHOLD) / (mean / USUAL_MEAN).max(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_beyond_poisson_is_found() {
        // Counts of 5 and 15 in turn: variance 25 about a mean of 10, so alpha = 0.15.
        let mut scatter = Scatter::default();
        (0..400).for_each(|n| scatter.learn(if n % 2 == 0 { 5.0 } else { 15.0 }, 10.0));
        let alpha = scatter.alpha(Prior { alpha: 0.5, weight: 24.0 }, 10.0, 1.0);
        assert!((alpha - 0.15).abs() < 0.04, "{alpha}");
        let before = Scatter::default().alpha(Prior { alpha: 0.5, weight: 24.0 }, 10.0, 1.0);
        assert!((before - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_size_of_clumps_is_found_whatever_hours_do() {
        for clump in [1, 5] {
            let mut clumps = Clumps::default();
            for hour in 0..400_u64 {
                // Orders of `clump` calls, here and there; some hours have five times as many.
                let mut tens = [0.0; 6];
                let orders = if hour % 4 == 0 { 30 } else { 6 };
                for n in 0..orders {
                    let place = (hour * 31 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    tens[((place ^ place >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as usize % 6] +=
                        f64::from(clump);
                }
                clumps.learn(&tens);
            }
            let found = clumps.size() / f64::from(clump);
            assert!((0.7..1.5).contains(&found), "{clump}: {}", clumps.size());
        }
        let mut regular = Clumps::default();
        let mut hours = Scatter::default();
        for _ in 0..400 {
            regular.learn(&[20.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
            hours.learn(20.0, 20.0);
        }
        assert!(7.0 < regular.size() && regular.size_of_hours(hours) < 1.1, "a job of 20 calls at each full hour");
    }

    #[test]
    fn a_key_that_often_surprises_surprises_less() {
        let (mut calm, mut wild) = (Tail::default(), Tail::default());
        (0..50).for_each(|_| (calm.learn(1.8), wild.learn(6.0)).0);
        assert_eq!(calm.corrected(14.0, 1.0), 14.0);
        assert!(wild.corrected(14.0, 1.0) < 6.0, "{}", wild.corrected(14.0, 1.0));
        assert!(Tail::default().corrected(14.0, 2.4) < 8.0, "in a wild fleet, before it was seen");
    }
}
