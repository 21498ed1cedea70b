//! What a snapshot says of all its particles, before any is read.

use super::TYPES;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How velocities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Velocities {
    /// Peculiar velocities over √a.
    Gadget,
    /// Peculiar velocities a dx/dt.
    Peculiar,
}

impl Velocities {
    /// The power of a that makes what is written a peculiar velocity.
    pub fn power(self) -> f64 {
        match self {
            Velocities::Gadget => 0.5,
            Velocities::Peculiar => 0.0,
        }
    }
}

/// What the files of a snapshot say of all its particles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// Mpc/h.
    pub box_size: f64,
    pub scale_factor: f64,
    /// Dark matter particles in all files.
    pub npart: u64,
    /// What is said of the universe, by the names of [`crate::cosmology::NAMES`].
    pub cosmology: Vec<(String, f64)>,
    /// All numbers among the attributes of the root: where a mock observation keeps its true parameters.
    pub truth: Vec<(String, f64)>,
    /// The power of a that makes what is written a peculiar velocity, where the files tell.
    pub velocity_power: Option<f64>,
    /// True if there are velocities.
    pub has_velocities: bool,
    /// What is unusual, in words.
    pub warnings: Vec<String>,
    /// Massive neutrinos among the matter.
    pub(super) omega_nu: Option<f64>,
    /// Particles of each type in each file.
    pub(super) counts: Vec<[u64; TYPES]>,
    /// Mass of each particle of a type, Msun/h; 0 where they differ.
    pub(super) mass_table: [f64; TYPES],
    /// Types whose particles have masses of their own.
    pub(super) own_masses: [bool; TYPES],
    pub(super) units: Units,
    /// True if the particles are in other files, which this one only points to.
    pub(super) points_elsewhere: bool,
}

/// Units of the file in Mpc/h, km/s and Msun/h.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Units {
    pub length: f64,
    pub velocity: f64,
    pub mass: f64,
}

impl Header {
    /// Files of the snapshot.
    pub fn files(&self) -> usize {
        self.counts.len()
    }

    /// Particles of a type.
    pub(super) fn count(&self, kind: usize) -> u64 {
        self.counts.iter().map(|c| c[kind]).sum()
    }

    /// What the header, or the root, says of a parameter of the universe.
    pub fn told(&self, name: &str) -> Option<f64> {
        self.truth.iter().chain(&self.cosmology).find(|t| t.0 == name).map(|t| t.1)
    }
}
