//! Repetitions of the periodic box along the line of sight.

use crate::rng::stream;
use rand::Rng;
use rand::seq::SliceRandom;

/// A symmetry of the periodic box: axes exchanged, mirrored, then shifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replica {
    /// Coordinate d of the replica is coordinate `axes[d]` of the box.
    pub axes: [usize; 3],
    /// Whether it counts backwards.
    pub mirrored: [bool; 3],
    /// What is then added, in box lengths: 0 to 1.
    pub shift: [f64; 3],
}

impl Replica {
    /// The box as it is.
    pub const PLAIN: Replica = Replica { axes: [0, 1, 2], mirrored: [false; 3], shift: [0.0; 3] };

    /// Coordinate `d` in the replica, in [0, l), of a position of the box of side `l`, given as its coordinates.
    #[inline(always)]
    pub fn coordinate(&self, d: usize, l: f64, x: impl Fn(usize) -> f64) -> f64 {
        let x = x(self.axes[d]);
        let y = (if self.mirrored[d] { -x } else { x } + self.shift[d] * l).rem_euclid(l);
        if y < l { y } else { 0.0 }
    }
}

/// The replica at every place along the line of sight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replicas {
    random: Option<(u64, u64, u64)>,
}

impl Replicas {
    /// The box as it is, everywhere.
    pub fn plain() -> Self {
        Replicas { random: None }
    }

    /// One of the 48 symmetries of the cube and a uniform shift for each place, so that no structure is met twice at
    /// the same angle. They depend on (seed, realisation, view, place) alone; every `view` is another light cone
    /// through the same simulation.
    pub fn random(seed: u64, realisation: u64, view: u32) -> Self {
        Replicas { random: Some((seed, realisation, u64::from(view))) }
    }

    /// The replica from `index` to `index + 1` box lengths.
    pub fn at(&self, index: u32) -> Replica {
        let Some((seed, realisation, view)) = self.random else { return Replica::PLAIN };
        let mut rng = stream(seed, realisation, "replication", view << 32 | u64::from(index));
        let mut axes = [0, 1, 2];
        axes.shuffle(&mut rng);
        Replica { axes, mirrored: rng.random(), shift: rng.random() }
    }
}
