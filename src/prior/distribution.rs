//! How one parameter is distributed before anything is seen: kind and numbers, and whatever is asked of them.

use crate::error::{Error, Result};
use statrs::distribution::{Continuous, ContinuousCDF, Normal as Gaussian};
use std::fmt::{Display, Formatter};

/// The prior of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// The same density everywhere between two bounds.
    Uniform { min: f64, max: f64 },
    /// The same density of the logarithm everywhere between two bounds above 0.
    LogUniform { min: f64, max: f64 },
    /// A Gaussian, cut off at bounds that may be infinite.
    Normal { mean: f64, sigma: f64, min: f64, max: f64 },
    /// ln θ is a Gaussian with `mean` and `sigma`; θ is cut off at bounds, of which 0 and ∞ are none.
    LogNormal { mean: f64, sigma: f64, min: f64, max: f64 },
}
use Distribution::{LogNormal, LogUniform, Normal, Uniform};

/// A coordinate in which a parameter is unbounded: with t = θ, or t = ln of the distance from an edge, and
/// u = (t − low) / width, it is logit u where the density ends on both sides (a box), else u (a half-line, the line).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinate {
    /// The edge, and the side of it on which θ lies (±1), where t is a logarithm.
    pub log: Option<(f64, f64)>,
    pub low: f64,
    pub width: f64,
    pub boxed: bool,
}

impl Coordinate {
    /// u of a value; of one on the edge of a half-line a large negative number.
    pub fn of(&self, value: f64) -> f64 {
        let t = self.log.map_or(value, |(edge, side)| (side * (value - edge)).max(f64::MIN_POSITIVE).ln());
        (t - self.low) / self.width
    }
}

/// Where there is no bound, plots and corners reach to the quantiles of this fraction and of the rest.
const OUTSKIRTS: f64 = 0.001;
/// Below this part of a Gaussian, cut off so that next to nothing is left, its numbers are not to be trusted.
const LEAST: f64 = 1e-12;
/// So narrow an interval (in standard deviations, or in its logarithm) has the variance of a uniform density.
const NARROW: f64 = 1e-4;
/// Standard deviations beyond which there is nothing of a Gaussian: 1e-15.
const FAR: f64 = 8.0;
/// The widest lognormal prior and the furthest median, both in ln θ: all that is asked of it is a finite number.
const WIDEST: f64 = 8.0;
const FURTHEST: f64 = 150.0;

/// The standard normal distribution.
fn gaussian() -> Gaussian {
    Gaussian::standard()
}

/// Φ between two numbers of standard deviations, from the side where it is exact.
fn between(a: f64, b: f64) -> f64 {
    if a > 0.0 { between(-b, -a) } else { gaussian().cdf(b) - gaussian().cdf(a) }
}

impl Distribution {
    /// Refuses numbers that make no density.
    pub fn check(&self) -> Result<()> {
        let (min, max) = self.bounds();
        let bad = |problem: &str| Error::input(problem).value((min, max));
        let unbounded = matches!(self, Normal { .. } | LogNormal { .. });
        if !(min < max && (unbounded || min.is_finite() && max.is_finite())) {
            return Err(bad("the bounds are not an interval").remedy("give finite min < max"));
        }
        // Their squares must be numbers too.
        let large = |x: f64| x.is_finite() && x.abs() > 1e100;
        match *self {
            _ if large(min) || large(max) => {
                Err(bad("no parameter is that large").remedy("give it in another unit, or its logarithm"))
            }
            LogUniform { min, .. } if min < 1e-100 => {
                Err(bad("a logarithm needs bounds above 0").remedy("give min > 0, or kind = \"uniform\""))
            }
            Normal { mean, sigma, .. } if !(mean.abs() <= 1e100 && (1e-100..=1e100).contains(&sigma)) => {
                let error = Error::input("is no Gaussian").value((mean, sigma));
                Err(error.remedy("give a finite mean and sigma > 0"))
            }
            Normal { mean, sigma, .. } if between((min - mean) / sigma, (max - mean) / sigma) < LEAST => {
                Err(bad("the bounds leave next to nothing of the Gaussian").remedy("give others, or none"))
            }
            LogNormal { .. } if min < 0.0 => {
                Err(bad("a logarithm needs bounds above 0").remedy("give min > 0 or none, or kind = \"normal\""))
            }
            LogNormal { mean, sigma, .. } if !(mean.abs() <= FURTHEST && (1e-100..=WIDEST).contains(&sigma)) => {
                let error = Error::input("is no Gaussian of ln θ that has a variance").value((mean, sigma));
                Err(error.remedy(format!(
                    "give ln_mean from -{FURTHEST} to {FURTHEST}, and ln_sigma above 0 and at most {WIDEST}: they are of ln θ"
                )))
            }
            LogNormal { mean, sigma, min, max } => {
                Normal { mean, sigma, min: min.ln(), max: max.ln() }.check().map_err(|e| e.value((min, max)))
            }
            _ => Ok(()),
        }
    }

