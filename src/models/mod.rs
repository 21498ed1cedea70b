//! Models: one file each behind one trait. The trainer knows nothing else about networks.

mod batch;
mod contract;
mod eye;
mod npe;
mod section;
mod task;
mod vmim;

pub use batch::{Batch, Column, Pass, SampleId, is_list};
pub use contract::{Draws, Model, Optimiser, Part, Phase, Rule, Score, Stream, Turn};
pub use eye::Eye;
pub use section::{Section, Size};
pub use task::{Task, named};

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::limits;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::Serialize;
pub use tch::{Device, Kind, Tensor};

/// The kinds, a line each: the name, the file, and the struct of the section's keys.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $file:ident::$keys:ident),+) => {
        $(pub use $file::$keys;)+

        /// `[train.network]`: which model a stage trains, and the model's own keys. `kind` decides which keys are known.
        #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum ModelConfig {
            $($(#[$doc])* $kind($keys)),+
        }

        crate::kind::read_by_kind!(ModelConfig { $($kind),+ });

        impl std::ops::Deref for ModelConfig {
            type Target = dyn Section;

            fn deref(&self) -> &(dyn Section + 'static) {
                match self {
                    $(ModelConfig::$kind(keys) => keys),+
                }
            }
        }
    };
}

kinds! {
    /// A compressor trained by variational mutual information maximisation.
    Vmim = vmim::VmimConfig,
    /// An ensemble of neural posterior estimators.
    Npe = npe::NpeConfig
}

impl ModelConfig {
    /// As the campaign file names it.
    pub fn kind(&self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v["kind"].as_str().map(String::from)).unwrap_or_default()
    }

    /// An untrained model for samples of such a field, whose axes say what they are.
    pub fn build(&self, input: &FieldSpec, prior: &Prior, device: Device, kind: Kind) -> Result<Box<dyn Model>> {
        build(&**self, &Task { inputs: &named(vec![input.clone()], "x"), targets: &[], prior, device, kind })
    }
}

/// An untrained model of a section, if its samples hold something to learn from, and a machine holds its weights.
pub fn build(section: &dyn Section, task: &Task) -> Result<Box<dyn Model>> {
    // Of a list, whose length is not known, one row.
    let numbers: usize = task.inputs.iter().map(|c| c.shape[c.ragged as usize..].iter().product::<usize>()).sum();
    if numbers == 0 || task.prior.is_empty() {
        return Err(Error::input("there is nothing to learn from: an input without elements, or no parameters"));
    }
    let weights = section.weights(numbers, task.prior.len());
    if weights > limits::WEIGHTS as f64 {
        let error = Error::input(format!("has about {weights:.1e} weights, of which {} are the most", limits::WEIGHTS));
        return Err(error.key("train.network").remedy("lower its hidden units, or embed or compress its input first"));
    }
    let model = section.build(task)?;
    model.eyes().into_iter().try_for_each(Eye::check)?;
    Ok(model)
}
