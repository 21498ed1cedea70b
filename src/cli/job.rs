//! `polycosm job`: sbatch scripts for a cluster, and their submission.

use super::campaign::{Campaign, path};
use super::start::say;
use crate::comm::Comm;
use crate::error::{At, Error, Result};
use crate::io::hdf::publish_text;
use crate::io::ours::{replaceable_script, signed_script};
use crate::job::{self, Script};
use crate::limits;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Write Slurm scripts, one per stage, that wait for each other and resubmit themselves until done
///
/// Example: polycosm job run.toml --site generic --set output=/scratch/me/run
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// A built-in site (generic), or the path of your own site file
    #[arg(long, default_value = "generic", value_name = "SITE")]
    pub site: String,
    /// Folder for the scripts and logs [default: job in the campaign's output]
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub to: Option<PathBuf>,
    /// Submit them now
    #[arg(long)]
    pub submit: bool,
}

/// The part of a campaign that a job script depends on.
#[derive(Debug, Deserialize)]
struct Head {
    output: PathBuf,
    simulator: Option<toml::Table>,
    design: Option<toml::Table>,
    #[serde(default)]
    train: Vec<toml::Table>,
    infer: Option<toml::Table>,
}

/// Collective; the root writes.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    let head = args.campaign.load::<Head>(comm)?.value;
    comm.on_root(|| {
        let folder = args.to.clone().unwrap_or_else(|| head.output.join("job"));
        let here = |p: &Path| std::path::absolute(p).at(p).and_then(written);
        let campaign = job::Campaign {
            file: here(&args.campaign.file)?,
            set: args.campaign.set.clone(),
            simulates: head.simulator.is_some(),
            forecasts: head
                .design
                .is_some_and(|design| design.get("kind").and_then(|k| k.as_str()) == Some("fiducial")),
            trains: !head.train.is_empty(),
            infers: head.infer.is_some(),
            program: written(std::env::current_exe()?)?,
            working_directory: written(std::env::current_dir()?)?,
            folder: here(&folder)?,
        };
        let scripts = job::scripts(&job::site(&args.site)?, &campaign)?;
        write(&folder, &scripts)?;
        let script = folder.join("submit.sh");
        if args.submit {
            return submit(&script);
        }
        say(format_args!("to submit them: bash {}", job::quoted(&script.display().to_string())));
        Ok(())
    })
}

/// A path that a script can hold: text on one line.
fn written(path: PathBuf) -> Result<PathBuf> {
    let unfit = |problem: &str| {
        let error = Error::input(format!("cannot stand in a script: it {problem}")).value(&path);
        Err(error.remedy("rename that folder, or work from another"))
    };
    match path.to_str().map(limits::plain) {
        None => unfit("is not UTF-8"),
        Some(Err(problem)) => unfit(&problem),
        Some(Ok(())) => Ok(path),
    }
}

fn write(folder: &Path, scripts: &[Script]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| {
        let remedy = "choose a folder you may write to: --to DIR";
        Error::input(format!("cannot be made: {e}")).key("--to").value(folder.display().to_string()).remedy(remedy)
    })?;
    scripts.iter().try_for_each(|script| replaceable_script(&folder.join(&script.name)))?;
    for script in scripts {
        let path = folder.join(&script.name);
        publish_text(&path, &signed_script(&script.text))?;
        say(format_args!("{}", path.display()));
    }
    Ok(())
}

fn submit(script: &Path) -> Result<()> {
    let status = std::process::Command::new("bash").arg(script).status().at(script)?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::failed("not all jobs were submitted").file(script).remedy("see sbatch's message above")),
    }
}
