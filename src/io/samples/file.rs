//! Draws in their HDF5 file.

use super::{Extras, Marginals, Of, Samples};
use crate::error::{At, Cause, Error, Result};
use crate::io::hdf::{Element, File, publish_alone};
use crate::io::identity::digest;
use crate::io::ours::replaceable_as;
use crate::io::prior;
use std::path::Path;

/// Version of the file's layout. 2: the prior as in all other files.
pub const FORMAT_VERSION: u64 = 2;
/// Root attribute: the digest of what [`contents`] looks at.
const CHECKSUM: &str = "sha256";

impl Samples {
    /// Writes the samples; the file appears when it is whole. `attributes` (provenance) go to the root.
    pub fn write(&self, path: &Path, attributes: &[(String, String)]) -> Result<()> {
        self.check().at(path)?;
        replaceable(path)?;
        publish_alone(path, |file| {
            file.set_number("", "format_version", FORMAT_VERSION)?;
            for (name, value) in attributes.iter().filter(|(name, _)| name != "format_version") {
                file.set_text("", name, value)?;
            }
            let (n, d, p) = (self.len(), self.draws, self.dim());
            put(file, "index", &self.index, &[n], "design index of the universe")?;
            put(file, "theta", &self.theta, &[n, d, p], "draws from the posterior q(theta | x)")?;
            put(file, "ln_prob", &self.ln_prob, &[n, d], "ln q at the draws")?;
            put(file, "truth", &self.truth, &[n, p], "true parameters; NaN if unknown")?;
            put(file, "ln_prob_truth", &self.ln_prob_truth, &[n], "ln q at the truth; NaN if unknown")?;
            self.extras.write(file, n, p)?;
            if !self.extras.derived.is_empty() {
                let k = self.prior.derived.len();
                put(
                    file,
                    "derived",
                    &self.extras.derived,
                    &[n, d, k],
                    "what follows from the draws; NaN: no universe",
                )?;
                put(file, "derived_truth", &self.extras.derived_truth, &[n, k], "the same of the true parameters")?;
                prior::write_derived(file, &self.prior, "derived")?;
            }
            prior::write(file, &self.prior, self.extras.drawn_from)?;
            file.set_texts("", "names", &self.prior.names())?; // where readers of version 1 look for them
            self.extras.of.iter().try_for_each(|of| file.set_json("", "of", of))?;
            file.set_text("", CHECKSUM, &contents(file)?)
        })
    }

    /// The digest of the draws in a file and of what they are of, as it was written.
    pub fn identity(path: &Path) -> Result<String> {
        let file = File::open(path).map_err(|e| unusable(e, path))?;
        file.text("", CHECKSUM)?.ok_or_else(|| unusable(Error::failed("it has no checksum"), path))
    }

    /// Reads what [`Samples::write`] wrote.
    pub fn read(path: &Path) -> Result<Samples> {
        if !path.exists() {
            let remedy = "run `polycosm infer` first: it writes the samples";
            return Err(Error::input("no such file of posterior samples").file(path).remedy(remedy));
        }
        let file = File::open(path).map_err(|e| unusable(e, path))?;
        let version = file.unsigned("", "format_version").map_err(|e| unusable(e, path))?;
        if version > FORMAT_VERSION {
            let problem = format!("written by a newer polycosm (this one reads up to version {FORMAT_VERSION})");
            let error = Error::input(problem).file(path).key("format_version").value(version);
            return Err(error.remedy("update polycosm"));
        }
        let samples = read(&file).map_err(|e| unusable(e, path))?;
        samples.check().at(path)?;
        Ok(samples)
    }
}

fn read(file: &File) -> Result<Samples> {
    let sum = file.text("", CHECKSUM)?;
    if sum.is_some() && sum != contents(file).ok() {
        return Err(Error::failed("it is damaged, for its checksum does not match"));
    }
    let (prior, drawn_from) = prior::read(file, "theta")?.ok_or_else(|| Error::failed("it does not say its prior"))?;
    Ok(Samples {
        prior,
        index: file.read("index")?,
        draws: file.array("theta")?.shape().get(1).copied().unwrap_or(0),
        theta: file.read("theta")?,
        ln_prob: file.read("ln_prob")?,
        truth: file.read("truth")?,
        ln_prob_truth: file.read("ln_prob_truth")?,
        extras: Extras { drawn_from, ..Extras::read(file)? },
    })
}

