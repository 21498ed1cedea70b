//! What normalises a density that chains have visited: bridge sampling (Meng & Wong 1996; Gronau et al. 2017,
//! arXiv:1703.05984) between it and a Gaussian of its moments, in coordinates without bounds.

use super::{Chains, space::Space};
use crate::error::{Error, Result};
use crate::rng::ChaCha8Rng;
use ndarray::Array1;
use ndarray_linalg::{Cholesky, UPLO};
use rand::Rng;
use rand_distr::StandardNormal;

/// States that are looked at, and draws of the Gaussian.
const POINTS: usize = 2000;
/// Steps of the fixed point, and a change of ln Z that ends them.
const STEPS: usize = 200;
const SAME: f64 = 1e-8;

/// ln Z of states of the posterior.
pub(super) fn ln_evidence(space: &Space, states: &Chains, rng: &mut ChaCha8Rng) -> Result<f64> {
    let (b, n) = (states.b, states.len());
    // Half of them say what Gaussian it is, the others are bridged to.
    let every = |first: usize| (first..n).step_by(2 * n.div_ceil(2 * POINTS)).collect::<Vec<usize>>();
    let (fitted, bridged) = (every(0), every(1));
    let points: Vec<f64> = fitted.iter().flat_map(|&i| states.of(i).to_vec()).collect();
    let (mean, covariance) = Chains::moments(&points, b);
    let flat = || Error::failed("the chains did not move in all directions").remedy("try another `infer.sampler`");
    let scale = covariance.cholesky(UPLO::Lower).map_err(|_| flat())?;
    let ln_scale: f64 = (0..b).map(|j| scale[[j, j]].ln()).sum();
    let ln_gauss = |z: &[f64]| -0.5 * z.iter().map(|z| z * z + std::f64::consts::TAU.ln()).sum::<f64>() - ln_scale;
    // z of a point, by substitution.
    let deviations = |u: &[f64]| {
        let mut z: Vec<f64> = vec![];
        for i in 0..b {
            let known: f64 = (0..i).map(|j| scale[[i, j]] * z[j]).sum();
            z.push((u[i] - mean[i] - known) / scale[[i, i]]);
        }
        z
    };
    let ours: Vec<f64> = bridged.iter().map(|&i| states.ln[i] - ln_gauss(&deviations(states.of(i)))).collect();
    let (mut u, mut gauss) = (vec![], vec![]);
    for _ in 0..ours.len() {
        let z: Array1<f64> = (0..b).map(|_| rng.sample::<f64, _>(StandardNormal)).collect();
        u.extend(scale.dot(&z).iter().zip(&mean).map(|(off, mean)| mean + off));
        gauss.push(ln_gauss(&z.to_vec()));
    }
    let theirs: Vec<f64> = space.ln(&u)?.into_iter().zip(gauss).map(|(ln, gauss)| ln - gauss).collect();
    let mut sorted = ours.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted[sorted.len() / 2];
    let n = ours.len() as f64;
    let mut r = 1.0;
    for _ in 0..STEPS {
        let above: f64 =
            theirs.iter().map(|l| (l - middle).exp()).map(|w| if w.is_finite() { w / (w + r) } else { 1.0 }).sum();
        let below: f64 = ours.iter().map(|l| 1.0 / ((l - middle).exp() + r)).sum();
        let next = above / n / (below / n);
        let change = (next / r).ln().abs();
        r = next;
        if change < SAME {
            break;
        }
    }
    match r > 0.0 && r.is_finite() {
        true => Ok(r.ln() + middle),
        false => Err(flat()),
    }
}
