//! What a universe needs of memory, before it is begun.

use super::config::{PmConfig, Precision};
use super::products::{LensingProduct, SphereProduct};
use crate::comm::share;
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::fields::kernels::Gradient;
use crate::gravity::Integrator;
use crate::mesh::compact_grid;
use crate::observables::lensing::Method;
use crate::particles::gradient_halo;
use crate::simulators::budget::Memory;
use crate::sphere::Sht;

/// Bytes per particle that lists of particles take while they are put together, as measured.
const KEEP_PARTICLES: usize = 100;
const SNAPSHOT: usize = 60;
const FRIENDS: usize = 80;

/// What one group of `ranks` needs for one universe: meshes, particles, exchange buffers and maps of the sky, on the
/// rank with the most. The cosmology tells how far the light cone reaches.
pub fn memory_per_rank(config: &PmConfig, cosmology: &Cosmology, ranks: usize) -> Result<Memory> {
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
    let density = haloed.max(modes);
    let interlaced = |on: bool| real * (density + modes * (1 + on as usize));
    let bispectrum = |shells: usize| {
        // Triangles are counted in double precision, then measured beside the density and its modes.
        let counted = 8 * (1 + shells) * modes;
        counted.max(real * (density + (2 + shells) * modes))
    };
    let meters = [
        config.power.as_ref().map_or(0, |c| interlaced(c.interlaced)),
        config.multipoles.as_ref().map_or(0, |c| interlaced(c.interlaced) + 6 * real * lattice),
        config.bispectrum.as_ref().map_or(Ok(0), |c| c.shells_at_once(m, config.box_size).map(bispectrum))?,
        config.pdf.as_ref().map_or(0, |_| interlaced(false)),
    ];
    let meters = meters.into_iter().max().unwrap_or(0);
    let lists = [
        config.keep_particles.then_some(KEEP_PARTICLES),
        config.snapshots.then_some(SNAPSHOT),
        config.halos.as_ref().map(|_| FRIENDS),
    ];
    let lists = lattice * lists.into_iter().flatten().max().unwrap_or(0);
    let resting = if config.moments().len() > 1 { particle } else { kept };
    let sky = Sky::new(config, cosmology, ranks)?;
    let scaled = |imbalance: f64, bytes: usize| lattice as f64 * imbalance * bytes as f64;
    // What earlier moments gave is kept, and copied for a checkpoint and where all is put together.
    let pictures = Pictures::new(config, ranks, real);
    let earlier = (config.moments().len() - 1) as f64 * pictures.fields;
    let running =
        |imbalance: f64| scaled(imbalance, particle) + (crossing + meshes + sky.running) as f64 + 2.0 * earlier;
    let tracing = |imbalance: f64| scaled(imbalance, kept) + sky.tracing as f64 + earlier;
    let looking = |imbalance: f64| {
        let seen = pictures.making.max(meters.max(lists) as f64 + pictures.fields).max(pictures.fields + earlier);
        1.1 * (scaled(imbalance, resting) + seen) + earlier + sky.looking as f64
    };
    let most = |imbalance: f64| {
        let all = [initial as f64, running(imbalance), tracing(imbalance), looking(imbalance)];
        all.into_iter().fold(0.0, f64::max) as u64
    };
    let (expected, largest) = (most(1.0), most(if ranks > 1 { config.max_imbalance } else { 1.0 }));
    let key = match 2.0 * (pictures.making + 2.0 * earlier) > expected as f64 {
        true => pictures.key,
        false => ("simulator.particles", n),
    };
    let remedy = match key.0 {
        "simulator.maps.pixels" => "lower it or maps.slabs: every rank adds up whole maps",
        "simulator.density.points" => {
            "lower it, or share each simulation between more ranks on more nodes (suite.ranks_per_sim)"
        }
        _ => {
            "share each simulation between more ranks on more nodes (suite.ranks_per_sim), or lower particles or mesh_factor"
        }
    };
    let cases = ["evenly spread particles".into(), format!("an imbalance of {}", config.max_imbalance)];
    let safer = "more ranks per simulation, or a smaller simulator.max_imbalance, is safer";
    Ok(Memory { expected, largest, cases, safer, key, remedy })
}

