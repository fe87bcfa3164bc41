//! The negative binomial distribution: counts whose variance exceeds their mean.
//!
//! Parametrised by mean `mu` and dispersion `alpha`, so that the variance is `mu + alpha·mu²` ("NB2" in Cameron and
//! Trivedi, *Regression Analysis of Count Data*, 2nd ed. 2013, section 3.3). `alpha` = 0 is Poisson.

/// Means above this use the approximation in [`limit`].
const EXACT_UP_TO_MEAN: f64 = 400.0;

/// The smallest count `c` with P(X ≥ c) ≤ `p`, at least 1.
///
/// Exact summation for small means. For large ones the gamma distribution of the same mean and variance, its quantile
/// by the cube root transformation of Wilson and Hilferty (PNAS 17, 1931): within 2 % for `alpha` up to 0.1, 8 % at 0.5.
pub fn limit(mu: f64, alpha: f64, p: f64) -> u64 {
    let mu = mu.max(1e-9);
    if mu > EXACT_UP_TO_MEAN {
        let shape = mu * mu / (mu + alpha * mu * mu);
        let ninth = 1.0 / (9.0 * shape);
        let root = (1.0 - ninth + upper_normal_quantile(p) * ninth.sqrt()).max(0.0);
        return (mu * root.powi(3)).ceil().max(1.0) as u64 + 1;
    }
    // Sum the lower tail until what is left above is at most p: P(X >= c) = 1 - F(c - 1). The tail is summed from above
    // where 1 - F would lose its digits.
    let (mut log_term, ratio): (f64, Box<dyn Fn(f64) -> f64>) = if alpha < 1e-9 {
        (-mu, Box::new(move |k| mu / (k + 1.0)))
    } else {
        let r = 1.0 / alpha;
        let q = mu / (r + mu);
        (r * (r / (r + mu)).ln(), Box::new(move |k| (k + r) / (k + 1.0) * q))
    };
    let mut terms = Vec::new();
    let mut k = 0.0;
    // Far enough out, terms shrink by more than the factor `ratio`, and the rest is a geometric series.
    loop {
        terms.push(log_term.exp());
        let next = ratio(k);
        if k > mu && next < 1.0 && log_term.exp() * next / (1.0 - next) < p * 1e-3 {
            break;
        }
        if terms.len() > 200_000 {
            break;
        }
        log_term += next.ln();
        k += 1.0;
    }
    let mut tail = 0.0;
    for c in (0..terms.len()).rev() {
        tail += terms[c];
        if tail > p {
            return c as u64 + 1;
        }
    }
    1
}

/// How surprising it is to see `count` or more: -ln P(X ≥ count). 0 up to the mean.
pub fn surprise_high(count: u64, mu: f64, alpha: f64) -> f64 {
    let (mu, k) = (mu.max(1e-6), count as f64);
    if k <= mu {
        return 0.0;
    }
    let (r, q) = shape(mu, alpha);
    // Above the mean the terms shrink: the first is nearly the whole sum.
    let (mut term, mut sum, mut at) = (1.0, 1.0, k);
    for _ in 0..TERMS_MAX {
        term *= (at + r) / (at + 1.0) * q;
        sum += term;
        at += 1.0;
        if term < sum * 1e-4 {
            break;
        }
    }
    (-(log_probability(k, mu, r, q) + f64::ln(sum))).max(0.0)
}

/// The same where the rate itself is log-normal with that dispersion, of a count so large that its own chance does not matter beside it: what
/// makes hours busy multiplies, and its tail is heavier than the gamma's that a negative binomial mixes with (Bulmer, Biometrics 30,
/// 1974).
pub fn surprise_of_busy_times(count: f64, mu: f64, alpha: f64) -> f64 {
    let variance = (1.0 + alpha.max(1e-6)).ln();
    let z = ((count / mu.max(1e-6)).ln() + variance / 2.0) / variance.sqrt();
    // Mills' ratio, within 1 % from z = 2 on (Abramowitz and Stegun, 26.2.14, cut after the third term).
    if z < 1.0 {
        0.0
    } else {
        z * z / 2.0 + (2.0 * std::f64::consts::PI).sqrt().ln() + (z + 1.0 / (z + 2.0 / (z + 3.0 / z))).ln()
    }
}

/// How surprising it is to see `count` or less: -ln P(X ≤ count). 0 from the mean on.
pub fn surprise_low(count: u64, mu: f64, alpha: f64) -> f64 {
    let k = count as f64;
    if mu <= k {
        return 0.0;
    }
    let (r, q) = shape(mu, alpha);
    let (mut term, mut sum, mut at) = (1.0, 1.0, k);
    while at >= 1.0 {
        term *= at / ((at - 1.0 + r) * q);
        sum += term;
        at -= 1.0;
        if term < sum * 1e-4 {
            break;
        }
    }
    (-(log_probability(k, mu, r, q) + f64::ln(sum))).max(0.0)
}

/// Terms that a sum is cut after.
const TERMS_MAX: usize = 4_000;

