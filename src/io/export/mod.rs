//! Datasets for other programs: no links to shards, chosen universes and fields. And where they may be written.

mod choice;
mod fits;
mod folder;
mod numbers;

pub use choice::{Choice, Cut};

use super::dataset::Dataset;
use super::field::{Data, FieldSpec};
use super::hdf::{self, File, Word, publish, remove_unfinished};
use super::made::Made;
use super::ours;
use super::points;
use super::prior;
use super::provenance::Provenance;
use super::simulation::{describe, write_axes};
use crate::comm::Comm;
use crate::error::{Error, Result};
use numbers::Number;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One HDF5 file
    Hdf5,
    /// A folder with a .npy file for each array, and dataset.json
    Numpy,
    /// A folder in Zarr's format 2, uncompressed
    Zarr,
    /// As numpy, but maps of the sphere as FITS files that healpy reads, one for each universe
    Fits,
}

impl Format {
    /// What an export of this name is called.
    pub fn file_name(self, name: &str) -> String {
        match self {
            Format::Hdf5 => format!("{name}.h5"),
            Format::Numpy => name.into(),
            Format::Zarr => format!("{name}.zarr"),
            Format::Fits => format!("{name}-fits"),
        }
    }

    /// Refuses a place for an export of `source` that holds anything but an earlier export: the source itself under
    /// whatever name, a campaign's index, what polycosm did not write.
    pub fn check_place(self, path: &Path, source: &Path) -> Result<()> {
        if self != Format::Hdf5 {
            return folder::check_place(path, self);
        }
        let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino())).ok();
        if identity(path).is_some_and(|id| identity(source) == Some(id)) {
            let error = Error::input(format!("{} is itself what is exported", path.display())).key("--to");
            return Err(error.remedy("choose another folder: --to DIR"));
        }
        match path.symlink_metadata() {
            // What is wrong with the folder is told when it is made.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            _ => ours::replaceable(path)?,
        }
        let command = File::open(path)?.text("", "command")?.unwrap_or_default();
        if command.split(' ').any(|word| word == "export") {
            log::info!("{} is an earlier export, which is replaced", path.display());
            return Ok(());
        }
        let error = Error::input("is the dataset of a campaign, which an export would replace").file(path).key("--to");
        Err(error.remedy("choose another folder: --to DIR"))
    }

    /// Serial: copies parameters, split, status, prior and the named fields (all with none named) of these universes
    /// to `path`, with the checksums that a dataset has. `rows` ascend and are finished. It appears when whole.
    pub fn write(
        self,
        alone: &Comm,
        (dataset, rows): (&Dataset, &[usize]),
        path: &Path,
        fields: &[String],
        by: &Provenance,
    ) -> Result<()> {
        let specs = chosen(dataset, fields)?;
        let (at, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        if self != Format::Hdf5 {
            return folder::publish(path, self, rows, |folder| {
                fill(folder, dataset, rows, &specs)?;
                folder.close(dataset, &specs, by)
            });
        }
        remove_unfinished(at, &name.to_string_lossy())?;
        publish(alone, path, |file: &File| {
            by.write(file)?;
            fill(file, dataset, rows, &specs)?;
            prior::write(file, &dataset.prior, dataset.drawn_from)?;
            prior::write_derived(file, &dataset.prior, "derived")?;
            file.set_texts("split", "values", &SPLIT)?;
            file.set_texts("status", "values", &STATUS)?;
            file.set_json("", "fields", &specs)
        })
    }
}

/// What the numbers of `split` mean.
const SPLIT: [&str; 3] = ["train", "validation", "test"];
/// What those of `status` do.
const STATUS: [&str; 2] = ["finished", "failed"];

/// Serial: the named fields (all with none named), and one universe of each, which tells whether they can be read.
pub fn chosen(dataset: &Dataset, fields: &[String]) -> Result<Vec<FieldSpec>> {
    let all = dataset.specs();
    let named = |name: &String| {
        all.iter().find(|spec| spec.name == name.trim_matches('/')).cloned().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
            let error = Error::input("is no field of this dataset").file(&dataset.path).key("--field").value(name);
            error.remedy(match names.is_empty() {
                true => "it has none: leave --field out".into(),
                false => format!("choose from {}", names.join(", ")),
            })
        })
    };
    let named: Vec<FieldSpec> = fields.iter().map(named).collect::<Result<_>>()?;
    let specs = if fields.is_empty() { all } else { named };
    if let Some(row) = dataset.status().iter().position(|&s| s == 0) {
        specs.iter().try_for_each(|spec| dataset.read_data(spec, row).map(drop))?;
    }
    Ok(specs)
}

/// Where arrays are written, by their names in HDF5.
trait Store {
    /// An array that is being written.
    type Array;
    /// A small one, whole.
    fn whole<T: Number>(&self, name: &str, shape: &[usize], data: &[T]) -> Result<()>;
    /// A large one: of a field, `stacked` where its first axis counts universes.
    fn begin(&self, name: &str, shape: &[usize], spec: &FieldSpec, stacked: bool) -> Result<Self::Array>;
    /// The next rows of its first axis.
    fn append(&self, array: &mut Self::Array, data: &Data) -> Result<()>;
    /// After the last.
    fn end(&self, array: Self::Array) -> Result<()>;
    /// Numbers that an array has as attributes.
    fn note(&self, name: &str, numbers: &[(&str, &[f64])]) -> Result<()>;
    /// The unit of an array that is no field.
    fn unit(&self, name: &str, unit: &str) -> Result<()>;
    /// The axes of a field.
    fn axes(&self, spec: &FieldSpec) -> Result<()>;
}

