//! One job at a time works on a campaign's folder. The lock goes with the process, however that ends.

use crate::error::{At, Error, Result};
use crate::io::hdf::remove_unfinished;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How long a killed job's last process may take to go.
const PATIENCE: Duration = Duration::from_secs(20);

impl Lock {
    /// Takes the lock of a folder; `doing` says what the other job does that holds it: "is simulating into".
    pub fn take(folder: &Path, doing: &str) -> Result<Lock> {
        let path = folder.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).at(&path)?;
        Lock::hold(file, folder, doing)
    }

    /// The same without a file of its own in the folder, which is the user's.
    pub fn of_folder(folder: &Path, doing: &str) -> Result<Lock> {
        Lock::hold(File::open(folder).at(folder)?, folder, doing)
    }

    fn hold(file: File, folder: &Path, doing: &str) -> Result<Lock> {
        let start = Instant::now();
        let mut waits = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    if !waits {
                        let seconds = PATIENCE.as_secs();
                        log::warn!("{}: another job {doing} this folder; waiting {seconds} s for it", folder.display());
                    }
                    waits = true;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let error = Error::input(format!("another job {doing} this folder")).key("output").value(folder);
                    return Err(error.remedy("wait for it (polycosm status shows it), or give another output"));
                }
                Err(TryLockError::Error(e)) => {
                    log::warn!("{}: no locks on this file system ({e}): start one job at a time", folder.display());
                    return Ok(Lock { _file: file });
                }
            }
        }
    }

    /// The same of a folder that files are published into, which is made: what a killed job left unfinished in it goes.
    pub fn to_publish(folder: &Path, doing: &str) -> Result<Lock> {
        std::fs::create_dir_all(folder).at(folder)?;
        let lock = Lock::take(folder, doing)?;
        remove_unfinished(folder, "")?;
        Ok(lock)
    }

    /// True if a job holds the lock of this folder.
    pub fn held_elsewhere(output: &Path) -> bool {
        let file = File::open(output.join("lock"));
        file.is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}
