//! `kind = "lognormal-flat"`: correlated shifted lognormal maps of a periodic flat sky.

use super::{Flat, Keys, SkyConfig, SpectrumConfig};
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use crate::list::OneOrMany;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Flat for LognormalFlatConfig {
    fn keys(&self) -> Keys<'_> {
        let (c_ell, peaks) = (self.c_ell.as_ref(), self.peaks.as_ref());
        Keys { spectrum: &self.spectrum, shifts: Some(&self.shift), sky: &self.sky, c_ell, peaks }
    }

    fn sections_mut(&mut self) -> (&mut SpectrumConfig, &mut SkyConfig) {
        (&mut self.spectrum, &mut self.sky)
    }
}
