//! What a verdict could have found: the smallest error of a posterior's width that so many universes show.
//!
//! In units of its own standard deviation a Gaussian posterior that is too narrow by a factor s has truths that scatter
//! s times too far. The central interval that reaches the truth, v = erf(s |g| / √2) with g normal, then has the
//! distribution P(v ≤ t) = erf(erf⁻¹(t) / s) in place of t, and the probability that its curve leaves the envelope is
//! exact ([`band_probability`]). The other curves can only add to it.

use super::number;
use super::uniform::{Envelope, band_probability};
use serde::{Deserialize, Serialize};
use statrs::function::erf::{erf, erf_inv};

/// Probability with which an error "would have been found".
pub const POWER: f64 = 0.9;
/// Too few universes are those that may miss a width wrong by more than this factor: a posterior that passes on them
/// may be twice as certain as it should be.
pub const COARSEST: f64 = 2.0;
/// Largest factor that is looked for.
const LARGEST: f64 = 100.0;
/// Beyond so many universes the factor's logarithm falls as 1/√n.
const MANY: usize = 1000;

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
