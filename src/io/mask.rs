//! Masks of maps: the array `mask` of an HDF5 file, numbers from 0 (masked) to 1 (seen). And maps of depth, `depth`.

use super::hdf::File;
use crate::error::{Error, Result};
use crate::sphere::Rings;
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

/// Serial: the mask in a file for maps of the sphere, in RING order, which the dotted `key` names. One whose attribute
/// `ORDERING` (`RING`, `NESTED`) or `axes_kinds` says that it is NESTED is put into that order.
pub fn of_sphere(path: &Path, rings: Rings, key: &str) -> Result<Vec<f64>> {
    let refuse = |problem: String, remedy: &str| Error::input(problem).key(key).value(path).remedy(remedy);
    let (shape, mask) = read(path).map_err(|e| e.key(key))?;
    if shape != [rings.pixels()] {
        let of = |n: usize| Some((n / 12).isqrt()).filter(|side| 12 * side * side == n);
        let of = match shape[..] {
            [n] => of(n).map_or(String::new(), |side| format!(", of nside = {side}")),
            _ => String::new(),
        };
        let problem = format!("its array `mask` has shape {shape:?}{of}, and the maps {} pixels", rings.pixels());
        return Err(refuse(problem, "give a mask of the same nside, or change nside"));
    }
    let file = File::open(path)?;
    let kind = file.words("mask", "axes_kinds")?.and_then(|words| words.into_iter().next()).unwrap_or_default();
    let order = match file.text("mask", "ORDERING")?.map(|word| word.trim().to_uppercase()) {
        Some(word) => word,
        None if kind.to_lowercase().ends_with(" nested") => "NESTED".into(),
        None => "RING".into(),
    };
    match order.as_str() {
        "RING" => Ok(mask),
        "NESTED" | "NEST" if !rings.nside().is_power_of_two() => {
            let problem = format!("is in NESTED order, which nside = {} has none of", rings.nside());
            Err(refuse(problem, "give it in RING order, or of an nside that is a power of two"))
        }
        "NESTED" | "NEST" => {
            log::info!("{}: the mask is in NESTED order, and is put into RING order", path.display());
            let mut ring = vec![0.0; mask.len()];
            mask.iter().enumerate().for_each(|(p, m)| ring[rings.of_nested(p)] = *m);
            Ok(ring)
        }
        other => Err(refuse(format!("its attribute ORDERING says {other:?}"), "say RING or NESTED")),
    }
}
