//! `dataset.h5`: virtual datasets over the shards, with the prior and everything small as plain data.
//!
//! `h5py.File("dataset.h5")["maps"][i]` works from anywhere: the shards are named relative to the index. A list's
//! `name/offsets` (n + 1) are global: simulation i's rows are `name/data[offsets[i] : offsets[i + 1]]`. It has all rows of
//! the design from the first packed shard on; those that no shard has yet are told by `status` and read as failed ones
//! do. Of very many shards it holds copies.

use super::field::FieldSpec;
use super::hdf::{Compression, File, Part, appear, damaged, publish_by};
use super::made::Made;
use super::points;
use super::prior;
use super::provenance::Provenance;
use super::shard::{self, Row};
use super::simulation::{State, describe, write_axes};
use crate::comm::Comm;
use crate::error::Result;
use crate::prior::{DrawnFrom, Prior};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names that fields may not have.
pub const RESERVED: [&str; 10] =
    ["theta", "derived", "design", "index", "realisation", "split", "status", "axes", "checksum", "provenance"];

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
    Ok(file.array(&array(spec))?.sources().len() <= MOST_LINKS)
}

/// Where each universe of an index stands (n).
pub fn states(file: &File) -> Result<Vec<State>> {
    Ok(file.read_checked::<u8>("status", None)?.into_iter().map(State::of).collect())
}

/// What the points of a design were drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Drawn<'a> {
    pub prior: &'a Prior,
    pub drawn_from: DrawnFrom,
    /// What follows from them, (n, d).
    pub derived: &'a [f64],
    /// How many were passed over, where some may be.
    pub passed_over: Option<u64>,
}

/// Attribute of theta: points of the design that were passed over.
const PASSED_OVER: &str = "passed_over";

/// How many points a file says that its design passed over.
pub fn passed_over(file: &File) -> Result<Option<u64>> {
    Ok(file.number("theta", PASSED_OVER)?.map(|n| n as u64))
}

/// Serial: writes the index over the shards that there are, of `shard_size` simulations each. Where there may be more
/// shards than `most` links, the fields themselves are copied into it. One shard may be `new`, and still have another
/// name: both appear together.
pub fn write(
    alone: &Comm,
    output: &Path,
    Drawn { prior: of, drawn_from, derived, passed_over }: Drawn,
    rows: &[Row],
    (shard_size, most, new): (usize, usize, Option<(usize, &Path)>),
    (specs, compression): (&[FieldSpec], Option<Compression>),
    by: &Provenance,
) -> Result<()> {
    let start = Instant::now();
    let all = Shards::read((output, new), rows.len(), shard_size, specs)?;
    let linked = rows.len().div_ceil(shard_size) <= most;
    let write = |file: &File| {
        by.write(file)?;
        let (n, p) = (rows.len(), of.len());
        let theta: Vec<f64> = rows.iter().flat_map(|r| r.theta.iter().copied()).collect();
        file.write_checked(None, "theta", &[n, p], &theta)?;
        prior::write(file, of, drawn_from)?;
        if !of.derived.is_empty() {
            file.write_checked(None, "derived", &[n, of.derived.len()], derived)?;
            prior::write_derived(file, of, "derived")?;
        }
        passed_over.map_or(Ok(()), |n| file.set_number("theta", PASSED_OVER, n as f64))?;
        points::write(file, &theta, p, drawn_from)?;
        file.write_checked(None, "index", &[n], &rows.iter().map(|r| r.index).collect::<Vec<_>>())?;
        file.write_checked(None, "realisation", &[n], &rows.iter().map(|r| r.realisation).collect::<Vec<_>>())?;
        file.write_checked(None, "split", &[n], &rows.iter().map(|r| r.split).collect::<Vec<_>>())?;
        file.set_texts("split", "values", &["train", "validation", "test"])?;
        file.write_checked(None, "status", &[n], &all.states.iter().map(|&s| s as u8).collect::<Vec<_>>())?;
        file.set_texts("status", "values", &State::WORDS)?;
        file.set_json("status", "failures", &all.failures)?;
        Made::write(&all.made, None, file)?;
        file.set_json("", "fields", &specs)?;
        for (spec, told) in specs.iter().zip(&all.fields) {
            all.field(file, spec, told, (linked, compression))?;
        }
        file.set_number("", SECONDS, start.elapsed().as_secs_f64())
    };
    publish_by(alone, &path(output), write, |whole| {
        new.map_or(Ok(()), |(s, shard)| appear(shard, &shard::path(output, s)))?;
        appear(whole, &path(output))
    })
}

/// Attribute of the index: what it took to write.
const SECONDS: &str = "seconds_to_write";

