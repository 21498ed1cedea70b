//! Reading datasets: the campaign's own index, or any HDF5 file with parameters `theta` (n, p) and data (n, …).

use super::field::{Axis, Data, Dtype, FieldSpec};
use super::hdf::{Array, Element, File, given};
use super::parameters::Parameters;
use super::provenance::FORMAT_VERSION;
use crate::error::{Error, Result};
use crate::prior::{DrawnFrom, Parameter, Prior};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `[dataset]`: a file made elsewhere to train and infer on, in place of a simulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// HDF5 file.
    pub file: PathBuf,
    /// Name of the parameters' dataset, (n, p).
    #[serde(default = "default_theta")]
    pub theta: String,
    /// Name of the data's dataset, (n, …).
    #[serde(default = "default_x")]
    pub x: String,
    /// Fraction of the rows kept for validation, where the file has no `split`.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Fraction of the rows kept for tests, where the file has no `split`.
    #[serde(default = "default_test")]
    pub test: f64,
    /// The prior the parameters were drawn from, one table per column; without it, uniform over the data's range.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

fn default_theta() -> String {
    "theta".into()
}
fn default_x() -> String {
    "x".into()
}
/// Share of the design kept for validation unless told otherwise.
pub fn default_validation() -> f64 {
    0.1
}
/// Share of the design kept for tests unless told otherwise.
pub fn default_test() -> f64 {
    0.2
}

impl DatasetConfig {
    /// Checks the values and that the file has what they name; reads no data but `theta`.
    pub fn check(&self) -> Result<()> {
        check_fractions("dataset", self.validation, self.test)?;
        self.open()?.spec(&self.x).map(|_| ()).map_err(|e| named(e, "dataset.x"))
    }

    /// Opens the file. Its fields are all datasets with as many rows as `theta`.
    pub fn open(&self) -> Result<Dataset> {
        let prior = if self.parameters.is_empty() { None } else { Some(self.parameters.prior()?) };
        Dataset::with(&self.file, &self.theta, prior, self.validation, self.test)
            .map_err(|e| named(given(e), "dataset.file"))
    }
}

/// Adds the configuration's key to an error about the file itself.
fn named(e: Error, key: &str) -> Error {
    let problem = match &e.key {
        Some(dataset) if dataset != key => format!("{dataset}: {}", e.problem),
        _ => e.problem.clone(),
    };
    Error { problem, key: Some(key.into()), ..e }
}

/// Fractions in `[0, 1)` that leave something to train on.
pub fn check_fractions(section: &str, validation: f64, test: f64) -> Result<()> {
    for (key, value) in [("validation", validation), ("test", test)] {
        if !(0.0..1.0).contains(&value) {
            let error = Error::input("is not a fraction").key(format!("{section}.{key}")).value(value);
            return Err(error.remedy("give a number from 0 to below 1"));
        }
    }
    if validation + test >= 1.0 {
        let error = Error::input("with the test fraction it leaves nothing to train on");
        let error = error.key(format!("{section}.validation")).value(validation);
        return Err(error.remedy(format!("lower it or {section}.test = {test}: their sum stays below 1")));
    }
    Ok(())
}

/// What a universe is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train = 0,
    Validation = 1,
    Test = 2,
}

impl Split {
    /// Decides by a hash of the parameters' bits alone: rows that share them (pairs) stay together, and a design that
    /// grows moves nothing.
    pub fn of(theta: &[f64], validation: f64, test: f64) -> Split {
        let mut hash = Sha256::new();
        for t in theta {
            hash.update((t + 0.0).to_le_bytes()); // −0 is 0
        }
        let digest = hash.finalize();
        let bits = digest.iter().take(8).fold(0u64, |bits, &b| bits << 8 | b as u64);
        let u = bits as f64 / 2f64.powi(64);
        match u {
            u if u < test => Split::Test,
            u if u < test + validation => Split::Validation,
            _ => Split::Train,
        }
    }

