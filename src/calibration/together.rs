//! Diagnostics of several parameters together, and of parameters with what was seen: what ranks of one parameter and
//! its coverage cannot see, for a posterior with the right marginals passes them whatever its correlations, and one that
//! ignores its input and is the prior passes them too (Modrák et al. 2023, arXiv:2211.02383).
//!
//! * Pairs: the rank of z_j z_k, with z a parameter by mean and standard deviation of truth and draws together.
//! * Likelihood: the rank of −ln L̂(θ; x), L̂ of a linear-Gaussian model: the ratio of the posterior that a linear
//!   regression of θ on the input gives to a Gaussian of the prior's moments.
//! * Regression: TARP with that regression's prediction as its reference point (Lemos et al. 2023, arXiv:2302.03026:
//!   only references that depend on x are sufficient).
//!
//! Given x, truth and draws of an exact posterior are exchangeable: any function of θ and x has a uniform rank, so that a
//! poor regression costs power, not validity. It has seen training universes alone.

use super::curves::{Curve, Diagnostic, rank};
use crate::error::{Error, Result};
use crate::io::samples::Samples;
use crate::prior::Coordinate;
use crate::rng;
use ndarray::{Array1, Array2};
use ndarray_linalg::Inverse;
use rand::Rng;

/// Points of the prior by which its moments are known.
const POINTS: usize = 4096;

/// How the product of each two parameters ranks.
pub(super) fn pairs(samples: &Samples, rows: &[usize], seed: u64) -> Vec<Curve> {
    let names = samples.prior.names();
    let pairs = (0..names.len()).flat_map(|k| (0..k).map(move |j| (j, k)));
    let curve = |(j, k): (usize, usize)| {
        let of = |&row: &usize| {
            let truth = &samples.truth[row * samples.dim()..][..samples.dim()];
            let z = |j: usize| {
                let points: Vec<f64> = samples.column(row, j).into_iter().chain([truth[j]]).collect();
                let n = points.len() as f64;
                let mean = points.iter().sum::<f64>() / n;
                let sd = (points.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n).sqrt();
                points.into_iter().map(move |t| if sd > 0.0 { (t - mean) / sd } else { 0.0 })
            };
            let products: Vec<f64> = z(j).zip(z(k)).map(|(a, b)| a * b).collect();
            let (truth, draws) = products.split_last().expect("the truth is one");
            let what = format!("{} and {}", names[j], names[k]);
            rank(*truth, draws.iter().copied(), &mut rng::stream(seed, samples.index[row], &what, 0))
        };
        let mut curve = Curve::new(Diagnostic::Pair, Some(names[j]), rows.iter().map(of).collect());
        curve.beside = Some(names[k].to_string());
        curve
    };
    pairs.map(curve).collect()
}

/// ln L̂ of a linear-Gaussian model, up to what does not depend on θ.
struct Likelihood {
    coordinates: Vec<Coordinate>,
    /// Precision of the regression's errors (p, p); mean (p) and precision (p, p) of the prior.
    precision: Array2<f64>,
    middle: Array1<f64>,
    prior: Array2<f64>,
}

impl Likelihood {
    fn new(samples: &Samples) -> Result<Likelihood> {
        let (prior, p) = (&samples.prior, samples.dim());
        let coordinates: Vec<Coordinate> = prior.parameters.iter().map(|q| q.distribution.coordinate()).collect();
        let mut rng = rng::stream(0, 0, "moments of the prior", 0);
        let points = Array2::from_shape_vec(
            (POINTS, p),
            (0..POINTS)
                .flat_map(|_| {
                    let theta = prior.from_unit(&(0..p).map(|_| rng.random()).collect::<Vec<f64>>());
                    coordinates.iter().zip(theta).map(|(c, t)| c.of(t)).collect::<Vec<_>>()
                })
                .collect(),
        );
        let points = points.expect("as many numbers");
        let middle = points.sum_axis(ndarray::Axis(0)) / POINTS as f64;
        let off = points - &middle;
        let covariance = Array2::from_shape_vec((p, p), samples.extras.regression_covariance.clone());
        let inverse = |covariance: Array2<f64>| {
            covariance.inv().map_err(|_| {
                let error = Error::failed("the covariance of the regression's errors has no inverse");
                error
                    .key("regression_covariance")
                    .remedy("remove this file and run `polycosm infer`, which draws again")
            })
        };
        Ok(Likelihood {
            coordinates,
            precision: inverse(covariance.expect("lengths are checked"))?,
            prior: inverse(off.t().dot(&off) / POINTS as f64)?,
            middle,
        })
    }

    /// Distances of θ from `at`: in units of the prior, and −2 ln L̂.
    fn distances(&self, theta: &[f64], at: &[f64]) -> [f64; 2] {
        let u: Array1<f64> = self.coordinates.iter().zip(theta).map(|(c, t)| c.of(*t)).collect();
        let (off, from) = (&u - &Array1::from(at.to_vec()), u - &self.middle);
        [off.dot(&off), off.dot(&self.precision.dot(&off)) - from.dot(&self.prior.dot(&from))]
    }
}

/// How the parameters rank by what a regression says of them from the input; none where it was not made.
pub(super) fn with_input(samples: &Samples, rows: &[usize], seed: u64) -> Result<Vec<Curve>> {
    if samples.extras.regression.is_empty() {
        return Ok(vec![]);
    }
    let (p, likelihood) = (samples.dim(), Likelihood::new(samples)?);
    let (mut regression, mut by_likelihood) = (vec![], vec![]);
    for &row in rows {
        let at = &samples.extras.regression[row * p..][..p];
        let of = |theta: &[f64]| likelihood.distances(theta, at);
        let truth = of(&samples.truth[row * p..][..p]);
        let draws: Vec<[f64; 2]> = samples.theta_of(row).chunks_exact(p).map(of).collect();
        let mut rng = rng::stream(seed, samples.index[row], "regression", 0);
        regression.push(rank(truth[0], draws.iter().map(|d| d[0]), &mut rng));
        by_likelihood.push(rank(truth[1], draws.iter().map(|d| d[1]), &mut rng));
    }
    Ok(vec![
        Curve::new(Diagnostic::Likelihood, None, by_likelihood),
        Curve::new(Diagnostic::Regression, None, regression),
    ])
}
