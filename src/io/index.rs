//! `dataset.h5`: virtual datasets over the shards, with the prior and everything small as plain data.
//!
//! `h5py.File("dataset.h5")["maps"][i]` works from anywhere: the shards are named relative to the index. A list's
//! `name/offsets` (n + 1) are global: simulation i's rows are `name/data[offsets[i] : offsets[i + 1]]`. It has all rows of
//! the design from the first packed shard on; those that no shard has yet are told by `status` and read as failed ones
//! do. Of very many shards it holds copies.

use super::field::{Data, FieldSpec};
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
use std::ops::Range;
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

/// True if it holds the fields themselves, and needs no shard.
pub fn is_a_copy(file: &File) -> Result<bool> {
    let specs = file.json::<Vec<FieldSpec>>("", "fields")?.unwrap_or_default();
    Ok(specs.first().map(|spec| file.array(&array(spec))).transpose()?.is_some_and(|array| array.sources().is_empty()))
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

/// A shard, or some of its simulations one after the other, that an index shows.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where it lies.
    pub path: PathBuf,
    /// Where it will be found, as seen from the index.
    pub name: String,
    /// Rows of the design: those of them that it has, up to its end.
    pub rows: Range<usize>,
}

/// The shards of `m` simulations that there are, of a design of `n`.
pub fn pieces(output: &Path, n: usize, m: usize) -> Vec<Piece> {
    let piece =
        |s: usize| Piece { path: shard::path(output, s), name: shard::relative(s), rows: s * m..n.min((s + 1) * m) };
    (0..n.div_ceil(m)).map(piece).filter(|piece| piece.path.exists()).collect()
}

/// Serial: writes the index over these pieces, which ascend, by links or with copies of their fields. `place` brings what
/// has another name yet to its place, just before the index appears.
pub fn write(
    alone: &Comm,
    output: &Path,
    (Drawn { prior: of, drawn_from, derived, passed_over }, rows): (Drawn, &[Row]),
    (pieces, linked): (&[Piece], bool),
    (specs, compression): (&[FieldSpec], Option<Compression>),
    by: &Provenance,
    place: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    let all = Shards::read(pieces, rows.len(), specs)?;
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
        place()?;
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
    /// The pieces that have anything of the design.
    there: Vec<Shown<'a>>,
    states: Vec<State>,
    failures: BTreeMap<u64, String>,
    made: Vec<Made>,
    /// In the order of their descriptions.
    fields: Vec<Told>,
}

/// A piece as its file has it.
struct Shown<'a> {
    piece: &'a Piece,
    /// Its first row there.
    from: usize,
    /// Its rows of the design, as far as they are there.
    rows: Range<usize>,
}

/// What the shards tell of a field.
struct Told {
    /// Checksums (n).
    sums: Vec<u32>,
    /// Where the rows of the universes begin, and the end (n + 1).
    at: Vec<u64>,
    /// By the pieces that are there: rows of the whole array, and the first of them that is shown.
    stored: Vec<(usize, usize)>,
}

impl Shards<'_> {
    /// Opens each once, one at a time.
    fn read<'a>(pieces: &'a [Piece], n: usize, specs: &[FieldSpec]) -> Result<Shards<'a>> {
        let told = |spec: &FieldSpec| Told { sums: vec![shard::nothing(spec).1; n], at: vec![0], stored: vec![] };
        let mut all = Shards {
            there: vec![],
            states: vec![State::Missing; n],
            failures: BTreeMap::new(),
            made: vec![Made::default(); n],
            fields: specs.iter().map(told).collect(),
        };
        let length = |spec: &FieldSpec| vec![if spec.ragged { 0 } else { 1 }; n];
        let mut lengths: Vec<Vec<u64>> = specs.iter().map(length).collect();
        for piece in pieces {
            let (path, file) = (&piece.path, File::open(&piece.path)?);
            let records = shard::records(&file)?;
            let first = records.first().map_or(piece.rows.start, |record| record.index as usize);
            let rows = piece.rows.start..piece.rows.end.min(first + records.len());
            let (Some(from), false) = (rows.start.checked_sub(first), rows.is_empty()) else { continue };
            let here = from..from + rows.len();
            for (i, record) in rows.clone().zip(&records[here.clone()]) {
                all.states[i] = record.state;
                if record.state == State::Failed {
                    all.failures.insert(record.index, record.failure.clone());
                }
            }
            for ((spec, told), lengths) in specs.iter().zip(&mut all.fields).zip(&mut lengths) {
                let name = format!("checksum/{}", spec.name);
                let sums = file.read_checked::<u32>(&name, None)?;
                let sums = sums.get(here.clone()).ok_or_else(|| damaged(path, &name, "is too short".into()))?;
                told.sums[rows.clone()].copy_from_slice(sums);
                let mut start = from;
                if spec.ragged {
                    let name = format!("{}/offsets", spec.name);
                    let local = file.read_checked::<u64>(&name, None)?;
                    if local.len() <= here.end || !local.is_sorted() {
                        return Err(damaged(path, &name, "is no list's".into()));
                    }
                    start = local[from] as usize;
                    let ends = local[from..].windows(2);
                    lengths[rows.clone()].iter_mut().zip(ends).for_each(|(length, ends)| *length = ends[1] - ends[0]);
                }
                told.stored.push((file.array(&array(spec))?.shape().first().copied().unwrap_or(0), start));
            }
            all.made[rows.clone()]
                .iter_mut()
                .zip(Made::read(&file)?.into_iter().skip(from))
                .for_each(|(made, is)| *made = is);
            all.there.push(Shown { piece, from, rows });
        }
        for (told, lengths) in all.fields.iter_mut().zip(lengths) {
            let mut end = 0;
            told.at.extend(lengths.into_iter().map(|length| {
                end += length;
                end
            }));
        }
        Ok(all)
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
            let part = |(Shown { piece, rows, .. }, &(stored, from)): (&Shown, &(usize, usize))| {
                let at = told.at[rows.start] as usize;
                let rows = told.at[rows.end] as usize - at;
                Part { file: piece.name.clone(), array: name.clone(), stored, from, rows, at }
            };
            let parts: Vec<Part> = self.there.iter().zip(&told.stored).map(part).collect();
            file.create_virtual(spec.dtype, &name, &shape, &parts)?;
        } else {
            let array = match spec.ragged {
                true => file.create_array_of(spec.dtype, &name, &shape)?,
                false => file.create_stacked(spec, &shape, compression)?,
            };
            let write = |i: usize, data: &Data| {
                array.write_rows(told.at[i] as usize, (told.at[i + 1] - told.at[i]) as usize, data)
            };
            let mut next = 0;
            for Shown { piece, from, rows } in &self.there {
                (next..rows.start).try_for_each(|i| write(i, &shard::nothing(spec).0))?;
                let shard = File::open(&piece.path)?;
                for i in rows.clone() {
                    write(i, &shard::read_row(&shard, spec, from + i - rows.start)?.0)?;
                }
                next = rows.end;
            }
            (next..n).try_for_each(|i| write(i, &shard::nothing(spec).0))?;
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
