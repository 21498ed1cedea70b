//! Sets of maps of five bins of sources, from the same parts as the simulator's.

use super::maps::FlatMaps;
use super::runner::FlatRunner;
use super::shift::{Named, Shift};
use super::{Keys, SkyConfig, SpectrumConfig};
use crate::comm::{Comm, timers::Timers};
use crate::cosmology::angular::TracersConfig;
use crate::cosmology::{CosmologyConfig, RedshiftDistribution};
use crate::error::{Error, Result};
use crate::limits;
use crate::prior::{Parameter, Prior};
use crate::simulators::bench::{Bench, Outcome, Stage};
use crate::simulators::{Job, Runner, Universes};
use clap::{Args, FromArgMatches};
use std::time::Instant;

/// `polycosm bench lognormal-flat`.
pub const BENCH: Bench = Bench {
    about: "Sets of lognormal maps of the five LSST Y10 source bins, 10° wide, each of its own cosmology",
    flags: Flags::augment_args,
    run: |matches, comm| {
        let flags = Flags::from_arg_matches(matches).map_err(|e| Error::input(e.to_string()))?;
        run(&flags, comm)
    },
};

#[derive(Debug, clap::Args)]
struct Flags {
    /// Pixels per side
    #[arg(long, default_value_t = 256)]
    pixels: usize,
    /// Sets of each rank that are timed
    #[arg(long, default_value_t = 16)]
    sets: usize,
    /// All sets of one cosmology, whose spectra are found once and not timed
    #[arg(long)]
    one_cosmology: bool,
}

/// Every rank draws sets of its own, the first of which is not timed. Collective.
fn run(flags: &Flags, comm: &Comm) -> Result<Outcome> {
    limits::at_most("--sets", flags.sets, limits::STEPS)?;
    let sets = flags.sets.max(1);
    let tracers = TracersConfig::of_sources(vec![RedshiftDistribution::LsstY10]);
    let spectrum = SpectrumConfig { tracers: Some(tracers), ..SpectrumConfig::default() };
    let (shift, sky) = (Shift::Named(Named::Theory), SkyConfig::plain(10.0, flags.pixels));
    let keys = Keys { spectrum: &spectrum, shift: Some(&shift), sky: &sky, c_ell: None, peaks: None };
    let cosmology =
        CosmologyConfig { omega_b: Some(0.0492), h: Some(0.6727), n_s: Some(0.9645), ..CosmologyConfig::default() };
    let prior = [("Omega_m", 0.2, 0.4), ("sigma8", 0.7, 0.9)];
    let prior = Prior::new(prior.map(|(name, min, max)| Parameter::uniform(name, name, min, max)).to_vec())?;
    let of = Universes { cosmology: Some(&cosmology), prior: &prior, ranks: 1 };
    let maps = FlatMaps::new(&of, keys)?;
    maps.check(&of).map_err(|e| Error { key: Some("--pixels".into()), ..e })?;
    let runner = FlatRunner::new(maps, &of)?;
    let (alone, mut timers) = (comm.alone(), Timers::default());
    let mut start = Instant::now();
    for set in 0..=sets {
        let index = (comm.rank() + set * comm.size()) as u64;
        let part = |ratio: f64| if flags.one_cosmology { 0.5 } else { (index as f64 * ratio).fract() };
        let theta = [0.2 + 0.2 * part(0.754_877_666), 0.7 + 0.2 * part(0.569_840_291)];
        let job = Job { index, realisation: index, seed: 1, theta: prior.theta(&theta), folder: None };
        let output = runner.simulate(&alone, &job);
        let output = comm.agree(output)?;
        if set == 0 {
            comm.barrier();
            start = Instant::now();
            continue;
        }
        output.timings.iter().for_each(|(name, seconds)| timers.add(name, *seconds));
    }
    let step = start.elapsed().as_secs_f64() / sets as f64;
    let stages = timers.over_ranks(comm).into_iter().map(|timer| Stage::of(timer, sets)).collect();
    let of = if flags.one_cosmology { "one cosmology" } else { "a cosmology each" };
    let what = format!("sets of 5 lognormal maps of {0}^2 pixels, {of}", flags.pixels);
    let outcome = Outcome::new(comm, what, step, stages);
    Ok(Outcome { per_second: Some(comm.size() as f64 / outcome.step_seconds), ..outcome })
}
