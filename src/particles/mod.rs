//! Structure-of-arrays particles, their exchange between ranks, deposit and interpolation.

mod assignment;
mod deposit;
mod domain;
mod interpolate;
mod points;

pub use assignment::Assignment;
pub use deposit::{deposit, deposit_cic};
pub use domain::Domain;
pub use interpolate::{gradient_halo, interpolate, interpolate_gradient};
pub use points::Points;

use crate::mesh::Real;

/// This rank's particles. Every column is as long as `position`, or empty when not in use.
#[derive(Debug, Clone, Default)]
pub struct Particles<T> {
    /// Comoving position in Mpc/h, in [0, L).
    pub position: Vec<[T; 3]>,
    /// Canonical momentum per mass p = a² dx/dt / H0, in Mpc/h; the peculiar velocity is 100 p / a km/s.
    pub momentum: Vec<[T; 3]>,
    /// −∇φ with ∇²φ = δ, in Mpc/h.
    pub acceleration: Vec<[T; 3]>,
    /// Lagrangian identity: index of the lattice point it started from, in C order.
    pub id: Vec<u64>,
    /// Lagrangian displacements ψ1 and ψ2 for D1(1) = 1, in Mpc/h. COLA steps around them; `None` on all
    /// ranks when not in use.
    pub psi: Option<[Vec<[T; 3]>; 2]>,
}

impl<T: Real> Particles<T> {
    /// Number of particles on this rank.
    pub fn len(&self) -> usize {
        self.position.len()
    }

    /// True with none on this rank.
    pub fn is_empty(&self) -> bool {
        self.position.is_empty()
    }
}

/// Wraps a coordinate into [0, L); one box length of overshoot is the common case, rounding at the edge the rare one.
/// What is not finite becomes NaN, never a place in the box.
#[inline(always)]
pub fn wrap<T: Real>(x: T, l: T) -> T {
    let x = if x < T::zero() { x + l } else { x };
    let x = if x >= l { x - l } else { x };
    if x >= T::zero() && x < l {
        return x;
    }
    let inside = x - (x / l).floor() * l;
    if inside.is_nan() { inside } else { inside.max(T::zero()).min(l - l * T::epsilon()) }
}
