//! What a universe needs of memory, before it is begun.

use super::config::{PmConfig, Precision};
use super::products::LensingProduct;
use crate::comm::share;
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::fields::kernels::Gradient;
use crate::gravity::Integrator;
use crate::mesh::compact_grid;
use crate::observables::lensing::{LightConeConfig, Method};
use crate::particles::gradient_halo;

/// Bytes per particle that lists of particles take while they are put together, as measured.
const KEEP_PARTICLES: usize = 100;
const SNAPSHOT: usize = 60;
const FRIENDS: usize = 80;

/// Bytes per rank, beside the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// With the particles evenly spread.
    pub expected: u64,
    /// With as many particles on one rank as `max_imbalance` allows.
    pub largest: u64,
}

/// Number of lens planes of all light cones through a universe of this cosmology.
pub fn lens_planes(config: &PmConfig, cosmology: &Cosmology) -> Result<usize> {
    LensingProduct::of(config).map_or(Ok(0), |lensing| lensing.planes(cosmology))
}

/// What one group of `ranks` needs for one universe: meshes, particles, exchange buffers and its [`lens_planes`], on the
/// rank with the most.
pub fn memory_per_rank(config: &PmConfig, ranks: usize, planes: usize) -> Memory {
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
        _ => 12,
    };
    let initial = lattice * (kept + (scratch + 1) * real);
    // What crosses to another rank in one step stands there a few times over.
    let crossing = if ranks > 1 { lattice / 16 * kept } else { 0 };
    // While it is looked at, the force's buffers are free, and each product has its own in turn.
    let interlaced = |on: bool| haloed.max(modes) + modes * (1 + on as usize);
    let mesh_of = [
        config.power.as_ref().map_or(0, |c| interlaced(c.interlaced)),
        config.multipoles.as_ref().map_or(0, |c| interlaced(c.interlaced) + 6 * lattice),
        config.bispectrum.as_ref().map_or(0, |c| interlaced(c.interlaced).max(4 * modes)),
        config.pdf.as_ref().map_or(0, |_| interlaced(false)),
    ];
    let meters = real * mesh_of.into_iter().max().unwrap_or(0);
    let lists = [
        config.keep_particles.then_some(KEEP_PARTICLES),
        config.snapshots.then_some(SNAPSHOT),
        config.halos.as_ref().map(|_| FRIENDS),
    ];
    let lists = lattice * lists.into_iter().flatten().max().unwrap_or(0);
    let resting = if config.moments().len() > 1 { particle } else { kept };
    // Lens planes are dealt out over the ranks; beside them stands the one in the making, and at the end the root's maps.
    let plane = config.lightcone.as_ref().map_or(0, |c| 8 * c.pixels.pow(2));
    let held = plane * planes.div_ceil(ranks);
    let sky = plane * config.lightcone.as_ref().map_or(0, |c| planes_of_maps(c, ranks));
    let scaled = |imbalance: f64, bytes: usize| (lattice as f64 * imbalance) as usize * bytes;
    let running = |imbalance: f64| scaled(imbalance, particle) + crossing + meshes + held + 2 * plane;
    let looking =
        |imbalance: f64| (1.1 * (scaled(imbalance, resting) + meters.max(lists).max(held + sky)) as f64) as usize;
    let most = |imbalance: f64| running(imbalance).max(looking(imbalance)).max(initial) as u64;
    Memory { expected: most(1.0), largest: most(if ranks > 1 { config.max_imbalance } else { 1.0 }) }
}

/// Maps of double precision that the root has at a time while it makes convergence and shear of one light cone, as counted,
/// and what it keeps of those before.
fn planes_of_maps(config: &LightConeConfig, ranks: usize) -> usize {
    let (bins, cones) = (config.bins(), config.light_cones as usize);
    match config.method {
        // κ of this rank's rows and of all; transforms.
        Method::Born => bins.div_ceil(ranks) + bins + 4 + (cones * bins).div_ceil(2),
        // Rays; deflection and tidal field, here and as sent, and transforms of a doubled field; later κ, γ, ω and β.
        Method::Raytrace => (17 + 6 * bins).div_ceil(ranks) + (10 + 16).max(6 * bins) + 2 * cones * bins,
    }
}
