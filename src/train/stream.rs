//! All samples that a stage learns from, as a model prepares itself from them.

use super::change::Change;
use super::source::{Source, at_a_time, go_through, held};
use crate::comm::{Comm, share};
use crate::error::Result;
use crate::io::dataset::Split;
use crate::models::{Batch, SampleId, Stream};
use crate::nets::host;
use tch::{Kind, Tensor};

/// Samples of a group are a multiple of this.
const CHUNK: usize = 64;
/// Most sums that are kept apart until they are added in order: the same whatever the number of ranks.
const GROUPS: usize = 64;

pub(super) struct Everything<'a> {
    pub comm: &'a Comm,
    pub source: &'a mut dyn Source,
    pub changes: &'a [Box<dyn Change>],
    pub seed: u64,
    pub kind: Kind,
}

impl Everything<'_> {
    fn batch(&mut self, ids: &[SampleId]) -> Result<Batch> {
        held(self.source, self.changes, (self.seed, self.kind), ids)
    }

    /// The sum over this rank's groups, group by group.
    fn own(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let ids = self.source.ids(Split::Train).to_vec();
        let groups: Vec<&[SampleId]> = ids.chunks(ids.len().div_ceil(GROUPS).next_multiple_of(CHUNK).max(1)).collect();
        let (start, len) = share(groups.len(), self.comm.size(), self.comm.rank());
        let size = at_a_time(self.source, &ids)?;
        self.source.plan(groups[start..start + len].iter().flat_map(|g| g.chunks(size)).map(<[_]>::to_vec).collect());
        let mut sums = vec![];
        for group in &groups[start..start + len] {
            let mut sum: Option<Tensor> = None;
            for chunk in group.chunks(size) {
                let part = f(&self.batch(chunk)?)?.to_kind(Kind::Double);
                sum = Some(sum.map_or_else(|| part.shallow_clone(), |sum| sum + &part));
            }
            sums.extend(sum);
        }
        // A rank without a group learns the shape from the first samples.
        let shape = if sums.is_empty() { Some(f(&self.batch(&ids[..ids.len().min(size)])?)?) } else { None };
        Ok((sums, shape))
    }
}

impl Stream for Everything<'_> {
    fn whole(&mut self, column: &str) -> Result<Tensor> {
        let ids = self.source.ids(Split::Train).to_vec();
        let all = self.batch(&ids).and_then(|batch| batch.array(column).map(Tensor::shallow_clone));
        self.comm.agree(all)
    }

    fn each(&mut self, column: &str, most: usize, f: &mut dyn FnMut(&Tensor)) -> Result<()> {
        let all = self.source.ids(Split::Train);
        let every = all.len().div_ceil(most.max(1));
        let ids: Vec<SampleId> = all.iter().copied().step_by(every).collect();
        let told = |batch: Batch| batch.array(column).map(&mut *f);
        let done = tch::no_grad(|| go_through(self.source, self.changes, (self.seed, self.kind), &ids, told));
        self.comm.agree(done)
    }

    fn sum(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor> {
        let own = tch::no_grad(|| self.own(f));
        let (sums, shape) = self.comm.agree(own)?;
        let like = shape.or_else(|| sums.first().map(Tensor::shallow_clone)).unwrap_or_default();
        let all = self.comm.all_gather(&sums.iter().flat_map(host).collect::<Vec<f64>>());
        let mut total = vec![0f64; like.numel()];
        all.chunks(total.len().max(1)).for_each(|sum| total.iter_mut().zip(sum).for_each(|(t, s)| *t += s));
        Ok(Tensor::from_slice(&total).view(like.size().as_slice()).to_device(like.device()))
    }
}
