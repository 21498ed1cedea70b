//! `polycosm apply`: what stages make of the dataset, as files.

use super::campaign::Campaign;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::progress::count;
use crate::train::find;
use crate::train::outputs::{make, makes};

/// Write what trained stages make of the dataset: fields of every universe, for other programs and later stages
///
/// Each stage has one file, `fields/STAGE.h5` below the output, which Python reads as it reads the dataset. Stages that
/// stand on this one, and `infer`, make it by themselves where they need it.
///
/// Example: mpirun -n 2 polycosm apply run.toml compressor
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only this stage [default: all that make fields]
    pub stage: Option<String>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| apply(plan, comm, args.stage.as_deref()))
}

/// Makes the file of one stage, or of all.
pub fn apply(plan: &Plan, comm: &Comm, only: Option<&str>) -> Result<()> {
    let dataset = comm.agree(plan.open_dataset())?;
    plan.check_begun(comm, false)?;
    let (records, by) = (plan.stages(), plan.provenance(comm));
    let stages = match only {
        Some(stage) => vec![stage.to_string()],
        None => makes(&plan.config.train),
    };
    for stage in stages {
        comm.agree(find(&plan.config.train, &stage))?;
        let identity = plan.identity(comm, &dataset, &records.fields(&stage))?;
        let context = plan.context(comm, &records, &dataset, &identity, &by);
        timed(plan, comm, &format!("apply {stage}"), || {
            let made = make(&context, &stage, || plan.record(comm))?;
            if comm.is_root() && !made {
                log::info!("apply {stage}: made before, of these data and weights");
            }
            Ok(made.then(|| count(dataset.len(), "universe")))
        })?;
    }
    Ok(())
}
