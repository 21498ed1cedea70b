//! Power spectra of particles, and cross spectra of two lists of them.

use super::density::{CIC, DensityMeter};
use crate::error::{Error, Result};
use crate::fields::cross::{CrossSpectrum, measure_cross};
use crate::fields::spectrum::{Spectrum, measure};
use crate::mesh::{Decomposition, Real};
use crate::particles::Points;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[simulator.power]`: the measured power spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PowerConfig {
    /// Two meshes half a cell apart, whose odd aliases cancel (Sefusatti et al. 2016). Costs a second deposit and
    /// transform.
    pub interlaced: bool,
    /// Subtracts V/N; from cross spectra nothing. Particles that start from a lattice have no Poisson noise at early
    /// times.
    pub subtract_shot_noise: bool,
    /// Largest wavenumber kept, over the particles' Nyquist wavenumber π `particles`/`box_size`.
    pub k_max_over_nyquist: f64,
}

impl Default for PowerConfig {
    fn default() -> Self {
        PowerConfig { interlaced: true, subtract_shot_noise: false, k_max_over_nyquist: 1.0 }
    }
}

impl PowerConfig {
    /// Refuses a range without bins.
    pub fn check(&self) -> Result<()> {
        if !(self.k_max_over_nyquist > 0.0 && self.k_max_over_nyquist.is_finite()) {
            return Err(Error::input("must be positive")
                .key("simulator.power.k_max_over_nyquist")
                .value(self.k_max_over_nyquist)
                .remedy("1.0 keeps all that the particles resolve"));
        }
        Ok(())
    }
}

/// Measures spectra on one mesh: made once, used for every output.
pub struct PowerMeter<T: Real> {
    density: DensityMeter<T>,
}

impl<T: Real> PowerMeter<T> {
    /// A meter on the mesh of `d` over a cube of `box_size` Mpc/h.
    pub fn new(d: &Decomposition, box_size: f64) -> Self {
        PowerMeter { density: DensityMeter::new(d, box_size) }
    }

    /// P(k) of `total` particles by CIC, window divided out. Collective; every particle is on its rank.
    pub fn measure(&mut self, config: &PowerConfig, positions: &[[T; 3]], total: u64) -> Spectrum {
        let box_size = self.density.box_size();
        let mut modes = self.density.modes(Points::equal(positions), config.interlaced);
        let noise = if config.subtract_shot_noise { box_size.powi(3) / total as f64 } else { 0.0 };
        measure(&mut modes, box_size, CIC, noise, &self.density.decomposition().comm)
    }

    /// P_ab, P_aa and P_bb of two lists of points, such as galaxies and matter. Collective; every point is on its rank.
    pub fn measure_cross(&mut self, config: &PowerConfig, a: Points<T>, b: Points<T>) -> CrossSpectrum {
        let [mut first, second] = [a, b].map(|points| self.density.modes(points, config.interlaced));
        let noise = |points| if config.subtract_shot_noise { self.density.shot_noise(points) } else { 0.0 };
        let (noise, comm) = ([noise(a), noise(b)], &self.density.decomposition().comm);
        measure_cross(&mut first, &second, self.density.box_size(), CIC, noise, comm)
    }
}
