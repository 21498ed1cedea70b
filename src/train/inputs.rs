//! A look at what goes into a network, before it is learned from and before a posterior is drawn: numbers that are none,
//! numbers that the transform does not take, numbers that never vary, and samples far from all others.

use super::change::Change;
use super::source::{Known, Source, go_through};
use super::{StageConfig, data};
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::io::field::FieldSpec;
use crate::io::looks::{NAMED, Unfit};
use crate::models::{Batch, Column, Model, ModelConfig, Pass, SampleId, Task, build, named};
use crate::nets::{Novelty, whole};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Samples that are looked at a time.
const CHUNK: usize = 64;
/// Numbers that are looked at a time, at least one sample.
const NUMBERS: usize = 1 << 22;
/// Training widths beyond which a sample that is learned from is named.
const WILD: f64 = 10.0;

/// Refuses fewer samples to learn from than ranks, and parameters to be learned that all of them share.
pub(super) fn check_samples(dataset: &Dataset, config: &StageConfig, ids: &[SampleId], ranks: usize) -> Result<()> {
    let error = |problem: String, key: String| Error::input(problem).file(&dataset.path).key(key);
    if ids.len() < ranks {
        let problem = format!("has {} samples to learn from, fewer than the {ranks} ranks", ids.len());
        let remedy = format!("use at most {} ranks", ids.len());
        return Err(error(problem, format!("train.{}", config.name)).remedy(remedy));
    }
    // A stage with a target learns that.
    let names = if config.target.is_empty() { dataset.prior.names() } else { vec![] };
    for (j, name) in names.into_iter().enumerate() {
        let value = |id: &SampleId| dataset.theta_of(id.universe as usize)[j];
        let first = value(&ids[0]);
        if ids.iter().all(|id| value(id) == first) {
            let problem = format!("is {first} in all universes that are learned from: nothing can be learned of it");
            let remedy = "leave this parameter out, or give more universes in which it differs";
            return Err(error(problem, name.into()).remedy(remedy));
        }
    }
    Ok(())
}

/// Refuses samples to learn from that hold anything but numbers that the network takes. `called` has each column's name for
/// whoever reads of it.
pub(super) fn refuse_unfit(
    dataset: &Dataset,
    called: &dyn Fn(&str) -> String,
    config: &StageConfig,
    model: &dyn Model,
    samples: &mut dyn Source,
    changes: &[Box<dyn Change>],
) -> Result<()> {
    let ids = [samples.ids(Split::Train), samples.ids(Split::Validation)].concat();
    let mut found: BTreeMap<String, Unfit> = BTreeMap::new();
    go_through(samples, changes, (config.seed, Kind::Float), &ids, |batch| {
        let rows: Vec<usize> = batch.ids.iter().map(|id| id.universe as usize).collect();
        for (name, column) in batch.columns() {
            let (Column::Array(x) | Column::List { values: x, .. }) = column;
            let eye = model.eyes().into_iter().find(|eye| eye.column == *name);
            let counts = match (eye, column) {
                (Some(eye), _) => eye.unfit(x),
                (None, Column::Array(x)) => not_finite(x),
                // Of a list, by its rows.
                (None, Column::List { offsets, .. }) => {
                    let ends = whole(offsets);
                    let bad = |i: usize| match ends[i + 1] - ends[i] {
                        0 => 0,
                        n => whole(&x.narrow(0, ends[i], n).isfinite().logical_not().sum(Kind::Int64))[0],
                    };
                    (0..rows.len()).map(|i| [bad(i), 0]).collect()
                }
            };
            found.entry(name.clone()).or_default().note(&rows, &counts);
        }
        Ok(())
    })?;
    for (column, found) in &found {
        let error = |problem: String| Error::input(problem).file(&dataset.path).key(called(column));
        if let Some(words) = found.words(0) {
            let remedy = "mend or remove them (a `status` other than 0 leaves a row out)";
            return Err(error(format!("{words} of those to learn from")).remedy(remedy));
        }
        let eye = model.eyes().into_iter().find(|eye| eye.column == *column);
        let picky = eye.and_then(|eye| eye.preprocess().picky());
        if let (Some(words), Some(transform)) = (found.words(1), picky) {
            let floor = transform.floor().unwrap_or_default();
            let problem =
                format!("transform = \"{}\" takes numbers above {floor} only; there are {words}", transform.name());
            let remedy = format!(
                "choose train.{}.network.transform = \"asinh\", which takes both signs; a list has one transform for each \
                 index of the first axis, [\"log\", \"asinh\"]",
                config.name
            );
            return Err(error(problem).remedy(remedy));
        }
    }
    Ok(())
}

/// Says before training which rows of the test split will have no posterior. Collective.
pub(super) fn announce_unfit(
    comm: &Comm,
    dataset: &Dataset,
    inputs: &[FieldSpec],
    called: &dyn Fn(&str) -> String,
    model: &dyn Model,
    read: &dyn Fn(&[SampleId]) -> Result<Known>,
) -> Result<()> {
    let fields: Vec<String> = inputs.iter().map(|spec| called(&spec.name)).collect();
    unfit_of(comm, dataset, model, inputs, read).map(|found| found.tell(dataset, &fields.join(", ")))
}