    /// Of a lognormal prior that of ln θ.
    fn of_ln(&self) -> Option<Distribution> {
        match *self {
            LogNormal { mean, sigma, min, max } => Some(Normal { mean, sigma, min: min.ln(), max: max.ln() }),
            _ => None,
        }
    }

    /// Where the density ends; infinite where it does not.
    pub fn bounds(&self) -> (f64, f64) {
        match *self {
            Uniform { min, max } | LogUniform { min, max } => (min, max),
            Normal { min, max, .. } | LogNormal { min, max, .. } => (min, max),
        }
    }

    /// True if it is the other one, cut off at bounds that lie within the other's.
    pub fn within(&self, whole: &Distribution) -> bool {
        let ((min, max), (low, high)) = (self.bounds(), whole.bounds());
        let same = match (*self, *whole) {
            (Uniform { .. }, Uniform { .. }) | (LogUniform { .. }, LogUniform { .. }) => true,
            (Normal { mean, sigma, .. }, Normal { mean: m, sigma: s, .. })
            | (LogNormal { mean, sigma, .. }, LogNormal { mean: m, sigma: s, .. }) => (mean, sigma) == (m, s),
            _ => false,
        };
        same && min >= low && max <= high
    }

    /// What a plot shows of it: to its bounds; where it has none, to the 0.1% and 99.9% quantiles.
    pub fn range(&self) -> (f64, f64) {
        if let Some(ln) = self.of_ln() {
            let (low, high) = ln.range();
            return (low.exp(), high.exp());
        }
        let (min, max) = self.bounds();
        let or = |bound: f64, u: f64| if bound.is_finite() { bound } else { self.quantile(u) };
        (or(min, OUTSKIRTS), or(max, 1.0 - OUTSKIRTS))
    }

    /// Length of the [range](Self::range).
    pub fn width(&self) -> f64 {
        let (low, high) = self.range();
        high - low
    }

    /// The bounds, each one step of single precision further out: 0.3 or 67.4 stored so lies on a bound, not beyond it.
    pub fn reach(&self) -> (f64, f64) {
        // Where the interval itself is not much wider than such a step, the bounds mean what they say.
        let step = |bound: f64| {
            let bound = bound.abs() as f32;
            Some((bound.next_up() - bound) as f64).filter(|&s| s < 1e-4 * self.width()).unwrap_or(0.0)
        };
        let (min, max) = self.bounds();
        (min - step(min), max + step(max))
    }

    /// The box between the 0.1% and 99.9% quantiles.
    pub fn bulk(&self) -> Distribution {
        Uniform { min: self.quantile(OUTSKIRTS), max: self.quantile(1.0 - OUTSKIRTS) }
    }

