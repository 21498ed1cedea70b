//! The stop flag: SIGTERM, SIGINT or SIGUSR1 (Slurm's `--signal`) ask for a clean stop at the next safe point.

use super::Comm;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Default::default);

/// Installs the handlers. A second signal that asks for a stop ends the process at once.
pub fn install() -> Result<()> {
    use signal_hook::{consts::*, flag};
    for signal in [SIGTERM, SIGINT, SIGUSR1] {
        flag::register_conditional_shutdown(signal, 128 + signal, FLAG.clone())?;
        flag::register(signal, FLAG.clone())?;
    }
    // Writing beyond the limit on a file's size (`ulimit -f`) is then an error, as on a full disk.
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

/// True once this rank was asked to stop, whatever the others know.
pub fn asked() -> bool {
    FLAG.load(Ordering::Relaxed)
}

/// Collective: true on every rank once any rank was asked to stop.
pub fn requested(comm: &Comm) -> bool {
    comm.any(asked())
}

/// Collective: an [`Error::stopped`] on every rank once any rank was asked to stop; call where stopping loses nothing.
pub fn check(comm: &Comm, what: &str) -> Result<()> {
    match requested(comm) {
        true => comm.agree(Err(
            Error::stopped(format!("stopped cleanly {what}")).remedy("run the same command again: it resumes")
        )),
        false => Ok(()),
    }
}
