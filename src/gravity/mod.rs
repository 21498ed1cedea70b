//! Lagrangian perturbation theory, the particle-mesh force, kick and drift factors, the step table and the loop that
//! executes it.

mod evolve;
mod factors;
mod force;
mod lpt;
mod table;

pub use evolve::{Observer, evolve};
pub use factors::{Factors, Integrator};
pub use force::{FORCE_HALO, Force};
pub use lpt::{Displacements, LptGrowth, displaced_lattice, displacements};
pub use table::{Row, Spacing, StepConfig, StepTable};