    fn from_u8(value: u8) -> Option<Split> {
        [Split::Train, Split::Validation, Split::Test].into_iter().find(|&s| s as u8 == value)
    }
}

/// An open dataset of n universes.
#[derive(Debug)]
pub struct Dataset {
    pub path: PathBuf,
    pub prior: Prior,
    /// What is known of how the parameters were drawn.
    pub drawn_from: DrawnFrom,
    file: File,
    theta: Vec<f64>,
    split: Vec<Split>,
    status: Vec<u8>,
    specs: Vec<FieldSpec>,
    /// What [`Dataset::parts_are_there`] found.
    parts: OnceCell<Result<()>>,
}

impl Dataset {
    /// Opens a dataset with the default fractions where it has no split of its own.
    pub fn open(path: impl AsRef<Path>, theta_name: &str) -> Result<Self> {
        Self::with(path.as_ref(), theta_name, None, default_validation(), default_test())
    }

    fn with(path: &Path, theta_name: &str, prior: Option<Prior>, validation: f64, test: f64) -> Result<Self> {
        let file = File::open(path)?;
        if let Some(version) = file.number("", "format_version")?.filter(|&v| v > FORMAT_VERSION as f64) {
            let problem = format!("its format_version {version} is newer than this program's {FORMAT_VERSION}");
            return Err(Error::input(problem).file(path).remedy("use a newer polycosm"));
        }
        let array = file.array(theta_name)?;
        let shape = array.shape();
        let bad = |problem: String, remedy: &str| Err(Error::input(problem).file(path).key(theta_name).remedy(remedy));
        let &[n, p] = &shape[..] else {
            return bad(format!("has shape {shape:?}"), "parameters are of shape (n, p): one row per universe");
        };
        if n == 0 || p == 0 {
            return bad(format!("has shape {shape:?}: nothing in it"), "give at least one row and one parameter");
        }
        array.dtype()?;
        let theta: Vec<f64> = array.read(&[0, 0], &[n, p])?;
        let status = flags(&file, "status", n)?.unwrap_or_else(|| vec![0; n]);
        let row = |i: usize| &theta[i * p..(i + 1) * p];
        if let Some(i) = (0..n).find(|&i| status[i] == 0 && !row(i).iter().all(|t| t.is_finite())) {
            return bad(format!("row {i} is {:?}", row(i)), "parameters are finite numbers: remove that row");
        }
        let split = match flags(&file, "split", n)? {
            None => (0..n).map(|i| Split::of(row(i), validation, test)).collect(),
            Some(values) => values
                .iter()
                .map(|&v| Split::from_u8(v).ok_or_else(|| Error::input("is no split").value(v)))
                .collect::<Result<Vec<_>>>()
                .map_err(|e| e.file(path).key("split").remedy("0 trains, 1 validates, 2 tests"))?,
        };
        let (prior, drawn_from) = match (prior, file.json::<Prior>("", "prior")?) {
            (Some(given), _) => (given, DrawnFrom::Prior),
            (None, Some(stored)) => (stored, DrawnFrom::named(file.text(theta_name, "drawn_from")?.as_deref())),
            (None, None) => (guess_prior(&file, theta_name, &theta, p)?, DrawnFrom::Guess),
        };
        if prior.len() != p {
            let problem = format!("has {p} columns, but {} parameters are named", prior.len());
            return bad(problem, "give one table [dataset.parameters.NAME] per column, in order");
        }
        let specs = match file.json::<Vec<FieldSpec>>("", "fields")? {
            Some(specs) => specs,
            None => foreign_specs(&file, theta_name, n)?,
        };
        Ok(Dataset {
            path: path.to_path_buf(),
            prior,
            drawn_from,
            file,
            theta,
            split,
            status,
            specs,
            parts: OnceCell::new(),
        })
    }

    /// Number of universes n.
    pub fn len(&self) -> usize {
        self.split.len()
    }

