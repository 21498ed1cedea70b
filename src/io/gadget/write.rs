//! Snapshots of the program's own universes, with what readers of other codes' snapshots look for.

use super::exact::Exact;
use super::{DARK, MPC_CM, TEN_BILLION_SUNS_G};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::io::hdf::{File, publish};
use crate::io::ours::{program, replaceable};
use crate::io::simulation::checksum;
use bytemuck::cast_slice;
use std::path::Path;

/// Types of particles in GADGET's header.
const GADGET_TYPES: usize = 6;

/// What a snapshot says of all its particles.
#[derive(Debug, Clone)]
pub struct SnapshotHeader {
    /// Mpc/h.
    pub box_size: f64,
    pub scale_factor: f64,
    pub cosmology: Cosmology,
    /// Positions and velocities in f64 instead of f32.
    pub double: bool,
    /// Numbers for the root's attributes, e.g. the true parameters.
    pub truth: Vec<(String, f64)>,
}

/// Bytes of `n` particles in a snapshot: positions and velocities in f32 or f64, identities in u64, and what is
/// [exact](Exact) of the momenta.
pub fn bytes(n: u64, double: bool) -> u64 {
    n * (6 * if double { 8 } else { 4 } + 8 + 3)
}

/// Collective: writes a snapshot in one file, every rank its particles, in rank order; it appears when whole. `exact`:
/// what its universe comes back from to the last bit. Each array has the checksum of its bytes (`crc32`).
pub fn write(
    comm: &Comm,
    path: &Path,
    header: &SnapshotHeader,
    positions: &[[f64; 3]],
    velocities: &[[f64; 3]],
    ids: &[u64],
    exact: Option<&Exact>,
) -> Result<()> {
    let rows = positions.len();
    comm.on_root(|| replaceable(path))?;
    comm.agree(if rows == velocities.len() && rows == ids.len() {
        Ok(())
    } else {
        Err(Error::failed(format!("{rows} positions, {} velocities, {} ids", velocities.len(), ids.len())).file(path))
    })?;
    let n = comm.sum_of(rows as u64);
    let start = comm.offset(rows);
    publish(comm, path, |file| {
        for group in ["Header", "Parameters", "PartType1"] {
            file.group(group)?;
        }
        write_header(file, header, n)?;
        header.truth.iter().try_for_each(|(name, value)| file.set_number("", name, *value))?;
        let vectors = |name: &str, values: &[[f64; 3]], factor: f64| -> Result<()> {
            let (at, count) = ([start, 0], [rows, 3]);
            let numbers = values.as_flattened().iter().map(|v| v * factor);
            let crc = if header.double {
                let numbers: Vec<f64> = numbers.collect();
                file.create_array::<f64>(name, &[n as usize, 3])?.write(&at, &count, &numbers)?;
                checksum(comm, cast_slice(&numbers))
            } else {
                let numbers: Vec<f32> = numbers.map(|v| v as f32).collect();
                file.create_array::<f32>(name, &[n as usize, 3])?.write(&at, &count, &numbers)?;
                checksum(comm, cast_slice(&numbers))
            };
            file.set_number(name, "crc32", crc)
        };
        vectors("PartType1/Coordinates", positions, 1.0)?;
        vectors("PartType1/Velocities", velocities, 1.0 / header.scale_factor.sqrt())?;
        file.create_array::<u64>("PartType1/ParticleIDs", &[n as usize])?.write(&[start], &[rows], ids)?;
        file.set_number("PartType1/ParticleIDs", "crc32", checksum(comm, cast_slice(ids)))?;
        if let Some(exact) = exact {
            exact.write(comm, file, (header.scale_factor, header.double), velocities)?;
        }
        // As GADGET-4 and AREPO say it: what is written times a^a_scaling h^h_scaling times to_cgs is physical, in cgs.
        scaling(file, "PartType1/Coordinates", [1.0, -1.0, 1.0, 0.0, 0.0], MPC_CM)?;
        scaling(file, "PartType1/Velocities", [0.5, 0.0, 0.0, 0.0, 1.0], 1e5)?;
        scaling(file, "PartType1/ParticleIDs", [0.0; 5], 0.0)
    })
}

/// `Header` and `Parameters`. Box, cosmology and units stand in both: in `Parameters` for GADGET-4's readers, in
/// `Header` for those of GADGET-2's and -3's files.
fn write_header(file: &File, header: &SnapshotHeader, n: u64) -> Result<()> {
    let (a, cosmology) = (header.scale_factor, &header.cosmology);
    // Particles stand for cold matter, as halos do: neutrinos are in Omega0 alone. In 1e10 Msun/h.
    let mass = cosmology.mean_cold_density() * header.box_size.powi(3) / n as f64 / 1e10;
    let (mut masses, mut counts) = ([0.0; GADGET_TYPES], [0; GADGET_TYPES]);
    (masses[DARK], counts[DARK]) = (mass, n);
    file.set_text("Header", "Code", &program())?;
    file.set_number("Header", "Time", a)?;
    file.set_number("Header", "Redshift", 1.0 / a - 1.0)?;
    file.set_numbers("Header", "MassTable", &masses)?;
    file.set_numbers("Header", "NumPart_ThisFile", &counts)?;
    // All 64 bits are in the total: readers that add the high word's 2³² find nothing to add.
    file.set_numbers("Header", "NumPart_Total", &counts)?;
    file.set_numbers("Header", "NumPart_Total_HighWord", &[0u32; GADGET_TYPES])?;
    file.set_number("Header", "NumFilesPerSnapshot", 1i32)?;
    for flag in ["Sfr", "Cooling", "StellarAge", "Metals", "Feedback", "Entropy_ICs"] {
        file.set_number("Header", &format!("Flag_{flag}"), 0i32)?;
    }
    file.set_number("Header", "Flag_DoublePrecision", header.double as i32)?;
    for group in ["Header", "Parameters"] {
        for (name, value) in [
            ("BoxSize", header.box_size),
            ("Omega0", cosmology.omega_m()),
            ("OmegaLambda", cosmology.omega_lambda()),
            ("OmegaBaryon", cosmology.omega_b()),
            ("OmegaNu", cosmology.omega_nu()),
            ("HubbleParam", cosmology.h()),
            ("Hubble", 100.0),
            ("UnitLength_in_cm", MPC_CM),
            ("UnitMass_in_g", TEN_BILLION_SUNS_G),
            ("UnitVelocity_in_cm_per_s", 1e5),
        ] {
            file.set_number(group, name, value)?;
        }
    }
    Ok(())
}

/// Attributes of an array: powers of a, h, length, mass and velocity in its unit, and the unit.
fn scaling(file: &File, array: &str, powers: [f64; 5], to_cgs: f64) -> Result<()> {
    for (what, power) in ["a", "h", "length", "mass", "velocity"].iter().zip(powers) {
        file.set_number(array, &format!("{what}_scaling"), power)?;
    }
    file.set_number(array, "to_cgs", to_cgs)
}
