//! White noise, Gaussian fields, Fourier kernels, and the statistics that fields are summarised by.

pub mod bins;
pub mod bispectrum;
pub mod cross;
pub mod flat_sky;
pub mod grid_spectra;
pub mod kernels;
pub mod linear;
pub mod lognormal;
pub mod lognormal_box;
pub mod multipoles;
pub mod noise;
pub mod one_point;
pub mod peaks;
pub mod primordial;
pub mod shells;
pub mod spectrum;
