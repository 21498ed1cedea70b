//! Draws in their HDF5 file.

use super::{Extras, Of, Samples};
use crate::error::{At, Error, Kind, Result};
use crate::io::hdf::{self, publish_alone};
use crate::io::identity::digest;
use crate::io::ours::replaceable;
use crate::prior::{DrawnFrom, Prior};
use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, File, Location};
use std::path::Path;

/// Version of the file's layout.
pub const FORMAT_VERSION: u64 = 1;

impl Samples {
    /// Writes the samples; the file appears when it is whole. `attributes` (provenance) go to the root.
    pub fn write(&self, path: &Path, attributes: &[(String, String)]) -> Result<()> {
        self.check().at(path)?;
        replaceable(path)?;
        let write = |file: &File| -> hdf5::Result<()> {
            file.new_attr::<u64>().create("format_version")?.write_scalar(&FORMAT_VERSION)?;
            for (name, value) in attributes.iter().filter(|(name, _)| name != "format_version") {
                file.new_attr::<VarLenUnicode>().create(name.as_str())?.write_scalar(&text(value))?;
            }
            let (n, d, p) = (self.len(), self.draws, self.dim());
            put(file, "index", &self.index, &[n], "design index of the universe")?;
            let theta = put(file, "theta", &self.theta, &[n, d, p], "draws from the posterior q(theta | x)")?;
            put(file, "ln_prob", &self.ln_prob, &[n, d], "ln q at the draws")?;
            let truth = put(file, "truth", &self.truth, &[n, p], "true parameters; NaN if unknown")?;
            put(file, "ln_prob_truth", &self.ln_prob_truth, &[n], "ln q at the truth; NaN if unknown")?;
            self.extras.write(file, n, p)?;
            write_prior(file, &self.prior)?;
            let drawn_from = text(self.extras.drawn_from.name());
            file.new_attr::<VarLenUnicode>().create("drawn_from")?.write_scalar(&drawn_from)?;
            names(&theta, &self.prior)?;
            names(&truth, &self.prior)?;
            if let Some(of) = &self.extras.of {
                let of = serde_json::to_string(of).map_err(|e| hdf5::Error::from(e.to_string()))?;
                file.new_attr::<VarLenUnicode>().create("of")?.write_scalar(&text(&of))?;
            }
            let sum = text(&contents(file)?);
            file.new_attr::<VarLenUnicode>().create(CHECKSUM)?.write_scalar(&sum)
        };
        publish_alone(path, |file| write(file.raw()).map_err(failed).at(path))
    }

    /// The digest of the draws in a file and of what they are of, as it was written.
    pub fn identity(path: &Path) -> Result<String> {
        let file = hdf::File::open(path).map_err(|e| unusable(e, path))?;
        file.text("", CHECKSUM)?.ok_or_else(|| unusable(Error::failed("it has no checksum"), path))
    }

    /// Reads what [`Samples::write`] wrote.
    pub fn read(path: &Path) -> Result<Samples> {
        if !path.exists() {
            let remedy = "run `polycosm infer` first: it writes the samples";
            return Err(Error::input("no such file of posterior samples").file(path).remedy(remedy));
        }
        let opened = hdf::File::open(path).map_err(|e| unusable(e, path))?;
        let file = opened.raw();
        let read = || -> hdf5::Result<(u64, Samples)> {
            let version = file.attr("format_version")?.read_scalar::<u64>()?;
            let theta = file.dataset("theta")?;
            let samples = Samples {
                prior: read_prior(file)?,
                index: file.dataset("index")?.read_raw()?,
                draws: theta.shape().get(1).copied().unwrap_or(0),
                theta: theta.read_raw()?,
                ln_prob: file.dataset("ln_prob")?.read_raw()?,
                truth: file.dataset("truth")?.read_raw()?,
                ln_prob_truth: file.dataset("ln_prob_truth")?.read_raw()?,
                extras: Extras::read(file)?,
            };
            Ok((version, samples))
        };
        let (version, samples) = read().map_err(|e| unusable(failed(e), path))?;
        if version > FORMAT_VERSION {
            let problem = format!("written by a newer polycosm (this one reads up to version {FORMAT_VERSION})");
            let error = Error::input(problem).file(path).key("format_version").value(version);
            return Err(error.remedy("update polycosm"));
        }
        let sum = opened.text("", CHECKSUM)?;
        if sum.is_some() && sum != contents(file).ok() {
            return Err(unusable(Error::failed("it is damaged, for its checksum does not match"), path));
        }
        samples.check().at(path)?;
        Ok(samples)
    }
}

/// Root attribute: the digest of what [`contents`] looks at.
const CHECKSUM: &str = "sha256";

/// Digest of all arrays, and of the attributes that say what they mean (not of those that say where the file comes from).
fn contents(file: &File) -> hdf5::Result<String> {
    let mut sums = String::new();
    let mut arrays = file.member_names()?;
    arrays.sort();
    for name in arrays {
        let array = file.dataset(&name)?;
        let bytes: Vec<u8> = array.read_raw::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect();
        sums += &format!("{name} {:?} {}\n", array.shape(), digest(&bytes));
    }
    for name in ["names", "latex", "prior_bounds", "drawn_from", "of"] {
        let Ok(attribute) = file.attr(name) else { continue };
        let value = match attribute.read_raw::<VarLenUnicode>() {
            Ok(texts) => format!("{texts:?}"),
            Err(_) => format!("{:?}", attribute.read_raw::<f64>()?),
        };
        sums += &format!("{name} {value}\n");
    }
    Ok(digest(sums.as_bytes()))
}

