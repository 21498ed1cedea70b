//! What happens before and after a subcommand: usage messages, the logger, the exit code.

use crate::comm::{self, Comm};
use crate::error::{Kind, Result};
use std::io::{IsTerminal, Write};

/// Prints a usage error, `--help` or `--version` once, whatever the number of ranks, and ends the process.
pub fn usage(message: &clap::Error) -> ! {
    // MPI is started only where a launcher did: `--help` also works where MPI does not.
    let launched = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"];
    if launched.iter().any(|name| std::env::var_os(name).is_some()) {
        let world = Comm::world();
        if world.is_root() {
            message.print().ok();
        }
        // A rank that leaves early with an error would have the launcher end the root before it has spoken.
        world.barrier();
        drop(world);
        comm::finalize();
    } else {
        message.print().ok();
    }
    std::process::exit(message.exit_code())
}

/// Rank 0 speaks: plain lines on a terminal, timestamped ones in a job log. `RUST_LOG` overrides.
pub fn logger(world: &Comm, verbose: u8) {
    if !world.is_root() {
        return;
    }
    let level = [log::LevelFilter::Info, log::LevelFilter::Debug, log::LevelFilter::Trace][verbose.min(2) as usize];
    let plain = std::io::stderr().is_terminal();
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .filter_module("polycosm", level)
        .parse_default_env()
        .format(move |out, record| {
            let now = jiff::Timestamp::now();
            let word = if record.level() <= log::Level::Warn { "warning: " } else { "" };
            match plain {
                true => writeln!(out, "{word}{}", record.args()),
                false => writeln!(out, "{now:.0} {word}{}", record.args()),
            }
        })
        .init();
}

/// Reports an error and returns the exit code. One that all ranks agreed on is printed once; one that only some ranks
/// know of ends the whole job, because the others may be waiting.
pub fn outcome(world: &Comm, result: Result<()>) -> i32 {
    let Err(error) = result else { return 0 };
    let code = error.exit_code();
    if error.agreed_from.is_none() && world.size() > 1 {
        eprintln!("polycosm: error: rank {}: {error}", world.rank());
        world.abort(code);
    }
    if world.is_root() {
        let word = if error.kind == Kind::Stopped { "" } else { "error: " };
        eprintln!("polycosm: {word}{error}");
    }
    world.barrier();
    code
}

/// Prints to standard output; a reader that has gone (`| head`) is no failure, where `println!` would panic.
pub fn say(text: impl std::fmt::Display) {
    writeln!(std::io::stdout(), "{text}").ok();
}
