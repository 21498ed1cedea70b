//! The expansion of the universe: E(a) = H(a)/H0 and distances.

use super::Cosmology;
use crate::units::{H100, HUBBLE_DISTANCE};
use gauss_quad::GaussLegendre;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

static RULE: LazyLock<GaussLegendre> = LazyLock::new(|| GaussLegendre::new(const { NonZeroUsize::new(64).unwrap() }));

impl Cosmology {
    /// Energy densities over the critical density today and their d/dln a. The Friedmann equation is their sum, so that
    /// radiation (Ω a⁻⁴), curvature (Ω a⁻²) or w0–wa dark energy are one more line each.
    fn densities(&self, a: f64) -> [(f64, f64); 2] {
        let matter = self.omega_m * a.powi(-3);
        [(matter, -3.0 * matter), (self.omega_lambda(), 0.0)]
    }

    /// E(a) = H(a)/H0.
    pub fn e(&self, a: f64) -> f64 {
        self.densities(a).iter().map(|d| d.0).sum::<f64>().sqrt()
    }

    /// d ln H / d ln a.
    pub fn dlnh_dlna(&self, a: f64) -> f64 {
        let [sum, slope] = self.densities(a).iter().fold([0.0; 2], |[s, t], d| [s + d.0, t + d.1]);
        0.5 * slope / sum
    }

    /// H(a) in km/s/(Mpc/h).
    pub fn hubble(&self, a: f64) -> f64 {
        H100 * self.e(a)
    }

    /// Matter density over the critical density at `a`.
    pub fn omega_m_at(&self, a: f64) -> f64 {
        self.omega_m * a.powi(-3) / self.e(a).powi(2)
    }

    /// Comoving distance to scale factor `a` in Mpc/h: c/H0 ∫ da / (a² E). Over u = √a the integrand 2/(u³E) is smooth
    /// at all times, so one Gauss rule holds to rounding as far as recombination.
    pub fn comoving_distance(&self, a: f64) -> f64 {
        HUBBLE_DISTANCE * RULE.integrate(a.sqrt(), 1.0, |u| 2.0 / (u.powi(3) * self.e(u * u)))
    }
}
