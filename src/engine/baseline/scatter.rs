//! How much counts scatter beyond Poisson, and how heavy the tail of what surprises is: estimated for each key, from a
//! prior that the fleet gives.

/// How fast old scatter is forgotten, per observation.
const DECAY: f32 = 0.998;

/// Excess variance by the method of moments: alpha = Σ((x-mu)² - mu) / Σ mu² (Cameron and Trivedi, *Regression Analysis
/// of Count Data*, 2nd ed. 2013, section 3.3.1), shrunk towards a prior.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scatter {
    /// Sum of (x-mu)² - mu.
    pub excess: f32,
    /// Sum of mu².
    pub square: f32,
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
    }

    /// The dispersion that the key itself has shown; none where that is less than what `weight` observations of a usual mean
    /// `typical` show.
    pub fn own(self, weight: f64, typical: f64) -> Option<f64> {
        (weight * (typical * typical).max(0.25) <= f64::from(self.square))
            .then(|| f64::from(self.excess) / f64::from(self.square))
    }

    /// The dispersion. `typical` is a usual mean.
    pub fn alpha(self, prior: Prior, typical: f64) -> f64 {
        let weight = prior.weight * (typical * typical).max(0.25);
        ((f64::from(self.excess) + prior.alpha * weight) / (f64::from(self.square) + weight)).clamp(0.01, 20.0)
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
        let alpha = scatter.alpha(Prior { alpha: 0.5, weight: 24.0 }, 10.0);
        assert!((alpha - 0.15).abs() < 0.04, "{alpha}");
        let before = Scatter::default().alpha(Prior { alpha: 0.5, weight: 24.0 }, 10.0);
        assert!((before - 0.5).abs() < 1e-9);
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
