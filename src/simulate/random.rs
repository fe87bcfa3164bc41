//! Random numbers that mean the same for ever: a generator of our own, and the distributions that traffic needs.

/// xoshiro256++ (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021), seeded by splitmix64.
#[derive(Clone, Debug)]
pub struct Random([u64; 4]);

impl Random {
    /// A stream of its own for each seed and name.
    pub fn new(seed: u64, name: u64) -> Self {
        let mut z = seed ^ name.wrapping_mul(0xd134_2543_de82_ef95);
        let mut next = || {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = z;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        Random([next(), next(), next(), next()])
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// From 0 to 1, 1 not included.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`; 0 for 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number from `from` to `to`, `to` not included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from).max(0) as u64) as i64
    }

    /// True with this chance.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of them, all alike. The slice must not be empty.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Gamma with this shape and mean 1 (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // Their section 8: a larger shape, and a power of a uniform number.
            let larger = self.gamma(shape + 1.0) * (shape + 1.0);
            return larger * self.unit().powf(1.0 / shape) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v / shape;
            }
        }
    }

    /// Poisson with this mean: by products of uniform numbers (Knuth, vol. 2, 3.4.1), in parts where the mean is large.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        let (mut left, mut count) = (mean.max(0.0), 0);
        while left > 0.0 {
            let part = left.min(30.0);
            left -= part;
            let floor = (-part).exp();
            let mut product = self.unit();
            while product > floor {
                count += 1;
                product *= self.unit();
            }
        }
        count
    }

    /// Overdispersed counts: Poisson around a gamma, which is negative binomial with variance mean + mean²/shape.
    pub fn count(&mut self, mean: f64, shape: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        let scatter = self.gamma(shape);
        self.poisson(mean * scatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 40_000;
        let drawn: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(n);
        (mean, drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n))
    }

    #[test]
    fn distributions_have_their_means_and_variances() {
        let mut random = Random::new(1, 2);
        for (name, (mean, variance), (want_mean, want_variance)) in [
            ("unit", moments(|| random.unit()), (0.5, 1.0 / 12.0)),
            ("exponential", moments(|| random.exponential()), (1.0, 1.0)),
            ("normal", moments(|| random.normal()), (0.0, 1.0)),
            ("gamma 0.5", moments(|| random.gamma(0.5)), (1.0, 2.0)),
            ("gamma 4", moments(|| random.gamma(4.0)), (1.0, 0.25)),
            ("poisson 3", moments(|| random.poisson(3.0) as f64), (3.0, 3.0)),
            ("poisson 75", moments(|| random.poisson(75.0) as f64), (75.0, 75.0)),
            ("count 20, 4", moments(|| random.count(20.0, 4.0) as f64), (20.0, 120.0)),
        ] {
            assert!((mean - want_mean).abs() < 0.03 + 0.03 * want_mean, "{name}: mean {mean}");
            assert!((variance - want_variance).abs() < 0.02 + 0.08 * want_variance, "{name}: variance {variance}");
        }
    }

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(42, 7);
        let first: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_ne!(first, (0..3).map(|_| Random::new(42, 8).bits()).collect::<Vec<_>>());
        assert_eq!(first[0], Random::new(42, 7).bits());
    }
}
