//! Where samples come from: ids of each split, and the columns of any of them.

use super::change::{Change, change};
use crate::error::{Error, Result};
use crate::io::dataset::Split;
use crate::models::{Batch, Column, Pass, SampleId, is_list};
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
    /// The order in which an epoch sees the samples to learn from.
    fn order(&self, seed: u64, phase: usize, epoch: u64) -> Vec<SampleId> {
        let mut ids = self.ids(Split::Train).to_vec();
        ids.shuffle(&mut stream(seed, epoch, "shuffle", phase as u64));
        ids
    }
    /// Columns of this rank's samples; `next` are those that it will ask for after them.
    fn read(&mut self, ids: &[SampleId], next: &[SampleId]) -> Result<Vec<(String, Column)>>;
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

    /// The same as they are seen that are held out.
    pub(super) fn held(&self, changes: &[Box<dyn Change>], seed: u64) -> Result<Memory> {
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), column.shallow_clone())).collect();
        let batch = change(changes, Batch::new(columns, self.ids.clone(), Pass::Held, seed, Kind::Float))?;
        Ok(Memory { columns: batch.into_columns(), rows: self.rows.clone(), ids: self.ids.clone(), train: self.train })
    }

    /// All samples, those to learn from first.
    pub fn all(&self) -> &[SampleId] {
        &self.ids
    }

    /// A whole array, in the order of the ids.
    pub fn column(&self, name: &str) -> Result<&Tensor> {
        match self.columns.iter().find(|c| c.0 == name) {
            Some((_, Column::Array(t))) => Ok(t),
            Some(_) => Err(is_list(name)),
            None => Err(Error::failed("there is no such array").key(name)),
        }
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

    fn read(&mut self, ids: &[SampleId], _: &[SampleId]) -> Result<Vec<(String, Column)>> {
        let row = |id: &SampleId| self.rows.get(id).copied();
        let rows: Option<Vec<i64>> = ids.iter().map(row).collect();
        let rows = rows.filter(|rows| !rows.is_empty());
        let rows = rows.ok_or_else(|| Error::failed("a sample was asked for that is not there"))?;
        Ok(self.columns.iter().map(|(name, column)| (name.clone(), column.select(&rows))).collect())
    }
}
