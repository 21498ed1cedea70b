//! What polycosm wrote, and what it did not: nothing of the user's is ever removed or overwritten.

use super::digest::digest as sha256;
use super::hdf::{File, publish_bytes, publish_text};
use super::provenance::PROGRAM;
use super::text;
use crate::error::{At, Error, Result};
use crate::progress::first_time;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Words in the beginning of texts and pictures, which is how polycosm knows them again.
pub const MARK: &str = "Written by polycosm, which replaces this file";

/// What files say of the program that writes them.
pub fn program() -> String {
    concat!("polycosm ", env!("CARGO_PKG_VERSION")).into()
}

/// True if an HDF5 file says that polycosm wrote it.
pub fn wrote(file: &File) -> bool {
    let says = |at: &str, name: &str| file.text(at, name).is_ok_and(|by| by.is_some_and(|by| by.starts_with(PROGRAM)));
    // Snapshots say it where those of other codes do. Checkpoints of older programs tell what they are instead.
    says("", "version") || says("Header", "Code") || file.text("", "checkpoint").is_ok_and(|header| header.is_some())
}

/// True if polycosm wrote a file, by what the file says of itself: HDF5 in its attributes, or, where it is damaged, in
/// its first bytes; JSON by the digest at its end, other texts and pictures by [`MARK`].
fn is_ours(path: &Path) -> bool {
    let part = |from: u64| -> std::io::Result<Vec<u8>> {
        let (mut file, mut bytes) = (std::fs::File::open(path)?, vec![]);
        file.seek(SeekFrom::Start(from))?;
        file.take(1 << 16).read_to_end(&mut bytes).map(|_| bytes)
    };
    let holds = |bytes: &[u8], words: &str| bytes.windows(words.len()).any(|w| w == words.as_bytes());
    let Some(length) = path.metadata().ok().filter(|m| m.is_file()).map(|m| m.len()) else { return false };
    let head = part(0).unwrap_or_default();
    if head.starts_with(b"\x89HDF") {
        return File::open(path).map_or_else(|_| holds(&head, "polycosm"), |file| wrote(&file));
    }
    let end = part(length.saturating_sub(100)).unwrap_or_default();
    holds(&head[..head.len().min(512)], MARK) || holds(&end, "\n  \"sha256\": \"")
}

/// Refuses to replace a file that polycosm did not write. One that is not there may be written.
pub fn replaceable(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        _ if is_ours(path) => Ok(()),
        _ => Err(Error::input("is there, and polycosm did not write it (or it is damaged): it is not replaced")
            .file(path)
            .remedy("move it elsewhere or remove it, or give another folder")),
    }
}

/// The same for a file of one sort, known by an array that no other has: whatever else polycosm wrote is not replaced
/// either.
pub fn replaceable_as(path: &Path, sort: &str, array: &str) -> Result<()> {
    replaceable(path)?;
    match path.exists().then(|| File::open(path)) {
        Some(Ok(file)) if !file.exists(array) => {
            let error = Error::input(format!("is there, and is no {sort}: it is not replaced")).file(path);
            Err(error.remedy("move it elsewhere or remove it, or give another output"))
        }
        _ => Ok(()),
    }
}

/// The file in a folder of many small ones that says who wrote them.
const WHO: &str = "provenance.json";

/// Refuses a folder with anything in it, unless polycosm has signed it.
pub fn check_folder(folder: &Path) -> Result<()> {
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    let signed = text::read(&folder.join(WHO)).is_ok_and(|text| text.is_some_and(|text| text.contains("polycosm")));
    if empty || signed {
        return Ok(());
    }
    let error = Error::input(format!("is there without the {WHO} of polycosm, which leaves it alone")).file(folder);
    Err(error.remedy("move it elsewhere or remove it, or choose another folder"))
}

