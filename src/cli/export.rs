//! `polycosm export`: the dataset as one ordinary file, the posteriors as chains.

use super::campaign::{Campaign, path};
use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::export::one_file;
use crate::io::samples::Samples;
use std::path::PathBuf;

/// Copy the dataset into one HDF5 file without links, and posteriors into GetDist chains
///
/// Example: polycosm export run.toml --to exported
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Folder to write to
    #[arg(long, value_name = "FOLDER", value_parser = path())]
    pub to: PathBuf,
    /// Only these fields [default: all]
    #[arg(long, value_name = "NAME")]
    pub field: Vec<String>,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let plan = args.campaign.plan(comm)?;
    let provenance = plan.provenance(comm);
    let alone = comm.alone();
    comm.on_root(|| {
        let made = |e: std::io::Error| {
            let error = Error::input(format!("cannot be made: {e}")).key("--to").value(&args.to);
            error.remedy("choose a folder you may write to: --to DIR")
        };
        std::fs::create_dir_all(&args.to).map_err(made)?;
        let dataset = plan.open_dataset()?;
        let path = args.to.join("dataset.h5");
        one_file(&alone, &dataset, &path, &args.field, &provenance)?;
        say(path.display());
        for stage in plan.posteriors() {
            let path = plan.posterior(&stage);
            if path.exists() {
                for chain in Samples::read(&path)?.to_getdist(&args.to.join(format!("chains-{stage}")))? {
                    say(chain.display());
                }
            }
        }
        Ok(())
    })
}
