//! Finished stages as they are used: each looks at samples and makes something of them, one after another.

use super::change::{Change, change};
use super::context::{Context, find, made};
use super::foreseen::untrained;
use super::pieces::{Pieces, seen};
use super::source::Known;
use super::symmetry::Average;
use super::{data, inputs, view, weights};
use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::looks::Looks;
use crate::models::{Batch, Column, Model, Pass, SampleId, Task, named};
use crate::prior::Prior;
use tch::{Device, Kind, Tensor};

/// Bits of [`Looks::most`] from which on the number of the link stands, and that of its input.
pub(super) const LINK: u32 = 48;
const INPUT: u32 = 32;

/// Samples on their way through frozen networks at a time.
const CHUNK: usize = 32;

/// One finished stage.
pub struct Link {
    pub name: String,
    /// Its inputs: the name of each in a batch, and what it is: a field of the dataset, or `STAGE/OUTPUT`.
    reads: Vec<(String, String)>,
    pub model: Box<dyn Model>,
    /// What is done to its samples.
    pub changes: Vec<Box<dyn Change>>,
    /// Views that are averaged over; `None`: one.
    pub average: Option<Average>,
    seed: u64,
}

impl Link {
    /// Samples of these columns as it sees them.
    fn batch(&self, columns: Known, ids: &[SampleId], pass: Pass) -> Result<Batch> {
        change(&self.changes, Batch::new(columns, ids.to_vec(), pass, self.seed, Kind::Float))
    }

    /// How samples look to it, link number `place` of a chain.
    fn look(&self, batch: &Batch, place: usize, looks: &mut Looks) -> Result<()> {
        let unfit = inputs::unfit(self.model.as_ref(), batch)?;
        unfit.into_iter().enumerate().for_each(|(i, unfit)| looks.refuse(i, unfit));
        for (number, eye) in self.model.eyes().into_iter().enumerate() {
            let found = eye.novelty(batch.array(&eye.column)?);
            for i in 0..batch.len() {
                let most = (place as u64) << LINK | (number as u64) << INPUT | found.most[i] as u64;
                looks.see(i, found.outside[i], found.distance[i], most);
            }
        }
        Ok(())
    }

    /// What it makes of samples.
    pub(super) fn make(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let Some(average) = &self.average else { return tch::no_grad(|| self.model.apply(batch)) };
        let each = average.views(batch).map(|view| tch::no_grad(|| self.model.apply(&view?)));
        let each = each.collect::<Result<Vec<_>>>()?;
        let mean = |f: usize| {
            Tensor::stack(&each.iter().map(|made| &made[f]).collect::<Vec<_>>(), 0).mean_dim(0i64, false, None)
        };
        Ok((0..each[0].len()).map(mean).collect())
    }
}

/// Finished stages in order, each of which may read what those before it make.
pub struct Chain {
    pub links: Vec<Link>,
    /// Fields of the dataset that they read.
    pub fields: Vec<FieldSpec>,
}

impl Chain {
    /// Every rank reads the same files. `copies`: what is drawn of a universe are copies, which differ by symmetries where stages
    /// say nothing.
    pub fn load(context: &Context, stages: &[&str], copies: bool) -> Result<Chain> {
        let mut chain = Chain { links: vec![], fields: vec![] };
        for name in stages {
            let (stage, record) = (find(context.stages, name)?, context.records.trained(name, Some(context.identity))?);
            let pieces = Pieces::of(context.stages, stage, &|name| data::spec(context.dataset, name).ok())?;
            let pieces = pieces.as_ref();
            let inputs = chain.specs(context, &stage.input, "x", pieces)?;
            for spec in stage.input.iter().filter(|name| made(context.stages, name).is_none()) {
                let spec = data::spec(context.dataset, spec)?;
                chain.fields.extend((!chain.fields.contains(&spec)).then_some(spec));
            }
            let targets = chain.specs(context, &stage.target, "target", pieces)?;
            let task = Task {
                inputs: &inputs,
                targets: &targets,
                prior: &record.prior,
                device: context.device,
                kind: Kind::Float,
            };
            let model = untrained(stage, &task)?;
            weights::load(model.as_ref(), context.records, name, &record)?;
            let read = |name: &String| {
                made(context.stages, name)
                    .map_or_else(|| name.trim_matches('/').to_string(), |(stage, output)| format!("{stage}/{output}"))
            };
            let columns = [&inputs[..], &targets].concat();
            let fields = copies && pieces.is_none() && context.records.sources(name).is_empty();
            let copied = if fields { view::copies(stage, &columns).ok() } else { None };
            chain.links.push(Link {
                name: name.to_string(),
                average: view::average(stage, &columns, &model.outputs())?,
                reads: inputs.iter().map(|spec| spec.name.clone()).zip(stage.input.iter().map(read)).collect(),
                model,
                changes: copied.map_or_else(|| view::changes_of(stage, &columns, pieces), Ok)?,
                seed: context.seed.wrapping_add(stage.seed),
            });
        }
        Ok(chain)
    }

