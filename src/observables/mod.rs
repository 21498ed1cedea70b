//! Density maps and spectra of a particle distribution.
