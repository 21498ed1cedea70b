//! What a model is: named parts, phases, and a step that says what is minimised over which of them. The trainer lends
//! the means, and knows nothing else about networks.

use super::{Batch, Density, Eye, Stream};
use crate::error::Result;
use crate::io::field::FieldSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Rule of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Loshchilov & Hutter 2019: decoupled weight decay; β = (0.9, 0.999) unless the stage or a part has others, ε = 1e-8.
    #[default]
    Adamw,
    /// Stochastic gradient descent, with momentum where the stage or a part has some.
    Sgd,
}

/// How a part's weights move.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser {
    /// `None`: the stage's.
    pub rule: Option<Rule>,
    /// Times the stage's learning rate.
    pub rate: f64,
    /// Of the averages of gradients and their squares, for `Adamw`; `None`: the stage's.
    pub betas: Option<[f64; 2]>,
    /// Of `Sgd`; `None`: the stage's.
    pub momentum: Option<f64>,
    /// Decoupled weight decay; `None`: the stage's.
    pub decay: Option<f64>,
}

impl Default for Optimiser {
    fn default() -> Self {
        Optimiser { rule: None, rate: 1.0, betas: None, momentum: None, decay: None }
    }
}

/// A named network with an optimiser of its own. Whatever a model learns stands in its parts' variables, trainable or
/// not: they make the weights and the checkpoints. Those that are not trainable may change in [`Model::prepare`] and
/// [`Model::conclude`] alone.
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
    /// (n): for each sample, the lower the better; or (n, k).
    pub value: Tensor,
    /// Of k columns: what makes one number of their means.
    pub of: Option<Box<OfMeans<'static>>>,
    /// The parts that it judges: each keeps the weights of its lowest mean. Parts that nothing judges keep their last.
    pub parts: Vec<usize>,
}

/// A loss of the means (k) of columns: a root, a logarithm, a product.
pub type OfMeans<'a> = dyn Fn(&Tensor) -> Tensor + 'a;

impl Score {
    /// A mean over samples, (n).
    pub fn new(name: impl Into<String>, value: Tensor, parts: &[usize]) -> Self {
        Score { name: name.into(), value, of: None, parts: parts.to_vec() }
    }

    /// What `of` makes of the means of columns, (n, k).
    pub fn of_means(name: &str, columns: Tensor, of: impl Fn(&Tensor) -> Tensor + 'static, parts: &[usize]) -> Self {
        Score { of: Some(Box::new(of)), ..Score::new(name, columns, parts) }
    }
}

/// The means that the trainer lends a model's step. All ranks call the same in the same order.
pub trait Turn {
    /// One optimiser step of these parts, and of no other weights, down the gradient of a loss per sample (n), averaged
    /// by weight over the batch of all ranks.
    fn minimise(&mut self, name: &str, loss: &Tensor, parts: &[usize]) -> Result<()>;
    /// The same for a loss of means: columns (n, k) are averaged over the batch of all ranks, `f` makes the loss of the
    /// k means. A root, a logarithm or a product of means written rank by rank would be wrong without an error.
    fn minimise_of_means(&mut self, name: &str, columns: &Tensor, f: &OfMeans<'_>, parts: &[usize]) -> Result<()>;
    /// Steps before this one in this phase: for every k-th, and for schedules.
    fn number(&self) -> u64;
}

/// A published system.
pub trait Model {
    /// The networks, in a fixed order.
    fn parts(&self) -> &[Part];
    /// Trained in order; none where [`Model::prepare`] does it all.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default()]
    }
    /// How many others of its batch a sample is put beside, at most ([`Batch::others`]): none is smaller than that + 1.
    fn partners(&self) -> usize {
        0
    }
    /// Whether a step on a batch is that of the gradients' sum over its parts, which may then go through the networks one after
    /// another (`accumulate`): so where all losses are means over samples, each of which is taken before any step.
    fn splits(&self) -> bool {
        false
    }
    /// Before a phase's first step: scales, closed forms. What it finds goes into the parts' variables. Collective. By
    /// default its eyes take, once, what standardises.
    fn prepare(&self, phase: usize, all: &mut dyn Stream) -> Result<()> {
        let eyes = if phase == 0 { self.eyes() } else { vec![] };
        eyes.into_iter().try_for_each(|eye| eye.prepare(all))
    }
    /// One step on a batch: by default one down each score in turn, all of which are taken before the first.
    fn step(&self, phase: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        self.score(phase, batch)?.iter().try_for_each(|Score { name, value, of, parts }| match of {
            None => turn.minimise(name, value, parts),
            Some(of) => turn.minimise_of_means(name, value, of, parts),
        })
    }
    /// What decides which weights are the best, for samples that are not learned from.
    fn score(&self, _phase: usize, _batch: &Batch) -> Result<Vec<Score>> {
        Ok(vec![])
    }
    /// After the last phase, on its best weights, with the samples that are held out, if there are some: what they say of the
    /// whole goes into variables that are not trained. Collective.
    fn conclude(&self, _held: &mut dyn Stream) -> Result<()> {
        Ok(())
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
    /// What it knows of the parameters, for models that are densities.
    fn density(&self) -> Option<&dyn Density> {
        None
    }
}
