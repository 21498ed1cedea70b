//! What one step sends between ranks, counted from the layout: the rank with the largest block speaks for all.

use crate::comm::share;
use crate::mesh::Halo;
use std::ops::{Add, Mul};

/// Bytes that a rank sends to others, and the messages that carry them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    pub bytes: f64,
    pub messages: f64,
}

impl Add for Traffic {
    type Output = Traffic;
    fn add(self, other: Traffic) -> Traffic {
        Traffic { bytes: self.bytes + other.bytes, messages: self.messages + other.messages }
    }
}

impl Mul<f64> for Traffic {
    type Output = Traffic;
    fn mul(self, times: f64) -> Traffic {
        Traffic { bytes: self.bytes * times, messages: self.messages * times }
    }
}

/// A mesh of n³ points over a process grid P0 × P1.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub n: usize,
    pub grid: [usize; 2],
    /// Bytes of a real number.
    pub real: usize,
}

impl Layout {
    /// Points per axis 0 and 1 of the largest block.
    pub fn block(&self) -> [usize; 2] {
        [0, 1].map(|axis| share(self.n, self.grid[axis], 0).1)
    }

    /// Points of the largest block.
    pub fn points(&self) -> f64 {
        let [a0, a1] = self.block();
        a0 as f64 * a1 as f64 * self.n as f64
    }

    /// One transform: an exchange of the complex block along each axis that is split, of which 1/P stays.
    pub fn transform(&self) -> Traffic {
        let ([a0, a1], half) = (self.block(), self.n / 2 + 1);
        let along = |parts: usize, complex: usize| Traffic {
            bytes: 2.0 * (self.real * complex) as f64 * (1.0 - 1.0 / parts as f64),
            messages: parts as f64 - 1.0,
        };
        along(self.grid[1], a0 * a1 * half) + along(self.grid[0], a0 * self.n * share(half, self.grid[1], 0).1)
    }

    /// Filling or adding a halo: its layers on either side of the block, corners included.
    pub fn halo(&self, halo: Halo) -> Traffic {
        let ([a0, a1], width) = (self.block(), halo.lo + halo.hi);
        let along = |axis: usize, others: usize| {
            let split = self.grid[axis] > 1;
            let bytes = if split { self.real * width * others * (self.n + width) } else { 0 };
            Traffic { bytes: bytes as f64, messages: self.grid[axis] as f64 - 1.0 }
        };
        along(0, a1 + width) + along(1, a0)
    }

    /// Particles that change ranks: four exchanges (counts, identities, positions, momenta) among all ranks.
    pub fn particles(&self, crossing: f64, bytes: f64) -> Traffic {
        let others = (self.grid[0] * self.grid[1]) as f64 - 1.0;
        Traffic { bytes: crossing * bytes + 8.0 * others, messages: 4.0 * others }
    }

    /// Fraction of the particles that leave their rank in a step of `shift` (mean |Δx| along an axis, as a fraction of
    /// the box): shift × P along each axis that is split.
    pub fn crossing(&self, shift: f64) -> f64 {
        let split = self.grid.iter().filter(|&&parts| parts > 1);
        split.fold(0.0, |sum: f64, &parts| sum + shift * parts as f64).min(1.0)
    }
}
