//! polycosm: simulation suites, training sets, networks and calibrated posteriors for cosmology, in one MPI program.
//!
//! Modules are layers; imports go downward only (`tests/layers.rs` keeps it so). `docs/architecture.md` draws the
//! picture.

pub mod bytes;
pub mod calibration;
pub mod cli;
pub mod comm;
pub mod config;
pub mod cosmology;
pub mod error;
pub mod exact;
pub mod fields;
pub mod forecast;
pub mod gravity;
#[cfg(feature = "torch")]
pub mod infer;
pub mod io;
pub mod job;
mod kind;
pub mod limits;
pub mod list;
pub mod mesh;
#[cfg(feature = "torch")]
pub mod models;
#[cfg(feature = "torch")]
pub mod nets;
pub mod observables;
pub mod particles;
pub mod prior;
pub mod progress;
pub mod report;
pub mod rng;
pub mod simulators;
pub mod sphere;
pub mod suite;
#[cfg(feature = "torch")]
pub mod train;
pub mod units;
