//! `polycosm infer`: posterior samples of the test split and of observations.

use super::campaign::{Campaign, path};
use super::start;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{At, Error, Result};
use crate::infer::{InferConfig, observation, test_split};
use crate::io::field::Field;
use crate::io::provenance::Provenance;
use crate::io::samples::Samples;
use crate::models::Device;
use crate::simulators::Look;
use crate::train::Trained;
use crate::train::stage::{Context, folder};
use std::path::{Path, PathBuf};

/// Draw posterior samples of the test universes, and of observations
///
/// An observation is a GADGET HDF5 snapshot of the campaign's box and time, in one file or several (name any one of
/// them); it passes through the campaign's own observables. Where its root attributes tell the true parameters, they are
/// kept. What is accepted stands in docs/files.md, "Observations".
///
/// An input that is unlike what was trained on is told, as is a posterior about which the members of the ensemble disagree.
///
/// Example: mpirun -n 2 polycosm infer run.toml --observation obs.hdf5
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only this snapshot, instead of the test split and the campaign's observations; may be repeated
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub observation: Vec<PathBuf>,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| {
        start::announce(plan);
        match args.observation.is_empty() {
            true => infer(plan, comm),
            false => observe(plan, comm, &args.observation, true),
        }
    })
}

fn section(plan: &Plan) -> Result<&InferConfig> {
    let missing = || Error::input("is missing").key("infer").remedy("add [infer] with posterior = \"STAGE\"");
    plan.config.infer.as_ref().ok_or_else(missing)
}

/// Loads a stage for inference.
fn load(plan: &Plan, comm: &Comm, stage: &str) -> Result<(Trained, crate::io::dataset::Dataset)> {
    let dataset = comm.agree(plan.open_dataset())?;
    let folder = folder(&plan.config.output);
    let (stages, seed) = (&plan.config.train, plan.config.seed);
    let context =
        Context { comm, stages, folder: &folder, dataset: &dataset, seed, device: Device::cuda_if_available() };
    let trained = comm.agree(Trained::load(&context, stage))?;
    Ok((trained, dataset))
}

/// True if the samples `made` are there, are as many as wanted, and no older than what they are made from. Collective.
fn up_to_date(comm: &Comm, made: &Path, draws: usize, from: &[PathBuf]) -> Result<bool> {
    comm.on_root(|| {
        let time = |p: &Path| std::fs::metadata(p).and_then(|m| m.modified()).ok();
        let newer = time(made).is_some_and(|made| from.iter().all(|f| time(f).is_none_or(|f| f <= made)));
        Ok(newer && Samples::read(made).is_ok_and(|s| s.draws == draws))
    })
}

/// Samples of the test split for the posterior and its baseline, then of the campaign's observations.
pub fn infer(plan: &Plan, comm: &Comm) -> Result<()> {
    let config = comm.agree(section(plan))?;
    let provenance = plan.provenance(comm);
    plan.record(comm)?;
    for stage in plan.posteriors() {
        let path = plan.posterior(&stage);
        if up_to_date(comm, &path, config.draws, &[plan.stage(&stage).join("model.json"), plan.dataset()])? {
            continue;
        }
        timed(plan, comm, &format!("infer {stage}"), || {
            let (trained, dataset) = load(plan, comm, &stage)?;
            let samples = test_split(comm, &trained, &dataset, config.draws, plan.config.seed)?;
            if samples.is_empty() {
                let (problem, remedy) = match samples.extras.left_out.len() {
                    0 => ("no universe is in the test split", "raise design.test, or simulate more"),
                    _ => ("no universe of the test split has an input that can be used", "mend its numbers"),
                };
                return comm.agree(Err(Error::input(problem).file(plan.dataset()).remedy(remedy)));
            }
            comm.on_root(|| write(&samples, &path, &provenance))?;
            if comm.is_root() {
                log::info!("infer {stage}: {} universes, {} draws each", samples.len(), samples.draws);
            }
            Ok(Some(format!("{} universes, {} draws each", samples.len(), samples.draws)))
        })?;
    }
    observe(plan, comm, &config.observations, false)
}

/// Samples of observations, for the posterior and its baseline.
fn observe(plan: &Plan, comm: &Comm, files: &[PathBuf], anew: bool) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let config = comm.agree(section(plan))?;
    let Some(simulator) = &plan.config.simulator else {
        let error = Error::input("this campaign has no [simulator] to look at a snapshot with");
        return comm.agree(Err(error.key("infer.observations").remedy("leave observations out")));
    };
    let (ranks, here) = (comm.size(), comm.ranks_on_this_node());
    comm.agree(super::simulate::fits(plan, simulator, ranks, here).map_err(|e| plan.locate(e)))?;
    let runner = comm.agree(simulator.runner(&plan.config.cosmology, &plan.prior))?;
    let provenance = plan.provenance(comm);
    let fields = plan.observed_fields();
    let look = Look { fields: Some(&fields), velocities: config.velocities };
    for file in files {
        let name = file.file_stem().map_or("observation".into(), |s| s.to_string_lossy().into_owned());
        let stages = plan.posteriors();
        let mut due = Vec::new();
        for stage in stages {
            let from = [plan.stage(&stage).join("model.json"), file.clone()];
            if anew || !up_to_date(comm, &plan.observed(&name, &stage), config.draws, &from)? {
                due.push(stage);
            }
        }
        if due.is_empty() {
            continue;
        }
        timed(plan, comm, &format!("observation {name}"), || {
            let observed = runner.observe_file(comm, file, &look).map_err(|e| e.file(file))?;
            for stage in &due {
                let (trained, _) = load(plan, comm, stage)?;
                let seen = observed.fields.iter().filter(|f| f.spec.name == trained.field);
                let seen: Vec<Field> = seen.map(|f| f.gathered(comm)).collect();
                // One universe is little work: the root does it.
                comm.on_root(|| {
                    let (truth, draws) = (observed.truth.as_deref(), config.draws);
                    let (samples, told) =
                        observation(&trained, &seen, truth, draws, plan.config.seed).map_err(|e| e.file(file))?;
                    log::info!("{name}, posterior `{stage}`: {}", describe(&samples));
                    told.iter().for_each(|words| log::warn!("{name}, posterior `{stage}`: {words}"));
                    write(&samples, &plan.observed(&name, stage), &provenance)
                })?;
            }
            Ok(Some(format!("{} posterior(s)", due.len())))
        })?;
    }
    Ok(())
}

fn describe(samples: &Samples) -> String {
    let each = |(j, q): (usize, &crate::prior::Parameter)| {
        let (mean, sd) = samples.mean_sd(0, j);
        let truth = samples.truth_of(0).map_or(String::new(), |t| format!(" (truth {:.3})", t[j]));
        let spread = samples.spread_of(0).map_or(String::new(), |s| format!(" (members ± {:.2} of that)", s[j]));
        format!("{} = {mean:.3} ± {sd:.3}{spread}{truth}", q.name)
    };
    samples.prior.parameters.iter().enumerate().map(each).collect::<Vec<_>>().join(", ")
}

fn write(samples: &Samples, path: &Path, by: &Provenance) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).at(folder)?;
    samples.write(path, &by.pairs())
}
