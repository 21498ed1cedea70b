//! What a model is: named parts, phases, and a step that says what is minimised over which of them. The trainer lends the
//! means, and knows nothing else about networks.

use super::{Batch, Eye};
use crate::error::Result;
use crate::io::field::FieldSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Rule of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Loshchilov & Hutter 2019: decoupled weight decay; β = (0.9, 0.999) unless a part has others, ε = 1e-8.
    #[default]
    Adamw,
    /// Plain stochastic gradient descent.
    Sgd,
}

/// How a part's weights move.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser {
    /// `None`: the stage's.
    pub rule: Option<Rule>,
    /// Times the stage's learning rate.
    pub rate: f64,
    /// Of the averages of gradients and their squares, for `Adamw`.
    pub betas: [f64; 2],
    /// Decoupled weight decay; `None`: the stage's.
    pub decay: Option<f64>,
}

impl Default for Optimiser {
    fn default() -> Self {
        Optimiser { rule: None, rate: 1.0, betas: [0.9, 0.999], decay: None }
    }
}

/// A named network with an optimiser of its own. Whatever a model learns stands in its parts' variables, trainable or not:
/// they make the weights and the checkpoints. Those that are not trainable may change in [`Model::prepare`] alone.
pub struct Part {
    pub name: String,
    pub vs: nn::VarStore,
    pub optimiser: Optimiser,
}

impl Part {
    pub fn new(name: impl Into<String>, vs: nn::VarStore) -> Self {
        Part { name: name.into(), vs, optimiser: Optimiser::default() }
    }
}

/// A stretch of training. The next one begins on this one's best weights, with fresh optimisers.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// `None`: the stage's `epochs`.
    pub epochs: Option<u64>,
    /// Parts that must not move.
    pub frozen: Vec<usize>,
}

/// What says which weights are the best.
pub struct Score {
    pub name: String,
    /// (n): for each sample, the lower the better.
    pub value: Tensor,
    /// The parts that it judges: each keeps the weights of its lowest mean. Parts that nothing judges keep their last.
    pub parts: Vec<usize>,
}

/// The means that the trainer lends a model's step. All ranks call the same in the same order.
pub trait Turn {
    /// One optimiser step of these parts, and of no other weights, down the gradient of a loss per sample (n), averaged by weight
    /// over the batch of all ranks.
    fn minimise(&mut self, name: &str, loss: &Tensor, parts: &[usize]) -> Result<()>;
    /// The same for a loss of means: columns (n, k) are averaged over the batch of all ranks, `f` makes the loss of the k means.
    /// A root, a logarithm or a product of means written rank by rank would be wrong without an error.
    fn minimise_of_means(
        &mut self,
        name: &str,
        columns: &Tensor,
        f: &dyn Fn(&Tensor) -> Tensor,
        parts: &[usize],
    ) -> Result<()>;
    /// Steps before this one in this phase: for every k-th, and for schedules.
    fn number(&self) -> u64;
}

/// All samples that a stage learns from, seen as those are that are held out, for scales and closed forms.
pub trait Stream {
    /// A whole column, (n, …), on every rank: for what needs all at once, as quantiles do.
    fn whole(&mut self, column: &str) -> Result<Tensor>;
    /// The sum of what `f` makes of some samples at a time. Ranks share the work, and get the same bits however many they are.
    /// Collective.
    fn sum(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor>;
}

/// Draws from posteriors of n inputs.
pub struct Draws {
    /// (n, draws, p), double.
    pub theta: Tensor,
    /// ln q of each, (n, draws).
    pub ln_prob: Tensor,
    /// Which member of an ensemble each is from, (n, draws) in memory order.
    pub member: Vec<usize>,
    /// Members of the ensemble.
    pub members: usize,
}

/// A published system.
pub trait Model {
    /// The networks, in a fixed order.
    fn parts(&self) -> &[Part];
    /// Trained in order; none where [`Model::prepare`] does it all.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default()]
    }
    /// How many others of its batch a sample is put beside, at most ([`Batch::others`]): none is smaller than that and one.
    fn partners(&self) -> usize {
        0
    }
    /// Before a phase's first step: scales, closed forms. What it finds goes into the parts' variables. Collective.
    fn prepare(&self, _phase: usize, _all: &mut dyn Stream) -> Result<()> {
        Ok(())
    }
    /// One step on a batch.
    fn step(&self, _phase: usize, _batch: &Batch, _turn: &mut dyn Turn) -> Result<()> {
        Ok(())
    }
    /// What decides which weights are the best, for samples that are not learned from.
    fn score(&self, _phase: usize, _batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![])
    }
    /// The fields that the trained model makes of a sample.
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![]
    }
    /// These fields of samples: one tensor (n, …) for each, in order.
    fn apply(&self, _batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![])
    }
    /// How it looks at its inputs, where it can tell what is unlike the training's.
    fn eyes(&self) -> Vec<&Eye> {
        vec![]
    }
    /// ln q(θ | x) of each row, (n), for models that are densities.
    fn log_prob(&self, _x: &Tensor, _theta: &Tensor) -> Option<Tensor> {
        None
    }
    /// `draws` parameters for each row of x; `seeds`, one per row, fix them.
    fn sample(&self, _x: &Tensor, _draws: i64, _seeds: &[u64]) -> Option<Draws> {
        None
    }
}
