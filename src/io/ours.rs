//! What polycosm wrote, and what it did not: nothing of the user's is ever removed or overwritten.

use super::hdf::{File, publish_text};
use super::identity::digest;
use super::provenance::is_ours;
use crate::error::{At, Error, Result};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Refuses to replace an HDF5 file that polycosm did not write. One that is not there may be written.
pub fn replaceable(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        _ if File::open(path).and_then(|file| is_ours(&file)).unwrap_or(false) => Ok(()),
        _ => Err(Error::input("is there, and polycosm did not write it (or it is damaged): it is not replaced")
            .file(path)
            .remedy("move it elsewhere or remove it, or give another folder")),
    }
}

/// The file in a folder of many small ones that says who wrote them.
const WHO: &str = "provenance.json";

/// Refuses a folder with anything in it, unless polycosm has signed it.
pub fn check_folder(folder: &Path) -> Result<()> {
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    let signed = std::fs::read_to_string(folder.join(WHO)).is_ok_and(|text| text.contains("polycosm"));
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

/// First line of a resolved campaign. One that was edited is the user's.
fn headed(campaign: &str) -> String {
    let digest = digest(campaign.as_bytes());
    let first = &digest[..16];
    format!("# Written by polycosm, which replaces this file: the campaign as resolved ({first}).\n{campaign}")
}

/// Writes the resolved campaign into a folder: as `campaign.toml`, or where a file of the user's has that name, as
/// `campaign.resolved.toml`.
pub fn keep_campaign(folder: &Path, campaign: &str) -> Result<()> {
    let taken = folder.join("campaign.toml");
    for path in [&taken, &folder.join("campaign.resolved.toml")] {
        let there = match std::fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            there => Some(String::from_utf8_lossy(&there.at(path)?).into_owned()),
        };
        let rest = there.as_ref().map(|text| text.split_once('\n').map_or("", |(_, rest)| rest));
        if there.is_none() || rest.map(headed) == there {
            if *path != taken {
                log::info!("{} is not polycosm's: the resolved campaign is {}", taken.display(), path.display());
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
        let ours = (Some("polycosm 0.1.0"), true);
        for who in [(None, true), (Some("mine"), true), (Some("polycosm-fork"), true), (ours.0, false), ours] {
            let file = File::create(&path).unwrap();
            who.0.map_or(Ok(()), |v| file.set_text("", "version", v)).unwrap();
            if who.1 {
                file.set_number("", "format_version", 1).unwrap();
            }
            file.close().unwrap();
            assert_eq!(replaceable(&path).is_ok(), who == ours, "{who:?}");
        }
        std::fs::write(&path, "text").unwrap();
        assert!(replaceable(&path).is_err());
    }
}
