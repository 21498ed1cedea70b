//! `polycosm export`: the dataset as one ordinary file, the posteriors as chains.

use super::campaign::{Campaign, path};
use super::start::say;
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{Error, Result};
use crate::io::export::{check_place, chosen, one_file};
use crate::io::ours::{check_folder, sign};
use crate::io::samples::Samples;
use crate::suite::status::names;
use std::path::{Path, PathBuf};

/// Copy the dataset into one HDF5 file without links, and posteriors into GetDist chains
///
/// Draws of observations become chains too. An earlier export is replaced; any other file that is in the way is refused.
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
    comm.on_root(|| {
        // All that can be wrong is found before anything is made.
        let dataset = plan.open_dataset()?;
        chosen(&dataset, &args.field)?;
        let path = args.to.join("dataset.h5");
        check_place(&path, &dataset.path)?;
        let mut chains = vec![];
        for name in posteriors(&plan)? {
            let folder = args.to.join(format!("chains-{name}"));
            check_folder(&folder)?;
            chains.push((folder, Samples::read(&plan.posterior(&name))?));
        }
        let made = |e: std::io::Error| {
            let error = Error::input(format!("cannot be made: {e}")).key("--to").value(&args.to);
            error.remedy("choose a folder you may write to: --to DIR")
        };
        let new = !args.to.exists();
        std::fs::create_dir_all(&args.to).map_err(made)?;
        one_file(&alone, &dataset, &path, &args.field, &provenance).inspect_err(|_| {
            if new {
                let _ = std::fs::remove_dir(&args.to); // while it is empty
            }
        })?;
        say(path.display());
        for (folder, samples) in chains {
            sign(&folder, &provenance.pairs())?;
            for chain in samples.to_getdist(&folder)? {
                say(chain.display());
            }
        }
        Ok(())
    })
}

/// Names of the draws there are: of the test split, and of observations.
fn posteriors(plan: &Plan) -> Result<Vec<String>> {
    let mut all: Vec<String> = plan.posteriors().into_iter().filter(|name| plan.posterior(name).exists()).collect();
    let folder = plan.posterior("").parent().map(Path::to_path_buf).unwrap_or_default();
    let observed = names(&folder)?.into_iter().filter_map(|f| f.strip_suffix(".h5").map(String::from));
    all.extend(observed.filter(|name| name.starts_with("observation-")));
    Ok(all)
}
