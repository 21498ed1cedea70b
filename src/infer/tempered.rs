//! Draws from any density, by tempering from the prior to the posterior (sequential Monte Carlo: Del Moral, Doucet &
//! Jasra 2006; "transitional" MCMC: Ching & Chen 2007), which gives the evidence too.
//!
//! θ is a function of u in the unit cube, through the quantiles of the prior, which is uniform there: the posterior of
//! u is f(u)/Z with f = p(x | θ), or p(θ | x)/p(θ), and Z = ∫ f du. N points of the prior go from β = 0 to 1, p_β ∝ f^β:
//!
//! - Δβ is such that the weights w = f^Δβ are worth N/2 points, (Σw)²/Σw²; ln Z grows by the logarithm of their mean;
//! - the points are resampled by these weights;
//! - they are moved under p_β by differential evolution (ter Braak 2006), as y = logit u, which knows no bounds: half
//!   of them by differences of two of the other half, y + γ(y_a − y_b), γ near 2.38/√(2b), sometimes 1, which leads
//!   from one mode to another. That goes on until they have forgotten where they were: no coordinate's correlation with
//!   its value before the moves is above a half, 0.1 under the posterior itself.
//!
//! It needs no gradients, and is good for some five parameters, several modes of one shape included. What it cannot
//! draw from it refuses: where 1000 sweeps do not make the points forget. ln Z has an error of about √(steps/N).

use super::sampler::{Sampler, Target};
use crate::error::{Error, Result};
use crate::models::{Draws, Tensor};
use crate::prior::Prior;
use crate::rng::{ChaCha8Rng, stream};
use rand::Rng;
use rand_distr::Open01;

/// Fewest points.
const LEAST: usize = 1000;
/// Fewest points of the prior that must have a density at all.
const ALIVE: usize = 20;
/// Points whose density is asked for at a time.
const CHUNK: usize = 1 << 14;
/// Sweeps over all points, in all.
const SWEEPS: usize = 1000;
/// Correlation with the past below which it is forgotten: on the way, and at the end.
const FORGOTTEN: [f64; 2] = [0.5, 0.1];
/// Share of the moves with γ = 1.
const JUMPS: f64 = 0.1;

/// See the file's head.
pub struct Tempered;

impl Sampler for Tempered {
    fn draw(&self, target: &Target, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        let (prior, n) = (target.prior, seeds.len());
        let (mut theta, mut ln_prob, mut ln_evidence) = (vec![], vec![], vec![]);
        for (row, &seed) in seeds.iter().enumerate() {
            // One by one: the draws of a universe do not depend on the batch that it is in.
            let batch = target.batch.rows(&[row]);
            let one = Target { batch: &batch, ..*target };
            let points = Points::of_posterior(&one, draws, stream(seed, 0, "tempered draws", 0))?;
            // Neighbours may stem from one point: they are taken far between.
            for i in (0..draws).map(|i| i * points.ln.len() / draws) {
                let of_one = theta_of(prior, &points.y[i * prior.len()..][..prior.len()]);
                ln_prob.push(points.ln[i] + prior.ln_density(&of_one) - points.ln_evidence);
                theta.extend(of_one);
            }
            ln_evidence.push(points.ln_evidence);
        }
        let tensor = |values: &[f64], shape: &[i64]| {
            let full = [&[n as i64, draws as i64], shape].concat();
            Tensor::from_slice(values).view(full.as_slice()).to_device(target.batch.device())
        };
        let (theta, ln_prob) = (tensor(&theta, &[prior.len() as i64]), tensor(&ln_prob, &[]));
        Ok(Some(Draws { theta, ln_prob, ln_evidence, member: vec![0; n * draws], members: 1 }))
    }
}

/// θ at y.
fn theta_of(prior: &Prior, y: &[f64]) -> Vec<f64> {
    prior.from_unit(&y.iter().map(|y| 1.0 / (1.0 + (-y).exp())).collect::<Vec<_>>())
}

/// ln du/dy = ln u(1 − u), of all coordinates: the prior of y.
fn ln_prior(y: &[f64]) -> f64 {
    y.iter().map(|y| -y.abs() - 2.0 * (-y.abs()).exp().ln_1p()).sum()
}

/// N points on their way to the posterior of one sample.
struct Points<'a> {
    target: &'a Target<'a>,
    rng: ChaCha8Rng,
    /// (N, b).
    y: Vec<f64>,
    /// ln f, (N).
    ln: Vec<f64>,
    beta: f64,
    ln_evidence: f64,
    sweeps: usize,
}

impl<'a> Points<'a> {
    fn of_posterior(target: &'a Target, draws: usize, mut rng: ChaCha8Rng) -> Result<Self> {
        let n = draws.max(LEAST).next_multiple_of(2);
        let y: Vec<f64> =
            (0..n * target.prior.len()).map(|_| rng.sample::<f64, _>(Open01)).map(|u| (u / (1.0 - u)).ln()).collect();
        let mut points = Points { target, rng, y, ln: vec![], beta: 0.0, ln_evidence: 0.0, sweeps: 0 };
        points.ln = points.ln_f(&points.y)?;
        while points.beta < 1.0 {
            points.reweight()?;
            points.wander()?;
        }
        Ok(points)
    }

    fn refused(&self, problem: &str, remedy: &str) -> Error {
        Error::failed(format!("row {}: {problem}", self.target.batch.ids[0].universe)).remedy(remedy)
    }

