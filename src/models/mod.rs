//! Models: one file each behind one trait. The trainer knows nothing else about networks.

mod batch;
mod contract;
mod npe;
mod task;
mod vmim;

pub use batch::{Batch, Column, Pass, SampleId};
pub use contract::{Draws, Eyes, Model, Optimiser, Part, Phase, Rule, Score, Stream, Turn};
pub use npe::{Npe, NpeConfig};
pub use task::Task;
pub use vmim::{Vmim, VmimConfig};

use crate::error::{Error, Result};
use crate::limits;
use crate::nets::{FlowConfig, MlpConfig};
use crate::prior::Prior;
use serde::Serialize;
pub use tch::{Device, Kind, Tensor};

/// `[train.network]`: which model a stage trains, and the model's own keys. `kind` decides which keys are known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// A compressor trained by variational mutual information maximisation.
    Vmim(VmimConfig),
    /// An ensemble of neural posterior estimators.
    Npe(NpeConfig),
}

crate::kind::read_by_kind!(ModelConfig { Vmim, Npe });

impl ModelConfig {
    /// An untrained model for samples of this shape.
    pub fn build(&self, shape: &[usize], prior: &Prior, device: Device, kind: Kind) -> Result<Box<dyn Model>> {
        if shape.iter().product::<usize>() == 0 || prior.is_empty() {
            return Err(Error::input("there is nothing to learn from: an input without elements, or no parameters"));
        }
        let weights = self.weights(shape.iter().product(), prior.len());
        if weights > limits::WEIGHTS as f64 {
            let error =
                Error::input(format!("has about {weights:.1e} weights, of which {} are the most", limits::WEIGHTS));
            return Err(error
                .key("train.network")
                .remedy("lower its hidden units, or embed or compress its input first"));
        }
        let model: Box<dyn Model> = match self {
            ModelConfig::Vmim(c) => Box::new(Vmim::new(c, shape, prior, device, kind)),
            ModelConfig::Npe(c) => Box::new(Npe::new(c, shape, prior, device, kind)),
        };
        if let Some(eyes) = model.eyes() {
            eyes.preprocess().check()?;
        }
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

    /// True if the model gives summaries that later stages can take as their input.
    pub fn compresses(&self) -> bool {
        matches!(self, ModelConfig::Vmim(_))
    }
}
