//! Lognormal skies, from the same parts as the simulator's.

use super::config::{LognormalSphereConfig, MatterTheory};
use super::runner::LognormalSphere;
use crate::comm::{Comm, timers::Timers};
use crate::cosmology::CosmologyConfig;
use crate::error::{Error, Result};
use crate::limits;
use crate::prior::Theta;
use crate::simulators::bench::{Bench, Outcome, Stage};
use crate::simulators::pm::resident::resident;
use crate::simulators::{Job, Runner};
use clap::{Args, FromArgMatches};
use std::time::Instant;

/// `polycosm bench lognormal-sphere`.
pub const BENCH: Bench = Bench {
    about: "Lognormal skies, their spectra solved before",
    flags: Flags::augment_args,
    run: |matches, comm| run(&Flags::from_arg_matches(matches).map_err(|e| Error::input(e.to_string()))?, comm),
};

#[derive(Debug, clap::Args)]
struct Flags {
    /// Pixels along the side of a base pixel
    #[arg(long, default_value_t = 512)]
    nside: usize,
    /// The largest multipole [default: twice nside]
    #[arg(long)]
    lmax: Option<usize>,
    /// Shells, from z = 0 to 1
    #[arg(long, default_value_t = 10)]
    shells: usize,
    /// Skies that are timed
    #[arg(long, default_value_t = 3)]
    skies: usize,
}

/// Most shells that are timed.
const SHELLS: usize = 1024;

/// Times whole skies of one cosmology after a first one, which solves for the spectra and plans. Collective.
fn run(flags: &Flags, comm: &Comm) -> Result<Outcome> {
    let before = resident("VmRSS");
    let (shells, skies) = (flags.shells.max(1), flags.skies.max(1));
    limits::at_most("--shells", flags.shells, SHELLS)?;
    limits::at_most("--skies", flags.skies, limits::STEPS)?;
    let config = LognormalSphereConfig {
        nside: flags.nside,
        lmax: Some(flags.lmax.unwrap_or(2 * flags.nside)),
        footprint: Default::default(),
        shells: (0..=shells).map(|k| k as f64 / shells as f64).collect(),
        theory: Some(MatterTheory { nonlinear: Default::default(), limber_from: Some(0) }),
        spectra: None,
        pixel_window: false,
        amplitude: 1.0,
        shift: 1.0.into(),
        neighbours: 3,
        source_redshifts: vec![1.0],
        n_of_z: vec![],
        shear: false,
        delta: false,
        counts: None,
        shape_noise: None,
        c_ell: None,
        mask: None,
    };
    config.check_keys()?;
    let mut cosmology = CosmologyConfig::default();
    for (name, value) in [("Omega_m", 0.3089), ("Omega_b", 0.0486), ("h", 0.6774), ("n_s", 0.9667), ("sigma8", 0.8159)]
    {
        cosmology.value_mut(name).into_iter().for_each(|of| *of = Some(value));
    }
    let runner = comm.agree(LognormalSphere::new(&config, &cosmology))?;
    let job = |sky: usize| Job { index: 0, realisation: sky as u64, seed: 1, theta: Theta::NONE, folder: None };
    runner.simulate(comm, &job(0))?;
    comm.barrier();
    let (start, mut timers) = (Instant::now(), Timers::default());
    for sky in 1..=skies {
        for (name, seconds) in runner.simulate(comm, &job(sky))?.timings {
            timers.add(&name, seconds);
        }
    }
    comm.barrier();
    let sky = start.elapsed().as_secs_f64() / skies as f64;
    let stages = timers.over_ranks(comm).into_iter().map(|timer| Stage::of(timer, skies)).collect();
    let what = format!("lognormal sky of {shells} shells, nside {}, lmax {}", flags.nside, config.lmax());
    let mine = before.zip(resident("VmHWM")).map(|(before, peak)| peak.saturating_sub(before));
    let (known, most) = (!comm.any(mine.is_none()), comm.max_of(mine.unwrap_or(0)));
    Ok(Outcome { peak_bytes: known.then_some(most), ..Outcome::new(comm, what, sky, stages) })
}
