//! What the suite knows of a simulator, and one file per simulator.

use crate::comm::Comm;
use crate::error::Result;
use crate::io::field::{Field, FieldSpec};
use std::path::Path;

/// One universe to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Row of the design.
    pub index: u64,
    /// Which realisation of the initial conditions; rows may share one.
    pub realisation: u64,
    /// The campaign's seed.
    pub seed: u64,
    /// Parameters, in the design's order.
    pub theta: &'a [f64],
}

/// What a simulation leaves.
#[derive(Debug, Clone)]
pub struct Output {
    /// One per [`Runner::specs`], in that order.
    pub fields: Vec<Field>,
    /// Seconds by name.
    pub timings: Vec<(String, f64)>,
}

/// What an observation becomes: the simulator's fields, and the true parameters where they are known.
#[derive(Debug, Clone)]
pub struct Observed {
    pub fields: Vec<Field>,
    /// In the design's order.
    pub truth: Option<Vec<f64>>,
}

/// A simulator as the suite sees it.
pub trait Runner {
    /// The fields of one universe; all universes alike.
    fn specs(&self) -> Vec<FieldSpec>;

    /// Collective over `comm`: runs one universe. The result is already agreed over `comm`.
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output>;

    /// Collective over `comm`: passes another code's snapshot through the same observables.
    fn observe_file(&self, comm: &Comm, path: &Path) -> Result<Observed>;
}