    /// True with no universes.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty()
    }

    /// Parameters, (n, p) in C order.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// What each universe is used for.
    pub fn split(&self) -> &[Split] {
        &self.split
    }

    /// 0 where a universe is finished.
    pub fn status(&self) -> &[u8] {
        &self.status
    }

    /// Why the first of the failed universes failed, where the file tells.
    pub fn failure(&self) -> Result<Option<String>> {
        if !self.file.exists("status") {
            return Ok(None);
        }
        let failures = self.file.json::<BTreeMap<u64, String>>("status", "failures")?.unwrap_or_default();
        Ok(failures.into_values().next())
    }

    /// Finished universes of a split, in order.
    pub fn rows(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.split[i] == split && self.status[i] == 0).collect()
    }

    /// Descriptions of the fields.
    pub fn specs(&self) -> Vec<FieldSpec> {
        self.specs.clone()
    }

    /// Description of one field.
    pub fn spec(&self, field: &str) -> Result<FieldSpec> {
        if let Some(spec) = self.specs.iter().find(|s| s.name == field) {
            return Ok(spec.clone());
        }
        let array = self.file.array(field)?; // the error for a name that is not there
        let problem = format!("has shape {:?}, but there are {} rows of parameters", array.shape(), self.len());
        let names: Vec<_> = self.specs.iter().map(|s| s.name.as_str()).collect();
        let remedy = format!("name numbers of shape (n, ...) with n = {}: {}", self.len(), names.join(", "));
        Err(Error::input(problem).file(&self.path).key(field).remedy(remedy))
    }

    /// A field of some universes as f32, (rows, …) in C order and in the order of `rows`.
    pub fn read_f32(&self, field: &str, rows: &[usize]) -> Result<Vec<f32>> {
        self.read(field, rows)
    }

    /// A field of some universes as f64, (rows, …) in C order and in the order of `rows`.
    pub fn read_f64(&self, field: &str, rows: &[usize]) -> Result<Vec<f64>> {
        self.read(field, rows)
    }

    /// A field of one universe in its own type.
    pub fn read_data(&self, spec: &FieldSpec, row: usize) -> Result<Data> {
        self.parts_are_there()?;
        self.file.array(&spec.name)?.read_rows(spec.dtype, row, 1)
    }

    /// Numbers of the random fields (n), where the file tells.
    pub fn realisation(&self) -> Result<Option<Vec<u64>>> {
        let known = self.specs.iter().all(|s| s.name != "realisation") && self.file.exists("realisation");
        if known { self.file.read("realisation").map(Some) } else { Ok(None) }
    }

    /// Where the lists of the universes begin (n + 1).
    pub fn offsets(&self, field: &str) -> Result<Vec<u64>> {
        self.file.read(&format!("{field}/offsets"))
    }

    /// The list of one universe (a ragged field) as f64, (rows, …) in C order.
    pub fn read_list(&self, field: &str, row: usize) -> Result<Vec<f64>> {
        self.parts_are_there()?;
        let ends = self.file.array(&format!("{field}/offsets"))?.read::<u64>(&[row], &[2])?;
        let array = self.file.array(&format!("{field}/data"))?;
        read_rows(&array, ends[0] as usize, (ends[1] - ends[0]) as usize)
    }

    /// Refuses to read where a file that the dataset is put together from is gone or damaged: HDF5 would give NaN for its
    /// universes and say nothing.
    fn parts_are_there(&self) -> Result<()> {
        let look = || {
            let names = self.specs.iter().map(|s| if s.ragged { format!("{}/data", s.name) } else { s.name.clone() });
            let arrays = names.map(|name| self.file.array(&name)).collect::<Result<Vec<_>>>()?;
            let files: BTreeSet<String> = arrays.iter().flat_map(Array::sources).filter(|f| f != ".").collect();
            files.iter().try_for_each(|file| self.part(Path::new(file)))
        };
        self.parts.get_or_init(look).clone()
    }

    /// Opens one of those files.
    fn part(&self, file: &Path) -> Result<()> {
        let beside = self.path.parent().unwrap_or(Path::new("")).join(file);
        // HDF5 looks beside the dataset first, then from the working directory on.
        let path = if !beside.exists() && file.exists() { file } else { &beside };
        let remedy = match (path.exists(), std::fs::File::open(path)) {
            (false, _) => "run `polycosm simulate`, which remakes it; or put it back",
            (true, Ok(_)) => "remove this file and run `polycosm simulate`, which remakes it; or copy it here again",
            (true, Err(_)) => "change its permissions",
        };
        File::open(path).map(drop).map_err(|e| {
            let problem = format!("holds universes of {}, and cannot be read: {}", self.path.display(), e.problem);
            Error::failed(problem).file(path).remedy(remedy)
        })
    }

    fn read<T: Element>(&self, field: &str, rows: &[usize]) -> Result<Vec<T>> {
        let spec = self.spec(field)?;
        if spec.ragged {
            let error = Error::input("is a list whose length differs between universes").file(&self.path).key(field);
            return Err(error.remedy("choose a field of a fixed shape"));
        }
        if let Some(&row) = rows.iter().find(|&&r| r >= self.len()) {
            return Err(Error::failed(format!("no row {row} of {}", self.len())).file(&self.path).key(field));
        }
        self.parts_are_there()?;
        let array = self.file.array(field)?;
        let mut all = Vec::with_capacity(rows.len() * spec.shape.iter().product::<usize>());
        // Rows that follow one another are read in one go.
        let mut at = 0;
        while at < rows.len() {
            let run = (1..rows.len() - at).take_while(|&k| rows[at + k] == rows[at] + k).count() + 1;
            all.extend(read_rows::<T>(&array, rows[at], run)?);
            at += run;
        }
        Ok(all)
    }
}

