//! All samples of a split of a stage, as a model prepares itself from them, or is judged by them.

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
    pub split: Split,
    pub source: &'a mut dyn Source,
    pub changes: &'a [Box<dyn Change>],
    pub seed: u64,
    pub kind: Kind,
}

impl Everything<'_> {
    fn batch(&mut self, ids: &[SampleId]) -> Result<Batch> {
        held(self.source, self.changes, (self.seed, self.kind), ids)
    }

    /// Gives `keep` what `f` makes of this rank's samples, some at a time, and the number of their group; returns one of that
    /// shape: on a rank that has none, of the first samples.
    fn own(
        &mut self,
        f: &mut dyn FnMut(&Batch) -> Result<Tensor>,
        keep: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let ids = self.source.ids(self.split).to_vec();
        let groups: Vec<&[SampleId]> = ids.chunks(ids.len().div_ceil(GROUPS).next_multiple_of(CHUNK).max(1)).collect();
        let (start, len) = share(groups.len(), self.comm.size(), self.comm.rank());
        let size = at_a_time(self.source, &ids)?;
        let own = groups[start..start + len].iter().enumerate();
        let chunks: Vec<_> = own.flat_map(|(group, ids)| ids.chunks(size).map(move |chunk| (group, chunk))).collect();
        self.source.plan(chunks.iter().map(|(_, chunk)| chunk.to_vec()).collect());
        let mut like = None;
        for (group, chunk) in chunks {
            let part = f(&self.batch(chunk)?)?.to_kind(Kind::Double);
            keep(group, &part);
            like = Some(part);
        }
        like.map_or_else(|| f(&self.batch(&ids[..ids.len().min(size)])?), Ok)
    }
}

impl Stream for Everything<'_> {
    fn whole(&mut self, column: &str) -> Result<Tensor> {
        let ids = self.source.ids(self.split).to_vec();
        let all = self.batch(&ids).and_then(|batch| batch.array(column).map(Tensor::shallow_clone));
        self.comm.agree(all)
    }

    fn each(&mut self, column: &str, most: usize, f: &mut dyn FnMut(&Tensor)) -> Result<()> {
        let all = self.source.ids(self.split);
        let every = all.len().div_ceil(most.max(1));
        let ids: Vec<SampleId> = all.iter().copied().step_by(every).collect();
        let told = |batch: Batch| batch.array(column).map(&mut *f);
        let done = tch::no_grad(|| go_through(self.source, self.changes, (self.seed, self.kind), &ids, told));
        self.comm.agree(done)
    }

    fn sum(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor> {
        let mut sums: Vec<(usize, Tensor)> = vec![];
        let mut add = |group, part: &Tensor| match sums.last_mut().filter(|last| last.0 == group) {
            Some((_, sum)) => *sum = &*sum + part,
            None => sums.push((group, part.copy())),
        };
        let own = tch::no_grad(|| self.own(f, &mut add));
        let like = self.comm.agree(own)?;
        let all = self.comm.all_gather(&sums.iter().flat_map(|(_, sum)| host(sum)).collect::<Vec<f64>>());
        let mut total = vec![0f64; like.numel()];
        all.chunks(total.len().max(1)).for_each(|sum| total.iter_mut().zip(sum).for_each(|(t, s)| *t += s));
        Ok(Tensor::from_slice(&total).view(like.size().as_slice()).to_device(like.device()))
    }

    fn gather(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor> {
        let mut rows: Vec<f64> = vec![];
        let own = tch::no_grad(|| self.own(f, &mut |_, part| rows.extend(host(part))));
        let like = self.comm.agree(own)?;
        let row: i64 = like.size()[1..].iter().product();
        Ok(Tensor::from_slice(&self.comm.all_gather(&rows)).view([-1, row]).to_device(like.device()))
    }
}
