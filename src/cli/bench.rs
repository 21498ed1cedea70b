//! `polycosm bench`: the kernels that the program runs, timed, in multiples of a yardstick taken in the same run.

use crate::comm::Comm;
use crate::comm::timers::Timers;
use crate::cosmology::{CosmologyConfig, Growth};
use crate::error::{Error, Result};
use crate::fields::kernels::Gradient;
use crate::fields::linear::linear_modes;
use crate::fields::noise::white_noise;
use crate::gravity::{
    Factors, Force, ForceConfig, Integrator, LptGrowth, StepConfig, StepTable, evolve, lagrangian_particles,
};
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform, yardstick};
use serde::Serialize;
use std::time::Instant;

/// Time the kernels the program runs, in yardsticks (one serial FFTW r2c of 256³ doubles, measured in the same run)
///
/// Example: mpirun -n 2 polycosm bench pm --particles 128 --mesh-factor 2
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

/// What is timed.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Distributed r2c + c2r pairs
    Fft(FftArgs),
    /// Particle-mesh steps
    Pm(PmArgs),
    /// Training steps of the demo's compressor
    #[cfg(feature = "torch")]
    Train(TrainArgs),
}

#[derive(Debug, clap::Args)]
pub struct FftArgs {
    /// Mesh points per side
    #[arg(long, default_value_t = 256)]
    pub mesh: usize,
    /// Single instead of double precision
    #[arg(long)]
    pub single: bool,
    /// Pairs that are timed
    #[arg(long, default_value_t = 5)]
    pub repeats: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct PmArgs {
    /// Particles per side
    #[arg(long, default_value_t = 128)]
    pub particles: usize,
    /// Mesh points per particle and side
    #[arg(long, default_value_t = 2.0)]
    pub mesh_factor: f64,
    /// Double instead of single precision
    #[arg(long)]
    pub double: bool,
    /// Steps that are timed
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "torch")]
#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Universes of a step, over all ranks together
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Steps that are timed
    #[arg(long, default_value_t = 10)]
    pub steps: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Stage {
    name: String,
    seconds_max: f64,
    seconds_mean: f64,
    over_yardstick: f64,
}

#[derive(Serialize)]
struct Outcome {
    what: String,
    ranks: usize,
    yardstick_seconds: f64,
    /// The headline figure: one step, or one pair of transforms.
    step_seconds: f64,
    step_over_yardstick: f64,
    stages: Vec<Stage>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    // The yardstick is serial: one rank takes it while the others wait.
    let y = comm.on_root(|| Ok(yardstick(5)))?;
    let (outcome, json) = match &args.what {
        What::Fft(a) => (if a.single { fft::<f32>(a, comm, y)? } else { fft::<f64>(a, comm, y)? }, a.json),
        What::Pm(a) => (if a.double { pm::<f64>(a, comm, y)? } else { pm::<f32>(a, comm, y)? }, a.json),
        #[cfg(feature = "torch")]
        What::Train(a) => (train(a, comm, y)?, a.json),
    };
    if comm.is_root() {
        if json {
            let text = serde_json::to_string_pretty(&outcome).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            print(&outcome);
        }
    }
    Ok(())
}

fn print(o: &Outcome) {
    println!("{}, {} rank(s); yardstick {:.4} s", o.what, o.ranks, o.yardstick_seconds);
    println!("  {:<20} {:>10} {:>10} {:>12}", "stage", "max (s)", "mean (s)", "yardsticks");
    for s in &o.stages {
        println!("  {:<20} {:>10.4} {:>10.4} {:>12.3}", s.name, s.seconds_max, s.seconds_mean, s.over_yardstick);
    }
    println!("  {:<20} {:>10.4} {:>10} {:>12.3}", "all", o.step_seconds, "", o.step_over_yardstick);
}

fn fft<T: Real>(args: &FftArgs, comm: &Comm, y: f64) -> Result<Outcome> {
    let d = Decomposition::new(comm, [args.mesh; 3], None)?;
    let mut fft = Fft::<T>::new(&d, Halo::default(), Transform::Fast);
    let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
    let mut times = Vec::new();
    for _ in 0..args.repeats + 1 {
        comm.barrier();
        let start = Instant::now();
        fft.forward(&mut mesh, &mut modes);
        let half = start.elapsed().as_secs_f64();
        fft.inverse(&mut modes, &mut mesh);
        comm.barrier();
        times.push((start.elapsed().as_secs_f64(), half));
    }
    times.remove(0);
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (pair, forward) = times[times.len() / 2];
    let stage = |name: &str, s: f64| Stage {
        name: name.into(),
        seconds_max: comm.max_of(s),
        seconds_mean: comm.sum_of(s) / comm.size() as f64,
        over_yardstick: comm.max_of(s) / y,
    };
    let what = format!("fft {}^3, f{}, r2c + c2r", args.mesh, 8 * size_of::<T>());
    let stages = vec![stage("r2c", forward), stage("c2r", pair - forward)];
    let pair = comm.max_of(pair);
    Ok(Outcome {
        what,
        ranks: comm.size(),
        yardstick_seconds: y,
        step_seconds: pair,
        step_over_yardstick: pair / y,
        stages,
    })
}

