//! One statistic: mean, covariance, derivatives, Fisher matrix.

use ndarray::Array2;
use ndarray_linalg::{Eigh, UPLO};

/// Numbers of universes, as they were measured.
pub struct Measured {
    /// Views of a universe, whose numbers stand one after the other: (views, d) of each.
    pub views: usize,
    /// At the fiducial point, n.
    pub fiducials: Vec<Vec<f64>>,
    /// By parameter, pair by pair: a step down, a step up.
    pub pairs: Vec<Vec<[Vec<f64>; 2]>>,
}

/// What is known of one statistic of d numbers (of one view); q parameters have steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistic {
    pub field: String,
    /// d.
    pub numbers: usize,
    /// Universes at the fiducial point, n.
    pub universes: usize,
    /// Pairs for each parameter, q.
    pub pairs: Vec<usize>,
    /// Mean over universes and views, d.
    pub mean: Vec<f64>,
    /// Covariance of a view, (d, d).
    pub covariance: Vec<f64>,
    /// 1 where a number is used: it is finite in all universes, and not the same in all of them (d).
    pub used: Vec<u8>,
    /// ∂μ/∂θ, (q, d).
    pub derivatives: Vec<f64>,
    /// Their standard errors over pairs, (q, d).
    pub derivative_errors: Vec<f64>,
    pub fisher: Option<Fisher>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Fisher matrix of q parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Fisher {
    /// Hartlap's factor, which is in the matrix.
    pub hartlap: f64,
    /// (q, q).
    pub matrix: Vec<f64>,
    /// Its inverse, (q, q).
    pub covariance: Vec<f64>,
    /// Share of each diagonal element that is expected of chance in the derivatives, q.
    pub noise: Vec<f64>,
}

impl Fisher {
    /// Standard deviations with all parameters free, q.
    pub fn errors(&self) -> Vec<f64> {
        let q = self.noise.len();
        (0..q).map(|i| self.covariance[i * q + i].sqrt()).collect()
    }
}

/// Of a correlation matrix, eigenvalues below this are those of combinations that are constant, to rounding.
const CONSTANT: f64 = 1e-8;
/// Share of the information that may be noise without a word.
const NOISY: f64 = 0.1;

/// Mean of some vectors of m numbers.
fn mean<'a>(all: impl Iterator<Item = &'a [f64]> + Clone, m: usize) -> Vec<f64> {
    let n = all.clone().count() as f64;
    all.fold(vec![0.0; m], |sum, x| sum.iter().zip(x).map(|(s, x)| s + x / n).collect())
}

impl Statistic {
    /// One of which nothing can be told, and why.
    pub fn none(field: &str, numbers: usize, why: String) -> Statistic {
        Statistic { field: field.into(), numbers, notes: vec![why], ..Statistic::default() }
    }

    /// Standard deviation of each number, d.
    pub fn sd(&self) -> Vec<f64> {
        (0..self.numbers).map(|a| self.covariance[a * self.numbers + a].sqrt()).collect()
    }

    /// Correlation matrix of the numbers that are used, row by row.
    pub fn correlation(&self) -> Vec<f64> {
        let (d, sd, used) = (self.numbers, self.sd(), self.places());
        used.iter()
            .flat_map(|&a| used.iter().map(move |&b| (a, b)))
            .map(|(a, b)| self.covariance[a * d + b] / (sd[a] * sd[b]))
            .collect()
    }

    /// Places of the numbers that are used.
    pub fn places(&self) -> Vec<usize> {
        (0..self.used.len()).filter(|&a| self.used[a] == 1).collect()
    }
}

impl Measured {
    /// The statistic; `steps` are half the distances of the pairs, q.
    pub fn statistic(&self, field: &str, steps: &[f64]) -> Statistic {
        let (n, views) = (self.fiducials.len(), self.views);
        let d = self.fiducials[0].len() / views;
        let view = |x: &[f64], v: usize| x[v * d..(v + 1) * d].to_vec();
        let (mut center, mut covariance) = (vec![0.0; d], vec![0.0; d * d]);
        for v in 0..views {
            let all: Vec<Vec<f64>> = self.fiducials.iter().map(|x| view(x, v)).collect();
            let of_view = mean(all.iter().map(|x| &x[..]), d);
            let apart: Vec<Vec<f64>> =
                all.iter().map(|x| x.iter().zip(&of_view).map(|(x, m)| x - m).collect()).collect();
            let weight = 1.0 / ((n - 1) * views) as f64;
            for x in &apart {
                for a in 0..d {
                    (0..d).for_each(|b| covariance[a * d + b] += weight * x[a] * x[b]);
                }
            }
            center.iter_mut().zip(&of_view).for_each(|(c, m)| *c += m / views as f64);
        }
        // Slopes of each pair, the mean over its views.
        let slope = |[down, up]: &[Vec<f64>; 2], h: f64| -> Vec<f64> {
            let of = |x: &[f64]| mean((0..views).map(|v| &x[v * d..(v + 1) * d]), d);
            of(up).iter().zip(of(down)).map(|(u, l)| (u - l) / (2.0 * h)).collect()
        };
        let slopes: Vec<Vec<Vec<f64>>> =
            self.pairs.iter().zip(steps).map(|(pairs, &h)| pairs.iter().map(|pair| slope(pair, h)).collect()).collect();
        let derivatives: Vec<Vec<f64>> = slopes.iter().map(|all| mean(all.iter().map(|x| &x[..]), d)).collect();
        let error = |(all, mean): (&Vec<Vec<f64>>, &Vec<f64>)| -> Vec<f64> {
            let m = all.len() as f64;
            let one = |a: usize| all.iter().map(|x| (x[a] - mean[a]).powi(2)).sum::<f64>() / (m - 1.0) / m;
            (0..d).map(|a| one(a).sqrt()).collect()
        };
        let derivative_errors: Vec<Vec<f64>> = slopes.iter().zip(&derivatives).map(error).collect();
        let usable = |a: usize| {
            let variance: f64 = covariance[a * d + a];
            let finite = derivatives.iter().all(|x| x[a].is_finite());
            variance.is_finite() && finite && variance > (1e-7 * center[a]).powi(2)
        };
        let mut statistic = Statistic {
            field: field.into(),
            numbers: d,
            universes: n,
            pairs: self.pairs.iter().map(Vec::len).collect(),
            used: (0..d).map(|a| usable(a) as u8).collect(),
            mean: center,
            covariance,
            derivatives: derivatives.concat(),
            derivative_errors: derivative_errors.concat(),
            ..Statistic::default()
        };
        let left_out = d - statistic.places().len();
        if left_out > 0 {
            let what = "are the same in all universes, or no numbers in some, and are left out";
            statistic.notes.push(format!("{left_out} of its {d} numbers {what}"));
        }
        if views > 1 {
            statistic.notes.push(format!("of one view; the {views} views of a universe are averaged over"));
        }
        statistic.forecast(&slopes);
        statistic
    }
}