    /// Whether it is a Gaussian that is not cut off, of θ or of ln θ: it can be correlated with others.
    pub fn is_line(&self) -> bool {
        match *self {
            Normal { min, max, .. } => (min, max) == (f64::NEG_INFINITY, f64::INFINITY),
            LogNormal { min, max, .. } => (min, max) == (0.0, f64::INFINITY),
            _ => false,
        }
    }

    /// So many standard deviations above the mean a value lies of a Gaussian, be it of θ or of ln θ.
    pub fn deviations(&self, value: f64) -> f64 {
        match *self {
            Normal { mean, sigma, .. } => (value - mean) / sigma,
            LogNormal { mean, sigma, .. } => (value.ln() - mean) / sigma,
            _ => f64::NAN,
        }
    }

    /// The value that lies so many standard deviations above the mean.
    pub fn at_deviations(&self, z: f64) -> f64 {
        match *self {
            Normal { mean, sigma, .. } => mean + sigma * z,
            LogNormal { mean, sigma, .. } => (mean + sigma * z).exp(),
            _ => f64::NAN,
        }
    }

    /// Whether it can have this value, see [`reach`](Self::reach).
    pub fn holds(&self, value: f64) -> bool {
        let (low, high) = self.reach();
        (low..=high).contains(&value)
    }

    /// The value below which a fraction `u` of it lies. Where there is no bound, 0 and 1 are 2⁻⁵⁴ and 1 − 2⁻⁵³.
    pub fn quantile(&self, u: f64) -> f64 {
        match *self {
            Uniform { max, .. } | LogUniform { max, .. } if u == 1.0 => max,
            Uniform { min, max } => min + (max - min) * u,
            LogUniform { min, max } => (min * (u * (max / min).ln()).exp()).min(max),
            Normal { mean, sigma, min, max } => {
                let u = u.clamp(f64::EPSILON / 4.0, 1.0 - f64::EPSILON / 2.0);
                let (a, b) = ((min - mean) / sigma, (max - mean) / sigma);
                // From the tail in which Φ is exact.
                let z = |a: f64, b: f64, u: f64| gaussian().inverse_cdf(gaussian().cdf(a) + u * between(a, b));
                let z = if a > -b { -z(-b, -a, 1.0 - u) } else { z(a, b, u) };
                (mean + sigma * z).clamp(min, max)
            }
            LogNormal { mean, sigma, min, max } => {
                let ln = Normal { mean, sigma, min: min.ln(), max: max.ln() };
                ln.quantile(u).exp().clamp(min, max)
            }
        }
    }

    /// The fraction of it that lies below a value.
    pub fn cdf(&self, value: f64) -> f64 {
        match *self {
            Uniform { min, max } => ((value - min) / (max - min)).clamp(0.0, 1.0),
            LogUniform { min, max } => ((value.max(min) / min).ln() / (max / min).ln()).min(1.0),
            Normal { mean, sigma, min, max } => {
                let [a, b, z] = [min, max, value.clamp(min, max)].map(|x| (x - mean) / sigma);
                between(a, z) / between(a, b)
            }
            LogNormal { mean, sigma, min, max } => {
                Normal { mean, sigma, min: min.ln(), max: max.ln() }.cdf(value.max(0.0).ln())
            }
        }
    }

    /// ln density at a value that it [holds](Self::holds); −∞ at others.
    pub fn ln_density(&self, value: f64) -> f64 {
        match *self {
            _ if !self.holds(value) => f64::NEG_INFINITY,
            Uniform { min, max } => -(max - min).ln(),
            LogUniform { min, max } => -value.ln() - (max / min).ln().ln(),
            Normal { mean, sigma, min, max } => {
                let [a, b, z] = [min, max, value].map(|x| (x - mean) / sigma);
                gaussian().ln_pdf(z) - sigma.ln() - between(a, b).ln()
            }
            LogNormal { .. } if value <= 0.0 => f64::NEG_INFINITY,
            LogNormal { mean, sigma, min, max } => {
                let [a, b, z] = [min, max, value].map(|x| (x.ln() - mean) / sigma);
                gaussian().ln_pdf(z) - sigma.ln() - between(a, b).ln() - value.ln()
            }
        }
    }

