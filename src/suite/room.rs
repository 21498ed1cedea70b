//! Whether the disk of a campaign's folder has the room for what is still to be written.

use crate::error::{Error, Result};
use crate::io::field::FieldSpec;
use crate::io::index;
use crate::progress::count;
use crate::simulators::budget::size;
use std::path::Path;

/// Bytes of one universe in the dataset, lists not counted.
pub fn of_fields(specs: &[FieldSpec]) -> u64 {
    specs.iter().fold(0u64, |all, s| all.saturating_add(s.bytes()))
}

/// Bytes that so many universes take which are still to be simulated, of `n` in shards of `m`, each with so many `kept`
/// beside the dataset: their fields, twice while a shard is packed; and copies of all fields in an index of many shards.
pub fn of_universes(simulations: usize, (n, m): (usize, usize), specs: &[FieldSpec], kept: u64) -> u64 {
    let each = of_fields(specs);
    let copies = if n.div_ceil(m) > index::MOST_LINKS { n } else { 0 };
    let fields = each.saturating_mul((simulations + simulations.min(m) + copies) as u64);
    if simulations == 0 { 0 } else { fields.saturating_add(kept.saturating_mul(simulations as u64)) }
}

/// Refuses to write so many bytes for so many simulations where the file system of the folder, or of the nearest one
/// that is there, has fewer; nothing where it does not tell.
pub fn check(output: &Path, simulations: usize, bytes: u64, specs: &[FieldSpec]) -> Result<()> {
    let absolute = std::path::absolute(output).unwrap_or_else(|_| output.to_path_buf());
    let there = absolute.ancestors().find(|folder| folder.is_dir());
    let Some(told) = there.and_then(|folder| rustix::fs::statvfs(folder).ok()) else { return Ok(()) };
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    if bytes <= free {
        return Ok(());
    }
    let lists = if specs.iter().any(|spec| spec.ragged) { ", lists not counted" } else { "" };
    let (what, bytes, free) = (count(simulations, "simulation"), size(bytes), size(free));
    let problem = format!("{what} still to be written there take about {bytes}{lists}, and {free} are free");
    let error = Error::input(problem).key("output").value(output.display().to_string());
    Err(error.remedy("give an output on a larger disk, free some space, or keep fewer fields or universes"))
}
