//! Posterior samples: draws, their densities and the truth they are judged against. HDF5, and GetDist chains on request.

use super::hdf::{publish_alone, publish_text, remove_unfinished};
use super::identity::{Identity, digest};
use super::ours::replaceable;
use crate::error::{At, Error, Kind, Result};
use crate::prior::{DrawnFrom, Prior};
use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, File, Location};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the file's layout.
pub const FORMAT_VERSION: u64 = 1;

/// Draws from the posteriors of `n` universes, `draws` each, over `p` parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Names, labels, bounds and density of the parameters.
    pub prior: Prior,
    /// Design index of every universe (n).
    pub index: Vec<u64>,
    /// Draws per universe.
    pub draws: usize,
    /// Draws (n, draws, p), row-major.
    pub theta: Vec<f64>,
    /// ln q(θ | x) at the draws (n, draws); NaN where the posterior has no density.
    pub ln_prob: Vec<f64>,
    /// True parameters (n, p); NaN where unknown.
    pub truth: Vec<f64>,
    /// ln q(truth | x) (n); NaN where unknown.
    pub ln_prob_truth: Vec<f64>,
    pub extras: Extras,
}

/// What draws are of: they are only good while all of it is as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Of {
    pub stage: String,
    /// Version of what drawing computes.
    #[serde(default)]
    pub numerics: u32,
    /// Digest of its weights.
    pub weights: String,
    /// The dataset that it learned from, and that holds the universes.
    pub dataset: Identity,
    /// The campaign's seed.
    pub seed: u64,
    /// Draws per universe.
    pub draws: usize,
    /// Of an observation, not of the test split.
    pub observation: Option<Seen>,
}

/// Version of what drawing computes; raised when the same weights and the same data give other draws.
pub const NUMERICS: u32 = 1;

/// An observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    /// Its (first) file, from the root folder.
    pub file: String,
    /// Digest of what stood in it.
    pub content: String,
    /// Digest of the simulator that looked at it: box, mesh and observables.
    pub observables: String,
}

impl Of {
    /// What is another in `now`, in words.
    pub fn differs(&self, now: &Of) -> Option<String> {
        let looked = |of: &Of| of.observation.as_ref().map(|o| (o.content.clone(), o.observables.clone()));
        let ((seen, eyes), (seen_now, eyes_now)) = (looked(self).unzip(), looked(now).unzip());
        let parts = [
            (self.stage == now.stage, format!("they are of stage {}", self.stage)),
            (
                self.numerics == now.numerics,
                "another version of the program drew them, which computes otherwise".into(),
            ),
            (self.weights == now.weights, format!("stage {} was trained anew", now.stage)),
            (seen == seen_now, "the observation holds other data".into()),
            (eyes == eyes_now, "the simulator looks at the observation with other settings".into()),
            (self.seed == now.seed, format!("the seed was {} and is {}", self.seed, now.seed)),
            (self.draws == now.draws, format!("there are {} draws of each, not {}", self.draws, now.draws)),
        ];
        let other = parts.into_iter().find(|(same, _)| !same).map(|(_, what)| what);
        other.or_else(|| self.dataset.differs(&now.dataset))
    }
}

/// What may stand beside the draws; empty in files that were written without it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    /// What they are of; `None` in files of older programs.
    pub of: Option<Of>,
    /// How far the input lies outside the training range, in widths of that range (n); infinite where a number that was
    /// constant in training is another.
    pub outside: Vec<f64>,
    /// Distance of the input from the training inputs, over that of the farthest hundredth of them (n).
    pub distance: Vec<f64>,
    /// Standard deviation of the posterior means of an ensemble's members over the posterior's own (n, p); NaN with fewer
    /// than two members.
    pub spread: Vec<f64>,
    /// Design indices of the test split that have no posterior: their input holds numbers that cannot be used.
    pub left_out: Vec<u64>,
    /// Whether the truths were drawn from the prior.
    pub drawn_from: DrawnFrom,
    /// `ln_prob_truth` is an extrapolation (a posterior spoilt on purpose): good for ranks, no measure of the gain.
    pub extrapolated: bool,
}

/// Training widths outside which an input is not what was trained on.
pub const OUTSIDE: f64 = 0.5;
/// Times the distance of the farthest training inputs beyond which an input is not what was trained on.
pub const FAR: f64 = 2.0;
/// Spread of an ensemble's members beyond which the posterior depends on the training's luck.
pub const SPREAD: f64 = 0.3;

impl Extras {
    /// True if the input of universe `i` is not what was trained on.
    pub fn unfamiliar(&self, i: usize) -> bool {
        let above = |values: &[f64], limit: f64| values.get(i).is_some_and(|v| *v > limit);
        above(&self.outside, OUTSIDE) || above(&self.distance, FAR)
    }
}

