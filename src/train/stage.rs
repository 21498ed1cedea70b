//! One stage from the dataset to finished weights, and the chain of stages that a trained one stands on.

use super::change::Change;
use super::checkpoint;
use super::table::table;
use super::view::changes;
use super::{StageConfig, Trainer, data, inputs, tensors};
use crate::comm::Comm;
use crate::error::{At, Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::FieldSpec;
use crate::io::hdf::{TEMPORARY, publish_file};
use crate::io::identity::{Identity, digest_of_file, seal, unseal};
use crate::io::provenance::Provenance;
use crate::io::stages::{Record, Stages, State, anew, numerics};
use crate::io::text;
use crate::models::{Batch, Model, Task, build, named};
use crate::prior::Prior;
use crate::suite::Lock;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// What a stage is part of.
pub struct Context<'a> {
    pub comm: &'a Comm,
    /// All stages of the campaign.
    pub stages: &'a [StageConfig],
    /// The same as their files tell.
    pub records: &'a Stages,
    pub dataset: &'a Dataset,
    /// That dataset, as the stage's chain sees it.
    pub identity: &'a Identity,
    /// The campaign's seed.
    pub seed: u64,
    pub device: Device,
    /// For what is written.
    pub by: &'a Provenance,
}

/// A finished stage, with the stages that make its input.
pub struct Trained {
    /// Field of the dataset that the first of them sees.
    pub field: String,
    /// Shape of that field.
    pub shape: Vec<usize>,
    /// All fields that it sees, each with its name in a batch, and what they are.
    pub(super) columns: Vec<(String, String)>,
    pub(super) specs: Vec<FieldSpec>,
    /// What was done to their samples, the seed of it, and the stage that did it.
    pub(super) view: Vec<Box<dyn Change>>,
    pub(super) seed: u64,
    pub(super) sees: String,
    /// Compressors, in order; their summaries are the next one's input.
    pub(super) before: Vec<Box<dyn Model>>,
    /// The stage itself.
    pub model: Box<dyn Model>,
    pub prior: Prior,
    pub(super) device: Device,
}

impl Trained {
    /// Loads a stage and what it stands on. Every rank reads the same files.
    pub fn load(context: &Context, name: &str) -> Result<Trained> {
        let stage = find(context.stages, name)?;
        let record = context.records.trained(name, Some(context.identity))?;
        let (device, prior) = (context.device, record.prior);
        let targets = specs(context.dataset, &stage.target, "target")?;
        let build = |inputs: &[FieldSpec]| -> Result<Box<dyn Model>> {
            let task = Task { inputs, targets: &targets, prior: &prior, device, kind: Kind::Float };
            let model = build(&*stage.network, &task)?;
            load_weights(model.as_ref(), &weights(&context.records.folder.join(name)), &record.weights, name)?;
            Ok(model)
        };
        if let Some(source) = context.records.sources(name).first() {
            let mut chain = Trained::load(context, source)?;
            let model = build(&made(chain.model.as_ref(), source)?)?;
            chain.before.push(std::mem::replace(&mut chain.model, model));
            return Ok(Trained { prior, ..chain });
        }
        let specs = specs(context.dataset, &stage.input, "x")?;
        let view = changes(stage, &[&specs[..], &targets].concat())?;
        let columns = specs.iter().map(|s| s.name.clone()).zip(stage.input.iter().cloned()).collect();
        let (field, seed) = (stage.input[0].clone(), context.seed.wrapping_add(stage.seed));
        let (model, before, shape, sees) = (build(&specs)?, vec![], record.shape.clone(), name.into());
        Ok(Trained { field, shape, view, seed, sees, specs, columns, before, model, prior, device })
    }
}

/// Fields of a dataset as columns of a batch.
fn specs(dataset: &Dataset, names: &[String], alone: &str) -> Result<Vec<FieldSpec>> {
    Ok(named(names.iter().map(|name| data::spec(dataset, name)).collect::<Result<_>>()?, alone))
}

/// What a model makes, as the input of another.
fn made(model: &dyn Model, stage: &str) -> Result<Vec<FieldSpec>> {
    match model.outputs() {
        one if one.len() == 1 => Ok(named(one, "x")),
        _ => Err(Error::failed(format!("stage {stage} makes no field, or more than one"))),
    }
}

/// Summaries (n, …) of samples.
pub(super) fn compress(model: &dyn Model, batch: &Batch) -> Result<Tensor> {
    let made = tch::no_grad(|| model.apply(batch))?;
    made.into_iter().next().ok_or_else(|| Error::failed("this stage's model gives no summaries"))
}

/// The configuration of a stage.
pub fn find<'a>(stages: &'a [StageConfig], name: &str) -> Result<&'a StageConfig> {
    stages.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = stages.iter().map(|s| s.name.as_str()).collect();
        Error::input("there is no such stage")
            .key("train")
            .value(name)
            .remedy(format!("choose one of {}", names.join(", ")))
    })
}

