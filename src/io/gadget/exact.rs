//! What a snapshot of the program's own says beside GADGET's arrays, so that its universe comes back to the last bit:
//! the attribute `universe` and the array `momentum_ulps` of the group `polycosm`.
//!
//! Velocities are rounded on their way into the file, so that the momenta they were are only known to some units in
//! the last place: these are kept, one byte each. Sums over particles depend on their order, so each rank reads what
//! it wrote where the process grid is the same.

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::hdf::{Element, File};
use crate::io::simulation::checksum;
use crate::mesh::Real;
use bytemuck::{Pod, cast_slice};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Group of what no other program reads.
const GROUP: &str = "polycosm";
/// What is left of the momenta, (N, 3) in units in the last place.
const ULPS: &str = "polycosm/momentum_ulps";

/// Which universe a snapshot shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Universe {
    /// Row of the design.
    pub index: u64,
    pub realisation: u64,
    pub seed: u64,
    /// The varied parameters, in the design's order.
    pub theta: Vec<f64>,
}

impl std::fmt::Display for Universe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Universe { index, realisation, seed, theta } = self;
        write!(f, "simulation {index} of parameters {theta:?}, realisation {realisation} and seed {seed}")
    }
}

/// What is exact of a universe beside its snapshot's arrays.
pub struct Exact<'a> {
    pub universe: Universe,
    /// Process grid.
    pub grid: [usize; 2],
    /// Momenta p = a² dx/dt / H0 of this rank's particles, in Mpc/h.
    pub momentum: &'a dyn Fn(usize) -> [f64; 3],
}

/// The attribute `universe`.
#[derive(Serialize, Deserialize)]
struct Said {
    #[serde(flatten)]
    universe: Universe,
    grid: [usize; 2],
    /// Particles that each rank wrote.
    rows: Vec<u64>,
}

/// A universe that came back: this rank's particles.
pub struct Restored<T> {
    /// Comoving Mpc/h.
    pub position: Vec<[T; 3]>,
    /// p = a² dx/dt / H0 in Mpc/h.
    pub momentum: Vec<[T; 3]>,
    pub id: Vec<u64>,
    /// False if they were written by another process grid: they are yet to be sent to their ranks, in another order.
    pub same_ranks: bool,
}

/// The momentum that a velocity in a file stands for: velocities there are peculiar ones over √a.
fn momentum(written: f64, a: f64) -> f64 {
    written * a.sqrt() * (a / 100.0)
}

/// The number of a floating-point number among all of its precision, from the least to the greatest.
fn place(x: f64, double: bool) -> i64 {
    match double {
        true if x.is_sign_negative() => i64::MIN.wrapping_sub(x.to_bits() as i64),
        true => x.to_bits() as i64,
        false if x.is_sign_negative() => i32::MIN.wrapping_sub((x as f32).to_bits() as i32) as i64,
        false => (x as f32).to_bits() as i64,
    }
}

/// The number so many places after x.
fn shifted(x: f64, ulps: i8, double: bool) -> f64 {
    let n = place(x, double) + ulps as i64;
    match (ulps, double) {
        (0, _) => x,
        (_, true) if n < 0 => f64::from_bits(i64::MIN.wrapping_sub(n) as u64),
        (_, true) => f64::from_bits(n as u64),
        (_, false) if n < 0 => f32::from_bits(i32::MIN.wrapping_sub(n as i32) as u32) as f64,
        (_, false) => f32::from_bits(n as u32) as f64,
    }
}

fn rounded(x: f64, double: bool) -> f64 {
    if double { x } else { (x as f32) as f64 }
}

impl Exact<'_> {
    /// Collective: writes it into a snapshot of these peculiar velocities at scale factor `a`, in f64 if `double`.
    pub(super) fn write(
        &self,
        comm: &Comm,
        file: &File,
        (a, double): (f64, bool),
        velocities: &[[f64; 3]],
    ) -> Result<()> {
        let left = |i: usize, k: usize| -> Result<i8> {
            let (was, written) = ((self.momentum)(i)[k], rounded(velocities[i][k] * (1.0 / a.sqrt()), double));
            let ulps = place(was, double) - place(rounded(momentum(written, a), double), double);
            i8::try_from(ulps).map_err(|_| Error::failed(format!("a momentum of {was:e} cannot be written exactly")))
        };
        let ulps = (0..velocities.len()).flat_map(|i| [0, 1, 2].map(|k| left(i, k)));
        let ulps = comm.agree(ulps.collect::<Result<Vec<i8>>>())?;
        let rows: Vec<u64> = comm.gather_counts(velocities.len()).into_iter().map(|n| n as u64).collect();
        let (n, start) = (rows.iter().sum::<u64>() as usize, comm.offset(velocities.len()));
        file.group(GROUP)?;
        file.set_json(GROUP, "universe", &Said { universe: self.universe.clone(), grid: self.grid, rows })?;
        file.create_array::<i8>(ULPS, &[n, 3])?.write(&[start, 0], &[velocities.len(), 3], &ulps)?;
        file.set_number(ULPS, "crc32", checksum(comm, cast_slice(&ulps)))
    }
}