    /// What columns of a stage on this chain are, by their names in a batch.
    pub(super) fn specs(
        &self,
        context: &Context,
        names: &[String],
        alone: &str,
        pieces: Option<&Pieces>,
    ) -> Result<Vec<FieldSpec>> {
        let spec = |name: &String| -> Result<FieldSpec> {
            let Some((stage, output)) = made(context.stages, name) else {
                return Ok(seen(pieces, data::spec(context.dataset, name)?));
            };
            let link = self.links.iter().find(|link| link.name == stage);
            let spec = link.and_then(|link| link.model.outputs().into_iter().find(|spec| spec.name == output));
            let missing = || Error::failed(format!("stage {stage} makes no {output}"));
            Ok(FieldSpec { name: name.clone(), ..spec.ok_or_else(missing)? })
        };
        Ok(named(names.iter().map(spec).collect::<Result<_>>()?, alone))
    }

    /// What a link sees of the columns that are known.
    fn seen(&self, place: usize, known: &Known, ids: &[SampleId], pass: Pass) -> Result<Batch> {
        let link = &self.links[place];
        let column = |(name, of): &(String, String)| {
            let found = known.iter().find(|(known, _)| known == of).map(|(_, column)| column.shallow_clone());
            let missing = || Error::input("this field is not there").key(of).remedy("give it too");
            Ok((name.clone(), found.ok_or_else(missing)?))
        };
        link.batch(link.reads.iter().map(column).collect::<Result<_>>()?, ids, pass)
    }

    /// Adds what the first so many links make of samples to the columns that are known.
    fn make(
        &self,
        links: usize,
        known: &mut Known,
        (ids, pass): (&[SampleId], Pass),
        mut looks: Option<&mut Looks>,
    ) -> Result<()> {
        for (place, link) in self.links[..links].iter().enumerate() {
            let batch = self.seen(place, known, ids, pass)?;
            looks.as_mut().map_or(Ok(()), |looks| link.look(&batch, place, looks))?;
            let names = link.model.outputs().into_iter().map(|spec| format!("{}/{}", link.name, spec.name));
            known.extend(names.zip(link.make(&batch)?.into_iter().map(Column::Array)));
        }
        Ok(())
    }
}

/// A finished stage, with those that it stands on.
pub struct Trained {
    /// The stage itself is the last.
    chain: Chain,
    pub prior: Prior,
    pub device: Device,
}

impl Trained {
    /// Loads a stage and what it stands on. Every rank reads the same files.
    pub fn load(context: &Context, name: &str) -> Result<Trained> {
        let chain = Chain::load(context, &context.records.chain(name), true)?;
        let mut prior = context.records.trained(name, Some(context.identity))?.prior;
        // Records have a prior as it is spelled.
        prior.accepted = context.dataset.prior.accepted.clone();
        Ok(Trained { chain, prior, device: context.device })
    }

    /// The stage itself.
    pub fn last(&self) -> &Link {
        self.chain.links.last().expect("a stage is part of its chain")
    }

