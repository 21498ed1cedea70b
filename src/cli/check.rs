//! `polycosm check`: validate; print the resolved values and where each came from.

use super::campaign::Campaign;
use super::start::say;
use crate::comm::Comm;
use crate::config::campaign::{Config, Plan};
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
    let loaded = Config::load(comm, &args.campaign.file, &args.campaign.set)?;
    let plan = Plan::new(&loaded, comm)?;
    plan.writable_or_archived(comm)?;
    let entries = comm.agree(plan.origins())?;
    if comm.is_root() {
        say(origin::table(&entries).trim_end());
    }
    Ok(())
}
