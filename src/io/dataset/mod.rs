//! Reading datasets: the campaign's own index, or any HDF5 file with parameters `theta` (n, p) and data (n, …).

mod config;
mod files;
mod foreign;
mod older;
mod open;
mod parts;
mod read;
mod split;
mod usable;

pub use config::{DatasetConfig, check_fractions, default_test, default_validation};
pub use read::Real;
pub use split::{OUTSIDE, Split};

pub(super) use foreign::{column_names, place};
pub(super) use parts::beside;
pub(super) use split::STATUS;

use super::digest::Stamp;
use super::field::{AxisKind, FieldSpec};
use super::hdf::{Array, File};
use super::made::Made;
use super::prior;
use super::simulation::State;
use crate::error::{Error, Result};
use crate::prior::{Derived, DrawnFrom, Prior};
use crate::progress::first_time;
use parts::{Kept, Parts};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::rc::Rc;

/// An open dataset of n universes.
#[derive(Debug)]
pub struct Dataset {
    content: Content,
    file: File,
    parts: RefCell<Parts>,
    arrays: RefCell<BTreeMap<String, Rc<Array>>>,
}

/// What is known of a dataset whose numbers are read when they are asked for.
#[derive(Debug, Clone)]
pub struct Content {
    pub path: PathBuf,
    pub prior: Prior,
    /// What is known of how the parameters were drawn.
    pub drawn_from: DrawnFrom,
    /// Points of its design that were passed over, where it says so.
    pub passed_over: Option<u64>,
    /// What its file was like just before it was opened.
    pub(super) opened: Option<Stamp>,
    /// Written by this program, with fields, prior and checksums as it writes them.
    own: bool,
    theta: Vec<f64>,
    derived: Vec<f64>,
    split: Vec<Split>,
    status: Vec<u8>,
    specs: Vec<FieldSpec>,
    kept: Kept,
}

impl Deref for Dataset {
    type Target = Content;
    fn deref(&self) -> &Content {
        &self.content
    }
}

impl DerefMut for Dataset {
    fn deref_mut(&mut self) -> &mut Content {
        &mut self.content
    }
}

impl Dataset {
    /// Adds an array that goes by another name (a link) to the fields; what is none is told where it is asked for.
    fn include(&mut self, field: &str) {
        if !self.specs.iter().any(|s| s.name == field.trim_matches('/'))
            && let Ok(spec) = self.spec(field)
        {
            self.specs.push(spec);
        }
    }

    /// Reads one universe of a field: what cannot be read is found before anything is begun.
    fn try_out(&self, field: &str) -> Result<()> {
        let row = self.status.iter().position(|&s| s == 0).unwrap_or(0);
        self.spec(field).and_then(|_| self.read_f64(field, &[row])).map(drop)
    }

    /// True if this program wrote it.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Number of universes n.
    pub fn len(&self) -> usize {
        self.split.len()
    }

