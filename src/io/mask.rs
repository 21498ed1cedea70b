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

/// Serial: the mask in a file for maps of `pixels` per side, which the key `mask` of `section` names.
pub fn of_maps(path: Option<&Path>, pixels: usize, section: &str) -> Result<Option<Vec<f64>>> {
    let Some(path) = path else { return Ok(None) };
    let key = format!("{section}.mask");
    let (shape, mask) = read(path).map_err(|e| e.key(&key))?;
    if shape == [pixels; 2] {
        return Ok(Some(mask));
    }
    let problem = format!("its array `mask` has shape {shape:?}, the maps [{pixels}, {pixels}]");
    let remedy = format!("give a mask with the maps' pixels, or change {section}.pixels");
    Err(Error::input(problem).key(key).value(path).remedy(remedy))
}
