//! Shards of another size are packed anew: one at a time, from those that have its simulations, which go when theirs all
//! lie where they belong. A folder takes the room of a shard or two beside its own, and killed at any moment the same
//! command goes on: what lies where is what the shards say themselves.

use super::status::{Inventory, State};
use super::{Suite, remove};
use crate::comm::{Comm, stop};
use crate::error::{At, Error, Result};
use crate::io::hdf::{File, appear};
use crate::io::{index, shard, simulation};
use crate::progress::count;
use std::ops::Range;
use std::path::PathBuf;

/// Serial: packs the shards of a folder anew that are not of `m` simulations. Their fields stay as they are.
pub fn repack(suite: &Suite, alone: &Comm, m: usize) -> Result<()> {
    let (output, design) = (suite.output, suite.design);
    let Inventory { states, misplaced: mut others, .. } = Inventory::take(output, design, m)?.sound()?;
    if others.is_empty() {
        return Ok(());
    }
    let them = count(others.len(), "shard");
    log::info!("{them} of another size packed anew, in shards of {}", count(m, "simulation"));
    remove(&index::path(output))?;
    // Out of the way of those that get their names.
    for (path, rows) in &mut others {
        let aside = shard::aside(output, rows);
        std::fs::rename(&*path, &aside).at(&aside)?;
        *path = aside;
    }
    others.sort_by_key(|(_, rows)| (rows.start, rows.end));
    others.dedup(); // two sizes may have ended alike
    let rows: Vec<_> = (0..design.len()).map(|i| design.row(i)).collect();
    for (s, rows) in rows.chunks(m).enumerate() {
        let (path, start, end) = (shard::path(output, s), s * m, s * m + rows.len());
        let of = |other: &&(PathBuf, Range<usize>)| other.1.start < end && other.1.end > start;
        let here: Vec<PathBuf> = others.iter().filter(of).map(|other| other.0.clone()).collect();
        let own = path.exists().then_some(&path);
        let whole = match own {
            Some(path) => shard::records(&File::open(path)?)?.len() >= rows.len(),
            None => false,
        };
        let any = states[start..end].iter().any(|&state| state != State::Missing);
        if !here.is_empty() && any && !whole {
            let from: Vec<PathBuf> = own.into_iter().chain(&here).cloned().collect();
            let fields = |path: &PathBuf| simulation::fields(&File::open(path)?);
            let specs = fields(&from[0])?;
            for other in &from[1..] {
                if fields(other)? != specs {
                    let error = Error::input(format!("has other fields than {}", from[0].display())).file(other);
                    let remedy =
                        "set suite.shard_size back, let `polycosm observe` make all fields alike, then change it";
                    return Err(error.key("suite.shard_size").value(m).remedy(remedy));
                }
            }
            let fields = (&specs[..], suite.config.compression);
            shard::pack(alone, output, (s, rows, &from), fields, suite.provenance, |whole| appear(whole, &path))?;
        }
        for (path, _) in others.extract_if(.., |(_, rows)| rows.end.min(design.len()) <= end) {
            remove(&path)?;
        }
        stop::check(alone, "between two shards")?;
    }
    Ok(())
}