impl Samples {
    /// Spread of the members of universe `i`, (p), where it was measured.
    pub fn spread_of(&self, i: usize) -> Option<&[f64]> {
        let spread = self.extras.spread.get(i * self.dim()..(i + 1) * self.dim())?;
        spread.iter().all(|s| s.is_finite()).then_some(spread)
    }

    /// True if the draws of a parameter of universe `i` are one value: no posterior of a network is so narrow.
    pub fn no_width(&self, i: usize, parameter: usize) -> bool {
        let q = &self.prior.parameters[parameter];
        self.draws > 1 && self.mean_sd(i, parameter).1 <= 1e-6 * (q.max - q.min)
    }

    /// Number of universes n.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True with no universes.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Number of parameters p.
    pub fn dim(&self) -> usize {
        self.prior.len()
    }

    /// Draws of universe `i`, (draws, p).
    pub fn theta_of(&self, i: usize) -> &[f64] {
        let m = self.draws * self.dim();
        &self.theta[i * m..(i + 1) * m]
    }

    /// Draws of one parameter of universe `i`, (draws).
    pub fn column(&self, i: usize, parameter: usize) -> Vec<f64> {
        self.theta_of(i).chunks_exact(self.dim()).map(|t| t[parameter]).collect()
    }

    /// ln q at the draws of universe `i`, (draws).
    pub fn ln_prob_of(&self, i: usize) -> &[f64] {
        &self.ln_prob[i * self.draws..(i + 1) * self.draws]
    }

    /// Truth of universe `i`, (p), where it is known.
    pub fn truth_of(&self, i: usize) -> Option<&[f64]> {
        let t = &self.truth[i * self.dim()..(i + 1) * self.dim()];
        t.iter().all(|t| t.is_finite()).then_some(t)
    }

    /// Mean and standard deviation of one parameter of universe `i`.
    pub fn mean_sd(&self, i: usize, parameter: usize) -> (f64, f64) {
        let draws = self.column(i, parameter);
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        (mean, (draws.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt())
    }

    /// Checks that the lengths agree and that every draw is finite.
    pub fn check(&self) -> Result<()> {
        let (n, d, p) = (self.len(), self.draws, self.dim());
        let optional = |name, values: &[f64], full| (name, values.len(), if values.is_empty() { 0 } else { full });
        let lengths = [
            ("theta", self.theta.len(), n * d * p),
            ("ln_prob", self.ln_prob.len(), n * d),
            ("truth", self.truth.len(), n * p),
            ("ln_prob_truth", self.ln_prob_truth.len(), n),
            optional("outside", &self.extras.outside, n),
            optional("distance", &self.extras.distance, n),
            optional("spread", &self.extras.spread, n * p),
        ];
        for (name, is, expected) in lengths {
            if is != expected {
                let problem = format!("{expected} numbers expected for {n} universes, {d} draws, {p} parameters");
                return Err(Error::input(problem).key(name).value(is).remedy("write the samples again"));
            }
        }
        match self.theta.iter().position(|t| !t.is_finite()) {
            Some(at) => Err(Error::input(format!("draw {} of universe {} is not finite", at / p % d, at / (p * d)))
                .key("theta")
                .remedy("the posterior diverged: train it again with a smaller learning rate")),
            None => Ok(()),
        }
    }

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
        let file = super::hdf::File::open(path).map_err(|e| unusable(e, path))?;
        file.text("", CHECKSUM)?.ok_or_else(|| unusable(Error::failed("it has no checksum"), path))
    }

