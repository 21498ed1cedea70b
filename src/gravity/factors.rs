//! Kick and drift factors, in the variables of [`crate::particles::Particles`]: dx/da = p / (a³E), dp/da = (3/2)
//! Ωm/(a²E) · g with g = −∇φ and ∇²φ = δ.

use crate::cosmology::{Cosmology, Growth};
use gauss_quad::GaussLegendre;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which factors multiply the force and the momentum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Integrator {
    /// Feng et al. 2016 (FastPM): exact for Zel'dovich motion whatever the step.
    #[default]
    Fastpm,
    /// Quinn et al. 1997: the factors' integrals alone.
    Leapfrog,
    /// Tassev, Zaldarriaga & Eisenstein 2013: steps around the trajectory of second-order perturbation theory.
    Cola,
}

/// COLA's residual momentum is taken to grow as aⁿ within a step (Tassev et al. 2013, appendix A.3.2).
const N_LPT: f64 = -2.5;

/// What a row adds to a momentum or position: `force` times the acceleration or momentum, and `lpt` times Ψ1 and Ψ2 (of
/// COLA alone).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    pub force: f64,
    pub lpt: [f64; 2],
}

/// Evaluates factors for one cosmology.
pub struct Factors<'a> {
    pub cosmology: &'a Cosmology,
    pub growth: &'a Growth,
    pub integrator: Integrator,
}

impl Factors<'_> {
    /// Δp for a kick from `from` to `to` with the force known at `at`.
    ///
    /// FastPM: ΔG / D(at) with G = a³E dD/da, the momentum of the growing mode. Its published form (eq. 16) has dG/da
    /// at `at` in the denominator; the growth equation, dG/da = (3/2) Ωm D / (a²E), cancels the rest.
    ///
    /// COLA kicks by the force less that of perturbation theory, g_LPT = D1 Ψ1 + (D2 − D1²) Ψ2 at `at`, and adds the
    /// change in perturbation theory's own momentum, ΔG1 Ψ1 + ΔG2 Ψ2.
    pub fn kick(&self, from: f64, at: f64, to: f64) -> Factor {
        let source = |a: f64| 1.5 * self.cosmology.omega_m() / (a * a * self.cosmology.e(a));
        match self.integrator {
            Integrator::Fastpm => plain((self.growth.gf(to) - self.growth.gf(from)) / self.growth.d1(at)),
            Integrator::Leapfrog => plain(integral(from, to, source)),
            Integrator::Cola => {
                let force = source(at) * (to.powf(N_LPT) - from.powf(N_LPT)) / (N_LPT * at.powf(N_LPT - 1.0));
                let (d1, d2) = (self.growth.d1(at), self.growth.d2(at));
                let change = |g: [f64; 2], h: [f64; 2]| [h[0] - g[0], h[1] - g[1]];
                let [p1, p2] = change(self.momenta(from), self.momenta(to));
                Factor { force, lpt: [p1 - force * d1, p2 - force * (d2 - d1 * d1)] }
            }
        }
    }

    /// Δx for a drift from `from` to `to` with the momentum known at `at`. FastPM: ΔD / G(at) (eq. 15). COLA moves the
    /// residual momentum p − G1 Ψ1 − G2 Ψ2, and adds ΔD1 Ψ1 + ΔD2 Ψ2.
    pub fn drift(&self, from: f64, at: f64, to: f64) -> Factor {
        let speed = |a: f64| 1.0 / (a.powi(3) * self.cosmology.e(a));
        let g = self.growth;
        match self.integrator {
            Integrator::Fastpm => plain((g.d1(to) - g.d1(from)) / g.gf(at)),
            Integrator::Leapfrog => plain(integral(from, to, speed)),
            Integrator::Cola => {
                let force = integral(from, to, |a| (a / at).powf(N_LPT) * speed(a));
                let [p1, p2] = self.momenta(at);
                Factor { force, lpt: [g.d1(to) - g.d1(from) - force * p1, g.d2(to) - g.d2(from) - force * p2] }
            }
        }
    }

    /// G1 and G2: momentum per Ψ1 and Ψ2 in perturbation theory.
    fn momenta(&self, a: f64) -> [f64; 2] {
        let speed = a.powi(3) * self.cosmology.e(a);
        [speed * self.growth.d1_da(a), speed * self.growth.d2_da(a)]
    }
}

fn plain(force: f64) -> Factor {
    Factor { force, lpt: [0.0; 2] }
}

fn integral(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    const NODES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(32).expect("not zero");
    GaussLegendre::new(NODES).integrate(from, to, f)
}