/// With the row that comes next.
impl Store for File {
    type Array = (hdf::Array, usize);

    fn whole<T: Number>(&self, name: &str, shape: &[usize], data: &[T]) -> Result<()> {
        self.write_checked(None, name, shape, data)
    }
    fn begin(&self, name: &str, shape: &[usize], spec: &FieldSpec, stacked: bool) -> Result<Self::Array> {
        let array = self.create_array_of(spec.dtype, name, shape)?;
        describe(self, name, spec, stacked)?;
        Ok((array, 0))
    }
    fn append(&self, (array, at): &mut Self::Array, data: &Data) -> Result<()> {
        let rows = data.len() / array.shape()[1..].iter().product::<usize>().max(1);
        array.write_rows(*at, rows, data)?;
        *at += rows;
        Ok(())
    }
    fn end(&self, _: Self::Array) -> Result<()> {
        Ok(())
    }
    fn note(&self, name: &str, numbers: &[(&str, &[f64])]) -> Result<()> {
        numbers.iter().try_for_each(|(attribute, values)| self.set_numbers(name, attribute, values))
    }
    fn unit(&self, name: &str, unit: &str) -> Result<()> {
        self.set_text(name, "units", unit)
    }
    fn axes(&self, spec: &FieldSpec) -> Result<()> {
        write_axes(self, None, spec)
    }
}

/// Copies these universes of a dataset.
fn fill<S: Store>(store: &S, dataset: &Dataset, rows: &[usize], specs: &[FieldSpec]) -> Result<()> {
    let n = rows.len();
    store.whole("theta", &[n, dataset.prior.len()], &dataset.thetas(rows))?;
    let d = dataset.prior.derived.len();
    if d > 0 {
        let derived: Vec<f64> = rows.iter().flat_map(|r| &dataset.derived()[r * d..(r + 1) * d]).copied().collect();
        store.whole("derived", &[n, d], &derived)?;
    }
    store.whole("split", &[n], &rows.iter().map(|&r| dataset.split()[r] as u8).collect::<Vec<_>>())?;
    store.whole("index", &[n], &rows.iter().map(|&r| r as u64).collect::<Vec<_>>())?;
    store.whole("status", &[n], &vec![0u8; n])?;
    let (point, stencil) = points::of(&dataset.thetas(rows), dataset.prior.len(), dataset.drawn_from);
    store.whole("design/point", &[n], &point)?;
    if let Some(stencil) = stencil {
        store.whole("design/step", &[n], &stencil.step)?;
        store.note("design/step", &[("fiducial", &stencil.fiducial), ("steps", &stencil.steps)])?;
    }
    for name in ["realisation", "universe", "item"] {
        let Some(all) = dataset.beside(name)? else { continue };
        store.whole(name, &[n], &rows.iter().map(|&r| all[r]).collect::<Vec<_>>())?;
    }
    let made = dataset.made()?;
    if !made.is_empty() {
        let made: Vec<&Made> = rows.iter().map(|&r| &made[r]).collect();
        let words = |text: fn(&Made) -> &str| made.iter().map(|made| Word::of(text(made))).collect::<Vec<_>>();
        store.whole("provenance/node", &[n], &words(|made| &made.node))?;
        store.whole("provenance/job", &[n], &words(|made| &made.job))?;
        store.whole("provenance/seconds", &[n], &made.iter().map(|made| made.seconds).collect::<Vec<_>>())?;
        store.whole("provenance/memory", &[n], &made.iter().map(|made| made.memory).collect::<Vec<_>>())?;
        store.whole("provenance/finished", &[n], &made.iter().map(|made| made.finished).collect::<Vec<_>>())?;
        Made::UNITS.iter().try_for_each(|(name, unit)| store.unit(name, unit))?;
    }
    for spec in specs {
        // A list's universes lie one after the other.
        let ends = if spec.ragged { Some(dataset.offsets(&spec.name)?) } else { None };
        let size: usize = spec.shape[usize::from(spec.ragged)..].iter().product();
        let length = |row: usize| ends.as_ref().map_or(1, |ends| (ends[row + 1] - ends[row]) as usize);
        let (mut sums, mut offsets) = (vec![], vec![0u64]);
        rows.iter().for_each(|&row| offsets.push(offsets[offsets.len() - 1] + length(row) as u64));
        let first = offsets[n] as usize;
        let (name, shape) = match spec.ragged {
            true => (format!("{}/data", spec.name), [&[first], &spec.shape[1..]].concat()),
            false => (spec.name.clone(), [&[first], &spec.shape[..]].concat()),
        };
        let mut array = store.begin(&name, &shape, spec, !spec.ragged)?;
        dataset.blocks(spec, rows, |block, data| {
            let (bytes, mut at) = (data.bytes().len() / data.len().max(1), 0);
            for &row in block {
                let end = at + length(row) * size * bytes;
                sums.push(crc32fast::hash(&data.bytes()[at..end]));
                at = end;
            }
            store.append(&mut array, &data)
        })?;
        store.end(array)?;
        if spec.ragged {
            store.whole(&format!("{}/offsets", spec.name), &[offsets.len()], &offsets)?;
        }
        store.whole(&format!("checksum/{}", spec.name), &[n], &sums)?;
        store.axes(spec)?;
    }
    Ok(())
}
