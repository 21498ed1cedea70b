//! Shard s holds the simulations s·m … (s+1)·m − 1: fields as (m, …) arrays, lists as `name/data` and `name/offsets`.
//!
//! A shard is packed from the files of single simulations, and from the shard it replaces where that has some of them
//! (one that was not whole, a failed simulation run again). Rows that are not there yet have the `status` that says so.
//! Each rank copies whole simulations into its rows.

use super::field::{Data, FieldSpec};
use super::hdf::{Compression, File, damaged, publish_by};
use super::made::Made;
use super::provenance::Provenance;
use super::simulation::{self, Again, Record, State, describe, read_again, same_checksum, write_again};
use crate::comm::{Comm, share};
use crate::error::{At, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes that a shard is written ahead of its disk.
const AHEAD: usize = 16 << 20;
/// Files of single simulations that a rank keeps open from the first look until they are copied.
const HELD: usize = 64;

/// Where shard `s` lies.
pub fn path(output: &Path, s: usize) -> PathBuf {
    output.join(relative(s))
}

/// Its path as seen from the index.
pub fn relative(s: usize) -> String {
    format!("shards/{s:05}.h5")
}

/// Where a shard of these simulations lies that is not where it belongs, while others are packed from it.
pub fn aside(output: &Path, rows: &Range<usize>) -> PathBuf {
    output.join(relative_aside(rows))
}

/// Its path as seen from the index.
pub fn relative_aside(rows: &Range<usize>) -> String {
    format!("shards/{ASIDE}{:06}-{:06}.h5", rows.start, rows.end)
}

/// How such names begin.
const ASIDE: &str = "aside-";

/// The shards of a folder with their numbers, and without one those that were put aside.
pub fn all(output: &Path) -> Result<Vec<(PathBuf, Option<usize>)>> {
    let folder = output.join("shards");
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut all = vec![];
    for entry in std::fs::read_dir(&folder).at(&folder)? {
        let name = entry.at(&folder)?.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(".h5").and_then(|stem| stem.parse().ok());
        if number.is_some() || (name.starts_with(ASIDE) && name.ends_with(".h5")) {
            all.push((folder.join(name), number));
        }
    }
    all.sort();
    Ok(all)
}

/// What the design says of one simulation.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub index: u64,
    pub realisation: u64,
    pub theta: &'a [f64],
    /// 0 train, 1 validation, 2 test.
    pub split: u8,
}

/// A shard that others are packed from, most often the one that is being replaced.
struct Old {
    file: Rc<File>,
    records: Vec<Record>,
    made: Vec<Made>,
}

impl Old {
    fn open(path: &Path) -> Result<Old> {
        let file = File::open(path)?;
        Ok(Old { records: records(&file)?, made: Made::read(&file)?, file: Rc::new(file) })
    }

    /// The row that it has of a simulation, where that is there.
    fn row(&self, index: u64) -> Option<usize> {
        let at = index.checked_sub(self.records.first()?.index)? as usize;
        self.records.get(at).filter(|record| record.state != State::Missing).map(|_| at)
    }
}

/// What a shard tells of a simulation beside its fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    state: State,
    failure: String,
    made: Made,
    /// Fields that were made again.
    again: Again,
}

/// Where one simulation's fields lie now.
struct Source<'a> {
    file: Rc<File>,
    /// Its row in a shard that is being replaced.
    row: Option<usize>,
    specs: &'a [FieldSpec],
    index: u64,
    told: Told,
}

