//! The amplitude f_NL of local primordial non-Gaussianity from a bispectrum.

use super::bispectrum::{Bispectrum, Triangles};

/// A fitted amplitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalFit {
    /// f_NL in Φ = φ + f_NL (φ² − ⟨φ²⟩).
    pub f_nl: f64,
    /// Its standard deviation in a Gaussian universe, as far as triangles are independent.
    pub sigma: f64,
}

/// Fits f_NL to a linear bispectrum: with δ_k = M(k) Φ_k and P_φ the spectrum of the Gaussian φ,
///
/// B = f_NL T, T = 2 M_1 M_2 M_3 [P_φ1 P_φ2 + P_φ2 P_φ3 + P_φ3 P_φ1] (Komatsu & Spergel 2001),
///
/// averaged over the very triangles that were measured, and f_NL = Σ w B T / Σ w T² with the inverse Gaussian variance
/// as w. Triangles of a [`super::shells::Shells::squeezed`] list, where gravity leaves least, constrain it best. What
/// gravity makes is to be subtracted from `measured` beforehand. `transfer` is M(k), `potential` P_φ(k) in (Mpc/h)³, k
/// in h/Mpc; `shot_noise` V/N in (Mpc/h)³ only widens the variance. Collective.
pub fn fit_local_f_nl(
    triangles: &Triangles,
    measured: &Bispectrum,
    transfer: impl Fn(f64) -> f64,
    potential: impl Fn(f64) -> f64,
    shot_noise: f64,
) -> LocalFit {
    let template = triangles.template(|k| transfer(k) * potential(k), |k| 2.0 * transfer(k));
    let middle = |b: usize| triangles.shells().middle(b);
    let variance = triangles.gaussian_variance(|b| transfer(middle(b)).powi(2) * potential(middle(b)) + shot_noise);
    let (mut signal, mut norm) = (0.0, 0.0);
    for ((b, t), v) in measured.bispectrum.iter().zip(&template).zip(&variance) {
        signal += b * t / v;
        norm += t * t / v;
    }
    LocalFit { f_nl: signal / norm, sigma: norm.recip().sqrt() }
}
