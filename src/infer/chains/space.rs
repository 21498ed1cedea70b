//! The density of one sample's parameters in coordinates without bounds.

use super::Chains;
use crate::error::{Error, Result};
use crate::infer::sampler::Target;
use crate::models::Tensor;
use crate::nets::{LnPrior, Unbounded, host};
use crate::rng::ChaCha8Rng;
use rand::Rng;
use rand::distr::{Open01, weighted::WeightedIndex};
use tch::Kind;

/// Draws of the prior that chains begin among.
const BEGINNINGS: usize = 2000;
/// What these are worth at least, by the power of the likelihood that they are resampled by.
const WORTH: f64 = 40.0;

pub(super) struct Space<'a> {
    target: &'a Target<'a>,
    unbounded: Unbounded,
    /// What the density lacks to be the posterior's.
    ln_prior: Option<LnPrior>,
}

impl<'a> Space<'a> {
    pub fn new(target: &'a Target<'a>) -> Self {
        let device = target.batch.device();
        let ln_prior = (!target.is_normalised()).then(|| LnPrior::new(target.prior, device));
        Space { target, unbounded: Unbounded::new(target.prior, device), ln_prior }
    }

    pub fn dim(&self) -> usize {
        self.target.prior.len()
    }

    /// θ at u (m, b), and ln |dθ/du|.
    pub fn theta(&self, u: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (theta, slope) = self.unbounded.stretched(&self.tensor(u));
        (host(&theta), host(&slope))
    }

    fn tensor(&self, u: &[f64]) -> Tensor {
        Tensor::from_slice(u).view([-1, self.dim() as i64]).to_device(self.target.batch.device())
    }

    fn ln_of(&self, u: &Tensor) -> Result<Tensor> {
        let (theta, slope) = self.unbounded.stretched(u);
        let target = self.target;
        let ln =
            target.density.ln(target.batch, target.block, &theta.unsqueeze(0))?.squeeze_dim(0).to_kind(Kind::Double);
        let prior = self.ln_prior.as_ref().map(|prior| prior.of(&theta));
        Ok(prior.map_or_else(|| &ln + &slope, |prior| &ln + prior + &slope))
    }

    /// What is no number is no place to be.
    fn sound(ln: Vec<f64>) -> Vec<f64> {
        ln.into_iter().map(|ln| if ln.is_nan() || ln == f64::INFINITY { f64::NEG_INFINITY } else { ln }).collect()
    }

    /// ln of the density at u (m, b), up to a constant.
    pub fn ln(&self, u: &[f64]) -> Result<Vec<f64>> {
        Ok(Self::sound(host(&tch::no_grad(|| self.ln_of(&self.tensor(u)))?)))
    }

    /// The same, and its slope (m, b), by autograd.
    pub fn ln_and_slope(&self, u: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        tch::with_grad(|| {
            let u = self.tensor(u).set_requires_grad(true);
            let ln = self.ln_of(&u)?;
            let slope = Tensor::run_backward(&[ln.sum(Kind::Double)], &[&u], false, false);
            Ok((Self::sound(host(&ln)), host(&slope[0])))
        })
    }

    /// As many chains as there are at least two for each parameter, among them as many draws of the prior as differ.
    pub fn start(&self, rng: &mut ChaCha8Rng) -> Result<Chains> {
        let (b, prior) = (self.dim(), self.target.prior);
        let cube: Vec<f64> = (0..BEGINNINGS * b).map(|_| rng.sample::<f64, _>(Open01)).collect();
        let points: Vec<f64> = cube.chunks(b).flat_map(|unit| prior.from_unit(unit)).collect();
        let theta = Tensor::from_slice(&points).view([-1, b as i64]).to_device(self.target.batch.device());
        let u = host(&self.unbounded.forward(&theta, Kind::Double).0);
        let raw = tch::no_grad(|| self.target.ln(&theta.unsqueeze(0)))?;
        // Of a posterior too its ratio to the prior.
        let ratio = raw.iter().zip(points.chunks(b)).map(|(ln, theta)| ln - prior.ln_density(theta));
        let ratio: Vec<f64> = ratio.collect();
        let row = self.target.batch.ids[0].universe;
        if let Some(ln) = ratio.iter().find(|ln| ln.is_nan() || **ln == f64::INFINITY) {
            let error = Error::failed(format!("row {row}: the logarithm of its density is {ln} within the prior"));
            return Err(error.remedy("train the stage anew with a smaller learning rate"));
        }
        let alive = ratio.iter().filter(|ln| ln.is_finite()).count();
        if (alive as f64) < WORTH {
            let error =
                Error::failed(format!("row {row}: {alive} of {BEGINNINGS} draws from the prior have a density"));
            return Err(error.remedy("is its prior that of the universes that were learned from?"));
        }
        let most = ratio.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weight = |ln: &f64, power: f64| if ln.is_finite() { (power * (ln - most)).exp() } else { 0.0 };
        let weights = |power: f64| ratio.iter().map(|ln| weight(ln, power)).collect::<Vec<f64>>();
        let worth = |w: &[f64]| w.iter().sum::<f64>().powi(2) / w.iter().map(|w| w * w).sum::<f64>();
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            *if worth(&weights(middle)) >= WORTH { &mut low } else { &mut high } = middle;
        }
        let mut w = weights(if worth(&weights(1.0)) >= WORTH { 1.0 } else { low });
        let m = (4 * b).max(32).next_multiple_of(2);
        let (mut start, mut ln) = (vec![], vec![]);
        for _ in 0..m.min(alive) {
            let Ok(pick) = WeightedIndex::new(&w) else { break };
            let i = rng.sample(&pick);
            // No two begin at one point: nothing could be told of how they lie to each other.
            w[i] = 0.0;
            start.extend_from_slice(&u[i * b..(i + 1) * b]);
        }
        if start.len() / b % 2 == 1 {
            start.truncate(start.len() - b);
        }
        ln.extend(self.ln(&start)?);
        Ok(Chains { u: start, ln, b })
    }
}
