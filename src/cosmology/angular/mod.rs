//! Angular power spectra of fields on the sky: read from files ([`AngularSpectra::read`]), or predicted for the
//! convergence and the counts of galaxies in any redshift bins ([`TracersConfig`], [`Tracers::spectra`]).
//!
//! A field is the projection of the matter density contrast, a = ∫ dχ W(χ) δ, with these weights in h/Mpc (Bartelmann &
//! Schneider 2001; Bridle & King 2007; Joachimi et al. 2011; Hui, Gaztañaga & LoVerde 2007):
//!
//! | | W(χ) |
//! |---|---|
//! | convergence | W_κ = 3/2 Ωm (H0/c)² f_K(χ)/a ∫ n(χ') f_K(χ' − χ)/f_K(χ') dχ' |
//! | its intrinsic alignments | −A_IA C₁ ρ_cr Ωm/D1(a) ((1 + z)/(1 + z0))^η n(χ), C₁ ρ_cr = 0.01388 |
//! | counts | b n(χ) |
//! | their magnification | (5 s − 2) W_κ |
//!
//! Convergence stands for shear, whose spectra have (ℓ + 2)(ℓ − 1)/(ℓ (ℓ + 1)) times the power.

mod bessel;
mod config;
mod kernels;
mod skewness;
mod spectra;
mod tracers;

pub use config::{Alignments, Nuisance, TracersConfig};
pub use spectra::AngularSpectra;
pub use tracers::Tracers;
