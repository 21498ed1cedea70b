//! `kind = "gaussian-flat"`: Gaussian maps of a periodic flat sky, whose likelihood is known in closed form.

use super::flat::{FlatMaps, SkyConfig, SpectrumConfig};
use super::prelude::*;
use super::section::Likelihood;
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use std::path::PathBuf;

/// Gaussian maps of a periodic flat sky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianFlatConfig {
    /// Angular power spectrum of the maps.
    #[serde(default)]
    pub spectrum: SpectrumConfig,
    /// Pixels, noise and mask.
    pub sky: SkyConfig,
    /// Measured angular spectra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ell: Option<AngularConfig>,
    /// Peak counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<PeakConfig>,
}

impl GaussianFlatConfig {
    fn maps(&self, of: &Universes) -> Result<FlatMaps> {
        FlatMaps::new(of, &self.spectrum, None, &self.sky, self.c_ell.as_ref(), self.peaks.as_ref())
    }
}

impl Section for GaussianFlatConfig {
    fn summary(&self) -> String {
        self.sky.summary()
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.maps(of)?.check(of)
    }

    fn warnings(&self, of: &Universes) -> Vec<String> {
        FlatMaps::warnings(of)
    }

    fn needs_cosmology(&self) -> bool {
        self.spectrum.tracers.is_some()
    }

    fn parameters(&self) -> Vec<String> {
        self.spectrum.parameters()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        self.spectrum.check_varied(varied)
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        FlatMaps::files_mut(&mut self.spectrum, &mut self.sky)
    }

    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        self.maps(of)?.theory(field, theta, index)
    }

    fn likelihood(&self, of: &Universes) -> Result<Option<Box<dyn Likelihood>>> {
        self.maps(of)?.likelihood().map(Some)
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        self.maps(of)?.runner(of)
    }
}
