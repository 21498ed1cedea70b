//! What stands in the files that universes are made from.

use crate::error::Result;
use crate::io::identity::{DIGITS, digest_of_file};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Digests of input files, for a shape's `files`.
pub fn digests(files: &[(String, Vec<PathBuf>)]) -> Result<Value> {
    let digest = |path: &PathBuf| -> Result<Value> { Ok(digest_of_file(path)?[..DIGITS].into()) };
    let of = |(place, paths): &(String, Vec<PathBuf>)| {
        Ok((place.clone(), Value::Array(paths.iter().map(digest).collect::<Result<_>>()?)))
    };
    Ok(Value::Object(files.iter().map(of).collect::<Result<Map<_, _>>>()?))
}

/// Digests of what universes are made from, at one place: one file for all of them, or one for each.
pub struct Contents<'a> {
    pub digests: &'a [Value],
    /// The name has the simulation's number in it.
    pub each: bool,
}

impl<'a> Contents<'a> {
    pub fn of(shape: &'a Value, place: &str) -> Self {
        let digests = shape["files"][place].as_array().map_or(&[][..], |list| &list[..]);
        let name = shape.pointer(place).and_then(Value::as_str).unwrap_or("");
        Contents { digests, each: digests.len() > 1 || name.contains("{index") }
    }

    /// Simulation `i`'s, where it is known.
    pub fn get(&self, i: usize) -> Option<&Value> {
        self.digests.get(if self.each { i } else { 0 })
    }

    /// What is said of all universes is more than what is said of some, which is more the longer the list.
    pub fn say_more_than(&self, other: &Self) -> bool {
        match (self.each, other.each) {
            (false, each) => each && !self.digests.is_empty(),
            (true, each) => each && self.digests.len() > other.digests.len(),
        }
    }
}
