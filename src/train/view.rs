//! `[train.data]`: how a stage sees its samples.

use super::StageConfig;
use super::change::{Change, Mask, Noise};
use super::pieces::{Pieces, PiecesConfig};
use super::symmetry::{Average, Symmetries, Symmetry};
use crate::bytes::Bytes;
use crate::error::{Error, Result, suggestion};
use crate::io::field::{AxisKind, Dtype, FieldSpec};
use crate::io::identity::digest_again;
use crate::io::mask;
use crate::limits;
use crate::list::OneOrMany;
use crate::models::Estimand;
use crate::observables::lensing::ShapeNoise;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tch::Tensor;

/// `[train.data]`: pieces, symmetries, noise and masks of what a stage sees, and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Samples are pieces of universes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<PiecesConfig>,
    /// What a universe of equal likelihood is made by, at random in training: `"shift"` along periodic axes, `"turn"`
    /// (quarters of a square, the 24 rotations of a cube), `"flip"` (a mirror), `"slabs"` (the slabs of a box shifted and
    /// their order reversed).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symmetries: Vec<Symmetry>,
    /// Once trained, the stage looks at so many views of each sample, moved by `symmetries`: what it makes is their mean,
    /// and its posterior the mixture of theirs. Refused beside `masks`, and where what it makes lies in space.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "one view"))]
    pub average: Option<usize>,
    /// Noise that is added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<NoiseConfig>,
    /// What is not seen, after all noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<MaskConfig>,
    /// Bytes of samples that each rank holds at a time, as in `"4 GB"`: where there are more, a thread reads ahead what is
    /// needed. What is learned is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "half of what is free, shared by a node's ranks"))]
    pub memory: Option<Bytes>,
    /// Samples that follow one another in the file and are shuffled as one, 16 such runs being mixed with each other: for
    /// disks that are slow at reading here and there.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(extend("x-default" = "1"))]
    pub run: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        let (pieces, symmetries, average, noise, masks) = Default::default();
        DataConfig { pieces, symmetries, average, noise, masks, memory: None, run: 1 }
    }
}

fn is_one(n: &usize) -> bool {
    *n == 1
}

/// `[[train.data.noise]]`: Gaussian, independent in every number; one of `sigma`, `instance` and `sigma_e` says how much.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// The input or target that it is added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the stage's input"))]
    pub field: Option<String>,
    /// Its rms in the field's unit, or one for each channel (bin, column).
    #[serde(skip_serializing_if = "none")]
    pub sigma: OneOrMany<f64>,
    /// The same in training alone, in the field's unit, falling to zero over the epochs of each phase: instance noise for
    /// adversarial networks (Sønderby et al. 2017), which are models of your own. Neither copies nor frozen networks have
    /// any.
    #[serde(skip_serializing_if = "none")]
    pub instance: OneOrMany<f64>,
    /// Shape noise of convergence or shear: rms of the intrinsic ellipticity |e|, both components together. A pixel of area A
    /// has the variance sigma_e²/(2 n_gal A) (van Waerbeke 2000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_e: Option<f64>,
    /// Galaxies of it, or of each channel.
    #[serde(skip_serializing_if = "none")]
    #[schemars(extend("x-unit" = "arcmin⁻²"))]
    pub n_gal: OneOrMany<f64>,
    /// Side of a pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "arcmin", "x-default" = "as the axes tell"))]
    pub pixel: Option<f64>,
}

/// `[[train.data.masks]]`: what is not seen, in training, tests and observations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// The input or target that it hides a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "the stage's input"))]
    pub field: Option<String>,
    /// HDF5 file with an array `mask` of numbers from 0 (masked) to 1 for the field's last axes.
    #[schemars(extend("x-type" = "path"))]
    pub file: PathBuf,
    /// Value of what is masked.
    #[serde(default)]
    pub fill: f64,
    /// Digest of the file in records of stages, which do not depend on where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub sha256: Option<String>,
}

