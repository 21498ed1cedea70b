//! Rows of plain numbers on their way between ranks: sent to an owner, answered, sorted over all ranks.

use crate::comm::{Comm, share};
use bytemuck::Pod;

/// A way for one list of rows: which rank each goes to. The same way serves any number of columns.
pub(super) struct Route {
    comm: Comm,
    /// Rows in the order of their destination; rows for one rank keep their order.
    order: Vec<usize>,
    counts: Vec<usize>,
    from: Vec<usize>,
}

impl Route {
    /// Row i goes to rank `to[i]`. Collective.
    pub fn new(comm: &Comm, to: &[usize]) -> Self {
        let mut counts = vec![0; comm.size()];
        to.iter().for_each(|&rank| counts[rank] += 1);
        let mut at: Vec<usize> = counts.iter().scan(0, |end, &c| Some(std::mem::replace(end, *end + c))).collect();
        let mut order = vec![0; to.len()];
        for (row, &rank) in to.iter().enumerate() {
            order[at[rank]] = row;
            at[rank] += 1;
        }
        let (mine, one) = (counts.iter().map(|&c| c as u64).collect::<Vec<_>>(), vec![1; comm.size()]);
        let mut from = vec![0u64; comm.size()];
        comm.exchange_into(&mine, &one, &mut from, &one);
        let from = from.into_iter().map(|c| c as usize).collect();
        Route { comm: comm.clone(), order, counts, from }
    }

    /// The rows that arrive here, ordered by the rank they come from. Collective.
    pub fn send<R: Pod>(&self, rows: &[R]) -> Vec<R> {
        let sorted: Vec<R> = self.order.iter().map(|&i| rows[i]).collect();
        self.carry(&sorted, &self.counts, &self.from)
    }

    /// Sends back one answer to each row that arrived; returns the answers in the order of the rows sent. Collective.
    pub fn reply<R: Pod>(&self, answers: &[R]) -> Vec<R> {
        let sorted = self.carry(answers, &self.from, &self.counts);
        let mut rows = vec![R::zeroed(); sorted.len()];
        self.order.iter().zip(sorted).for_each(|(&i, answer)| rows[i] = answer);
        rows
    }

    fn carry<R: Pod>(&self, rows: &[R], counts: &[usize], from: &[usize]) -> Vec<R> {
        let words = |counts: &[usize]| counts.iter().map(|c| c * size_of::<R>() / 4).collect::<Vec<_>>();
        let mut arrived = vec![R::zeroed(); from.iter().sum()];
        let (send, recv) = (bytemuck::cast_slice(rows), bytemuck::cast_slice_mut::<R, u32>(&mut arrived));
        self.comm.exchange_into(send, &words(counts), recv, &words(from));
        arrived
    }
}

/// All ranks' rows sorted by their keys, which are unique, and spread over the ranks in contiguous equal shares: read
/// in rank order they are the same list on any number of ranks. Collective.
///
/// Rank r's share begins with the global row number s_r; its key is found by bisection for all r at once, so that no
/// rank ever holds more than its share.
pub(super) fn sort_over_ranks<R: Pod>(comm: &Comm, mut rows: Vec<R>, key: impl Fn(&R) -> u128) -> Vec<R> {
    rows.sort_unstable_by_key(&key);
    let (ranks, total) = (comm.size(), comm.sum_of(rows.len() as u64));
    let starts: Vec<u64> = (1..ranks).map(|r| share(total as usize, ranks, r).0 as u64).collect();
    // The key of row s is the smallest k for which more than s rows have keys up to k.
    let (mut low, mut high) = (vec![0u128; ranks - 1], vec![u128::MAX; ranks - 1]);
    while low != high {
        let middle: Vec<u128> = low.iter().zip(&high).map(|(l, h)| l + (h - l) / 2).collect();
        let mut below: Vec<u64> = middle.iter().map(|m| rows.partition_point(|row| key(row) <= *m) as u64).collect();
        comm.sum(&mut below);
        for (r, m) in middle.into_iter().enumerate() {
            if below[r] > starts[r] { high[r] = m } else { low[r] = (m + 1).min(high[r]) }
        }
    }
    let to: Vec<usize> = rows.iter().map(|row| low.partition_point(|first| *first <= key(row))).collect();
    let mut sorted = Route::new(comm, &to).send(&rows);
    sorted.sort_unstable_by_key(&key);
    sorted
}
