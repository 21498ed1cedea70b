//! Checkpoints of a running universe: everything that the rows still to come depend on, so that a restart on as many
//! ranks goes on to the same last bit. Two files take turns: a damaged one leaves the one before it.

use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::field::{Field, FieldSpec};
use crate::io::hdf::{Element, File, publish};
use crate::io::ours::{program, replaceable};
use crate::io::simulation::{checksum, read_field_rows, write_field};
use crate::mesh::Real;
use crate::particles::Particles;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a universe's checkpoint says beside its arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Header {
    /// Everything that shapes the universe; a checkpoint of another one is not read.
    identity: String,
    /// The row of the step table that comes next.
    row: usize,
    /// Counts the checkpoints of this universe.
    number: u64,
    /// Process grid.
    grid: [usize; 2],
    /// Particles on each rank.
    counts: Vec<u64>,
    /// Checksum of each array.
    checksums: Vec<(String, u32)>,
    /// Fields of the moments that have passed, and the rows of each that a rank held.
    fields: Vec<(FieldSpec, Vec<u64>)>,
}

/// What a restart begins with.
pub struct Restart<T> {
    pub particles: Particles<T>,
    /// Fields of the moments that have passed.
    pub fields: Vec<Field>,
    /// The row of the step table that comes next.
    pub row: usize,
    /// False if the job has another process grid: the particles are yet to be sent to their ranks.
    pub same_ranks: bool,
}

/// Writes and reads the checkpoints of one universe.
pub struct Checkpoints {
    paths: [PathBuf; 2],
    identity: String,
    grid: [usize; 2],
    every: Duration,
    last: Instant,
    number: u64,
}

impl Checkpoints {
    /// Checkpoints of universe `index` on a process grid, in `folder`, one `every` so often. `identity` tells universes
    /// apart.
    pub fn new(folder: &Path, index: u64, identity: String, grid: [usize; 2], every: Duration) -> Self {
        Checkpoints { paths: paths(folder, index), identity, grid, every, last: Instant::now(), number: 0 }
    }

    /// Collective: true when the time for a checkpoint has come.
    pub fn due(&self, comm: &Comm) -> bool {
        !self.every.is_zero() && comm.any(comm.is_root() && self.last.elapsed() >= self.every)
    }

