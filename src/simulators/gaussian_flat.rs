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
    fn maps(&self) -> FlatMaps {
        let GaussianFlatConfig { spectrum, sky, c_ell, peaks } = self.clone();
        FlatMaps { spectrum, sky, c_ell, peaks }
    }
}

impl Section for GaussianFlatConfig {
    fn summary(&self) -> String {
        self.maps().summary()
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.maps().check(of)
    }

    fn warnings(&self, of: &Universes) -> Vec<String> {
        self.maps().warnings(of)
    }

    fn parameters(&self) -> Vec<String> {
        FlatMaps::parameters()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        FlatMaps::check_varied(varied)
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        self.sky.mask.iter_mut().map(|mask| ("/sky/mask".to_string(), mask)).collect()
    }

    fn theory(&self, _: &Universes, field: &FieldSpec, theta: Theta, _: u64) -> Result<Option<Theory>> {
        self.maps().theory(field, theta)
    }

    fn likelihood(&self) -> Result<Option<Box<dyn Likelihood>>> {
        self.maps().likelihood().map(Some)
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        self.maps().runner(of)
    }
}