/// The other parametrisation: r = 1/alpha, and mu/(r + mu).
fn shape(mu: f64, alpha: f64) -> (f64, f64) {
    let r = 1.0 / alpha.max(1e-6);
    (r, mu / (r + mu))
}

/// ln P(X = k).
fn log_probability(k: f64, mu: f64, r: f64, q: f64) -> f64 {
    ln_gamma(k + r) - ln_gamma(k + 1.0) - ln_gamma(r) - r * (mu / r).ln_1p() + k * q.ln()
}

/// ln Γ(x) for x > 0, by Stirling's series (Abramowitz and Stegun, 6.1.41), to 1e-10: small x by the recurrence.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

/// The z with P(Z > z) = `p` for a standard normal Z, to 4.5e-4 (Abramowitz and Stegun, *Handbook of Mathematical
/// Functions*, 26.2.23).
fn upper_normal_quantile(p: f64) -> f64 {
    let (tail, sign) = if p <= 0.5 { (p.max(1e-300), 1.0) } else { (1.0 - p, -1.0) };
    let t = (-2.0 * tail.ln()).sqrt();
    let top = 2.515517 + t * (0.802853 + t * 0.010328);
    let bottom = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308));
    sign * (t - top / bottom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P(X >= c), summed term by term.
    fn tail(mu: f64, alpha: f64, c: u64) -> f64 {
        let r = 1.0 / alpha;
        let mut log_term = r * (r / (r + mu)).ln();
        let mut below = 0.0;
        for k in 0..c {
            below += log_term.exp();
            log_term += ((k as f64 + r) / (k as f64 + 1.0) * mu / (r + mu)).ln();
        }
        1.0 - below
    }

    #[test]
    fn the_limit_keeps_its_promise_and_no_more() {
        for (mu, alpha, p) in [(0.1, 0.5, 1e-3), (5.0, 0.2, 1e-4), (30.0, 1.0, 1e-5), (300.0, 0.05, 1e-4)] {
            let c = limit(mu, alpha, p);
            assert!(tail(mu, alpha, c) <= p * 1.001, "mu {mu}: {c}");
            assert!(tail(mu, alpha, c - 1) > p, "mu {mu}: {c} is larger than it need be");
        }
    }

    #[test]
    fn surprise_is_the_logarithm_of_the_tail() {
        for (mu, alpha, c) in [(0.1, 0.5, 3), (5.0, 0.2, 20), (30.0, 1.0, 200), (300.0, 0.05, 500), (2.0, 3.0, 40)] {
            let want = -tail(mu, alpha, c).ln();
            let got = surprise_high(c, mu, alpha);
            assert!((got / want - 1.0).abs() < 1e-3, "mu {mu}, c {c}: {got} {want}");
        }
        for (mu, alpha, c) in [(5.0, 0.2, 0), (30.0, 0.1, 4), (300.0, 0.05, 100)] {
            let want = -(1.0 - tail(mu, alpha, c + 1)).ln();
            let got = surprise_low(c, mu, alpha);
            assert!((got / want - 1.0).abs() < 1e-3, "mu {mu}, c {c}: {got} {want}");
        }
        assert_eq!((surprise_high(3, 5.0, 0.1), surprise_low(9, 5.0, 0.1)), (0.0, 0.0));
        // Poisson: P(X >= 22 | 10) = 0.00070 (tables).
        assert!((surprise_high(22, 10.0, 0.0) + 0.00070_f64.ln()).abs() < 0.01);
    }

    #[test]
    fn busy_times_are_normal_in_logarithms() {
        // P(Z > 2) = 0.02275, P(Z > 4) = 3.167e-5 (tables); alpha = e - 1 is a standard deviation of 1.
        let alpha = std::f64::consts::E - 1.0;
        for (z, tail) in [(2.0_f64, 0.02275_f64), (4.0, 3.167e-5)] {
            let surprise = surprise_of_busy_times(10.0 * (z - 0.5).exp(), 10.0, alpha);
            assert!((surprise + tail.ln()).abs() < 0.02, "{z}: {surprise} {}", -tail.ln());
        }
        assert_eq!(surprise_of_busy_times(5.0, 10.0, 0.2), 0.0);
    }

    #[test]
    fn the_approximation_meets_the_exact_sum() {
        for (mu, alpha, within) in [(399.9, 0.1, 0.02), (399.9, 0.5, 0.08), (399.9, 0.001, 0.02)] {
            let exact = limit(mu, alpha, 1e-5) as f64;
            let near = limit(EXACT_UP_TO_MEAN + 0.1, alpha, 1e-5) as f64;
            assert!((near / exact - 1.0).abs() < within, "alpha {alpha}: {exact} {near}");
        }
    }

    #[test]
    fn poisson_is_the_limit_without_dispersion() {
        // P(X >= 21 | 10) = 0.00159, P(X >= 22) = 0.00070 (tables)
        assert_eq!(limit(10.0, 0.0, 1e-3), 22);
    }
}
