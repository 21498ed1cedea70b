//! Simulators: one file each, and one line here. The rest of the house asks a kind's [`Section`] whatever it wants to
//! know, and its [`Runner`] for universes.

pub mod bench;
pub mod budget;
mod contract;
mod flat;
mod gathered;
mod lognormal_box;
mod lognormal_sphere;
mod multipoles;
pub mod pm;
mod section;
mod sky;

pub use contract::{Job, Kept, Look, Observed, Output, Runner, Simulator};
pub use flat::{GaussianFlatConfig, LognormalFlatConfig, SkyConfig, SpectrumConfig};
pub use lognormal_box::LognormalBoxConfig;
pub use lognormal_sphere::LognormalSphereConfig;
pub use pm::{FftPlans, FieldFile, FieldKind, InitialConfig, Pm, PmConfig, Precision};
pub use section::{Likelihood, LnLikelihood, Section, Theory, Universes};

/// What the file of a simulator begins with.
pub mod prelude {
    pub use super::{Job, KINDS, Kept, Output, Runner, Section, Simulator, Theory, Universes, kind};
    pub use crate::comm::{Comm, timers::Timers};
    pub use crate::error::{Error, Result};
    pub use crate::io::field::{Axis, AxisKind, Data, Field, FieldSpec};
    pub use crate::prior::Theta;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

use crate::kind::{Entry, Kinded, Kinds, Listed};
use bench::Bench;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// The kinds of simulators, by the names that `kind` has in `[simulator]`.
pub static KINDS: Kinds<dyn Section, About> = Kinds::new(&[
    // Particle-mesh N-body.
    kind::<PmConfig>("pm"),
    // Gaussian maps of a flat sky.
    kind::<GaussianFlatConfig>("gaussian-flat"),
    // Lognormal maps of a flat sky.
    kind::<LognormalFlatConfig>("lognormal-flat"),
    // Lognormal shells of the whole sky.
    kind::<LognormalSphereConfig>("lognormal-sphere"),
    // Lognormal matter in a box, and galaxies.
    kind::<LognormalBoxConfig>("lognormal-box"),
]);

/// `[simulator]`: which simulator, and its own keys. `kind` decides which keys are known.
pub type SimulatorConfig = Kinded<dyn Section>;

/// What is known of a kind itself.
pub struct About {
    pub bench: fn() -> Option<Bench>,
}

/// A kind for [`KINDS`], whose keys are those of `T`.
pub const fn kind<T>(name: &'static str) -> Entry<dyn Section, About>
where
    T: Section + DeserializeOwned + JsonSchema + 'static,
{
    Entry {
        name,
        read: |keys| Ok(Box::new(erased_serde::deserialize::<T>(keys)?)),
        schema: T::json_schema,
        facts: About { bench: T::bench },
    }
}

impl Listed for dyn Section {
    type Facts = About;
    fn kinds() -> &'static Kinds<Self, About> {
        &KINDS
    }
}

impl SimulatorConfig {
    /// The section as far as it shapes the data.
    pub fn shaping(&self) -> serde_json::Value {
        self.tagged(self.shape())
    }
}