/// Bytes that maps and grids of the density take on the root. In f64, which does not overflow.
struct Pictures {
    /// All fields of one moment, when they are done.
    fields: f64,
    /// The most while one of them is made, with those before it.
    making: f64,
    /// What they are due to.
    key: (&'static str, usize),
}

impl Pictures {
    fn new(config: &PmConfig, ranks: usize, real: usize) -> Self {
        let maps = config.maps.as_ref().map_or(0.0, |c| 3.0 * c.slabs as f64 * (c.pixels as f64).powi(2));
        let grid = config.density.as_ref().map_or(0.0, |c| (share(c.points, ranks, 0).1 * c.points.pow(2)) as f64);
        let particles = if config.keep_particles { (config.particles as f64).powi(3) / ranks as f64 } else { 0.0 };
        // Whole maps in f64, copied while they are summed over the ranks (and buffers, as measured), then in f32. A
        // grid: the mesh, its points in order, and these in f32 unless they are that already.
        let map = if ranks > 1 { 18.0 } else { 12.0 };
        let narrowed = if real == 4 { 0 } else { 4 };
        let (maps_made, grid_made) = (map * maps, 4.0 * maps + (2 * real + narrowed) as f64 * grid);
        let key = match (maps_made > grid_made, &config.maps, &config.density) {
            (true, Some(c), _) => ("simulator.maps.pixels", c.pixels),
            (_, _, Some(c)) => ("simulator.density.points", c.points),
            _ => ("simulator.particles", config.particles),
        };
        Pictures { fields: 4.0 * (maps + grid) + 24.0 * particles, making: maps_made.max(grid_made), key }
    }
}

/// Bytes that the light cones take on the root, where whole maps come together.
#[derive(Default)]
struct Sky {
    /// While the universe passes its planes.
    running: usize,
    /// While light is followed through them.
    tracing: usize,
    /// While the universe is looked at for the last time.
    looking: usize,
}

impl Sky {
    fn new(config: &PmConfig, cosmology: &Cosmology, ranks: usize) -> Result<Self> {
        if let Some(sphere) = SphereProduct::of(config) {
            return Sky::sphere(&sphere, cosmology, ranks);
        }
        let Some(lensing) = LensingProduct::of(config) else { return Ok(Sky::default()) };
        let (cone, sources) = lensing.cone(cosmology)?;
        let (cones, bins) = (lensing.lightcone.light_cones as usize, sources.bins());
        let planes = cones * cone.slices.len();
        // All in maps of f64: what is whole first, then what the ranks share.
        let held = planes.div_ceil(ranks);
        let kept = if lensing.lightcone.keep_planes { planes } else { 0 };
        let (fields, maps, following, shared) = match lensing.lightcone.method {
            Method::Born => ((cones * bins).div_ceil(2), bins, 1, bins),
            // κ, γ, ω and β. One plane's deflection, on a field twice as wide, beside its solver; rays as wide as
            // `Ray`.
            Method::Raytrace => (2 * cones * bins, 6 * bins, 26, 17 + 6 * bins),
        };
        let shared = shared.div_ceil(ranks);
        // The solver outlives the rays; filters and spectra of a map take a few more.
        let before = fields - fields / cones;
        let [gathering, measuring] = [before + shared + 9 + maps + bins.div_ceil(ranks), maps + fields + kept + 8];
        let filter = if cosmology.m_nu() > 0.0 { 4 } else { 0 };
        let bytes = |maps: usize| 8 * cone.pixels.pow(2) * maps;
        Ok(Sky {
            // One slice's counts, beside neutrinos their transforms; and all planes, for a checkpoint.
            running: bytes(held + 2 + planes + filter),
            tracing: bytes(held + (before + shared + following).max(gathering).max(measuring)),
            looking: bytes(2 * (fields + kept)),
        })
    }

    /// The same on the sphere, on any rank: pixels are dealt out.
    fn sphere(sphere: &SphereProduct, cosmology: &Cosmology, ranks: usize) -> Result<Self> {
        let (cone, sources) = sphere.cone(cosmology)?;
        let (cones, bins, nside) = (sphere.lightcone.light_cones as usize, sources.bins(), sphere.nside);
        let (mine, all) = (cone.footprint.count().div_ceil(ranks), 12 * nside * nside);
        let planes = cones * cone.slices.len();
        let transform = |lmax: usize, alms: usize| {
            let alm = 8 * (lmax + 1) * (lmax + 2);
            Sht::bytes(nside, lmax, ranks) as usize + (alms * alm + 4 * 8 * all).div_ceil(ranks)
        };
        let held = 4 * planes * mine;
        // Rows of maps in f32, whole ones on the ranks that have them in the file.
        let rows = |maps: usize| 4 * cone.footprint.count() * maps.div_ceil(ranks);
        let (fields, shear) = (cones * bins, if sphere.lightcone.shear { 2 * cones * bins } else { 0 });
        let kept = if sphere.lightcone.keep_planes { planes } else { 0 };
        let lmax = sphere.multipoles()?.map_or(0, |ell| ell.lmax());
        let spectra = if lmax > 0 { transform(lmax, bins + 2) } else { 0 };
        let others = if shear > 0 { transform(2 * nside, 4) } else { 0 };
        let filter = if cosmology.m_nu() > 0.0 { transform(2 * nside, 2) } else { 0 };
        // Positions of a chunk, twice; numbers of pixels on their way to other ranks.
        let chunk = (1 << 20) * (2 * 24 + 6 * 4);
        Ok(Sky {
            running: held + (chunk + 4 * mine).max(20 * mine + filter).max(2 * rows(planes)),
            tracing: held + 8 * (bins + 3) * mine + rows(fields) + rows(shear) + rows(kept) + spectra.max(others),
            looking: 2 * (rows(fields) + rows(shear) + rows(kept)),
        })
    }
}
