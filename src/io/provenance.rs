//! Where a file came from: written as attributes of every file's root.

use super::hdf::File;
use crate::comm::Comm;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Version of the files' layout; readers refuse a newer one.
pub const FORMAT_VERSION: u32 = 1;

/// Units of everything that does not say otherwise.
pub const UNITS: &str = "lengths comoving Mpc/h, velocities peculiar km/s, masses Msun/h, wavenumbers h/Mpc";

/// What every file's `version` begins with.
pub(super) const PROGRAM: &str = "polycosm ";

/// True if this program wrote the file. Attributes of any other mean what their owner says.
pub fn is_ours(file: &File) -> Result<bool> {
    let version = file.text("", "version")?.is_some_and(|version| version.starts_with(PROGRAM));
    Ok(version && file.number("", "format_version")?.is_some())
}

/// Program, place, time and resolved campaign behind a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Program and version.
    pub version: String,
    /// Commit it was built from, or `unknown`.
    pub commit: String,
    /// UTC, RFC 3339.
    pub created: String,
    pub host: String,
    pub command: String,
    /// The campaign's seed.
    pub seed: u64,
    /// The resolved campaign, TOML.
    pub campaign: String,
    pub units: String,
}

impl Provenance {
    /// Collective: this run's, the root's on every rank (the time and the host differ between ranks, and collective
    /// attributes may not). The commit is what `POLYCOSM_COMMIT` was when the program was built.
    pub fn collect(comm: &Comm, seed: u64, campaign: &str) -> Self {
        let mine = Provenance {
            version: format!("{PROGRAM}{}", env!("CARGO_PKG_VERSION")),
            commit: option_env!("POLYCOSM_COMMIT").unwrap_or("unknown").into(),
            created: jiff::Timestamp::now().to_string(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            command: std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "),
            seed,
            campaign: campaign.into(),
            units: UNITS.into(),
        };
        comm.broadcast_value(0, Some(mine))
    }

    /// Collective in a parallel file: writes the attributes of the root, with `format_version`.
    pub fn write(&self, file: &File) -> Result<()> {
        file.set_number("", "format_version", FORMAT_VERSION)?;
        for (name, text) in [
            ("version", &self.version),
            ("commit", &self.commit),
            ("created", &self.created),
            ("host", &self.host),
            ("command", &self.command),
            ("campaign", &self.campaign),
            ("units", &self.units),
        ] {
            file.set_text("", name, text)?;
        }
        file.set_number("", "seed", self.seed)
    }

    /// Names and texts, for files that are not written through [`File`], and for the report.
    pub fn pairs(&self) -> Vec<(String, String)> {
        [
            ("version", &self.version),
            ("commit", &self.commit),
            ("created", &self.created),
            ("host", &self.host),
            ("command", &self.command),
            ("seed", &self.seed.to_string()),
            ("units", &self.units),
            ("campaign", &self.campaign),
        ]
        .map(|(name, text)| (name.to_string(), text.clone()))
        .to_vec()
    }

    /// Reads what [`Provenance::write`] wrote; what is absent reads as empty.
    pub fn read(file: &File) -> Result<Self> {
        let text = |name| file.text("", name).map(Option::unwrap_or_default);
        let seed = if file.attributes("")?.iter().any(|n| n == "seed") { file.unsigned("", "seed")? } else { 0 };
        Ok(Provenance {
            version: text("version")?,
            commit: text("commit")?,
            created: text("created")?,
            host: text("host")?,
            command: text("command")?,
            seed,
            campaign: text("campaign")?,
            units: text("units")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(&dir.path().join("a.h5")).unwrap();
        let provenance = Provenance::collect(&Comm::world(), u64::MAX - 1, "seed = 1\n");
        provenance.write(&file).unwrap();
        assert_eq!(Provenance::read(&file).unwrap(), provenance);
        assert_eq!(file.number("", "format_version").unwrap(), Some(1.0));
    }
}
