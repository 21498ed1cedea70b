//! Snapshots in the HDF5 conventions of GADGET-4 (Springel et al. 2021): `Header`, `Parameters`, `PartType1`.
//!
//! The files hold comoving positions and peculiar velocities over √a; the program holds comoving Mpc/h and peculiar
//! km/s. Only dark matter (`PartType1`) is read.

use super::hdf::{File, given};
use super::provenance::Provenance;
use crate::comm::{Comm, share};
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use std::path::Path;

/// Centimetres in a Mpc (GADGET's own rounding).
const MPC_CM: f64 = 3.085678e24;

/// A snapshot, or this rank's contiguous share of its particles.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Mpc/h.
    pub box_size: f64,
    pub scale_factor: f64,
    /// Matter density today; `None` if the file does not tell.
    pub omega_m: Option<f64>,
    /// Particles in the whole file.
    pub npart: u64,
    /// Comoving Mpc/h.
    pub positions: Vec<[f64; 3]>,
    /// Peculiar km/s.
    pub velocities: Vec<[f64; 3]>,
    pub ids: Vec<u64>,
    /// All numeric attributes of the file's root: where a mock observation keeps its true parameters.
    pub truth: Vec<(String, f64)>,
}

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

/// Collective: reads a snapshot in one file; each rank gets the next contiguous share of the particles.
pub fn read(comm: &Comm, path: &Path) -> Result<Snapshot> {
    read_parts(comm, path).map_err(given)
}

fn read_parts(comm: &Comm, path: &Path) -> Result<Snapshot> {
    let file = File::open_on(comm, path)?;
    let header = comm.agree(read_header(&file))?;
    let n = header.npart as usize;
    let (start, len) = share(n, comm.size(), comm.rank());
    let vectors = |name: &str, unit: f64| -> Result<Vec<[f64; 3]>> {
        let read = file.array(name).and_then(|a| match a.shape()[..] {
            [m, 3] if m == n => a.read::<f64>(&[start, 0], &[len, 3]),
            _ => Err(wrong_shape(&file, name, &a.shape(), n)),
        });
        let numbers = comm.agree(read)?;
        Ok(numbers.chunks_exact(3).map(|v| [v[0] * unit, v[1] * unit, v[2] * unit]).collect())
    };
    let positions = vectors("PartType1/Coordinates", header.length)?;
    let velocities = vectors("PartType1/Velocities", header.velocity * header.scale_factor.sqrt())?;
    let ids = file.array("PartType1/ParticleIDs").and_then(|a| match a.shape()[..] {
        [m] if m == n => a.read::<u64>(&[start], &[len]),
        _ => Err(wrong_shape(&file, "PartType1/ParticleIDs", &a.shape(), n)),
    });
    let ids = comm.agree(ids)?;
    let box_size = header.box_size * header.length;
    let finite = positions.iter().flatten().all(|x| x.is_finite());
    comm.agree(if finite {
        Ok(())
    } else {
        Err(Error::input("holds positions that are not finite").file(path).key("PartType1/Coordinates"))
    })?;
    let Header { scale_factor, omega_m, npart, truth, .. } = header;
    file.close()?;
    Ok(Snapshot { box_size, scale_factor, omega_m, npart, positions, velocities, ids, truth })
}

fn wrong_shape(file: &File, name: &str, shape: &[usize], n: usize) -> Error {
    let error = Error::input(format!("has shape {shape:?}, but the header counts {n} particles"));
    error.file(file.path()).key(name).remedy("give a complete snapshot")
}

struct Header {
    box_size: f64,
    scale_factor: f64,
    omega_m: Option<f64>,
    npart: u64,
    /// Mpc/h in a unit of the file, and km/s.
    length: f64,
    velocity: f64,
    truth: Vec<(String, f64)>,
}

