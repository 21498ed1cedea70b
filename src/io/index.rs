//! `dataset.h5`: virtual datasets over the shards, with the prior and everything small as plain data.
//!
//! `h5py.File("dataset.h5")["maps"][i]` works from anywhere: the shards are named relative to the index. A list's
//! `name/offsets` (n + 1) are global: simulation i's rows are `name/data[offsets[i] : offsets[i + 1]]`. Of very many
//! shards it holds copies.

use super::field::FieldSpec;
use super::hdf::{Compression, File, Part, damaged, publish};
use super::prior;
use super::provenance::Provenance;
use super::shard::{self, Row};
use super::simulation::{Record, describe, write_axes};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::prior::{DrawnFrom, Prior};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names that fields may not have.
pub const RESERVED: [&str; 7] = ["theta", "index", "realisation", "split", "status", "axes", "checksum"];

/// Where the index lies.
pub fn path(output: &Path) -> PathBuf {
    output.join("dataset.h5")
}

/// The most shards that an index links to: HDF5 keeps each of them open, and reads NaN in silence where a program may
/// open no more files, commonly 1024.
pub const MOST_LINKS: usize = 900;

/// True if a program that may open an ordinary number of files sees all of the index.
pub fn opens(file: &File, specs: &[FieldSpec]) -> Result<bool> {
    let Some(spec) = specs.first() else { return Ok(true) };
    let name = if spec.ragged { format!("{}/data", spec.name) } else { spec.name.clone() };
    Ok(file.array(&name)?.sources().len() <= MOST_LINKS)
}

/// Serial: writes the index over shards of `shard_size` simulations. All of the design's `rows` are packed. Where there
/// are more shards than `most` links may be, the fields themselves are copied into it.
pub fn write(
    alone: &Comm,
    output: &Path,
    (of, drawn_from): (&Prior, DrawnFrom),
    rows: &[Row],
    (shard_size, most): (usize, usize),
    (specs, compression): (&[FieldSpec], Option<Compression>),
    by: &Provenance,
) -> Result<()> {
    let count = rows.len().div_ceil(shard_size);
    let shards = Shards { output, count, linked: count <= most, compression };
    let used = |s: usize| shard_size.min(rows.len() - s * shard_size);
    let mut records: Vec<Record> = vec![];
    for (s, file) in shards.iter() {
        let file = file?;
        let here = shard::records(&file)?;
        if here.len() < used(s) {
            let problem = format!("holds {} simulations, not {}", here.len(), used(s));
            return Err(Error::failed(problem)
                .file(file.path())
                .remedy("remove this file and run the same command again"));
        }
        records.extend(here.into_iter().take(used(s)));
    }
    publish(alone, &path(output), |file| {
        by.write(file)?;
        let (n, p) = (rows.len(), of.len());
        file.write_checked(
            None,
            "theta",
            &[n, p],
            &rows.iter().flat_map(|r| r.theta.iter().copied()).collect::<Vec<_>>(),
        )?;
        prior::write(file, of, drawn_from)?;
        file.write_checked(None, "index", &[n], &rows.iter().map(|r| r.index).collect::<Vec<_>>())?;
        file.write_checked(None, "realisation", &[n], &rows.iter().map(|r| r.realisation).collect::<Vec<_>>())?;
        file.write_checked(None, "split", &[n], &rows.iter().map(|r| r.split).collect::<Vec<_>>())?;
        file.set_texts("split", "values", &["train", "validation", "test"])?;
        file.write_checked(None, "status", &[n], &records.iter().map(Record::status).collect::<Vec<_>>())?;
        file.set_texts("status", "values", &["finished", "failed"])?;
        let failures: BTreeMap<u64, &String> =
            records.iter().filter_map(|r| r.failure.as_ref().map(|f| (r.index, f))).collect();
        file.set_json("status", "failures", &failures)?;
        file.set_json("", "fields", &specs)?;
        for spec in specs {
            field(file, spec, &shards, n, &used)?;
        }
        Ok(())
    })
}

/// The shards of an index, opened one at a time.
struct Shards<'a> {
    output: &'a Path,
    count: usize,
    /// They are linked to, not copied.
    linked: bool,
    /// Of what is copied.
    compression: Option<Compression>,
}

impl Shards<'_> {
    fn iter(&self) -> impl Iterator<Item = (usize, Result<File>)> {
        (0..self.count).map(|s| (s, File::open(&shard::path(self.output, s))))
    }
}

fn field(file: &File, spec: &FieldSpec, shards: &Shards, n: usize, used: &dyn Fn(usize) -> usize) -> Result<()> {
    // The rows of all universes one after the other, of which shard s has the first `rows(s)` of its own.
    let fill =
        |name: &str, shape: &[usize], rows: &dyn Fn(usize) -> usize, at: &dyn Fn(usize) -> usize| -> Result<()> {
            if !shards.linked {
                let copied = if spec.ragged {
                    file.create_array_of(spec.dtype, name, shape)
                } else {
                    file.create_stacked(spec, shape, shards.compression)
                };
                let (array, mut i) = (copied?, 0);
                for (s, shard) in shards.iter() {
                    let shard = shard?;
                    for row in 0..used(s) {
                        array.write_rows(at(i), at(i + 1) - at(i), &shard::read_row(&shard, spec, row)?.0)?;
                        i += 1;
                    }
                }
                return Ok(());
            }
            let part = |(s, shard): (usize, Result<File>)| {
                let stored = shard?.array(name)?.shape().first().copied().unwrap_or(0);
                Ok(Part { file: shard::relative(s), array: name.into(), stored, rows: rows(s) })
            };
            file.create_virtual(spec.dtype, name, shape, &shards.iter().map(part).collect::<Result<Vec<_>>>()?)
        };
    if spec.ragged {
        let (data, at) = (format!("{}/data", spec.name), format!("{}/offsets", spec.name));
        let mut offsets = vec![0u64];
        let mut lengths = vec![];
        for (s, shard) in shards.iter() {
            let shard = shard?;
            let (base, local) = (offsets[offsets.len() - 1], shard.read_checked::<u64>(&at, None)?);
            if local.len() <= used(s) || !local.is_sorted() {
                return Err(damaged(shard.path(), &at, "is no list's".into()));
            }
            offsets.extend(local[1..=used(s)].iter().map(|o| base + o));
            lengths.push(local[used(s)] as usize);
        }
        let mut shape = spec.shape.clone();
        shape[0] = offsets[n] as usize;
        fill(&data, &shape, &|s| lengths[s], &|i| offsets[i] as usize)?;
        describe(file, &data, spec, false)?;
        file.write_checked(None, &at, &[n + 1], &offsets)?;
    } else {
        let shape: Vec<usize> = std::iter::once(n).chain(spec.shape.iter().copied()).collect();
        fill(&spec.name, &shape, used, &|i| i)?;
        describe(file, &spec.name, spec, true)?;
    }
    let name = format!("checksum/{}", spec.name);
    let mut sums: Vec<u32> = vec![];
    for (s, shard) in shards.iter() {
        let shard = shard?;
        let here = shard.read_checked::<u32>(&name, None)?;
        sums.extend(here.get(..used(s)).ok_or_else(|| damaged(shard.path(), &name, "is too short".into()))?);
    }
    file.write_checked(None, &name, &[n], &sums)?;
    write_axes(file, None, spec)
}
