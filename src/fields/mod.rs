//! White noise, Gaussian fields, Fourier kernels and measured spectra.

pub mod bispectrum;
pub mod cross;
pub mod kernels;
pub mod linear;
pub mod multipoles;
pub mod noise;
pub mod primordial;
pub mod shells;
pub mod spectrum;
