//! What a verdict could have found: the smallest error of a posterior's width, and the smallest correlation left out, that
//! so many universes show.
//!
//! In units of its own standard deviation a Gaussian posterior that is too narrow by a factor s has truths that scatter
//! s times too far. The central interval that reaches the truth, v = erf(s |g| / √2) with g normal, then has the
//! distribution P(v ≤ t) = erf(erf⁻¹(t) / s) in place of t, and the probability that its curve leaves the envelope is
//! exact ([`band_probability`]). The other curves can only add to it.
//!
//! If two parameters have the correlation ρ and their posterior none, the product of both has the distribution F_ρ at the
//! truth and F_0 among the draws, and its rank P(v ≤ t) = F_ρ(F_0⁻¹(t)).

use super::number;
use super::uniform::{Envelope, band_probability};
use serde::{Deserialize, Serialize};
use statrs::function::erf::{erf, erf_inv, erfc};

/// Probability with which an error "would have been found".
pub const POWER: f64 = 0.9;
/// Too few universes are those that may miss a width wrong by more than this factor: a posterior that passes on them
/// may be twice as certain as it should be.
pub const COARSEST: f64 = 2.0;
/// Largest factor that is looked for.
const LARGEST: f64 = 100.0;
/// Beyond so many universes the factor's logarithm falls as 1/√n.
const MANY: usize = 1000;
/// Largest correlation that is looked for.
const LARGEST_CORRELATION: f64 = 0.999;
/// Half the points at which products of two numbers are looked at.
const PRODUCTS: i32 = 250;

/// Smallest factors by which the standard deviation of one parameter can be wrong and be found; infinite if none is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WidthError {
    /// Too narrow by this factor.
    #[serde(with = "number")]
    pub overconfident: f64,
    /// Too wide by this factor.
    #[serde(with = "number")]
    pub underconfident: f64,
}

impl WidthError {
    /// For `n` universes, each test at the level `level_each`.
    pub fn of(n: usize, level_each: f64) -> WidthError {
        Self::smallest(&Envelope::new(n.clamp(1, MANY), level_each), n)
    }

    /// For `n` universes and the envelope of as many, or of [`MANY`].
    fn smallest(envelope: &Envelope, n: usize) -> WidthError {
        // Bisection in ln s; finer than it is printed.
        let smallest = |sign: f64| {
            let (mut low, mut high) = (0.0, LARGEST.ln());
            if found(envelope, (sign * high).exp()) < POWER {
                return f64::INFINITY;
            }
            for _ in 0..14 {
                let middle = 0.5 * (low + high);
                if found(envelope, (sign * middle).exp()) < POWER { low = middle } else { high = middle }
            }
            (high * (MANY as f64 / n.max(MANY) as f64).sqrt()).exp()
        };
        WidthError { overconfident: smallest(1.0), underconfident: smallest(-1.0) }
    }

    /// For the universes of an envelope.
    pub fn within(envelope: &Envelope) -> WidthError {
        match envelope.lower.len() {
            n @ 1..=MANY => Self::smallest(envelope, n),
            n => Self::of(n, envelope.level),
        }
    }

    /// True if errors that matter can be found.
    pub fn is_enough(&self) -> bool {
        self.overconfident.max(self.underconfident) <= COARSEST
    }
}

impl std::fmt::Display for WidthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.overconfident, self.underconfident) {
            (f64::INFINITY, f64::INFINITY) => f.write_str("of no width that is wrong"),
            (narrow, f64::INFINITY) => write!(f, "too narrow by a factor of {narrow:.2}, and none that is too wide"),
            (f64::INFINITY, wide) => write!(f, "too wide by a factor of {wide:.2}, and none that is too narrow"),
            (narrow, wide) => write!(f, "too narrow by a factor of {narrow:.2} or too wide by {wide:.2}"),
        }
    }
}

/// Probability that a posterior too narrow by `s` (too wide by 1 / `s`) leaves the envelope.
fn found(envelope: &Envelope, s: f64) -> f64 {
    let moved = |bounds: &[f64]| bounds.iter().map(|&t| erf(erf_inv(t) / s)).collect::<Vec<_>>();
    1.0 - band_probability(&moved(&envelope.lower), &moved(&envelope.upper))
}

/// The smallest correlation (of either sign) that is found, if a Gaussian posterior of two parameters has none; `None`
/// where not even the largest is.
pub fn correlation(envelope: &Envelope) -> Option<f64> {
    let n = envelope.lower.len();
    let most = if n > MANY { Some(Envelope::new(MANY, envelope.level)) } else { None };
    let envelope = most.as_ref().unwrap_or(envelope);
    let y: Vec<f64> = (-PRODUCTS..=PRODUCTS).map(|i| (8.0 * i as f64 / PRODUCTS as f64).sinh() / 60.0).collect();
    let none: Vec<f64> = y.iter().map(|y| product(*y, 0.0)).collect();
    let found = |rho: f64| {
        let some: Vec<f64> = y.iter().map(|y| product(*y, rho)).collect();
        let moved = |t: &f64| {
            let i = none.partition_point(|f| f < t).clamp(1, none.len() - 1);
            let part = (t - none[i - 1]) / (none[i] - none[i - 1]).max(f64::MIN_POSITIVE);
            (some[i - 1] + part.clamp(0.0, 1.0) * (some[i] - some[i - 1])).clamp(0.0, 1.0)
        };
        let bounds = |bounds: &[f64]| bounds.iter().map(moved).collect::<Vec<_>>();
        1.0 - band_probability(&bounds(&envelope.lower), &bounds(&envelope.upper))
    };
    let (mut low, mut high) = (0.0, LARGEST_CORRELATION.atanh());
    if found(LARGEST_CORRELATION) < POWER {
        return None;
    }
    for _ in 0..10 {
        let middle: f64 = 0.5 * (low + high);
        if found(middle.tanh()) < POWER { low = middle } else { high = middle }
    }
    Some((high * (MANY as f64 / n.max(MANY) as f64).sqrt()).tanh())
}

