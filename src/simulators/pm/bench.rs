//! Particle-mesh steps, from the same parts as the simulator's.

use super::resident::resident;
use crate::comm::{Comm, timers::Timers};
use crate::cosmology::{CosmologyConfig, Growth};
use crate::error::{Error, Result};
use crate::fields::kernels::Gradient;
use crate::fields::linear::linear_modes;
use crate::fields::noise::white_noise;
use crate::gravity::{
    Factors, Force, ForceConfig, Integrator, LptGrowth, StepConfig, StepTable, evolve, lagrangian_particles,
};
use crate::limits;
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform, plans};
use crate::simulators::bench::{Bench, Outcome, Problem, Stage, Whole};
use clap::{Args, FromArgMatches};
use std::time::Instant;

/// `polycosm bench pm`.
pub const BENCH: Bench = Bench {
    about: "Particle-mesh steps",
    flags: Flags::augment_args,
    run: |matches, comm| {
        let flags = Flags::from_arg_matches(matches).map_err(|e| Error::input(e.to_string()))?;
        if flags.double { run::<f64>(&flags.into(), comm) } else { run::<f32>(&flags.into(), comm) }
    },
};

#[derive(Debug, clap::Args)]
struct Flags {
    /// Particles per side
    #[arg(long, default_value_t = 128)]
    particles: usize,
    /// Mesh points per particle and side
    #[arg(long, default_value_t = 2.0)]
    mesh_factor: f64,
    /// Double instead of single precision
    #[arg(long)]
    double: bool,
    /// Steps that are timed
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Measure the FFT plans instead of estimating them
    #[arg(long)]
    measure: bool,
}

/// What is run.
pub struct Run {
    /// Particles per side, 2 Mpc/h apart.
    pub particles: usize,
    pub mesh_factor: f64,
    pub steps: usize,
    pub lpt_order: usize,
    pub force: ForceConfig,
}

impl From<Flags> for Run {
    fn from(a: Flags) -> Run {
        if a.measure {
            plans::measure(Default::default());
        }
        let (particles, mesh_factor, steps) = (a.particles, a.mesh_factor, a.steps.max(1));
        Run { particles, mesh_factor, steps, lpt_order: 2, force: ForceConfig::default() }
    }
}

/// Times the steps between a = 0.55 and 1, after five from a = 0.1 as a warm-up: the timed ones see clustered
/// particles, as most of a run does. Collective.
pub fn run<T: Real>(run: &Run, comm: &Comm) -> Result<Outcome> {
    let before = resident("VmRSS");
    let (n, mesh) = (run.particles, (run.mesh_factor * run.particles as f64).round() as usize);
    if !(4..=limits::SIDE).contains(&n) || !(4..=limits::SIDE).contains(&mesh) {
        let problem = format!("there are 4 to {} particles, and mesh points, per side", limits::SIDE);
        let error = Error::input(problem).key("--particles").value([n, mesh]);
        return Err(error.remedy("give --particles and --mesh-factor, e.g. 128 and 2"));
    }
    limits::at_most("--steps", run.steps, limits::STEPS)?;
    let box_size = 2.0 * n as f64;
    let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
    let config = CosmologyConfig::default();
    let cosmology = config.resolve(&planck)?;
    let (growth, power) = (Growth::new(&cosmology), config.linear_power(&cosmology, 0)?);
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let lattice = Decomposition::new(comm, [n; 3], None)?;
    comm.barrier();
    let start = Instant::now();
    let mut particles = {
        let mut noise = white_noise::<T>(&lattice, 1, 0);
        let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut exact, &mut noise, box_size, |k| power.p(k), false, false);
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
        let growth = LptGrowth::at(&factors, 0.1);
        lagrangian_particles(&mut fft, &delta, box_size, Gradient::FourPoint, run.lpt_order, &growth, false)
    };
    comm.barrier();
    let lpt_seconds = comm.max_of(start.elapsed().as_secs_f64());
    let total = (n as u64).pow(3);
    let mut force = Force::new(&lattice.with_shape([mesh; 3]), box_size, total, &run.force);
    force.exchange(&mut particles);
    let table = |a_start: f64, a_end: f64, steps: usize| {
        StepTable::new(&StepConfig { a_start, a_end, steps, ..StepConfig::default() }, &factors, &[])
    };
    evolve(comm, &table(0.1, 0.55, 5), 0, &mut particles, &mut force, &mut Timers::default(), &mut ())?;
    let mut rows = table(0.55, 1.0, run.steps);
    rows.rows.remove(0); // the force at the start is known
    let mut timers = Timers::default();
    comm.barrier();
    let start = Instant::now();
    evolve(comm, &rows, 0, &mut particles, &mut force, &mut timers, &mut ())?;
    comm.barrier();
    let step = comm.max_of(start.elapsed().as_secs_f64()) / run.steps as f64;
    let stages = timers.over_ranks(comm).into_iter().map(|timer| Stage::of(timer, run.steps)).collect();
    let memory = memory_of(comm, before);
    let whole = Whole {
        lpt_seconds,
        lpt_over_step: lpt_seconds / step,
        imbalance: comm.max_of(particles.len() as u64) as f64 * comm.size() as f64 / total as f64,
        memory_bytes: memory,
        memory_bytes_per_particle: memory.map(|bytes| bytes as f64 / total as f64),
    };
    let what = format!("pm step of {n}^3 particles, mesh factor {}, f{}", run.mesh_factor, 8 * size_of::<T>());
    let problem = Problem { particles: n, mesh, real_bytes: size_of::<T>() };
    Ok(Outcome { problem: Some(problem), whole: Some(whole), ..Outcome::new(comm, what, step, stages) })
}

/// Collective: the ranks' peaks above what each held `before`, together.
fn memory_of(comm: &Comm, before: Option<u64>) -> Option<u64> {
    let mine = before.zip(resident("VmHWM")).map(|(before, peak)| peak.saturating_sub(before));
    let known = !comm.any(mine.is_none());
    let all = comm.sum_of(mine.unwrap_or(0));
    known.then_some(all)
}
