//! Commands that a test runs beside other tests of its process.

use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// HDF5 opens files so that children inherit them, and with them the lock: a file that another test of this process was
/// writing would stay locked for as long as the command runs.
pub fn inherits_nothing(command: &mut Command) {
    let close_later = || {
        for fd in 3..1024 {
            // SAFETY: a number that is no open file is refused, and one that is stays open until the command begins.
            let _ = rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, rustix::io::FdFlags::CLOEXEC);
        }
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(close_later) };
}
