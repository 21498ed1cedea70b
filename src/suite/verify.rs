//! `polycosm verify`: every number of the dataset read again, its checksum compared, NaNs counted.

use crate::comm::{Comm, share};
use crate::error::Result;
use crate::io::dataset::Dataset;
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Simulations of the dataset.
    pub simulations: usize,
    /// Rows of failed simulations.
    pub failed: Vec<u64>,
    /// Why the first of them failed.
    pub reason: Option<String>,
    /// Everything wrong, in the order of the rows.
    pub defects: Vec<Defect>,
}

impl Verification {
    /// True if no defect was found; failed simulations are none.
    pub fn is_sound(&self) -> bool {
        self.defects.is_empty()
    }
}

/// What a shard says of its simulations is what the index says.
fn beside_fields(file: &File, data: &Dataset, rows: Range<usize>) -> Result<()> {
    let (records, p) = (shard::records(file)?, data.prior.len());
    for (row, record) in rows.clone().zip(&records) {
        let theta = data.theta()[row * p..(row + 1) * p].iter().map(|t| t.to_bits());
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

/// Collective: reads the whole dataset of a campaign, each rank its shards.
pub fn verify(comm: &Comm, output: &Path, shard_size: usize) -> Result<Verification> {
    let data = comm.agree(Dataset::open(index::path(output), "theta"))?;
    let (n, specs) = (data.len(), data.specs());
    let (first, mine) = share(n.div_ceil(shard_size), comm.size(), comm.rank());
    let mut defects = vec![];
    for s in first..first + mine {
        let rows = s * shard_size..n.min((s + 1) * shard_size);
        let path = shard::path(output, s);
        let file = File::open(&path);
        let same = file.as_ref().map_err(Clone::clone).and_then(|file| beside_fields(file, &data, rows.clone()));
        defects.extend(same.err().map(|e| Defect {
            field: e.key.clone().unwrap_or_default(),
            index: rows.start as u64,
            problem: e.to_string(),
        }));
        for i in rows.filter(|&i| data.status()[i] == 0) {
            for spec in &specs {
                let read = file.as_ref().map_err(Clone::clone).and_then(|f| shard::read_row(f, spec, i % shard_size));
                let problem = match read {
                    Err(e) => Some(e.to_string()),
                    Ok((data, _)) => {
                        Some(data.not_finite()).filter(|&n| n > 0).map(|n| format!("{n} elements are not finite"))
                    }
                };
                defects.extend(problem.map(|problem| Defect { field: spec.name.clone(), index: i as u64, problem }));
            }
        }
    }
    let defects = (0..comm.size()).flat_map(|r| comm.broadcast_value(r, Some(defects.clone()))).collect();
    let failed: Vec<u64> = (0..n as u64).filter(|&i| data.status()[i as usize] != 0).collect();
    Ok(Verification { simulations: n, failed, reason: data.failure()?, defects })
}
