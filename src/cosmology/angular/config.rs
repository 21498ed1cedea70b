//! What fields there are, and how their spectra are predicted: a section of simulators.

use crate::cosmology::{NonLinear, RedshiftDistribution};
use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Fields on the sky, and the theory of their spectra.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracersConfig {
    /// Galaxies with shapes: a field of convergence for each of their bins, `kappa0`, `kappa1` …
    #[serde(default)]
    pub sources: Vec<RedshiftDistribution>,
    /// Galaxies that are counted: a field of their density contrast for each of their bins, `counts0`, `counts1` …; with
    /// bias 1 and top hats, shells of matter. There must be at least one bin of either sort.
    #[serde(default)]
    pub lenses: Vec<RedshiftDistribution>,
    /// Linear bias of counted galaxies: one for all, or one for each bin. A parameter `bias_counts0` … takes its place.
    #[serde(default = "one")]
    pub bias: Vec<f64>,
    /// Slope s = dlog₁₀N(<m)/dm of counts at the survey's limiting magnitude: one for all, or one for each bin. Adds
    /// (5 s − 2) κ to the counts; without it they are not magnified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub magnification: Vec<f64>,
    /// `{ A_IA = 1.0, eta = 0.0, z0 = 0.62 }`: intrinsic alignments of the sources, that follow the tidal field (NLA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignments: Option<Alignments>,
    /// Matter on small scales.
    #[serde(default)]
    pub nonlinear: NonLinear,
    /// From this ℓ on spectra are Limber's; below it what linear theory adds is integrated with Bessel functions, in a
    /// flat universe. At most 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "100 where galaxies are counted, else 0"))]
    pub limber_from: Option<u32>,
}

/// Intrinsic alignments, −A_IA C₁ ρ_cr Ωm/D1 ((1 + z)/(1 + z0))^η δ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alignments {
    /// Amplitude A_IA: a parameter, which stands here or in `[design.parameters]`.
    #[serde(rename = "A_IA", skip_serializing_if = "Option::is_none")]
    pub a_ia: Option<f64>,
    /// Power of (1 + z)/(1 + z0).
    #[serde(default)]
    pub eta: f64,
    /// Pivot redshift.
    #[serde(default = "pivot")]
    pub z0: f64,
}

/// What is not known of a survey; the default changes nothing. An empty list stands for zeros.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nuisance {
    /// Shifts Δz of the bins of sources, n(z) → n(z − Δz).
    pub source_shift: Vec<f64>,
    /// The same of the bins of counted galaxies.
    pub lens_shift: Vec<f64>,
    /// Multiplicative biases of shear, κ → (1 + m) κ, of the bins of sources.
    pub m: Vec<f64>,
    /// Linear biases of the bins of counted galaxies; where none are given, the section's.
    pub bias: Vec<f64>,
    /// Amplitude of the alignments, where the section has none.
    pub a_ia: Option<f64>,
}

/// Largest ℓ below which Bessel functions may be asked for: beyond, Limber's approximation is as good.
const BESSEL: u32 = 200;

impl TracersConfig {
    /// Of sources alone, with the default of all else.
    pub fn of_sources(sources: Vec<RedshiftDistribution>) -> TracersConfig {
        TracersConfig {
            sources,
            lenses: vec![],
            bias: one(),
            magnification: vec![],
            alignments: None,
            nonlinear: NonLinear::default(),
            limber_from: None,
        }
    }

    /// Numbers of bins of sources and of counted galaxies.
    pub fn bins(&self) -> [usize; 2] {
        [&self.sources, &self.lenses].map(|list| list.iter().map(RedshiftDistribution::bins).sum())
    }

    /// What the fields are called: `kappa0` …, `counts0` …
    pub fn names(&self) -> Vec<String> {
        let [sources, lenses] = self.bins();
        let kappa = (0..sources).map(|i| format!("kappa{i}"));
        kappa.chain((0..lenses).map(|i| format!("counts{i}"))).collect()
    }

    /// The files it names, by their places in the section (JSON pointers).
    pub fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let lists = [("sources", &mut self.sources), ("lenses", &mut self.lenses)].into_iter();
        let all = lists.flat_map(|(key, list)| list.iter_mut().enumerate().map(move |(i, n)| (key, i, n)));
        all.filter_map(|(key, i, n)| n.file_mut().map(|path| (format!("/{key}/{i}/table/path"), path))).collect()
    }

    /// Linear bias of a bin of counted galaxies.
    pub fn bias_of(&self, bin: usize) -> f64 {
        self.bias[bin.min(self.bias.len() - 1)]
    }

    /// First ℓ of Limber's approximation.
    pub fn limber_from(&self) -> u32 {
        self.limber_from.unwrap_or(if self.lenses.is_empty() { 0 } else { 100 })
    }

    /// Refuses what makes no sense; `section` is what the user called it. Files are looked at by
    /// [`super::Tracers::new`].
    pub fn check(&self, section: &str) -> Result<()> {
        let bad = |key: &str, problem: String, remedy: &str| {
            Err(Error::input(problem).key(format!("{section}.{key}")).remedy(remedy))
        };
        for (key, list) in [("sources", &self.sources), ("lenses", &self.lenses)] {
            for (i, n) in list.iter().enumerate() {
                n.check().map_err(|e| e.key(format!("{section}.{key}.{i}")))?;
            }
        }
        let [sources, lenses] = self.bins();
        if sources + lenses == 0 {
            return bad("sources", "there are no galaxies".into(), "give sources = [\"lsst-y10\"], or lenses");
        }
        for (key, list) in [("bias", &self.bias), ("magnification", &self.magnification)] {
            let fits = list.len() == 1 || list.len() == lenses || (key == "magnification" && list.is_empty());
            if !fits || list.iter().any(|x| !x.is_finite()) {
                let problem = format!("has {} numbers for {lenses} bins", list.len());
                return bad(key, problem, "give one number for all bins of lenses, or one for each, all finite");
            }
        }
        let plane = |n: &RedshiftDistribution| matches!(n, RedshiftDistribution::Plane { .. });
        if let Some(i) = self.lenses.iter().position(plane) {
            let problem = "counts at exactly one redshift have an infinite variance".to_string();
            return bad(&format!("lenses.{i}"), problem, "give them a width, e.g. gaussian or tophat");
        }
        if let Some(a) = &self.alignments {
            if sources == 0 || self.sources.iter().any(plane) {
                let problem = "alignments need sources that are spread over redshift".to_string();
                return bad("alignments", problem, "leave alignments out, or give sources other than planes");
            }
            if !(a.a_ia.is_none_or(f64::is_finite) && a.eta.is_finite() && a.z0 > -1.0 && a.z0.is_finite()) {
                return bad("alignments", "are not finite".into(), "{ A_IA = 1.0, eta = 0.0, z0 = 0.62 } is usual");
            }
        }
        if self.limber_from() > BESSEL {
            let problem = format!("lies above {BESSEL}, from where Limber's approximation is as good");
            return bad("limber_from", problem, "100 is usual");
        }
        Ok(())
    }
}

fn one() -> Vec<f64> {
    vec![1.0]
}

fn pivot() -> f64 {
    0.62
}
