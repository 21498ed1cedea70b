//! One finished simulation: `sims/000123.h5` holds its fields, parameters and status until its shard is packed.

use super::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use super::hdf::{File, other_checksum, publish};
use super::made::Made;
use super::provenance::Provenance;
use crate::comm::Comm;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where one simulation stands; in files a number, `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Finished = 0,
    Failed = 1,
    Missing = 2,
}

impl State {
    /// The words for these numbers, attribute `values` of `status`.
    pub const WORDS: [&str; 3] = ["finished", "failed", "not there yet"];

    /// What a file means by a number.
    pub fn of(status: u8) -> State {
        match status {
            0 => State::Finished,
            2 => State::Missing,
            _ => State::Failed,
        }
    }
}

/// What a simulation's file says beside its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Row of the design.
    pub index: u64,
    pub realisation: u64,
    /// Parameters, in the design's order.
    pub theta: Vec<f64>,
    /// In a file of its own it is never missing.
    pub state: State,
    /// Why it failed, where it did.
    pub failure: String,
}

/// Where the file of simulation `index` lies.
pub fn path(output: &Path, index: u64) -> PathBuf {
    output.join("sims").join(format!("{index:06}.h5"))
}

/// Collective: writes the file; it appears when whole. A failed simulation has no fields.
pub fn write(
    comm: &Comm,
    path: &Path,
    record: &Record,
    fields: &[Field],
    (made, provenance): (Made, &Provenance),
    again: &Again,
) -> Result<()> {
    publish(comm, path, |file| {
        provenance.write(file)?;
        Made::write(&[made], Some(comm), file)?;
        file.set_number("", "index", record.index)?;
        file.set_number("", "realisation", record.realisation)?;
        file.set_number("", "status", record.state as u8)?;
        file.set_text("", "failure", &record.failure)?;
        file.write_checked(Some(comm), "theta", &[record.theta.len()], &record.theta)?;
        fields.iter().try_for_each(|f| write_field(comm, file, f))?;
        write_again(file, again)
    })
}

/// What made the fields that were made again of what was kept, by their names: version, commit and time.
pub type Again = BTreeMap<String, Value>;

/// Attribute of such a field's array.
const AGAIN: &str = "observed";

/// The array of a field in a file of one simulation or more.
fn array_of(file: &File, name: &str) -> String {
    let list = format!("{name}/data");
    if file.exists(&list) { list } else { name.into() }
}

/// Collective in a parallel file: says of its fields which were made again, and by what.
pub fn write_again(file: &File, again: &Again) -> Result<()> {
    again.iter().try_for_each(|(name, by)| file.set_json(&array_of(file, name), AGAIN, by))
}

/// Serial: which of these fields were made again, as far as they are there.
pub fn read_again(file: &File, fields: &[FieldSpec]) -> Result<Again> {
    let there = fields.iter().map(|spec| (&spec.name, array_of(file, &spec.name))).filter(|(_, at)| file.exists(at));
    let said = there.map(|(name, at)| Ok(file.json(&at, AGAIN)?.map(|by| (name.clone(), by))));
    Ok(said.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Serial: descriptions of the fields in a file of one simulation or more.
pub fn fields(file: &File) -> Result<Vec<FieldSpec>> {
    if let Some(specs) = file.json("", "fields")? {
        return Ok(specs);
    }
    // In that of one simulation, and in older shards, each array says it for itself.
    let said = file.arrays().into_iter().map(|name| file.json(&name, "spec"));
    Ok(said.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Collective: writes one field, each rank its rows, with its description and its checksum (`crc32`, of the bytes of
/// the whole array in C order) as attributes.
pub fn write_field(comm: &Comm, file: &File, field: &Field) -> Result<()> {
    let spec = &field.spec;
    let row: usize = spec.shape[1..].iter().product();
    let rows = comm.sum_of(field.rows as u64) as usize;
    let whole = spec.ragged || rows == spec.shape[0];
    let fits = whole && field.data.len() == field.rows * row && field.data.dtype() == spec.dtype;
    comm.agree(if fits {
        Ok(())
    } else {
        let got = format!("{rows} rows, {} elements here in {} rows", field.data.len(), field.rows);
        Err(Error::failed(format!("a field does not fit its description {:?} {:?}: {got}", spec.shape, spec.dtype))
            .key(&spec.name))
    })?;
    let mut shape = spec.shape.clone();
    shape[0] = rows;
    let array = file.create_array_of(spec.dtype, &spec.name, &shape)?;
    array.write_rows(comm.offset(field.rows), field.rows, &field.data)?;
    let crc = checksum(comm, field.data.bytes());
    describe(file, &spec.name, spec, false)?;
    file.set_number(&spec.name, "crc32", crc)
}

/// Collective: reads `rows` rows of a field from row `from` on, each rank its own and together all of them in rank
/// order; an error on all ranks if they do not have the field's checksum.
pub fn read_field_rows(comm: &Comm, file: &File, spec: &FieldSpec, from: usize, rows: usize) -> Result<Data> {
    let data = comm.agree(file.array(&spec.name))?.read_rows(spec.dtype, from, rows)?;
    let crc = comm.agree(file.unsigned(&spec.name, "crc32"))? as u32;
    match checksum(comm, data.bytes()) == crc {
        true => Ok(data),
        false => Err(other_checksum(file.path(), &spec.name)),
    }
}

/// Checksum (CRC-32) of bytes spread over ranks in rank order; the same on every rank. Collective.
pub fn checksum(comm: &Comm, bytes: &[u8]) -> u32 {
    let parts = comm.all_gather(&[crc32fast::hash(bytes) as u64, bytes.len() as u64]);
    let mut whole = crc32fast::Hasher::new();
    for part in parts.chunks(2) {
        whole.combine(&crc32fast::Hasher::new_with_initial_len(part[0] as u32, part[1]));
    }
    whole.finalize()
}

/// Attributes of a field's array: units, axes, description, and all of them as JSON (`spec`). `stacked`: the first
/// axis counts simulations.
pub fn describe(file: &File, at: &str, spec: &FieldSpec, stacked: bool) -> Result<()> {
    let first = stacked.then(|| Axis::new(AxisKind::Index, "simulation", ""));
    let axes: Vec<&Axis> = first.iter().chain(&spec.axes).collect();
    file.set_text(at, "units", &spec.unit)?;
    file.set_text(at, "description", &spec.description)?;
    file.set_texts(at, "axes", &axes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>())?;
    file.set_texts(at, "axes_units", &axes.iter().map(|a| a.unit.as_str()).collect::<Vec<_>>())?;
    file.set_texts(at, "axes_kinds", &axes.iter().map(|a| a.kind.to_string()).collect::<Vec<_>>())?;
    for axis in spec.axes.iter().filter(|a| !a.labels.is_empty()) {
        file.set_texts(at, &axis.name, &axis.labels)?;
    }
    for axis in spec.axes.iter().filter(|a| !a.spins.is_empty()) {
        file.set_numbers(at, &format!("{}_spin", axis.name), &axis.spins)?;
    }
    file.set_json(at, "spec", spec)
}

/// The arrays below `axes/` of a field: names, shapes, numbers and their unit; counts of modes and pixels of a part of
/// the sphere have none.
pub fn points(spec: &FieldSpec) -> impl Iterator<Item = (String, Vec<usize>, Points<'_>)> {
    spec.axes.iter().zip(&spec.shape).flat_map(|(axis, &points)| {
        let at = format!("axes/{}/{}", spec.name, axis.name);
        let edges = axis.edges.len();
        let shape = if edges == points + 1 { vec![edges] } else { vec![points, edges / points.max(1)] };
        let (values, unit) = (&axis.values, axis.unit.as_str());
        let edges = (format!("{at}_edges"), shape, Points::Values(&axis.edges, unit));
        let modes = (format!("{at}_modes"), vec![axis.modes.len()], Points::Counts(&axis.modes));
        let pixels: Vec<i64> = axis.pixels.iter().flat_map(|&[first, end]| first as i64..end as i64).collect();
        let pixels = (at.clone(), vec![pixels.len()], Points::Pixels(pixels));
        let there = |array: &(_, _, Points)| match &array.2 {
            Points::Values(values, _) => !values.is_empty(),
            Points::Counts(counts) => !counts.is_empty(),
            Points::Pixels(pixels) => !pixels.is_empty(),
        };
        [(at, vec![values.len()], Points::Values(values, unit)), edges, modes, pixels].into_iter().filter(there)
    })
}

/// Numbers along an axis.
pub enum Points<'a> {
    /// With their unit.
    Values(&'a [f64], &'a str),
    Counts(&'a [u64]),
    /// Of the sphere; signed, as healpy wants them.
    Pixels(Vec<i64>),
}

/// Writes `axes/<field>/<axis>` and, where its points are bins, `…_edges` and `…_modes`; collective in a file of these
/// ranks.
pub fn write_axes(file: &File, comm: Option<&Comm>, spec: &FieldSpec) -> Result<()> {
    points(spec).try_for_each(|(name, shape, numbers)| match numbers {
        Points::Counts(counts) => file.write(comm, &name, &shape, counts),
        Points::Pixels(pixels) => file.write(comm, &name, &shape, &pixels),
        Points::Values(values, unit) => {
            file.write(comm, &name, &shape, values).and_then(|()| file.set_text(&name, "units", unit))
        }
    })
}

/// What a file says of the axes of an array's rows in what [`describe`] and [`write_axes`] write. `known`: these axes,
/// whose names count where it says none. `at`: the array of this field; `stacked`: its first axis counts rows, and may
/// be among the words.
pub fn read_axes(file: &File, at: &str, field: &str, known: &[Axis], stacked: bool) -> Result<Vec<Axis>> {
    let rank = known.len();
    let words = |attribute: &str| -> Result<Vec<String>> {
        match file.words(at, attribute)? {
            None => Ok(vec![String::new(); rank]),
            Some(words) if words.len() == rank => Ok(words),
            Some(mut words) if words.len() == rank + 1 && stacked => Ok(words.split_off(1)),
            Some(words) => {
                let problem = format!("its attribute {attribute} has {} words, and a row {rank} axes", words.len());
                Err(Error::input(problem).key(field).remedy("give one word for each axis, in order"))
            }
        }
    };
    let (names, kinds, units) = (words("axes")?, words("axes_kinds")?, words("axes_units")?);
    let axis = |i: usize| -> Result<Axis> {
        let name = if names[i].is_empty() { &known[i].name } else { &names[i] };
        let numbers = |end: &str| match format!("axes/{field}/{name}{end}") {
            there if file.exists(&there) => file.read::<f64>(&there),
            _ => Ok(vec![]),
        };
        let kind = match kinds[i].trim() {
            "" => AxisKind::Unsaid,
            word => word.parse().map_err(|e: Error| e.key(format!("{field}: axes_kinds")))?,
        };
        let spins = file.numbers(at, &format!("{name}_spin"))?.unwrap_or_default();
        if let Some(spin) = spins.iter().find(|&&spin| spin as u8 as f64 != spin) {
            let error = Error::input("is no spin").key(format!("{field}: {name}_spin")).value(spin);
            return Err(error.remedy("spins are whole numbers from 0"));
        }
        let axis = Axis {
            labels: file.texts(at, name)?.unwrap_or_default(),
            spins: spins.into_iter().map(|spin| spin as u8).collect(),
            edges: numbers("_edges")?,
            ..Axis::new(kind, name, units[i].trim())
        };
        match kind {
            AxisKind::Footprint { .. } => axis.with_pixels(&numbers("")?).ok_or_else(|| {
                let error = Error::input("are no pixels of this kind, each once and growing");
                error.key(format!("axes/{field}/{name}")).remedy("give the number of the pixel for each point")
            }),
            _ => Ok(Axis { values: numbers("")?, ..axis }),
        }
    };
    (0..rank).map(axis).collect()
}

/// Serial: reads what the file says beside its fields.
pub fn read(file: &File) -> Result<Record> {
    Ok(Record {
        index: file.unsigned("", "index")?,
        realisation: file.unsigned("", "realisation")?,
        theta: file.read_checked("theta", None)?,
        state: if file.unsigned("", "status")? == 0 { State::Finished } else { State::Failed },
        failure: file.text("", "failure")?.unwrap_or_default(),
    })
}

/// Serial: reads one whole field and its checksum; an error if the two disagree.
pub fn read_field(file: &File, name: &str, dtype: Dtype) -> Result<(Vec<usize>, Data, u32)> {
    let array = file.array(name)?;
    let shape = array.shape();
    let data = array.read_rows(dtype, 0, shape.first().copied().unwrap_or(1))?;
    let crc = file.unsigned(name, "crc32")? as u32;
    same_checksum(file, name, &data, crc)?;
    Ok((shape, data, crc))
}

/// An error naming file and field unless the data have this checksum.
pub fn same_checksum(file: &File, name: &str, data: &Data, crc: u32) -> Result<()> {
    if crc32fast::hash(data.bytes()) == crc {
        return Ok(());
    }
    Err(other_checksum(file.path(), name))
}