fn said(file: &File) -> Result<Option<Said>> {
    if file.exists(ULPS) { file.json(GROUP, "universe") } else { Ok(None) }
}

/// Serial: which universe a snapshot shows; `None` where it does not tell, as those of other and older programs.
pub fn universe(path: &Path) -> Result<Option<Universe>> {
    Ok(said(&File::open(path)?)?.map(|said| said.universe))
}

/// Collective: the particles of a snapshot of ours at scale factor `a`, for a process grid; `None` where it is none. An
/// error on all ranks unless every array has its checksum.
pub fn restore<T: Real + Element>(comm: &Comm, path: &Path, a: f64, grid: [usize; 2]) -> Result<Option<Restored<T>>> {
    let file = File::open_on(comm, path)?;
    let Some(said) = comm.agree(said(&file))? else { return Ok(None) };
    let same_ranks = said.grid == grid && said.rows.len() == comm.size();
    let own = match same_ranks {
        true => (said.rows[..comm.rank()].iter().sum::<u64>() as usize, said.rows[comm.rank()] as usize),
        false => share(said.rows.iter().sum::<u64>() as usize, comm.size(), comm.rank()),
    };
    let position: Vec<T> = block(comm, &file, "PartType1/Coordinates", own, 3)?;
    let velocity: Vec<T> = block(comm, &file, "PartType1/Velocities", own, 3)?;
    let ulps: Vec<i8> = block(comm, &file, ULPS, own, 3)?;
    let id = block(comm, &file, "PartType1/ParticleIDs", own, 1)?;
    file.close()?;
    let double = size_of::<T>() == 8;
    let momentum = |(v, ulps): (&T, &i8)| T::of(shifted(rounded(momentum(v.f64(), a), double), *ulps, double));
    let momentum: Vec<T> = velocity.iter().zip(&ulps).map(momentum).collect();
    let three = |x: Vec<T>| x.chunks_exact(3).map(|x| [x[0], x[1], x[2]]).collect();
    Ok(Some(Restored { position: three(position), momentum: three(momentum), id, same_ranks }))
}

/// Some rows of an array of so many columns, checked against the checksum of the whole. Collective.
fn block<T: Element + Pod>(
    comm: &Comm,
    file: &File,
    name: &str,
    (from, rows): (usize, usize),
    columns: usize,
) -> Result<Vec<T>> {
    let array = comm.agree(file.array(name))?;
    let (start, count) = if columns == 1 { (vec![from], vec![rows]) } else { (vec![from, 0], vec![rows, columns]) };
    let numbers: Vec<T> = comm.agree(array.read(&start, &count))?;
    let crc = comm.agree(file.unsigned(name, "crc32"))? as u32;
    match checksum(comm, cast_slice(&numbers)) == crc {
        true => Ok(numbers),
        false => Err(Error::failed("does not have the checksum it was written with: the file is damaged")
            .file(file.path())
            .key(name)
            .remedy("copy it here again, or remove it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momenta_come_back_to_the_last_bit() {
        let dir = tempfile::tempdir().unwrap();
        let (comm, a) = (Comm::world(), 0.3712);
        let cosmology = crate::cosmology::Cosmology::new([0.3, 0.05, 0.7, 0.96, 0.8]).unwrap();
        let numbers: Vec<f64> = (1..400).map(|i| (i as f64).sin() * 10f64.powi(i % 9 - 6)).chain([0.0, -0.0]).collect();
        for double in [false, true] {
            let path = dir.path().join(format!("{double}.hdf5"));
            let p: Vec<[f64; 3]> = numbers.iter().map(|&x| [x, -x, 2.0 * x].map(|x| rounded(x, double))).collect();
            let v: Vec<[f64; 3]> = p.iter().map(|p| p.map(|p| 100.0 / a * p)).collect();
            let header =
                super::super::SnapshotHeader { box_size: 8.0, scale_factor: a, cosmology, double, truth: vec![] };
            let universe = Universe { index: 3, realisation: 2, seed: u64::MAX, theta: vec![0.1] };
            let exact = Exact { universe: universe.clone(), grid: [1, 1], momentum: &|i| p[i] };
            let id: Vec<u64> = (0..p.len() as u64).collect();
            let x = vec![[1.25; 3]; p.len()];
            super::super::write(&comm, &path, &header, &x, &v, &id, Some(&exact)).unwrap();
            assert_eq!(super::universe(&path).unwrap(), Some(universe));
            let bits = |p: &[[f64; 3]]| p.iter().flatten().map(|p| p.to_bits()).collect::<Vec<_>>();
            let back: Vec<[f64; 3]> = match double {
                true => restore::<f64>(&comm, &path, a, [1, 1]).unwrap().unwrap().momentum,
                false => {
                    let back = restore::<f32>(&comm, &path, a, [1, 1]).unwrap().unwrap().momentum;
                    back.into_iter().map(|p| p.map(|p| p as f64)).collect()
                }
            };
            assert_eq!(bits(&back), bits(&p), "{double}");
        }
    }
}
