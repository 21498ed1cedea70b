//! `polycosm bench lognormal-box`: a whole box, with spectra of its own.

use super::LognormalBoxConfig;
use super::run::BoxRunner;
use crate::comm::timers::{OverRanks, Timers};
use crate::comm::{Comm, traffic};
use crate::cosmology::{CosmologyConfig, NonLinear};
use crate::error::{Error, Result};
use crate::limits;
use crate::mesh::Real;
use crate::observables::PoissonConfig;
use crate::prior::{Parameter, Prior};
use crate::simulators::bench::{Bench, Outcome, Problem, Stage};
use crate::simulators::{Job, Precision, Runner};
use clap::{Args, FromArgMatches};
use std::time::Instant;

pub(super) const BENCH: Bench = Bench {
    about: "Lognormal boxes with Poisson galaxies and velocities",
    flags: Flags::augment_args,
    run: |matches, comm| {
        let flags = Flags::from_arg_matches(matches).map_err(|e| Error::input(e.to_string()))?;
        if flags.double { run::<f64>(&flags, comm) } else { run::<f32>(&flags, comm) }
    },
};

#[derive(Debug, clap::Args)]
struct Flags {
    /// Mesh points per side, 4 Mpc/h apart
    #[arg(long, default_value_t = 256)]
    points: usize,
    /// Galaxies per (Mpc/h)³
    #[arg(long, default_value_t = 1e-3)]
    number_density: f64,
    /// Double instead of single precision
    #[arg(long)]
    double: bool,
    /// Boxes that are timed, each with spectra of its own
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

/// The catalogue of galaxies is made, and nothing written. Collective.
fn run<T: Real>(flags: &Flags, comm: &Comm) -> Result<Outcome> {
    let (n, repeats) = (flags.points, flags.repeats.max(1));
    limits::at_most("--repeats", repeats, limits::STEPS)?;
    let poisson =
        PoissonConfig { number_density: flags.number_density, bias: 1.5, redshift_axis: Some(2), catalogue: true };
    let config = LognormalBoxConfig {
        box_size: 4.0 * n as f64,
        points: n,
        redshift: 0.5,
        nonlinear: NonLinear::Halofit,
        precision: Precision::default(),
        density: false,
        power: None,
        poisson: Some(poisson),
        multipoles: None,
        cone: None,
    };
    config.check_keys()?;
    let cosmology = CosmologyConfig {
        omega_m: Some(0.3089),
        omega_b: Some(0.0486),
        h: Some(0.6774),
        n_s: Some(0.9667),
        ..CosmologyConfig::default()
    };
    let runner = BoxRunner::<T>::new(&config, &cosmology)?;
    let prior = Prior::new(vec![Parameter::uniform("sigma8", "", 0.5, 1.5)])?;
    let (mut timers, mut seconds, mut sent) = (Timers::default(), 0.0, 0);
    for box_ in 0..=repeats {
        let values = [0.8 + 0.1 * box_ as f64 / (repeats + 1) as f64];
        let theta = prior.theta(&values);
        let job = Job { index: 0, realisation: box_ as u64, seed: 1, theta, folder: None };
        comm.barrier();
        let (start, before) = (Instant::now(), traffic::sent());
        let made = runner.simulate(comm, &job)?;
        comm.barrier();
        // The first one warms up.
        if box_ > 0 {
            seconds += start.elapsed().as_secs_f64();
            sent += traffic::sent() - before;
            made.timings.iter().for_each(|(name, s)| timers.add(name, *s));
        }
    }
    // Of all stages together.
    let exchanges = OverRanks { name: "exchanges".into(), max: 0.0, mean: 0.0, sent: comm.sum_of(sent) };
    let stages =
        timers.over_ranks(comm).into_iter().chain([exchanges]).map(|timer| Stage::of(timer, repeats)).collect();
    let galaxies = flags.number_density * config.box_size.powi(3);
    let what = format!("lognormal box of {n}^3 points with {galaxies:.2e} galaxies, f{}", 8 * size_of::<T>());
    let problem = Problem { particles: 0, mesh: n, real_bytes: size_of::<T>() };
    Ok(Outcome { problem: Some(problem), ..Outcome::new(comm, what, seconds / repeats as f64, stages) })
}
