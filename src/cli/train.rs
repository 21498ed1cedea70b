//! `polycosm train`: the networks.

use super::campaign::Campaign;
use super::start;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::Result;
use crate::models::Device;
use crate::train::stage::{Context, folder, train_stage};

/// Train the campaign's stages, data-parallel over all ranks; resumes by itself
///
/// Example: mpirun -n 4 polycosm train run.toml compressor
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only this stage [default: all, in order]
    pub stage: Option<String>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| {
        start::announce(plan);
        train(plan, comm, args.stage.as_deref())
    })
}

/// Trains one stage, or all.
pub fn train(plan: &Plan, comm: &Comm, only: Option<&str>) -> Result<()> {
    let dataset = comm.agree(plan.open_dataset())?;
    plan.record(comm)?;
    let folder = folder(&plan.config.output);
    let context = Context {
        comm,
        stages: &plan.config.train,
        folder: &folder,
        dataset: &dataset,
        seed: plan.config.seed,
        device: Device::cuda_if_available(),
    };
    let stages = only.map_or_else(|| plan.stage_names(), |s| vec![s.to_string()]);
    for stage in stages {
        timed(plan, comm, &format!("train {stage}"), || {
            let trained = train_stage(&context, &stage)?;
            if comm.is_root() && !trained {
                log::info!("train {stage}: done before");
            }
            Ok(trained.then(|| format!("{} universes", dataset.len())))
        })?;
    }
    Ok(())
}
