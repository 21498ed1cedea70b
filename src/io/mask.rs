//! Masks of maps: the array `mask` of an HDF5 file, numbers from 0 (masked) to 1 (seen).

use super::hdf::File;
use crate::error::{Error, Result};
use std::path::Path;

/// Serial: a mask's shape and numbers.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f64>)> {
    let refuse = |problem: String| {
        let remedy = "give an HDF5 file whose array `mask` has a number from 0 (masked) to 1 (seen) for every pixel";
        Error::input(problem).value(path).remedy(remedy)
    };
    let read = || -> Result<_> {
        let file = File::open(path)?;
        Ok((file.array("mask")?.shape(), file.read("mask")?))
    };
    let (shape, mask): (Vec<usize>, Vec<f64>) = read().map_err(|e| refuse(format!("cannot be read: {}", e.problem)))?;
    match mask.iter().find(|m| !(0.0..=1.0).contains(*m)) {
        Some(value) => Err(refuse(format!("its array `mask` holds {value}"))),
        None => Ok((shape, mask)),
    }
}
