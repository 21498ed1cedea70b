//! Models: one file each behind one trait. The trainer knows nothing else about networks.

mod batch;
mod compressor;
mod contract;
mod density;
mod eye;
mod linear_gaussian;
mod npe;
mod nre;
mod regression;
mod section;
mod stream;
mod task;
mod vmim;

pub use batch::{Batch, Column, Pass, SampleId, is_list};
pub use contract::{Model, OfMeans, Optimiser, Part, Phase, Rule, Score, Turn};
pub use density::{Density, Draws, Estimand};
pub use eye::Eye;
pub use npe::NpeConfig;
pub use nre::{Loss, NreConfig};
pub use regression::RegressionConfig;
pub use section::{Section, Size};
pub use stream::Stream;
pub use task::{Task, named};
pub use vmim::VmimConfig;

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::kind::{Entry, Kinded, Kinds, Listed};
use crate::limits;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
pub use tch::{Device, Kind, Tensor};

/// What the file of a model begins with.
pub mod prelude {
    pub use super::{Batch, Density, Estimand, Eye, KINDS, Kind, Model, Optimiser, Part, Phase, Score, Section};
    pub use super::{Size, Stream, Task, Tensor, Turn, kind};
    pub use crate::error::{Error, Result};
    pub use crate::io::field::{AxisKind, FieldSpec};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

/// The kinds of models, by the names that `kind` has in `[train.network]`.
pub static KINDS: Kinds<dyn Section> = Kinds::new(&[
    kind::<VmimConfig>("vmim"),
    kind::<RegressionConfig>("regression"),
    kind::<NpeConfig>("npe"),
    kind::<NreConfig>("nre"),
]);

/// `[train.network]`: which model a stage trains, and the model's own keys. `kind` decides which keys are known.
pub type ModelConfig = Kinded<dyn Section>;

/// A kind for [`KINDS`], whose keys are those of `T`.
pub const fn kind<T: Section + DeserializeOwned + JsonSchema + 'static>(name: &'static str) -> Entry<dyn Section> {
    Entry { name, read: |keys| Ok(Box::new(erased_serde::deserialize::<T>(keys)?)), schema: T::json_schema, facts: () }
}

impl Listed for dyn Section {
    type Facts = ();
    fn kinds() -> &'static Kinds<Self> {
        &KINDS
    }
}

impl ModelConfig {
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
    let (told, phases) = (section.epochs(3), model.phases());
    if told != phases.iter().map(|phase| phase.epochs.unwrap_or(3)).sum::<u64>() {
        let problem = format!("a section tells {told} epochs where a stage has 3, but its model has other phases");
        return Err(Error::failed(problem).key("train.network"));
    }
    model.eyes().into_iter().try_for_each(Eye::check)?;
    Ok(model)
}
