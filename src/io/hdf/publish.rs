//! Files appear when they are whole: written under a temporary name, brought to the disk, renamed.

use super::File;
use crate::comm::{self, Comm};
use crate::error::{At, Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Collective: writes a file under a temporary name, which `write` fills, and renames it when it is whole and on the
/// disk. A file of that name is therefore finished, whenever the program is killed.
pub fn publish(comm: &Comm, path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let temporary = temporary(comm, path);
    let file = File::create_on(comm, &temporary)?;
    let written = comm.agree(write(&file));
    let closed = comm.agree(file.close());
    if closed.is_err() && comm.size() > 1 {
        // HDF5 keeps what it could not close, and crashes on it while MPI shuts down.
        comm::never_finalize();
    }
    let moved = written.and(closed).and_then(|()| comm.on_root(|| settle(&temporary, path)));
    moved.map_err(|e| {
        // The parallel driver's errors do not say why: the folder is tried for real, while the file is still there.
        let tried = comm.on_root(|| try_folder(&temporary));
        if comm.is_root() {
            let _ = std::fs::remove_file(&temporary);
        }
        match tried {
            Err(Error { remedy: Some(remedy), .. }) => Error { remedy: Some(remedy), ..e },
            _ => e,
        }
    })
}

/// Writes a little beside `file`.
fn try_folder(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    tempfile::tempfile_in(folder).and_then(|mut f| f.write_all(&[1; 1 << 16])).at(folder)
}

/// Like [`publish`] for a small text file, written by the calling rank alone.
pub fn publish_text(path: &Path, text: &str) -> Result<()> {
    let temporary = PathBuf::from(format!("{}.{}{TEMPORARY}", path.display(), std::process::id()));
    std::fs::write(&temporary, text).at(&temporary)?;
    settle(&temporary, path)
}

/// How the names of files end that are not finished.
pub const TEMPORARY: &str = ".polycosm.tmp";

/// A name no other process writes to: a killed program's ranks may outlive it by moments.
fn temporary(comm: &Comm, path: &Path) -> PathBuf {
    let mut tag = [std::process::id()];
    comm.broadcast(0, &mut tag);
    PathBuf::from(format!("{}.{}{TEMPORARY}", path.display(), tag[0]))
}

fn settle(temporary: &Path, path: &Path) -> Result<()> {
    std::fs::File::open(temporary).and_then(|f| f.sync_all()).at(temporary)?;
    std::fs::rename(temporary, path).at(path)?;
    // Not every file system lets a folder be synchronised; the rename is then as durable as it gets.
    let _ = path.parent().map(std::fs::File::open).map(|d| d.and_then(|d| d.sync_all()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let comm = Comm::world();
        let failed = publish(&comm, &path, |_| Err(Error::failed("on purpose")));
        assert!(failed.is_err() && std::fs::read_dir(dir.path()).unwrap().next().is_none());
        publish(&comm, &path, |f| f.write(None, "a", &[1], &[1f64])).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
