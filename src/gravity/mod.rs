//! Lagrangian perturbation theory, the particle-mesh force, kick and drift factors, the step table and the loop that
//! executes it.

mod evolve;
mod factors;
mod force;
mod lpt;
mod table;

pub use evolve::{Observer, evolve};
pub use factors::{Factor, Factors, Integrator};
pub use force::{Correction, Force, ForceConfig, Workspace};
pub use lpt::{LptGrowth, lagrangian_particles};
pub use table::{Row, Spacing, StepConfig, StepTable};
