//! Files appear when they are whole: written under a temporary name, brought to the disk, renamed.

use super::File;
use crate::comm::Comm;
use crate::error::{At, Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Collective: writes a file under a temporary name, which `write` fills, and renames it when it is whole and on the
/// disk. A file of that name is therefore finished, whenever the program is killed.
pub fn publish(comm: &Comm, path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    publish_by(comm, path, write, |whole| appear(whole, path))
}

/// The same, and what is whole and on the disk is brought to its name on the root by `place`, which is given the name
/// that it has: by [`appear`], beside others that change with it.
pub fn publish_by(
    comm: &Comm,
    path: &Path,
    write: impl FnOnce(&File) -> Result<()>,
    place: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let temporary = temporary(comm, path);
    let file = File::create_on(comm, &temporary)?;
    let written = comm.agree(write(&file));
    let compressed = file.compressed.get() > 0;
    let closed = comm.on_root(|| file.reserve(0));
    let closed = match closed {
        Ok(()) => comm.agree(file.close()),
        // Where a disk is full, ranks leave HDF5's collective closing at different places and wait for one another.
        full => {
            file.abandon();
            full
        }
    };
    // What was reserved and not needed is given back.
    let fit = || std::fs::OpenOptions::new().write(true).open(&temporary).and_then(|f| f.set_len(f.metadata()?.len()));
    let fit = || if compressed { fit().at(&temporary) } else { Ok(()) };
    let whole = || fit().and_then(|()| synchronise(&temporary).at(&temporary));
    let moved = written.and(closed).and_then(|()| comm.on_root(|| whole().and_then(|()| place(&temporary))));
    moved.map_err(|e| {
        // The parallel driver's errors do not say why: the folder is tried for real, while the file is still there.
        let tried = comm.on_root(|| try_folder(&temporary));
        if comm.is_root() {
            let _ = std::fs::remove_file(&temporary);
        }
        with_remedy(e, tried)
    })
}

/// What was found when the folder was tried says more than the error.
fn with_remedy(e: Error, tried: Result<()>) -> Error {
    match tried {
        Err(Error { remedy: Some(remedy), .. }) => Error { remedy: Some(remedy), ..e },
        _ => e,
    }
}

/// Writes a little beside `file`.
fn try_folder(file: &Path) -> Result<()> {
    let folder = folder(file);
    tempfile::tempfile_in(folder).and_then(|mut f| f.write_all(&[1; 1 << 16])).at(folder)
}

/// Like [`publish`] on the calling rank alone.
pub fn publish_alone(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    publish_file(path, |temporary| {
        let file = File::create(temporary)?;
        let written = write(&file);
        written.and(file.close()) // closed in either case
    })
}

/// The same for any file, written by the calling rank alone.
pub fn publish_file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    replace(path, write, |temporary| settle(temporary, path))
}

/// The same, and what was there before is kept under the name `previous`.
pub fn publish_keeping(path: &Path, previous: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    replace(path, write, |temporary| {
        synchronise(temporary).at(temporary)?;
        if path.exists() {
            std::fs::rename(path, previous).at(path)?;
        }
        settle(temporary, path)
    })
}

fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<()>,
    settle: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let temporary = named(path, std::process::id());
    write(&temporary).and_then(|()| settle(&temporary)).map_err(|e| {
        // Not every library says why: the folder is tried for real, while the file is still there.
        let tried = try_folder(&temporary);
        let _ = std::fs::remove_file(&temporary);
        with_remedy(e, tried)
    })
}

/// The same for what is at hand.
pub fn publish_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    publish_file(path, |temporary| std::fs::write(temporary, bytes).at(temporary))
}

/// The same for a small text.
pub fn publish_text(path: &Path, text: &str) -> Result<()> {
    publish_bytes(path, text.as_bytes())
}

/// The same under a name that is free; an error of the kind `AlreadyExists` where it is not.
pub fn publish_new(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // as those of any new file
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(name).suffix(TEMPORARY).permissions(permissions).tempfile_in(folder(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|e| e.error)?;
    let _ = synchronise(folder(path));
    Ok(())
}

/// How the names of files end that are not finished.
pub const TEMPORARY: &str = ".polycosm.tmp";

/// A name no other process writes to: a killed program's ranks may outlive it by moments.
fn temporary(comm: &Comm, path: &Path) -> PathBuf {
    let mut tag = [std::process::id()];
    comm.broadcast(0, &mut tag);
    named(path, tag[0])
}

/// What a file is called while process `tag` writes it.
pub fn named(path: &Path, tag: u32) -> PathBuf {
    PathBuf::from(format!("{}.{tag}{TEMPORARY}", path.display()))
}

/// Removes what a killed program left unfinished in a folder, of files whose names begin with `start`:
/// `NAME.PROCESS.polycosm.tmp`. Nobody else may be writing them.
pub fn remove_unfinished(folder: &Path, start: &str) -> Result<()> {
    for entry in std::fs::read_dir(folder).at(folder)?.flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let own = is_unfinished(&name, start);
        if own && entry.file_type().is_ok_and(|t| t.is_file()) {
            std::fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(())
}

/// True for the name of an unfinished file whose own begins with `start`.
pub fn is_unfinished(name: &str, start: &str) -> bool {
    let tag = name.strip_suffix(TEMPORARY).and_then(|rest| rest.rsplit_once('.'));
    tag.is_some_and(|(name, tag)| !name.is_empty() && name.starts_with(start) && tag.parse::<u32>().is_ok())
}

fn settle(temporary: &Path, path: &Path) -> Result<()> {
    synchronise(temporary).at(temporary)?;
    appear(temporary, path)
}

/// Renames what is on the disk.
pub fn appear(temporary: &Path, path: &Path) -> Result<()> {
    std::fs::rename(temporary, path).at(path)?;
    // Not every file system lets a folder be synchronised; the rename is then as durable as it gets.
    let _ = synchronise(folder(path));
    Ok(())
}

fn synchronise(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// The folder of a file, which is the working directory for a bare name.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

    #[test]
    fn what_was_there_is_kept_or_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [path, previous] = ["a", "b"].map(|name| dir.path().join(name));
        let read = |path| std::fs::read_to_string(path).unwrap();
        let put = |text: &'static str| publish_keeping(&path, &previous, |t| std::fs::write(t, text).at(t));
        put("one").unwrap();
        assert!(read(&path) == "one" && !previous.exists());
        put("two").unwrap();
        assert_eq!((read(&path), read(&previous)), ("two".into(), "one".into()));
        assert!(publish_keeping(&path, &previous, |_| Err(Error::failed("on purpose"))).is_err());
        assert_eq!((read(&path), read(&previous)), ("two".into(), "one".into()), "a failure takes nothing away");
        let taken = publish_new(&path, "three").unwrap_err();
        assert!(taken.kind() == std::io::ErrorKind::AlreadyExists && read(&path) == "two");
        let new = dir.path().join("new");
        publish_new(&new, "three").unwrap();
        let mode = |path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!((read(&new), mode(&new)), ("three".into(), mode(&path)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "something is left");
    }
}
