//! Is the posterior of one observation right? A local classifier two-sample test (L-C2ST: Linhart, Gramfort & Rodrigues
//! 2023, arXiv:2306.03580): a classifier learns from test universes to tell (truth, x) from (draw, x), and is asked about the
//! observation's draws; T = ⟨(d − ½)²⟩ over them, 0 where it cannot tell.
//!
//! Its terms are 1, w and w² (all products, up to 6 parameters) times 1, s and s² of each parameter: w the parameters,
//! whitened by their posterior's draws, and s what a regression on the input says of them. It is a logistic regression by
//! one step of Newton's method from d = ½, with a penalty, so that all relabellings share one matrix. Of truth and draws of a
//! universe any may be the truth where all posteriors are exact: the p-value is the fraction of relabellings whose T is as
//! large.

use crate::error::{Error, Result};
use crate::io::samples::{Of, Samples};
use crate::rng;
use ndarray::{Array1, Array2, Axis};
use ndarray_linalg::{Cholesky, FactorizeC, SolveC, UPLO};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Draws of each universe beside its truth.
const BESIDE: usize = 8;
/// Relabellings.
const RELABELLED: usize = 999;
/// Universes that it learns from at most, and at least.
const MOST: usize = 2000;
pub const LEAST: usize = 50;
/// Up to so many parameters all their products are terms, of more the squares alone.
const ALL: usize = 6;
/// Numbers of standard size are drawn in from here on.
const FAR: f64 = 3.0;
/// The penalty, in units of a term's own curvature.
const PENALTY: f64 = 0.05;

/// What was found of one observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Local {
    /// Whose draws were judged.
    pub of: Of,
    /// T of the true labels.
    pub statistic: f64,
    /// Fraction of relabellings (the true one among them) that give as much.
    pub p_value: f64,
    /// Test universes that the classifier has learned from.
    pub universes: usize,
}

/// Whitens parameters by mean and covariance of draws.
struct Whitening {
    mean: Array1<f64>,
    /// Lower triangle of the covariance's root.
    root: Array2<f64>,
}

impl Whitening {
    /// Of draws (n, p); `None` where they have no width.
    fn of(draws: &[f64], p: usize) -> Option<Whitening> {
        let draws = Array2::from_shape_vec((draws.len() / p, p), draws.to_vec()).expect("whole rows");
        let mean = draws.mean_axis(Axis(0))?;
        let off = &draws - &mean;
        let root = (off.t().dot(&off) / (draws.nrows() as f64 - 1.0)).cholesky(UPLO::Lower).ok()?;
        root.diag().iter().all(|d| *d > 0.0).then_some(Whitening { mean, root })
    }

    fn white(&self, theta: &[f64]) -> Vec<f64> {
        let mut w: Vec<f64> = vec![];
        for (i, t) in theta.iter().enumerate() {
            let known: f64 = w.iter().enumerate().map(|(j, w)| self.root[[i, j]] * w).sum();
            w.push((t - self.mean[i] - known) / self.root[[i, i]]);
        }
        w.into_iter().map(|w| FAR * (w / FAR).tanh()).collect()
    }
}

/// The classifier's terms of whitened parameters and of what a regression says.
fn terms(w: &[f64], s: &[f64]) -> Vec<f64> {
    let p = w.len();
    let pairs = (0..p).flat_map(|j| (j..p).map(move |k| (j, k))).filter(|(j, k)| p <= ALL || j == k);
    let own: Vec<f64> = [1.0].into_iter().chain(w.iter().copied()).chain(pairs.map(|(j, k)| w[j] * w[k])).collect();
    let beside: Vec<f64> = [1.0].into_iter().chain(s.iter().flat_map(|s| [*s, s * s - 1.0])).collect();
    beside.iter().flat_map(|b| own.iter().map(move |o| o * b)).collect()
}

/// A classifier of test universes, and its relabelled ones.
pub struct Classifier {
    /// Mean and standard deviation of what the regression says of each parameter.
    seen: Vec<(f64, f64)>,
    /// Root mean squares of the terms (k).
    scale: Array1<f64>,
    /// Weights (k, 1 + relabelled), those of the true labels first.
    weights: Array2<f64>,
    universes: usize,
}

