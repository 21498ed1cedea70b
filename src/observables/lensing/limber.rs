//! Angular spectra in Limber's approximation.

use gauss_quad::GaussLegendre;
use std::num::NonZeroUsize;

/// Angular power spectrum of two fields ∫ W_i δ dχ and ∫ W_j δ dχ on the sky:
///
/// C_ℓ = ∫ dχ W_i(χ) W_j(χ) / χ² · P(k = (ℓ + ½)/χ, χ)
///
/// (Limber 1953; LoVerde & Afshordi 2008 for the ½). `weights` is W_i W_j in (h/Mpc)² — of convergence the product of
/// two [kernels](super::Sources::kernel) —, `power` the spectrum P(k, χ) in (Mpc/h)³ at k in h/Mpc when light left the
/// distance χ in Mpc/h. By a Gauss rule of 256 points from 0 to `chi_max`.
pub fn limber_cl(ell: f64, chi_max: f64, weights: impl Fn(f64) -> f64, power: impl Fn(f64, f64) -> f64) -> f64 {
    const POINTS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
    let integrand = |chi: f64| weights(chi) / (chi * chi) * power((ell + 0.5) / chi, chi);
    GaussLegendre::new(POINTS).integrate(0.0, chi_max, integrand)
}
