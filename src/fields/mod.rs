//! White noise, Gaussian fields, Fourier kernels and measured spectra.

pub mod kernels;
pub mod linear;
pub mod noise;
pub mod spectrum;