fn none(numbers: &OneOrMany<f64>) -> bool {
    numbers.is_empty()
}

impl DataConfig {
    /// Samples are seen as they are.
    pub fn is_plain(&self) -> bool {
        DataConfig { memory: None, run: 1, ..self.clone() }.is_default()
    }

    /// Nothing is said.
    pub fn is_default(&self) -> bool {
        *self == DataConfig::default()
    }

    /// The same with the digests of its files, and without what weights do not depend on.
    pub(super) fn recorded(&self) -> DataConfig {
        let mut data = DataConfig { average: None, memory: None, ..self.clone() };
        data.masks.iter_mut().for_each(|mask| mask.sha256 = digest_again(&mask.file).ok());
        data
    }

    /// What samples depend on: masks are known by their content.
    pub(super) fn normal(mut self) -> DataConfig {
        self.masks.iter_mut().filter(|mask| mask.sha256.is_some()).for_each(|mask| mask.file = PathBuf::new());
        self
    }
}

/// One stage with its columns, each by its name in a batch.
struct Seen<'a> {
    stage: &'a StageConfig,
    columns: &'a [FieldSpec],
    pieces: Option<&'a Pieces>,
}

impl Seen<'_> {
    fn key(&self, key: &str) -> String {
        format!("train.{}.{key}", self.stage.name)
    }

    /// What a column is called in the campaign.
    fn field<'a>(&'a self, column: &'a str) -> &'a str {
        let alone = |names: &'a [String]| names.first().map_or(column, String::as_str);
        match column {
            "x" if self.stage.input.len() == 1 => alone(&self.stage.input),
            "target" if self.stage.target.len() == 1 => alone(&self.stage.target),
            name => name,
        }
    }

    /// The column that a part of the section is about.
    fn column(&self, part: &str, field: &Option<String>) -> Result<&FieldSpec> {
        let names: Vec<&str> = self.columns.iter().map(|c| self.field(&c.name)).collect();
        let error = |problem: &str| Error::input(problem).key(self.key(&format!("data.{part}.field")));
        let found = match (field, self.columns) {
            (None, [only, ..]) if self.stage.input.len() == 1 => Ok(only),
            (None, _) => Err(error("is missing").remedy(format!("choose one of {}", names.join(", ")))),
            (Some(field), columns) => columns.iter().find(|c| self.field(&c.name) == field).ok_or_else(|| {
                error("the stage has no such column").value(field).remedy(suggestion(field, &names, "leave it out"))
            }),
        }?;
        match found.ragged {
            true => Err(error("is a list").value(self.field(&found.name)).remedy("choose a field of a fixed shape")),
            false => Ok(found),
        }
    }

    fn symmetries(&self) -> Result<Option<Symmetries>> {
        let config = &self.stage.data;
        if self.stage.augment {
            if !config.symmetries.is_empty() {
                let error = Error::input("symmetries are asked for in two ways").key(self.key("augment")).value(true);
                return Err(error.remedy("leave it out: it is the same as \"shift\", \"turn\" and \"flip\""));
            }
            return self.augmented("augment", "true").map(Some);
        }
        if config.symmetries.is_empty() {
            return Ok(None);
        }
        let named: Vec<FieldSpec> =
            self.columns.iter().map(|c| FieldSpec { name: self.field(&c.name).into(), ..c.clone() }).collect();
        let columns: Vec<(&str, &FieldSpec)> = self.columns.iter().map(|c| c.name.as_str()).zip(&named).collect();
        Symmetries::new(&config.symmetries, &columns).map(Some).map_err(|e| e.key(self.key("data.symmetries")))
    }

    /// The symmetries by which so many views differ once the stage is trained.
    fn average(&self) -> Result<Option<Average>> {
        let Some(views) = self.stage.data.average else { return Ok(None) };
        let key = || self.key("data.average");
        let refuse = |problem: &str, remedy: &str| Err(Error::input(problem).key(key()).value(views).remedy(remedy));
        if views < 2 {
            return refuse("must be at least 2", "leave it out for one view");
        }
        limits::at_most(key(), views, limits::VIEWS)?;
        if !self.stage.data.masks.is_empty() {
            return refuse("a mask stays where it is, and views are moved", "leave out `average`, or `masks`");
        }
        if !matches!(self.stage.network.density(), None | Some(Estimand::Posterior)) {
            let problem = "its density is known up to a factor, which may be another for each view";
            return refuse(problem, "leave it out: posteriors and summaries can be averaged");
        }
        match self.symmetries()? {
            Some(symmetries) => Ok(Some(Average { symmetries, views })),
            None => refuse("views differ by symmetries, of which there are none", "say which: `symmetries`"),
        }
    }

    /// What `augment` (or `copies`, of a stage that says no more) means, for maps of a periodic box.
    fn augmented(&self, key: &str, value: &str) -> Result<Symmetries> {
        let refuse =
            |problem: String, remedy: &str| Err(Error::input(problem).key(self.key(key)).shown(value).remedy(remedy));
        let periodic = |spec: &&FieldSpec| {
            spec.picture().is_some_and(|p| p.periodic) && spec.axes.iter().all(|axis| axis.spins.is_empty())
        };
        let Some(spec) = self.columns[..self.stage.input.len()].iter().find(|spec| !periodic(spec)) else {
            return Symmetries::of_maps(self.columns.iter().filter(periodic));
        };
        let kinds = spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let field = self.field(&spec.name);
        let remedy = match spec.axes.iter().any(|axis| axis.kind.is_unsaid()) {
            true => {
                "leave it out, or say in [dataset.axes] that these are maps of a whole box: their last two axes are \
                 \"periodic\""
            }
            false => "leave it out, and say in [train.data] which symmetries they have",
        };
        let of = "are not those of maps of a periodic box, which alone can be shifted and turned";
        refuse(format!("the axes of {field} ({kinds}) {of}"), remedy)
    }

    fn noise(&self, i: usize, config: &NoiseConfig) -> Result<Noise> {
        let part = format!("noise.{i}");
        let key = |key: &str| self.key(&format!("data.{part}.{key}"));
        let spec = self.column(&part, &config.field)?;
        let field = self.field(&spec.name);
        let given = [!config.sigma.is_empty(), !config.instance.is_empty(), config.sigma_e.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            let error = Error::input("one of sigma, instance and sigma_e says how much there is").key(key("sigma"));
            return Err(error.remedy("give one of them"));
        }
        let shapes = [("n_gal", !config.n_gal.is_empty()), ("pixel", config.pixel.is_some())];
        if let Some((name, _)) = shapes.iter().find(|(_, given)| *given && config.sigma_e.is_none()) {
            return Err(Error::input("belongs to shape noise").key(key(name)).remedy("give sigma_e, or leave it out"));
        }
        let mut numbers = [("sigma", &config.sigma), ("instance", &config.instance), ("n_gal", &config.n_gal)];
        numbers.sort_by_key(|(_, numbers)| numbers.is_empty());
        let (name, each) = numbers[0];
        if config.sigma_e.is_some() && each.is_empty() {
            let error = Error::input("is missing: shape noise is of so many galaxies").key(key("n_gal"));
            return Err(error.remedy("give the galaxies per square arcminute"));
        }
        let positive = each.iter().map(|x| (name, x));
        let positive = positive.chain(config.sigma_e.iter().map(|x| ("sigma_e", x)));
        for (name, x) in positive.chain(config.pixel.iter().map(|x| ("pixel", x))) {
            if !(*x > 0.0 && x.is_finite()) {
                return Err(Error::input("must be positive").key(key(name)).value(x).remedy("leave it out for none"));
            }
        }
        let along = |axis: usize, values: Vec<f64>| {
            let mut shape = vec![1i64; spec.shape.len()];
            shape.iter_mut().skip(axis).take(1).for_each(|n| *n = values.len() as i64);
            Tensor::from_slice(&values).view(shape.as_slice())
        };
        let values = match config.sigma_e {
            None => each.to_vec(),
            Some(sigma_e) => {
                let pixel = config.pixel.map_or_else(|| side(spec), Some).ok_or_else(|| {
                    let error = Error::input(format!("is missing: the axes of {field} do not tell it"));
                    error.key(key("pixel")).remedy("give the side of a pixel in arcminutes")
                })?;
                let radians = (pixel / 60.0).to_radians();
                each.iter().map(|&n_gal| ShapeNoise { sigma_e, n_gal }.per_pixel(radians)).collect()
            }
        };
        // Of components on the sky those of spin 0 are no ellipticities.
        let spins = spec.axes.iter().position(|axis| !axis.spins.is_empty() && config.sigma_e.is_some());
        let seen =
            spins.map(|axis| along(axis, spec.axes[axis].spins.iter().map(|s| (*s == 2) as u8 as f64).collect()));
        let rms = match values.len() {
            1 => along(0, values),
            n => {
                let axis = spec.axes.iter().position(|axis| axis.kind != AxisKind::View && axis.spins.is_empty());
                let axis = axis.filter(|&a| !spec.axes[a].kind.is_spatial() && spec.axes[a].kind != AxisKind::Slab);
                let has = axis.map_or(0, |a| spec.shape[a]);
                // The summaries of a stage are not counted yet when a campaign is checked.
                if axis.is_none() || has != n && !spec.shape.contains(&0) {
                    let (problem, remedy) = match axis {
                        Some(_) => {
                            (format!("has {n} numbers, and {field} {has} channels"), "give one number, or one for each")
                        }
                        None => {
                            let kinds = spec.kinds().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                            let why = format!("is a list, and {field} ({kinds}) has no channels, bins or columns");
                            (why, "give one number: views, slabs and what lies in space have the same noise throughout")
                        }
                    };
                    return Err(Error::input(problem).key(key(name)).shown(format!("{:?}", &each[..])).remedy(remedy));
                }
                along(axis.unwrap_or(0), values)
            }
        };
        let rms = if let Some(seen) = seen { rms * seen } else { rms };
        let before = self.stage.data.noise[..i].iter().filter(|other| other.field == config.field).count();
        let purpose = format!("noise {before} of {field}");
        let fades = !config.instance.is_empty();
        Ok(Noise { column: spec.name.clone(), purpose, own_seed: self.stage.seed, rms, fades })
    }

    fn mask(&self, i: usize, config: &MaskConfig) -> Result<Mask> {
        let part = format!("masks.{i}");
        let spec = self.column(&part, &config.field)?;
        let refuse = |key: &str, value: String, problem: String, remedy: &str| {
            Error::input(problem).key(self.key(&format!("data.{part}.{key}"))).shown(value).remedy(remedy)
        };
        if !config.fill.is_finite() {
            return Err(refuse("fill", config.fill.to_string(), "must be a finite number".into(), "0.0 is usual"));
        }
        if let Some(digest) = &config.sha256 {
            let remedy = "leave it out";
            return Err(refuse("sha256", digest.clone(), "is for records alone".into(), remedy));
        }
        let read = mask::read(&config.file);
        let (shape, mask) = read.map_err(|e| e.key(self.key(&format!("data.{part}.file"))))?;
        let field = self.field(&spec.name);
        // A field's mask is cut as it is.
        let (cut, of) = self.pieces.and_then(|p| p.whole(field)).map_or((None, spec), |(cut, of)| (Some(cut), of));
        let space = spec.kinds().iter().filter(|kind| kind.is_spatial()).count();
        if shape.len() < space.max(1) || !of.shape.ends_with(&shape) {
            let problem = format!("its array `mask` has shape {shape:?}, and {field} {:?}", of.shape);
            let last = of.shape.len().saturating_sub(space.max(1));
            let fit: Vec<String> = (0..=last).rev().map(|axis| format!("{:?}", &of.shape[axis..])).collect();
            let remedy = format!("give a mask of the field's last axes: {}", fit.join(" or "));
            return Err(refuse("file", format!("{:?}", config.file), problem, &remedy));
        }
        let hidden: Vec<bool> = mask.iter().map(|m| *m == 0.0).collect();
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let mut hidden = Tensor::from_slice(&hidden).view(shape.as_slice());
        if cut.is_some() {
            let whole: Vec<i64> = std::iter::once(1).chain(of.shape.iter().map(|&n| n as i64)).collect();
            hidden = hidden.expand(whole.as_slice(), false);
        }
        Ok(Mask { column: spec.name.clone(), hidden, cut, fill: config.fill })
    }
}

