//! Several observations of the same parameters, the prior counted once.

use crate::error::Result;
use crate::models::{Batch, Density, Estimand};
use crate::nets::LnPrior;
use tch::Tensor;

/// Σ_i ln p(x_i | θ), up to what does not depend on θ: the sum of what a likelihood or ratio says of each observation; of a
/// posterior, of the ratios ln q(θ | x_i) − ln p(θ).
pub struct Combined<'a> {
    pub density: &'a dyn Density,
    /// One of each observation.
    pub batches: &'a [Batch],
    /// Of each block's parameters.
    pub priors: Vec<LnPrior>,
}

impl Density for Combined<'_> {
    fn of(&self) -> Estimand {
        Estimand::Likelihood
    }

    fn blocks(&self, p: usize) -> Vec<Vec<usize>> {
        self.density.blocks(p)
    }

    fn ln(&self, _: &Batch, block: usize, theta: &Tensor) -> Result<Tensor> {
        let each = self.batches.iter().map(|batch| self.density.ln(batch, block, theta)).collect::<Result<Vec<_>>>()?;
        let n = each.len() as f64;
        let sum = each.into_iter().reduce(|sum, own| sum + own).expect("there are observations");
        if self.density.of() != Estimand::Posterior {
            return Ok(sum);
        }
        // Outside the prior there is neither.
        let prior = self.priors[block].of(theta);
        let prior = prior.masked_fill(&prior.isinf(), 0.0);
        Ok(sum - prior * n)
    }
}
