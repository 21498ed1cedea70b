//! What happens before and after a subcommand: usage messages, the logger, the exit code.

use crate::comm::{self, Comm};
use crate::error::{Cause, Error, FREE_SOME_SPACE, Result};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Why standard output could not be written, if so.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Prints a usage error, `--help` or `--version` once, whatever the number of ranks, and ends the process.
pub fn usage(message: &clap::Error) -> ! {
    // MPI is started only where a launcher did: `--help` also works where MPI does not.
    let launched = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"];
    let print = || match message.print() {
        Err(e) if e.kind() != ErrorKind::BrokenPipe && !message.use_stderr() => {
            complain(format_args!("polycosm: error: {}", unwritten(&e)));
            1
        }
        _ => message.exit_code(),
    };
    let code = if launched.iter().any(|name| std::env::var_os(name).is_some()) {
        let world = Comm::world();
        // A rank that leaves early with an error would have the launcher end the root before it has spoken.
        let code = world.max_of(if world.is_root() { print() } else { 0 });
        drop(world);
        comm::finalize();
        code
    } else {
        print()
    };
    std::process::exit(code)
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

/// Reports an error and returns the exit code; that standard output took all that was said is part of the success. One
/// that all ranks agreed on is printed once; one that only some ranks know of ends the whole job, because the others
/// may be waiting.
pub fn outcome(world: &Comm, result: Result<()>) -> i32 {
    let said = || world.agree(UNSAID.get().map_or(Ok(()), |e| Err(Error::io(e).remedy(FREE_SOME_SPACE))));
    let Err(error) = result.and_then(|()| said()) else { return 0 };
    let code = error.exit_code();
    if error.agreed_from.is_none() && world.size() > 1 {
        complain(format_args!("polycosm: error: rank {}: {error}", world.rank()));
        world.abort(code);
    }
    if world.is_root() {
        let word = if error.kind == Cause::Stopped { "" } else { "error: " };
        complain(format_args!("polycosm: {word}{error}"));
    }
    world.barrier();
    code
}

/// Prints to standard output. A reader that has gone (`| head`) is no failure; what cannot be written for another
/// reason is told at the [end](outcome). (`println!` would panic.)
pub fn say(text: impl std::fmt::Display) {
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => _ = UNSAID.set(unwritten(&e)),
        _ => {}
    }
}

fn unwritten(e: &std::io::Error) -> String {
    format!("standard output cannot be written: {e}")
}

/// Prints to standard error. Where that is closed or full there is nobody to tell. (`eprintln!` would panic.)
fn complain(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// The path from the root, as a log shows it.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
