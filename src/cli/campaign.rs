//! The flags of every subcommand that takes a campaign.

use crate::comm::Comm;
use crate::config::campaign::Config;
use crate::config::plan::Plan;
use crate::config::{Loaded, load};
use crate::error::{Cause, Error, Result};
use crate::limits;
use clap::builder::{OsStringValueParser, TypedValueParser};
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// A campaign file, and what is set differently this time.
#[derive(Debug, Clone, clap::Args)]
pub struct Campaign {
    /// The campaign file
    #[arg(value_name = "CAMPAIGN.toml", value_parser = path())]
    pub file: PathBuf,
    /// Replace a value, e.g. --set cosmology.h=0.7 or --set train.compressor.epochs=5 (a TOML value; a bare word or
    /// path is a string); may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A path on the command line: in UTF-8 and without line breaks, for it goes into scripts, logs and files' attributes.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|word| {
        let text = word.into_string().map_err(|_| "is not UTF-8: rename it".to_string())?;
        limits::plain(&text).map(|()| PathBuf::from(&text)).map_err(|problem| format!("{problem}: rename it"))
    })
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

    /// Collective: reads and checks the campaign, then does the work. Bad input that is found there says in which file
    /// and line the key stands, unless it came from the command line or names another file.
    pub fn with(&self, comm: &Comm, work: impl FnOnce(&Plan) -> Result<()>) -> Result<()> {
        let plan = self.plan(comm)?;
        work(&plan).map_err(|e| self.placed(&plan, e))
    }

    /// Bad input with its file and line, unless it came from the command line or names another file.
    pub fn placed(&self, plan: &Plan, e: Error) -> Error {
        let flag = e.key.as_ref().is_some_and(|key| key.starts_with("--"));
        if e.kind == Cause::Input && !flag { plan.locate(e) } else { e }
    }
}
