//! `polycosm infer`: posterior samples of the test split and of observations.

mod combined;

use super::ahead::enough_draws;
use super::campaign::{Campaign, path};
use super::current::{Current, place};
use super::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{At, Error, Result, campaign};
use crate::infer::{InferConfig, Sampling, observation, test_split, unmixed};
use crate::io::dataset::Dataset;
use crate::io::observation::{FieldFile, chosen, stem};
use crate::io::provenance::Provenance;
use crate::io::samples::{Of, Samples, Seen, not_fewer, replaceable};
use crate::simulators::{Look, Observed};
use crate::suite::Lock;
use crate::train::outputs::columns;
use crate::train::{Context, Trained};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Draw posterior samples of the test universes, and of observations
///
/// An observation is an HDF5 file with the fields that the networks read, lists too, of one observation or of several
/// along a first axis (FILE:3 is row 3 alone); or a GADGET HDF5 snapshot of the campaign's box and time, in one file or
/// several (name any one of them), which passes through the campaign's own observables. Where its root attributes tell
/// the true parameters, they are kept. What is accepted stands in docs/files.md, "Observations".
///
/// An input that is unlike what was trained on is told, as is a posterior about which the members of the ensemble
/// disagree.
///
/// Example: mpirun -n 2 polycosm infer run.toml --observation obs.hdf5
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Only the observations in this file, instead of the test split and the campaign's observations; may be repeated
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub observation: Vec<PathBuf>,
    /// Instead, from the likelihood of a simulator that knows it in closed form (gaussian-flat; up to three parameters): the
    /// posterior `exact` of the same, beside which the learned ones are judged and shown
    #[arg(long)]
    pub exact: bool,
    /// One posterior of all observations in the files of --observation together, under this name: of the same parameters, with
    /// noise that is independent given these; the prior counts once
    #[arg(long, value_name = "NAME", requires = "observation", conflicts_with = "exact")]
    pub combine: Option<String>,
    /// Exit with code 1, and write nothing, where chains have not mixed (`infer.sampler`)
    #[arg(long)]
    pub strict: bool,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| match (args.observation.is_empty(), &args.combine) {
        _ if args.exact => super::exact::exact(plan, comm, &args.observation),
        (_, Some(name)) => combined::combine(plan, comm, name, &args.observation, args.strict),
        (true, None) => plan.check_observations(comm).and_then(|()| infer(plan, comm, args.strict)),
        (false, None) => observe(plan, comm, &args.observation, true, args.strict),
    })
}

fn section(plan: &Plan) -> Result<&InferConfig> {
    let missing = || Error::input("is missing").key("infer").remedy("add [infer] with posterior = \"STAGE\"");
    plan.config.infer.as_ref().ok_or_else(missing)
}

/// What a stage is part of, for inference.
fn context<'a>(
    plan: &'a Plan,
    comm: &'a Comm,
    current: &'a Current,
    dataset: &'a Dataset,
    stage: &str,
    by: &'a Provenance,
) -> Result<Context<'a>> {
    let missing =
        || Error::input("is no array of this dataset").file(&dataset.path).key(format!("train.{stage}.input"));
    let identity = current.identity(stage).ok_or_else(|| missing().remedy("name one of its arrays"));
    Ok(plan.context(comm, &current.stages, dataset, comm.agree(identity)?, by))
}

/// The dataset, and what the stages' chains see of it; `observes`: the simulator is to look at observations.
/// Collective.
fn look(plan: &Plan, comm: &Comm, observes: bool) -> Result<(Dataset, Current)> {
    let dataset = comm.agree(plan.open_dataset())?;
    plan.check_begun(comm, observes)?;
    let mut current = Current::with(plan);
    plan.posteriors().iter().try_for_each(|stage| current.look(plan, comm, &dataset, stage))?;
    comm.on_root(|| {
        for stage in plan.stage_names() {
            if let Some(why) = current.stages.otherwise(&stage)? {
                log::warn!(
                    "stage {stage} is used as it was trained: {why}; `polycosm train {} --retrain {stage}` trains it anew",
                    campaign()
                );
            }
        }
        Ok(())
    })?;
    Ok((dataset, current))
}

/// Why there is something to draw; `None` where there are draws of just this.
fn due(plan: &Plan, path: &Path, of: &Of) -> Option<String> {
    let others = || "their derived parameters are others".to_string();
    match Samples::read(path) {
        Ok(samples) => samples.differ(of).or_else(|| (!plan.derives(&samples)).then(others)),
        Err(e) => Some(e.problem),
    }
}

/// Says so, where there are draws already.
fn say_why(plan: &Plan, path: &Path, of: &Of) {
    if let (true, Some(why)) = (path.exists(), due(plan, path, of)) {
        log::info!("{}: drawn anew: {why}", path.display());
    }
}

/// The lock of the folder of draws, on the root.
fn lock(plan: &Plan) -> Result<Lock> {
    let folder = plan.posterior("x").parent().map(Path::to_path_buf).unwrap_or_default();
    Lock::to_publish(&folder, "is drawing into")
}

