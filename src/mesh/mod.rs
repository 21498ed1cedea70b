//! Pencil decomposition and distributed FFT. The only user of `fftw`.