fn read_rows<T: Element>(array: &Array, start: usize, rows: usize) -> Result<Vec<T>> {
    let mut count = array.shape();
    let mut from = vec![0; count.len()];
    (from[0], count[0]) = (start, rows);
    array.read(&from, &count)
}

/// A dataset of n small numbers; `None` if the file has none of that name and shape.
fn flags(file: &File, name: &str, n: usize) -> Result<Option<Vec<u8>>> {
    let there = file.exists(name) && file.array(name).is_ok_and(|a| a.shape() == [n] && a.dtype().is_ok());
    if there { file.read(name).map(Some) } else { Ok(None) }
}

/// Names from the attributes `parameters` or `names` of the parameters' dataset, bounds from the data.
fn guess_prior(file: &File, theta_name: &str, theta: &[f64], p: usize) -> Result<Prior> {
    let texts = |name| file.texts(theta_name, name);
    let names = texts("parameters")?.or(texts("names")?).filter(|names| names.len() == p);
    let names = names.unwrap_or_else(|| (0..p).map(|j| format!("theta_{j}")).collect());
    let latex = texts("latex")?.filter(|l| l.len() == p).unwrap_or_else(|| names.clone());
    log::warn!(
        "{}: no prior is given: uniform over the range of {theta_name}; give [dataset.parameters] for another",
        file.path().display()
    );
    let parameter = |j: usize| -> Result<Parameter> {
        let column = || theta.iter().skip(j).step_by(p).copied().filter(|t| t.is_finite());
        let (min, max) = (column().fold(f64::INFINITY, f64::min), column().fold(f64::NEG_INFINITY, f64::max));
        if min < max {
            return Ok(Parameter { name: names[j].clone(), latex: latex[j].clone(), min, max });
        }
        let error = Error::input(format!("column {j} ({}) does not vary", names[j])).file(file.path()).key(theta_name);
        Err(error.remedy("remove that column, or give [dataset.parameters]"))
    };
    Prior::new((0..p).map(parameter).collect::<Result<_>>()?)
}

