//! Numbers of a dataset as tensors.

use crate::error::Result;
use crate::io::dataset::Dataset;
use crate::io::field::{Data, Dtype};
use tch::{Device, Tensor};

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