impl<'a> Source<'a> {
    /// Its file in the folder of `singles`, or what the first of the shards has that has it. `None`: it is not there
    /// yet. What is `known` of it is not read again.
    fn open(
        singles: Option<&Path>,
        shards: &[Old],
        specs: &'a [FieldSpec],
        row: &Row,
        known: Option<&Told>,
    ) -> Result<Option<Self>> {
        let own = singles.map(|output| simulation::path(output, row.index)).filter(|path| path.exists());
        let (file, at, record, made) = if let Some(own) = own {
            let file = File::open(&own)?;
            if let Some(told) = known.cloned() {
                return Ok(Some(Source { file: Rc::new(file), row: None, specs, index: row.index, told }));
            }
            let (record, made) = (simulation::read(&file)?, Made::read(&file)?.pop());
            (Rc::new(file), None, record, made)
        } else {
            let packed = shards.iter().find_map(|old| Some((old, old.row(row.index)?)));
            let Some((old, at)) = packed else { return Ok(None) };
            (old.file.clone(), Some(at), old.records[at].clone(), old.made.get(at).cloned())
        };
        let same = record.index == row.index && record.realisation == row.realisation;
        if !same || record.theta.iter().map(|t| t.to_bits()).ne(row.theta.iter().map(|t| t.to_bits())) {
            let problem =
                format!("was run with {:?}, but the design's row {} is {:?}", record.theta, row.index, row.theta);
            let remedy = "give another output folder, or remove this file to run the simulation anew";
            return Err(Error::input(problem).file(file.path()).key("theta").remedy(remedy));
        }
        let (made, again) = (made.unwrap_or_default(), read_again(&file, specs)?);
        let told = Told { state: record.state, failure: record.failure, made, again };
        Ok(Some(Source { file, row: at, specs, index: row.index, told }))
    }

    /// Length of a list; 0 if the simulation failed.
    fn length(&self, spec: &FieldSpec) -> Result<usize> {
        match self.row {
            _ if self.told.state == State::Failed => Ok(0),
            None => Ok(self.file.array(&spec.name)?.shape().first().copied().unwrap_or(0)),
            Some(row) => Ok(bounds(&self.file, spec, row)?.1),
        }
    }

    /// A whole field and its checksum, which has been verified.
    fn field(&self, i: usize) -> Result<(Data, u32)> {
        let spec = &self.specs[i];
        match self.row {
            _ if self.told.state == State::Failed => Ok(nothing(spec)),
            None => simulation::read_field(&self.file, &spec.name, spec.dtype).map(|(_, data, crc)| (data, crc)),
            Some(row) => read_row(&self.file, spec, row).map_err(|e| Error { remedy: Some(again(self.index)), ..e }),
        }
    }
}

/// A simulation as a folder has it.
pub struct Whole {
    pub record: Record,
    pub made: Made,
    /// Fields that were made again.
    pub again: Again,
    /// In the order of their descriptions; fill values where it failed.
    pub fields: Vec<Data>,
}

/// Simulations of a folder one after another, wherever they lie.
pub struct Reader<'a> {
    output: &'a Path,
    shard_size: usize,
    specs: &'a [FieldSpec],
    /// The shard that was opened last.
    last: Option<(usize, Vec<Old>)>,
}

impl<'a> Reader<'a> {
    pub fn new(output: &'a Path, shard_size: usize, specs: &'a [FieldSpec]) -> Self {
        Reader { output, shard_size, specs, last: None }
    }

    /// Serial: a simulation of the design, whose checksums hold; `None`: it is not there.
    pub fn read(&mut self, row: &Row) -> Result<Option<Whole>> {
        let s = row.index as usize / self.shard_size;
        if self.last.as_ref().is_none_or(|(shard, _)| *shard != s) {
            let path = path(self.output, s);
            self.last = Some((s, path.exists().then(|| Old::open(&path)).transpose()?.into_iter().collect()));
        }
        let shards = self.last.as_ref().map_or(&[][..], |(_, shards)| shards);
        let Some(source) = Source::open(Some(self.output), shards, self.specs, row, None)? else { return Ok(None) };
        let fields = (0..self.specs.len()).map(|i| Ok(source.field(i)?.0)).collect::<Result<_>>()?;
        let Told { state, failure, made, again } = source.told;
        let (index, realisation, theta) = (row.index, row.realisation, row.theta.to_vec());
        Ok(Some(Whole { record: Record { index, realisation, theta, state, failure }, made, again, fields }))
    }
}

/// The remedy for damaged numbers of one simulation.
pub fn again(index: u64) -> String {
    format!("`polycosm simulate --redo {index}` makes this simulation again; or copy the file here again")
}

/// What stands where a simulation failed or is not there yet, and its checksum.
pub fn nothing(spec: &FieldSpec) -> (Data, u32) {
    let data = Data::fill(spec.dtype, spec.shape.iter().product());
    let crc = crc32fast::hash(data.bytes());
    (data, crc)
}

