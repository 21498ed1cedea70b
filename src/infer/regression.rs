//! What a linear regression says of the parameters from the input that a stage sees. It stands beside the draws, and
//! `calibration` asks whether they know as much (`calibration::together`): only what depends on the input tells of a
//! parameter that was ignored.

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::models::{Batch, Pass, SampleId};
use crate::nets::host;
use crate::prior::Prior;
use crate::train::{Columns, Trained};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use ndarray_linalg::{Eigh, UPLO};
use tch::{Kind, Tensor};

/// Training samples that it is fitted to at most, evenly spaced ones; fewer than the least tell nothing.
const ROWS: usize = 2000;
const LEAST: usize = 20;
/// Numbers of all of them that are held at most: 128 MiB.
const NUMBERS: usize = 1 << 24;
/// Numbers of an input that are regressed on at most: those that go most with a parameter.
const MOST: usize = 256;
/// Penalties, in units of the largest eigenvalue.
const PENALTIES: [f64; 11] = [1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];
/// Part of the variances that is added to them, so that their matrix has an inverse.
const SHRINK: f64 = 1e-6;

/// A ridge regression of each parameter's coordinate u ([`crate::prior::Coordinate`]) on the facts of an input (k), those
/// by which it is told from the training's: numbers after their transform; of each channel of maps mean, scatter, least
/// and largest pixel.
pub struct Regression {
    /// Which facts (some), their means (some), and the slopes (some, p).
    facts: Vec<usize>,
    centre: Array1<f64>,
    slopes: Array2<f64>,
    /// Mean of the coordinates (p), and covariance of what is left of them (p, p).
    mean: Array1<f64>,
    covariance: Array2<f64>,
}

/// Facts of samples, (n, k); `None`: the stage does not look at its inputs.
fn facts(trained: &Trained, batch: &Batch) -> Result<Option<Array2<f64>>> {
    let eyes = trained.model().eyes();
    let each = eyes.iter().map(|eye| Ok(eye.facts(batch.array(&eye.column)?))).collect::<Result<Vec<Tensor>>>()?;
    if each.is_empty() {
        return Ok(None);
    }
    let all = Tensor::cat(&each, 1).to_kind(Kind::Double);
    let shape = (batch.len(), all.size()[1] as usize);
    Ok(Some(Array2::from_shape_vec(shape, host(&all)).expect("as many numbers")))
}

/// Coordinates of parameters (n, p).
fn coordinates(prior: &Prior, theta: &[f64]) -> Array2<f64> {
    let p = prior.len();
    let each: Vec<_> = prior.parameters.iter().map(|q| q.distribution.coordinate()).collect();
    let u = theta.iter().enumerate().map(|(i, &t)| each[i % p].of(t)).collect();
    Array2::from_shape_vec((theta.len() / p, p), u).expect("whole rows")
}

impl Regression {
    /// Fits it to what a stage sees of training universes, which no posterior is judged by; `None`: there are too few, or
    /// too many numbers in each. The same on any number of ranks. Collective.
    pub fn fit(comm: &Comm, trained: &Trained, columns: &Columns) -> Result<Option<Regression>> {
        let dataset = columns.dataset;
        let rows = comm.agree(dataset.learned())?.0;
        // Those that can be used, their numbers, and how many each has.
        let see = |some: &[usize]| -> Result<(Vec<u64>, Vec<f64>, usize)> {
            let (mut kept, mut numbers, mut wide) = (vec![], vec![], 0);
            for chunk in some.chunks(16) {
                let ids: Vec<SampleId> = chunk.iter().map(|&row| SampleId::of(row as u64)).collect();
                let (batch, looks) = columns.seen_by(trained, &ids, Pass::Held)?;
                let Some(seen) = facts(trained, &batch)? else { continue };
                wide = seen.ncols();
                for i in (0..chunk.len()).filter(|&i| looks.fit(i)) {
                    kept.push(chunk[i] as u64);
                    numbers.extend(seen.row(i));
                }
            }
            Ok((kept, numbers, wide))
        };
        // How many numbers there are is only known once one is seen.
        let (.., wide) = comm.agree(see(&rows[..1]))?;
        let most = NUMBERS.checked_div(wide).map_or(0, |most| most.min(ROWS));
        if most.min(rows.len()) < LEAST {
            return Ok(None);
        }
        let some: Vec<usize> = (0..most.min(rows.len())).map(|i| rows[i * rows.len() / most.min(rows.len())]).collect();
        let (start, len) = share(some.len(), comm.size(), comm.rank());
        let (kept, numbers, _) = comm.agree(see(&some[start..start + len]))?;
        let (kept, numbers) = (comm.all_gather(&kept), comm.all_gather(&numbers));
        if kept.len() < LEAST {
            return Ok(None);
        }
        let theta = dataset.thetas(&kept.iter().map(|&row| row as usize).collect::<Vec<_>>());
        let z = ArrayView2::from_shape((kept.len(), wide), &numbers).expect("as many numbers");
        comm.agree(Regression::of(z, coordinates(&trained.prior, &theta))).map(Some)
    }

