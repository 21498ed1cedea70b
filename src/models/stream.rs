//! All samples of a split of a stage, as a model prepares itself from them, or is judged by them.

use super::Batch;
use crate::error::Result;
use tch::Tensor;

/// All samples that a stage learns from, seen as those are that are held out, for scales and closed forms; or those that
/// are held out.
pub trait Stream {
    /// A whole column, (n, …), on every rank: for what needs all at once, as quantiles do.
    fn whole(&mut self, column: &str) -> Result<Tensor>;
    /// Shows `f` an array's samples (some, …), some at a time, in order, on every rank: all, or where there are more than
    /// `most` so many of them, evenly spaced. Collective.
    fn each(&mut self, column: &str, most: usize, f: &mut dyn FnMut(&Tensor)) -> Result<()>;
    /// The sum of what `f` makes of some samples at a time. Ranks share the work, and get the same bits however many
    /// they are. Collective.
    fn sum(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor>;
    /// What `f` makes of some samples at a time, (some, k) in double precision, of all in order, (n, k), on every rank. Ranks
    /// share the work. Collective.
    fn gather(&mut self, f: &mut dyn FnMut(&Batch) -> Result<Tensor>) -> Result<Tensor>;
}
