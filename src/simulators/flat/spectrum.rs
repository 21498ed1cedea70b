//! `[simulator.spectrum]`: where the maps' spectra come from.

use super::bad;
use crate::cosmology::CosmologyConfig;
use crate::cosmology::angular::{AngularSpectra, Tracers, TracersConfig};
use crate::error::{Error, Result};
use crate::prior::Theta;
use crate::simulators::Universes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[simulator.spectrum]`: C(ℓ) = A (ℓ/pivot)^slope in sr, of one map; or those of several from a file or from theory,
/// times the same without unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpectrumConfig {
    /// Text file of the angular spectra C_ij(ℓ) in sr of several maps: columns ℓ and pairs, which a first line
    /// `# ell A*A A*B B*B` names. The maps are in the order in which their names appear there. It reaches from the
    /// fundamental 2π/side to the corner of the Fourier plane, √2 π/pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "path"))]
    pub file: Option<PathBuf>,
    /// Theory of the maps of convergence and of galaxy counts, in the cosmology of each universe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracers: Option<TracersConfig>,
    /// Natural logarithm of the amplitude A, in sr (a factor on the spectra of a file or of theory, 0 by default): a
    /// parameter, which stands here or in `[design.parameters]`.
    #[serde(rename = "ln_A", skip_serializing_if = "Option::is_none")]
    pub ln_a: Option<f64>,
    /// Exponent of ℓ/pivot: a parameter like `ln_A`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// ℓ at which C is A.
    #[schemars(extend("x-unit" = "ℓ"))]
    pub pivot: f64,
}

impl Default for SpectrumConfig {
    fn default() -> Self {
        SpectrumConfig { file: None, tracers: None, ln_a: None, slope: None, pivot: 1000.0 }
    }
}

pub const LN_A: &str = "ln_A";
pub const SLOPE: &str = "slope";
/// What a bin's shift Δz and its multiplicative bias m are called, before its name: `dz_kappa0`, `m_kappa0`.
pub const SHIFT: &str = "dz_";
pub const BIAS: &str = "m_";

impl SpectrumConfig {
    pub fn check(&self, of: &Universes) -> Result<()> {
        if !(self.pivot > 0.0 && self.pivot.is_finite()) {
            return Err(bad("spectrum.pivot", self.pivot, "is no multipole", "1000.0 is usual"));
        }
        if let (Some(path), true) = (&self.file, self.tracers.is_some()) {
            let problem = "is given beside the theory of [simulator.spectrum.tracers]";
            return Err(bad("spectrum.file", path, problem, "keep one of them"));
        }
        for (name, value) in [(LN_A, self.ln_a), (SLOPE, self.slope)] {
            let varies = of.prior.names().contains(&name);
            let key = format!("spectrum.{name}");
            match value {
                Some(value) if varies => {
                    let problem = format!("is given here, and varies in [design.parameters.{name}]");
                    return Err(bad(&key, value, problem, "keep one of them"));
                }
                Some(value) => check_parameter(&format!("simulator.{key}"), name, value)?,
                None if varies || self.file.is_some() || self.tracers.is_some() => {}
                None => {
                    let remedy = format!("give it in [simulator.spectrum], or vary it in [design.parameters.{name}]");
                    return Err(Error::input("is missing").key(format!("simulator.{key}")).remedy(remedy));
                }
            }
        }
        Ok(())
    }

    /// What it names is read. Serial.
    pub fn input(&self, of: &Universes) -> Result<Input> {
        if let Some(tracers) = &self.tracers {
            let tracers = Tracers::new(tracers, "simulator.spectrum.tracers")?;
            return Ok(Input::Theory(Box::new((tracers, of.cosmology()?.clone()))));
        }
        let read = |path: &PathBuf| AngularSpectra::read(path).map_err(|e| e.key("simulator.spectrum.file"));
        Ok(self.file.as_ref().map(read).transpose()?.map_or(Input::PowerLaw, Input::Table))
    }

    /// Names of the parameters that a design may vary: of theory also shifts of redshift of every bin, and multiplicative
    /// biases of convergence.
    pub fn parameters(&self) -> Vec<String> {
        let names = self.tracers.iter().flat_map(TracersConfig::names);
        let of_bin = |name: String| {
            let bias = name.starts_with("kappa").then(|| format!("{BIAS}{name}"));
            bias.into_iter().chain([format!("{SHIFT}{name}")])
        };
        [LN_A, SLOPE].map(String::from).into_iter().chain(names.flat_map(of_bin)).collect()
    }

    /// Refuses impossible values of these.
    pub fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        varied.iter().try_for_each(|(name, value)| check_parameter(&format!("design.parameters.{name}"), name, *value))
    }

    /// What multiplies the table at ℓ, or is the spectrum itself.
    pub fn factor(&self, theta: Theta) -> impl Fn(f64) -> f64 + use<> {
        let of = |name: &str, own: Option<f64>| theta.get(name).or(own).unwrap_or(0.0);
        let (ln_a, slope, pivot) = (of(LN_A, self.ln_a), of(SLOPE, self.slope), self.pivot);
        move |ell| (ln_a + slope * (ell / pivot).ln()).exp()
    }
}

/// Refuses amplitudes and slopes that are beyond any spectrum, and shifts and biases that are beyond any survey.
fn check_parameter(key: &str, name: &str, value: f64) -> Result<()> {
    let (most, remedy) = match name {
        LN_A => (200.0, "is it the logarithm of the amplitude in sr?"),
        SLOPE => (20.0, "is it the exponent of ℓ?"),
        _ if name.starts_with(BIAS) => (0.9, "is it the bias m of (1 + m) κ?"),
        _ => (0.5, "is it the shift of a bin's redshifts?"),
    };
    match value.abs() <= most {
        true => Ok(()),
        false => Err(Error::input(format!("lies outside [-{most}, {most}]")).key(key).value(value).remedy(remedy)),
    }
}

/// Where spectra come from: of theory with what is the same in all universes.
#[derive(Debug, Clone)]
pub enum Input {
    PowerLaw,
    Table(AngularSpectra),
    Theory(Box<(Tracers, CosmologyConfig)>),
}
