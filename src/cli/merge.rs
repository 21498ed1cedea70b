//! `polycosm merge`: parts of one campaign, made in different places, become one folder.

use super::campaign::path;
use super::start::say;
use crate::comm::Comm;
use crate::error::Result;
use crate::suite::merge::merge;
use std::path::PathBuf;

/// Join parts of one campaign that were made in different places (`simulate --only`)
///
/// All must be of the same campaign, by their fingerprints, parameters and seeds. Simulations that several have are
/// compared bit by bit; one that failed in one and is finished in another counts as finished. What stages learned or
/// inferred is not merged. Killed or stopped, the same command resumes.
///
/// Example: polycosm merge here there --into whole
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The parts: output folders of the campaign
    #[arg(value_name = "FOLDER", required = true, value_parser = path())]
    pub parts: Vec<PathBuf>,
    /// Folder that gets all simulations: a new one, or one of the campaign's, such as the first part
    #[arg(long, value_name = "FOLDER", value_parser = path())]
    pub into: PathBuf,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let merged = merge(comm, &args.parts, &args.into)?;
    if comm.is_root() {
        if let Some(first) = merged.mended.first() {
            let more =
                if merged.mended.len() > 1 { format!(" and {} more", merged.mended.len() - 1) } else { "".into() };
            log::warn!("row {first}{more} failed in one part and is finished in another, which counts");
        }
        say(format!("{}: {}", args.into.display(), merged.told()));
    }
    Ok(())
}