/// Says in a folder who wrote it: names and texts.
pub fn sign(folder: &Path, pairs: &[(String, String)]) -> Result<()> {
    std::fs::create_dir_all(folder).at(folder)?;
    let pairs: BTreeMap<&str, &str> = pairs.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    publish_text(&folder.join(WHO), &format!("{:#}\n", serde_json::json!(pairs)))
}

/// [`publish_bytes`], unless the user's own file has that name.
pub fn publish_own(path: &Path, bytes: &[u8]) -> Result<()> {
    replaceable(path)?;
    publish_bytes(path, bytes)
}

fn digest(text: &str) -> String {
    sha256(text.as_bytes())[..16].into()
}

/// First line of a resolved campaign. One that was edited is the user's.
fn headed(campaign: &str) -> String {
    format!("# {MARK}: the campaign as resolved ({}).\n{campaign}", digest(campaign))
}

/// What follows the first line.
fn rest(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// A script whose second line says who wrote it. One that was edited is the user's.
pub fn signed_script(script: &str) -> String {
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    format!("{first}\n# {MARK} unless it is edited ({}).\n{rest}", digest(rest))
}

/// Refuses to replace a script that is not as polycosm wrote it.
pub fn replaceable_script(path: &Path) -> Result<()> {
    replaceable(path)?;
    let as_written = |text: String| {
        let first = text.lines().next().unwrap_or_default();
        signed_script(&format!("{first}\n{}", rest(rest(&text)))) == text
    };
    if text::read(path).is_ok_and(|there| there.is_none_or(as_written)) {
        return Ok(());
    }
    let error = Error::input("was edited since polycosm wrote it: it is not replaced").file(path);
    Err(error.remedy("move it elsewhere or remove it, or give another folder"))
}

/// Writes the resolved campaign into a folder: as `campaign.toml`, or where a file of the user's has that name, as
/// `campaign.resolved.toml`.
pub fn keep_campaign(folder: &Path, campaign: &str) -> Result<()> {
    let taken = folder.join("campaign.toml");
    for path in [&taken, &folder.join("campaign.resolved.toml")] {
        // What cannot be read as a text is none of polycosm's.
        if text::read(path).is_ok_and(|there| there.is_none_or(|text| headed(rest(&text)) == text)) {
            let told = format!("{} is not polycosm's: the resolved campaign is {}", taken.display(), path.display());
            if *path != taken && first_time(&told) {
                log::info!("{told}");
            }
            return publish_text(path, &headed(campaign));
        }
    }
    let error = Error::input("is there, and so is campaign.resolved.toml, and polycosm wrote neither as they stand");
    Err(error.file(taken).remedy("move one of them elsewhere, or give another output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_of_the_users_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [own, other] = ["campaign.toml", "campaign.resolved.toml"].map(|name| dir.path().join(name));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        keep_campaign(dir.path(), "seed = 1\n").unwrap();
        keep_campaign(dir.path(), "seed = 2\n").unwrap();
        assert!(read(&own).ends_with("seed = 2\n") && !other.exists());
        let edited = read(&own) + "# my comment\n";
        std::fs::write(&own, &edited).unwrap();
        keep_campaign(dir.path(), "seed = 3\n").unwrap();
        assert!(read(&own) == edited && read(&other).ends_with("seed = 3\n"));
        std::fs::write(&other, "mine too").unwrap();
        assert_eq!(keep_campaign(dir.path(), "seed = 4\n").unwrap_err().exit_code(), 2);
        assert!(read(&own) == edited && read(&other) == "mine too");
    }

    #[test]
    fn a_file_of_the_users_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        replaceable(&path).unwrap();
        for version in [None, Some("mine"), Some("polycosm-fork"), Some("polycosm 0.1.0")] {
            let file = File::create(&path).unwrap();
            version.map_or(Ok(()), |v| file.set_text("", "version", v)).unwrap();
            file.close().unwrap();
            assert_eq!(replaceable(&path).is_ok(), version == Some("polycosm 0.1.0"), "{version:?}");
        }
        std::fs::write(&path, "text").unwrap();
        assert!(replaceable(&path).is_err());
    }
}
