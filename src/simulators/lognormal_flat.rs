//! `kind = "lognormal-flat"`: correlated shifted lognormal maps of a periodic flat sky.

use super::flat::{FlatMaps, SkyConfig, SpectrumConfig};
use super::prelude::*;
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use crate::list::OneOrMany;
use std::path::PathBuf;

/// Correlated shifted lognormal maps of a periodic flat sky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LognormalFlatConfig {
    /// Angular power spectrum of the maps.
    #[serde(default)]
    pub spectrum: SpectrumConfig,
    /// λ of the maps λ (exp(g − σ²/2) − 1), g Gaussian: how far below 0 they may reach. One for all, or for each.
    #[schemars(extend("x-unit" = "of the map"))]
    pub shift: OneOrMany<f64>,
    /// Pixels, noise and mask.
    pub sky: SkyConfig,
    /// Measured angular spectra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ell: Option<AngularConfig>,
    /// Peak counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peaks: Option<PeakConfig>,
}

impl LognormalFlatConfig {
    fn maps(&self) -> Result<FlatMaps> {
        FlatMaps::new(&self.spectrum, Some(&self.shift), &self.sky, self.c_ell.as_ref(), self.peaks.as_ref())
    }
}

impl Section for LognormalFlatConfig {
    fn summary(&self) -> String {
        self.sky.summary()
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.maps()?.check(of)
    }

    fn warnings(&self, of: &Universes) -> Vec<String> {
        FlatMaps::warnings(of)
    }

    fn parameters(&self) -> Vec<String> {
        FlatMaps::parameters()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        FlatMaps::check_varied(varied)
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        FlatMaps::files_mut(&mut self.spectrum, &mut self.sky)
    }

    fn theory(&self, _: &Universes, field: &FieldSpec, theta: Theta, _: u64) -> Result<Option<Theory>> {
        self.maps()?.theory(field, theta)
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        self.maps()?.runner(of)
    }
}
