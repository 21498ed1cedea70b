//! What a trained model knows of the parameters of a universe that it looks at. A density says of what it is one; a
//! sampler of `infer` makes draws of it.

use super::Batch;
use crate::error::Result;
use tch::Tensor;

/// What a density estimates, as a function of θ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimand {
    /// p(θ | x), under the prior that the parameters were drawn from.
    Posterior,
    /// p(x | θ), up to a factor that does not depend on θ.
    Likelihood,
    /// p(x | θ)/p(x) = p(θ | x)/p(θ), up to a factor that does not depend on θ.
    Ratio,
}

/// A density of the parameters θ (p), or of some of them (a block of b): what it is of, its logarithm, and draws where
/// it has a way of its own to them.
pub trait Density {
    fn of(&self) -> Estimand;
    /// The parameters of each density: one of all of them, or marginals, of which no joint density is known.
    fn blocks(&self, p: usize) -> Vec<Vec<usize>> {
        vec![(0..p).collect()]
    }
    /// Its logarithm at m points for each of n samples: (n, m, b), double → (n, m). Differentiable by θ and weights.
    fn ln(&self, batch: &Batch, block: usize, theta: &Tensor) -> Result<Tensor>;
    /// Draws for each sample, of a normalised posterior; `seeds`, one per sample, fix them. `None`: whoever wants some
    /// has to find them with [`Density::ln`].
    fn draw(&self, _batch: &Batch, _block: usize, _draws: usize, _seeds: &[u64]) -> Result<Option<Draws>> {
        Ok(None)
    }
}

/// Draws from the posteriors of n samples.
pub struct Draws {
    /// (n, draws, b), double.
    pub theta: Tensor,
    /// ln p(θ | x) of each, (n, draws).
    pub ln_prob: Tensor,
    /// ln Z of each sample (n): what normalises its density; 0 where it is normalised.
    pub ln_evidence: Vec<f64>,
    /// Which member of an ensemble each is from, (n, draws) in memory order; as many as there are members, or more: of none.
    pub member: Vec<usize>,
    /// Members of the ensemble.
    pub members: usize,
}
