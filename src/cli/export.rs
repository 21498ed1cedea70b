//! `polycosm export`: the dataset as one ordinary file, the posteriors as chains.

use super::campaign::{Campaign, path};
use super::current::{Current, drawn};
use super::start::say;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::export::{check_place, chosen, one_file};
use crate::io::hdf::remove_unfinished;
use crate::io::ours::{check_folder, sign};
use crate::io::samples::{Samples, remove_chains};
use crate::suite::Lock;
use std::path::PathBuf;

/// Copy the dataset into one HDF5 file without links, and posteriors into GetDist chains
///
/// Draws of observations become chains too. An earlier export is replaced; any other file that is in the way is
/// refused.
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
    let plan = args.campaign.look(comm)?;
    let provenance = plan.provenance(comm);
    let alone = comm.alone();
    let current = Current::take(&plan, comm)?;
    comm.on_root(|| {
        // All that can be wrong is found before anything is made.
        let dataset = plan.open_dataset()?;
        chosen(&dataset, &args.field)?;
        let path = args.to.join("dataset.h5");
        check_place(&path, &dataset.path)?;
        let mut chains = vec![];
        for draws in drawn(&plan) {
            let name = draws.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let folder = args.to.join(format!("chains-{name}"));
            check_folder(&folder)?;
            let samples = Samples::read(&draws)?;
            let why = current.outdated(&samples)?;
            if let Some(why) = &why {
                log::warn!("export: left out: the draws in {}: {why}", draws.display());
            }
            chains.push((folder, why.is_none().then_some(samples)));
        }
        let made = |e: std::io::Error| {
            let error = Error::input(format!("cannot be made: {e}")).key("--to").value(&args.to);
            error.remedy("choose a folder you may write to: --to DIR")
        };
        let new = !args.to.exists();
        std::fs::create_dir_all(&args.to).map_err(made)?;
        let _lock = Lock::of_folder(&args.to, "is exporting into")?;
        remove_unfinished(&args.to, "dataset.h5")?;
        one_file(&alone, &dataset, &path, &args.field, &provenance).inspect_err(|_| {
            if new {
                let _ = std::fs::remove_dir(&args.to); // while it is empty
            }
        })?;
        say(path.display());
        for (folder, samples) in chains {
            // An earlier export is replaced as a whole.
            remove_chains(&folder)?;
            let Some(samples) = samples else { continue };
            sign(&folder, &provenance.pairs())?;
            for chain in samples.to_getdist(&folder)? {
                say(chain.display());
            }
        }
        Ok(())
    })
}