/// What the index took to write; nothing where that is not told.
pub fn took(output: &Path) -> Duration {
    let told = File::open(&path(output)).and_then(|file| file.number("", SECONDS));
    told.ok().flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

/// What the shards tell beside the fields.
struct Shards<'a> {
    output: &'a Path,
    /// One that has another name yet.
    new: Option<(usize, &'a Path)>,
    shard_size: usize,
    /// Of each shard that is there its number, and how many universes it has of the design.
    there: Vec<(usize, usize)>,
    states: Vec<State>,
    failures: BTreeMap<u64, String>,
    made: Vec<Made>,
    /// In the order of their descriptions.
    fields: Vec<Told>,
}

/// What the shards tell of a field.
struct Told {
    /// Checksums (n).
    sums: Vec<u32>,
    /// Where the rows of the universes begin, and the end (n + 1).
    at: Vec<u64>,
    /// By the shards that are there: rows of the whole array.
    stored: Vec<usize>,
}

impl Shards<'_> {
    /// Opens each once, one at a time.
    fn read<'a>(
        (output, new): (&'a Path, Option<(usize, &'a Path)>),
        n: usize,
        shard_size: usize,
        specs: &[FieldSpec],
    ) -> Result<Shards<'a>> {
        let told = |spec: &FieldSpec| Told { sums: vec![shard::nothing(spec).1; n], at: vec![0], stored: vec![] };
        let mut all = Shards {
            output,
            new,
            shard_size,
            there: vec![],
            states: vec![State::Missing; n],
            failures: BTreeMap::new(),
            made: vec![Made::default(); n],
            fields: specs.iter().map(told).collect(),
        };
        for s in 0..n.div_ceil(shard_size) {
            let (first, path) = (s * shard_size, all.path(s));
            let end = n.min(first + shard_size);
            let file = if path.exists() { Some(File::open(&path)?) } else { None };
            let records = file.as_ref().map_or(Ok(vec![]), shard::records)?;
            let used = records.len().min(end - first);
            for (i, record) in (first..end).zip(records) {
                all.states[i] = record.state;
                if record.state == State::Failed {
                    all.failures.insert(record.index, record.failure);
                }
            }
            for (spec, told) in specs.iter().zip(&mut all.fields) {
                let mut lengths = vec![if spec.ragged { 0 } else { 1 }; end - first];
                if let Some(file) = &file {
                    let name = format!("checksum/{}", spec.name);
                    let sums = file.read_checked::<u32>(&name, None)?;
                    let sums = sums.get(..used).ok_or_else(|| damaged(&path, &name, "is too short".into()))?;
                    told.sums[first..first + used].copy_from_slice(sums);
                    if spec.ragged {
                        let name = format!("{}/offsets", spec.name);
                        let local = file.read_checked::<u64>(&name, None)?;
                        if local.len() <= used || !local.is_sorted() {
                            return Err(damaged(&path, &name, "is no list's".into()));
                        }
                        lengths
                            .iter_mut()
                            .zip(local.windows(2))
                            .take(used)
                            .for_each(|(l, ends)| *l = ends[1] - ends[0]);
                    }
                    told.stored.push(file.array(&array(spec))?.shape().first().copied().unwrap_or(0));
                }
                let mut end = told.at[first];
                told.at.extend(lengths.into_iter().map(|length| {
                    end += length;
                    end
                }));
            }
            if let Some(file) = &file {
                all.made[first..end].iter_mut().zip(Made::read(file)?).for_each(|(made, is)| *made = is);
                all.there.push((s, used));
            }
        }
        Ok(all)
    }

    /// Where shard `s` lies now.
    fn path(&self, s: usize) -> PathBuf {
        let new = self.new.filter(|(new, _)| *new == s);
        new.map_or_else(|| shard::path(self.output, s), |(_, path)| path.to_path_buf())
    }

    fn field(
        &self,
        file: &File,
        spec: &FieldSpec,
        told: &Told,
        (linked, compression): (bool, Option<Compression>),
    ) -> Result<()> {
        let (name, n) = (array(spec), told.sums.len());
        let mut shape = spec.shape.clone();
        if spec.ragged {
            shape[0] = told.at[n] as usize;
        } else {
            shape.insert(0, n);
        }
        if linked {
            let part = |(&(s, used), &stored): (&(usize, usize), &usize)| {
                let first = s * self.shard_size;
                let at = told.at[first] as usize;
                let rows = told.at[first + used] as usize - at;
                Part { file: shard::relative(s), array: name.clone(), stored, rows, at }
            };
            let parts: Vec<Part> = self.there.iter().zip(&told.stored).map(part).collect();
            file.create_virtual(spec.dtype, &name, &shape, &parts)?;
        } else {
            let array = match spec.ragged {
                true => file.create_array_of(spec.dtype, &name, &shape)?,
                false => file.create_stacked(spec, &shape, compression)?,
            };
            let mut there = self.there.iter().peekable();
            for s in 0..n.div_ceil(self.shard_size) {
                let here = there.next_if(|(t, _)| *t == s);
                let shard = here.map(|_| File::open(&self.path(s))).transpose()?;
                for i in s * self.shard_size..n.min((s + 1) * self.shard_size) {
                    let row = i - s * self.shard_size;
                    let data = match shard.as_ref().zip(here).filter(|(_, (_, used))| row < *used) {
                        Some((shard, _)) => shard::read_row(shard, spec, row)?.0,
                        None => shard::nothing(spec).0,
                    };
                    array.write_rows(told.at[i] as usize, (told.at[i + 1] - told.at[i]) as usize, &data)?;
                }
            }
        }
        describe(file, &name, spec, !spec.ragged)?;
        if spec.ragged {
            file.write_checked(None, &format!("{}/offsets", spec.name), &[n + 1], &told.at)?;
        }
        file.write_checked(None, &format!("checksum/{}", spec.name), &[n], &told.sums)?;
        write_axes(file, None, spec)
    }
}

/// The array of a field's numbers.
fn array(spec: &FieldSpec) -> String {
    if spec.ragged { format!("{}/data", spec.name) } else { spec.name.clone() }
}
