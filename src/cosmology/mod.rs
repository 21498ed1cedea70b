//! Background, growth, transfer functions and linear power spectra of a flat ΛCDM universe.
//!
//! [`CosmologyConfig`] is the campaign's `[cosmology]`; with the values of the varied parameters it resolves to a
//! [`Cosmology`], which knows its [background](Cosmology::e) and its [`Growth`]; [`LinearPower`] is its spectrum today.

mod background;
mod config;
mod growth;
mod power;
mod spline;
mod table;
mod transfer;

pub use config::{CosmologyConfig, Transfer};
pub use growth::Growth;
pub use power::LinearPower;
pub use spline::Spline;
pub use table::read_table;
pub use transfer::EisensteinHu;

use crate::error::{Error, Result};
use crate::units::RHO_CRIT;

/// The parameters of a [`Cosmology`], as they are called in the campaign file.
pub const NAMES: [&str; 5] = ["Omega_m", "Omega_b", "h", "n_s", "sigma8"];

/// A flat ΛCDM cosmology, Omega_lambda = 1 − Omega_m, without radiation. It cannot be changed, and exists only with
/// possible values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosmology {
    omega_m: f64,
    omega_b: f64,
    h: f64,
    n_s: f64,
    sigma8: f64,
}

impl Cosmology {
    /// From values in the order of [`NAMES`].
    pub fn new(values: [f64; 5]) -> Result<Self> {
        Self::validated(values, |name| format!("cosmology.{name}"))
    }

    /// As [`Self::new`], with `key` saying where the user wrote the parameter of that name.
    fn validated(values: [f64; 5], key: impl Fn(&str) -> String) -> Result<Self> {
        let [omega_m, omega_b, h, n_s, sigma8] = values;
        let limits = [
            (omega_m > 0.0 && omega_m <= 1.0, "the matter density of a flat universe is above 0 and at most 1"),
            (omega_b > 0.0 && omega_b < omega_m, "the baryon density is above 0 and below Omega_m"),
            ((0.2..=2.0).contains(&h), "h is the Hubble constant over 100 km/s/Mpc, between 0.2 and 2"),
            (n_s > 0.0 && n_s < 2.0, "the spectral index is above 0 and below 2"),
            (sigma8 > 0.0 && sigma8.is_finite(), "sigma8 is positive and finite"),
        ];
        for ((name, value), (possible, limit)) in NAMES.into_iter().zip(values).zip(limits) {
            if !possible {
                let beside = if name == "Omega_b" { format!(" (here Omega_m = {omega_m})") } else { String::new() };
                return Err(Error::input(format!("impossible: {limit}{beside}"))
                    .key(key(name))
                    .value(value)
                    .remedy(format!("choose {name} within these limits")));
            }
        }
        Ok(Cosmology { omega_m, omega_b, h, n_s, sigma8 })
    }

    /// Matter density today over the critical density.
    pub fn omega_m(&self) -> f64 {
        self.omega_m
    }

    /// Baryon density today over the critical density.
    pub fn omega_b(&self) -> f64 {
        self.omega_b
    }

    /// Density of the cosmological constant over the critical density today: 1 − Omega_m.
    pub fn omega_lambda(&self) -> f64 {
        1.0 - self.omega_m
    }

    /// Hubble constant in 100 km/s/Mpc.
    pub fn h(&self) -> f64 {
        self.h
    }

    /// Index of the primordial spectrum, P ∝ kⁿ.
    pub fn n_s(&self) -> f64 {
        self.n_s
    }

    /// Linear rms of the density in spheres of 8 Mpc/h today.
    pub fn sigma8(&self) -> f64 {
        self.sigma8
    }

    /// Comoving mean matter density in (Msun/h)/(Mpc/h)³.
    pub fn mean_density(&self) -> f64 {
        self.omega_m * RHO_CRIT
    }
}
