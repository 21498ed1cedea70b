//! The matter power spectrum of particles.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::fields::spectrum::{Spectrum, measure};
use crate::mesh::{Complex, Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};
use crate::particles::deposit_cic;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// `[simulator.power]`: the measured power spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PowerConfig {
    /// Two meshes half a cell apart, whose odd aliases cancel (Sefusatti et al. 2016). Costs a second deposit and FFT.
    pub interlaced: bool,
    /// Subtracts V/N. A PM run from a lattice has no Poisson noise at early times; it is kept by default.
    pub subtract_shot_noise: bool,
    /// Largest wavenumber kept, in units of the particles' Nyquist wavenumber.
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
    fft: Fft<T>,
    mesh: Mesh<T>,
    modes: Modes<T>,
    box_size: f64,
}

impl<T: Real> PowerMeter<T> {
    /// A meter on the mesh of `d` over a cube of `box_size` Mpc/h.
    pub fn new(d: &Decomposition, box_size: f64) -> Self {
        let fft = Fft::new(d, Halo { lo: 0, hi: 2 }, Transform::Fast);
        PowerMeter { mesh: fft.mesh(), modes: fft.modes(), fft, box_size }
    }

    /// P(k) of `total` particles by CIC, window divided out. Collective; every particle is on its rank.
    pub fn measure(&mut self, config: &PowerConfig, positions: &[[T; 3]], total: u64) -> Spectrum {
        let d = self.fft.decomposition().clone();
        let (n, comm): (_, Comm) = (d.shape()[0], d.comm.clone());
        let weight = d.volume() as f64 / total as f64;
        deposit_cic(&mut self.mesh, &d, positions, self.box_size, weight, 0.0);
        self.fft.forward(&mut self.mesh, &mut self.modes);
        if config.interlaced {
            let mut second = self.fft.modes();
            deposit_cic(&mut self.mesh, &d, positions, self.box_size, weight, 0.5);
            self.fft.forward(&mut self.mesh, &mut second);
            let mut other = second.data().iter();
            self.modes.for_each(|k, mode| {
                // The second mesh stands half a cell further on: shift it back, and take the mean.
                let phase = PI * (k[0] + k[1] + k[2]) as f64 / n as f64;
                if let Some(c) = other.next() {
                    let shifted = *c * Complex::new(T::of(phase.cos()), T::of(phase.sin()));
                    *mode = (*mode + shifted).scale(T::of(0.5));
                }
            });
        }
        let noise = if config.subtract_shot_noise { self.box_size.powi(3) / total as f64 } else { 0.0 };
        measure(&mut self.modes, n, self.box_size, 2, noise, &comm)
    }
}
