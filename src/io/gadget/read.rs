//! The particles of a snapshot: read by all ranks, and looked at for what no universe has.

use super::block::block;
use super::matter::{self, Weights};
use super::{DARK, Header, Velocities, paths};
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::hdf::{File, given};
use crate::units::C_KM_S;
use std::path::Path;

/// A snapshot, or this rank's contiguous share of its particles.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub header: Header,
    /// Comoving Mpc/h, as they are written: within half a box of it.
    pub positions: Vec<[f64; 3]>,
    /// Peculiar km/s; empty where the files have none.
    pub velocities: Vec<[f64; 3]>,
    /// From 0 on, none twice: the files' own less their smallest, or where these are not such, the particles' places in
    /// the files.
    pub ids: Vec<u64>,
    /// True if the identities are the files' own.
    pub own_ids: bool,
}

/// Collective: reads a whole snapshot; each rank gets the next contiguous share of the particles.
pub fn read(comm: &Comm, path: &Path) -> Result<Snapshot> {
    let header = comm.on_root(|| super::header(path))?;
    read_particles(comm, path, header, None)
}

/// The same, with a header that has been looked at. `velocities` says how they are written; by default what the files
/// tell, and else GADGET's way. Collective.
pub fn read_particles(comm: &Comm, path: &Path, header: Header, velocities: Option<Velocities>) -> Result<Snapshot> {
    let power = velocities.map(Velocities::power);
    if let (Some(told), Some(power)) = (header.velocity_power, power)
        && told != power
        && comm.is_root()
    {
        log::warn!("{}: its velocities are said to want a factor a^{told}; taken with a^{power}", path.display());
    }
    let power = power.or(header.velocity_power).unwrap_or(0.5);
    let snapshot = parts(comm, path, header, power).map_err(|e| given(e).file(path))?;
    if comm.is_root() {
        snapshot.header.warnings.iter().for_each(|warning| log::warn!("{}: {warning}", path.display()));
    }
    Ok(snapshot)
}

fn parts(comm: &Comm, path: &Path, mut header: Header, power: f64) -> Result<Snapshot> {
    let first = paths::first(path);
    let (start, len) = share(header.npart as usize, comm.size(), comm.rank());
    let (mut positions, mut velocities, mut ids, mut weights) = (vec![], vec![], vec![], Weights::new());
    let speed = header.units.velocity * header.scale_factor.powf(power);
    let (mut at, mut has_ids) = (0, true);
    for (i, counts) in header.counts.iter().enumerate() {
        let path = comm.agree(paths::part(&first, i, header.files()))?;
        // The parallel driver does not follow references to other files.
        let file = match header.points_elsewhere {
            true => comm.agree(File::open(&path))?,
            false => File::open_on(comm, &path)?,
        };
        weights.add(comm, &file, counts, header.units.mass)?;
        let n = counts[DARK] as usize;
        if n > 0 {
            let from = start.clamp(at, at + n) - at;
            let rows = (start + len).clamp(at, at + n) - at - from;
            vectors(
                comm,
                &file,
                "PartType1/Coordinates",
                counts[DARK],
                [from, rows],
                header.units.length,
                &mut positions,
            )?;
            if header.has_velocities {
                vectors(comm, &file, "PartType1/Velocities", counts[DARK], [from, rows], speed, &mut velocities)?;
            }
            let name = "PartType1/ParticleIDs";
            has_ids &= file.exists(name);
            if has_ids {
                append(&mut ids, block(comm, &file, name, counts[DARK], &[from], &[rows])?);
            }
        }
        at += n;
        file.close()?;
    }
    let warnings = match header.own_masses.contains(&true) {
        true => weights.finish(comm, &header).and_then(|masses| matter::judge(&header, &masses)),
        false => header.check_matter(),
    };
    header.warnings.extend(comm.agree(warnings)?);
    check_positions(comm, &mut header, &positions)?;
    check_velocities(comm, &velocities)?;
    let own_ids = has_ids && renumber(comm, &mut ids, header.npart);
    if !own_ids {
        let why = if has_ids { "are not different numbers in a row" } else { "are not there" };
        header.warnings.push(format!("the particles' identities {why}: they are numbered as they stand in the file"));
        ids = (start as u64..(start + len) as u64).collect();
    }
    Ok(Snapshot { header, positions, velocities, ids, own_ids })
}

/// Appends without a copy of what need not be copied: most snapshots are one file.
fn append<T>(all: &mut Vec<T>, more: Vec<T>) {
    if all.is_empty() { *all = more } else { all.extend(more) }
}