/// Start and length of a list's rows in `name/data`.
fn bounds(file: &File, spec: &FieldSpec, row: usize) -> Result<(usize, usize)> {
    let name = format!("{}/offsets", spec.name);
    let ends = file.read_checked::<u64>(&name, None)?;
    match ends.get(row..row + 2) {
        Some(&[start, end]) if start <= end => Ok((start as usize, (end - start) as usize)),
        _ => Err(damaged(file.path(), &name, format!("row {row} is no part of a list"))),
    }
}

/// Serial: one simulation's field from a shard, checked against its checksum, which is returned too.
pub fn read_row(file: &File, spec: &FieldSpec, row: usize) -> Result<(Data, u32)> {
    let data = if spec.ragged {
        let (start, length) = bounds(file, spec, row)?;
        file.array(&format!("{}/data", spec.name))?.read_rows(spec.dtype, start, length)?
    } else {
        file.array(&spec.name)?.read_rows(spec.dtype, row, 1)?
    };
    let name = format!("checksum/{}", spec.name);
    let crc = file.array(&name)?.read::<u32>(&[row], &[1])?;
    let &[crc] = &crc[..] else { return Err(damaged(file.path(), &name, "holds no number".into())) };
    same_checksum(file, &spec.name, &data, crc)?;
    Ok((data, crc))
}

/// Serial: what a shard says of its simulations, beside their fields; an error unless all of that is as it was written.
pub fn records(file: &File) -> Result<Vec<Record>> {
    let shape = file.array("theta")?.shape();
    let &[n, p] = &shape[..] else {
        return Err(damaged(file.path(), "theta", format!("has shape {shape:?}")));
    };
    let (index, realisation) = (numbers(file, "index", n)?, numbers(file, "realisation", n)?);
    let theta: Vec<f64> = file.read_checked("theta", Some(&[n, p]))?;
    let status: Vec<u8> = file.read_checked("status", Some(&[n]))?;
    file.read_checked::<u8>("split", Some(&[n]))?;
    if p == 0 || index.iter().enumerate().any(|(i, &at)| at != index[0] + i as u64) {
        return Err(damaged(file.path(), "index", format!("is {index:?}")));
    }
    let failures: BTreeMap<u64, String> = file.json("status", "failures")?.unwrap_or_default();
    let record = |i: usize| Record {
        index: index[i],
        realisation: realisation[i],
        theta: theta[i * p..(i + 1) * p].to_vec(),
        state: State::of(status[i]),
        failure: failures.get(&index[i]).cloned().unwrap_or_default(),
    };
    Ok((0..n).map(record).collect())
}

fn numbers(file: &File, name: &str, n: usize) -> Result<Vec<u64>> {
    file.read_checked(name, Some(&[n]))
}

