//! What may be asked of a kind of model: all that campaign file, plan and trainer want to know before it is built.

use super::{Estimand, Model, Task};
use crate::error::Result;
use crate::io::field::FieldSpec;
use crate::limits;
use crate::nets::{FlowConfig, MlpConfig, ResidualConfig};
use dyn_clone::DynClone;

/// A key of the section, its value, and the least and the most that it may be.
pub type Size = (&'static str, i64, [i64; 2]);

/// `[train.network]` of one kind.
pub trait Section: std::fmt::Debug + DynClone + erased_serde::Serialize {
    /// Its sizes, which are refused out of their ranges.
    fn sizes(&self) -> Vec<Size> {
        vec![]
    }
    /// What a refusal of one of them says behind its range.
    fn besides(&self, _key: &str) -> &'static str {
        ""
    }
    /// About how many weights its networks have, for samples of so many numbers and p parameters: what no machine holds
    /// is refused. 0 where sizes alone bound it.
    fn weights(&self, _inputs: usize, _p: usize) -> f64 {
        0.0
    }
    /// Names of the fields that it makes of a sample, which later stages may read: [`Model::outputs`].
    fn outputs(&self) -> Vec<&'static str> {
        vec![]
    }
    /// A key that is given and not used for such inputs, and why.
    fn unused(&self, _inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        None
    }
    /// Whether it learns from `target` as well.
    fn wants_target(&self) -> bool {
        false
    }
    /// Whether its inputs may be lists.
    fn takes_lists(&self) -> bool {
        false
    }
    /// Epochs of all its phases together, in a stage with so many for each.
    fn epochs(&self, stage: u64) -> u64 {
        stage
    }
    /// The `patience` of a stage that gives none.
    fn patience(&self) -> u64 {
        0
    }
    /// What it estimates, if it is a density that posteriors can be drawn from.
    fn density(&self) -> Option<Estimand> {
        None
    }
    /// Whether that density is of all parameters together, not of marginals.
    fn is_joint(&self) -> bool {
        true
    }
    /// Keys that records of older programs have not, and what these did.
    fn before(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![]
    }
    /// An untrained model.
    fn build(&self, task: &Task) -> Result<Box<dyn Model>>;
}

impl MlpConfig {
    /// Sizes of a section's `mlp`.
    pub fn sizes(&self) -> Vec<Size> {
        let [units, layers] = [limits::UNITS, limits::LAYERS].map(|n| n as i64);
        vec![("mlp.hidden", self.hidden, [1, units]), ("mlp.layers", self.layers, [0, layers])]
    }

    /// About how many weights it has.
    pub fn weights(&self, from: f64, to: f64) -> f64 {
        let (hidden, layers) = (self.hidden as f64, self.layers as f64);
        if layers < 1.0 { from * to } else { from * hidden + (layers - 1.0) * hidden * hidden + hidden * to }
    }
}

impl ResidualConfig {
    /// Sizes of a section's `classifier`.
    pub fn sizes(&self) -> Vec<Size> {
        let [units, layers] = [limits::UNITS, limits::LAYERS].map(|n| n as i64);
        vec![("classifier.hidden", self.hidden, [1, units]), ("classifier.blocks", self.blocks, [0, layers])]
    }

    /// About how many weights it has, for so many numbers of a sample and of a point.
    pub fn weights(&self, inputs: f64, numbers: f64) -> f64 {
        let hidden = self.hidden as f64;
        hidden * (inputs + numbers + 2.0 * hidden * self.blocks as f64)
    }
}

impl FlowConfig {
    /// Sizes of a section's `flow`.
    pub fn sizes(&self) -> Vec<Size> {
        let [units, layers, bins] = [limits::UNITS, limits::LAYERS, limits::SPLINE_BINS].map(|n| n as i64);
        vec![
            ("flow.layers", self.layers, [1, layers]),
            ("flow.hidden", self.hidden, [1, units]),
            ("flow.bins", self.bins, [2, bins]),
        ]
    }

    /// About how many weights it has, for p parameters and a context of so many numbers.
    pub fn weights(&self, context: f64, p: usize) -> f64 {
        let (hidden, bins) = (self.hidden as f64, self.bins as f64);
        self.layers as f64 * hidden * (context + hidden + p as f64 * (2.0 + 3.0 * bins))
    }
}
