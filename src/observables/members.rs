//! Sums over the members of groups that lie on several ranks.
//!
//! They are sums of whole numbers (units of 2⁻²⁸ Mpc/h or km/s, in 128 bits), which give the same bits in any order: a
//! catalogue does not depend on the number of ranks.

use crate::comm::Comm;
use bytemuck::{Pod, Zeroable};

/// Steps per Mpc/h and per km/s of the sums.
const UNIT: f64 = (1u64 << 28) as f64;

/// A part of a group asks the group's owner whether it is large enough, and where to measure distances from.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Claim {
    pub label: u64,
    pub count: u64,
    /// Position of the particle that gave the label; NaN where it is not here.
    pub reference: [f64; 3],
}

/// Sums over a part of a halo, or a whole one.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Sums {
    pub label: u64,
    pub count: u64,
    /// Position of the particle that gave the label, Mpc/h.
    pub reference: [f64; 3],
    /// Lattice points from the label's.
    pub lattice: [i64; 3],
    /// From the reference.
    pub distance: [i128; 3],
    pub distance_square: i128,
    pub velocity: [i128; 3],
    pub velocity_square: i128,
}

impl Sums {
    pub fn new(label: u64, reference: [f64; 3]) -> Self {
        Sums { label, reference, ..Zeroable::zeroed() }
    }

    /// A member at a distance (Mpc/h), with a velocity (km/s) and a lattice point, both distances from the reference's.
    pub fn add(&mut self, distance: [f64; 3], velocity: [f64; 3], lattice: [i64; 3]) {
        let (d, v) = (distance.map(whole), velocity.map(whole));
        self.count += 1;
        for k in 0..3 {
            self.lattice[k] += lattice[k];
            self.distance[k] += d[k];
            self.distance_square += d[k] * d[k];
            self.velocity[k] += v[k];
            self.velocity_square += v[k] * v[k];
        }
    }

    /// Mean of a column.
    pub fn mean(&self, sum: [i128; 3]) -> [f64; 3] {
        sum.map(|s| s as f64 / (self.count as f64 * UNIT))
    }

    /// ⟨|x − ⟨x⟩|²⟩ of a column: Σ|x − ⟨x⟩|² = Σx² − |Σx|²/n, in whole numbers before anything is rounded.
    pub fn variance(&self, square: i128, sum: [i128; 3]) -> f64 {
        let n = self.count as i128;
        let around = square - sum.iter().map(|s| s / n * s + s % n * s / n).sum::<i128>();
        around.max(0) as f64 / (n as f64 * UNIT * UNIT)
    }

    fn merge(&mut self, other: &Sums) {
        self.count += other.count;
        self.distance_square += other.distance_square;
        self.velocity_square += other.velocity_square;
        for k in 0..3 {
            self.lattice[k] += other.lattice[k];
            self.distance[k] += other.distance[k];
            self.velocity[k] += other.velocity[k];
        }
    }
}

fn whole(x: f64) -> i128 {
    (x * UNIT).round() as i128
}

/// The shortest way round a circle of circumference `l`.
pub(super) fn nearest(d: f64, l: f64) -> f64 {
    d - l * (d / l).round()
}

/// Lattice point of a Lagrangian identity, C order, `n` per side.
pub(super) fn lattice_point(id: u64, n: u64) -> [i64; 3] {
    [id / (n * n) % n, id / n % n, id % n].map(|i| i as i64)
}

/// The rank that puts a group's parts together.
pub(super) fn owner(comm: &Comm, label: u64) -> usize {
    (label % comm.size() as u64) as usize
}

/// Answers every claim with the position that its group's distances are measured from; NaN if the group is too small.
pub(super) fn judge(claims: &[Claim], min_members: u64) -> Vec<[f64; 3]> {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_unstable_by_key(|&i| claims[i].label);
    let mut answers = vec![[f64::NAN; 3]; claims.len()];
    for group in order.chunk_by(|&i, &j| claims[i].label == claims[j].label) {
        let count: u64 = group.iter().map(|&i| claims[i].count).sum();
        let reference = group.iter().map(|&i| claims[i].reference).find(|x| !x[0].is_nan());
        if let Some(x) = reference.filter(|_| count >= min_members) {
            group.iter().for_each(|&i| answers[i] = x);
        }
    }
    answers
}

/// Adds up the parts of each group.
pub(super) fn merge(mut parts: Vec<Sums>) -> Vec<Sums> {
    parts.sort_unstable_by_key(|part| part.label);
    parts.dedup_by(|part, whole| {
        let same = part.label == whole.label;
        if same {
            whole.merge(part);
        }
        same
    });
    parts
}
