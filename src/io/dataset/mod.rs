//! Reading datasets: the campaign's own index, or any HDF5 file with parameters `theta` (n, p) and data (n, …).

mod config;
mod files;
mod foreign;
mod older;
mod parts;
mod split;
mod usable;

pub use config::{DatasetConfig, check_fractions, default_test, default_validation};
pub use split::{OUTSIDE, Split};

pub(super) use foreign::{column_names, place};
pub(super) use parts::beside;
pub(super) use split::STATUS;

use super::digest::Stamp;
use super::field::{AxisKind, Data, FieldSpec};
use super::hdf::{Array, Element, File, damaged, given, room};
use super::index::passed_over;
use super::made::Made;
use super::prior;
use super::provenance::{FORMAT_VERSION, is_ours};
use super::simulation::State;
use crate::error::{Error, Result};
use crate::prior::{Derived, DrawnFrom, Prior};
use crate::progress::first_time;
use parts::{Kept, Parts};
use split::SPLIT;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes of a field that are read at a time, at least one universe.
const BLOCK: usize = 64 << 20;
/// Bytes between two universes that are read rather than passed over.
const GAP: usize = 1 << 20;

/// An open dataset of n universes.
#[derive(Debug)]
pub struct Dataset {
    pub path: PathBuf,
    pub prior: Prior,
    /// What is known of how the parameters were drawn.
    pub drawn_from: DrawnFrom,
    /// Points of its design that were passed over, where it says so.
    pub passed_over: Option<u64>,
    file: File,
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
    parts: RefCell<Parts>,
    arrays: RefCell<BTreeMap<String, Rc<Array>>>,
}

/// Numbers that networks and figures take.
pub trait Real: Element {
    /// Converted as C does.
    fn of(data: Data) -> Vec<Self>;
}

macro_rules! real {
    ($type:ty, $own:ident) => {
        impl Real for $type {
            fn of(data: Data) -> Vec<Self> {
                match data {
                    Data::$own(v) => v,
                    #[allow(unreachable_patterns, reason = "one of the three is its own")]
                    Data::F32(v) => v.into_iter().map(|x| x as $type).collect(),
                    #[allow(unreachable_patterns, reason = "one of the three is its own")]
                    Data::F64(v) => v.into_iter().map(|x| x as $type).collect(),
                    Data::I64(v) => v.into_iter().map(|x| x as $type).collect(),
                }
            }
        }
    };
}
real!(f32, F32);
real!(f64, F64);

impl Dataset {
    /// Opens a dataset with the default fractions where it has no split of its own.
    pub fn open(path: impl AsRef<Path>, theta_name: &str) -> Result<Self> {
        Self::with(path.as_ref(), theta_name, None, default_validation(), default_test())
    }

