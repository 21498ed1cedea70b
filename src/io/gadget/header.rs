//! What a snapshot says of all its particles, before any is read.

use super::source::Source;
use super::{DARK, TYPES, files, matter};
use crate::error::{Error, Result};
use crate::io::hdf::{File, given};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

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

/// Serial: the header of a snapshot whose first file, any of its files or base name `path` is. Refuses files that do
/// not belong together.
pub fn header(path: &Path) -> Result<Header> {
    read(&files::first(path)).map_err(given)
}

impl Header {
    /// Files of the snapshot.
    pub fn files(&self) -> usize {
        self.counts.len()
    }

    /// Refuses particles that cannot stand for all matter, as far as the table of masses tells; what is ignored, in
    /// words.
    pub fn check_matter(&self) -> Result<Vec<String>> {
        match self.own_masses.contains(&true) {
            true => Ok(vec![]),
            false => matter::judge(self, &matter::of_table(self)),
        }
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

fn read(path: &Path) -> Result<Header> {
    let first = Source(&File::open(path)?);
    let (mut header, claims) = first.header()?;
    let files = claims.files;
    if files > 1 {
        header.counts.clear();
        header.has_velocities = true;
        for i in 0..files {
            let path = files::part(path, i, files)?;
            let (other, theirs) = Source(&File::open(&path)?).header()?;
            if (other.box_size, other.scale_factor, theirs) != (header.box_size, header.scale_factor, claims) {
                let error = Error::input("its header is of another snapshot than its neighbours'").file(path);
                return Err(error
                    .key("Header")
                    .remedy("keep the files of one snapshot, and no others, under one name"));
            }
            header.counts.extend(other.counts);
            (0..TYPES).for_each(|t| header.own_masses[t] |= other.own_masses[t]);
            header.has_velocities &= other.has_velocities || other.npart == 0;
            header.points_elsewhere |= other.points_elsewhere;
        }
    }
    header.npart = header.count(DARK);
    if let Some(total) = claims.total.filter(|total| *total != header.npart) {
        let problem = format!("says {total}, but the snapshot's {files} file(s) hold {} of this type", header.npart);
        return Err(first.bad("Header/NumPart_Total", &problem, "give all files of one whole snapshot"));
    }
    if header.npart == 0 {
        return Err(first.bad("Header", "counts no dark matter particles (PartType1)", "give a dark matter snapshot"));
    }
    contradictions(&header).map_err(|e| e.file(path))?;
    Ok(header)
}

/// One number for the same thing: the true parameters in the root are those of the header.
fn contradictions(header: &Header) -> Result<()> {
    for (name, said) in &header.cosmology {
        let root = header.truth.iter().find(|t| &t.0 == name).map(|t| t.1);
        // Omega_k is only what is left of the other densities.
        if let Some(root) = root.filter(|root| name != "Omega_k" && (root - said).abs() > 1e-3 * said.abs().max(1e-3)) {
            return Err(Error::input(format!("the root's attribute is {root}, but the header says {said}"))
                .key(name)
                .remedy("correct the one that is wrong, or remove it"));
        }
    }
    Ok(())
}