    /// Of facts z (n, k) and coordinates u (n, p).
    fn of(z: ArrayView2<f64>, u: Array2<f64>) -> Result<Regression> {
        let n = z.nrows() as f64;
        let mean = u.mean_axis(Axis(0)).expect("there are samples");
        let r = u - &mean;
        let own: Vec<f64> = r.columns().into_iter().map(|r| r.dot(&r)).collect();
        // r² with the parameter that a fact goes most with.
        let worth = |z: ndarray::ArrayView1<f64>| {
            let off = &z - z.mean().unwrap_or(0.0);
            let variance = off.dot(&off);
            let of = r.columns().into_iter().zip(&own).map(|(r, own)| off.dot(&r).powi(2) / (variance * own));
            if variance > 1e-20 * n { of.fold(0.0, f64::max) } else { 0.0 }
        };
        let mut found: Vec<(f64, usize)> = z.columns().into_iter().map(worth).zip(0..).filter(|f| f.0 > 0.0).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let facts: Vec<usize> = found.iter().take(MOST).map(|f| f.1).collect();
        let z = z.select(Axis(1), &facts);
        let centre = z.mean_axis(Axis(0)).expect("there are samples");
        let z = z - &centre;
        let failed = |_| Error::failed("the moments of the inputs have no eigenvalues");
        let (s, v) = if facts.is_empty() {
            (Array1::zeros(0), Array2::zeros((0, 0)))
        } else {
            z.t().dot(&z).eigh(UPLO::Lower).map_err(failed)?
        };
        let s = s.mapv(|s: f64| s.max(0.0));
        let (most, turned) = (s.iter().fold(0.0, |a: f64, &s| a.max(s)), z.dot(&v));
        let square = turned.mapv(|t| t * t);
        let (mut slopes, mut left) = (Array2::zeros((facts.len(), own.len())), r.clone());
        for (j, r) in r.columns().into_iter().enumerate() {
            let with = turned.t().dot(&r);
            // Residuals of samples that are left out, the mean known by the others too.
            let without = |d: &Array1<f64>| {
                let (fitted, leverage) = (turned.dot(&(&with / d)), square.dot(&d.mapv(|d| 1.0 / d)));
                let one = |((r, fitted), h): ((&f64, &f64), &f64)| (r - fitted) / (1.0 - h - 1.0 / n).max(0.05);
                r.iter().zip(&fitted).zip(&leverage).map(one).collect::<Array1<f64>>()
            };
            // Nothing is the last of all penalties.
            let mut best = r.mapv(|r| r / (1.0 - 1.0 / n));
            let mut least = best.dot(&best);
            for d in PENALTIES.iter().filter(|_| most > 0.0).map(|penalty| &s + penalty * most) {
                let rest = without(&d);
                if rest.dot(&rest) < least {
                    least = rest.dot(&rest);
                    slopes.column_mut(j).assign(&v.dot(&(&with / &d)));
                    best = rest;
                }
            }
            left.column_mut(j).assign(&best);
        }
        let mut covariance = left.t().dot(&left) / n;
        let floor = covariance.diag().mapv(|v| SHRINK * v + 1e-24);
        covariance.diag_mut().zip_mut_with(&floor, |v, more| *v += more);
        Ok(Regression { facts, centre, slopes, mean, covariance })
    }

    /// What it says of samples, (n, p).
    pub fn say(&self, trained: &Trained, batch: &Batch) -> Result<Vec<f64>> {
        let Some(z) = facts(trained, batch)? else { return Ok(vec![]) };
        Ok(self.predict(z.view()).into_iter().collect())
    }

    fn predict(&self, z: ArrayView2<f64>) -> Array2<f64> {
        (z.select(Axis(1), &self.facts) - &self.centre).dot(&self.slopes) + &self.mean
    }

    /// Covariance of its errors, (p, p).
    pub fn covariance(&self) -> Vec<f64> {
        self.covariance.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;
    use rand_distr::StandardNormal;

    #[test]
    fn it_knows_what_the_inputs_tell_and_how_well() {
        let mut rng = stream(4, 0, "regression", 0);
        let (n, k) = (2000, 300);
        let u = Array2::from_shape_fn((n, 3), |_| rng.random::<f64>());
        // Two of three hundred numbers tell of two parameters, with noise of 0.1 and 0.3; nothing tells of the third.
        let z = Array2::from_shape_fn((n, k), |(i, j)| {
            let noise: f64 = rng.sample(StandardNormal);
            match j {
                7 => u[[i, 0]] + 0.1 * noise,
                200 => u[[i, 1]] + 0.3 * noise,
                9 => 1.0,
                _ => noise,
            }
        });
        let (learned, test) = (z.slice(ndarray::s![..1500, ..]), z.slice(ndarray::s![1500.., ..]));
        let fitted = Regression::of(learned, u.slice(ndarray::s![..1500, ..]).to_owned()).unwrap();
        let off = fitted.predict(test) - u.slice(ndarray::s![1500.., ..]);
        for (j, noise) in [0.1f64, 0.3].into_iter().enumerate() {
            // 1/variance = 12 + 1/noise² for a best linear estimate of a uniform number.
            let exact = 1.0 / (12.0 + noise.powi(-2));
            let found = off.column(j).mapv(|e| e * e).mean().unwrap();
            assert!((0.8..1.5).contains(&(found / exact)), "{j}: {found} {exact}");
            let told = fitted.covariance[[j, j]];
            assert!((0.8..1.25).contains(&(told / found)), "it says {told} of an error of {found}");
        }
        assert!((fitted.covariance[[2, 2]] * 12.0 - 1.0).abs() < 0.1, "{}", fitted.covariance);
        // Inputs that never vary.
        let none = Regression::of(Array2::ones((50, 4)).view(), u.slice(ndarray::s![..50, ..]).to_owned()).unwrap();
        let said = none.predict(Array2::zeros((2, 4)).view());
        assert!(said.iter().all(|u| (u - 0.5).abs() < 0.2) && none.covariance.iter().all(|c| c.is_finite()));
    }
}
