//! Angular power spectra of fields on the sky.

mod spectra;

pub use spectra::AngularSpectra;