impl Classifier {
    /// Learns from test universes with a truth and a regression; `None` where these are fewer than [`LEAST`].
    pub fn learn(tests: &Samples, seed: u64) -> Result<Option<Classifier>> {
        let (p, said) = (tests.dim(), &tests.extras.regression);
        // Of marginals no joint draws are known.
        let joint = tests.extras.marginals.is_none();
        let known = |i: &usize| joint && tests.truth_of(*i).is_some() && !said.is_empty();
        let rows: Vec<usize> = (0..tests.len()).filter(known).take(MOST).collect();
        let n = rows.len() as f64;
        let moments = |j: usize| {
            let mean = rows.iter().map(|i| said[i * p + j]).sum::<f64>() / n;
            let sd = (rows.iter().map(|i| (said[i * p + j] - mean).powi(2)).sum::<f64>() / n).sqrt();
            (mean, if sd > 0.0 { sd } else { 1.0 })
        };
        let seen: Vec<(f64, f64)> = (0..p).map(moments).collect();
        let (mut terms_of, mut universes) = (vec![], 0);
        for &i in &rows {
            // Truth and first draws are seen by the others alone, as if any were the truth.
            let (Some(truth), draws) = (tests.truth_of(i), tests.theta_of(i)) else { continue };
            let Some((first, others)) = draws.split_at_checked(BESIDE * p) else { continue };
            let Some(white) = Whitening::of(others, p) else { continue };
            let s = standard(&seen, &said[i * p..][..p]);
            terms_of.extend([truth].into_iter().chain(first.chunks_exact(p)).flat_map(|t| terms(&white.white(t), &s)));
            universes += 1;
        }
        if universes < LEAST {
            return Ok(None);
        }
        let k = terms_of.len() / (universes * (1 + BESIDE));
        let mut all = Array2::from_shape_vec((universes * (1 + BESIDE), k), terms_of).expect("whole rows");
        let scale = all.map_axis(Axis(0), |t| (t.dot(&t) / t.len() as f64).sqrt().max(1e-12));
        all /= &scale;
        // Truths count as much as their draws together.
        let mut curvature = all.t().dot(&all) / (2 * (1 + BESIDE)) as f64;
        curvature.diag_mut().mapv_inplace(|c| c + PENALTY * universes as f64 / 2.0);
        let root = curvature.factorizec(UPLO::Lower).map_err(unsolved)?;
        for mut of_one in all.axis_chunks_iter_mut(Axis(0), 1 + BESIDE) {
            let mean = of_one.mean_axis(Axis(0)).expect("there are some");
            of_one.zip_mut_with(&mean, |t, mean| *t = 0.5 * (1 + BESIDE) as f64 / BESIDE as f64 * (*t - mean));
        }
        let mut rng = rng::stream(seed, 0, "relabelled", 0);
        let mut weights = Array2::zeros((k, 1 + RELABELLED));
        for (b, mut column) in weights.columns_mut().into_iter().enumerate() {
            let mut slope = Array1::zeros(k);
            for i in 0..universes {
                let label = if b == 0 { 0 } else { rng.random_range(0..=BESIDE) };
                slope += &all.row(i * (1 + BESIDE) + label);
            }
            column.assign(&root.solvec(&slope).map_err(unsolved)?);
        }
        Ok(Some(Classifier { seen, scale, weights, universes }))
    }

    /// Asks about an observation, the first of `observed`; `None` where nothing is said of it, or it has no width.
    pub fn ask(&self, observed: &Samples) -> Option<Local> {
        let (p, said) = (observed.dim(), observed.extras.regression.get(..observed.dim())?);
        let (draws, s) = (observed.theta_of(0), standard(&self.seen, said));
        let white = Whitening::of(draws, p)?;
        let all: Vec<f64> = draws.chunks_exact(p).flat_map(|t| terms(&white.white(t), &s)).collect();
        let all = Array2::from_shape_vec((observed.draws, self.scale.len()), all).ok()? / &self.scale;
        let sure = |logit: f64| (1.0 / (1.0 + (-logit).exp()) - 0.5).powi(2);
        let t = all.dot(&self.weights).mapv(sure).mean_axis(Axis(0))?;
        let as_large = t.iter().filter(|other| **other >= t[0]).count();
        Some(Local {
            of: observed.extras.of.clone()?,
            statistic: t[0],
            p_value: as_large as f64 / t.len() as f64,
            universes: self.universes,
        })
    }
}

impl Local {
    /// In words; `level`: below 1 minus that it is a failure.
    pub fn words(&self, level: f64) -> String {
        let name = self.of.observation.as_ref().map_or("observation", |o| &o.name);
        let p = self.p_value;
        let found = match self.fails(level) {
            true => "test universes like it have other posteriors than their draws say",
            false => "nothing is found against it",
        };
        format!("{name}: {found} (local two-sample test, p = {p:.3}, {} test universes)", self.universes)
    }

    /// True of a posterior that is to be doubted.
    pub fn fails(&self, level: f64) -> bool {
        self.p_value < 1.0 - level
    }
}

fn standard(seen: &[(f64, f64)], said: &[f64]) -> Vec<f64> {
    seen.iter().zip(said).map(|((mean, sd), s)| ((s - mean) / sd).clamp(-FAR, FAR)).collect()
}

fn unsolved(_: ndarray_linalg::error::LinalgError) -> Error {
    Error::failed("the local test's terms cannot be told apart")
}
