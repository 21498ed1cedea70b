//! The flags of every subcommand that takes a campaign.

use crate::comm::Comm;
use crate::config::campaign::{Config, Plan};
use crate::config::{Loaded, load};
use crate::error::Result;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// A campaign file, and what is set differently this time.
#[derive(Debug, Clone, clap::Args)]
pub struct Campaign {
    /// The campaign file
    #[arg(value_name = "CAMPAIGN.toml")]
    pub file: PathBuf,
    /// Replace a value, e.g. --set cosmology.h=0.7 or --set train.compressor.epochs=5 (a TOML value; a bare word or
    /// path is a string); may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Campaign {
    /// Collective: reads the file, with one message from one rank when it is wrong.
    pub fn load<T: DeserializeOwned>(&self, comm: &Comm) -> Result<Loaded<T>> {
        comm.agree(load(&self.file, &self.set))
    }

    /// Collective: reads the campaign and does every check that needs no simulation; its output can be written to.
    pub fn plan(&self, comm: &Comm) -> Result<Plan> {
        let plan = self.look(comm)?;
        plan.writable(comm)?;
        Ok(plan)
    }

    /// Collective: the same for what only looks at it. An archive need not be writable.
    pub fn look(&self, comm: &Comm) -> Result<Plan> {
        Plan::new(&Config::load(comm, &self.file, &self.set)?, comm)
    }
}
