//! Pairs of distributed transforms.

use crate::comm::{Comm, timers::OverRanks, traffic};
use crate::error::{Error, Result};
use crate::limits;
use crate::mesh::{Decomposition, Fft, Halo, Real, Transform, plans};
use crate::simulators::bench::{Outcome, Problem, Stage};
use std::time::Instant;

/// Flags of `polycosm bench fft`.
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
    /// Measure the FFT plans instead of estimating them
    #[arg(long)]
    pub measure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The median of the pairs.
pub fn run<T: Real>(args: &FftArgs, comm: &Comm) -> Result<Outcome> {
    if !(1..=1 << 15).contains(&args.mesh) {
        let error = Error::input("a mesh has 1 to 32768 points per side").key("--mesh").value(args.mesh);
        return Err(error.remedy("256 is usual"));
    }
    limits::at_most("--repeats", args.repeats, limits::STEPS)?;
    if args.measure {
        plans::measure(Default::default());
    }
    let d = Decomposition::new(comm, [args.mesh; 3], None)?;
    let mut fft = Fft::<T>::new(&d, Halo::default(), Transform::Fast);
    let (mut mesh, mut modes) = (fft.mesh(), fft.modes());
    let mut pairs = Vec::new();
    for _ in 0..args.repeats.max(1) + 1 {
        comm.barrier();
        let (start, before) = (Instant::now(), traffic::sent());
        fft.forward(&mut mesh, &mut modes);
        let (half, sent) = (start.elapsed().as_secs_f64(), traffic::sent() - before);
        fft.inverse(&mut modes, &mut mesh);
        let done = start.elapsed().as_secs_f64();
        let back = traffic::sent() - before - sent;
        comm.barrier();
        // All ranks take the same pair for the median: the slowest rank's time orders them.
        pairs.push((comm.max_of(done), [(half, sent), (done - half, back)]));
    }
    pairs.remove(0);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (pair, halves) = pairs[pairs.len() / 2];
    let stage = |name: &str, (seconds, sent): (f64, u64)| {
        let (max, mean) = (comm.max_of(seconds), comm.sum_of(seconds) / comm.size() as f64);
        Stage::of(OverRanks { name: name.into(), max, mean, sent: comm.sum_of(sent) }, 1)
    };
    let what = format!("fft {}^3, f{}, r2c + c2r", args.mesh, 8 * size_of::<T>());
    let stages = vec![stage("r2c", halves[0]), stage("c2r", halves[1])];
    let problem = Some(Problem { particles: 0, mesh: args.mesh, real_bytes: size_of::<T>() });
    Ok(Outcome { problem, ..Outcome::new(comm, what, pair, stages) })
}