    /// Collective: writes one, from which the table's row `row` comes next.
    pub fn write<T: Real + Element>(
        &mut self,
        comm: &Comm,
        particles: &Particles<T>,
        fields: &[Field],
        row: usize,
    ) -> Result<()> {
        let path = &self.paths[(self.number % 2) as usize];
        comm.on_root(|| {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).map_err(|e| Error::from(e).file(folder))?;
            replaceable(path)
        })?;
        let counts: Vec<u64> = comm.gather_counts(particles.len()).into_iter().map(|c| c as u64).collect();
        let vectors = columns(particles).map(|(name, c)| (name, checksum(comm, bytemuck::cast_slice(c))));
        let mut checksums: Vec<(String, u32)> = vectors.collect();
        checksums.push(("id".into(), checksum(comm, bytemuck::cast_slice(&particles.id))));
        let rows = |f: &Field| comm.gather_counts(f.rows).into_iter().map(|r| r as u64).collect();
        let header = Header {
            identity: self.identity.clone(),
            row,
            number: self.number,
            grid: self.grid,
            counts,
            checksums,
            fields: fields.iter().map(|f| (f.spec.clone(), rows(f))).collect(),
        };
        let total: u64 = header.counts.iter().sum();
        let start = comm.offset(particles.len());
        publish(comm, path, |file| {
            file.set_text("", "version", &program())?;
            file.set_json("", "checkpoint", &header)?;
            for (name, column) in columns(particles) {
                let array = file.create_array::<T>(&name, &[total as usize, 3])?;
                array.write(&[start, 0], &[column.len(), 3], column.as_flattened())?;
            }
            let array = file.create_array::<u64>("id", &[total as usize])?;
            array.write(&[start], &[particles.len()], &particles.id)?;
            fields.iter().try_for_each(|f| write_field(comm, file, f))
        })?;
        self.number += 1;
        self.last = Instant::now();
        Ok(())
    }

    /// Collective: the newest checkpoint that can be read; one that cannot is named in a warning.
    pub fn read<T: Real + Element>(&mut self, comm: &Comm) -> Result<Option<Restart<T>>> {
        let mut found: Vec<(u64, usize)> = comm.on_root(|| {
            let header = |path: &PathBuf| -> Result<Header> {
                let header: Option<Header> = File::open(path)?.json("", "checkpoint")?;
                header.ok_or_else(|| Error::failed("is no checkpoint").file(path))
            };
            let mut found = vec![];
            for (turn, path) in self.paths.iter().enumerate().filter(|(_, p)| p.exists()) {
                match header(path) {
                    Ok(header) if header.identity == self.identity => found.push((header.number, turn)),
                    Ok(_) => log::warn!(
                        "{}: is of another universe, of other input files or of another program's numerics; not used",
                        path.display()
                    ),
                    Err(e) => log::warn!("checkpoint not used: {e}"),
                }
            }
            Ok(found)
        })?;
        found.sort();
        while let Some((number, turn)) = found.pop() {
            self.number = number + 1;
            match read(comm, &self.paths[turn], self.grid) {
                Ok(restart) => return Ok(Some(restart)),
                Err(e) if comm.is_root() => {
                    let next = if found.is_empty() { "the universe starts anew" } else { "the one before it is used" };
                    log::warn!("checkpoint not used ({next}): {e}");
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Collective: removes those of universe `index`.
    pub fn remove(comm: &Comm, folder: &Path, index: u64) {
        if comm.is_root() {
            let own = paths(folder, index).into_iter().filter(|path| path.exists() && replaceable(path).is_ok());
            own.for_each(|path| _ = std::fs::remove_file(path));
        }
    }
}

fn paths(folder: &Path, index: u64) -> [PathBuf; 2] {
    ["a", "b"].map(|turn| folder.join("checkpoints").join(format!("{index:06}.{turn}.h5")))
}

/// The columns of three components that are in use, by name.
fn columns<T: Real>(particles: &Particles<T>) -> impl Iterator<Item = (String, &Vec<[T; 3]>)> {
    let psi = particles.psi.iter().flatten().zip(["psi1", "psi2"]);
    let always = [(&particles.position, "position"), (&particles.momentum, "momentum")];
    always.into_iter().chain(psi).map(|(column, name)| (name.to_string(), column))
}

/// Collective: reads one checkpoint; an error on all ranks unless every array has its checksum.
fn read<T: Real + Element>(comm: &Comm, path: &Path, grid: [usize; 2]) -> Result<Restart<T>> {
    let file = File::open_on(comm, path)?;
    let header = comm.agree(
        file.json::<Header>("", "checkpoint").and_then(|h| h.ok_or_else(|| Error::failed("is no checkpoint"))),
    )?;
    let same_ranks = header.grid == grid;
    let total = header.counts.iter().sum::<u64>() as usize;
    let (start, len) = match same_ranks {
        true => {
            let before: u64 = header.counts[..comm.rank()].iter().sum();
            (before as usize, header.counts[comm.rank()] as usize)
        }
        false => share(total, comm.size(), comm.rank()),
    };
    let expected = |name: &str| header.checksums.iter().find(|(n, _)| n == name).map(|c| c.1);
    let damaged = |name: &str| Error::failed("does not have the checksum it was written with").file(path).key(name);
    let vectors = |name: &str| -> Result<Vec<[T; 3]>> {
        let numbers: Vec<T> = comm.agree(file.array(name))?.read(&[start, 0], &[len, 3])?;
        let sum = checksum(comm, bytemuck::cast_slice(&numbers));
        if expected(name) != Some(sum) {
            return Err(damaged(name));
        }
        Ok(numbers.chunks_exact(3).map(|v| [v[0], v[1], v[2]]).collect())
    };
    let (position, momentum) = (vectors("position")?, vectors("momentum")?);
    let psi = match expected("psi1") {
        Some(_) => Some([vectors("psi1")?, vectors("psi2")?]),
        None => None,
    };
    let id: Vec<u64> = comm.agree(file.array("id"))?.read(&[start], &[len])?;
    if expected("id") != Some(checksum(comm, bytemuck::cast_slice(&id))) {
        return Err(damaged("id"));
    }
    let mut fields = vec![];
    for (spec, rows) in &header.fields {
        let all: u64 = rows.iter().sum();
        let (from, rows) = match same_ranks {
            true => (rows[..comm.rank()].iter().sum::<u64>() as usize, rows[comm.rank()] as usize),
            false => share(all as usize, comm.size(), comm.rank()),
        };
        let data = read_field_rows(comm, &file, spec, from, rows)?;
        fields.push(Field { spec: spec.clone(), rows, data });
    }
    file.close()?;
    let particles = Particles { position, momentum, id, psi, ..Default::default() };
    Ok(Restart { particles, fields, row: header.row, same_ranks })
}