/// Draws are made by polycosm alone, and again.
fn unusable(e: Error, path: &Path) -> Error {
    let problem = format!("these draws cannot be used: {}", e.problem);
    Error { problem, kind: if e.kind == Kind::Io { e.kind } else { Kind::Failed }, remedy: None, ..e }
        .file(path)
        .remedy("remove this file and run `polycosm infer`, which draws again")
}

impl Extras {
    fn write(&self, file: &File, n: usize, p: usize) -> hdf5::Result<()> {
        let outside = "how far the input lies outside the training range, in widths of it; inf: a constant differs";
        let distance = "distance of the input from the training inputs over that of the farthest 1% of them";
        let spread = "sd of the ensemble members' posterior means over the posterior's sd; NaN: one member";
        let columns = [
            ("outside", &self.outside, vec![n], outside),
            ("distance", &self.distance, vec![n], distance),
            ("spread", &self.spread, vec![n, p], spread),
        ];
        for (name, values, shape, what) in columns.into_iter().filter(|c| !c.1.is_empty()) {
            put(file, name, values, &shape, what)?;
        }
        if !self.left_out.is_empty() {
            let what = "design indices without a posterior: their input cannot be used";
            put(file, "left_out", &self.left_out, &[self.left_out.len()], what)?;
        }
        Ok(())
    }

    fn read(file: &File) -> hdf5::Result<Extras> {
        fn optional<T: hdf5::H5Type>(file: &File, name: &str) -> hdf5::Result<Vec<T>> {
            if file.link_exists(name) { file.dataset(name)?.read_raw() } else { Ok(vec![]) }
        }
        Ok(Extras {
            outside: optional(file, "outside")?,
            distance: optional(file, "distance")?,
            spread: optional(file, "spread")?,
            left_out: optional(file, "left_out")?,
            of: read_of(file)?,
            drawn_from: read_drawn_from(file)?,
            ..Extras::default()
        })
    }
}

fn failed(e: hdf5::Error) -> Error {
    Error::failed(e.to_string())
}

/// HDF5 text ends at a NUL: a value that holds one is cut there.
fn text(s: &str) -> VarLenUnicode {
    s.split('\0').next().and_then(|s| s.parse().ok()).unwrap_or_default()
}

fn put<T: hdf5::H5Type>(file: &File, name: &str, data: &[T], shape: &[usize], what: &str) -> hdf5::Result<Dataset> {
    let dataset = file.new_dataset::<T>().shape(shape).create(name)?;
    dataset.write_raw(data)?;
    dataset.new_attr::<VarLenUnicode>().create("description")?.write_scalar(&text(what))?;
    Ok(dataset)
}

fn strings(at: &Location, name: &str, values: &[&str]) -> hdf5::Result<()> {
    let values: Vec<VarLenUnicode> = values.iter().map(|v| text(v)).collect();
    at.new_attr::<VarLenUnicode>().shape(values.len()).create(name)?.write_raw(&values)
}

fn names(at: &Location, prior: &Prior) -> hdf5::Result<()> {
    strings(at, "names", &prior.names())
}

fn write_prior(at: &Location, prior: &Prior) -> hdf5::Result<()> {
    names(at, prior)?;
    strings(at, "latex", &prior.parameters.iter().map(|p| p.latex.as_str()).collect::<Vec<_>>())?;
    let bounds: Vec<f64> = prior.parameters.iter().flat_map(|p| [p.min, p.max]).collect();
    at.new_attr::<f64>().shape((prior.len(), 2)).create("prior_bounds")?.write_raw(&bounds)?;
    at.new_attr::<VarLenUnicode>().create("prior_density")?.write_scalar(&text("uniform"))
}

fn read_prior(at: &Location) -> hdf5::Result<Prior> {
    let strings = |name: &str| at.attr(name)?.read_raw::<VarLenUnicode>();
    let bounds = at.attr("prior_bounds")?.read_raw::<f64>()?;
    let parameter = |((name, latex), b): ((VarLenUnicode, VarLenUnicode), &[f64])| crate::prior::Parameter {
        name: name.to_string(),
        latex: latex.to_string(),
        min: b[0],
        max: b[1],
    };
    let parameters = strings("names")?.into_iter().zip(strings("latex")?).zip(bounds.chunks_exact(2)).map(parameter);
    Prior::new(parameters.collect()).map_err(|e| hdf5::Error::from(e.to_string()))
}

fn read_of(at: &Location) -> hdf5::Result<Option<Of>> {
    let Ok(attribute) = at.attr("of") else { return Ok(None) };
    let text = attribute.read_scalar::<VarLenUnicode>()?;
    serde_json::from_str(&text).map(Some).map_err(|e| hdf5::Error::from(format!("attribute of: {e}")))
}

fn read_drawn_from(at: &Location) -> hdf5::Result<DrawnFrom> {
    let text = match at.attr("drawn_from") {
        Ok(attribute) => Some(attribute.read_scalar::<VarLenUnicode>()?),
        Err(_) => None,
    };
    Ok(DrawnFrom::named(text.as_deref()))
}
