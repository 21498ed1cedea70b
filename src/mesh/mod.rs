//! The distributed mesh: pencil decomposition, halos and FFT. The only user of `fftw`.
//!
//! # Conventions (they stand here once)
//! * A field on N0 × N1 × N2 points of a periodic box has point (i0, i1, i2) at x_d = i_d L / N_d; C order, axis 2
//!   fastest.
//! * Forward: c(k) = Σ_x f(x) exp(−i k·x). Inverse: f(x) = Σ_k c(k) exp(+i k·x). Neither is normalised: a round trip
//!   multiplies by N0 N1 N2. Kernels carry the 1/N³, so that no pass over the mesh is spent on it.
//! * k_d = 2π n_d / L with n_d in −N_d/2 … (N_d−1)/2, and n_2 ≥ 0 only (half-complex storage).
//! * With δ(x) the overdensity and c its forward transform over N³, the power spectrum is P(k) = V ⟨|c|²⟩, V = L³.
//!
//! # Layout
//! Real space: axes 0 and 1 are split over a process grid P0 × P1, axis 2 is whole. Fourier space: axis 0 is whole,
//! axis 1 split over P0, axis 2 over P1. A slab is P1 = 1. Ranks may hold nothing.

mod array;
mod decomposition;
mod fft;
mod halo;
mod plane;
pub mod plans;
mod real;
mod rows;
mod yardstick;

pub use array::{Mesh, Modes};
pub use decomposition::{Block, Decomposition, Halo, compact_grid};
pub use fft::{Fft, Transform};
pub use plane::Plane;
pub use real::{Real, library_version};
pub use rows::Rows;

pub use yardstick::yardstick;

pub use num_complex::Complex;
