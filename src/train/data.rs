//! Numbers of a dataset as tensors.

use crate::error::Result;
use crate::io::dataset::Dataset;
use crate::io::field::{Data, Dtype, FieldSpec};
use crate::models::Column;
use tch::{Device, Tensor};

/// A field of some rows in its own precision: double is not cut to single before an offset is subtracted, and single is
/// not doubled in memory. Whole numbers come in double precision.
pub fn read(dataset: &Dataset, field: &str, rows: &[usize]) -> Result<Data> {
    Ok(match dataset.spec(field)?.dtype {
        Dtype::F32 => Data::F32(dataset.read_f32(field, rows)?),
        Dtype::F64 | Dtype::I64 => Data::F64(dataset.read_f64(field, rows)?),
    })
}

/// What a stage may read of a dataset: a field, or a parameter by its name ("theta": all).
pub fn spec(dataset: &Dataset, name: &str) -> Result<FieldSpec> {
    dataset.readable(name)
}

/// A field (or a parameter) of some rows as a column of samples.
pub fn column(dataset: &Dataset, field: &str, rows: &[usize], device: Device) -> Result<Column> {
    let spec = spec(dataset, field)?;
    if let (true, Some(derived)) = (dataset.is_parameter(field), dataset.derived_of(field, rows)) {
        return Ok(Column::Array(tensor(&Data::F64(derived), &[rows.len()], device)));
    }
    if dataset.is_parameter(field) {
        let theta = tensor(&Data::F64(dataset.thetas(rows)), &[rows.len(), dataset.prior.len()], device);
        let at = dataset.prior.names().iter().position(|name| *name == field);
        return Ok(Column::Array(at.map_or_else(|| theta.shallow_clone(), |j| theta.select(1, j as i64))));
    }
    if !spec.ragged {
        let shape = [&[rows.len()], &spec.shape[..]].concat();
        return Ok(Column::Array(tensor(&read(dataset, field, rows)?, &shape, device)));
    }
    let all = rows.iter().map(|&row| dataset.read_list(field, row)).collect::<Result<Vec<_>>>()?;
    let width = spec.shape[1..].iter().product::<usize>().max(1);
    let lengths: Vec<usize> = all.iter().map(|list| list.len() / width).collect();
    Ok(lists(all.concat(), &lengths, &spec.shape, device))
}

/// Lists one after another as a column of samples: so many rows each, of a list's shape but for its first axis.
pub fn lists(values: Vec<f64>, lengths: &[usize], shape: &[usize], device: Device) -> Column {
    let mut offsets = vec![0];
    lengths.iter().for_each(|&rows| offsets.push(offsets[offsets.len() - 1] + rows as i64));
    let shape = [&[lengths.iter().sum()], &shape[1..]].concat();
    let offsets = Tensor::from_slice(&offsets).to_device(device);
    Column::List { values: tensor(&Data::F64(values), &shape, device), offsets }
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
