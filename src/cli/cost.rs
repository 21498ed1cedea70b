//! What a universe will cost: kernels measured here and now on a small one, scaled to the size that is planned, and a model
//! of the network.

use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::{CosmologyConfig, Growth};
use crate::error::Result;
use crate::fields::kernels::Gradient;
use crate::fields::linear::linear_modes;
use crate::fields::noise::white_noise;
use crate::gravity::{Factors, Force, Integrator, LptGrowth, StepConfig, StepTable, evolve, lagrangian_particles};
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform, compact_grid};
use crate::simulators::{PmConfig, Precision};

/// The network between ranks, as a campaign's machine has it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Network {
    /// Microseconds that a message takes beyond its bytes
    #[arg(long, value_name = "US", default_value_t = 2.0)]
    pub latency: f64,
    /// GB/s that a rank can send while all others do [default: a 200 Gb/s card shared by 64 ranks]
    #[arg(long, value_name = "GB/S", default_value_t = 0.4)]
    pub bandwidth: f64,
}

/// Seconds of one rank per unit of work, measured.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    /// Per particle and step: deposit, interpolation, kicks, drift.
    particle: f64,
    /// Per mesh point, transform and factor of two in the number of points.
    transform: f64,
    /// Per mesh point and step: the kernel and the halo.
    mesh: f64,
}

/// Particles per side of the universe that is measured.
const SMALL: usize = 64;

/// Measures the campaign's kernels on every rank at once, each with a universe of its own, so that they share the memory's
/// bandwidth as they will: the slowest counts. A few seconds. Collective.
pub fn measure(comm: &Comm, config: &PmConfig) -> Result<Kernels> {
    let alone = comm.alone();
    let kernels = match config.precision {
        Precision::F32 => small_universe::<f32>(&alone, config),
        Precision::F64 => small_universe::<f64>(&alone, config),
    };
    let Kernels { particle, transform, mesh } = comm.agree(kernels)?;
    Ok(Kernels { particle: comm.max_of(particle), transform: comm.max_of(transform), mesh: comm.max_of(mesh) })
}

fn small_universe<T: Real>(alone: &Comm, config: &PmConfig) -> Result<Kernels> {
    const STEPS: usize = 3;
    let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
    let cosmology = CosmologyConfig::default().resolve(&planck)?;
    let (growth, power) = (Growth::new(&cosmology), CosmologyConfig::default().linear_power(&cosmology, 0)?);
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let (n, m) = (SMALL, (config.mesh_factor * SMALL as f64).round().max(4.0) as usize);
    let box_size = config.box_size * n as f64 / config.particles as f64;
    let lattice = Decomposition::new(alone, [n; 3], None)?;
    let mut fft = Fft::<T>::new(&lattice, Halo::default(), Transform::Fast);
    let delta = linear_modes(&mut fft, &mut white_noise(&lattice, 1, 0), box_size, |k| power.p(k), false, false);
    let start = LptGrowth::at(&factors, 0.5);
    let mut particles = lagrangian_particles(&mut fft, &delta, box_size, Gradient::FourPoint, 2, &start, false);
    let mut force = Force::new(&lattice.with_shape([m; 3]), box_size, (n as u64).pow(3), &config.force);
    let table = |a_start, a_end, steps| {
        StepTable::new(&StepConfig { a_start, a_end, steps, ..Default::default() }, &factors, &[])
    };
    evolve(alone, &table(0.5, 0.7, 1), 0, &mut particles, &mut force, &mut Timers::default(), &mut ())?;
    let mut timers = Timers::default();
    let mut timed = table(0.7, 1.0, STEPS);
    timed.rows.remove(0); // the force at the start is known
    evolve(alone, &timed, 0, &mut particles, &mut force, &mut timers, &mut ())?;
    let seconds = |names: &[&str]| -> f64 {
        let sum: f64 = timers.entries().iter().filter(|(n, _)| names.contains(&n.as_str())).map(|e| e.1).sum();
        sum / STEPS as f64
    };
    let points = (m as f64).powi(3);
    Ok(Kernels {
        particle: seconds(&["deposit", "interpolate", "kick", "drift", "correction"]) / (n as f64).powi(3),
        transform: seconds(&["fft"]) / (transforms(config) * points * points.log2()),
        mesh: seconds(&["kernel", "halo"]) / points,
    })
}

/// Transforms of the force mesh per step.
fn transforms(config: &PmConfig) -> f64 {
    if config.force.gradient == Gradient::Spectral { 4.0 } else { 2.0 }
}

/// Seconds of one step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Deposit, interpolation, kicks and drift.
    pub particles: f64,
    /// Transforms and kernels.
    pub mesh: f64,
    /// The transforms' exchanges.
    pub transposes: f64,
    /// Halos, and particles that cross to another rank.
    pub neighbours: f64,
}

impl Step {
    /// One step of a universe on `ranks` ranks.
    ///
    /// Work per rank is the measured time per particle, mesh point and log2 of the points. An exchange over a line of p
    /// ranks sends (1 − 1/p) of a rank's half-complex mesh in p − 1 messages; slabs make one per transform, pencils two.
    /// Halos are the layers of the block's faces, filled once and added up once. Particles cross a face at the mean
    /// distance of a step, 6 Mpc/h over the steps (the rms displacement today).
    pub fn new(config: &PmConfig, ranks: usize, kernels: Kernels, network: Network) -> Self {
        let (p, m, n) = (ranks as f64, config.mesh() as f64, config.particles as f64);
        let real = if config.precision == Precision::F64 { 8.0 } else { 4.0 };
        let grid = config.process_grid.unwrap_or(compact_grid(ranks));
        let points = m.powi(3);
        let sent = |bytes: f64, messages: f64| bytes / (1e9 * network.bandwidth) + messages * 1e-6 * network.latency;
        let line = |p: usize| {
            let p = p as f64;
            if p > 1.0 { sent(points / ranks as f64 * real * (1.0 - 1.0 / p), p - 1.0) } else { 0.0 }
        };
        // Faces across axes 0 and 1, in mesh points.
        let faces = [0, 1].map(|axis| if grid[axis] > 1 { m * m / grid[1 - axis] as f64 } else { 0.0 });
        let layers = 5.0;
        let halos: f64 = faces.iter().map(|f| sent(2.0 * layers * f * real, 4.0)).sum();
        let spacing = config.box_size / n;
        let layer = 6.0 / config.time.scale_factors().len() as f64 / spacing;
        let crossing: f64 = faces.iter().map(|f| f * (n / m).powi(2) * layer).sum();
        Step {
            particles: kernels.particle * n.powi(3) / p,
            mesh: (kernels.transform * transforms(config) * points.log2() + kernels.mesh) * points / p,
            transposes: transforms(config) * grid.map(line).iter().sum::<f64>(),
            neighbours: halos + sent(crossing * (6.0 * real + 8.0), 2.0),
        }
    }

    /// All of it.
    pub fn seconds(&self) -> f64 {
        self.particles + self.mesh + self.transposes + self.neighbours
    }
}