impl Statistic {
    /// Makes the Fisher matrix, or says why there is none; `slopes`: (q, pairs, d).
    fn forecast(&mut self, slopes: &[Vec<Vec<f64>>]) {
        let (n, q) = (self.universes, slopes.len());
        let (used, sd) = (self.places(), self.sd());
        let k = used.len();
        if k == 0 {
            return;
        }
        let few = format!(
            "{n} universes do not give the inverse of a covariance of {k} numbers: more than {} do (Hartlap et al. 2007)",
            k + 2
        );
        if n <= k + 2 {
            return self.notes.push(few);
        }
        if q == 0 || slopes.iter().any(|all| all.is_empty()) {
            let what = if q == 0 { "there are no pairs of steps" } else { "of some parameter no pair is whole" };
            return self.notes.push(format!("{what}: no derivatives, and no Fisher matrix"));
        }
        let correlation = Array2::from_shape_vec((k, k), self.correlation());
        let Some((values, vectors)) = correlation.ok().and_then(|c| c.eigh(UPLO::Lower).ok()) else {
            return self.notes.push("its covariance has no eigenvalues, for it is no matrix of numbers".into());
        };
        let kept: Vec<usize> = (0..k).filter(|&e| values[e] > CONSTANT).collect();
        if kept.len() < k {
            let of = k - kept.len();
            self.notes.push(format!("{of} combination(s) of its numbers are constant, and carry no information"));
        }
        // In units in which the covariance is 1.
        let white = |x: &[f64]| -> Vec<f64> {
            let along = |e: usize| used.iter().enumerate().map(|(i, &a)| vectors[[i, e]] * x[a] / sd[a]).sum::<f64>();
            kept.iter().map(|&e| along(e) / values[e].sqrt()).collect()
        };
        let each: Vec<Vec<Vec<f64>>> = slopes.iter().map(|all| all.iter().map(|x| white(x)).collect()).collect();
        let means: Vec<Vec<f64>> = each.iter().map(|all| mean(all.iter().map(|x| &x[..]), kept.len())).collect();
        let hartlap = (n - kept.len() - 2) as f64 / (n - 1) as f64;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let matrix: Vec<f64> =
            means.iter().flat_map(|a| means.iter().map(move |b| (a, b))).map(|(a, b)| hartlap * dot(a, b)).collect();
        let noise: Vec<f64> = (0..q)
            .map(|i| {
                let m = each[i].len() as f64;
                let apart = |x: &Vec<f64>| x.iter().zip(&means[i]).map(|(x, mean)| (x - mean).powi(2)).sum::<f64>();
                hartlap * each[i].iter().map(apart).sum::<f64>() / (m - 1.0) / m / matrix[i * q + i]
            })
            .collect();
        let Some(covariance) = inverse(&matrix, q) else {
            return self.notes.push("it does not tell all parameters apart: its Fisher matrix has no inverse".into());
        };
        if noise.iter().any(|x| x.is_nan()) {
            self.notes.push("one pair does not tell how much of a derivative is chance: give more".into());
        } else if let Some(most) = noise.iter().copied().reduce(f64::max).filter(|&x| x > NOISY) {
            let percent = 100.0 * most.min(1.0);
            self.notes
                .push(format!("up to {percent:.0}% of its information is chance in derivatives: give more pairs"));
        }
        self.fisher = Some(Fisher { hartlap, matrix, covariance, noise });
    }
}

/// Inverse of a symmetric positive matrix (q, q), whatever the units of its rows.
fn inverse(matrix: &[f64], q: usize) -> Option<Vec<f64>> {
    let unit: Vec<f64> = (0..q).map(|i| matrix[i * q + i].sqrt()).collect();
    let scaled = Array2::from_shape_fn((q, q), |(i, j)| matrix[i * q + j] / (unit[i] * unit[j]));
    let (values, vectors) = scaled.eigh(UPLO::Lower).ok()?;
    if !values.iter().all(|&v| v > 1e-10) {
        return None;
    }
    let one = |i: usize, j: usize| (0..q).map(|e| vectors[[i, e]] * vectors[[j, e]] / values[e]).sum::<f64>();
    Some((0..q * q).map(|at| one(at / q, at % q) / (unit[at / q] * unit[at % q])).collect())
}
