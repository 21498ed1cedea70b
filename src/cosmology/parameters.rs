//! The parameters of a universe.

use super::fermi_dirac;
use crate::error::{Error, Result};
use crate::units::{OMEGA_PHOTON_H2, RHO_CRIT, T_CMB, T_NU_EV};

/// The parameters of a [`Cosmology`], as they are called in the campaign file. From the sixth on they have defaults,
/// those of [`Extension`].
pub const NAMES: [&str; 10] = ["Omega_m", "Omega_b", "h", "n_s", "sigma8", "Omega_k", "w0", "wa", "M_nu", "N_eff"];

/// What goes beyond a flat ΛCDM universe without radiation, which is the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extension {
    /// Curvature, 1 less all densities over the critical one today; positive in an open universe.
    pub omega_k: f64,
    /// Dark energy's pressure over its density, w(a) = w0 + wa (1 − a).
    pub w0: f64,
    pub wa: f64,
    /// Sum of the masses of three neutrinos of equal mass in eV.
    pub m_nu: f64,
    /// Effective number of neutrino species: they share it equally.
    pub n_eff: f64,
    /// Temperature of the microwave background today in K.
    pub t_cmb: f64,
    /// Whether photons and neutrinos are part of the expansion.
    pub radiation: bool,
}

impl Default for Extension {
    fn default() -> Self {
        Extension { omega_k: 0.0, w0: -1.0, wa: 0.0, m_nu: 0.0, n_eff: 3.046, t_cmb: T_CMB, radiation: false }
    }
}

/// The parameters of a universe: it cannot be changed, and exists only with possible values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosmology {
    pub(super) omega_m: f64,
    pub(super) omega_b: f64,
    pub(super) h: f64,
    pub(super) n_s: f64,
    pub(super) sigma8: f64,
    pub(super) beyond: Extension,
    /// Photons, and neutrinos as if they had no mass, over the critical density today.
    pub(super) photons: f64,
    pub(super) neutrinos: f64,
    /// Mass of one neutrino over the temperature of all, today.
    pub(super) mass: f64,
    omega_nu: f64,
}

/// Photons and neutrinos, as [`Cosmology`] has them.
pub(super) struct Relics {
    photons: f64,
    neutrinos: f64,
    mass: f64,
    pub omega_nu: f64,
}

impl Relics {
    pub fn of(h: f64, beyond: &Extension) -> Relics {
        let Extension { m_nu, n_eff, t_cmb, radiation, .. } = *beyond;
        let photons = if radiation { OMEGA_PHOTON_H2 * t_cmb.powi(4) / (h * h) } else { 0.0 };
        let per_species = 7.0 / 8.0 * (4.0_f64 / 11.0).powf(4.0 / 3.0);
        let neutrinos = per_species * n_eff * photons;
        let mass = m_nu / 3.0 / (T_NU_EV * t_cmb / T_CMB * (n_eff / 3.0).powf(0.25));
        let omega_nu = if m_nu > 0.0 { neutrinos * fermi_dirac::density(mass) } else { 0.0 };
        Relics { photons, neutrinos, mass, omega_nu }
    }
}

impl Cosmology {
    /// A flat ΛCDM universe without radiation, from the first five of [`NAMES`].
    pub fn new(values: [f64; 5]) -> Result<Self> {
        Self::extended(values, Extension::default())
    }

    /// From the first five of [`NAMES`], and what else there is.
    pub fn extended(values: [f64; 5], beyond: Extension) -> Result<Self> {
        Self::validated(values, beyond, |name| format!("cosmology.{name}"))
    }