    fn with(path: &Path, theta_name: &str, given: Option<Prior>, validation: f64, test: f64) -> Result<Self> {
        let opened = Stamp::of(path).ok();
        let file = File::open(path)?;
        let own = is_ours(&file)?;
        if let Some(version) = file.number("", "format_version")?.filter(|&v| own && v > FORMAT_VERSION as f64) {
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
        array.is_believable()?;
        let mut theta: Vec<f64> =
            if own { file.read_checked(theta_name, None)? } else { array.read(&[0, 0], &[n, p])? };
        if own {
            for name in [SPLIT.name, STATUS.name].into_iter().filter(|name| file.exists(name)) {
                file.read_checked::<u8>(name, Some(&[n]))?;
            }
        }
        let status = STATUS.read(&file, n)?.unwrap_or_else(|| vec![0; n]);
        let finite = |row: &[f64]| row.iter().all(|t| t.is_finite());
        if let Some((i, row)) = theta.chunks(p).enumerate().find(|&(i, row)| status[i] == 0 && !finite(row)) {
            return bad(format!("row {i} is {row:?}"), "parameters are finite numbers: remove that row");
        }
        let stored = if own { prior::read(&file, theta_name)? } else { None };
        let names = foreign::column_names(&file, theta_name, p)?;
        let (prior, drawn_from) = match (given, stored) {
            (Some(given), _) => {
                if given.len() != p {
                    let problem = format!("{theta_name} has {p} columns, but {} parameters are named", given.len());
                    let error = Error::input(problem).file(path).key(config::PARAMETERS);
                    return Err(error.remedy("give one table [dataset.parameters.NAME] per column, in order"));
                }
                if let Some(names) = names {
                    let places = foreign::columns(&file, theta_name, &names, &given)?;
                    theta = theta.chunks(p).flat_map(|row| places.iter().map(|&j| row[j])).collect();
                }
                (given, DrawnFrom::Prior)
            }
            (None, Some(stored)) if stored.0.len() == p => stored,
            (None, Some(_)) => return Err(damaged(path, "prior", format!("is not of {p} parameters"))),
            (None, None) => {
                let rows: Vec<&[f64]> = theta.chunks(p).zip(&status).filter(|r| *r.1 == 0).map(|r| r.0).collect();
                if rows.is_empty() {
                    return bad("has no row to use: status is never 0".into(), "status is 0 for rows to use");
                }
                (foreign::guess_prior(&file, theta_name, names, &rows)?, DrawnFrom::Guess)
            }
        };
        let split = match SPLIT.read(&file, n)? {
            None => theta.chunks(p).map(|row| Split::of(row, validation, test)).collect(),
            Some(values) => values.into_iter().filter_map(Split::from_u8).collect(),
        };
        let specs = match if own { file.json::<Vec<FieldSpec>>("", "fields")? } else { None } {
            Some(mut specs) => {
                if older::complete(&mut specs) {
                    let told = "was written before axes said what they are: the names of its fields tell";
                    once(log::Level::Info, format!("{}: {told}", path.display()));
                }
                specs
            }
            None => foreign::specs(&file, theta_name, n),
        };
        let derived = match prior.derived.len() {
            0 => vec![],
            d => file.read_checked("derived", Some(&[n, d]))?,
        };
        let passed_over = if own { passed_over(&file)? } else { None };
        let kept = if own { Kept::read(&file, &specs, n)? } else { Kept::default() };
        let (path, parts, arrays) = (path.to_path_buf(), RefCell::default(), RefCell::default());
        Ok(Dataset {
            path,
            prior,
            drawn_from,
            passed_over,
            file,
            opened,
            own,
            theta,
            derived,
            split,
            status,
            specs,
            kept,
            parts,
            arrays,
        })
    }

    /// Opens the same data once more, through handles of its own: in another thread, say.
    pub fn again(&self) -> impl FnOnce() -> Result<Dataset> + Send + 'static {
        let (path, prior, drawn_from, opened, own) =
            (self.path.clone(), self.prior.clone(), self.drawn_from, self.opened, self.own);
        let (theta, split, status) = (self.theta.clone(), self.split.clone(), self.status.clone());
        let (derived, passed_over) = (self.derived.clone(), self.passed_over);
        let (specs, kept) = (self.specs.clone(), self.kept.clone());
        move || {
            let file = File::open(&path)?;
            let (parts, arrays) = (RefCell::default(), RefCell::default());
            Ok(Dataset {
                path,
                prior,
                drawn_from,
                passed_over,
                file,
                opened,
                own,
                theta,
                derived,
                split,
                status,
                specs,
                kept,
                parts,
                arrays,
            })
        }
    }

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

    /// A field of some universes as f32, (rows, …) in C order and in the order of `rows`.
    pub fn read_f32(&self, field: &str, rows: &[usize]) -> Result<Vec<f32>> {
        self.read(field, rows)
    }

    /// A field of some universes as f64, (rows, …) in C order and in the order of `rows`.
    pub fn read_f64(&self, field: &str, rows: &[usize]) -> Result<Vec<f64>> {
        self.read(field, rows)
    }

    /// A field of one universe in its own type, or its list.
    pub fn read_data(&self, spec: &FieldSpec, row: usize) -> Result<Data> {
        self.parts_are_there(spec)?;
        let data = match spec.ragged {
            false => self.array(spec)?.read_rows(spec.dtype, row, 1)?,
            true => {
                let (start, rows) = self.ends(&spec.name, row)?;
                self.held(&format!("{}/data", spec.name))?.read_rows(spec.dtype, start, rows)?
            }
        };
        self.check(&spec.name, row, data.len(), &data)?;
        Ok(data)
    }