/// Every numeric dataset with as many rows as there are parameters is a field.
fn foreign_specs(file: &File, theta_name: &str, n: usize) -> Result<Vec<FieldSpec>> {
    let mut specs = vec![];
    for name in file.arrays() {
        let array = file.array(&name)?;
        let shape = array.shape();
        let known = [theta_name.trim_matches('/'), "split", "status"].contains(&name.as_str());
        let Ok(dtype) = array.dtype() else { continue };
        if known || shape.first() != Some(&n) {
            continue;
        }
        specs.push(FieldSpec {
            axes: (1..shape.len()).map(|i| Axis::new(&format!("axis{i}"), "")).collect(),
            shape: shape[1..].to_vec(),
            unit: file.text(&name, "units")?.unwrap_or_default(),
            description: file.text(&name, "description")?.unwrap_or_default(),
            ragged: false,
            dtype: if dtype == Dtype::I64 { Dtype::I64 } else { dtype },
            name,
        });
    }
    Ok(specs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(path: &Path) {
        let file = File::create(path).unwrap();
        let theta: Vec<f64> = (0..40).map(|i| (i * i) as f64 / 7.0).collect();
        file.write(None, "theta", &[20, 2], &theta).unwrap();
        file.set_texts("theta", "names", &["a", "b"]).unwrap();
        file.write(None, "x", &[20, 3], &(0..60).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
        file.write(None, "short", &[5, 3], &[0f32; 15]).unwrap();
        file.close().unwrap();
    }

    #[test]
    fn a_foreign_file_is_a_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foreign.h5");
        foreign(&path);
        let data = Dataset::open(&path, "theta").unwrap();
        assert_eq!((data.len(), data.prior.names()), (20, vec!["a", "b"]));
        assert_eq!(data.prior.parameters[1].max, 39.0 * 39.0 / 7.0);
        assert_eq!(data.read_f32("x", &[3, 4, 1]).unwrap(), [9., 10., 11., 12., 13., 14., 3., 4., 5.]);
        let all: usize = [Split::Train, Split::Validation, Split::Test].iter().map(|&s| data.rows(s).len()).sum();
        assert_eq!(all, 20);
        let e = data.spec("short").unwrap_err().to_string();
        assert!(e.contains("foreign.h5") && e.contains("short") && e.contains("[5, 3]"), "{e}");
        let e = data.spec("y").unwrap_err().to_string();
        assert!(e.contains("no such dataset") && e.contains("theta, x"), "{e}");
    }

    #[test]
    fn configuration_names_the_prior() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foreign.h5");
        foreign(&path);
        let text = format!("file = {:?}\n[parameters.u]\nmin = 0.0\nmax = 300.0\n", path);
        let config: DatasetConfig = toml::from_str(&text).unwrap();
        let e = config.check().unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("2 columns"), "{e}");
        let config: DatasetConfig = toml::from_str(&format!("{text}[parameters.v]\nmin = 0\nmax = 301.0\n")).unwrap();
        config.check().unwrap();
        assert_eq!(config.open().unwrap().prior.names(), ["u", "v"]);
        let wrong = DatasetConfig { x: "short".into(), ..config.clone() };
        assert_eq!(wrong.check().unwrap_err().key.unwrap(), "dataset.x");
        let wrong = DatasetConfig { validation: 0.9, ..config };
        assert_eq!(wrong.check().unwrap_err().key.unwrap(), "dataset.validation");
    }

    #[test]
    fn splits_have_their_shares() {
        let count = |s| (0..10_000).filter(|&i| Split::of(&[i as f64, 0.5], 0.1, 0.2) == s).count();
        assert!((count(Split::Test) as f64 - 2000.0).abs() < 200.0);
        assert!((count(Split::Validation) as f64 - 1000.0).abs() < 150.0);
        assert_eq!(Split::of(&[-0.0], 0.1, 0.2), Split::of(&[0.0], 0.1, 0.2));
    }
}