/// Trains a stage unless it is finished; true if there was something to do, which `begins` is then called before. Collective.
pub fn train_stage(context: &Context, name: &str, begins: impl FnOnce() -> Result<()>) -> Result<bool> {
    let (comm, records, dataset) = (context.comm, context.records, context.dataset);
    let stage = comm.agree(find(context.stages, name))?;
    let folder = records.folder.join(name);
    comm.agree(records.inputs(name).into_iter().try_for_each(|field| data::spec(dataset, field).map(drop)))?;
    let mut lock = None;
    let done = comm.on_root(|| {
        if done(context, name)? {
            return Ok(true);
        }
        let stands = |source: &&str| records.trained(source, Some(context.identity)).map(drop);
        records.sources(name).iter().try_for_each(stands)?;
        std::fs::create_dir_all(&folder).at(&folder)?;
        lock = Some(Lock::take(&folder, "is training in")?);
        // The job that was waited for may have done it.
        done(context, name)
    })?;
    if done {
        return Ok(false);
    }
    begins()?;
    let before = match records.sources(name).first() {
        Some(source) => Some(comm.agree(Trained::load(context, source))?),
        None => None,
    };
    let config = StageConfig { seed: context.seed.wrapping_add(stage.seed), ..stage.clone() };
    let recorded = stage.recorded(context.seed);
    let inputs = comm.agree(match &before {
        None => specs(dataset, &stage.input, "x"),
        Some(before) => made(before.model.as_ref(), records.sources(name)[0]),
    })?;
    let targets = comm.agree(specs(dataset, &stage.target, "target"))?;
    let changes = comm.agree(changes(&config, &[&inputs[..], &targets].concat()))?;
    let record = comm.on_root(|| {
        let weights =
            |source: &str| Ok((source.into(), records.record(source)?.map(|r| r.weights).unwrap_or_default()));
        let stage = serde_json::to_value(&recorded).map_err(|e| Error::failed(e.to_string()))?;
        let record = Record {
            version: env!("CARGO_PKG_VERSION").into(),
            numerics: numerics(&stage),
            stage,
            shape: inputs[0].shape.clone(),
            prior: dataset.prior.clone(),
            dataset: context.identity.clone(),
            stands_on: records.sources(name).into_iter().map(weights).collect::<Result<_>>()?,
            weights: String::new(),
        };
        begin(context, name, &record)?;
        Ok(record)
    })?;
    crate::nets::seed(config.seed as i64);
    let (prior, device) = (&dataset.prior, context.device);
    let task = Task { inputs: &inputs, targets: &targets, prior, device, kind: Kind::Float };
    let model = comm.agree(build(&*config.network, &task))?;
    let model = model.as_ref();
    // Of a stage on another, what that one sees.
    let own = inputs.iter().map(|s| s.name.clone()).zip(stage.input.iter().cloned()).collect();
    let columns: Vec<(String, String)> = before.as_ref().map_or(own, |before| before.columns.clone());
    let learned = targets.iter().map(|s| s.name.as_str()).zip(stage.target.iter().map(String::as_str));
    let columns: Vec<(&str, &str)> = columns.iter().map(|c| (&*c.0, &*c.1)).chain(learned).collect();
    let mut samples = table(context, &config, &columns, before.as_ref(), (model, &changes))?;
    let mut trainer = Trainer::new(comm, &config, model);
    trainer.changes = changes;
    trainer.begin(&mut samples, &folder)?;
    let called = |name: &str| match records.sources(name).first() {
        Some(source) => format!("summaries of {source}"),
        None => columns.iter().find(|c| c.0 == name).map_or(name, |c| c.1).to_string(),
    };
    let seen = comm.agree(samples.held(&trainer.changes, config.seed))?;
    comm.agree(inputs::look(dataset, &called, &config, model, &seen))?;
    drop(seen);
    trainer.run(&mut samples, &folder)?;
    comm.on_root(|| finish(records, name, model, record))?;
    Ok(true)
}

/// True if the stage is finished; refuses one that is of another campaign, of other data, or of another stage below it.
fn done(context: &Context, name: &str) -> Result<bool> {
    match context.records.state(name, Some(context.identity))? {
        State::Absent => Ok(false),
        _ => {
            let record = context.records.trained(name, Some(context.identity))?;
            if let Some(why) = context.records.otherwise(name)? {
                let error = Error::input(format!("stage {name} is outdated: {why}")).file(context.records.model(name));
                return Err(error.remedy(anew(name)));
            }
            check_weights(&weights(&context.records.folder.join(name)), &record.weights, name).map(|()| true)
        }
    }
}

