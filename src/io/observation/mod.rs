//! A file of fields as observations: any HDF5 file with the arrays that networks read.
//!
//! An array goes by its field's name. One of just the field's shape is one observation, one of shape (n, …) is n of
//! them. What the file says of units, axes and coordinates must be what the networks learned from; where it says
//! nothing, the shape decides.

mod list;
mod said;

use super::dataset::{Dataset, Real, STATUS, beside, column_names, place};
use super::digest::hex;
use super::field::{Data, Dtype, Field, FieldSpec};
use super::gadget;
use super::hdf::{Array, File, given, other_checksum};
use super::provenance::is_ours;
use crate::error::{Error, Result};
use crate::limits;
use crate::prior::Prior;
use crate::progress::{count, first_time};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files within files that are looked into.
const DEPTH: usize = 8;
/// Bytes of an observation's name, which becomes part of files' names.
const LONGEST: usize = 100;

/// What networks learned from, which an observation must be like.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The fields that they read.
    pub fields: Vec<FieldSpec>,
    /// The parameters: by their names a file may tell the truth.
    pub prior: Prior,
    /// Name of the array of parameters.
    pub theta: String,
    /// This program's own data: a field without a unit is a pure number. Of others nobody knows.
    pub own: bool,
}

impl Learned {
    /// From a dataset whose parameters are called `theta`; no field yet.
    pub fn from(dataset: &Dataset, theta: &str) -> Learned {
        Learned { fields: vec![], prior: dataset.prior.clone(), theta: theta.into(), own: dataset.is_own() }
    }

    /// Adds fields that are not among them yet.
    pub fn add(&mut self, fields: impl IntoIterator<Item = FieldSpec>) {
        for spec in fields {
            if self.fields.iter().all(|known| known.name != spec.name) {
                self.fields.push(spec);
            }
        }
    }

    /// With these fields alone, in this order; an error where one is not among them.
    pub fn only(&self, fields: &[&str]) -> Result<Learned> {
        let mut learned = Learned { fields: vec![], ..self.clone() };
        for name in fields {
            let missing = || Error::input("is not in the dataset").key(*name).remedy("name arrays of the dataset");
            learned.add([self
                .fields
                .iter()
                .find(|spec| spec.name == name.trim_matches('/'))
                .cloned()
                .ok_or_else(missing)?]);
        }
        Ok(learned)
    }
}

/// One observation in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub name: String,
    /// Its row, in a file whose arrays have a first axis that counts observations.
    pub row: Option<usize>,
    /// The parameters it was made with, in the prior's order, where the file tells all of them.
    pub truth: Option<Vec<f64>>,
}

/// A file and the row that is chosen of it: `maps.h5:3`.
pub fn chosen(path: &Path) -> (PathBuf, Option<usize>) {
    let parts = path.to_str().and_then(|text| text.rsplit_once(':')).filter(|_| !path.exists());
    let row = parts.and_then(|(file, row)| Some((PathBuf::from(file), Some(row.parse().ok()?))));
    row.unwrap_or((path.to_path_buf(), None))
}

/// Digest of what networks are shown of an observation, and of its true parameters.
pub fn content<'a>(fields: impl IntoIterator<Item = &'a Field>, truth: Option<&[f64]>) -> String {
    let mut hash = Sha256::new();
    for Field { spec, data, .. } in fields {
        hash.update(format!("{} {:?} {:?} ", spec.name, spec.shape, data.dtype()));
        hash.update(data.bytes());
    }
    hash.update(bytemuck::cast_slice::<f64, u8>(truth.unwrap_or_default()));
    hex(hash.finalize().as_slice())
}

/// An open file of observations. All but their numbers has been checked.
pub struct FieldFile<'a> {
    pub observations: Vec<Observation>,
    file: File,
    learned: &'a Learned,
    /// This program wrote it, with checksums.
    own: bool,
}

