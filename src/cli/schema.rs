//! `polycosm schema`: what a campaign file may say, for editors.

use super::start::say;
use crate::comm::Comm;
use crate::config::schema::schema;
use crate::error::Result;

/// Print a JSON schema of campaign files, with which editors complete and check them
///
/// Example: polycosm schema > polycosm.schema.json, and `#:schema ./polycosm.schema.json` as a campaign's first line
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Collective; the root prints.
pub fn run(_: &Args, comm: &Comm) -> Result<()> {
    comm.on_root(|| {
        say(format_args!("{:#}", schema().as_value()));
        Ok(())
    })
}
