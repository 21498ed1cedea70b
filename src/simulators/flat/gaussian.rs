//! `kind = "gaussian-flat"`: Gaussian maps of a periodic flat sky, whose likelihood is known in closed form.

use super::{Flat, Keys, SkyConfig, SpectrumConfig};
use crate::fields::flat_sky::AngularConfig;
use crate::fields::peaks::PeakConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Flat for GaussianFlatConfig {
    fn keys(&self) -> Keys<'_> {
        let (c_ell, peaks) = (self.c_ell.as_ref(), self.peaks.as_ref());
        Keys { spectrum: &self.spectrum, shifts: None, sky: &self.sky, c_ell, peaks }
    }

    fn sections_mut(&mut self) -> (&mut SpectrumConfig, &mut SkyConfig) {
        (&mut self.spectrum, &mut self.sky)
    }
}
