//! What stages make of the dataset, in files that later stages, posteriors and other programs read.

use super::StageConfig;
use super::chain::Trained;
use super::columns::Columns;
use super::context::{Context, find};
use crate::error::{Error, Result};
use crate::io::dataset::Split;
use crate::io::derived::{self, New, Sample};
use crate::io::field::{Data, Dtype, FieldSpec};
use crate::io::looks::Looks;
use crate::models::{Pass, SampleId};
use crate::nets::host;
use crate::progress::count;
use crate::suite::Lock;
use tch::Tensor;

/// Samples that are made at a time, and numbers of their inputs and outputs: what is made does not depend on the ranks.
const BLOCK: usize = 32;
const NUMBERS: usize = 1 << 24;

/// The stages that make something.
pub fn makes(stages: &[StageConfig]) -> Vec<String> {
    stages.iter().filter(|s| !s.network.outputs().is_empty()).map(|s| s.name.clone()).collect()
}

/// The columns of a stage's samples. What the stages make that it reads is made where it is not there. Collective.
pub fn columns<'a>(context: &Context<'a>, name: &str) -> Result<Columns<'a>> {
    let frozen = context.comm.agree(find(context.stages, name))?.frozen;
    let below = if frozen { vec![] } else { context.records.sources(name) };
    below.iter().try_for_each(|stage| make(context, stage, || Ok(())).map(drop))?;
    context.comm.agree(Columns::open(context, name))
}

/// Makes the file of a stage, and of those that it reads, unless it is there, of the stage as it is now; true if there was
/// something to do, which `begins` is then called before. Collective.
pub fn make(context: &Context, name: &str, begins: impl FnOnce() -> Result<()>) -> Result<bool> {
    let (comm, dataset, path) = (context.comm, context.dataset, context.records.made(name));
    let due = || -> Result<_> {
        if find(context.stages, name)?.network.outputs().is_empty() {
            let error = Error::input("this stage makes no fields: it is a density, which `polycosm infer` draws from");
            return Err(error.key("train").value(name).remedy("name one whose outputs others can read"));
        }
        let of = context.records.made_of(name, Some(context.identity))?;
        let why = derived::due(&path, &of);
        why.is_some().then(|| derived::replaceable(&path)).transpose()?;
        Ok(why.map(|why| (of, why)))
    };
    if comm.on_root(due)?.is_none() {
        return Ok(false);
    }
    begins()?;
    let columns = columns(context, name)?;
    let mut lock = None;
    let of = comm.on_root(|| {
        lock = Some(Lock::to_publish(path.parent().unwrap_or(&path), "is writing into")?);
        // The job that was waited for may have made it.
        let Some((of, why)) = due()? else { return Ok(None) };
        why.iter().for_each(|why| log::info!("{}: made anew: {why}", path.display()));
        Ok(Some(of))
    })?;
    let Some(of) = of else { return Ok(false) };
    let trained = comm.agree(Trained::load(context, name))?;
    let (samples, specs) = (comm.agree(samples(&columns, of.copies))?, trained.model().outputs());
    let numbers: usize = specs.iter().chain(&columns.inputs).map(|spec| spec.shape.iter().product::<usize>()).sum();
    let block = (NUMBERS / numbers.max(1)).clamp(1, BLOCK);
    let new = New { of: &of, dataset, samples: &samples, specs: &specs, block, by: context.by };
    derived::write(comm, &path, &new, |samples| outputs(&trained, &columns, &specs, samples))?;
    if comm.is_root() {
        log::info!("{}: {} of stage {name}", path.display(), count(samples.len(), "row"));
    }
    Ok(true)
}

/// The rows of a file: all finished universes, those to learn from `copies` times; or all pieces of them.
fn samples(columns: &Columns, copies: u32) -> Result<Vec<Sample>> {
    let ((train, validation), test) = (columns.dataset.learned()?, columns.dataset.rows(Split::Test));
    let mut all = vec![];
    for (rows, split, copies) in
        [(train, Split::Train, copies), (validation, Split::Validation, 1), (test, Split::Test, 1)]
    {
        let sample = |id: SampleId| Sample { universe: id.universe as usize, item: id.item, split };
        all.extend(columns.ids(&rows, copies)?.into_iter().map(sample));
    }
    all.sort_unstable_by_key(|s| (s.universe, s.item));
    Ok(all)
}

/// The outputs of some samples, and how their inputs looked on the way. Universes as they are and draws of their views go through
/// the networks apart, each in one pass.
fn outputs(
    trained: &Trained,
    columns: &Columns,
    specs: &[FieldSpec],
    samples: &[Sample],
) -> Result<(Vec<Data>, Looks)> {
    let (mut looks, mut parts) = (Looks::new(samples.len()), vec![]);
    let (drawn, plain): (Vec<usize>, Vec<usize>) =
        (0..samples.len()).partition(|&i| samples[i].item > 0 && columns.pieces.is_none());
    let passes = [(plain, Pass::Held), (drawn, Pass::Train { phase: 0, epoch: 0 })];
    for (own, pass) in passes.into_iter().filter(|(own, _)| !own.is_empty()) {
        let ids = own.iter().map(|&i| SampleId { universe: samples[i].universe as u64, item: samples[i].item });
        let (batch, found) = columns.seen_by(trained, &ids.collect::<Vec<_>>(), pass)?;
        own.iter().enumerate().for_each(|(i, &at)| looks.put(at, &found, i));
        parts.push((own, trained.last().make(&batch)?));
    }
    let order: Vec<i64> = parts.iter().flat_map(|(own, _)| own).map(|&at| at as i64).collect();
    let join = |(f, spec): (usize, &FieldSpec)| {
        let all: Vec<&Tensor> = parts.iter().map(|(_, made)| &made[f]).collect();
        let all = Tensor::cat(&all, 0);
        let order = Tensor::from_slice(&order).to_device(all.device());
        let values = host(&all.zeros_like().index_copy(0, &order, &all));
        match spec.dtype {
            Dtype::F32 => Data::F32(values.iter().map(|&x| x as f32).collect()),
            Dtype::F64 => Data::F64(values),
            Dtype::I64 => Data::I64(values.iter().map(|&x| x as i64).collect()),
        }
    };
    Ok((specs.iter().enumerate().map(join).collect(), looks))
}