/// Rows of the test split that a network which sees these fields cannot take, and so have no posterior. Collective.
pub fn unfit_tests(comm: &Comm, dataset: &Dataset, fields: &[String], network: &ModelConfig) -> Result<Unfit> {
    let specs = comm.agree(fields.iter().map(|field| data::spec(dataset, field)).collect::<Result<Vec<_>>>())?;
    let inputs = named(specs, "x");
    let task = Task { inputs: &inputs, targets: &[], prior: &dataset.prior, device: Device::Cpu, kind: Kind::Float };
    let model = comm.agree(build(&**network, &task))?;
    let read = |ids: &[SampleId]| {
        let rows: Vec<usize> = ids.iter().map(|id| id.universe as usize).collect();
        let each = inputs.iter().zip(fields);
        each.map(|(spec, field)| Ok((spec.name.clone(), data::column(dataset, field, &rows, Device::Cpu)?))).collect()
    };
    unfit_of(comm, dataset, model.as_ref(), &inputs, &read)
}

fn unfit_of(
    comm: &Comm,
    dataset: &Dataset,
    model: &dyn Model,
    inputs: &[FieldSpec],
    read: &dyn Fn(&[SampleId]) -> Result<Known>,
) -> Result<Unfit> {
    let rows = dataset.rows(Split::Test);
    let (start, len) = share(rows.len(), comm.size(), comm.rank());
    let mut found = Unfit::default();
    let mut look = || -> Result<()> {
        // Few of large samples: the file need not fit into memory.
        let numbers = inputs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
        for chunk in rows[start..start + len].chunks((NUMBERS / numbers.max(1)).clamp(1, CHUNK)) {
            let ids: Vec<SampleId> = chunk.iter().map(|&row| SampleId::of(row as u64)).collect();
            let batch = Batch::new(read(&ids)?, ids, Pass::Held, 0, Kind::Float);
            found.note(chunk, &unfit(model, &batch)?);
        }
        Ok(())
    };
    comm.agree(look())?;
    found.gather(comm);
    Ok(found)
}

/// Of each sample (n, …): how many of its numbers are not finite.
fn not_finite(x: &Tensor) -> Vec<[i64; 2]> {
    let bad = x.isfinite().logical_not().reshape([x.size()[0], -1]);
    whole(&bad.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)).into_iter().map(|n| [n, 0]).collect()
}

/// Of each sample: how many numbers of the model's inputs are not finite, and how many it does not take.
pub(super) fn unfit(model: &dyn Model, batch: &Batch) -> Result<Vec<[i64; 2]>> {
    let mut all = vec![[0, 0]; batch.len()];
    let mut add = |found: Vec<[i64; 2]>| {
        all.iter_mut().zip(found).for_each(|(all, found)| *all = [all[0] + found[0], all[1] + found[1]]);
    };
    let eyes = model.eyes();
    eyes.iter().try_for_each(|eye| batch.array(&eye.column).map(|x| add(eye.unfit(x))))?;
    if eyes.is_empty() {
        batch.columns().iter().for_each(|(_, column)| match column {
            Column::Array(x) => add(not_finite(x)),
            Column::List { .. } => {}
        });
    }
    Ok(all)
}

/// Looks at what a model has made of the samples that it learns from: refuses what tells nothing, says which numbers drop out
/// and which samples are far from the others. `called` has each column's name for whoever reads of it.
pub(super) fn look(
    dataset: &Dataset,
    called: &dyn Fn(&str) -> String,
    config: &StageConfig,
    model: &dyn Model,
    samples: &mut dyn Source,
    changes: &[Box<dyn Change>],
) -> Result<()> {
    let (eyes, ids) = (model.eyes(), samples.ids(Split::Train).to_vec());
    let constants: Vec<(Vec<usize>, usize)> = eyes.iter().map(|eye| eye.preprocess().constants()).collect();
    if !eyes.is_empty() && constants.iter().all(|(constant, all)| constant.len() == *all) {
        let what: Vec<String> = eyes.iter().map(|eye| called(&eye.column)).collect();
        return Err(Error::input("is the same for all universes that are learned from: there is nothing to learn")
            .file(&dataset.path)
            .key(what.join(", "))
            .remedy("give the stage another input, or more universes"));
    }
    let mut looks: Vec<Novelty> = eyes.iter().map(|_| Novelty::default()).collect();
    go_through(samples, changes, (config.seed, Kind::Float), &ids, |batch| {
        for (eye, all) in eyes.iter().zip(&mut looks) {
            let some = eye.novelty(batch.array(&eye.column)?);
            all.outside.extend(some.outside);
            all.most.extend(some.most);
        }
        Ok(())
    })?;
    for ((eye, (constant, all)), novelty) in eyes.iter().zip(constants).zip(looks) {
        let what = called(&eye.column);
        let bent = eye.preprocess().bent();
        if bent > 0 {
            log::info!(
                "train {}: {what}: {bent} of {all} numbers are skew or have heavy tails, and are seen through an asinh \
                 (transform = \"none\" leaves them as they are)",
                config.name
            );
        }
        if !constant.is_empty() {
            let list = constant.iter().take(NAMED).map(|&i| eye.name(i, &what));
            let more = if constant.len() > NAMED { ", …" } else { "" };
            log::info!(
                "train {}: {} of {all} numbers do not vary in training and drop out: {}{more}",
                config.name,
                constant.len(),
                list.collect::<Vec<_>>().join(", ")
            );
        }
        let far: Vec<usize> = (0..novelty.outside.len()).filter(|&i| novelty.outside[i] > WILD).collect();
        if let Some(&worst) = far.iter().max_by(|&&a, &&b| novelty.outside[a].total_cmp(&novelty.outside[b])) {
            log::warn!(
                "train {}: {} of {} samples to learn from lie far outside the others and are drawn in by a logarithm: in \
                 row {} {} is {:.3} times the others' range away",
                config.name,
                far.len(),
                novelty.outside.len(),
                ids[worst].universe,
                eye.fact(novelty.most[worst], &what),
                novelty.outside[worst]
            );
        }
    }
    Ok(())
}
