//! Exports that are folders: `.npy` files, beside them FITS files, or Zarr's format 2 (<https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html>).
//! One JSON in each says what and whose it is: `dataset.json`, or the attributes of Zarr's root, `.zattrs`.

use super::numbers::{Growing, Number, chunk_rows, code, descr};
use super::{Format, SPLIT, STATUS, Store, fits};
use crate::error::{At, Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::{Axis, AxisKind, Data, FieldSpec};
use crate::io::hdf::{is_unfinished, named};
use crate::io::provenance::{FORMAT_VERSION, PROGRAM, Provenance};
use crate::io::simulation::{Points, points};
use crate::io::text;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// One that is being written.
pub struct Folder {
    path: PathBuf,
    format: Format,
    /// Rows of the design that are exported.
    universes: Vec<usize>,
    /// Shapes and types of its arrays, by name.
    arrays: RefCell<BTreeMap<String, Value>>,
}

/// The file that says what an export is.
fn who(format: Format) -> &'static str {
    if format == Format::Zarr { ".zattrs" } else { "dataset.json" }
}

/// Refuses a folder that holds anything but an export of this format.
pub fn check_place(path: &Path, format: Format) -> Result<()> {
    let refuse = |path: &Path, problem: &str| {
        let error = Error::input(format!("{problem}: it is not replaced")).file(path).key("--to");
        Err(error.remedy("move it elsewhere or remove it, or choose another folder: --to DIR"))
    };
    match path.symlink_metadata() {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Ok(about) if about.is_dir() => {}
        _ => return refuse(path, "is there, and is no folder"),
    }
    let mut files = vec![];
    list(path, Path::new(""), &mut files)?;
    if files.is_empty() {
        return Ok(());
    }
    let told = text::read(&path.join(who(format))).ok().flatten().and_then(|t| serde_json::from_str::<Value>(&t).ok());
    let told = told.filter(|told| told["version"].as_str().is_some_and(|by| by.starts_with(PROGRAM)));
    let Some(arrays) = told.as_ref().and_then(|told| told["arrays"].as_object()) else {
        return refuse(path, "is there, and is no export in this format by polycosm");
    };
    match files.iter().find(|file| !belongs(file, format, arrays)) {
        Some(other) => refuse(&path.join(other), "is no file of the export that it lies in"),
        None => {
            log::info!("{} is an earlier export, which is replaced", path.display());
            Ok(())
        }
    }
}

/// All files below a folder, and what else is no folder.
fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    for entry in std::fs::read_dir(&folder).at(&folder)? {
        let entry = entry.at(&folder)?;
        let name = below.join(entry.file_name());
        match entry.file_type().at(&folder)?.is_dir() {
            true => list(root, &name, files)?,
            false => files.push(name),
        }
    }
    Ok(())
}

/// True for a file that an export with these arrays has.
fn belongs(file: &Path, format: Format, arrays: &Map<String, Value>) -> bool {
    let (Some(name), Some(parent)) =
        (file.file_name().and_then(|n| n.to_str()), file.parent().and_then(|p| p.to_str()))
    else {
        return false;
    };
    let array = |name: &str| arrays.contains_key(name);
    let group = || parent.is_empty() || arrays.keys().any(|a| a.starts_with(&format!("{parent}/")));
    match format {
        _ if parent.is_empty() && name == who(format) => true,
        Format::Zarr if array(parent) => {
            [".zarray", ".zattrs"].contains(&name) || name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        }
        Format::Zarr => name == ".zgroup" && group(),
        Format::Fits if name.ends_with(".fits") => array(parent),
        _ => file.to_str().and_then(|file| file.strip_suffix(".npy")).is_some_and(array),
    }
}

/// Writes a folder under a temporary name, and puts it in the place of an earlier one when it is on the disk.
pub fn publish(
    path: &Path,
    format: Format,
    universes: &[usize],
    write: impl FnOnce(&Folder) -> Result<()>,
) -> Result<()> {
    let at = path.parent().unwrap_or(Path::new(""));
    let start = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for entry in std::fs::read_dir(at).at(at)?.flatten() {
        let own = is_unfinished(&entry.file_name().to_string_lossy(), &start);
        if own && entry.file_type().is_ok_and(|t| t.is_dir()) {
            std::fs::remove_dir_all(entry.path()).at(entry.path())?;
        }
    }
    let id = std::process::id();
    let (new, old) = (named(path, id), named(&at.join(format!("{start}.old")), id));
    let replace = || {
        std::fs::create_dir(&new).at(&new)?;
        write(&Folder { path: new.clone(), format, universes: universes.to_vec(), arrays: RefCell::default() })?;
        let disk = std::fs::File::open(&new).at(&new)?;
        rustix::fs::syncfs(&disk).map_err(std::io::Error::from).at(&new)?;
        if path.exists() {
            std::fs::rename(path, &old).at(path)?;
        }
        std::fs::rename(&new, path).at(path).inspect_err(|_| _ = std::fs::rename(&old, path))?;
        if old.exists() { std::fs::remove_dir_all(&old).at(&old) } else { Ok(()) }
    };
    replace().inspect_err(|_| _ = std::fs::remove_dir_all(&new))
}

