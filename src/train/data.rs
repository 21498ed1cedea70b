//! What a stage learns from: inputs and parameters of every universe in memory, and the augmentation of maps.

use crate::rng::stream;
use rand::Rng;
use tch::{Device, Kind, Tensor};

/// All samples of a stage.
pub struct Table {
    /// (n, …).
    pub x: Tensor,
    /// (n, p), double.
    pub theta: Tensor,
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows that decide when to stop.
    pub validation: Vec<usize>,
    /// Samples are maps (…, H, W), which augmentation may shift, turn and mirror.
    pub maps: bool,
}

impl Table {
    /// The samples of these rows.
    pub fn select(&self, rows: &[usize]) -> (Tensor, Tensor) {
        let rows: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
        let rows = Tensor::from_slice(&rows).to_device(self.x.device());
        (self.x.index_select(0, &rows), self.theta.index_select(0, &rows))
    }

    /// The same, each sample's maps transformed by a symmetry of the periodic square (shift, quarter turns, mirror) that
    /// depends on (seed, epoch, row) alone: all views and channels of a universe alike.
    pub fn augmented(&self, rows: &[usize], seed: u64, epoch: u64) -> (Tensor, Tensor) {
        let (x, theta) = self.select(rows);
        if !self.maps {
            return (x, theta);
        }
        let (h, w) = (x.size()[x.dim() - 2], x.size()[x.dim() - 1]);
        let each = |(i, &row): (usize, &usize)| {
            let mut rng = stream(seed, epoch, "augment", row as u64);
            let mut one = x.select(0, i as i64);
            one = one.roll([rng.random_range(0..h), rng.random_range(0..w)], [-2i64, -1]);
            let turns = rng.random_range(0..if h == w { 4 } else { 1 });
            one = one.rot90(turns, [-2i64, -1]);
            if rng.random_bool(0.5) { one.flip([-1i64]) } else { one }
        };
        (Tensor::stack(&rows.iter().enumerate().map(each).collect::<Vec<_>>(), 0), theta)
    }
}

/// Host numbers as a tensor of this shape.
pub fn tensor(values: &[f32], shape: &[usize], device: Device, kind: Kind) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Tensor::from_slice(values).view(shape.as_slice()).to_device(device).to_kind(kind)
}
