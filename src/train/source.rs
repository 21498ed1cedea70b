//! Where samples come from: ids of each split, and the columns of any of them.

use super::change::{Change, change};
use crate::error::{Error, Result};
use crate::io::dataset::Split;
use crate::models::{Batch, Column, Pass, SampleId};
use crate::rng::stream;
use rand::seq::SliceRandom;
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// Columns of samples by their names.
pub type Known = Vec<(String, Column)>;

/// Samples to learn from, and to be judged by.
pub trait Source {
    /// The samples of a split, in an order that all ranks share.
    fn ids(&self, split: Split) -> &[SampleId];
    /// The order in which an epoch sees the samples to learn from: all of them shuffled, or, where `run` is more than one, runs of so
    /// many that follow one another, [`MIXED`] of which at a time are mixed. It depends on nothing else, neither on
    /// the ranks nor on memory.
    fn order(&self, run: usize, seed: u64, phase: usize, epoch: u64) -> Vec<SampleId> {
        let (mut ids, mut rng) = (self.ids(Split::Train).to_vec(), stream(seed, epoch, "shuffle", phase as u64));
        if run <= 1 {
            ids.shuffle(&mut rng);
            return ids;
        }
        let mut runs: Vec<&[SampleId]> = ids.chunks(run).collect();
        runs.shuffle(&mut rng);
        let mixed = |runs: &[&[SampleId]]| {
            let mut some = runs.concat();
            some.shuffle(&mut rng);
            some
        };
        runs.chunks(MIXED).flat_map(mixed).collect()
    }
    /// The samples that this rank will read, batch by batch: for who reads ahead.
    fn plan(&mut self, _batches: Vec<Vec<SampleId>>) {}
    /// Columns of this rank's samples.
    fn read(&mut self, ids: &[SampleId]) -> Result<Known>;
}

/// Runs of samples that are mixed with each other.
pub const MIXED: usize = 16;
/// Samples that are looked at a time, and numbers of their columns: at least one sample.
const CHUNK: usize = 64;
const NUMBERS: usize = 1 << 22;

/// Goes through samples as they are seen that are held out, some at a time, in order.
pub(super) fn go_through(
    source: &mut dyn Source,
    changes: &[Box<dyn Change>],
    (seed, kind): (u64, Kind),
    ids: &[SampleId],
    mut f: impl FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let size = at_a_time(source, ids)?;
    source.plan(ids.chunks(size).map(<[_]>::to_vec).collect());
    ids.chunks(size).try_for_each(|ids| f(held(source, changes, (seed, kind), ids)?))
}

/// How many samples are looked at a time.
pub(super) fn at_a_time(source: &mut dyn Source, ids: &[SampleId]) -> Result<usize> {
    let one = source.read(&ids[..1])?;
    let numbers = one.iter().map(|(_, Column::Array(t) | Column::List { values: t, .. })| t.numel()).sum::<usize>();
    Ok((NUMBERS / numbers.max(1)).clamp(1, CHUNK))
}

/// Samples as they are seen that are held out.
pub(super) fn held(
    source: &mut dyn Source,
    changes: &[Box<dyn Change>],
    (seed, kind): (u64, Kind),
    ids: &[SampleId],
) -> Result<Batch> {
    change(changes, Batch::new(source.read(ids)?, ids.to_vec(), Pass::Held, seed, kind))
}

/// Samples in memory.
pub struct Memory {
    columns: Vec<(String, Column)>,
    rows: HashMap<SampleId, i64>,
    /// Those to learn from stand first.
    ids: Vec<SampleId>,
    train: usize,
}

impl Memory {
    /// Columns with a row for each id, the first `train` of which are learned from and the others held out.
    pub fn new(columns: Vec<(String, Column)>, ids: Vec<SampleId>, train: usize) -> Self {
        let rows = ids.iter().enumerate().map(|(row, &id)| (id, row as i64)).collect();
        Memory { columns, rows, ids, train }
    }

    /// Arrays with a row for each of the universes 0, 1, 2, …
    pub fn of<const N: usize>(columns: [(&str, Tensor); N], train: usize) -> Self {
        let n = columns.first().map_or(0, |c| c.1.size()[0]) as u64;
        let columns = columns.into_iter().map(|(name, t)| (name.to_string(), Column::Array(t))).collect();
        Memory::new(columns, (0..n).map(SampleId::of).collect(), train)
    }
}

impl Source for Memory {
    fn ids(&self, split: Split) -> &[SampleId] {
        match split {
            Split::Train => &self.ids[..self.train],
            Split::Validation => &self.ids[self.train..],
            Split::Test => &[],
        }
    }

    fn read(&mut self, ids: &[SampleId]) -> Result<Known> {
        let row = |id: &SampleId| self.rows.get(id).copied();
        let rows: Option<Vec<i64>> = ids.iter().map(row).collect();
        let rows = rows.filter(|rows| !rows.is_empty());
        let rows = rows.ok_or_else(|| Error::failed("a sample was asked for that is not there"))?;
        Ok(self.columns.iter().map(|(name, column)| (name.clone(), column.select(&rows))).collect())
    }
}
