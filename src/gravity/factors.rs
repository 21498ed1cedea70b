//! Kick and drift factors, in the variables of [`crate::particles::Particles`]: dx/da = p / (a³E), dp/da = (3/2) Ωm/(a²E) · g
//! with g = −∇φ and ∇²φ = δ.

use crate::cosmology::{Cosmology, Growth};
use gauss_quad::GaussLegendre;
use serde::{Deserialize, Serialize};

/// Which factors multiply the force and the momentum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrator {
    /// Feng et al. 2016 (FastPM): exact for Zel'dovich motion whatever the step.
    #[default]
    Fastpm,
    /// Quinn et al. 1997: the factors' integrals alone.
    Leapfrog,
}

/// Evaluates factors for one cosmology.
pub struct Factors<'a> {
    pub cosmology: &'a Cosmology,
    pub growth: &'a Growth,
    pub integrator: Integrator,
}

impl Factors<'_> {
    /// Δp = factor · g for a kick from `from` to `to` with the force known at `at`.
    ///
    /// FastPM: ΔG / D(at) with G = a³E dD/da, the momentum of the growing mode. Its published form (eq. 16) has dG/da at `at` in the denominator; the growth equation,
    /// dG/da = (3/2) Ωm D / (a²E), cancels the rest.
    pub fn kick(&self, from: f64, at: f64, to: f64) -> f64 {
        match self.integrator {
            Integrator::Fastpm => (self.growth.gf(to) - self.growth.gf(from)) / self.growth.d1(at),
            Integrator::Leapfrog => {
                integral(from, to, |a| 1.5 * self.cosmology.omega_m() / (a * a * self.cosmology.e(a)))
            }
        }
    }

    /// Δx = factor · p for a drift from `from` to `to` with the momentum known at `at`. FastPM: ΔD / G(at) (eq. 15).
    pub fn drift(&self, from: f64, at: f64, to: f64) -> f64 {
        match self.integrator {
            Integrator::Fastpm => (self.growth.d1(to) - self.growth.d1(from)) / self.growth.gf(at),
            Integrator::Leapfrog => integral(from, to, |a| 1.0 / (a.powi(3) * self.cosmology.e(a))),
        }
    }
}

fn integral(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    const NODES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(32).expect("not zero");
    GaussLegendre::new(NODES).integrate(from, to, f)
}