    /// As [`Self::extended`], with `key` saying where the user wrote the parameter of that name.
    pub(super) fn validated(values: [f64; 5], beyond: Extension, key: impl Fn(&str) -> String) -> Result<Self> {
        let [omega_m, omega_b, h, n_s, sigma8] = values;
        let Extension { omega_k, w0, wa, m_nu, n_eff, t_cmb, radiation } = beyond;
        let impossible = |name: &str, value: f64, limit: &str| {
            let error = Error::input(format!("impossible: {limit}")).key(key(name)).value(value);
            error.remedy(format!("choose {name} within these limits"))
        };
        for (name, value, possible, limit) in [
            ("Omega_m", omega_m, omega_m > 0.0 && omega_m <= 1.0, "the matter density is above 0 and at most 1"),
            ("h", h, (0.2..=2.0).contains(&h), "h is the Hubble constant over 100 km/s/Mpc, between 0.2 and 2"),
            ("n_s", n_s, n_s > 0.0 && n_s < 2.0, "the spectral index is above 0 and below 2"),
            ("sigma8", sigma8, sigma8 > 0.0 && sigma8.is_finite(), "sigma8 is positive and finite"),
            ("Omega_k", omega_k, (-0.5..=0.9).contains(&omega_k), "the curvature is between -0.5 and 0.9"),
            ("w0", w0, (-3.0..0.0).contains(&w0), "dark energy's w0 is from -3 to below 0"),
            ("wa", wa, (-5.0..=5.0).contains(&wa) && w0 + wa < 0.0, "wa is between -5 and 5, and w0 + wa below 0"),
            ("M_nu", m_nu, (0.0..=10.0).contains(&m_nu), "the neutrinos' masses add up to 0 to 10 eV"),
            ("N_eff", n_eff, n_eff > 0.0 && n_eff <= 20.0, "the number of neutrinos is above 0 and at most 20"),
            ("T_cmb", t_cmb, t_cmb > 2.0 && t_cmb < 4.0, "the microwave background has 2 to 4 K"),
        ] {
            if !possible {
                return Err(impossible(name, value, limit));
            }
        }
        if m_nu > 0.0 && !radiation {
            return Err(Error::input("massive neutrinos were radiation once, which is switched off")
                .key(key("M_nu"))
                .value(m_nu)
                .remedy("set cosmology.radiation = true"));
        }
        let Relics { photons, neutrinos, mass, omega_nu } = Relics::of(h, &beyond);
        if !(omega_b > 0.0 && omega_b < omega_m - omega_nu) {
            let less = if omega_nu > 0.0 { format!(" less {omega_nu:.4} of neutrinos") } else { String::new() };
            let limit = format!("the baryon density is above 0 and below Omega_m (here Omega_m = {omega_m}{less})");
            return Err(impossible("Omega_b", omega_b, &limit));
        }
        let cosmology = Cosmology { omega_m, omega_b, h, n_s, sigma8, beyond, photons, neutrinos, mass, omega_nu };
        // From 1e-4 to 1.3, as far as growth is followed.
        let stops = (0..=400).map(|i| 1e-4 * 1.3e4_f64.powf(i as f64 / 400.0)).find(|&a| cosmology.e(a).is_nan());
        match stops {
            Some(a) => {
                Err(impossible("Omega_k", omega_k, &format!("such a universe does not expand at scale factor {a:.3}")))
            }
            None => Ok(cosmology),
        }
    }

    /// The same universe with massless neutrinos and as much matter.
    pub fn without_neutrino_mass(&self) -> Self {
        let beyond = Extension { m_nu: 0.0, ..self.beyond };
        Cosmology { beyond, mass: 0.0, omega_nu: 0.0, ..*self }
    }

    /// Its parameters in the order of [`NAMES`].
    pub fn values(&self) -> [f64; NAMES.len()] {
        let Extension { omega_k, w0, wa, m_nu, n_eff, .. } = self.beyond;
        [self.omega_m, self.omega_b, self.h, self.n_s, self.sigma8, omega_k, w0, wa, m_nu, n_eff]
    }

    /// Density of all matter, massive neutrinos among it, over the critical density today.
    pub fn omega_m(&self) -> f64 {
        self.omega_m
    }

    /// Baryon density today over the critical density.
    pub fn omega_b(&self) -> f64 {
        self.omega_b
    }

    /// Density of massive neutrinos over the critical density today; 0 of massless ones.
    pub fn omega_nu(&self) -> f64 {
        self.omega_nu
    }

    /// Density of cold dark matter and baryons over the critical density today.
    pub fn omega_cb(&self) -> f64 {
        self.omega_m - self.omega_nu
    }

    /// Density of what has no mass, photons and massless neutrinos, over the critical density today.
    pub fn omega_r(&self) -> f64 {
        if self.beyond.m_nu > 0.0 { self.photons } else { self.photons + self.neutrinos }
    }

    /// Curvature today: 1 less all densities over the critical density.
    pub fn omega_k(&self) -> f64 {
        self.beyond.omega_k
    }

    /// Density of dark energy over the critical density today: what is left.
    pub fn omega_lambda(&self) -> f64 {
        1.0 - self.omega_m - self.beyond.omega_k - self.omega_r()
    }

    /// What goes beyond flat ΛCDM, as it was given.
    pub fn beyond(&self) -> &Extension {
        &self.beyond
    }

    /// Sum of the neutrinos' masses in eV.
    pub fn m_nu(&self) -> f64 {
        self.beyond.m_nu
    }

    /// Hubble constant in 100 km/s/Mpc.
    pub fn h(&self) -> f64 {
        self.h
    }

    /// Index of the primordial spectrum, P ∝ kⁿ.
    pub fn n_s(&self) -> f64 {
        self.n_s
    }

    /// Linear rms of the density of all matter in spheres of 8 Mpc/h today.
    pub fn sigma8(&self) -> f64 {
        self.sigma8
    }

    /// Comoving mean density of cold dark matter and baryons, which particles and halos are made of, in
    /// (Msun/h)/(Mpc/h)³.
    pub fn mean_cold_density(&self) -> f64 {
        self.omega_cb() * RHO_CRIT
    }

    /// Comoving mean matter density in (Msun/h)/(Mpc/h)³.
    pub fn mean_density(&self) -> f64 {
        self.omega_m * RHO_CRIT
    }
}
