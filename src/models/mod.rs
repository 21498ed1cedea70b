//! Models: one file each behind one trait. The trainer knows nothing else about networks.

mod npe;
mod vmim;

pub use npe::{Npe, NpeConfig};
pub use vmim::{Vmim, VmimConfig};

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::limits;
use crate::nets::{FlowConfig, MlpConfig, Novelty, Preprocess};
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::Serialize;
use tch::nn;
pub use tch::{Device, Kind, Tensor};

/// Some samples, on the model's device.
pub struct Batch {
    /// (n, …): what is seen, in the precision that it comes in.
    pub x: Tensor,
    /// (n, p), double: what is to be learned, in its own units.
    pub theta: Tensor,
}

/// A named network with an optimiser of its own.
pub struct Part {
    pub name: String,
    pub vs: nn::VarStore,
}

/// A loss, averaged over the batch, and the parts that follow its gradient.
pub struct Loss {
    pub name: String,
    pub value: Tensor,
    pub parts: Vec<usize>,
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

/// A published system: named parts, trained in one or more phases.
pub trait Model {
    /// The networks, in a fixed order.
    fn parts(&self) -> &[Part];
    /// Takes what standardises the inputs from the training inputs (n, …); how far each of them lies from the others.
    fn standardise(&mut self, x: &Tensor) -> Novelty;
    /// What that was.
    fn preprocess(&self) -> &Preprocess;
    /// Inputs (n, …) as it takes them, (n · views, …), and the number of views.
    fn seen(&self, x: &Tensor) -> (Tensor, i64);
    /// How far inputs (n, …) lie outside the training inputs.
    fn novelty(&self, x: &Tensor) -> Novelty {
        let (x, views) = self.seen(x);
        self.preprocess().novelty(&x, views)
    }
    /// Of each input (n, …): how many of its numbers are not finite, and how many the transform does not take.
    fn unfit(&self, x: &Tensor) -> Vec<[i64; 2]> {
        let (x, views) = self.seen(x);
        self.preprocess().unfit(&x, views)
    }
    /// Phases, trained in order.
    fn phases(&self) -> usize {
        1
    }
    /// The losses of a batch in a phase. Each is minimised over its own parts.
    fn step(&self, batch: &Batch, phase: usize) -> Vec<Loss>;
    /// What the trained model makes of inputs (n, …): named fields, each (n, …).
    fn apply(&self, x: &Tensor) -> Vec<(String, Tensor)>;
    /// ln q(θ | x) of each row, (n), for models that are densities.
    fn log_prob(&self, _x: &Tensor, _theta: &Tensor) -> Option<Tensor> {
        None
    }
    /// `draws` parameters for each row of x; `seeds`, one per row, fix them.
    fn sample(&self, _x: &Tensor, _draws: i64, _seeds: &[u64]) -> Option<Draws> {
        None
    }
}

/// `[train.network]`: which model a stage trains, and the model's own keys. `kind` decides which keys are known.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// A compressor trained by variational mutual information maximisation.
    Vmim(VmimConfig),
    /// An ensemble of neural posterior estimators.
    Npe(NpeConfig),
}

crate::kind::read_by_kind!(ModelConfig { Vmim, Npe });

impl ModelConfig {
    /// An untrained model for samples of such a field, whose axes say what they are.
    pub fn build(&self, input: &FieldSpec, prior: &Prior, device: Device, kind: Kind) -> Result<Box<dyn Model>> {
        let numbers: usize = input.shape.iter().product();
        if numbers == 0 || prior.is_empty() {
            return Err(Error::input("there is nothing to learn from: an input without elements, or no parameters"));
        }
        let weights = self.weights(numbers, prior.len());
        if weights > limits::WEIGHTS as f64 {
            let error =
                Error::input(format!("has about {weights:.1e} weights, of which {} are the most", limits::WEIGHTS));
            return Err(error
                .key("train.network")
                .remedy("lower its hidden units, or embed or compress its input first"));
        }
        let model: Box<dyn Model> = match self {
            ModelConfig::Vmim(c) => Box::new(Vmim::new(c, input, prior, device, kind)),
            ModelConfig::Npe(c) => Box::new(Npe::new(c, input, prior, device, kind)),
        };
        model.preprocess().check()?;
        Ok(model)
    }