    /// The numbers of universes one after the other, in blocks that `put` takes together with the universes of each:
    /// `rows` ascend, and those that lie close together are read in one go.
    pub fn blocks(
        &self,
        spec: &FieldSpec,
        rows: &[usize],
        mut put: impl FnMut(&[usize], Data) -> Result<()>,
    ) -> Result<()> {
        self.parts_are_there(spec)?;
        let array = if spec.ragged { self.held(&format!("{}/data", spec.name))? } else { self.array(spec)? };
        // Where a universe begins along the first axis, and its length there, of so many numbers each.
        let place = |row: usize| if spec.ragged { self.ends(&spec.name, row) } else { Ok((row, 1)) };
        let size: usize = spec.shape[usize::from(spec.ragged)..].iter().product();
        let near = |first: usize, end: usize, next: usize, after: usize| {
            (next - end).saturating_mul(8 * size) <= GAP && (after - first).saturating_mul(8 * size) <= BLOCK
        };
        let mut left = rows;
        while let Some(&row) = left.first() {
            let (first, length) = place(row)?;
            let (mut end, mut places) = (first + length, vec![(first, length)]);
            for &row in &left[1..] {
                let (next, length) = place(row)?;
                if !near(first, end, next, next + length) {
                    break;
                }
                end = next + length;
                places.push((next, length));
            }
            let read = array.read_rows(spec.dtype, first, end - first)?;
            let (now, later) = left.split_at(places.len());
            let mut data = Data::fill(spec.dtype, 0);
            for (&row, (start, length)) in now.iter().zip(places) {
                let part = read.part((start - first) * size..(start - first + length) * size);
                self.check(&spec.name, row, part.len(), &part)?;
                data.append(part);
            }
            put(now, data)?;
            left = later;
        }
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

    /// The list of one universe (a ragged field) as f64, (rows, …) in C order.
    pub fn read_list(&self, field: &str, row: usize) -> Result<Vec<f64>> {
        let spec = self.spec(field)?;
        self.ends(field, row)?; // refuses what is no list
        Ok(f64::of(self.read_data(&spec, row)?))
    }

    /// An array of the file, opened once: a virtual one keeps its files open from their first row on, whatever takes
    /// their places, and HDF5 would read all of its mappings each time.
    fn held(&self, name: &str) -> Result<Rc<Array>> {
        if let Some(array) = self.arrays.borrow().get(name) {
            return Ok(array.clone());
        }
        let array = Rc::new(self.file.array(name)?);
        self.arrays.borrow_mut().insert(name.into(), array.clone());
        Ok(array)
    }

    /// A field's array, of the shape that its description says.
    fn array(&self, spec: &FieldSpec) -> Result<Rc<Array>> {
        let array = self.held(&spec.name)?;
        let shape = array.shape();
        if shape.first() != Some(&self.len()) || shape[1..] != spec.shape {
            return Err(damaged(&self.path, &spec.name, format!("has shape {shape:?}, not {:?} per row", spec.shape)));
        }
        Ok(array)
    }

    fn read<T: Real>(&self, field: &str, rows: &[usize]) -> Result<Vec<T>> {
        let spec = self.spec(field)?;
        if spec.ragged {
            let error = Error::input("is a list whose length differs between universes").file(&self.path).key(field);
            return Err(error.remedy("choose a field of a fixed shape"));
        }
        if let Some(&row) = rows.iter().find(|&&r| r >= self.len()) {
            return Err(Error::failed(format!("no row {row} of {}", self.len())).file(&self.path).key(field));
        }
        let read = || {
            self.parts_are_there(&spec)?;
            let array = self.array(&spec)?;
            let size: usize = spec.shape.iter().product();
            let mut all = room(rows.len().saturating_mul(size)).map_err(|e| e.file(&self.path).key(field))?;
            // Rows that follow one another are read in one go.
            let most = (BLOCK / (8 * size).max(1)).max(1);
            let mut at = 0;
            while at < rows.len() {
                let run = (1..most.min(rows.len() - at)).take_while(|&k| rows[at + k] == rows[at] + k).count() + 1;
                let data = array.read_rows(spec.dtype, rows[at], run)?;
                self.check(&spec.name, rows[at], size, &data)?;
                if size_of::<T>() == 4 {
                    self.holds(field, rows[at], size, &data)?;
                }
                all.extend(T::of(data));
                at += run;
            }
            Ok(all)
        };
        if self.own { read() } else { read().map_err(given) }
    }

    /// Refuses numbers that single precision cannot hold.
    fn holds(&self, field: &str, row: usize, size: usize, data: &Data) -> Result<()> {
        let Data::F64(values) = data else { return Ok(()) };
        match values.iter().position(|x| x.is_finite() && (*x as f32).is_infinite()) {
            None => Ok(()),
            Some(at) => Err(Error::input(format!(
                "row {} is beyond single precision, in which networks learn",
                row + at / size
            ))
            .file(&self.path)
            .key(field)
            .value(values[at])
            .remedy("give the data in other units, or their logarithm")),
        }
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
