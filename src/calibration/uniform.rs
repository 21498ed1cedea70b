//! Are n numbers independent and uniform? One exact machinery for every curve: the probability that the sorted numbers
//! stay between two sequences of bounds.
//!
//! * Kolmogorov–Smirnov: bounds at constant distance from the diagonal.
//! * Envelope of equal local levels (Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32; Aldor-Noiman et al.
//!   2013): the i-th of n sorted uniforms follows Beta(i, n + 1 − i), and every order statistic gets the same central
//!   probability 1 − γ. It is sensitive in the tails, where over- and underconfidence show.

use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, inv_beta_reg};

/// Smallest local level that is told apart.
const TINY: f64 = 1e-13;

/// P(lowerᵢ ≤ u₍ᵢ₎ ≤ upperᵢ for all i) for n sorted independent uniforms, bounds ascending.
///
/// The count N(t) of numbers below t is a Poisson process of rate n given N(1) = n; its distribution is carried from
/// one bound to the next, dropping the paths that have left the band. O(n · width of the band).
pub fn band_probability(lower: &[f64], upper: &[f64]) -> f64 {
    let n = lower.len();
    if n == 0 {
        return 1.0;
    }
    // At a lower bound at most `i` numbers may lie below; at an upper bound at least `i + 1`.
    let mut events: Vec<(f64, bool)> = lower.iter().map(|&t| (t.clamp(0.0, 1.0), false)).collect();
    events.extend(upper.iter().map(|&t| (t.clamp(0.0, 1.0), true)));
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut q = vec![0.0; n + 1];
    let mut next = vec![0.0; n + 1];
    q[0] = 1.0;
    let (mut lowest, mut highest, mut lowers, mut now) = (0, 0, 0, 0.0);
    for (t, is_upper) in events {
        while now < t {
            let step = (t - now).min(100.0 / n as f64);
            let rate = step * n as f64;
            now = if step < t - now { now + step } else { t };
            next[lowest..=n].fill(0.0);
            let mut reached = highest;
            for m in lowest..=highest {
                let mut term = q[m] * (-rate).exp();
                for k in 0..=lowers.min(n).saturating_sub(m) {
                    next[m + k] += term;
                    reached = reached.max(m + k);
                    term *= rate / (k + 1) as f64;
                    if term < 1e-30 && k as f64 > rate {
                        break;
                    }
                }
            }
            std::mem::swap(&mut q, &mut next);
            highest = reached;
        }
        if is_upper {
            q[lowest.min(n)] = 0.0;
            lowest = (lowest + 1).min(n + 1);
        } else {
            // The next lower bound lets one more number pass; until then a path above is lost anyway.
            if highest > lowers {
                q[lowers + 1..=highest].fill(0.0);
                highest = lowers;
            }
            lowers += 1;
        }
        if lowest > highest && lowest <= n {
            return 0.0;
        }
        if lowest >= n {
            break;
        }
    }
    // Advance what is left of the way to t = 1 and condition on N(1) = n.
    let rate = (1.0 - now) * n as f64;
    let end: f64 = (lowest.min(n)..=highest).map(|m| q[m] * poisson(n - m, rate)).sum();
    (end / poisson(n, n as f64)).clamp(0.0, 1.0)
}

fn poisson(k: usize, rate: f64) -> f64 {
    if rate == 0.0 {
        return (k == 0) as u8 as f64;
    }
    (k as f64 * rate.ln() - rate - statrs::function::gamma::ln_gamma(k as f64 + 1.0)).exp()
}

/// Kolmogorov–Smirnov distance of `sorted` numbers from the uniform distribution.
pub fn ks_distance(sorted: &[f64]) -> f64 {
    let n = sorted.len() as f64;
    sorted.iter().enumerate().fold(0.0, |d: f64, (i, u)| d.max((i as f64 + 1.0) / n - u).max(u - i as f64 / n))
}

/// Exact probability that n uniforms lie farther than `d` from the diagonal (two-sided Kolmogorov–Smirnov).
pub fn ks_p_value(n: usize, d: f64) -> f64 {
    let bound = |offset: f64| (0..n).map(move |i| (i as f64 + offset) / n as f64);
    let lower: Vec<f64> = bound(1.0).map(|t| t - d).collect();
    let upper: Vec<f64> = bound(0.0).map(|t| t + d).collect();
    1.0 - band_probability(&lower, &upper)
}

/// Bounds on the order statistics of n uniforms, held simultaneously with probability `level`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Probability that n independent uniforms stay inside everywhere.
    pub level: f64,
    /// Bounds of the sorted numbers (n).
    pub lower: Vec<f64>,
    /// Bounds of the sorted numbers (n).
    pub upper: Vec<f64>,
}

impl Envelope {
    /// The envelope of equal local levels for n numbers.
    pub fn new(n: usize, level: f64) -> Envelope {
        let alpha = 1.0 - level;
        if n == 0 {
            return Envelope { level, lower: vec![], upper: vec![] };
        }
        // Between Bonferroni's local level and a single test's.
        let (mut low, mut high) = ((alpha / n as f64).max(TINY).ln(), alpha.max(TINY).ln());
        for _ in 0..26 {
            let middle = 0.5 * (low + high);
            if local(n, middle.exp()).0 > level { low = middle } else { high = middle }
        }
        let (_, lower, upper) = local(n, low.exp());
        Envelope { level, lower, upper }
    }

