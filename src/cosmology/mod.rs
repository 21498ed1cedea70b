//! Background, growth, transfer functions and power spectra.
