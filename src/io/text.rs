//! Texts and JSON in an output folder: read up to a limit, and from ordinary files alone.

use crate::error::{Error, Result};
use crate::limits;
use std::io::ErrorKind;
use std::path::Path;

/// The text of a file; `None` where there is none. What is no ordinary file (a device or a pipe may never end), is
/// longer than [`limits::OWN`] or no UTF-8 is not what polycosm writes: an error without a remedy, which the caller
/// knows.
pub fn read(path: &Path) -> Result<Option<String>> {
    match path.symlink_metadata() {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        _ => limits::read_text(path, limits::OWN).map(Some).map_err(|e| Error::failed(e.problem).file(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(read(&path.join("b")).unwrap(), None);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("{}"));
        let refused = |why: &str| {
            let e = read(&path).unwrap_err();
            assert!(e.problem.contains(why) && e.exit_code() == 1 && e.to_string().contains("a.json"), "{e}");
        };
        std::fs::File::create(&path).unwrap().set_len(limits::OWN + 1).unwrap();
        refused("larger than 1024 MiB");
        for (target, why) in [("/dev/zero", "no ordinary file"), ("/", "folder"), ("nowhere", "cannot be read")] {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            refused(why);
        }
    }
}
