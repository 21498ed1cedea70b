//! Subcommands: raw flags in, a resolved plan executed. One small file each, with its flags and a collective `run`.

pub mod ahead;
#[cfg(feature = "torch")]
pub mod apply;
pub mod bench;
pub mod calibrate;
pub mod campaign;
pub mod check;
pub mod current;
pub mod doctor;
pub mod exact;
pub mod export;
pub mod forecast;
#[cfg(feature = "torch")]
pub mod infer;
pub mod job;
pub mod merge;
pub mod new;
pub mod observe;
pub mod plan;
pub mod reduce;
pub mod report;
#[cfg(feature = "torch")]
pub mod run;
pub mod schema;
pub mod simulate;
pub mod start;
pub mod status;
pub mod threads;
pub mod timings;
#[cfg(feature = "torch")]
pub mod train;
mod training;
pub mod verify;

use crate::comm::{self, Comm, launch};
use crate::error::Result;
use crate::io::hdf;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::num::NonZeroU16;

/// Version and commit, as in every file's provenance.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("POLYCOSM_COMMIT"), ")");

/// From a campaign file to calibrated posteriors: simulate, train, infer, calibrate, report.
///
/// Every subcommand that computes is an MPI program: `mpirun -n 4 polycosm simulate run.toml`. Killed or stopped, it
/// resumes with the same command. Exit codes: 0 done, 2 bad input, 85 stopped cleanly and resumable, others failed.
///
/// Example: polycosm new run.toml && mpirun -n 2 polycosm run run.toml
#[derive(Debug, Parser)]
#[command(name = "polycosm", version = VERSION, max_term_width = 120)]
pub struct Cli {
    /// Threads per rank [default: OMP_NUM_THREADS, else cores / ranks on this node]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroU16>,
    /// Say more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    New(new::Args),
    Check(check::Args),
    Plan(plan::Args),
    Simulate(simulate::Args),
    Observe(observe::Args),
    Status(status::Args),
    Verify(verify::Args),
    Merge(merge::Args),
    #[cfg(feature = "torch")]
    Train(train::Args),
    #[cfg(feature = "torch")]
    Apply(apply::Args),
    #[cfg(feature = "torch")]
    Infer(infer::Args),
    #[cfg(not(feature = "torch"))]
    Infer(exact::Args),
    Calibrate(calibrate::Args),
    Forecast(forecast::Args),
    Export(export::Args),
    Report(report::Args),
    #[cfg(feature = "torch")]
    Run(run::Args),
    Job(job::Args),
    Schema(schema::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
}

#[cfg(feature = "torch")]
impl Command {
    /// Whether networks work in it, whose operations OpenMP shares out.
    fn has_networks(&self) -> bool {
        use Command::{Apply, Bench, Doctor, Infer, Plan, Run, Train};
        matches!(self, Apply(_) | Bench(_) | Doctor(_) | Infer(_) | Plan(_) | Run(_) | Train(_))
    }
}

/// Parses the arguments (the program's name first), runs, and maps an error to an exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ! {
    let cli = Cli::try_parse_from(arguments).unwrap_or_else(|e| start::usage(&e));
    threads::set(cli.threads);
    #[cfg(feature = "torch")]
    if cli.command.has_networks() {
        threads::sleep_while_waiting();
    }
    hdf::start();
    let world = Comm::world();
    comm::abort_on_panic();
    start::logger(&world, cli.verbose);
    let result = comm::stop::install().and_then(|()| run(&cli.command, &world));
    let code = start::outcome(&world, result);
    drop(world);
    comm::finalize();
    std::process::exit(code)
}

/// Runs a subcommand; collective.
pub fn run(command: &Command, comm: &Comm) -> Result<()> {
    if !matches!(command, Command::Doctor(_)) {
        comm.agree(launch::check(comm))?;
    }
    match command {
        Command::New(args) => new::run(args, comm),
        Command::Check(args) => check::run(args, comm),
        Command::Plan(args) => plan::run(args, comm),
        Command::Simulate(args) => simulate::run(args, comm),
        Command::Observe(args) => observe::run(args, comm),
        Command::Status(args) => status::run(args, comm),
        Command::Verify(args) => verify::run(args, comm),
        Command::Merge(args) => merge::run(args, comm),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(args, comm),
        #[cfg(feature = "torch")]
        Command::Apply(args) => apply::run(args, comm),
        #[cfg(feature = "torch")]
        Command::Infer(args) => infer::run(args, comm),
        #[cfg(not(feature = "torch"))]
        Command::Infer(args) => exact::run(args, comm),
        Command::Forecast(args) => forecast::run(args, comm),
        Command::Export(args) => export::run(args, comm),
        #[cfg(feature = "torch")]
        Command::Run(args) => run::run(args, comm),
        Command::Calibrate(args) => calibrate::run(args, comm),
        Command::Report(args) => report::run(args, comm),
        Command::Job(args) => job::run(args, comm),
        Command::Schema(args) => schema::run(args, comm),
        Command::Bench(args) => bench::run(args, comm),
        Command::Doctor(args) => doctor::run(args, comm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_help_has_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands_mut().filter(|s| s.get_name() != "help") {
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Example: "), "{help}");
        }
    }
}