    /// Its variance.
    pub fn variance(&self) -> f64 {
        let uniform = |min: f64, max: f64| (max - min).powi(2) / 12.0;
        match *self {
            Uniform { min, max } => uniform(min, max),
            LogUniform { min, max } if max / min - 1.0 < NARROW => uniform(min, max),
            LogUniform { min, max } => {
                let ln = (max / min).ln();
                (max * max - min * min) / (2.0 * ln) - ((max - min) / ln).powi(2)
            }
            Normal { sigma, min, max, .. } if max - min < NARROW * sigma => uniform(min, max),
            Normal { mean, sigma, min, max } => {
                let (a, b) = ((min - mean) / sigma, (max - mean) / sigma);
                let density = |z: f64| gaussian().pdf(z) / between(a, b);
                let slope = |z: f64| if z.is_finite() { z * density(z) } else { 0.0 };
                sigma * sigma * (1.0 + slope(a) - slope(b) - (density(a) - density(b)).powi(2))
            }
            LogNormal { min, max, .. } if min > 0.0 && max / min - 1.0 < NARROW => uniform(min, max),
            // The exponential is a straight line there.
            LogNormal { sigma, .. } if sigma < NARROW => {
                self.of_ln().map_or(f64::NAN, |ln| self.quantile(0.5).powi(2) * ln.variance())
            }
            LogNormal { mean, sigma, min, max } => {
                let [a, b] = [min, max].map(|x| (x.ln() - mean) / sigma);
                // ⟨θᵏ⟩ over e^(k mean), a Gaussian that is moved by k sigma.
                let moment = |k: f64| {
                    let moved = k * sigma;
                    (0.5 * moved * moved).exp() * (between(a - moved, b - moved) / between(a, b))
                };
                (2.0 * mean).exp() * (moment(2.0) - moment(1.0).powi(2))
            }
        }
    }

    /// A coordinate in which it is unbounded, and of order 1. A bound that a Gaussian does not reach is none here.
    pub fn coordinate(&self) -> Coordinate {
        match *self {
            Uniform { min, max } => Coordinate { log: None, low: min, width: max - min, boxed: true },
            LogUniform { min, max } => {
                Coordinate { log: Some((0.0, 1.0)), low: min.ln(), width: (max / min).ln(), boxed: true }
            }
            Normal { mean, sigma, min, max } if min.is_finite() && mean - min > FAR * sigma => {
                Normal { mean, sigma, min: f64::NEG_INFINITY, max }.coordinate()
            }
            Normal { mean, sigma, min, max } if max.is_finite() && max - mean > FAR * sigma => {
                Normal { mean, sigma, min, max: f64::INFINITY }.coordinate()
            }
            Normal { min, max, .. } if min.is_finite() && max.is_finite() => Uniform { min, max }.coordinate(),
            Normal { mean, sigma, min, max } => {
                let log = match (min.is_finite(), max.is_finite()) {
                    (true, _) => Some((min, 1.0)),
                    (_, true) => Some((max, -1.0)),
                    _ => return Coordinate { log: None, low: mean, width: sigma, boxed: false },
                };
                // Median, and half of what lies within one standard deviation of a Gaussian.
                let at =
                    |u: f64| log.map_or(f64::NAN, |(edge, side): (f64, f64)| (side * (self.quantile(u) - edge)).ln());
                let one = gaussian().cdf(1.0);
                Coordinate { log, low: at(0.5), width: (at(one) - at(1.0 - one)).abs() / 2.0, boxed: false }
            }
            LogNormal { mean, sigma, min, max } => {
                let [a, b] = [min, max].map(|x| (x.ln() - mean) / sigma);
                let log = Some((0.0, 1.0));
                if a < -FAR && b > FAR {
                    return Coordinate { log, low: mean, width: sigma, boxed: false };
                }
                // Beside a bound of ln θ, its other end is where there is nothing left.
                let min = if min > 0.0 && a >= -FAR { min } else { self.quantile(0.0) };
                let max = if b <= FAR { max } else { self.quantile(1.0) };
                LogUniform { min, max }.coordinate()
            }
        }
    }
}