    /// The first size that is out of range: its key, value and range.
    pub fn out_of_range(&self) -> Option<(&'static str, i64, [i64; 2])> {
        let [units, layers, bins] = [limits::UNITS, limits::LAYERS, limits::SPLINE_BINS].map(|n| n as i64);
        let (mlp, flow, more) = match self {
            ModelConfig::Vmim(c) => {
                let blocks = c.cnn.blocks.iter().map(|&n| ("cnn.blocks", n, [1, layers]));
                // Each stage doubles the channels of the one before.
                let stages = (
                    "cnn.blocks",
                    c.cnn.blocks.len() as i64,
                    [1, (units / c.cnn.width.max(1)).max(1).ilog2() as i64 + 1],
                );
                let sizes = [("cnn.width", c.cnn.width, [1, units]), stages, ("summaries", c.summaries, [0, units])];
                (&c.mlp, &c.flow, sizes.into_iter().chain(blocks).collect::<Vec<_>>())
            }
            ModelConfig::Npe(c) => {
                // More than 64 members would not fit the trainer's mask of parts; nobody averages so many.
                let members = ("ensemble", c.ensemble.min(i64::MAX as usize) as i64, [1, 64]);
                (&c.mlp, &c.flow, vec![members, ("embedding", c.embedding, [0, units])])
            }
        };
        let sizes = [
            ("mlp.hidden", mlp.hidden, [1, units]),
            ("mlp.layers", mlp.layers, [0, layers]),
            ("flow.layers", flow.layers, [1, layers]),
            ("flow.hidden", flow.hidden, [1, units]),
            ("flow.bins", flow.bins, [2, bins]),
        ];
        sizes.into_iter().chain(more).find(|(_, n, [least, most])| n < least || n > most)
    }

    /// About how many weights the networks have, for samples of so many numbers and p parameters.
    pub fn weights(&self, inputs: usize, p: usize) -> f64 {
        let mlp = |c: &MlpConfig, from: f64, to: f64| {
            let (hidden, layers) = (c.hidden as f64, c.layers as f64);
            if layers < 1.0 { from * to } else { from * hidden + (layers - 1.0) * hidden * hidden + hidden * to }
        };
        let flow = |c: &FlowConfig, context: f64| {
            let (hidden, bins) = (c.hidden as f64, c.bins as f64);
            c.layers as f64 * hidden * (context + hidden + p as f64 * (2.0 + 3.0 * bins))
        };
        let inputs = inputs as f64;
        match self {
            ModelConfig::Vmim(c) => {
                let summaries = if c.summaries == 0 { p as f64 } else { c.summaries as f64 };
                let channels = |stage: usize| c.cnn.width as f64 * 2f64.powi(stage as i32);
                let stage = |(s, blocks): (usize, &i64)| *blocks as f64 * 18.0 * channels(s).powi(2);
                let cnn: f64 = c.cnn.blocks.iter().enumerate().map(stage).sum();
                cnn.max(mlp(&c.mlp, inputs, summaries)) + flow(&c.flow, summaries)
            }
            ModelConfig::Npe(c) => {
                let (embedded, context) = match c.embedding {
                    0 => (0.0, inputs),
                    e => (mlp(&c.mlp, inputs, e as f64), e as f64),
                };
                c.ensemble as f64 * (embedded + flow(&c.flow, context))
            }
        }
    }

    /// How many numbers later stages take as their input, where p parameters vary.
    pub fn summaries(&self, p: usize) -> usize {
        match self {
            ModelConfig::Vmim(c) if c.summaries > 0 => c.summaries as usize,
            _ => p,
        }
    }

    /// True if the model gives summaries that later stages can take as their input.
    pub fn compresses(&self) -> bool {
        matches!(self, ModelConfig::Vmim(_))
    }
}
