//! Halo mass functions: fits that are universal in the rms σ(M) of the linear density in spheres that hold M,
//!
//! dn/dlnM = f(σ) (ρ/M) |dlnσ/dlnM|,   σ(M, z) = σ(R) D1(a),   M = 4π/3 ρ R³.

use super::{Growth, LinearPower};
use crate::units::RHO_CRIT;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A fit of f(σ), and what its halos are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HaloFit {
    /// Jenkins et al. 2001 (MNRAS 321, 372), eq. 9: friends of friends, b = 0.2; −1.2 < ln 1/σ < 1.05.
    Jenkins01,
    /// Warren et al. 2006 (ApJ 646, 881), eq. 8: friends of friends, b = 0.2.
    Warren06,
    /// Watson et al. 2013 (MNRAS 433, 1230), eq. 12: friends of friends, b = 0.2; −0.55 < ln 1/σ < 1.31.
    #[default]
    Watson13,
    /// Tinker et al. 2008 (ApJ 688, 709), eqs 3–8: spheres of 200 times the mean density; z < 2.5.
    #[serde(rename = "tinker08-200m")]
    Tinker08,
}

impl HaloFit {
    /// f(σ) at redshift `z`.
    pub fn f(self, sigma: f64, z: f64) -> f64 {
        match self {
            HaloFit::Jenkins01 => 0.315 * (-(0.61 - sigma.ln()).abs().powf(3.8)).exp(),
            HaloFit::Warren06 => 0.7234 * (sigma.powf(-1.625) + 0.2538) * (-1.1982 / (sigma * sigma)).exp(),
            HaloFit::Watson13 => form(0.282, 2.163, 1.406, 1.210, sigma),
            HaloFit::Tinker08 => {
                let alpha = 10.0_f64.powf(-(0.75 / (200.0_f64 / 75.0).log10()).powf(1.2));
                let grown = |today: f64, power: f64| today * (1.0 + z).powf(-power);
                form(grown(0.186, 0.14), grown(1.47, 0.06), grown(2.57, alpha), 1.19, sigma)
            }
        }
    }
}

/// f = A [(σ/b)^−a + 1] exp(−c/σ²).
fn form(amplitude: f64, a: f64, b: f64, c: f64, sigma: f64) -> f64 {
    amplitude * ((sigma / b).powf(-a) + 1.0) * (-c / (sigma * sigma)).exp()
}

/// How many halos there are in one universe.
#[derive(Debug, Clone)]
pub struct MassFunction<'a> {
    growth: &'a Growth,
    power: &'a LinearPower,
    fit: HaloFit,
    /// Mean density of what makes halos, in (Msun/h)/(Mpc/h)³.
    density: f64,
}

impl<'a> MassFunction<'a> {
    /// Of a universe with this growth and this linear spectrum today. Beside massive neutrinos, `power` is that of cold
    /// dark matter and baryons, of which alone halos are made (Castorina et al. 2014, JCAP 02, 049).
    pub fn new(growth: &'a Growth, power: &'a LinearPower, fit: HaloFit) -> Self {
        MassFunction { growth, power, fit, density: growth.cosmology().omega_cb() * RHO_CRIT }
    }

    /// Radius in Mpc/h of a sphere of mean density that holds `mass` Msun/h.
    pub fn radius(&self, mass: f64) -> f64 {
        (3.0 * mass / (4.0 * PI * self.density)).cbrt()
    }

    /// σ(M, z) and −dlnσ/dlnM.
    pub fn sigma(&self, mass: f64, z: f64) -> (f64, f64) {
        let (sigma, slope) = self.power.sigma_and_slope(self.radius(mass));
        (sigma * self.growth.d1(1.0 / (1.0 + z)), -slope / 3.0)
    }

    /// dn/dlnM in (h/Mpc)³ at `mass` Msun/h and redshift `z`.
    pub fn dn_dlnm(&self, mass: f64, z: f64) -> f64 {
        let (sigma, slope) = self.sigma(mass, z);
        self.fit.f(sigma, z) * self.density / mass * slope
    }
}
