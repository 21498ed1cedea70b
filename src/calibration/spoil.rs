//! A posterior made wrong on purpose, to see that the calibration notices.

use crate::error::{Error, Result};
use crate::io::samples::Samples;
use ndarray::{Array1, Array2};
use ndarray_linalg::Solve;

/// The posterior with its standard deviations scaled by `factor` about each universe's mean m (0.5: overconfident, 2:
/// underconfident): θ' = m + factor (θ − m), q'(θ') = q(θ) / factorᵖ.
///
/// The draws' densities follow exactly. At the truth q' needs q at m + (truth − m) / factor, which was never evaluated:
/// it is read from a quadratic fitted to ln q over the universe's draws (exact for a Gaussian). That is good enough to
/// rank the truth among the draws; far from them it is an extrapolation, and is marked as one, so that no gain is made
/// of it.
pub fn scale_sd(samples: &Samples, factor: f64) -> Result<Samples> {
    samples.check()?;
    if !(factor.is_finite() && factor > 0.0) {
        return Err(Error::input("must be positive").key("--scale-sd").value(factor).remedy("give 0.5, say"));
    }
    let p = samples.dim();
    let ln_volume = p as f64 * factor.ln();
    let mut out = samples.clone();
    out.extras.extrapolated = true;
    // They are not those of the spoilt draws.
    (out.extras.derived, out.extras.derived_truth) = (vec![], vec![]);
    out.prior.derived.clear();
    out.ln_prob.iter_mut().for_each(|l| *l -= ln_volume);
    for i in 0..samples.len() {
        let (mean, sd): (Vec<f64>, Vec<f64>) = (0..p).map(|j| samples.mean_sd(i, j)).unzip();
        let m = samples.draws * p;
        for theta in out.theta[i * m..(i + 1) * m].chunks_exact_mut(p) {
            theta.iter_mut().zip(&mean).for_each(|(t, mean)| *t = mean + factor * (*t - mean));
        }
        let Some(truth) = samples.truth_of(i).filter(|_| !samples.ln_prob_truth[i].is_nan()) else { continue };
        let z = |theta: &[f64], by: f64| -> Vec<f64> { (0..p).map(|j| (theta[j] - mean[j]) / (by * sd[j])).collect() };
        let draws: Vec<Vec<f64>> = samples.theta_of(i).chunks_exact(p).map(|t| z(t, 1.0)).collect();
        let truth = z(truth, factor);
        out.ln_prob_truth[i] = quadratic(&draws, samples.ln_prob_of(i), &truth)? - ln_volume;
    }
    Ok(out)
}

/// Value at `x` of the quadratic fitted to `values` at `points` by least squares.
fn quadratic(points: &[Vec<f64>], values: &[f64], x: &[f64]) -> Result<f64> {
    let terms = |z: &[f64]| -> Vec<f64> {
        let pairs = (0..z.len()).flat_map(|a| (0..=a).map(move |b| z[a] * z[b]));
        [1.0].into_iter().chain(z.iter().copied()).chain(pairs).collect()
    };
    let at = terms(x);
    let k = at.len();
    let (mut normal, mut right) = (Array2::<f64>::zeros((k, k)), Array1::<f64>::zeros(k));
    for (z, value) in points.iter().zip(values).filter(|(_, v)| v.is_finite()) {
        let t = terms(z);
        for a in 0..k {
            right[a] += t[a] * value;
            (0..k).for_each(|b| normal[[a, b]] += t[a] * t[b]);
        }
    }
    let fitted = normal.solve(&right).map_err(|_| {
        Error::input(format!("{} draws do not fix a quadratic of {k} coefficients", points.len()))
            .key("infer.draws")
            .remedy("draw more samples per universe")
    })?;
    Ok(fitted.iter().zip(at).map(|(c, t)| c * t).sum())
}