/// Side of a map's square pixels in arcminutes, where its axes tell: by their coordinates, or as pixels of the sphere.
fn side(spec: &FieldSpec) -> Option<f64> {
    let axis = spec.axes.last()?;
    if let AxisKind::Healpix { nside, .. } | AxisKind::Footprint { nside, .. } = axis.kind {
        return Some((4.0 * std::f64::consts::PI / (12.0 * (nside as f64).powi(2))).sqrt().to_degrees() * 60.0);
    }
    let unit = match axis.unit.as_str() {
        "arcmin" => 1.0,
        "deg" => 60.0,
        "rad" => 1f64.to_degrees() * 60.0,
        _ => return None,
    };
    let [first, .., last] = axis.values[..] else { return None };
    Some((last - first).abs() / (axis.values.len() - 1) as f64 * unit)
}

/// What a stage does to its samples, in order: symmetries, noise, masks. `columns`: what they are, by their names in a batch.
pub fn changes(stage: &StageConfig, columns: &[FieldSpec]) -> Result<Vec<Box<dyn Change>>> {
    changes_of(stage, columns, None)
}

/// The same for columns that are cut into pieces.
pub fn changes_of(stage: &StageConfig, columns: &[FieldSpec], pieces: Option<&Pieces>) -> Result<Vec<Box<dyn Change>>> {
    let seen = Seen { stage, columns, pieces };
    let mut all: Vec<Box<dyn Change>> = vec![];
    if let Some(symmetries) = seen.symmetries()? {
        all.push(Box::new(symmetries));
    }
    seen.average()?;
    for (i, config) in stage.data.noise.iter().enumerate() {
        all.push(Box::new(seen.noise(i, config)?));
    }
    for (i, config) in stage.data.masks.iter().enumerate() {
        all.push(Box::new(seen.mask(i, config)?));
    }
    Ok(all)
}

