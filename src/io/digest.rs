//! Digests (SHA-256, hexadecimal) of bytes and of files.

use crate::error::{At, Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

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

/// What the system says of a file: device, number, length and, which no program can set, the time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

/// Files that were read already, with their digests.
static KNOWN: Mutex<BTreeMap<PathBuf, (Stamp, String)>> = Mutex::new(BTreeMap::new());

/// Times of changes are no finer than this.
const TICK: Duration = Duration::from_secs(2);

/// The same for a file that is asked for again and again: it is only read anew where the system says that it changed.
pub fn digest_again(path: &Path) -> Result<String> {
    let about = path.metadata().at(path)?;
    let stamp = (about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec());
    let known = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).get(path).filter(|known| known.0 == stamp).cloned();
    if let Some((_, digest)) = known {
        return Ok(digest);
    }
    let digest = digest_of_file(path)?;
    // One that was changed just now may be once more, and the time be the same.
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(about.ctime().max(0) as u64);
    if changed.elapsed().is_ok_and(|ago| ago > TICK) {
        KNOWN.lock().unwrap_or_else(|e| e.into_inner()).insert(path.to_path_buf(), (stamp, digest.clone()));
    }
    Ok(digest)
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
