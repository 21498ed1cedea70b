//! What stages make of the dataset, in files that later stages, posteriors and other programs read.

use super::change::{Change, change};
use super::data;
use super::stage::{Context, Trained, find};
use super::{StageConfig, inputs, view};
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::derived::{self, Looks, New, Sample};
use crate::io::field::{Data, FieldSpec};
use crate::models::{Batch, Column, Pass, SampleId};
use crate::suite::Lock;
use tch::{Device, Kind, Tensor};

/// Samples that are made at a time, and numbers of their inputs and outputs: what is made does not depend on the ranks.
const BLOCK: usize = 32;
const NUMBERS: usize = 1 << 24;

/// The stages that make something.
pub fn makes(stages: &[StageConfig]) -> Vec<String> {
    stages.iter().filter(|s| !s.network.outputs().is_empty()).map(|s| s.name.clone()).collect()
}

/// Makes the file of a stage unless it is there, of the stage as it is now; true if there was something to do, which `begins` is
/// then called before. Collective.
pub fn make(context: &Context, name: &str, begins: impl FnOnce() -> Result<()>) -> Result<bool> {
    let (comm, dataset, path) = (context.comm, context.dataset, context.records.made(name));
    let mut lock = None;
    let of = comm.on_root(|| {
        if find(context.stages, name)?.network.outputs().is_empty() {
            let error = Error::input("this stage makes no fields: it is a density, which `polycosm infer` draws from");
            return Err(error.key("train").value(name).remedy("name one whose outputs others can read"));
        }
        let of = context.records.made_of(name, Some(context.identity))?;
        if derived::due(&path, &of).is_none() {
            return Ok(None);
        }
        lock = Some(Lock::to_publish(path.parent().unwrap_or(&path), "is writing into")?);
        // The job that was waited for may have made it.
        let Some(why) = derived::due(&path, &of) else { return Ok(None) };
        why.iter().for_each(|why| log::info!("{}: made anew: {why}", path.display()));
        Ok(Some(of))
    })?;
    let Some(of) = of else { return Ok(false) };
    begins()?;
    let trained = comm.agree(Trained::load(context, name))?;
    let samples = comm.agree(samples(dataset, of.copies))?;
    let spec = comm.agree(dataset.spec(&trained.field))?;
    let first = comm.agree(find(context.stages, &trained.sees))?;
    // Of one copy each there is none that differs.
    let drawn = if of.copies > 1 { comm.agree(view::copies(first, &trained.specs))? } else { vec![] };
    let maker = Maker { trained: &trained, dataset, drawn };
    let specs = trained.model.outputs();
    let numbers: usize = specs.iter().chain([&spec]).map(|spec| spec.shape.iter().product::<usize>()).sum();
    let block = (NUMBERS / numbers.max(1)).clamp(1, BLOCK);
    let new = New { of: &of, dataset, samples: &samples, specs: &specs, block, by: context.by };
    derived::write(comm, &path, &new, |samples| maker.make(&specs, samples))?;
    Ok(true)
}

/// The rows of a file: all finished universes, those to learn from `copies` times.
fn samples(dataset: &Dataset, copies: u32) -> Result<Vec<Sample>> {
    let (train, validation) = inputs::splits(dataset)?;
    let of = |rows: Vec<usize>, split, items| {
        rows.into_iter().flat_map(move |universe| (0..items).map(move |item| Sample { universe, item, split }))
    };
    let test = dataset.rows(Split::Test);
    let held = of(validation, Split::Validation, 1).chain(of(test, Split::Test, 1));
    let mut all: Vec<Sample> = of(train, Split::Train, copies).chain(held).collect();
    all.sort_unstable_by_key(|s| (s.universe, s.item));
    Ok(all)
}

struct Maker<'a> {
    trained: &'a Trained,
    dataset: &'a Dataset,
    /// What is done to draws of a universe's view.
    drawn: Vec<Box<dyn Change>>,
}

impl Maker<'_> {
    /// The outputs of some samples, and how their inputs looked on the way. Universes as they are and draws of their views go
    /// through the networks apart, each in one pass.
    fn make(&self, specs: &[FieldSpec], samples: &[Sample]) -> Result<(Vec<Data>, Looks)> {
        let (mut looks, mut parts) = (Looks::new(samples.len()), vec![]);
        let (drawn, plain): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(|&i| samples[i].item > 0);
        let passes =
            [(plain, Pass::Held, &self.trained.view), (drawn, Pass::Train { phase: 0, epoch: 0 }, &self.drawn)];
        for (own, pass, changes) in passes {
            if own.is_empty() {
                continue;
            }
            let ids = own.iter().map(|&i| SampleId { universe: samples[i].universe as u64, item: samples[i].item });
            let rows: Vec<usize> = own.iter().map(|&i| samples[i].universe).collect();
            let values = data::read(self.dataset, &self.trained.field, &rows)?;
            let columns = vec![("x".into(), Column::Array(self.trained.raw(&values, rows.len())))];
            let mut batch = Batch::new(columns, ids.collect(), pass, self.trained.seed, Kind::Float);
            change(changes, &mut batch)?;
            let (x, found) = self.trained.looked_at(batch.array("x")?)?;
            own.iter().enumerate().for_each(|(i, &at)| looks.put(at, &found, i));
            let made = tch::no_grad(|| self.trained.model.apply(&Batch::observed(&x)))?;
            parts.push((own, made));
        }
        let join = |f: usize, spec: &FieldSpec| {
            let order = parts.iter().flat_map(|(own, _)| own).map(|&at| at as i64).collect::<Vec<_>>();
            let all: Vec<&Tensor> = parts.iter().map(|(_, made)| &made[f]).collect();
            let all = Tensor::cat(&all, 0).to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
            let all = all.zeros_like().index_copy(0, &Tensor::from_slice(&order), &all);
            let mut values = vec![0f32; samples.len() * spec.shape.iter().product::<usize>()];
            all.copy_data(&mut values, all.numel());
            Data::F32(values)
        };
        Ok((specs.iter().enumerate().map(|(f, spec)| join(f, spec)).collect(), looks))
    }
}
