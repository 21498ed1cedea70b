//! `polycosm train`: the networks.

use super::ahead::Ahead;
use super::campaign::Campaign;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Cause, Error, Result, campaign};
use crate::io::stages::State;
use crate::train::find;
use crate::train::stage::{forget, train_stage};
use crate::train::{data, source};

/// Train the campaign's stages, data-parallel over all ranks; resumes by itself
///
/// Example: mpirun -n 4 polycosm train run.toml compressor
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only this stage [default: all, in order]
    pub stage: Option<String>,
    /// Train this stage anew, and all that stand on it: removes what training wrote into their folders first. Resume
    /// without this flag; may be repeated
    #[arg(long, value_name = "STAGE", conflicts_with = "stage")]
    pub retrain: Vec<String>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| {
        plan.check_observations(comm)?;
        if !args.retrain.is_empty() {
            refuse_in_vain(plan, comm, &args.retrain)?;
        }
        if let Some(ahead) = comm.agree(Ahead::of(plan))? {
            ahead.check(plan, comm, false)?;
        }
        comm.on_root(|| args.retrain.iter().try_for_each(|stage| forget_chain(plan, stage)))?;
        let trained = train(plan, comm, args.stage.as_deref());
        trained.map_err(|e| match e.kind == Cause::Stopped && !args.retrain.is_empty() {
            true => Error { remedy: Some("run it again without --retrain: it resumes".into()), ..e },
            false => e,
        })
    })
}

/// Refuses to forget stages that could not be trained anew, for what they stand on is outdated itself. Collective.
fn refuse_in_vain(plan: &Plan, comm: &Comm, retrain: &[String]) -> Result<()> {
    let dataset = comm.agree(plan.open_dataset())?;
    plan.check_begun(comm, false)?;
    let records = plan.stages();
    let all: Vec<&str> = retrain.iter().flat_map(|stage| records.with_dependents(stage)).collect();
    for stage in retrain {
        for source in records.sources(stage).into_iter().filter(|source| !all.contains(source)) {
            let identity = plan.identity(comm, &dataset, &records.fields(source))?;
            comm.on_root(|| match records.state(source, Some(&identity))? {
                State::Outdated(_) => records.trained(source, Some(&identity)).map(drop),
                _ => Ok(()),
            })?;
        }
    }
    Ok(())
}

/// Forgets a stage and all that stand on it, the last first.
fn forget_chain(plan: &Plan, stage: &str) -> Result<()> {
    let stages = plan.stages();
    let chain = stages.with_dependents(stage);
    if chain.is_empty() {
        let error = Error::input("there is no such stage").key("--retrain").value(stage);
        return Err(error.remedy(format!("choose one of {}", plan.stage_names().join(", "))));
    }
    for stage in chain.iter().rev() {
        forget(&stages, stage)?;
        log::info!("train {stage}: forgotten, to be trained anew");
    }
    Ok(())
}

/// Trains one stage, or all.
pub fn train(plan: &Plan, comm: &Comm, only: Option<&str>) -> Result<()> {
    let dataset = comm.agree(plan.open_dataset())?;
    plan.check_begun(comm, false)?;
    let there = dataset.ran().len();
    if comm.is_root() && there < dataset.len() {
        let (file, all) = (dataset.path.display(), dataset.len());
        log::warn!(
            "{file}: {there} of {all} universes are there: networks learn from these alone; when more are, `polycosm \
             train {} --retrain STAGE` learns from all",
            campaign()
        );
    }
    let (records, by) = (plan.stages(), plan.provenance(comm));
    let stages = only.map_or_else(|| plan.stage_names(), |s| vec![s.to_string()]);
    for stage in stages {
        let config = comm.agree(find(&plan.config.train, &stage))?;
        let fields = records.fields(&stage);
        for (key, name) in config.columns().filter(|(_, name)| source(&plan.config.train, name).is_none()) {
            let key = format!("train.{stage}.{key}");
            comm.agree(data::spec(&dataset, name).map_err(|e| e.key(key)))?;
        }
        let identity = plan.identity(comm, &dataset, &fields)?;
        let context = plan.context(comm, &records, &dataset, &identity, &by);
        timed(plan, comm, &format!("train {stage}"), || {
            let trained = train_stage(&context, &stage, || plan.record(comm))?;
            if comm.is_root() && !trained {
                log::info!("train {stage}: done before, of these data and this configuration");
            }
            Ok(trained.then(|| format!("{there} universes")))
        })?;
    }
    Ok(())
}
