//! `polycosm bench`: the kernels that the program runs, timed, in multiples of a yardstick taken in the same run.

pub mod fft;
mod memory;
pub mod outcome;
pub mod pm;
#[cfg(feature = "torch")]
pub mod train;

use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::mesh::yardstick;

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
    Fft(fft::FftArgs),
    /// Particle-mesh steps
    Pm(pm::PmArgs),
    /// Training steps of the demo's compressor
    #[cfg(feature = "torch")]
    Train(train::TrainArgs),
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let (outcome, json) = match &args.what {
        What::Fft(a) => (if a.single { fft::run::<f32>(a, comm) } else { fft::run::<f64>(a, comm) }, a.json),
        What::Pm(a) => {
            (if a.double { pm::run::<f64>(&a.into(), comm) } else { pm::run::<f32>(&a.into(), comm) }, a.json)
        }
        #[cfg(feature = "torch")]
        What::Train(a) => (train::run(a, comm), a.json),
    };
    let outcome = comm.agree(outcome)?;
    // The yardstick is serial: one rank takes it while the others wait. It comes last, for it takes memory of its own.
    let outcome = outcome.in_yardsticks(comm.on_root(|| Ok(yardstick(5)))?);
    if comm.is_root() {
        if json {
            say(serde_json::to_string_pretty(&outcome).map_err(|e| Error::failed(e.to_string()))?);
        } else {
            outcome.print();
        }
    }
    Ok(())
}
