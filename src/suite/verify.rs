//! `polycosm verify`: every number of the dataset read again, its checksum compared, NaNs counted.

use super::design::Design;
use super::status::{Inventory, State};
use crate::comm::{Comm, share};
use crate::error::{Error, Result, campaign};
use crate::io::dataset::Dataset;
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, damaged};
use crate::io::{index, shard};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// What can be done about a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mend {
    /// Run that simulation again.
    Redo,
    /// Remove its shard, which cannot be read or tells of other simulations.
    Shard,
    /// Remove the index.
    Index,
}

/// One defect of one simulation's field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    pub field: String,
    pub mend: Mend,
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
    /// Of these, how many are not there yet.
    pub missing: usize,
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
    /// What to do about the defects, in words.
    pub fn remedy(&self) -> String {
        let of = |mend: Mend| self.defects.iter().filter(move |d| d.mend == mend);
        let mut rows: Vec<u64> = of(Mend::Redo).map(|d| d.index).collect();
        rows.dedup();
        let ranges = rows.chunk_by(|a, b| a + 1 == *b).map(|rows| match rows {
            [row] => row.to_string(),
            rows => format!("{}..{}", rows[0], rows[rows.len() - 1]),
        });
        let (campaign, ranges) = (campaign(), ranges.collect::<Vec<_>>().join(","));
        let redo =
            format!("`polycosm simulate {campaign} --redo {ranges}` makes these simulations again, and no others");
        let remake = format!("remove the shards named above and run `polycosm simulate {campaign}`: it remakes them");
        let renew = format!("remove the index and run `polycosm simulate {campaign}`, which writes it anew");
        let all = [(Mend::Shard, remake), (Mend::Redo, redo), (Mend::Index, renew)];
        let due: Vec<String> =
            all.into_iter().filter(|(mend, _)| of(*mend).next().is_some()).map(|(_, what)| what).collect();
        due.join("; then ")
    }

    /// True if no defect was found; failed simulations are none.
    pub fn is_sound(&self) -> bool {
        self.defects.is_empty() && self.strangers.is_empty()
    }
}

/// What a shard says of its simulations is what the index says of those that it has.
fn beside_fields(file: &File, data: &Dataset, rows: Range<usize>) -> Result<()> {
    let records = shard::records(file)?;
    let there = |row: usize| data.status()[row] != State::Missing as u8;
    for (row, record) in rows.clone().zip(&records).filter(|(row, _)| there(*row)) {
        let theta = data.theta_of(row).iter().map(|t| t.to_bits());
        let same = theta.eq(record.theta.iter().map(|t| t.to_bits()));
        if !same || record.index != row as u64 || record.state as u8 != data.status()[row] {
            let problem = format!("simulation {row} is another one there than in {}", data.path.display());
            return Err(damaged(file.path(), "theta", problem));
        }
    }
    if rows.clone().skip(records.len()).any(there) {
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
    let mut strangers = comm.on_root(|| Ok(Inventory::take(output, design, shard_size)?.in_place()?.strangers))?;
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
    let defect = |spec: &FieldSpec, mend: Mend, row: usize, problem: String| Defect {
        field: spec.name.clone(),
        mend,
        index: row as u64,
        problem,
    };
    let (mut defects, mut sums) = (vec![], vec![]);
    for s in first..first + mine {
        let rows = s * shard_size..n.min((s + 1) * shard_size);
        if rows.clone().all(|i| data.status()[i] == State::Missing as u8) {
            continue;
        }
        let path = shard::path(output, s);
        let file = File::open(&path);
        let file = match file.and_then(|file| beside_fields(&file, &data, rows.clone()).map(|()| file)) {
            Ok(file) => file,
            Err(e) => {
                let (field, index) = (e.key.clone().unwrap_or_default(), rows.start as u64);
                defects.push(Defect { field, mend: Mend::Shard, index, problem: e.to_string() });
                continue;
            }
        };
        for i in rows.filter(|&i| data.status()[i] == 0) {
            for spec in &specs {
                match shard::read_row(&file, spec, i % shard_size) {
                    Err(e) => {
                        defects.push(defect(spec, Mend::Redo, i, format!("{}: {}", path.display(), e.problem)));
                    }
                    Ok((stored, _)) if stored.not_finite() > 0 => {
                        let problem = format!("{} elements are not finite", stored.not_finite());
                        defects.push(defect(spec, Mend::Redo, i, problem));
                    }
                    Ok((_, crc)) => sums.push((spec, i, crc)),
                }
            }
        }
    }
    // Through the index nothing is seen where a shard is damaged, which has been told.
    if comm.any(defects.iter().any(|d: &Defect| d.mend == Mend::Shard)) {
        sums.clear();
    }
    for (spec, i, crc) in sums {
        match data.read_data(spec, i) {
            Err(e) => defects.push(defect(spec, Mend::Index, i, e.problem)),
            Ok(seen) if crc32fast::hash(seen.bytes()) == crc => {}
            Ok(_) => {
                let problem = format!("{} shows other numbers than its shard has", data.path.display());
                defects.push(defect(spec, Mend::Index, i, problem));
            }
        }
    }
    let defects = (0..comm.size()).flat_map(|r| comm.broadcast_value(r, Some(defects.clone()))).collect();
    let of = |state: State| (0..n as u64).filter(|&i| data.status()[i as usize] == state as u8).collect::<Vec<_>>();
    let (failed, missing) = (of(State::Failed), of(State::Missing).len());
    Ok(Verification { simulations: n, missing, failed, reason: data.failure()?, defects, strangers })
}