/// As it stands behind a parameter's name: `∈ [0.1, 0.5]`.
impl Display for Distribution {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        match *self {
            Uniform { min, max } => write!(f, "∈ [{min}, {max}]"),
            LogUniform { min, max } => write!(f, "∈ [{min}, {max}], uniform in ln"),
            Normal { mean, sigma, min, max } | LogNormal { mean, sigma, min, max } => {
                let of_ln = matches!(self, LogNormal { .. });
                write!(f, "~ {}N({mean}, {sigma}²)", if of_ln { "exp " } else { "" })?;
                match (min > if of_ln { 0.0 } else { f64::NEG_INFINITY }, max < f64::INFINITY) {
                    (false, false) => Ok(()),
                    (true, false) => write!(f, " above {min}"),
                    (false, true) => write!(f, " below {max}"),
                    (true, true) => write!(f, " in [{min}, {max}]"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All kinds, with supports of all sorts.
    fn all() -> Vec<Distribution> {
        let normal = |min, max| Normal { mean: 0.3, sigma: 0.02, min, max };
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut all = vec![Uniform { min: -1.0, max: 3.0 }, LogUniform { min: 1e-3, max: 10.0 }];
        all.extend([normal(low, high), normal(0.29, high), normal(low, 0.31), normal(0.25, 0.33)]);
        // Far out in either tail.
        all.extend([normal(0.4, high), normal(low, 0.2), normal(0.3, 0.3 + 1e-7)]);
        let ln = |mean, sigma, min, max| LogNormal { mean, sigma, min, max };
        all.extend([
            ln(-1.2, 0.1, 0.0, high),
            ln(0.5, 0.5, 0.0, high),
            ln(0.5, 0.5, 1.0, high),
            ln(0.5, 0.5, 0.0, 2.0),
        ]);
        all.extend([
            ln(-1.2, 0.1, 0.25, 0.35),
            ln(-1.2, 1e-5, 0.0, high),
            ln(0.0, 0.5, 5.5, high),
            ln(-1.2, 0.1, 0.3, 0.3 + 1e-7),
        ]);
        all
    }

    #[test]
    fn bounds_that_a_gaussian_does_not_reach_leave_its_coordinate_alone() {
        let (mean, sigma) = (0.3, 0.02);
        let line = Coordinate { log: None, low: mean, width: sigma, boxed: false };
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let of = |min, max| Normal { mean, sigma, min, max }.coordinate();
        assert_eq!((of(low, high), of(0.0, 1e6), of(0.0, high)), (line, line, line));
        assert_eq!(of(0.29, 1e6), of(0.29, high));
        assert_eq!(of(0.25, 0.35), Uniform { min: 0.25, max: 0.35 }.coordinate());
        let of = |min, max| LogNormal { mean: -1.2, sigma: 0.1, min, max }.coordinate();
        let line = Coordinate { log: Some((0.0, 1.0)), low: -1.2, width: 0.1, boxed: false };
        assert_eq!((of(0.0, high), of(0.1, 1.0), of(0.1, high)), (line, line, line));
        assert_eq!(of(0.25, 0.35), LogUniform { min: 0.25, max: 0.35 }.coordinate());
        assert!(of(0.25, high).boxed && (of(0.25, high).low - 0.25f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn densities_quantiles_and_variances_agree() {
        for d in all() {
            d.check().unwrap();
            let (min, max) = d.bounds();
            for u in [1e-6, 1e-3, 0.1, 0.5, 0.77, 0.999] {
                let x = d.quantile(u);
                assert!(d.holds(x) && (d.cdf(x) - u).abs() < 1e-9 + 1e-6 * u, "{d}: {u} → {x} → {}", d.cdf(x));
            }
            assert_eq!((d.quantile(0.0) >= min, d.quantile(1.0) <= max), (true, true), "{d}");
            assert!(d.quantile(0.0).is_finite() && d.quantile(1.0).is_finite(), "{d}");
            assert!(min.is_infinite() || d.ln_density(min - 1.0) == f64::NEG_INFINITY, "{d}");
            assert!(!matches!(d, LogNormal { .. }) || d.ln_density(0.0) == f64::NEG_INFINITY, "{d}");
            // Moments by the midpoint rule over the quantiles, and the density as du/dθ.
            let n = 100_000;
            let x: Vec<f64> = (0..n).map(|i| d.quantile((i as f64 + 0.5) / n as f64)).collect();
            let mean = x.iter().sum::<f64>() / n as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            assert!((variance / d.variance() - 1.0).abs() < 1e-3, "{d}: {variance} and {}", d.variance());
            for u in [0.1, 0.5, 0.9] {
                let (low, high) = (d.quantile(u - 1e-4), d.quantile(u + 1e-4));
                let slope = 2e-4 / (high - low);
                assert!((d.ln_density(d.quantile(u)) - slope.ln()).abs() < 1e-3, "{d} at {u}");
            }
        }
    }

    /// Quantiles of 0.1%, 50% and 99.9%, variance, and ln density at that of 30%: by scipy 1.17.1 (truncnorm, lognorm and
    /// loguniform; the moments of a lognormal that is cut off by quadrature).
    #[test]
    fn they_are_those_of_an_independent_code_and_integrate_to_one() {
        let high = f64::INFINITY;
        let normal = |mean, sigma, min, max| Normal { mean, sigma, min, max };
        for (d, [low, middle, top, variance, ln]) in [
            (
                normal(0.2664, 0.2, 0.0, high),
                [0.0011019293223579, 0.2893685141351359, 0.8901195090415237, 0.02905702034960153, 0.7259058444993457],
            ),
            (
                normal(0.0492, 0.006, 0.0, high),
                [0.03065860616299333, 0.0492, 0.06774139383700688, 3.6e-5, 4.059559327685182],
            ),
            (
                normal(-1.0, 0.9, -2.0, -0.3),
                [
                    -1.9972927630553978,
                    -1.0961624278694047,
                    -0.301977690872259,
                    0.21263321692862175,
                    -0.4797991585188866,
                ],
            ),
            (
                normal(0.831, 0.14, 0.0, high),
                [0.3983675378991534, 0.8310000002566765, 1.2636325229243175, 0.019599998962579936, 0.9096763773111909],
            ),
            (
                LogNormal { mean: -2.5, sigma: 0.5, min: 0.0, max: high },
                [
                    0.017507670967712066,
                    0.0820849986238988,
                    0.38485684426624767,
                    0.0024573013351216716,
                    2.398910954845065,
                ],
            ),
            (
                LogUniform { min: 1e-3, max: 10.0 },
                [0.0010092528860766849, 0.1, 9.908319448927694, 4.2500936160142855, 1.9243263610214356],
            ),
            (
                LogNormal { mean: 0.5, sigma: 0.5, min: 1.0, max: 2.0 },
                [1.001015528227667, 1.4610452736346822, 1.9986727798449553, 0.0783825120903674, 0.10906140596529668],
            ),
        ] {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-8 * b.abs().max(1e-3);
            let found =
                [d.quantile(0.001), d.quantile(0.5), d.quantile(0.999), d.variance(), d.ln_density(d.quantile(0.3))];
            assert!(found.iter().zip([low, middle, top, variance, ln]).all(|(&a, b)| near(a, b)), "{d}: {found:?}");
            // Simpson's rule over θ itself, or over ln θ where the density is one of that, from end to end.
            let (a, b) = (d.quantile(1e-12), d.quantile(1.0 - 1e-12));
            let of_ln = matches!(d, LogUniform { .. } | LogNormal { .. });
            let (from, to) = if of_ln { (a.ln(), b.ln()) } else { (a, b) };
            let n = 20_000;
            let at = |i: usize| {
                let x = from + (to - from) * i as f64 / n as f64;
                let (theta, slope) = if of_ln { (x.exp().clamp(a, b), x.exp()) } else { (x.clamp(a, b), 1.0) };
                d.ln_density(theta).exp() * slope
            };
            let weight = |i: usize| if i == 0 || i == n { 1.0 } else { [2.0, 4.0][i % 2] };
            let sum: f64 = (0..=n).map(|i| weight(i) * at(i)).sum();
            let whole = sum * (to - from) / (3.0 * n as f64);
            assert!((whole - 1.0).abs() < 1e-8, "{d}: {whole}");
        }
    }

    #[test]
    fn numbers_that_make_no_density_are_refused() {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let normal = |mean, sigma, min, max| Normal { mean, sigma, min, max };
        for (wrong, word) in [
            (Uniform { min: 1.0, max: 0.0 }, "interval"),
            (Uniform { min: 1.0, max: high }, "interval"),
            (Uniform { min: f64::NAN, max: 0.0 }, "interval"),
            (Uniform { min: 0.0, max: 1e308 }, "large"),
            (LogUniform { min: 0.0, max: 1.0 }, "above 0"),
            (normal(0.0, 0.0, low, high), "Gaussian"),
            (normal(f64::NAN, 1.0, low, high), "Gaussian"),
            (normal(0.0, 1.0, 2.0, 1.0), "interval"),
            (normal(0.0, 1.0, 40.0, high), "nothing"),
            (LogNormal { mean: 0.0, sigma: 0.0, min: 0.0, max: high }, "Gaussian of ln"),
            (LogNormal { mean: 0.0, sigma: 9.0, min: 0.0, max: high }, "Gaussian of ln"),
            (LogNormal { mean: 0.3e3, sigma: 1.0, min: 0.0, max: high }, "Gaussian of ln"),
            (LogNormal { mean: 0.0, sigma: 1.0, min: -1.0, max: high }, "above 0"),
            (LogNormal { mean: 0.0, sigma: 1.0, min: 2.0, max: 1.0 }, "interval"),
            (LogNormal { mean: 0.0, sigma: 1.0, min: 0.0, max: 0.0 }, "interval"),
            (LogNormal { mean: 0.0, sigma: 0.1, min: 40.0, max: high }, "nothing"),
        ] {
            let e = wrong.check().unwrap_err();
            assert!(e.problem.contains(word) && e.remedy.is_some(), "{wrong}: {e}");
        }
    }

    #[test]
    fn coordinates_are_unbounded_and_of_order_one() {
        for d in all() {
            let c = d.coordinate();
            let (min, max) = d.bounds();
            assert_eq!(
                (c.boxed, c.log.is_some()),
                match d {
                    LogUniform { .. } => (true, true),
                    LogNormal { .. } => (min > 0.0 || max.is_finite(), true),
                    _ => (min.is_finite() && max.is_finite(), min.is_finite() != max.is_finite()),
                },
                "{d}"
            );
            let u = |x: f64| (c.log.map_or(x, |(edge, side)| (side * (x - edge)).ln()) - c.low) / c.width;
            if c.boxed {
                let or = |bound: f64, end: f64| {
                    if bound > 0.0 && bound.is_finite() || c.log.is_none() { bound } else { end }
                };
                let (min, max) = (or(min, d.quantile(0.0)), or(max, d.quantile(1.0)));
                assert!(u(min).abs() < 1e-8 && (u(max) - 1.0).abs() < 1e-8, "{d}");
            } else {
                assert!(u(d.quantile(0.5)).abs() < 1e-9, "{d}");
                assert!(u(d.quantile(0.16)).abs() < 3.0 && u(d.quantile(0.84)).abs() < 3.0, "{d}");
            }
        }
    }
}