impl Folder {
    /// The path of an array, for which folders are made.
    fn make(&self, name: &str, array: Value) -> Result<PathBuf> {
        if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_))) {
            let error = Error::input("is no name for a file").key("--field").value(name);
            return Err(error.remedy("choose other fields, or --format hdf5"));
        }
        self.arrays.borrow_mut().insert(name.into(), array.clone());
        let path = self.path.join(name);
        let groups = if self.format == Format::Zarr { &path } else { path.parent().unwrap_or(&path) };
        std::fs::create_dir_all(groups).at(groups)?;
        if self.format != Format::Zarr {
            return Ok(self.path.join(format!("{name}.npy")));
        }
        for group in path.ancestors().skip(1).take_while(|group| group.starts_with(&self.path)) {
            put(&group.join(".zgroup"), &json!({ "zarr_format": 2 }))?;
        }
        put(&path.join(".zarray"), &array)?;
        Ok(path)
    }

    fn grow(&self, name: &str, code: &str, shape: &[usize]) -> Result<Growing> {
        let chunks = [&[chunk_rows(code, shape)], &shape[1..]].concat();
        let array = match self.format {
            Format::Zarr => json!({
                "zarr_format": 2, "shape": shape, "dtype": descr(code), "order": "C", "filters": null,
                // That of texts would be in Base64.
                "fill_value": if code.starts_with('S') { Value::Null } else { 0.into() },
                "chunks": chunks, "compressor": null,
            }),
            _ => json!({ "shape": shape, "dtype": descr(code) }),
        };
        let path = self.make(name, array)?;
        match self.format {
            Format::Zarr => Ok(Growing::chunks(&path, code, shape)),
            _ => Growing::npy(path, code, shape),
        }
    }

    /// Attributes of an array; NumPy's files have none, and `dataset.json` says all.
    fn attributes(&self, name: &str, attributes: Value) -> Result<()> {
        match self.format {
            Format::Zarr => put(&self.path.join(name).join(".zattrs"), &attributes),
            _ => Ok(()),
        }
    }

    /// What the whole is.
    pub fn close(&self, dataset: &Dataset, specs: &[FieldSpec], by: &Provenance) -> Result<()> {
        let mut about: Map<String, Value> = by.pairs().into_iter().map(|(name, text)| (name, text.into())).collect();
        let value = |value: serde_json::Result<Value>| {
            value.map_err(|e| Error::failed(format!("no JSON: {e}")).file(&self.path).key("dataset.json"))
        };
        about.insert("format_version".into(), FORMAT_VERSION.into());
        about.insert("parameters".into(), json!(dataset.prior.names()));
        about.insert("prior".into(), value(serde_json::to_value(&dataset.prior))?);
        if let Some(left) = &dataset.prior.accepted {
            about.insert("accepted".into(), json!([left.kept, left.of]));
        }
        if !dataset.prior.derived.is_empty() {
            about.insert("derived".into(), value(serde_json::to_value(&dataset.prior.derived))?);
        }
        about.insert("drawn_from".into(), dataset.drawn_from.name().into());
        about.insert("split".into(), json!(SPLIT));
        about.insert("status".into(), json!(STATUS));
        about.insert("fields".into(), value(serde_json::to_value(specs))?);
        about.insert("arrays".into(), json!(*self.arrays.borrow()));
        put(&self.path.join(who(self.format)), &about.into())
    }
}

impl Store for Folder {
    type Array = Growing;

    fn whole<T: Number>(&self, name: &str, shape: &[usize], data: &[T]) -> Result<()> {
        let mut array = self.grow(name, T::CODE, shape)?;
        array.append(bytemuck::cast_slice(data))?;
        array.end()
    }
    fn begin(&self, name: &str, shape: &[usize], spec: &FieldSpec, stacked: bool) -> Result<Growing> {
        if self.format == Format::Fits && fits::holds(spec) {
            self.make(name, json!({ "shape": shape, "dtype": descr(code(spec.dtype)) }))?;
            let folder = self.path.join(name);
            std::fs::create_dir_all(&folder).at(&folder)?;
            return Ok(Growing::Maps(fits::Maps::new(folder, spec, self.universes.clone())));
        }
        let array = self.grow(name, code(spec.dtype), shape)?;
        let first = stacked.then(|| Axis::new(AxisKind::Index, "simulation", ""));
        let axes: Vec<&Axis> = first.iter().chain(&spec.axes).collect();
        let mut about = json!({
            "units": spec.unit, "description": spec.description,
            "axes": axes.iter().map(|a| &a.name).collect::<Vec<_>>(),
            "axes_units": axes.iter().map(|a| &a.unit).collect::<Vec<_>>(),
            "axes_kinds": axes.iter().map(|a| a.kind.to_string()).collect::<Vec<_>>(),
        });
        for axis in spec.axes.iter().filter(|axis| !axis.labels.is_empty()) {
            about[&axis.name] = json!(axis.labels);
        }
        self.attributes(name, about)?;
        Ok(array)
    }
    fn append(&self, array: &mut Growing, data: &Data) -> Result<()> {
        array.append(data.bytes())
    }
    fn end(&self, array: Growing) -> Result<()> {
        array.end()
    }
    fn note(&self, name: &str, numbers: &[(&str, &[f64])]) -> Result<()> {
        self.attributes(name, numbers.iter().map(|(name, values)| (name.to_string(), json!(values))).collect())
    }
    fn unit(&self, name: &str, unit: &str) -> Result<()> {
        self.attributes(name, json!({ "units": unit }))
    }
    fn axes(&self, spec: &FieldSpec) -> Result<()> {
        points(spec).try_for_each(|(name, shape, numbers)| match numbers {
            Points::Counts(counts) => self.whole(&name, &shape, counts),
            Points::Pixels(pixels) => self.whole(&name, &shape, &pixels),
            Points::Values(values, unit) => {
                self.whole(&name, &shape, values)?;
                self.unit(&name, unit)
            }
        })
    }
}

fn put(path: &Path, value: &Value) -> Result<()> {
    std::fs::write(path, format!("{value:#}\n")).at(path)
}
