//! Parses, runs, and maps an error to an exit code.

use clap::Parser;
use polycosm::cli::{self, Cli};
use polycosm::comm::{self, Comm};

fn main() {
    let cli = Cli::try_parse().unwrap_or_else(|e| cli::start::usage(&e));
    cli::threads::set(cli.threads);
    polycosm::io::hdf::start();
    let world = Comm::world();
    comm::abort_on_panic();
    cli::start::logger(&world, cli.verbose);
    let result = comm::stop::install().and_then(|()| cli::run(&cli.command, &world));
    let code = cli::start::outcome(&world, result);
    drop(world);
    comm::finalize();
    std::process::exit(code);
}
