//! Masks of maps: the array `mask` of an HDF5 file, numbers from 0 (masked) to 1 (seen). And maps of depth, `depth`.

use super::hdf::File;
use crate::error::{Error, Result};
use std::path::Path;

/// Serial: a mask's shape and numbers.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f64>)> {
    read_array(path, "mask", 1.0, "from 0 (masked) to 1 (seen)")
}

/// The array `name`, of numbers from 0 to `most`, which are so in words.
fn read_array(path: &Path, name: &str, most: f64, words: &str) -> Result<(Vec<usize>, Vec<f64>)> {
    let refuse = |problem: String| {
        let remedy = format!("give an HDF5 file whose array `{name}` has a number {words} for every pixel");
        Error::input(problem).value(path).remedy(remedy)
    };
    let read = || -> Result<_> {
        let file = File::open(path)?;
        Ok((file.array(name)?.shape(), file.read(name)?))
    };
    let (shape, map): (Vec<usize>, Vec<f64>) = read().map_err(|e| refuse(format!("cannot be read: {}", e.problem)))?;
    match map.iter().find(|m| !(0.0..=most).contains(*m)) {
        Some(value) => Err(refuse(format!("its array `{name}` holds {value}"))),
        None => Ok((shape, map)),
    }
}

/// Serial: the array `depth` in a file, from 0 up, for maps of `pixels` per side, which `key` names.
pub fn depth(path: Option<&Path>, pixels: usize, key: &str) -> Result<Option<Vec<f64>>> {
    let Some(path) = path else { return Ok(None) };
    let (shape, depth) = read_array(path, "depth", f64::MAX, "from 0 up").map_err(|e| e.key(key))?;
    if shape == [pixels; 2] {
        return Ok(Some(depth));
    }
    let problem = format!("its array `depth` has shape {shape:?}, the maps [{pixels}, {pixels}]");
    Err(Error::input(problem).key(key).value(path).remedy("give a depth for each of the maps' pixels"))
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
