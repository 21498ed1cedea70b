//! `polycosm verify`: every number of the dataset read again, its checksum compared, NaNs counted.

use super::design::Design;
use super::status::Inventory;
use crate::comm::{Comm, share};
use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, damaged};
use crate::io::{index, shard};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// One defect of one simulation's field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    pub field: String,
    /// Row of the dataset.
    pub index: u64,
    /// What is wrong: a damaged or unreadable file, or how many elements are not finite.
    pub problem: String,
}

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verification {
    /// Simulations of the dataset.
    pub simulations: usize,
    /// Rows of failed simulations.
    pub failed: Vec<u64>,
    /// Why the first of them failed.
    pub reason: Option<String>,
    /// Everything wrong, in the order of the rows.
    pub defects: Vec<Defect>,
    /// Files of other universes than the design has.
    pub strangers: Vec<Error>,
}

impl Verification {
    /// True if no defect was found; failed simulations are none.
    pub fn is_sound(&self) -> bool {
        self.defects.is_empty() && self.strangers.is_empty()
    }
}

/// What a shard says of its simulations is what the index says.
fn beside_fields(file: &File, data: &Dataset, rows: Range<usize>) -> Result<()> {
    let records = shard::records(file)?;
    for (row, record) in rows.clone().zip(&records) {
        let theta = data.theta_of(row).iter().map(|t| t.to_bits());
        let same = theta.eq(record.theta.iter().map(|t| t.to_bits()));
        if !same || record.index != row as u64 || record.status() != data.status()[row] {
            let problem = format!("simulation {row} is another one there than in {}", data.path.display());
            return Err(damaged(file.path(), "theta", problem));
        }
    }
    if records.len() < rows.len() {
        let problem = format!("holds {} simulations, not {}", records.len(), rows.len());
        return Err(damaged(file.path(), "index", problem));
    }
    Ok(())
}

/// Collective: reads the whole dataset of a campaign, each rank its shards, and the same numbers through the index, as
/// users do. The index and every shard have the design's parameters.
pub fn verify(comm: &Comm, output: &Path, design: &Design, shard_size: usize) -> Result<Verification> {
    let data = comm.agree(Dataset::open(index::path(output), "theta"))?;
    let (n, specs) = (data.len(), data.specs());
    let mut strangers = comm.on_root(|| Ok(Inventory::take(output, design, shard_size)?.strangers))?;
    // An index may be of fewer universes, or of more: a design that has grown or shrunk since.
    if data.theta().iter().zip(&design.theta).any(|(is, wanted)| is.to_bits() != wanted.to_bits()) {
        let error = Error::failed("its parameters are not those of the design").file(&data.path).key("theta");
        strangers.push(error.remedy("remove this file and run `polycosm simulate`, which writes it anew"));
    }
    let (first, mine) = share(n.div_ceil(shard_size), comm.size(), comm.rank());
    if !comm.agree(File::open(&data.path).and_then(|f| index::opens(&f, &specs)))? {
        let problem = "links to more shards than a program may usually open: what is beyond reads as NaN";
        let remedy = "remove this file and run `polycosm simulate`, which writes it anew";
        strangers.push(Error::failed(problem).file(&data.path).remedy(remedy));
    }
    let mut defects = vec![];
    for s in first..first + mine {
        let (rows, before) = (s * shard_size..n.min((s + 1) * shard_size), defects.len());
        let path = shard::path(output, s);
        let file = File::open(&path);
        let same = file.as_ref().map_err(Clone::clone).and_then(|file| beside_fields(file, &data, rows.clone()));
        defects.extend(same.err().map(|e| Defect {
            field: e.key.clone().unwrap_or_default(),
            index: rows.start as u64,
            problem: e.to_string(),
        }));
        let defect = |spec: &FieldSpec, row: usize, problem: String| Defect {
            field: spec.name.clone(),
            index: row as u64,
            problem,
        };
        let mut sums = vec![];
        for i in rows.filter(|&i| data.status()[i] == 0) {
            for spec in &specs {
                let read = file.as_ref().map_err(Clone::clone).and_then(|f| shard::read_row(f, spec, i % shard_size));
                match read {
                    Err(e) => defects.push(defect(spec, i, e.to_string())),
                    Ok((stored, _)) if stored.not_finite() > 0 => {
                        let problem = format!("{} elements are not finite", stored.not_finite());
                        defects.push(defect(spec, i, problem));
                    }
                    Ok((_, crc)) => sums.push((spec, i, crc)),
                }
            }
        }
        // HDF5 does not find through the index what this program has open.
        drop(file);
        // What is damaged has been told.
        let sums = if defects.len() == before { sums } else { vec![] };
        for (spec, i, crc) in sums {
            match data.read_data(spec, i) {
                Err(e) => defects.push(defect(spec, i, e.to_string())),
                Ok(seen) if crc32fast::hash(seen.bytes()) == crc => {}
                Ok(_) => {
                    let problem = format!("{} shows other numbers than its shard has", data.path.display());
                    defects.push(defect(spec, i, problem));
                }
            }
        }
    }
    let defects = (0..comm.size()).flat_map(|r| comm.broadcast_value(r, Some(defects.clone()))).collect();
    let failed: Vec<u64> = (0..n as u64).filter(|&i| data.status()[i as usize] != 0).collect();
    Ok(Verification { simulations: n, failed, reason: data.failure()?, defects, strangers })
}