/// Samples of the test split for the posterior and its baseline, then of the campaign's observations.
pub fn infer(plan: &Plan, comm: &Comm, strict: bool) -> Result<()> {
    let config = comm.agree(section(plan))?;
    if let (Err(e), true) = (enough_draws(plan), comm.is_root()) {
        log::warn!("infer.draws: {}", e.problem);
    }
    let provenance = plan.provenance(comm);
    let (dataset, current) = look(plan, comm, false)?;
    for stage in plan.posteriors() {
        let path = plan.posterior(&stage);
        let mut held = None;
        let of = comm.on_root(|| {
            let of = current.of(&stage, config.draws)?;
            if due(plan, &path, &of).is_none() {
                return Ok(None);
            }
            not_fewer(&path, &of)?;
            held = Some(lock(plan)?);
            // The job that was waited for may have drawn them.
            if due(plan, &path, &of).is_none() {
                return Ok(None);
            }
            replaceable(&path)?;
            say_why(plan, &path, &of);
            Ok(Some(of))
        })?;
        let Some(of) = of else {
            if comm.is_root() {
                log::info!("infer {stage}: nothing to do: drawn before from this stage and these data");
            }
            if strict {
                comm.on_root(|| mixed(&Samples::read(&path)?, strict))?;
            }
            continue;
        };
        plan.record(comm)?;
        timed(plan, comm, &format!("infer {stage}"), || {
            let context = context(plan, comm, &current, &dataset, &stage, &provenance)?;
            let (trained, columns) = (comm.agree(Trained::load(&context, &stage))?, columns(&context, &stage)?);
            let mut samples = test_split(comm, &trained, &columns, sampling(plan, config))?;
            comm.agree(mixed(&samples, strict))?;
            if samples.is_empty() {
                let (problem, remedy) = match samples.extras.left_out.len() {
                    0 => (
                        "no universe is in the test split",
                        "raise the fraction `test` (or mark rows so in the file's `split`), or simulate more",
                    ),
                    _ => ("no universe of the test split has an input that can be used", "mend its numbers"),
                };
                return comm.agree(Err(Error::input(problem).file(plan.dataset()).remedy(remedy)));
            }
            samples.extras.of = Some(of);
            plan.derive_on(comm, &mut samples);
            comm.on_root(|| write(&samples, &path, &provenance))?;
            if comm.is_root() {
                log::info!("infer {stage}: {} universes, {} draws each", samples.len(), samples.draws);
            }
            Ok(Some(format!("{} universes, {} draws each", samples.len(), samples.draws)))
        })?;
    }
    observe(plan, comm, &config.observations, false, strict)
}

fn sampling(plan: &Plan, config: &InferConfig) -> Sampling {
    Sampling { method: config.sampler, draws: config.draws, seed: plan.config.seed }
}

/// Refuses chains that have not mixed, where that was asked for.
fn mixed(samples: &Samples, strict: bool) -> Result<()> {
    match unmixed(samples).filter(|_| strict) {
        Some(words) => Err(Error::failed(words).remedy("without --strict they are written, and told")),
        None => Ok(()),
    }
}