fn pm<T: Real>(args: &PmArgs, comm: &Comm, y: f64) -> Result<Outcome> {
    let (n, spacing) = (args.particles, 2.0);
    let box_size = spacing * n as f64;
    let planck = [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)];
    let config = CosmologyConfig::default();
    let cosmology = config.resolve(&planck)?;
    let (growth, power) = (Growth::new(&cosmology), config.linear_power(&cosmology, 0)?);
    let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: Integrator::Fastpm };
    let lattice = Decomposition::new(comm, [n; 3], None)?;
    let mut stages = Timers::default();
    let start = Instant::now();
    let mut particles = {
        let mut noise = white_noise::<T>(&lattice, 1, 0);
        let mut exact = Fft::new(&lattice, Halo::default(), Transform::Exact);
        let delta = linear_modes(&mut exact, &mut noise, box_size, |k| power.p(k), false, false);
        let mut fft = Fft::new(&lattice, Halo::default(), Transform::Fast);
        let growth = LptGrowth::at(&factors, 0.1);
        lagrangian_particles(&mut fft, &delta, box_size, Gradient::FourPoint, 2, &growth, false)
    };
    comm.barrier();
    let initial = start.elapsed().as_secs_f64();
    let mesh = lattice.with_shape([(args.mesh_factor * n as f64).round() as usize; 3]);
    let mut force = Force::new(&mesh, box_size, (n as u64).pow(3), &ForceConfig::default());
    force.exchange(&mut particles);
    let table = |a_start: f64, a_end: f64, steps: usize| {
        StepTable::new(&StepConfig { a_start, a_end, steps, ..StepConfig::default() }, &factors, &[])
    };
    // Half of the way as a warm-up: the timed steps see clustered particles, as most of a run does.
    let mut warm = Timers::default();
    evolve(comm, &table(0.1, 0.55, 5), 0, &mut particles, &mut force, &mut warm, &mut ())?;
    let mut rows = table(0.55, 1.0, args.steps);
    rows.rows.remove(0); // the force at the start is known
    comm.barrier();
    let start = Instant::now();
    evolve(comm, &rows, 0, &mut particles, &mut force, &mut stages, &mut ())?;
    comm.barrier();
    let per_step = 1.0 / args.steps as f64;
    let step = start.elapsed().as_secs_f64() * per_step;
    let mut listed: Vec<Stage> = stages
        .over_ranks(comm)
        .into_iter()
        .map(|(name, max, mean)| Stage {
            name,
            seconds_max: max * per_step,
            seconds_mean: mean * per_step,
            over_yardstick: max * per_step / y,
        })
        .collect();
    let once = "(2LPT, once)".to_string();
    listed.push(Stage { name: once, seconds_max: initial, seconds_mean: initial, over_yardstick: initial / y });
    Ok(Outcome {
        what: format!("pm step of {n}^3 particles, mesh factor {}, f{}", args.mesh_factor, 8 * size_of::<T>()),
        ranks: comm.size(),
        yardstick_seconds: y,
        step_seconds: step,
        step_over_yardstick: step / y,
        stages: listed,
    })
}

/// Steps of the demo's compressor (three views of four 64² maps per universe) on maps of noise.
#[cfg(feature = "torch")]
fn train(args: &TrainArgs, comm: &Comm, y: f64) -> Result<Outcome> {
    use crate::models::{Device, Kind, ModelConfig, Tensor, VmimConfig};
    use crate::prior::{Parameter, Prior};
    use crate::train::{Trainer, data::Table};
    let parameter = |name: &str| Parameter { name: name.into(), latex: name.into(), min: 0.0, max: 1.0 };
    let prior = Prior::new(vec![parameter("a"), parameter("b")])?;
    let shape = [3, 4, 64, 64];
    let text = format!(
        "name = \"bench\"\ninput = \"x\"\naugment = true\nbatch_size = {}\n[network]\nkind = \"vmim\"\n",
        args.batch
    );
    let config = crate::config::parse("bench", text, &[])?.value;
    let mut model = ModelConfig::Vmim(VmimConfig::default()).build(&shape, &prior, Device::Cpu, Kind::Float)?;
    let n = 2 * args.batch;
    let maps: Vec<i64> = std::iter::once(n).chain(shape).map(|n| n as i64).collect();
    let x = Tensor::rand(maps.as_slice(), (Kind::Float, Device::Cpu));
    let theta = Tensor::rand([n as i64, 2], (Kind::Double, Device::Cpu));
    let table = Table { x, theta, train: (0..n).collect(), validation: vec![], maps: true };
    model.standardise(&table.x);
    let mut trainer = Trainer::new(comm, &config, model.as_ref());
    let rows: Vec<usize> = (0..args.batch).collect();
    let mut times = Vec::new();
    for step in 0..args.steps + 2 {
        comm.barrier();
        let start = Instant::now();
        trainer.step(&table, &rows, 0, step as u64, 1e-4)?;
        times.push(comm.max_of(start.elapsed().as_secs_f64()));
    }
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    let step = times[times.len() / 2];
    let each = step / args.batch as f64;
    let one = Stage { name: "one universe".into(), seconds_max: each, seconds_mean: each, over_yardstick: each / y };
    Ok(Outcome {
        what: format!("training step of the demo's compressor, batch {}", args.batch),
        ranks: comm.size(),
        yardstick_seconds: y,
        step_seconds: step,
        step_over_yardstick: step / y,
        stages: vec![one],
    })
}
