//! One stage from the dataset to finished weights.

use super::change::Change;
use super::context::{Context, find};
use super::foreseen::untrained;
use super::outputs::columns;
use super::view::{self, changes_of};
use super::{StageConfig, Trainer, checkpoint, inputs, weights};
use crate::error::{At, Error, Result};
use crate::io::identity::{seal, unseal};
use crate::io::stages::{Record, Stages, State, anew, check_own, numerics, own_files};
use crate::models::{SampleId, Task};
use crate::suite::Lock;
use tch::Kind;

/// Trains a stage unless it is finished; true if there was something to do, which `begins` is then called before. Collective.
pub fn train_stage(context: &Context, name: &str, begins: impl FnOnce() -> Result<()>) -> Result<bool> {
    let (comm, records, dataset) = (context.comm, context.records, context.dataset);
    let stage = comm.agree(find(context.stages, name))?;
    let folder = records.folder.join(name);
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
    let mut columns = columns(context, name)?;
    let config = StageConfig { seed: context.seed.wrapping_add(stage.seed), ..stage.clone() };
    let recorded = stage.recorded(context.seed);
    let (inputs, targets) = (&columns.inputs, &columns.targets);
    let own = comm.agree(changes_of(stage, &[&inputs[..], targets].concat(), columns.pieces.as_ref()))?;
    let record = comm.on_root(|| {
        let makes = |source: &str| {
            Ok((source.into(), records.makes(source, &records.trained(source, Some(context.identity))?)?))
        };
        let stage = serde_json::to_value(&recorded).map_err(|e| Error::failed(e.to_string()))?;
        let record = Record {
            version: env!("CARGO_PKG_VERSION").into(),
            numerics: numerics(&stage),
            stage,
            shape: inputs[0].shape.clone(),
            prior: dataset.prior.clone(),
            dataset: context.identity.clone(),
            stands_on: records.sources(name).into_iter().map(makes).collect::<Result<_>>()?,
            weights: String::new(),
        };
        begin(context, name, &record)?;
        Ok(record)
    })?;
    crate::nets::seed(config.seed as i64);
    let (prior, device) = (&dataset.prior, context.device);
    let task = Task { inputs, targets, prior, device, kind: Kind::Float };
    let model = comm.agree(untrained(&config, &task))?;
    let model = model.as_ref();
    comm.agree(view::average(stage, &[&inputs[..], targets].concat(), &model.outputs()))?;
    comm.agree(dataset.check_prior())?;
    let mut source = columns.source(comm, &config)?;
    let samples = source.as_mut();
    let frozen = columns.frozen.take().map(|frozen| Box::new(frozen) as Box<dyn Change>);
    let changes: Vec<_> = frozen.into_iter().chain(own).collect();
    let called = |name: &str| columns.called(name);
    comm.agree(inputs::refuse_unfit(dataset, &called, &config, model, samples, &changes))?;
    if columns.plain() {
        let read = |ids: &[SampleId]| columns.read(ids, false);
        inputs::announce_unfit(comm, dataset, &columns.inputs, &called, model, &read)?;
    }
    let mut trainer = Trainer::new(comm, &config, model);
    trainer.changes = changes;
    trainer.begin(samples, &folder)?;
    comm.agree(inputs::look(dataset, &called, &config, model, samples, &trainer.changes))?;
    trainer.run(samples, &folder)?;
    comm.on_root(|| {
        let weights = weights::write(model, &records.weights(name))?;
        seal(&records.model(name), &Record { weights, ..record })
    })?;
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
            context.records.check_weights(name, &record).map(|()| true)
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
    // First: it says whose the folder is.
    seal(&path, record)?;
    context.records.keep_rows(name, context.identity)
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