fn read_header(file: &File) -> Result<Header> {
    let bad = |key: &str, problem: &str, remedy: &str| Error::input(problem).file(file.path()).key(key).remedy(remedy);
    if !file.exists("Header") {
        let names = file.arrays().join(", ");
        return Err(bad(
            "Header",
            &format!("no such group (datasets: {names})"),
            "give a snapshot in GADGET's HDF5 format",
        ));
    }
    let header = |name: &str| -> Result<f64> {
        let value = file.number("Header", name)?;
        value.ok_or_else(|| {
            bad("Header", &format!("lacks the attribute {name}"), "give a snapshot in GADGET's HDF5 format")
        })
    };
    // Cosmology and units stand in Parameters (GADGET-4) or Header (GADGET-2 and others).
    let either = |name: &str| -> Result<Option<f64>> {
        let there = if file.exists("Parameters") { file.number("Parameters", name)? } else { None };
        Ok(there.or(file.number("Header", name)?))
    };
    let files = file.number("Header", "NumFilesPerSnapshot")?.unwrap_or(1.0);
    if files > 1.0 {
        let problem = format!("is one of {files} files of a snapshot");
        return Err(bad("Header", &problem, "join them into one file first"));
    }
    let counts = file.numbers("Header", "NumPart_ThisFile")?.unwrap_or_default();
    let npart = counts.get(1).copied().unwrap_or(0.0) as u64;
    if npart == 0 {
        return Err(bad("Header", "counts no dark matter particles (PartType1)", "give a dark matter snapshot"));
    }
    let length = match either("UnitLength_in_cm")? {
        Some(cm) => cm / MPC_CM,
        None => {
            log::warn!("{}: no UnitLength_in_cm: lengths are taken as Mpc/h", file.path().display());
            1.0
        }
    };
    // 3.085678 and 3.0857e24 are both a Mpc: no program means a box of 1.000007.
    let length = [1.0, 1e-3].into_iter().find(|u| (length / u - 1.0).abs() < 1e-4).unwrap_or(length);
    let velocity = either("UnitVelocity_in_cm_per_s")?.map_or(1.0, |cm| cm / 1e5);
    let (box_size, scale_factor) = (header("BoxSize")?, header("Time")?);
    if !(box_size > 0.0 && scale_factor > 0.0) {
        let problem = format!("BoxSize = {box_size}, Time = {scale_factor}: both must be positive");
        return Err(bad("Header", &problem, "Time is the scale factor in cosmological snapshots"));
    }
    let mut truth = vec![];
    for name in file.attributes("")? {
        truth.extend(file.number("", &name)?.map(|value| (name, value)));
    }
    Ok(Header { box_size, scale_factor, omega_m: either("Omega0")?, npart, length, velocity, truth })
}

/// Bytes of `n` particles in a snapshot: positions and velocities in f32 or f64, identities in u64.
pub fn bytes(n: u64, double: bool) -> u64 {
    n * (6 * if double { 8 } else { 4 } + 8)
}

/// Collective: writes a snapshot in one file, every rank its particles, in rank order; it appears when whole.
pub fn write(
    comm: &Comm,
    path: &Path,
    header: &SnapshotHeader,
    positions: &[[f64; 3]],
    velocities: &[[f64; 3]],
    ids: &[u64],
    by: Option<&Provenance>,
) -> Result<()> {
    let rows = positions.len();
    comm.agree(if rows == velocities.len() && rows == ids.len() {
        Ok(())
    } else {
        Err(Error::failed(format!("{rows} positions, {} velocities, {} ids", velocities.len(), ids.len())).file(path))
    })?;
    let n = comm.sum_of(rows as u64);
    let start = comm.offset(rows);
    let (a, cosmology) = (header.scale_factor, &header.cosmology);
    super::hdf::publish(comm, path, |file| {
        for group in ["Header", "Parameters", "PartType1"] {
            file.group(group)?;
        }
        // Particles stand for cold matter, as halos do: neutrinos are in Omega0 alone. In 1e10 Msun/h.
        let mass = cosmology.mean_cold_density() * header.box_size.powi(3) / n as f64 / 1e10;
        file.set_number("Header", "BoxSize", header.box_size)?;
        file.set_number("Header", "Time", a)?;
        file.set_number("Header", "Redshift", 1.0 / a - 1.0)?;
        file.set_numbers("Header", "MassTable", &[0.0, mass])?;
        file.set_numbers("Header", "NumPart_ThisFile", &[0, n])?;
        file.set_numbers("Header", "NumPart_Total", &[0, n])?;
        file.set_number("Header", "NumFilesPerSnapshot", 1i32)?;
        for (name, value) in [
            ("Omega0", cosmology.omega_m()),
            ("OmegaLambda", cosmology.omega_lambda()),
            ("OmegaBaryon", cosmology.omega_b()),
            ("OmegaNu", cosmology.omega_nu()),
            ("HubbleParam", cosmology.h()),
            ("Hubble", 100.0),
            ("UnitLength_in_cm", MPC_CM),
            ("UnitMass_in_g", 1.989e43),
            ("UnitVelocity_in_cm_per_s", 1e5),
        ] {
            file.set_number("Parameters", name, value)?;
        }
        header.truth.iter().try_for_each(|(name, value)| file.set_number("", name, *value))?;
        if let Some(by) = by {
            file.group("Provenance")?;
            file.set_json("Provenance", "polycosm", by)?;
        }
        let vectors = |name: &str, values: &[[f64; 3]], factor: f64| -> Result<()> {
            let (at, count) = ([start, 0], [rows, 3]);
            let numbers = values.as_flattened().iter().map(|v| v * factor);
            comm.agree(if header.double {
                file.create_array::<f64>(name, &[n as usize, 3])?.write(&at, &count, &numbers.collect::<Vec<_>>())
            } else {
                let numbers: Vec<f32> = numbers.map(|v| v as f32).collect();
                file.create_array::<f32>(name, &[n as usize, 3])?.write(&at, &count, &numbers)
            })
        };
        vectors("PartType1/Coordinates", positions, 1.0)?;
        vectors("PartType1/Velocities", velocities, 1.0 / a.sqrt())?;
        comm.agree(file.create_array::<u64>("PartType1/ParticleIDs", &[n as usize])?.write(&[start], &[rows], ids))
    })
}