/// Samples of observations, for the posterior and its baseline. All are looked at before any is drawn of.
fn observe(plan: &Plan, comm: &Comm, files: &[PathBuf], anew: bool, strict: bool) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let config = comm.agree(section(plan))?;
    // Those that the simulator itself looks at.
    let looks = comm.on_root(|| Ok(files.iter().map(|file| plan.config.is_looked_at(file)).collect::<Vec<bool>>()))?;
    let simulator = plan.config.simulator.as_ref().filter(|_| looks.contains(&true));
    if let Some(simulator) = simulator {
        let (ranks, here) = (comm.size(), comm.ranks_on_this_node());
        comm.agree(super::simulate::fits(plan, &**simulator, ranks, here).map_err(|e| plan.locate(e)))?;
    }
    let runner = comm.agree(simulator.map(|s| s.runner(&plan.universes())).transpose())?;
    let provenance = plan.provenance(comm);
    let (dataset, current) = look(plan, comm, runner.is_some())?;
    let (fields, stages) = (plan.observed_fields(), plan.posteriors());
    let eyes = Look { fields: Some(&fields), velocities: config.velocities };
    let learned = comm.agree(current.learned(&stages))?;
    comm.on_root(|| {
        files.iter().zip(&looks).try_for_each(|(named, looks)| match runner.as_ref().filter(|_| *looks) {
            Some(runner) => runner.check_file(named, &eyes).map_err(|e| e.file(named)),
            None => wanted(plan, &current, named, config.draws)?.iter().try_for_each(|(path, of)| not_fewer(path, of)),
        })
    })?;
    for (named, looks) in files.iter().zip(looks) {
        let mut held = None;
        let due = comm.on_root(|| {
            let all = wanted(plan, &current, named, config.draws)?;
            if !anew && all.iter().all(|(path, of)| due(plan, path, of).is_none()) {
                return Ok(vec![]);
            }
            held = Some(lock(plan)?);
            let all = wanted(plan, &current, named, config.draws)?;
            let due: Vec<_> = all.into_iter().filter(|(path, of)| anew || due(plan, path, of).is_some()).collect();
            due.iter().try_for_each(|(path, of)| not_fewer(path, of).and_then(|()| replaceable(path)))?;
            due.iter().for_each(|(path, of)| say_why(plan, path, of));
            Ok(due)
        })?;
        if due.is_empty() {
            if comm.is_root() {
                log::info!(
                    "observation {}: nothing to do: drawn before from this stage and this file",
                    named.display()
                );
            }
            continue;
        }
        plan.record(comm)?;
        let names: BTreeSet<&str> =
            due.iter().filter_map(|(_, of)| Some(of.observation.as_ref()?.name.as_str())).collect();
        let name = if names.len() == 1 { names.into_iter().collect() } else { stem(named) };
        timed(plan, comm, &format!("observation {name}"), || {
            let (file, row) = chosen(named);
            let mut looked = match runner.as_ref().filter(|_| looks) {
                Some(runner) => Some(runner.observe_file(comm, named, &eyes).map_err(|e| e.file(named))?),
                None => None,
            };
            if let Some(Observed { fields: all, .. }) = &mut looked {
                all.retain(|field| fields.contains(&field.spec.name));
                all.iter_mut().for_each(|field| *field = field.gathered(comm));
            }
            let mut drawn = vec![];
            for stage in stages.iter().filter(|stage| due.iter().any(|(_, of)| of.stage == **stage)) {
                let context = context(plan, comm, &current, &dataset, stage, &provenance)?;
                let trained = comm.agree(Trained::load(&context, stage))?;
                // One universe is little work: the root does it.
                comm.on_root(|| {
                    let opened = looked.is_none().then(|| FieldFile::open(&file, row, &learned)).transpose()?;
                    for (path, of) in due.iter().filter(|(_, of)| of.stage == *stage) {
                        let (name, row) = of.observation.as_ref().map(|o| (&o.name, o.row)).unzip();
                        let (name, row) = (name.map_or("", String::as_str), row.flatten());
                        let one = |o: &FieldFile| -> Result<Option<Observed>> {
                            let Some(one) = o.observations.iter().find(|one| one.row == row) else { return Ok(None) };
                            Ok(Some(Observed { fields: o.read(one)?, truth: one.truth.clone() }))
                        };
                        let read = opened.as_ref().map_or(Ok(None), one)?;
                        let Some(Observed { fields, truth }) = read.as_ref().or(looked.as_ref()) else { continue };
                        let (mut samples, told) =
                            observation(&trained, fields, truth.as_deref(), sampling(plan, config))
                                .map_err(|e| Error { problem: format!("{name}: {}", e.problem), ..e }.file(&file))?;
                        mixed(&samples, strict)
                            .map_err(|e| Error { problem: format!("{name}: {}", e.problem), ..e })?;
                        log::info!("{name}, posterior `{stage}`: {}", samples.words(0));
                        told.iter().for_each(|words| log::warn!("{name}, posterior `{stage}`: {words}"));
                        samples.extras.of = Some(of.clone());
                        plan.derive(&mut samples);
                        drawn.push((samples, path));
                    }
                    Ok(())
                })?;
            }
            comm.on_root(|| drawn.iter().try_for_each(|(samples, path)| write(samples, path, &provenance)))?;
            Ok(Some(format!("{} posterior(s)", due.len())))
        })?;
    }
    Ok(())
}

/// Files of the draws of a file's observations, and what these would be of. Another observation of the same name keeps
/// its own files: this one's name then ends in the first digits of its digest.
fn wanted(plan: &Plan, current: &Current, named: &Path, draws: usize) -> Result<Vec<(PathBuf, Of)>> {
    let ((file, row), stages) = (chosen(named), plan.posteriors());
    let mut all = vec![];
    for seen in current.seen(&file, row, &stages)? {
        let anothers = |(stage, now): (&String, &Seen)| {
            let path = plan.observed(&now.name, stage);
            let there = path.exists().then(|| Samples::read(&path).ok()).flatten().and_then(|s| s.extras.of);
            there.is_some_and(|of| {
                let same = |o: &Seen| {
                    o.content == now.content || (place(Path::new(&o.file)), o.row) == (now.file.clone(), now.row)
                };
                !of.observation.is_some_and(|o| same(&o)) || of.stage != *stage
            })
        };
        let taken = stages.iter().zip(&seen).any(anothers);
        for (stage, now) in stages.iter().zip(&seen) {
            let name = if taken { format!("{}-{}", now.name, &seen[0].content[..8]) } else { now.name.clone() };
            let path = plan.observed(&name, stage);
            all.push((path, Of { observation: Some(Seen { name, ..now.clone() }), ..current.of(stage, draws)? }));
        }
    }
    Ok(all)
}

fn write(samples: &Samples, path: &Path, by: &Provenance) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).at(folder)?;
    samples.write(path, &by.pairs())
}
