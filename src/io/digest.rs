//! Digests (SHA-256, hexadecimal) of bytes and of files.

use crate::error::{At, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// What fingerprints keep of a file's digest: the first half.
pub const DIGITS: usize = 32;

/// Digest of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// Digest of a file's bytes.
pub fn digest_of_file(path: &Path) -> Result<String> {
    if !path.metadata().at(path)?.is_file() {
        let error = Error::input("is no ordinary file, and may never end").file(path);
        return Err(error.remedy("give the path of an ordinary file"));
    }
    let mut hash = Sha256::new();
    std::fs::File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hash)).at(path)?;
    Ok(hex(hash.finalize().as_slice()))
}

/// What the system says of a file: its number, length, and the times of the last change of its contents and, which no
/// program can set, of anything about it. Not the device, which on a shared disk has another number on every node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    number: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Times of changes are no finer than this.
const TICK: Duration = Duration::from_secs(2);

impl Stamp {
    /// Of a file as it is now.
    pub fn of(path: &Path) -> Result<Stamp> {
        let about = path.metadata().at(path)?;
        let (modified, changed) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
        Ok(Stamp { number: about.ino(), size: about.size(), modified, changed })
    }

    /// True if another change would have another time: what was changed just now may be once more, and the time be the
    /// same.
    pub fn is_settled(&self) -> bool {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(self.changed.0.max(0) as u64);
        changed.elapsed().is_ok_and(|ago| ago > TICK)
    }
}

/// Files that were read already, with their digests.
static KNOWN: Mutex<BTreeMap<PathBuf, (Stamp, String)>> = Mutex::new(BTreeMap::new());

/// The same for a file that is asked for again and again: it is only read anew where the system says that it changed.
pub fn digest_again(path: &Path) -> Result<String> {
    let stamp = Stamp::of(path)?;
    let settled = stamp.is_settled();
    let known = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).get(path).filter(|known| known.0 == stamp).cloned();
    if let Some((_, digest)) = known {
        return Ok(digest);
    }
    let digest = digest_of_file(path)?;
    if settled {
        KNOWN.lock().unwrap_or_else(|e| e.into_inner()).insert(path.to_path_buf(), (stamp, digest.clone()));
    }
    Ok(digest)
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        for text in ["one", "two", "six"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(digest_again(&path).unwrap(), digest(text.as_bytes()), "{text}");
        }
        let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert_eq!(digest_again(&own).unwrap(), digest_of_file(&own).unwrap());
        assert_eq!(digest_again(&own).unwrap(), digest_of_file(&own).unwrap(), "as it was remembered");
        for path in ["/dev/zero", "/"] {
            assert!(digest_of_file(Path::new(path)).unwrap_err().to_string().contains("no ordinary file"), "{path}");
        }
    }
}
