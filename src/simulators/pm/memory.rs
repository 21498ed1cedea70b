//! What a universe needs of memory, before it is begun.

use super::config::{PmConfig, Precision};
use crate::comm::share;
use crate::fields::kernels::Gradient;
use crate::gravity::Integrator;
use crate::mesh::compact_grid;
use crate::particles::gradient_halo;

/// Bytes per rank, beside the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// With the particles evenly spread.
    pub expected: u64,
    /// With as many particles on one rank as `max_imbalance` allows.
    pub largest: u64,
}

/// What one group of `ranks` needs for one universe: meshes, particles and exchange buffers, on the rank with the most.
pub fn memory_per_rank(config: &PmConfig, ranks: usize) -> Memory {
    let real = match config.precision {
        Precision::F32 => 4,
        Precision::F64 => 8,
    };
    let (n, m) = (config.particles, config.mesh());
    let grid = config.process_grid.unwrap_or(compact_grid(ranks));
    let part = |n: usize, axis: usize| share(n, grid[axis], 0).1;
    let halo = gradient_halo(config.force.assignment);
    let width = halo.lo + halo.hi;
    let haloed = (part(m, 0) + width) * (part(m, 1) + width) * (m + width.next_multiple_of(8));
    // The FFT's exchanges go through the same buffers: complex numbers on the largest of three layouts.
    let half = m / 2 + 1;
    let complex = [
        part(m, 0) * part(m, 1) * half,
        part(m, 0) * m * share(half, grid[1], 0).1,
        m * share(m, grid[0], 0).1 * share(half, grid[1], 0).1,
    ];
    let modes = 2 * complex.into_iter().max().unwrap_or(0);
    let spectral = if config.force.gradient == Gradient::Spectral { modes } else { 0 };
    let meshes = real * (haloed.max(modes) + modes + spectral);

    let cola = if config.time.integrator == Integrator::Cola { 6 } else { 0 };
    let lattice = part(n, 0) * part(n, 1) * n;
    // Position, momentum, identity; acceleration beside the force mesh only.
    let kept = (6 + cola) * real + 8;
    let particle = kept + 3 * real;
    // While they are made: mesh, modes and potentials of the lattice, and the sources of each order.
    let scratch = match config.initial.lpt_order {
        1 => 3,
        2 => 6,
        _ => 15,
    };
    let initial = lattice * (kept + (scratch + 1) * real);
    // What crosses to another rank in one step stands there a few times over.
    let crossing = if ranks > 1 { lattice / 16 * kept } else { 0 };
    let running = |imbalance: f64| (lattice as f64 * imbalance) as usize * particle + crossing + meshes;
    let largest = if ranks > 1 { config.max_imbalance } else { 1.0 };
    Memory { expected: running(1.0).max(initial) as u64, largest: running(largest).max(initial) as u64 }
}