    /// True with no universes.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty()
    }

    /// Parameters, (n, p) in C order, in the order of the prior.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// Parameters of one universe, (p).
    pub fn theta_of(&self, row: usize) -> &[f64] {
        let p = self.prior.len();
        &self.theta[row * p..(row + 1) * p]
    }

    /// Parameters of some universes, (rows, p) in C order and in the order of `rows`.
    pub fn thetas(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().flat_map(|&row| self.theta_of(row)).copied().collect()
    }

    /// Derived parameters, (n, d) in C order, in the order of the prior's; NaN of universes that cannot be made.
    pub fn derived(&self) -> &[f64] {
        &self.derived
    }

    /// Puts derived parameters (n, d) in the place of those that its file has: `compute` makes them of theta where these
    /// are others.
    pub fn derive(&mut self, parameters: &[Derived], compute: impl Fn(&[f64]) -> Vec<f64>) {
        if !prior::same_derived(&self.prior.derived, parameters) {
            self.derived = compute(&self.theta);
        }
        self.prior.derived = parameters.to_vec();
    }

    /// A derived parameter of some universes.
    pub fn derived_of(&self, name: &str, rows: &[usize]) -> Option<Vec<f64>> {
        let (j, d) = (self.prior.derived.iter().position(|d| d.name == name)?, self.prior.derived.len());
        Some(rows.iter().map(|row| self.derived[row * d + j]).collect())
    }

    /// What each universe is used for.
    pub fn split(&self) -> &[Split] {
        &self.split
    }

    /// 0 where a universe is finished, 2 where it is not there yet; all else has failed.
    pub fn status(&self) -> &[u8] {
        &self.status
    }

    /// Universes that are finished or have failed, and lie in the prior. Of data made elsewhere these are all.
    pub fn ran(&self) -> Vec<usize> {
        let not = [State::Missing as u8, OUTSIDE];
        (0..self.len()).filter(|&i| !self.own || !not.contains(&self.status[i])).collect()
    }

    /// Why the first of the failed universes failed, where the file tells.
    pub fn failure(&self) -> Result<Option<String>> {
        if !self.own || !self.file.exists("status") {
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
        if let Some(spec) = self.specs.iter().find(|s| s.name == field.trim_matches('/')) {
            return Ok(spec.clone());
        }
        foreign::describe(&self.file, field, self.len())
    }

    /// True for the parameters, one of them, or a derived one, where no field has that name.
    pub fn is_parameter(&self, name: &str) -> bool {
        let derived = || self.prior.derived.iter().any(|d| d.name == name);
        (name == "theta" || self.prior.names().contains(&name) || derived())
            && self.specs.iter().all(|s| s.name != name)
    }

    /// Description of one field for a network, which is to know what its axes are: says where nobody does.
    pub fn input(&self, field: &str) -> Result<FieldSpec> {
        let spec = self.spec(field)?;
        if spec.axes.len() > 1 && spec.axes.iter().any(|axis| axis.kind.is_unsaid()) {
            let (file, name, shape) = (self.path.display(), &spec.name, &spec.shape);
            note(format!(
                "{file}: {name} has shape {shape:?} per row, and nobody says what its axes are: networks see a vector; maps \
                 say so in [dataset.axes], as {name:?} = [\"channel\", \"flat\", \"flat\"]"
            ));
        }
        Ok(spec)
    }

    /// Description of what a network may read: a field, or a parameter by its name (`theta`: all of them).
    pub fn readable(&self, name: &str) -> Result<FieldSpec> {
        match self.input(name) {
            Err(_) if self.is_parameter(name) => Ok(FieldSpec::parameter(name, &self.prior)),
            spec => spec,
        }
    }

    /// Says what the axes of a field are, where its file does not.
    fn say_axes(&mut self, field: &str, kinds: &[AxisKind]) -> Result<()> {
        let path = self.path.clone();
        let refuse = |problem: String, remedy: &str| Err(Error::input(problem).file(&path).key(field).remedy(remedy));
        let names = self.specs.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(at) = self.specs.iter().position(|s| s.name == field.trim_matches('/')) else {
            self.spec(field)?;
            return refuse("is no field of this file".into(), &format!("choose one of {names}"));
        };
        let spec = &mut self.specs[at];
        if let Some(problem) = AxisKind::mismatch(kinds, &spec.shape) {
            let remedy = "name what the axes of one row are, in order: \"view\", then \"channel\", \"slab\", \"bin\", \
                          \"column\", \"class\" or \"index\", and last \"periodic\", \"flat\" or healpix; transpose the array \
                          where they stand otherwise";
            return refuse(problem, remedy);
        }
        if spec.axes.iter().zip(kinds).any(|(axis, &kind)| !axis.kind.is_unsaid() && axis.kind != kind) {
            let said = spec.axes.iter().map(|axis| axis.kind.to_string()).collect::<Vec<_>>().join(", ");
            let remedy = "leave them out, or correct the attribute axes_kinds of that array";
            return refuse(format!("the file itself says that they are {said}"), remedy);
        }
        spec.axes.iter_mut().zip(kinds).for_each(|(axis, &kind)| axis.kind = kind);
        Ok(())
    }

    /// Whole numbers (n) that stand beside the fields, where the file has them: `realisation` of the random fields; in
    /// what a stage made, the `universe` and the `item` that each row is of.
    pub fn beside(&self, name: &str) -> Result<Option<Vec<u64>>> {
        let own = self.own || name == "realisation";
        let known = own && self.specs.iter().all(|s| s.name != name) && self.file.exists(name);
        if known { self.file.read_checked(name, Some(&[self.len()])).map(Some) } else { Ok(None) }
    }

    /// How each universe was made, where this program wrote it down.
    pub fn made(&self) -> Result<Vec<Made>> {
        if self.own { Made::read(&self.file) } else { Ok(vec![]) }
    }

    /// Where the lists of the universes begin (n + 1).
    pub fn offsets(&self, field: &str) -> Result<Vec<u64>> {
        self.file.read_checked(&format!("{field}/offsets"), Some(&[self.len() + 1]))
    }
}

/// Warns of what was taken to be meant, once however often a file is opened.
fn note(text: String) {
    once(log::Level::Warn, text);
}

fn once(level: log::Level, text: String) {
    if first_time(&text) {
        log::log!(level, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
        assert_eq!(data.prior.parameters[1].distribution.bounds().1, 39.0 * 39.0 / 7.0);
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
        let text = format!("file = {:?}\n[parameters.B]\nmin = 0.0\nmax = 300.0\n", path);
        let config: DatasetConfig = toml::from_str(&text).unwrap();
        let e = config.check().unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("2 columns"), "{e}");
        // Columns are found by their names, whatever the order.
        let config: DatasetConfig = toml::from_str(&format!("{text}[parameters.a]\nmin = 0\nmax = 301.0\n")).unwrap();
        config.check().unwrap();
        let (data, plain) = (config.open().unwrap(), Dataset::open(&path, "theta").unwrap());
        assert_eq!(data.prior.names(), ["B", "a"]);
        assert_eq!((data.theta()[0], data.theta()[1]), (plain.theta()[1], plain.theta()[0]));
        let other: DatasetConfig = toml::from_str(&format!("{text}[parameters.u]\nmin = 0\nmax = 301.0\n")).unwrap();
        let e = other.check().unwrap_err().to_string();
        assert!(e.contains("called a, b") && e.contains("names B, u") && e.contains("foreign.h5"), "{e}");
        let upside_down: DatasetConfig =
            toml::from_str(&format!("{text}[parameters.a]\nmin = 301\nmax = 0\n")).unwrap();
        assert_eq!(upside_down.check().unwrap_err().key.unwrap(), "dataset.parameters.a");
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
