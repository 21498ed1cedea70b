//! What a stage learns from: inputs and parameters of every universe in memory, and the augmentation of maps.

use crate::error::Result;
use crate::io::dataset::Dataset;
use crate::io::field::{Data, Dtype};
use crate::rng::stream;
use rand::Rng;
use tch::{Device, Tensor};

/// All samples of a stage.
pub struct Table {
    /// (n, …), in the precision that it comes in.
    pub x: Tensor,
    /// (n, p), double.
    pub theta: Tensor,
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows that decide when to stop.
    pub validation: Vec<usize>,
    /// Samples are maps of a periodic box (…, H, W), which augmentation may shift, turn and mirror.
    pub maps: bool,
}

impl Table {
    /// The samples to learn from.
    pub fn training(&self) -> (Tensor, Tensor) {
        // They stand first: nothing is copied.
        match self.train.iter().enumerate().all(|(i, &row)| i == row) {
            true => (self.x.narrow(0, 0, self.train.len() as i64), self.theta.narrow(0, 0, self.train.len() as i64)),
            false => self.select(&self.train),
        }
    }

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

/// A field of some rows in its own precision: double is not cut to single before an offset is subtracted, and single is not
/// doubled in memory. Whole numbers come in double precision.
pub fn read(dataset: &Dataset, field: &str, rows: &[usize]) -> Result<Data> {
    Ok(match dataset.spec(field)?.dtype {
        Dtype::F32 => Data::F32(dataset.read_f32(field, rows)?),
        Dtype::F64 | Dtype::I64 => Data::F64(dataset.read_f64(field, rows)?),
    })
}

/// Host numbers as a tensor of this shape, in their own precision.
pub fn tensor(values: &Data, shape: &[usize], device: Device) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    let all = match values {
        Data::F32(v) => Tensor::from_slice(v),
        Data::F64(v) => Tensor::from_slice(v),
        Data::I64(v) => Tensor::from_slice(&v.iter().map(|&x| x as f64).collect::<Vec<_>>()),
    };
    all.view(shape.as_slice()).to_device(device)
}