    /// Smallest and largest empirical distribution function inside the envelope at `t`.
    pub fn ecdf_range(&self, t: f64) -> (f64, f64) {
        let n = self.lower.len() as f64;
        let below = |bounds: &[f64]| bounds.partition_point(|b| *b <= t) as f64 / n;
        (below(&self.upper), below(&self.lower))
    }
}

/// Probability of staying inside the envelope of local level γ, and its bounds.
fn local(n: usize, gamma: f64) -> (f64, Vec<f64>, Vec<f64>) {
    let lower: Vec<f64> = (1..=n).map(|i| inv_beta_reg(i as f64, (n + 1 - i) as f64, 0.5 * gamma)).collect();
    let upper: Vec<f64> = lower.iter().rev().map(|l| 1.0 - l).collect();
    (band_probability(&lower, &upper), lower, upper)
}

/// p-value of the envelope test: the probability that n uniforms have an order statistic as extreme as the most extreme
/// one of `sorted`. It falls below 1 − level exactly when the numbers leave the [`Envelope`] of that level.
pub fn envelope_p_value(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    let gamma = sorted.iter().enumerate().fold(1.0, |gamma: f64, (i, u)| {
        let (a, b) = ((i + 1) as f64, (n - i) as f64);
        let u = u.clamp(0.0, 1.0);
        gamma.min(2.0 * beta_reg(a, b, u)).min(2.0 * beta_reg(b, a, 1.0 - u))
    });
    if gamma <= TINY { n as f64 * TINY } else { 1.0 - local(n, gamma).0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn ks_agrees_with_published_numbers() {
        // Marsaglia, Tsang & Wang 2003 (J. Stat. Soft. 8, 18): P(D₁₀ < 0.274) = 0.628479615461...
        assert!((1.0 - ks_p_value(10, 0.274) - 0.6284796154).abs() < 1e-9);
        // One number: P(D₁ < d) = 2 d − 1.
        assert!((ks_p_value(1, 0.7) - 0.6).abs() < 1e-12);
        // Tables of Miller 1956: critical distances at 5% and 1%.
        assert!((ks_p_value(20, 0.29408) - 0.05).abs() < 2e-5);
        assert!((ks_p_value(100, 0.16081) - 0.01).abs() < 2e-5);
        // Kolmogorov's limit 2 Σ (−1)ᵏ⁻¹ exp(−2 k² n d²), with its 1/√n correction by Stephens.
        let (n, d) = (2000usize, 0.03);
        let x = (n as f64).sqrt() + 0.12 + 0.11 / (n as f64).sqrt();
        let limit: f64 = (1..20).map(|k| (-1f64).powi(k - 1) * 2.0 * (-2.0 * (k as f64 * x * d).powi(2)).exp()).sum();
        assert!((ks_p_value(n, d) - limit).abs() < 1e-3, "{} {limit}", ks_p_value(n, d));
    }

    #[test]
    fn band_of_two_numbers_is_an_area() {
        // P(u₍₁₎ ≤ a, u₍₂₎ ≥ b) = 2 a (1 − b) where a < b.
        let p = band_probability(&[0.0, 0.7], &[0.4, 1.0]);
        assert!((p - 2.0 * 0.4 * 0.3).abs() < 1e-12, "{p}");
        // Upper bounds that end early: the rest of the way is free. P(u₍₂₎ ≤ c) = c²; P(u₍₁₎ ≤ c, u₍₂₎ ≤ 1) = 1 − (1 −
        // c)².
        assert!((band_probability(&[0.0; 2], &[0.3; 2]) - 0.09).abs() < 1e-12);
        assert!((band_probability(&[0.0; 2], &[0.3, 1.0]) - (1.0 - 0.49)).abs() < 1e-12);
        let p = band_probability(&[0.0, 0.1, 0.1], &[0.3, 0.3, 0.4]);
        // Numbers in (0, 0.1], (0.1, 0.3], (0.3, 0.4]: 0, 3, 0 or 0, 2, 1 or 1, 2, 0 or 1, 1, 1 of them.
        assert!((p - (0.008 + 0.012 + 0.012 + 0.012)).abs() < 1e-12, "{p}");
        assert!((band_probability(&[0.0; 50], &[1.0; 50]) - 1.0).abs() < 1e-10);
        assert!((band_probability(&[0.0; 3000], &[1.0; 3000]) - 1.0).abs() < 1e-8);
    }

    #[test]
    fn envelope_holds_its_level() {
        let (n, runs) = (64, 4000);
        let envelope = Envelope::new(n, 0.9);
        let mut rng = crate::rng::stream(1, 0, "test", 0);
        let (mut outside, mut small) = (0, 0);
        for _ in 0..runs {
            let mut u: Vec<f64> = (0..n).map(|_| rng.random()).collect();
            u.sort_by(f64::total_cmp);
            let leaves = (0..n).any(|i| u[i] < envelope.lower[i] || u[i] > envelope.upper[i]);
            let p = envelope_p_value(&u);
            if (p - 0.1).abs() > 1e-4 {
                assert_eq!(leaves, p < 0.1, "p-value and band must agree");
            }
            outside += leaves as usize;
            small += (p < 0.01) as usize;
        }
        assert!((outside as f64 / runs as f64 - 0.1).abs() < 0.02, "{outside}");
        assert!((small as f64 / runs as f64 - 0.01).abs() < 0.006, "{small}");
        let (low, high) = envelope.ecdf_range(0.5);
        assert!(low < 0.5 && 0.5 < high && high - low < 0.5);
    }
}