impl<'a> FieldFile<'a> {
    /// Serial: opens a file, for all of it or for one row. Refuses one whose fields are not like those that were
    /// learned from.
    pub fn open(path: &Path, row: Option<usize>, learned: &'a Learned) -> Result<FieldFile<'a>> {
        let open = || {
            let file = File::open(path)?;
            if gadget::is_snapshot(path) {
                let problem = "is a snapshot of particles, and this campaign has no simulator that looks at one";
                let names: Vec<&str> = learned.fields.iter().map(|spec| spec.name.as_str()).collect();
                let remedy = format!("give a file of the fields that the networks read: {}", names.join(", "));
                return Err(Error::input(problem).remedy(remedy));
            }
            let own = is_ours(&file)?;
            let mut file = FieldFile { observations: vec![], file, learned, own };
            file.observations = file.look(row)?;
            Ok(file)
        };
        open().map_err(|e| given(e).file(path))
    }

    /// Serial: the fields of an observation, in the order and in the precision in which networks read them.
    pub fn read(&self, of: &Observation) -> Result<Vec<Field>> {
        let all: Result<Vec<Field>> = self.learned.fields.iter().map(|spec| self.field(spec, of)).collect();
        all.map_err(|e| given(e).file(self.file.path()))
    }

    fn field(&self, spec: &FieldSpec, of: &Observation) -> Result<Field> {
        let array = self.file.array(&self.array_of(spec))?;
        let all = array.shape().first().copied().unwrap_or(1);
        let (first, rows) = match (of.row, spec.ragged) {
            (None, _) => (0, all),
            (Some(row), false) => (row, 1),
            (Some(row), true) => match self.offsets(spec, all)?.as_deref().and_then(|ends| ends.get(row..row + 2)) {
                Some(&[start, end]) => (start, end - start),
                _ => return Err(Error::failed(format!("no row {row}")).key(&spec.name)),
            },
        };
        let data = array.read_rows(array.dtype()?, first, rows)?;
        let sum = match of.row {
            None => self.file.number(&spec.name, "crc32")?,
            Some(_) if !self.file.exists(&format!("checksum/{}", spec.name)) => None,
            Some(row) => self.file.array(&format!("checksum/{}", spec.name))?.read(&[row], &[1])?.first().copied(),
        };
        if self.own && sum.is_some_and(|sum: f64| sum != crc32fast::hash(data.bytes()) as f64) {
            return Err(other_checksum(self.file.path(), &spec.name));
        }
        let refuse = |problem: String, remedy: &str| {
            let at = of.row.map_or(String::new(), |row| format!("row {row}: "));
            Err(Error::input(at + &problem).key(&spec.name).remedy(remedy))
        };
        let bad = data.not_finite();
        if bad > 0 {
            return refuse(format!("{bad} number(s) are NaN or infinite"), "mend them, or leave this observation out");
        }
        let data = match spec.dtype {
            Dtype::F32 => Data::F32(f32::of(data)),
            Dtype::F64 | Dtype::I64 => Data::F64(f64::of(data)),
        };
        match data.not_finite() {
            0 if spec.ragged => Ok(Field { spec: spec.clone(), rows, data }),
            0 => Ok(Field { spec: spec.clone(), rows: spec.shape.first().copied().unwrap_or(1), data }),
            _ => refuse(
                "it is beyond single precision, in which networks learned".into(),
                "give it in the dataset's unit",
            ),
        }
    }

    /// Checks all but numbers; the observations, or the one in a row.
    fn look(&self, row: Option<usize>) -> Result<Vec<Observation>> {
        let mut all: Option<Option<usize>> = None;
        for spec in &self.learned.fields {
            let here = self.rows(spec)?;
            let others = *all.get_or_insert(here);
            if here != others {
                let say = |n: Option<usize>| n.map_or("one observation without rows".into(), |n| count(n, "row"));
                let problem = format!("holds {}, but {} holds {}", say(here), self.learned.fields[0].name, say(others));
                return Err(Error::input(problem).key(&spec.name).remedy("give every field of every observation"));
            }
            said::compare(&self.file, &self.array_of(spec), spec, here.is_some(), self.learned.own)?;
        }
        let Some(n) = all.flatten() else {
            if let Some(row) = row {
                let error = Error::input(format!("holds one observation and no row {row}"));
                return Err(error.remedy("name the file alone"));
            }
            return Ok(vec![Observation {
                name: self.stem(),
                row: None,
                truth: self.truth(None, &[0])?.pop().flatten(),
            }]);
        };
        let status = STATUS.read(&self.file, n)?.unwrap_or_else(|| vec![0; n]);
        let rows: Vec<usize> = (0..n).filter(|&i| status[i] == 0 && row.is_none_or(|row| row == i)).collect();
        let refuse = |problem: String, remedy: String| Err(Error::input(problem).remedy(remedy));
        match (row, rows.len()) {
            (Some(row), 0) if row < n => {
                return refuse(format!("row {row} is of a universe that failed"), "choose another".into());
            }
            (Some(row), 0) => return refuse(format!("there is no row {row} of {n}"), "rows count from 0".into()),
            (None, 0) => return refuse("holds no observation".into(), "give at least one that is finished".into()),
            (_, many) if many > limits::OBSERVATIONS => {
                let remedy =
                    format!("choose some: --observation {}:{} is one of them", self.file.path().display(), rows[0]);
                return refuse(format!("holds {many} observations, and {} are the most", limits::OBSERVATIONS), remedy);
            }
            _ => {}
        }
        let (names, truths, stem) = (self.names(n)?, self.truth(Some(n), &rows)?, self.stem());
        let name = |i: usize| match &names {
            Some(names) => names[i].clone(),
            None if n == 1 => stem.clone(),
            None => format!("{stem}-{i}"),
        };
        Ok(rows.into_iter().map(|i| Observation { name: name(i), row: Some(i), truth: truths[i].clone() }).collect())
    }

    fn stem(&self) -> String {
        stem(self.file.path())
    }

    /// Rows of a field's array, or lists; `None` where it is of just the field's shape, or one list.
    fn rows(&self, spec: &FieldSpec) -> Result<Option<usize>> {
        let at = self.array_of(spec);
        let refuse = |problem: String, remedy: &str| Err(Error::input(problem).key(&at).remedy(remedy));
        let array = self.file.array(&at).map_err(|e| match self.file.exists(&at) {
            true => e,
            false => {
                let remedy = format!(
                    "networks find a field by its name in the dataset: rename its array to {at} (in h5py \
                     f.move(\"OLD\", \"{at}\")), or give another file"
                );
                Error { remedy: Some(remedy), ..e }
            }
        })?;
        array.dtype()?;
        array.is_believable()?;
        sources(self.file.path(), &array, DEPTH)?;
        let (is, learned) = (array.shape(), &spec.shape);
        match is.split_first() {
            Some((&rows, rest)) if spec.ragged && *rest == learned[1..] => {
                Ok(self.offsets(spec, rows)?.map(|ends| ends.len() - 1))
            }
            _ if spec.ragged => refuse(
                format!(
                    "has the shape {is:?}, and the networks learned from lists with rows of shape {:?}",
                    &learned[1..]
                ),
                "give such rows: an array NAME of one list, or the arrays NAME/data and NAME/offsets of several",
            ),
            _ if is == *learned => Ok(None),
            Some((&n, rest)) if rest == learned => Ok(Some(n)),
            _ => refuse(
                format!("has the shape {is:?}, and the networks learned from {learned:?}"),
                "give an array of that shape, or one of shape (n, …) for n observations",
            ),
        }
    }

    /// The names that the file gives n observations, in an array or an attribute `names`.
    fn names(&self, n: usize) -> Result<Option<Vec<String>>> {
        let names = match self.file.exists("names") {
            true => self.file.array("names")?.texts()?,
            false => self.file.words("", "names")?,
        };
        let Some(names) = names else { return Ok(None) };
        let proper = |name: &String| {
            !name.trim().is_empty() && name.len() <= LONGEST && !name.contains(|c: char| c.is_control() || c == '/')
        };
        if names.len() == n && names.iter().collect::<BTreeSet<_>>().len() == n && names.iter().all(proper) {
            return Ok(Some(names));
        }
        self.note(format!(
            "`names` is not used: it has {} for {}, and each needs one of its own that can be part of a file's name",
            count(names.len(), "text"),
            count(n, "observation")
        ));
        Ok(None)
    }

    /// The true parameters of each of n observations (one, where there are no rows), where the file tells all of them:
    /// as attributes of the root, or in the array of parameters. Tells what is odd in the `used` ones.
    fn truth(&self, n: Option<usize>, used: &[usize]) -> Result<Vec<Option<Vec<f64>>>> {
        let (file, names, rows) = (&self.file, self.learned.prior.names(), n.unwrap_or(1));
        let mut columns: Vec<Option<Vec<f64>>> = vec![None; names.len()];
        for (name, column) in names.iter().zip(&mut columns).filter(|_| !self.own) {
            *column = match file.numbers("", name)? {
                Some(values) if values.len() == 1 => Some(vec![values[0]; rows]),
                Some(values) if values.len() != rows => {
                    let problem =
                        format!("the attribute has {} numbers for {}", values.len(), count(rows, "observation"));
                    return Err(Error::input(problem).key(*name).remedy("give one number for each, or one for all"));
                }
                None if file.text("", name)?.is_some() => {
                    self.note(format!("the attribute {name} holds text, not a number, and is not used"));
                    None
                }
                values => values,
            };
        }
        if self.file.exists(&self.learned.theta) {
            self.add_theta(n, &names, &mut columns)?;
        }
        let lacking: Vec<&str> =
            names.iter().zip(&columns).filter(|(_, c)| c.is_none()).map(|(name, _)| *name).collect();
        if !lacking.is_empty() && lacking.len() < names.len() {
            self.note(format!("the truth is not known: the file does not tell {}", lacking.join(", ")));
        }
        let row = |i: usize| columns.iter().map(|c| c.as_ref().map(|c| c[i]).filter(|t| t.is_finite())).collect();
        let all: Vec<Option<Vec<f64>>> = (0..rows).map(row).collect();
        let some = |odd: &dyn Fn(usize) -> bool| used.iter().filter(|&&i| odd(i)).count();
        let prior = &self.learned.prior;
        let told = [
            (
                some(&|i| columns.iter().flatten().any(|c| !c[i].is_finite())),
                "is not known: it holds NaN or infinities",
            ),
            (
                some(&|i| all[i].as_ref().is_some_and(|t| prior.ln_density(t) == f64::NEG_INFINITY)),
                "lies outside the prior, in which no draw will find it",
            ),
        ];
        for (number, what) in told.into_iter().filter(|(number, _)| *number > 0) {
            self.note(format!("the truth of {} {what}", count(number, "observation")));
        }
        Ok(all)
    }

    /// Adds the columns of the array of parameters, by their names.
    fn add_theta(&self, n: Option<usize>, names: &[&str], columns: &mut [Option<Vec<f64>>]) -> Result<()> {
        let (theta, rows) = (self.learned.theta.as_str(), n.unwrap_or(1));
        let shape = self.file.array(theta)?.shape();
        let p = match (shape[..].split_last(), n) {
            (Some((&p, [])), None) => p,
            (Some((&p, &[here])), _) if here == rows => p,
            _ => {
                self.note(format!(
                    "{theta} has the shape {shape:?} for {}, and is not used",
                    count(rows, "observation")
                ));
                return Ok(());
            }
        };
        let values: Vec<f64> = self.file.read_checked(theta, None)?;
        let called = column_names(&self.file, theta, p)?;
        let called = called.unwrap_or_else(|| (0..p).map(|j| format!("theta_{j}")).collect());
        if names.iter().all(|name| place(&called, name).is_none()) {
            self.note(format!("the truth is not known: the columns of {theta} are called {}", called.join(", ")));
        }
        for (name, column) in names.iter().zip(columns) {
            let Some(at) = place(&called, name) else { continue };
            let told: Vec<f64> = values.iter().skip(at).step_by(p).copied().collect();
            let other = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-6 * b.abs();
            if column.as_ref().is_some_and(|column| column.iter().zip(&told).any(other)) {
                let error = Error::input(format!("the root's attribute and {theta} tell different values")).key(*name);
                return Err(error.remedy("correct the one that is wrong, or remove it"));
            }
            *column = Some(told);
        }
        Ok(())
    }

    /// Tells once what was taken to be meant.
    fn note(&self, text: String) {
        let told = format!("{}: {text}", self.file.path().display());
        if first_time(&told) {
            log::warn!("{told}");
        }
    }
}

/// A file's name without its ending.
pub fn stem(path: &Path) -> String {
    path.file_stem().map_or("observation".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Refuses an array that takes its numbers from a file that is gone: HDF5 would give others, and say nothing.
fn sources(from: &Path, array: &Array, depth: usize) -> Result<()> {
    // A pattern stands for as many files as there are.
    let files = array.sources().into_iter().filter(|(file, _)| file != "." && !file.contains("%b"));
    for (file, name) in files.collect::<BTreeSet<_>>().into_iter().filter(|_| depth > 0) {
        let path = beside(from, Path::new(&file));
        let there = File::open(&path).and_then(|file| sources(&path, &file.array(&name)?, depth - 1));
        there.map_err(|e| {
            let problem = format!("holds numbers of {}, and cannot be read: {}", from.display(), e.problem);
            Error::input(problem).file(&path).remedy("put it back, or give a file that holds the numbers themselves")
        })?;
    }
    Ok(())
}