    /// Its model.
    pub fn model(&self) -> &dyn Model {
        self.last().model.as_ref()
    }

    /// The fields of the dataset that it needs.
    pub fn fields(&self) -> &[FieldSpec] {
        &self.chain.fields
    }

    /// What these are called.
    pub fn names(&self) -> String {
        self.fields().iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Samples of these columns as the stage sees them, and how they look to it beside the networks below.
    pub(super) fn of_columns(
        &self,
        columns: Known,
        looks: Looks,
        ids: &[SampleId],
        pass: Pass,
    ) -> Result<(Batch, Looks)> {
        let (last, mut looks) = (self.last(), looks);
        let batch = last.batch(columns, ids, pass)?;
        last.look(&batch, self.chain.links.len() - 1, &mut looks)?;
        Ok((batch, looks))
    }

    /// Samples whose fields are at hand, by their names in the dataset, as the stage sees them, and how they look to all networks
    /// on the way.
    pub fn of_fields(&self, mut known: Known, ids: &[SampleId], pass: Pass) -> Result<(Batch, Looks)> {
        let (mut looks, last) = (Looks::new(ids.len()), self.chain.links.len() - 1);
        self.chain.make(last, &mut known, (ids, pass), Some(&mut looks))?;
        let batch = self.chain.seen(last, &known, ids, pass)?;
        self.last().look(&batch, last, &mut looks)?;
        Ok((batch, looks))
    }

    /// What an entry of [`Looks::most`] stands for.
    pub fn fact(&self, most: u64) -> String {
        let link = self.chain.links.get((most >> LINK) as usize).unwrap_or(self.last());
        let called = |of: &String| match of.split_once('/') {
            Some((stage, output)) if self.chain.links.iter().any(|l| l.name == stage) => format!("{output} of {stage}"),
            _ => of.clone(),
        };
        let Some(eye) = link.model.eyes().into_iter().nth((most >> INPUT & 0xffff) as usize) else {
            return link.reads.iter().map(|(_, of)| called(of)).collect::<Vec<_>>().join(", ");
        };
        let read = link.reads.iter().find(|(name, _)| *name == eye.column);
        let called = read.map_or(eye.column.clone(), |(_, of)| called(of));
        eye.fact((most & u32::MAX as u64) as i64, &called)
    }
}

/// Frozen networks in front of a stage's own: they make its inputs anew from fields of the dataset wherever samples are seen, with
/// fresh noise and symmetries in each epoch. The fields stand in a batch with a slash before their names.
pub(super) struct Frozen {
    pub chain: Chain,
    /// Names in a batch of what the networks make, and what it is.
    pub reads: Vec<(String, String)>,
}

impl Change for Frozen {
    fn change(&self, batch: &mut Batch) -> Result<()> {
        let (fields, mut columns): (Vec<_>, Vec<_>) = batch
            .columns()
            .iter()
            .map(|(name, c)| (name.clone(), c.shallow_clone()))
            .partition(|c| c.0.starts_with('/'));
        let mut made: Vec<Vec<Tensor>> = self.reads.iter().map(|_| vec![]).collect();
        let rows: Vec<i64> = (0..batch.len() as i64).collect();
        for rows in rows.chunks(CHUNK) {
            let ids: Vec<SampleId> = rows.iter().map(|&row| batch.ids[row as usize]).collect();
            let mut known = fields.iter().map(|(name, c)| (name[1..].to_string(), c.select(rows))).collect();
            self.chain.make(self.chain.links.len(), &mut known, (&ids, batch.pass), None)?;
            for ((_, of), made) in self.reads.iter().zip(&mut made) {
                let found = known.iter().find(|(name, _)| name == of);
                if let Some((_, Column::Array(x))) = found {
                    made.push(x.shallow_clone());
                }
            }
        }
        let made = made.iter().map(|parts| Column::Array(Tensor::cat(parts, 0)));
        columns.extend(self.reads.iter().map(|(name, _)| name.clone()).zip(made));
        batch.put(columns);
        Ok(())
    }
}
