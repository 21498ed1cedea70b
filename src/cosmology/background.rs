//! The expansion of the universe: E(a) = H(a)/H0 and distances.

use super::{Cosmology, fermi_dirac};
use crate::units::{H100, HUBBLE_DISTANCE};
use gauss_quad::GaussLegendre;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

static RULE: LazyLock<GaussLegendre> = LazyLock::new(|| GaussLegendre::new(const { NonZeroUsize::new(64).unwrap() }));

impl Cosmology {
    /// Energy densities over the critical density today and their d/dln a = −3 (ρ + p); the Friedmann equation is their
    /// sum. Dark energy is that of Chevallier & Polarski 2001 and Linder 2003, w = w0 + wa (1 − a).
    fn densities(&self, a: f64) -> [(f64, f64); 5] {
        let matter = self.omega_cb() * a.powi(-3);
        let radiation = self.omega_r() * a.powi(-4);
        let curvature = self.beyond.omega_k * a.powi(-2);
        [
            (matter, -3.0 * matter),
            self.dark_energy(a),
            (curvature, -2.0 * curvature),
            (radiation, -4.0 * radiation),
            self.massive_neutrinos(a),
        ]
    }

    pub(super) fn dark_energy(&self, a: f64) -> (f64, f64) {
        let (w0, wa) = (self.beyond.w0, self.beyond.wa);
        let density = self.omega_lambda() * a.powf(-3.0 * (1.0 + w0 + wa)) * (-3.0 * wa * (1.0 - a)).exp();
        (density, -3.0 * (1.0 + w0 + wa * (1.0 - a)) * density)
    }

    fn massive_neutrinos(&self, a: f64) -> (f64, f64) {
        if self.mass == 0.0 {
            return (0.0, 0.0);
        }
        let (massless, y) = (self.neutrinos * a.powi(-4), self.mass * a);
        let (density, pressure) = (massless * fermi_dirac::density(y), massless * fermi_dirac::pressure(y) / 3.0);
        (density, -3.0 * (density + pressure))
    }

    /// Density of massive neutrinos at `a` in units of today's critical density over a³: [`Self::omega_nu`] today, more
    /// while they are fast.
    pub fn omega_nu_comoving(&self, a: f64) -> f64 {
        self.massive_neutrinos(a).0 * a.powi(3)
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

    /// Matter density over the critical density at `a`, all matter thinning as a⁻³.
    pub fn omega_m_at(&self, a: f64) -> f64 {
        self.omega_m * a.powi(-3) / self.e(a).powi(2)
    }

    /// Scale factor at which radiation (neutrinos still fast) and matter weigh the same; 0 without radiation.
    pub fn equality(&self) -> f64 {
        (self.photons + self.neutrinos) / self.omega_m
    }

    /// Comoving distance to scale factor `a` in Mpc/h, along the line of sight: c/H0 ∫ da / (a² E). Over u = √a the
    /// integrand 2/(u³E) is smooth at all times, so one Gauss rule holds to rounding as far as recombination.
    pub fn comoving_distance(&self, a: f64) -> f64 {
        HUBBLE_DISTANCE * RULE.integrate(a.sqrt(), 1.0, |u| 2.0 / (u.powi(3) * self.e(u * u)))
    }

    /// Comoving distance f_K(χ) across the line of sight, per radian, in Mpc/h, of what lies at `chi` Mpc/h along it: a
    /// sine of it in a closed universe, a hyperbolic one in an open.
    pub fn transverse_distance(&self, chi: f64) -> f64 {
        let radius = self.curvature_radius();
        match self.beyond.omega_k {
            0.0 => chi,
            open if open > 0.0 => radius * (chi / radius).sinh(),
            _ => radius * (chi / radius).sin(),
        }
    }

    /// d f_K/dχ of the [transverse distance](Self::transverse_distance) f_K: the cosine that belongs to its sine, 1 in
    /// a flat universe.
    pub fn transverse_slope(&self, chi: f64) -> f64 {
        let angle = chi / self.curvature_radius();
        if self.beyond.omega_k > 0.0 { angle.cosh() } else { angle.cos() }
    }

    /// Comoving radius of curvature in Mpc/h, c/H0 / √|Ω_k|; infinite in a flat universe.
    pub fn curvature_radius(&self) -> f64 {
        HUBBLE_DISTANCE / self.beyond.omega_k.abs().sqrt()
    }

    /// Scale factor at a comoving distance of `chi` Mpc/h along the line of sight, the inverse of
    /// [`Self::comoving_distance`]; nothing beyond scale factor 1e-5.
    pub fn scale_factor_at(&self, chi: f64) -> Option<f64> {
        let (mut low, mut high) = (1e-5, 1.0);
        if !(0.0..=self.comoving_distance(low)).contains(&chi) {
            return None;
        }
        // Newton's method over √a, where the distance is nearly straight; halved where it would leave the bracket.
        let mut a: f64 = (1.0 - chi / self.comoving_distance(low)).powi(2).clamp(low, high);
        for _ in 0..100 {
            let off = self.comoving_distance(a) - chi;
            (low, high) = if off > 0.0 { (a, high) } else { (low, a) };
            let root = a.sqrt() + off * a.powf(1.5) * self.e(a) / (2.0 * HUBBLE_DISTANCE);
            let next = if root > low.sqrt() && root < high.sqrt() { root * root } else { 0.5 * (low + high) };
            if (next - a).abs() < 1e-15 * a {
                break;
            }
            a = next;
        }
        Some(a)
    }
}
