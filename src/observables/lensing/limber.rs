//! Angular spectra in Limber's approximation.

use crate::cosmology::Cosmology;
use gauss_quad::GaussLegendre;
use std::num::NonZeroUsize;

/// Angular power spectrum of two fields ∫ W_i δ dχ and ∫ W_j δ dχ on the sky:
///
/// C_ℓ = ∫ dχ W_i(χ) W_j(χ) / f_K²(χ) · P(k = (ℓ + ½)/f_K(χ), χ)
///
/// (Limber 1953; Kaiser 1998 for the transverse distance f_K; LoVerde & Afshordi 2008 for the ½). `weights` is W_i W_j
/// in (h/Mpc)² — of convergence the product of two [kernels](super::Sources::kernel) —, `power` the spectrum P(k, χ) in
/// (Mpc/h)³ at k in h/Mpc when light left the distance χ in Mpc/h: of convergence that of all matter, which beside
/// massive neutrinos is the particles' times the square of [`factor`](crate::cosmology::NeutrinoResponse::factor). By a
/// Gauss rule of 256 points from 0 to `chi_max`.
pub fn limber_cl(
    cosmology: &Cosmology,
    ell: f64,
    chi_max: f64,
    weights: impl Fn(f64) -> f64,
    power: impl Fn(f64, f64) -> f64,
) -> f64 {
    const POINTS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
    let integrand = |chi: f64| {
        let across = cosmology.transverse_distance(chi);
        weights(chi) / (across * across) * power((ell + 0.5) / across, chi)
    };
    GaussLegendre::new(POINTS).integrate(0.0, chi_max, integrand)
}
