//! Parameters that follow from those of a [`Cosmology`]. A design may vary one in the place of what it stands for, and
//! any dataset may have them beside its own.

use super::{Cosmology, Growth, LinearPower};
use crate::error::Result;
use std::f64::consts::PI;

/// The pivot of primordial spectra in 1/Mpc.
const PIVOT: f64 = 0.05;

/// A parameter by its name.
pub struct Derived {
    pub name: &'static str,
    /// Label for plots.
    pub latex: &'static str,
    /// The one of [`super::NAMES`] that it takes the place of.
    pub replaces: &'static str,
    /// What it is.
    pub meaning: &'static str,
}

/// All of them.
pub const DERIVED: [Derived; 8] = [
    of("omega_b", r"\omega_b", "Omega_b", "Ω_b h²"),
    of("omega_m", r"\omega_m", "Omega_m", "Ω_m h²"),
    of("Omega_c", r"\Omega_c", "Omega_m", "cold dark matter: Ω_m − Ω_b, less neutrinos with mass"),
    of("omega_c", r"\omega_c", "Omega_m", "Ω_c h²"),
    of("S8", "S_8", "sigma8", "σ₈ √(Ω_m/0.3)"),
    of("sigma12", r"\sigma_{12}", "sigma8", "linear rms of the density in spheres of 12 Mpc (no h) today"),
    of("A_s", "A_s", "sigma8", "primordial amplitude at 0.05 / Mpc"),
    of("ln_1e10_A_s", r"\ln(10^{10} A_s)", "sigma8", "its logarithm, ln(10¹⁰ A_s)"),
];

const fn of(name: &'static str, latex: &'static str, replaces: &'static str, meaning: &'static str) -> Derived {
    Derived { name, latex, replaces, meaning }
}

impl Derived {
    /// That of this name.
    pub fn named(name: &str) -> Option<&'static Derived> {
        DERIVED.iter().find(|d| d.name == name)
    }

    /// Whether it takes a linear spectrum.
    pub fn of_spectrum(&self) -> bool {
        matches!(self.name, "sigma12" | "A_s" | "ln_1e10_A_s")
    }

    /// Its value in a universe, whose linear spectrum today is asked for where it takes one.
    pub fn value(&self, universe: &Cosmology, power: impl Fn(&Cosmology) -> Result<LinearPower>) -> Result<f64> {
        let h2 = universe.h * universe.h;
        let cold = universe.omega_cb() - universe.omega_b;
        Ok(match self.name {
            "omega_b" => universe.omega_b * h2,
            "omega_m" => universe.omega_m * h2,
            "Omega_c" => cold,
            "omega_c" => cold * h2,
            "S8" => universe.sigma8 * (universe.omega_m / 0.3).sqrt(),
            "sigma12" => power(universe)?.sigma(12.0 * universe.h),
            name => {
                // Φ is 3/5 of the curvature; its spectrum is that of the density over α².
                let (power, k) = (power(universe)?, PIVOT / universe.h);
                let alpha = power.poisson(universe, Growth::new(universe).suppression())(k);
                let a_s = k.powi(3) * power.p(k) / (2.0 * PI * PI) / (0.6 * alpha).powi(2);
                if name == "A_s" { a_s } else { (1e10 * a_s).ln() }
            }
        })
    }

    /// The sigma8 of a universe that has this `value`, where one of sigma8 = 1 has that `of_one`.
    pub(super) fn sigma8(&self, value: f64, of_one: f64) -> f64 {
        match self.name {
            "A_s" => (value / of_one).sqrt(),
            "ln_1e10_A_s" => (0.5 * (value - of_one)).exp(),
            _ => value / of_one,
        }
    }
}

/// The one of [`super::NAMES`] that a parameter is or takes the place of.
pub fn stands_for(name: &str) -> &str {
    Derived::named(name).map_or(name, |d| d.replaces)
}

/// True of what a design may vary of a cosmology.
pub fn may_vary(name: &str) -> bool {
    super::NAMES.contains(&stands_for(name))
}
