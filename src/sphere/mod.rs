//! Maps of the whole sky in HEALPix pixels (Górski et al. 2005), and spherical harmonic transforms, spread over ranks.
//!
//! # Conventions (they stand here once)
//! * f(θ, φ) = Σ_ℓm a_ℓm Y_ℓm(θ, φ), with the Condon–Shortley phase and ∫ |Y_ℓm|² = 1. Maps are real: a_ℓ,−m = (−1)^m a*_ℓm, and
//!   only m ≥ 0 are kept. C_ℓ = Σ_m |a_ℓm|² / (2ℓ + 1), over all m.
//! * A field of spin 2 is Q + iU = −Σ (E_ℓm + iB_ℓm) ₂Y_ℓm, in healpy's sign of U (that of COSMO: φ to the right of θ).
//! * Pixels are in RING order. Transforms neither apply nor remove a pixel window: a map has its band-limited field at the
//!   pixels' centres. [`pixel_window`] is what averages over pixels would have.
//!
//! # Layout
//! Of a map a rank has whole rings, one after the other, so that its pixels are consecutive; of the a_ℓm it has every
//! (number of ranks)th m. Sums over ℓ are for all rings of the ranks' own m, those over m for all m of the ranks' own
//! rings, and one exchange lies between them. Each sum is one rank's, in one order: the same bits on any number of ranks.

mod alm;
mod footprint;
mod legendre;
mod lognormal;
mod pixels;
mod recursion;
mod register;
mod rings;
mod spin;
mod transform;
mod window;

pub use alm::Alm;
pub use footprint::Footprint;
pub use lognormal::{Conditional, LognormalShells};
pub use rings::{MAX_NSIDE, Ring, Rings};
pub use transform::Sht;
pub use window::pixel_window;

/// A mode, in double precision.
pub type Complex = crate::mesh::Complex<f64>;
