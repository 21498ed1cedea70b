//! `polycosm check`: validate; print the resolved values and where each came from.

use super::campaign::Campaign;
use super::start::say;
use crate::comm::Comm;
use crate::config::origin;
use crate::error::Result;

/// Validate a campaign file; print every value and where it came from
///
/// Example: polycosm check run.toml --set cosmology.h=0.7
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let loaded = args.campaign.load::<toml::Table>(comm)?;
    let entries = comm.agree(loaded.origins())?;
    if comm.is_root() {
        say(origin::table(&entries).trim_end());
    }
    Ok(())
}