    /// ln f at points (m, b).
    fn ln_f(&self, y: &[f64]) -> Result<Vec<f64>> {
        let (target, prior) = (self.target, self.target.prior);
        let mut all = Vec::with_capacity(y.len() / prior.len());
        for some in y.chunks(CHUNK * prior.len()) {
            let theta: Vec<f64> = some.chunks(prior.len()).flat_map(|y| theta_of(prior, y)).collect();
            let tensor = Tensor::from_slice(&theta).view([1, -1, prior.len() as i64]);
            let ln = tch::no_grad(|| target.ln(&tensor.to_device(target.batch.device())))?;
            for (ln, theta) in ln.into_iter().zip(theta.chunks(prior.len())) {
                // Nothing is at the ends of a line.
                let finite = theta.iter().all(|t| t.is_finite());
                let ln = if finite { ln - prior.ln_density(theta) } else { f64::NEG_INFINITY };
                if ln.is_nan() || ln == f64::INFINITY {
                    let problem = format!("the logarithm of its density is {ln} at {theta:?}");
                    return Err(self.refused(&problem, "train the stage anew with a smaller learning rate"));
                }
                all.push(ln);
            }
        }
        Ok(all)
    }

    /// The next β; the points are resampled by what they weigh there.
    fn reweight(&mut self) -> Result<()> {
        let most = self.ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let alive = self.ln.iter().filter(|ln| ln.is_finite()).count();
        if alive < ALIVE {
            let problem = format!("{alive} of {} draws from the prior have a density", self.ln.len());
            return Err(self.refused(&problem, "is its prior that of the universes that were learned from?"));
        }
        let weights = |step: f64| self.ln.iter().map(|ln| (step * (ln - most)).exp()).collect::<Vec<f64>>();
        let enough = |step: f64| {
            let w = weights(step);
            w.iter().sum::<f64>().powi(2) / w.iter().map(|w| w * w).sum::<f64>() >= 0.5 * alive as f64
        };
        let (mut low, mut high) = (0.0, 1.0 - self.beta);
        if enough(high) {
            low = high;
            self.beta = 1.0;
        } else {
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                *if enough(middle) { &mut low } else { &mut high } = middle;
            }
            self.beta += low;
        }
        let (w, n) = (weights(low), self.ln.len());
        let total: f64 = w.iter().sum();
        self.ln_evidence += low * most + (total / n as f64).ln();
        let (mut sum, mut from, start, b) = (w[0], 0, self.rng.random::<f64>(), self.target.prior.len());
        let chosen = (0..n).map(|i| {
            while sum < (i as f64 + start) / n as f64 * total && from + 1 < n {
                from += 1;
                sum += w[from];
            }
            from
        });
        let chosen: Vec<usize> = chosen.collect();
        self.y = chosen.iter().flat_map(|&i| self.y[i * b..(i + 1) * b].to_vec()).collect();
        self.ln = chosen.iter().map(|&i| self.ln[i]).collect();
        Ok(())
    }

    /// Moves the points under p_β until they have forgotten where they were.
    fn wander(&mut self) -> Result<()> {
        let (before, forgotten) = (self.y.clone(), FORGOTTEN[(self.beta == 1.0) as usize]);
        loop {
            self.sweep()?;
            self.sweeps += 1;
            let remembered = self.correlation(&before);
            if remembered < forgotten {
                return Ok(());
            }
            if self.sweeps >= SWEEPS {
                let problem = format!(
                    "draws from its posterior still remember where they began after {SWEEPS} sweeps (a correlation of \
                     {remembered:.2})"
                );
                let remedy =
                    "its modes may be far apart, or too bent: train the stage longer, or vary fewer parameters";
                return Err(self.refused(&problem, remedy));
            }
        }
    }

    /// One move of each point, half of them at a time.
    fn sweep(&mut self) -> Result<()> {
        let (b, half) = (self.target.prior.len(), self.ln.len() / 2);
        let scale = 2.38 / (2.0 * b as f64).sqrt();
        for (first, others) in [(0, half), (half, 0)] {
            let mut proposed = Vec::with_capacity(half * b);
            for i in first..first + half {
                let one = self.rng.random_range(0..half);
                let two = (one + self.rng.random_range(1..half)) % half;
                let jumps = self.rng.random::<f64>() < JUMPS;
                let gamma = if jumps { 1.0 } else { scale * self.rng.random_range(0.5..1.5) };
                let at = |point: usize, j: usize| self.y[point * b + j];
                proposed.extend((0..b).map(|j| at(i, j) + gamma * (at(others + one, j) - at(others + two, j))));
            }
            for (i, (ln, y)) in self.ln_f(&proposed)?.into_iter().zip(proposed.chunks(b)).enumerate() {
                let i = first + i;
                let own = &mut self.y[i * b..(i + 1) * b];
                let gain = self.beta * (ln - self.ln[i]) + ln_prior(y) - ln_prior(own);
                if self.rng.random::<f64>().ln() < gain {
                    own.copy_from_slice(y);
                    self.ln[i] = ln;
                }
            }
        }
        Ok(())
    }

    /// The largest correlation of a coordinate with what it was.
    fn correlation(&self, before: &[f64]) -> f64 {
        let (b, n) = (self.target.prior.len(), self.ln.len() as f64);
        let mean = |of: &dyn Fn(usize) -> f64| (0..self.ln.len()).map(of).sum::<f64>() / n;
        let each = |j: usize| {
            let (x, y) = (|i: usize| before[i * b + j], |i: usize| self.y[i * b + j]);
            let (mx, my) = (mean(&x), mean(&y));
            let [xx, yy, xy] =
                [mean(&|i| (x(i) - mx).powi(2)), mean(&|i| (y(i) - my).powi(2)), mean(&|i| (x(i) - mx) * (y(i) - my))];
            // Points that are all one remember all.
            if xx * yy > 0.0 { xy / (xx * yy).sqrt() } else { 1.0 }
        };
        (0..b).map(each).fold(-1.0, f64::max)
    }
}
