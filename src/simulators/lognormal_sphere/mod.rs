//! `kind = "lognormal-sphere"`: lognormal matter in shells around the observer, correlated between them, and the weak lensing of
//! the whole sky (as GLASS, Tessore et al. 2023, Open J. Astrophys. 6, 11).
//!
//! Shells are drawn and left one after the other, the nearest first: κ_b = Σ_k q_bk δ_k along straight lines, with
//! q_bk = ∫ W_b dχ over the shell and W_b = 3/2 Ωm (H0/c)² f_K(χ)/a ∫ n_b(χ_s) f_K(χ_s − χ)/f_K(χ_s) dχ_s. Shear is γ = ½ ð²ψ of the same
//! potential, γ_ℓm = √((ℓ + 2)(ℓ − 1)/(ℓ(ℓ + 1))) κ_ℓm as an E mode, in the frame of θ (γ1) and φ: around a mass it is tangential.

mod bench;
mod config;
mod runner;
mod section;
mod spectra;

pub use config::LognormalSphereConfig;
