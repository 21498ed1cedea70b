//! From a density to draws of p(θ | x), and its normalised logarithm.

use crate::error::Result;
use crate::models::{Batch, Density, Draws, Estimand};
use crate::nets::host;
use crate::prior::Prior;
use tch::Tensor;

/// What is drawn from: p(θ | x) of some of the parameters, for n samples x.
pub struct Target<'a> {
    pub density: &'a dyn Density,
    /// Which of its densities.
    pub block: usize,
    pub batch: &'a Batch,
    /// Of that block's parameters, b.
    pub prior: &'a Prior,
}

impl Target<'_> {
    /// Whether its density is that of the posterior itself, of integral 1.
    pub fn is_normalised(&self) -> bool {
        self.density.of() == Estimand::Posterior
    }

    /// ln p(θ | x) + ln Z at m points of each sample, (n, m, b) → (n · m); Z is each sample's, 1 for a posterior.
    pub fn ln(&self, theta: &Tensor) -> Result<Vec<f64>> {
        let ln = host(&self.density.ln(self.batch, self.block, theta)?);
        if self.is_normalised() {
            return Ok(ln);
        }
        let theta = host(theta);
        let each = ln.iter().zip(theta.chunks(self.prior.len()));
        Ok(each
            .map(|(ln, theta)| match self.prior.ln_density(theta) {
                f64::NEG_INFINITY => f64::NEG_INFINITY,
                prior => ln + prior,
            })
            .collect())
    }
}

/// A way from a density to draws.
pub trait Sampler {
    /// `draws` for each sample; `seeds`, one per sample, fix them. `None` where this way does not lead there.
    fn draw(&self, target: &Target, draws: usize, seeds: &[u64]) -> Result<Option<Draws>>;
}

/// Of a density that draws by itself.
pub struct Direct;

impl Sampler for Direct {
    fn draw(&self, target: &Target, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        target.density.draw(target.batch, target.block, draws, seeds)
    }
}