impl Extras {
    fn write(&self, file: &File, n: usize, p: usize) -> Result<()> {
        let outside = "how far the input lies outside the training range, in widths of it; inf: a constant differs";
        let distance = "distance of the input from the training inputs over that of the farthest 1% of them";
        let spread = "sd of the ensemble members' posterior means over the posterior's sd; NaN: one member";
        let columns = [
            ("outside", &self.outside, vec![n], outside),
            ("distance", &self.distance, vec![n], distance),
            ("spread", &self.spread, vec![n, p], spread),
            ("r_hat", &self.r_hat, vec![n, p], "rank-normalised split R-hat of the chains (Vehtari et al. 2021)"),
            ("ess", &self.ess, vec![n, p], "bulk effective sample size of the chains (Vehtari et al. 2021)"),
            ("ln_evidence", &self.ln_evidence, vec![n], "ln p(x), the likelihood averaged over the prior"),
        ];
        for (name, values, shape, what) in columns.into_iter().filter(|c| !c.1.is_empty()) {
            put(file, name, values, &shape, what)?;
        }
        if let Some(marginals) = &self.marginals {
            let (k, d) = (marginals.pairs.len(), file.array("ln_prob")?.shape()[1]);
            let what = "ln q(theta_j | x) at the true parameters; there is no joint posterior, each column of theta is a marginal";
            put(file, "ln_marginal_truth", &marginals.ln_truth, &[n, p], what)?;
            if k > 0 {
                let pairs: Vec<u64> = marginals.pairs.iter().flatten().map(|&j| j as u64).collect();
                put(file, "pairs", &pairs, &[k, 2], "parameters of the two-dimensional marginals, by number from 0")?;
                put(file, "theta_pairs", &marginals.theta, &[n, d, k, 2], "draws from these marginals")?;
            }
        }
        if !self.left_out.is_empty() {
            let what = "design indices without a posterior: their input cannot be used";
            put(file, "left_out", &self.left_out, &[self.left_out.len()], what)?;
        }
        Ok(())
    }

    fn read(file: &File) -> Result<Extras> {
        Ok(Extras {
            outside: optional(file, "outside")?,
            distance: optional(file, "distance")?,
            spread: optional(file, "spread")?,
            r_hat: optional(file, "r_hat")?,
            ess: optional(file, "ess")?,
            marginals: marginals(file)?,
            left_out: optional(file, "left_out")?,
            ln_evidence: optional(file, "ln_evidence")?,
            derived: optional(file, "derived")?,
            derived_truth: optional(file, "derived_truth")?,
            of: file.json::<Of>("", "of")?,
            ..Extras::default()
        })
    }
}

fn optional<T: Element>(file: &File, name: &str) -> Result<Vec<T>> {
    if file.exists(name) { file.read(name) } else { Ok(vec![]) }
}

fn marginals(file: &File) -> Result<Option<Marginals>> {
    if !file.exists("ln_marginal_truth") {
        return Ok(None);
    }
    let pairs: Vec<u64> = optional(file, "pairs")?;
    let pairs = pairs.chunks_exact(2).map(|pair| [pair[0] as usize, pair[1] as usize]).collect();
    Ok(Some(Marginals { pairs, theta: optional(file, "theta_pairs")?, ln_truth: file.read("ln_marginal_truth")? }))
}

/// Digest of all arrays, and of the attributes that say what they mean (not of those that say where the file comes
/// from).
fn contents(file: &File) -> Result<String> {
    let mut sums = String::new();
    for name in file.arrays() {
        let bytes: Vec<u8> = file.read::<f64>(&name)?.into_iter().flat_map(f64::to_le_bytes).collect();
        sums += &format!("{name} {:?} {}\n", file.array(&name)?.shape(), digest(&bytes));
    }
    // The first four are those of version 1.
    let said = ["names", "latex", "prior_bounds", "drawn_from", "of", "prior", "derived"].map(|name| ("", name));
    for (at, name) in said.into_iter().chain([("theta", "drawn_from")]) {
        let texts = file.texts(at, name)?.map(|texts| format!("{texts:?}"));
        let numbers = file.numbers(at, name)?.map(|numbers| format!("{numbers:?}"));
        sums += &texts.or(numbers).map_or(String::new(), |value| format!("{name} {value}\n"));
    }
    Ok(digest(sums.as_bytes()))
}

/// Refuses to replace a file that holds no draws.
pub fn replaceable(path: &Path) -> Result<()> {
    replaceable_as(path, "file of posterior draws", "ln_prob")
}

/// Refuses to replace draws by fewer of the same.
pub fn not_fewer(path: &Path, now: &Of) -> Result<()> {
    let Some(was) = Samples::read(path).ok().and_then(|samples| samples.extras.of) else { return Ok(()) };
    if was.draws <= now.draws || was.differs(&Of { draws: was.draws, ..now.clone() }).is_some() {
        return Ok(());
    }
    let problem = format!("there are {} draws of each, which fewer do not replace", was.draws);
    let error = Error::input(problem).file(path).key("infer.draws").value(now.draws);
    Err(error.remedy("give as many or more, or move that file away to have fewer"))
}

/// Draws are made by polycosm alone, and again.
fn unusable(e: Error, path: &Path) -> Error {
    let problem = format!("these draws cannot be used: {}", e.problem);
    Error { problem, kind: if e.kind == Cause::Io { e.kind } else { Cause::Failed }, remedy: None, ..e }
        .file(path)
        .remedy("remove this file and run `polycosm infer`, which draws again")
}

fn put<T: Element>(file: &File, name: &str, data: &[T], shape: &[usize], what: &str) -> Result<()> {
    file.write(None, name, shape, data)?;
    file.set_text(name, "description", what)
}
