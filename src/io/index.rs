//! `dataset.h5`: virtual datasets over the shards, with the prior and everything small as plain data.
//!
//! `h5py.File("dataset.h5")["maps"][i]` works from anywhere: the shards are named relative to the index. A list's
//! `name/offsets` (n + 1) are global: simulation i's rows are `name/data[offsets[i] : offsets[i + 1]]`.

use super::field::FieldSpec;
use super::hdf::{File, Part, damaged, publish};
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

/// Serial: writes the index over shards of `shard_size` simulations. All of the design's `rows` are packed.
pub fn write(
    alone: &Comm,
    output: &Path,
    (prior, drawn_from): (&Prior, DrawnFrom),
    rows: &[Row],
    shard_size: usize,
    specs: &[FieldSpec],
    by: &Provenance,
) -> Result<()> {
    let shards: Vec<File> =
        (0..rows.len().div_ceil(shard_size)).map(|s| File::open(&shard::path(output, s))).collect::<Result<_>>()?;
    let used = |s: usize| shard_size.min(rows.len() - s * shard_size);
    let mut records: Vec<Record> = vec![];
    for (s, file) in shards.iter().enumerate() {
        let here = shard::records(file)?;
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
        let (n, p) = (rows.len(), prior.len());
        file.write_checked(
            None,
            "theta",
            &[n, p],
            &rows.iter().flat_map(|r| r.theta.iter().copied()).collect::<Vec<_>>(),
        )?;
        write_prior(file, prior, drawn_from)?;
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

/// The prior, and whether the parameters were drawn from it: attributes of `theta`, and as JSON at the root.
pub fn write_prior(file: &File, prior: &Prior, drawn_from: DrawnFrom) -> Result<()> {
    let all = &prior.parameters;
    file.set_texts("theta", "parameters", &prior.names())?;
    file.set_texts("theta", "latex", &all.iter().map(|p| p.latex.as_str()).collect::<Vec<_>>())?;
    file.set_numbers("theta", "min", &all.iter().map(|p| p.min).collect::<Vec<_>>())?;
    file.set_numbers("theta", "max", &all.iter().map(|p| p.max).collect::<Vec<_>>())?;
    file.set_text("theta", "density", "independent and uniform between min and max")?;
    file.set_text("theta", "drawn_from", drawn_from.name())?;
    file.set_json("", "prior", prior)
}

fn field(file: &File, spec: &FieldSpec, shards: &[File], n: usize, used: &dyn Fn(usize) -> usize) -> Result<()> {
    let parts = |array: &str, rows: &dyn Fn(usize) -> usize| -> Result<Vec<Part>> {
        let part = |(s, file): (usize, &File)| {
            let stored = file.array(array)?.shape().first().copied().unwrap_or(0);
            Ok(Part { file: shard::relative(s), array: array.into(), stored, rows: rows(s) })
        };
        shards.iter().enumerate().map(part).collect()
    };
    if spec.ragged {
        let (data, at) = (format!("{}/data", spec.name), format!("{}/offsets", spec.name));
        let mut offsets = vec![0u64];
        let mut lengths = vec![];
        for (s, shard) in shards.iter().enumerate() {
            let (base, local) = (offsets[offsets.len() - 1], shard.read_checked::<u64>(&at, None)?);
            if local.len() <= used(s) || !local.is_sorted() {
                return Err(damaged(shard.path(), &at, "is no list's".into()));
            }
            offsets.extend(local[1..=used(s)].iter().map(|o| base + o));
            lengths.push(local[used(s)] as usize);
        }
        let mut shape = spec.shape.clone();
        shape[0] = offsets[n] as usize;
        file.create_virtual(spec.dtype, &data, &shape, &parts(&data, &|s| lengths[s])?)?;
        describe(file, &data, spec, false)?;
        file.write_checked(None, &at, &[n + 1], &offsets)?;
    } else {
        let shape: Vec<usize> = std::iter::once(n).chain(spec.shape.iter().copied()).collect();
        file.create_virtual(spec.dtype, &spec.name, &shape, &parts(&spec.name, used)?)?;
        describe(file, &spec.name, spec, true)?;
    }
    let name = format!("checksum/{}", spec.name);
    let mut sums: Vec<u32> = vec![];
    for (s, shard) in shards.iter().enumerate() {
        let here = shard.read_checked::<u32>(&name, None)?;
        sums.extend(here.get(..used(s)).ok_or_else(|| damaged(shard.path(), &name, "is too short".into()))?);
    }
    file.write_checked(None, &name, &[n], &sums)?;
    write_axes(file, spec)
}
