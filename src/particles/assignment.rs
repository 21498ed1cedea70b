//! Mass assignment schemes and their weights (Hockney & Eastwood 1981, §5-3 and §8-7).

use crate::mesh::{Halo, Real};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a particle's mass is shared among mesh points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Assignment {
    /// Cloud in cell: 2³ points.
    #[default]
    Cic,
    /// Triangular-shaped cloud: 3³ points.
    Tsc,
}

impl Assignment {
    /// Points per axis p; the Fourier window of a deposit is Π sinc(k_d h / 2)^p.
    pub fn order(self) -> i32 {
        match self {
            Assignment::Cic => 2,
            Assignment::Tsc => 3,
        }
    }

    /// Layers that a deposit, shifted by up to half a cell, needs around the block.
    pub fn halo(self) -> Halo {
        match self {
            Assignment::Cic => Halo { lo: 0, hi: 2 },
            Assignment::Tsc => Halo { lo: 1, hi: 2 },
        }
    }
}

/// The cell below a coordinate in mesh units, relative to a block's start, and the distance to it.
#[inline(always)]
pub(super) fn cell<T: Real>(x: T, n: usize, start: usize) -> (isize, T) {
    // Rounding may put a particle just below L onto the mesh's end: the last cell with distance one.
    let i = x.to_usize().unwrap_or(0).min(n - 1);
    (i as isize - start as isize, x - T::of(i as f64))
}

/// First point and weights of P points around distance `f` above cell `i` (f < 1.5).
pub(super) trait Weights<T, const P: usize> {
    fn weights(i: isize, f: T) -> (isize, [T; P]);
}

/// Weights 1 − f, f.
pub(super) struct Cic;
/// Weights ½ (½ − d)², ¾ − d², ½ (½ + d)² with d the distance above the nearest point.
pub(super) struct Tsc;

impl<T: Real> Weights<T, 2> for Cic {
    #[inline(always)]
    fn weights(i: isize, f: T) -> (isize, [T; 2]) {
        let (i, f) = if f >= T::one() { (i + 1, f - T::one()) } else { (i, f) };
        (i, [T::one() - f, f])
    }
}

impl<T: Real> Weights<T, 3> for Tsc {
    #[inline(always)]
    fn weights(i: isize, f: T) -> (isize, [T; 3]) {
        let half = T::of(0.5);
        let (i, d) = if f >= half { (i, f - T::one()) } else { (i - 1, f) };
        let (low, high) = (half - d, half + d);
        (i, [half * low * low, T::of(0.75) - d * d, half * high * high])
    }
}