/// Begins a stage, or goes on with one that was begun as it is now. Where nothing was learned yet, any may begin.
fn begin(context: &Context, name: &str, record: &Record) -> Result<()> {
    let folder = context.records.folder.join(name);
    let path = folder.join("stage.json");
    check_own(&folder)?;
    own_files(&folder, true)?.iter().try_for_each(|file| std::fs::remove_file(file).at(file))?;
    if checkpoint::exists(&folder) {
        let begun = unseal::<Record>(&path, &anew(name)).map_err(|e| e.remedy(anew(name)))?;
        let otherwise = context.records.difference(&begun, name, true);
        let why = otherwise
            .map_or_else(|| context.records.why_outdated(&begun, name, Some(context.identity)), |w| Ok(Some(w)));
        let Some(why) = why? else { return Ok(()) };
        let error = Error::input(format!("the training of stage {name} was begun otherwise: {why}"));
        return Err(error.file(&path).remedy(anew(name)));
    }
    context.records.keep_rows(name, context.identity)?;
    seal(&path, record)
}

/// Forgets a stage: removes what polycosm wrote into its folder, and nothing else.
pub fn forget(records: &Stages, name: &str) -> Result<()> {
    let folder = records.folder.join(name);
    if !folder.exists() {
        return Ok(());
    }
    check_own(&folder)?;
    let _lock = Lock::take(&folder, "is training in")?;
    own_files(&folder, false)?.iter().try_for_each(|file| std::fs::remove_file(file).at(file))
}

/// Refuses a folder with files of the names that training writes, where nothing says that they are a stage's.
fn check_own(folder: &Path) -> Result<()> {
    let says = |name: &str| text::read(&folder.join(name)).is_ok_and(|t| t.is_some_and(|t| t.contains("\"network\"")));
    match own_files(folder, false)?.into_iter().find(|path| !path.to_string_lossy().ends_with(TEMPORARY)) {
        Some(file) if !says("stage.json") && !says("model.json") => {
            let error = Error::input("is there, and no stage.json says that polycosm wrote it: it is left alone");
            Err(error.file(file).remedy("move it elsewhere or remove it, or give another output"))
        }
        _ => Ok(()),
    }
}

/// What training writes into a stage's folder: all of it, or what was left unfinished.
fn own_files(folder: &Path, unfinished: bool) -> Result<Vec<PathBuf>> {
    const NAMES: [&str; 8] = [
        "model.json", // first: without it the stage is not done
        "stage.json",
        "weights.safetensors",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
        "checkpoint.next.safetensors", // of older programs
        "history.jsonl",
        "rows.json",
    ];
    let left = |name: &str| name.ends_with(TEMPORARY) && NAMES.iter().any(|own| name.starts_with(&format!("{own}.")));
    let place = |name: &str| match NAMES.iter().position(|own| *own == name) {
        Some(at) if !unfinished => Some(at),
        _ => left(name).then_some(NAMES.len()),
    };
    let mut files: Vec<(usize, PathBuf)> = std::fs::read_dir(folder)
        .at(folder)?
        .flatten()
        .filter_map(|e| Some((place(e.file_name().to_str()?)?, e.path())))
        .collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn weights(folder: &Path) -> PathBuf {
    folder.join("weights.safetensors")
}

fn finish(records: &Stages, name: &str, model: &dyn Model, record: Record) -> Result<()> {
    let path = weights(&records.folder.join(name));
    publish_file(&path, |temporary| tensors::write(&variables(model), temporary))?;
    seal(&records.model(name), &Record { weights: digest_of_file(&path)?, ..record })
}

/// Every variable, trainable or not, as `part.name`, sorted.
fn variables(model: &dyn Model) -> Vec<(String, Tensor)> {
    let mut all: Vec<(String, Tensor)> = model
        .parts()
        .iter()
        .flat_map(|p| p.vs.variables().into_iter().map(|(n, t)| (format!("{}.{n}", p.name), t)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn unusable(problem: String, path: &Path, name: &str) -> Error {
    Error::failed(format!("the weights cannot be used: {problem}")).file(path).remedy(anew(name))
}

/// Weights are those that their stage's record is about.
fn check_weights(path: &Path, digest: &str, name: &str) -> Result<()> {
    if !path.exists() {
        return Err(unusable("there is no such file".into(), path, name));
    }
    match digest_of_file(path).map_err(|e| unusable(e.problem, path, name))? == digest {
        true => Ok(()),
        false => Err(unusable("they are damaged, or not those that model.json is about".into(), path, name)),
    }
}

fn load_weights(model: &dyn Model, path: &Path, digest: &str, name: &str) -> Result<()> {
    check_weights(path, digest, name)?;
    let bad = |problem: String| unusable(problem, path, name);
    let mut there: std::collections::HashMap<String, Tensor> =
        tensors::read(path).map_err(|e| bad(e.problem))?.into_iter().collect();
    for part in model.parts() {
        for (name, mut variable) in part.vs.variables() {
            let name = format!("{}.{name}", part.name);
            let t = there.remove(&name).ok_or_else(|| bad(format!("{name} is missing")))?;
            if t.size() != variable.size() {
                return Err(bad(format!("{name} is {:?}, not {:?}", t.size(), variable.size())));
            }
            tch::no_grad(|| variable.copy_(&t));
        }
    }
    Ok(())
}
