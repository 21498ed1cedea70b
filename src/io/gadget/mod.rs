//! Snapshots in the HDF5 conventions of GADGET-4 (Springel et al. 2021): `Header`, `Parameters`, `PartType1`; in one
//! file or many, by GADGET-2 to -4, AREPO, GIZMO or SWIFT.
//!
//! GADGET's files hold comoving positions and peculiar velocities over √a; the program holds comoving Mpc/h and
//! peculiar km/s. Only dark matter (`PartType1`) is read; what else there is decides whether it can stand for all
//! matter.

mod block;
mod exact;
mod header;
mod headers;
mod matter;
mod part;
mod paths;
mod read;
mod said;
mod write;

pub use exact::{Exact, Restored, Universe, restore, universe};
pub use header::{Header, Velocities};
pub use headers::{files, header, is_snapshot};
pub use paths::first;
pub use read::{Snapshot, read, read_particles};
pub use write::{SnapshotHeader, bytes, write};

/// Centimetres in a Mpc (GADGET's own rounding).
const MPC_CM: f64 = 3.085678e24;
/// Grams in 10¹⁰ solar masses (GADGET's own rounding).
const TEN_BILLION_SUNS_G: f64 = 1.989e43;
/// Types of particles: GADGET has six, SWIFT's neutrinos are a seventh.
const TYPES: usize = 7;
/// The type that is read.
const DARK: usize = 1;
