//! The files of a snapshot: one, or `name.0.hdf5`, `name.1.hdf5` and so on.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file that is looked at first: `path`, or where there is none, number 0 of the files that begin with this name.
pub fn first(path: &Path) -> PathBuf {
    if path.is_file() {
        return path.to_path_buf();
    }
    let extension = path.extension().unwrap_or("hdf5".as_ref());
    let numbered = |stem: &Path| {
        let mut name = stem.as_os_str().to_owned();
        name.push(".0.");
        name.push(extension);
        PathBuf::from(name)
    };
    // A dot in the base name is no extension: `snap_z0.5` stands for `snap_z0.5.0.hdf5`.
    let mut whole = path.as_os_str().to_owned();
    whole.push(".0.hdf5");
    let guesses = [numbered(&path.with_extension("")), PathBuf::from(whole)];
    guesses.into_iter().find(|p| p.is_file()).unwrap_or_else(|| path.to_path_buf())
}

/// File number `i` of `count`, where `one` is any of them.
pub(super) fn part(one: &Path, i: usize, count: usize) -> Result<PathBuf> {
    if count == 1 {
        return Ok(one.to_path_buf());
    }
    let stem = Path::new(one.file_stem().unwrap_or_default());
    let number = stem.extension().and_then(|n| n.to_str()).and_then(|n| n.parse::<usize>().ok());
    let (Some(base), Some(_)) = (stem.file_stem(), number) else {
        return Err(Error::input(format!("is one of {count} files of a snapshot, but its name ends in no number"))
            .file(one)
            .key("Header/NumFilesPerSnapshot")
            .value(count)
            .remedy("name the files NAME.0.hdf5, NAME.1.hdf5 and so on, in one folder"));
    };
    let mut name = OsString::from(base);
    name.push(format!(".{i}"));
    if let Some(extension) = one.extension() {
        name.push(".");
        name.push(extension);
    }
    let path = one.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::input(format!("no such file, though the snapshot has {count}"))
            .file(path)
            .remedy("give all of them")),
    }
}
