//! The linear matter power spectrum today, and the variance it gives.

use super::{Cosmology, EisensteinHu, NeutrinoResponse, Spline};
use crate::error::{Error, Result};
use crate::units::HUBBLE_DISTANCE;
use gauss_quad::GaussLegendre;
use std::f64::consts::PI;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// Range of the tabulated fit in h/Mpc, and its number of points.
const RANGE: (f64, f64) = (1e-5, 1e3);
const POINTS: usize = 2400;

/// Linear P(k) at z = 0, normalised to sigma8: a cubic spline in ln k and ln P, continued by power laws.
#[derive(Debug, Clone)]
pub struct LinearPower {
    ln_p: Spline,
    /// What the spline is multiplied with, as a logarithm.
    ln_amplitude: f64,
}

impl LinearPower {
    /// P ∝ k^n_s T² of all matter, T of Eisenstein & Hu 1998 with (`wiggles`) or without acoustic oscillations, times
    /// the growth beside massive neutrinos where there are such.
    pub fn eisenstein_hu(cosmology: &Cosmology, wiggles: bool) -> Result<Self> {
        let fit = EisensteinHu::new(cosmology)?;
        let (first, last) = (RANGE.0.ln(), RANGE.1.ln());
        let ln_k: Vec<f64> = (0..POINTS).map(|i| first + (last - first) * i as f64 / (POINTS - 1) as f64).collect();
        let transfer = |k: f64| if wiggles { fit.wiggle(k) } else { fit.no_wiggle(k) };
        let ln_p = ln_k.iter().map(|x| cosmology.n_s * x + 2.0 * transfer(x.exp()).ln()).collect();
        let mut power = LinearPower { ln_p: Spline::new(ln_k, ln_p), ln_amplitude: 0.0 };
        if let Some(response) = NeutrinoResponse::new(cosmology) {
            power = power.transferred(response.matter_at(1.0));
        }
        Ok(Self::normalised(power.ln_p, cosmology.sigma8))
    }

    /// From any ln P over ln k (k in h/Mpc), rescaled so that sigma(8 Mpc/h) = `sigma8`.
    pub fn normalised(ln_p: Spline, sigma8: f64) -> Self {
        let mut power = LinearPower { ln_p, ln_amplitude: 0.0 };
        power.ln_amplitude = 2.0 * (sigma8.ln() - power.sigma(8.0).ln());
        power
    }

    /// The spectrum of what is `ratio`(k) times as large, k in h/Mpc: of another time or kind of matter.
    pub fn transferred(&self, ratio: impl Fn(f64) -> f64) -> Self {
        let (x, y) = self.ln_p.nodes();
        let ln_p = x.iter().zip(y).map(|(x, y)| y + 2.0 * ratio(x.exp()).ln()).collect();
        self.with_shape(Spline::new(x.to_vec(), ln_p))
    }

    /// Another ln P over ln k, multiplied by what made this one's sigma8.
    pub(super) fn with_shape(&self, ln_p: Spline) -> Self {
        LinearPower { ln_p, ln_amplitude: self.ln_amplitude }
    }

    /// P(k) in (Mpc/h)³, k in h/Mpc; 0 at k = 0.
    pub fn p(&self, k: f64) -> f64 {
        if k > 0.0 { (self.ln_p.at(k.ln()) + self.ln_amplitude).exp() } else { 0.0 }
    }

    /// P(k) at every k.
    pub fn p_all(&self, k: &[f64]) -> Vec<f64> {
        k.iter().map(|&k| self.p(k)).collect()
    }

    /// Linear rms of the density in spheres of radius `r` Mpc/h: σ² = ∫ dln k k³P/(2π²) W(kr)², W the top hat's.
    pub fn sigma(&self, r: f64) -> f64 {
        self.over_spheres(r, |x| top_hat(x).powi(2)).sqrt()
    }

