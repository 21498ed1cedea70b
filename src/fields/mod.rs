//! White noise, Gaussian fields, Fourier kernels and measured spectra.