    /// Reads what [`Samples::write`] wrote.
    pub fn read(path: &Path) -> Result<Samples> {
        if !path.exists() {
            let remedy = "run `polycosm infer` first: it writes the samples";
            return Err(Error::input("no such file of posterior samples").file(path).remedy(remedy));
        }
        let opened = super::hdf::File::open(path).map_err(|e| unusable(e, path))?;
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

    /// Writes one chain per universe for GetDist (`loadMCSamples(dir/universe_000123)`): `.txt` with weight, −ln q and the
    /// parameters, `.paramnames`, `.ranges`. Returns the chains' roots.
    pub fn to_getdist(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        use std::fmt::Write;
        self.check()?;
        std::fs::create_dir_all(dir).at(dir)?;
        let (mut paramnames, mut ranges) = (String::new(), String::new());
        for p in &self.prior.parameters {
            let _ = writeln!(paramnames, "{}\t{}", p.name, p.latex);
            let _ = writeln!(ranges, "{} {} {}", p.name, p.min, p.max);
        }
        let mut roots = Vec::with_capacity(self.len());
        for (i, index) in self.index.iter().enumerate() {
            let root = dir.join(format!("universe_{index:06}"));
            let mut chain = String::new();
            for (theta, ln_prob) in self.theta_of(i).chunks_exact(self.dim()).zip(self.ln_prob_of(i)) {
                let _ = write!(chain, "1 {:.8e}", if ln_prob.is_nan() { 0.0 } else { -ln_prob });
                theta.iter().for_each(|t| _ = write!(chain, " {t:.10e}"));
                chain.push('\n');
            }
            for (extension, text) in [("txt", &chain), ("paramnames", &paramnames), ("ranges", &ranges)] {
                let file = root.with_extension(extension);
                publish_text(&file, text)?;
            }
            roots.push(root);
        }
        Ok(roots)
    }
}

/// Removes the chains that [`Samples::to_getdist`] wrote into a folder of polycosm's, and nothing else.
pub fn remove_chains(folder: &Path) -> Result<()> {
    let own = |name: &str| {
        let (root, extension) = name.split_once('.')?;
        let number = root.strip_prefix("universe_")?;
        let digits = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
        (digits && ["txt", "paramnames", "ranges"].contains(&extension)).then_some(())
    };
    if !folder.exists() {
        return Ok(());
    }
    remove_unfinished(folder, "universe_")?;
    for entry in std::fs::read_dir(folder).at(folder)?.flatten() {
        if entry.file_name().to_str().and_then(own).is_some() {
            std::fs::remove_file(entry.path()).at(entry.path())?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::Parameter;

    fn samples() -> Samples {
        let p = |name: &str, latex: &str, min, max| Parameter { name: name.into(), latex: latex.into(), min, max };
        Samples {
            prior: Prior::new(vec![p("Omega_m", r"\Omega_m", 0.1, 0.5), p("sigma8", r"\sigma_8", 0.6, 1.0)]).unwrap(),
            index: vec![7, 12],
            draws: 3,
            theta: (0..12).map(|i| 0.1 + 0.03 * i as f64).collect(),
            ln_prob: (0..6).map(|i| -(i as f64)).collect(),
            truth: vec![0.3, 0.8, f64::NAN, f64::NAN],
            ln_prob_truth: vec![1.5, f64::NAN],
            extras: Extras {
                outside: vec![0.0, f64::INFINITY],
                distance: vec![0.3, 2.5],
                spread: vec![0.1, 0.2, f64::INFINITY, 0.1],
                left_out: vec![9],
                drawn_from: DrawnFrom::List,
                ..Extras::default()
            },
        }
    }

    #[test]
    fn file_gives_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("posterior.h5");
        let s = samples();
        s.write(&path, &[("commit".into(), "abc".into()), ("campaign".into(), "seed = 1\n".into())]).unwrap();
        let r = Samples::read(&path).unwrap();
        assert_eq!((&r.prior, &r.index, r.draws, &r.theta, &r.ln_prob), (&s.prior, &s.index, 3, &s.theta, &s.ln_prob));
        assert_eq!((r.truth_of(0), &r.extras), (s.truth_of(0), &s.extras));
        assert!(r.spread_of(0) == Some(&[0.1, 0.2]) && r.spread_of(1).is_none());
        assert!(!r.extras.unfamiliar(0) && r.extras.unfamiliar(1) && !Extras::default().unfamiliar(0));
        assert!(r.truth_of(1).is_none() && r.ln_prob_truth[1].is_nan());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        hdf5::File::open_rw(&path).unwrap().dataset("truth").unwrap().write_raw(&[0.3, 0.81, 0.0, 0.0]).unwrap();
        let e = Samples::read(&path).unwrap_err();
        assert!(e.to_string().contains("posterior.h5") && e.problem.contains("damaged") && e.remedy.is_some(), "{e}");
        assert_eq!(Samples::read(&dir.path().join("none.h5")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn inconsistent_samples_are_refused() {
        let mut s = samples();
        s.truth.pop();
        let e = s.write(&std::env::temp_dir().join("never.h5"), &[]).unwrap_err();
        assert_eq!(e.key.as_deref(), Some("truth"));
        let mut s = samples();
        s.theta[4] = f64::NAN;
        assert!(s.check().unwrap_err().to_string().contains("draw 2 of universe 0"));
    }

    #[test]
    fn getdist_chain_has_weight_minus_ln_prob_and_parameters() {
        let dir = tempfile::tempdir().unwrap();
        let roots = samples().to_getdist(dir.path()).unwrap();
        let chain = std::fs::read_to_string(roots[1].with_extension("txt")).unwrap();
        let numbers: Vec<f64> = chain.lines().next().unwrap().split(' ').map(|t| t.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 4);
        assert!((numbers[1] - 3.0).abs() < 1e-12 && (numbers[2] - 0.28).abs() < 1e-9);
        let paramnames = std::fs::read_to_string(roots[0].with_extension("paramnames")).unwrap();
        assert_eq!(paramnames, "Omega_m\t\\Omega_m\nsigma8\t\\sigma_8\n");
    }
}