/// Collective: packs shard `s` from the design's `rows`, in order. When it is whole the root brings it to its
/// name by `place`, which is given the one that it has; the files it was packed from are left where they are. These are the files of single simulations and
/// the shard that it replaces, or, where there are any, these `shards` alone.
pub fn pack(
    comm: &Comm,
    output: &Path,
    (s, rows, shards): (usize, &[Row], &[PathBuf]),
    (specs, compression): (&[FieldSpec], Option<Compression>),
    by: &Provenance,
    place: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let path = path(output, s);
    let m = rows.len();
    let (start, mine) = share(m, comm.size(), comm.rank());
    let apart = |row: &Row| !simulation::path(output, row.index).exists();
    let singles = shards.is_empty().then_some(output);
    let replaced = singles.is_some() && path.exists() && rows[start..start + mine].iter().any(apart);
    let shards = replaced.then_some(&path).into_iter().chain(shards).map(|path| Old::open(path)).collect();
    let shards: Vec<Old> = comm.agree(shards)?;
    let open = |at: usize, known: Option<&Told>| Source::open(singles, &shards, specs, &rows[at], known);
    // What the layout depends on is read before anything is copied.
    let scan = || -> Result<_> {
        let (mut lengths, mut told, mut held) = (vec![], vec![], vec![]);
        for at in start..start + mine {
            let source = open(at, None)?;
            for spec in specs.iter().filter(|s| s.ragged) {
                lengths.push(source.as_ref().map_or(Ok(0), |s| s.length(spec))? as u64);
            }
            let missing =
                || Told { state: State::Missing, failure: String::new(), made: Made::default(), again: Again::new() };
            told.push(source.as_ref().map_or_else(missing, |s| s.told.clone()));
            if held.len() < HELD {
                held.push(source);
            }
        }
        Ok((lengths, told, held))
    };
    let (lengths, told, held) = comm.agree(scan())?;
    let mut held = held.into_iter();
    let lengths = comm.all_gather(&lengths);
    let told: Vec<Told> = (0..comm.size()).flat_map(|r| comm.broadcast_value(r, Some(told.clone()))).collect();
    let lists = specs.iter().filter(|s| s.ragged).count();
    let offsets = |list: usize| -> Vec<u64> {
        let ends = (0..m).scan(0, |at, i| {
            *at += lengths[i * lists + list];
            Some(*at)
        });
        std::iter::once(0).chain(ends).collect()
    };
    let write = |file: &File| {
        by.write(file)?;
        file.set_number("", "shard", s as u64)?;
        let (all, p) = (Some(comm), rows[0].theta.len());
        file.write_checked(
            all,
            "theta",
            &[m, p],
            &rows.iter().flat_map(|r| r.theta.iter().copied()).collect::<Vec<_>>(),
        )?;
        file.write_checked(all, "index", &[m], &rows.iter().map(|r| r.index).collect::<Vec<_>>())?;
        file.write_checked(all, "realisation", &[m], &rows.iter().map(|r| r.realisation).collect::<Vec<_>>())?;
        file.write_checked(all, "split", &[m], &rows.iter().map(|r| r.split).collect::<Vec<_>>())?;
        file.write_checked(all, "status", &[m], &told.iter().map(|t| t.state as u8).collect::<Vec<_>>())?;
        file.set_texts("status", "values", &State::WORDS)?;
        let failed = rows.iter().zip(&told).filter(|(_, t)| t.state == State::Failed);
        let failures: BTreeMap<u64, &String> = failed.map(|(row, t)| (row.index, &t.failure)).collect();
        file.set_json("status", "failures", &failures)?;
        Made::write(&told.iter().map(|t| t.made.clone()).collect::<Vec<_>>(), all, file)?;

        let mut arrays = vec![];
        let mut list = 0;
        for spec in specs {
            if spec.ragged {
                let offsets = offsets(list);
                list += 1;
                let mut shape = spec.shape.clone();
                shape[0] = offsets[m] as usize;
                let name = format!("{}/data", spec.name);
                arrays.push((file.create_array_of(spec.dtype, &name, &shape)?, Some(offsets.clone())));
                describe(file, &name, spec, false)?;
                file.write_checked(all, &format!("{}/offsets", spec.name), &[m + 1], &offsets)?;
            } else {
                let shape: Vec<usize> = std::iter::once(m).chain(spec.shape.iter().copied()).collect();
                arrays.push((file.create_stacked(spec, &shape, compression)?, None));
                describe(file, &spec.name, spec, true)?;
            }
        }
        write_again(file, &told.iter().flat_map(|t| t.again.clone()).collect())?;
        file.set_json("", "fields", &specs)?;
        let (mut checksums, mut waiting) = (vec![vec![0u32; m]; specs.len()], 0);
        // Transfers are collective: ranks with fewer simulations take part with nothing.
        for step in 0..share(m, comm.size(), 0).1 {
            let at = start + step;
            let here = || held.next().map_or_else(|| open(at, told.get(at)), Ok);
            let source = comm.agree((step < mine).then(here).transpose())?;
            for (i, (array, offsets)) in arrays.iter().enumerate() {
                let field = |s: &Option<Source>| s.as_ref().map_or_else(|| Ok(nothing(&specs[i])), |s| s.field(i));
                match comm.agree(source.as_ref().map(field).transpose())? {
                    None => array.write_rows(0, 0, &Data::fill(specs[i].dtype, 0))?,
                    Some((data, crc)) => {
                        checksums[i][at] = crc;
                        waiting += data.bytes().len();
                        match offsets {
                            None => array.write_rows(at, 1, &data)?,
                            Some(o) => array.write_rows(o[at] as usize, (o[at + 1] - o[at]) as usize, &data)?,
                        }
                    }
                }
            }
            if waiting > AHEAD {
                file.begin_to_write();
                waiting = 0;
            }
        }
        for (spec, mut sums) in specs.iter().zip(checksums) {
            comm.sum(&mut sums); // each is known to one rank, 0 elsewhere
            file.write_checked(all, &format!("checksum/{}", spec.name), &[m], &sums)?;
        }
        Ok(())
    };
    publish_by(comm, &path, write, place)
}
