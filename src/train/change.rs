//! What is done to samples on their way to a model: symmetries, noise. It depends on a sample's id and the pass alone.

use crate::error::Result;
use crate::models::{Batch, Pass};
use rand::Rng;
use tch::Tensor;

/// A change of samples.
pub trait Change {
    fn change(&self, batch: &mut Batch) -> Result<()>;
}

/// Symmetries of the periodic square: each sample's maps (…, H, W) are shifted, turned by quarters and mirrored at random, all
/// columns, views and channels of it alike. In training alone.
pub struct Symmetries {
    /// Columns of maps of one size.
    pub columns: Vec<String>,
}

impl Change for Symmetries {
    fn change(&self, batch: &mut Batch) -> Result<()> {
        if !matches!(batch.pass, Pass::Train { .. }) {
            return Ok(());
        }
        for name in &self.columns {
            let x = batch.array(name)?;
            let (h, w) = (x.size()[x.dim() - 2], x.size()[x.dim() - 1]);
            let each = batch.streams("augment").enumerate().map(|(i, mut rng)| {
                let mut one = x.select(0, i as i64);
                one = one.roll([rng.random_range(0..h), rng.random_range(0..w)], [-2i64, -1]);
                let turns = rng.random_range(0..if h == w { 4 } else { 1 });
                one = one.rot90(turns, [-2i64, -1]);
                if rng.random_bool(0.5) { one.flip([-1i64]) } else { one }
            });
            let changed = Tensor::stack(&each.collect::<Vec<_>>(), 0);
            batch.replace(name, changed)?;
        }
        Ok(())
    }
}