/// Over how many views a trained stage averages, and how they differ; `made`: what its model makes.
pub fn average(stage: &StageConfig, columns: &[FieldSpec], made: &[FieldSpec]) -> Result<Option<Average>> {
    let average = Seen { stage, columns, pieces: None }.average()?;
    let fixed = |spec: &&FieldSpec| {
        let lies = |kind: &AxisKind| kind.is_spatial() || *kind == AxisKind::Slab;
        spec.dtype == Dtype::I64 || spec.kinds().iter().any(lies)
    };
    match (&average, made.iter().find(fixed)) {
        (Some(average), Some(spec)) => {
            let problem = format!("its {} cannot be averaged over views: it lies in space, or counts", spec.name);
            let error = Error::input(problem).key(format!("train.{}.data.average", stage.name));
            Err(error.value(average.views).remedy("leave it out"))
        }
        _ => Ok(average),
    }
}

/// What makes copies of a stage's samples differ: what it does to them, or, where it says nothing, the symmetries of
/// maps of a periodic box.
pub fn copies(stage: &StageConfig, columns: &[FieldSpec]) -> Result<Vec<Box<dyn Change>>> {
    if stage.augment || !stage.data.is_plain() {
        return changes(stage, columns);
    }
    Ok(vec![Box::new(Seen { stage, columns, pieces: None }.augmented("augment", "true")?)])
}