    /// [`Self::sigma`] and dlnσ/dln r.
    pub fn sigma_and_slope(&self, r: f64) -> (f64, f64) {
        let variance = self.over_spheres(r, |x| top_hat(x).powi(2));
        let slope = self.over_spheres(r, |x| top_hat(x) * top_hat_slope(x));
        (variance.sqrt(), slope / variance)
    }

    /// ∫ dln k k³P/(2π²) `window`(kr).
    fn over_spheres(&self, r: f64, window: impl Fn(f64) -> f64) -> f64 {
        /// Panels in ln k: narrower than the acoustic oscillations where they matter.
        const PANELS: usize = 96;
        static RULE: LazyLock<GaussLegendre> =
            LazyLock::new(|| GaussLegendre::new(const { NonZeroUsize::new(16).unwrap() }));
        // Below: far beyond the peak of P and kr ≪ 1; above: W² has fallen below 1e-8.
        let (first, last) = ((1e-3 / r).min(1e-5).ln(), (200.0 / r).ln());
        let panel = (last - first) / PANELS as f64;
        let integrand = |ln_k: f64| {
            let k = ln_k.exp();
            k.powi(3) * self.p(k) * window(k * r)
        };
        let edge = |i: usize| first + i as f64 * panel;
        let sum: f64 = (0..PANELS).map(|i| RULE.integrate(edge(i), edge(i + 1), integrand)).sum();
        sum / (2.0 * PI * PI)
    }

    /// α(k) = δ_k / Φ_k today, with Φ Bardeen's potential in the matter era and `d1_over_a` the growth today over that
    /// of a universe of matter alone: 2 k² T(k) D / (3 Ωm H0²/c²), T the spectrum's own transfer function, 1 at small
    /// k.
    pub fn poisson(&self, cosmology: &Cosmology, d1_over_a: f64) -> impl Fn(f64) -> f64 + '_ {
        let n_s = cosmology.n_s;
        let shape = move |k: f64| (self.p(k) / k.powf(n_s)).sqrt();
        // Where T = 1 to 1e-4, or the table's first point.
        let whole = shape(self.k_range().0.max(1e-5));
        let scale = 2.0 * HUBBLE_DISTANCE.powi(2) * d1_over_a / (3.0 * cosmology.omega_m);
        move |k| scale * k * k * shape(k) / whole
    }

    /// Smallest and largest tabulated k in h/Mpc; outside, P is a continued power law.
    pub fn k_range(&self) -> (f64, f64) {
        let (first, last) = self.ln_p.range();
        (first.exp(), last.exp())
    }

    /// Refuses a table that would have to be continued between `k_min` and `k_max` (h/Mpc): say 2π/L and √3 πN/L of a
    /// box of L Mpc/h with N³ modes.
    pub fn check_covers(&self, k_min: f64, k_max: f64) -> Result<()> {
        let (first, last) = self.k_range();
        if first <= k_min * (1.0 + 1e-9) && last >= k_max * (1.0 - 1e-9) {
            return Ok(());
        }
        Err(Error::input(format!(
            "the linear spectrum runs from {first:.3e} to {last:.3e} h/Mpc, the box needs {k_min:.3e} to {k_max:.3e}"
        ))
        .key("cosmology.table")
        .remedy("write a table over a wider range of k, or choose another box or mesh"))
    }
}

/// Fourier transform of a spherical top hat of unit radius and volume: 3 (sin x − x cos x)/x³.
fn top_hat(x: f64) -> f64 {
    if x < 0.1 {
        let x2 = x * x;
        1.0 - x2 / 10.0 + x2 * x2 / 280.0 - x2 * x2 * x2 / 15120.0
    } else {
        3.0 * (x.sin() - x * x.cos()) / x.powi(3)
    }
}

/// Its d/dln x: 3 [sin x/x − W].
fn top_hat_slope(x: f64) -> f64 {
    if x < 0.1 {
        let x2 = x * x;
        -x2 / 5.0 + x2 * x2 / 70.0 - x2 * x2 * x2 / 2520.0
    } else {
        3.0 * (x.sin() / x - top_hat(x))
    }
}