/// P(z₁ z₂ ≤ y) of two normal numbers with correlation ρ: 2 ∫₀^∞ φ(z) Φ((y/z − ρ z) / √(1 − ρ²)) dz, in ln z.
fn product(y: f64, rho: f64) -> f64 {
    const STEP: f64 = 0.08;
    let below = |z: f64| 0.5 * erfc(-z / std::f64::consts::SQRT_2);
    let at = |i: i32| {
        let z = (i as f64 * STEP).exp();
        z * (-0.5 * z * z).exp() * below((y / z - rho * z) / (1.0 - rho * rho).sqrt())
    };
    2.0 * STEP / (2.0 * std::f64::consts::PI).sqrt() * (-200..=28).map(at).sum::<f64>()
}

/// The fewest universes that [`WidthError::is_enough`] for.
pub fn fewest(level_each: f64) -> usize {
    let enough = |n: usize| WidthError::of(n, level_each).is_enough();
    let mut high = 8;
    while high < MANY && !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use rand_distr::StandardNormal;

    #[test]
    fn the_factor_is_found_nine_times_in_ten() {
        let (n, level) = (40, 0.999);
        let envelope = Envelope::new(n, level);
        let width = WidthError::of(n, level);
        for s in [width.overconfident, 1.0 / width.underconfident] {
            let mut rng = crate::rng::stream(2, 0, "power", 0);
            let outside = (0..2000).filter(|_| {
                let mut v: Vec<f64> =
                    (0..n).map(|_| erf(s * rng.sample::<f64, _>(StandardNormal).abs() / 2f64.sqrt())).collect();
                v.sort_by(f64::total_cmp);
                (0..n).any(|i| v[i] < envelope.lower[i] || v[i] > envelope.upper[i])
            });
            let share = outside.count() as f64 / 2000.0;
            assert!((share - POWER).abs() < 0.025, "{s} {share}");
        }
    }

    #[test]
    fn products_of_normal_numbers_have_their_distribution() {
        // P(z₁ z₂ ≤ 0) = 1/2 − asin(ρ)/π; Var z₁z₂ = 1 + ρ²; all is 1.
        for rho in [-0.7f64, 0.0, 0.3, 0.95] {
            assert!((product(0.0, rho) - 0.5 + rho.asin() / std::f64::consts::PI).abs() < 1e-6, "{rho}");
            assert!((product(60.0, rho) - 1.0).abs() < 1e-6 && product(-60.0, rho) < 1e-6, "{rho}");
            let mut rng = crate::rng::stream(2, 0, "products", 0);
            let mut draw = || {
                let [a, b]: [f64; 2] = std::array::from_fn(|_| rng.sample(StandardNormal));
                a * (rho * a + (1.0 - rho * rho).sqrt() * b)
            };
            let below = (0..40_000).filter(|_| draw() <= 0.4).count() as f64 / 40_000.0;
            assert!((product(0.4, rho) - below).abs() < 0.01, "{rho}");
        }
    }

    #[test]
    fn the_correlation_is_found_nine_times_in_ten() {
        let (n, level) = (100, 0.999);
        let envelope = Envelope::new(n, level);
        let rho = correlation(&envelope).unwrap();
        let mut rng = crate::rng::stream(2, 0, "correlation", 0);
        let outside = (0..1000).filter(|_| {
            let one = |_| {
                let [a, b]: [f64; 2] = std::array::from_fn(|_| rng.sample(StandardNormal));
                product(a * (rho * a + (1.0 - rho * rho).sqrt() * b), 0.0)
            };
            let mut v: Vec<f64> = (0..n).map(one).collect();
            v.sort_by(f64::total_cmp);
            (0..n).any(|i| v[i] < envelope.lower[i] || v[i] > envelope.upper[i])
        });
        let share = outside.count() as f64 / 1000.0;
        assert!((share - POWER).abs() < 0.04, "{rho} {share}");
        let all: Vec<f64> =
            [20, 100, 500, 4000].iter().map(|&n| correlation(&Envelope::new(n, level)).unwrap_or(1.0)).collect();
        assert!(all.windows(2).all(|w| w[1] < w[0]) && all[2] < 0.35, "{all:?}");
        assert!(correlation(&Envelope::new(3, level)).is_none());
    }

    #[test]
    fn more_universes_find_smaller_errors() {
        let level = 0.99f64.powf(1.0 / 11.0);
        let widths: Vec<WidthError> = [1, 5, 17, 60, 122, 500, 1000, 4000].map(|n| WidthError::of(n, level)).into();
        for w in widths.windows(2) {
            assert!(w[1].overconfident < w[0].overconfident && w[1].underconfident < w[0].underconfident, "{w:?}");
        }
        widths.iter().for_each(|w| println!("{w}"));
        assert!(!widths[2].is_enough() && widths[4].is_enough());
        let n = fewest(level);
        assert!(!WidthError::of(n - 1, level).is_enough() && WidthError::of(n, level).is_enough());
        println!("{n} universes are enough");
    }
}