/// Appends rows (from, number) of one file's `n`. Collective.
fn vectors(
    comm: &Comm,
    file: &File,
    name: &str,
    n: u64,
    [from, rows]: [usize; 2],
    unit: f64,
    all: &mut Vec<[f64; 3]>,
) -> Result<()> {
    let numbers: Vec<f64> = block(comm, file, name, n, &[from, 0], &[rows, 3])?;
    append(all, numbers.chunks_exact(3).map(|v| [v[0] * unit, v[1] * unit, v[2] * unit]).collect());
    Ok(())
}

/// Refuses positions that cannot be those of a periodic box; those a little outside are one box further. Collective.
fn check_positions(comm: &Comm, header: &mut Header, positions: &[[f64; 3]]) -> Result<()> {
    let bad = |problem: String, remedy: &str| Err(Error::input(problem).key("PartType1/Coordinates").remedy(remedy));
    let damaged = comm.sum_of(positions.iter().flatten().filter(|x| !x.is_finite()).count() as u64);
    if damaged > 0 {
        return bad(format!("holds {damaged} coordinates that are not finite"), "give a whole snapshot, undamaged");
    }
    let l = header.box_size;
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    let mut outside = 0u64;
    for x in positions {
        for k in 0..3 {
            (low[k], high[k]) = (low[k].min(x[k]), high[k].max(x[k]));
        }
        // Beyond the rounding of single precision.
        outside += x.iter().any(|&x| x < -1e-5 * l || x > l * (1.0 + 1e-5)) as u64;
    }
    comm.min(&mut low);
    comm.max(&mut high);
    let outside = comm.sum_of(outside);
    let least = low.into_iter().fold(f64::INFINITY, f64::min);
    let most = high.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let range = format!("from {least:.6} to {most:.6} Mpc/h, in a box of {l} Mpc/h");
    let kpc = |ratio: f64| (0.5..2.0).contains(&ratio);
    if least < -0.5 * l || most > 1.5 * l {
        let like = if kpc(most / l / 1000.0) { ": looks like kpc/h, in a box in Mpc/h" } else { "" };
        return bad(format!("positions {range}{like}"), "give positions and BoxSize in one unit, and UnitLength_in_cm");
    }
    if let Some(k) = (0..3).find(|&k| high[k] - low[k] < 0.5 * l) {
        let axis = ["x", "y", "z"][k];
        let like = if kpc(most / l * 1000.0) { ": looks like Mpc/h, in a box in kpc/h" } else { "" };
        let problem = format!("along {axis} all particles lie from {:.6} to {:.6} Mpc/h of {l}{like}", low[k], high[k]);
        return bad(problem, "give all particles of a periodic box, with positions and BoxSize in one unit");
    }
    if outside > 0 {
        header.warnings.push(format!("{outside} particles lie outside the box ({range}): taken as periodic images"));
    }
    Ok(())
}

/// Refuses velocities that no matter has. Collective.
fn check_velocities(comm: &Comm, velocities: &[[f64; 3]]) -> Result<()> {
    let damaged = comm.sum_of(velocities.iter().flatten().filter(|v| !v.is_finite()).count() as u64);
    let error = |problem: String| Error::input(problem).key("PartType1/Velocities");
    if damaged > 0 {
        let problem = format!("holds {damaged} components that are not finite");
        return Err(error(problem).remedy("give a whole snapshot, undamaged"));
    }
    let most = comm.max_of(velocities.iter().flatten().fold(0.0f64, |most, v| most.max(v.abs())));
    if most >= C_KM_S {
        let problem = format!("up to {most:.4e} km/s: faster than light");
        return Err(error(problem).remedy("give UnitVelocity_in_cm_per_s in the header"));
    }
    Ok(())
}

/// Counts identities from 0; false if they are not `n` different numbers in a row. Collective.
///
/// Equal sums of a hash over the numbers and over 0 … n − 1 mean equal sets: nothing is sorted.
fn renumber(comm: &Comm, ids: &mut [u64], n: u64) -> bool {
    let least = comm.min_of(ids.iter().copied().min().unwrap_or(u64::MAX));
    let most = comm.max_of(ids.iter().copied().max().unwrap_or(0));
    if most - least != n - 1 {
        return false;
    }
    ids.iter_mut().for_each(|id| *id -= least);
    let hashes = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0u64, |sum, id| sum.wrapping_add(mixed(id)));
    let (start, len) = share(n as usize, comm.size(), comm.rank());
    let found = hashes(&mut ids.iter().copied());
    let expected = hashes(&mut (start as u64..(start + len) as u64));
    comm.sum_of(found.wrapping_sub(expected)) == 0
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): a bijection without visible structure.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
