//! `polycosm bench`: the kernels that the program runs, timed, in multiples of a yardstick taken in the same run.

pub mod fft;
pub mod io;
#[cfg(feature = "torch")]
pub mod train;

use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::mesh::yardstick;
use crate::simulators::KINDS;
use crate::simulators::bench::Bench;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};

/// Time the kernels the program runs, in yardsticks (one serial FFTW r2c of 256³ doubles, measured in the same run)
///
/// Example: mpirun -n 2 polycosm bench pm --particles 128 --mesh-factor 2
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

/// What is timed: parts of the house, or the kernels of a kind of simulator.
#[derive(Debug)]
pub enum What {
    Part(Part),
    Kind(Bench, ArgMatches),
}

/// Parts of the house.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Distributed r2c + c2r pairs
    Fft(fft::FftArgs),
    /// A shard packed from its simulations' files, beside as many bytes written plainly
    Io(io::IoArgs),
    /// Training steps of the demo's compressor
    #[cfg(feature = "torch")]
    Train(train::TrainArgs),
}

/// The kinds that have a bench.
fn kinds() -> impl Iterator<Item = (&'static str, Bench)> {
    KINDS.all().into_iter().filter_map(|kind| Some((kind.name, (kind.facts.bench)()?)))
}

impl FromArgMatches for What {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let kind = matches.subcommand().and_then(|(name, flags)| {
            let (_, bench) = kinds().find(|kind| kind.0 == name)?;
            Some(What::Kind(bench, flags.clone()))
        });
        kind.map_or_else(|| Part::from_arg_matches(matches).map(What::Part), Ok)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for What {
    fn augment_subcommands(command: Command) -> Command {
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
        kinds().fold(Part::augment_subcommands(command), |command, (name, bench)| {
            let kind = (bench.flags)(Command::new(name).about(bench.about));
            command.subcommand(kind.arg(json.clone()))
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Part::has_subcommand(name) || kinds().any(|kind| kind.0 == name)
    }
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let (outcome, json) = match &args.what {
        What::Part(Part::Fft(a)) => {
            (if a.single { fft::run::<f32>(a, comm) } else { fft::run::<f64>(a, comm) }, a.json)
        }
        What::Part(Part::Io(a)) => (io::run(a, comm), a.json),
        #[cfg(feature = "torch")]
        What::Part(Part::Train(a)) => (train::run(a, comm), a.json),
        What::Kind(bench, flags) => ((bench.run)(flags, comm), flags.get_flag("json")),
    };
    let outcome = comm.agree(outcome)?;
    // The yardstick is serial: one rank takes it while the others wait. It comes last, for it takes memory of its own.
    let outcome = outcome.in_yardsticks(comm.on_root(|| Ok(yardstick(5)))?);
    if comm.is_root() {
        if json {
            say(serde_json::to_string_pretty(&outcome).map_err(|e| Error::failed(e.to_string()))?);
        } else {
            say(outcome);
        }
    }
    Ok(())
}
