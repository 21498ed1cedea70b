//! What a campaign's folder holds, told from its files alone: `polycosm status`, and where a run resumes.

use super::Lock;
use super::design::Design;
use crate::calibration::holes::{Holes, holes};
use crate::error::{At, Cause, Error, Result};
use crate::io::hdf::{File, TEMPORARY};
use crate::io::made::Made;
use crate::io::simulation::Record;
pub use crate::io::simulation::State;
use crate::io::{index, shard, simulation};
use crate::progress::count;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

impl Design {
    /// Failed universes worth a word, among those that have run.
    pub fn holes(&self, states: &[State]) -> Option<Holes> {
        let ran: Vec<usize> = (0..self.len().min(states.len())).filter(|&i| states[i] != State::Missing).collect();
        let theta: Vec<f64> = ran.iter().flat_map(|&i| self.row(i).theta).copied().collect();
        holes(&self.prior, &theta, &ran.iter().map(|&i| states[i] == State::Failed).collect::<Vec<_>>())
    }
}

/// State of every simulation of the design, and what of it lies in shards.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inventory {
    /// n.
    pub states: Vec<State>,
    /// When those that a shard has were finished (n); NaN where nobody knows.
    pub times: Vec<f64>,
    /// Per shard: it is there, with all of its simulations in their newest state, be that missing.
    pub packed: Vec<bool>,
    /// Files of single simulations that a shard already holds.
    pub redundant: Vec<u64>,
    /// Simulations that were run again: their files replace rows of shards.
    pub newer: Vec<u64>,
    /// Shards of another size than the campaign's, by the simulations that they have.
    pub misplaced: Vec<(PathBuf, Range<usize>)>,
    /// Files that are there and cannot be read; what they held counts as missing.
    pub damaged: Vec<Error>,
    /// Files of universes that the design does not have (any more).
    pub strangers: Vec<Error>,
}

impl Inventory {
    /// Looks at the files of a campaign.
    pub fn take(output: &Path, design: &Design, shard_size: usize) -> Result<Self> {
        let n = design.len();
        let mut states = vec![State::Missing; n];
        let mut packed = vec![false; n.div_ceil(shard_size)];
        let mut damaged: Vec<Error> = vec![];
        let mut note = |e: Error| damaged.push(remove_it(e));
        let mut strangers: Vec<Error> = vec![];
        // The last universe that the design has no row for.
        let mut beyond: Option<(u64, PathBuf)> = None;
        let mut compare = |path: &Path, records: &[Record]| {
            let (records, more) = records.split_at(records.partition_point(|record| record.index < n as u64));
            let last = more.iter().rfind(|record| record.state != State::Missing).map(|record| record.index);
            if last > beyond.as_ref().map(|(i, _)| *i) {
                beyond = last.map(|i| (i, path.to_path_buf()));
            }
            let remedy = "put the row back (more may follow at the end), give another output, or remove this file and run \
                          `polycosm simulate`, which makes its universes anew";
            let refused = design.check(records).err();
            strangers.extend(refused.map(|e| if e.remedy.is_some() { e } else { e.remedy(remedy) }.file(path)));
        };
        let names = names(&output.join("sims"))?;
        let alone: Vec<usize> = names.iter().filter_map(|f| f.strip_suffix(".h5")?.parse().ok()).collect();
        let mut times = vec![f64::NAN; n];
        let mut misplaced: Vec<(PathBuf, Range<usize>)> = vec![];
        // A shard is where its number says, or of another size. What both have is the same, but the former may have more.
        let mut others = vec![];
        for (path, number) in shard::all(output)? {
            let read = File::open(&path).and_then(|f| Ok((shard::records(&f)?, Made::times(&f)?)));
            let (records, finished) = match read {
                Ok(read) => read,
                Err(e) => {
                    note(e.file(&path));
                    continue;
                }
            };
            compare(&path, &records);
            let first = records.first().map_or(0, |r| r.index as usize);
            let rows = first..first + records.len();
            if number.is_none_or(|s| s * shard_size != first || records.len() > shard_size) {
                misplaced.push((path, rows));
                others.push((first, records, finished));
                continue;
            }
            times.iter_mut().skip(first).zip(finished).for_each(|(time, is)| *time = is);
            let Some(packed) = packed.get_mut(first / shard_size) else { continue };
            let wanted = &mut states[first..n.min(first + shard_size)];
            *packed = records.len() >= wanted.len();
            wanted.iter_mut().zip(records).for_each(|(state, record)| *state = record.state);
        }
        for (first, records, finished) in others {
            for (k, record) in records.iter().enumerate() {
                let i = first + k;
                if i < n && states[i] == State::Missing && record.state != State::Missing {
                    states[i] = record.state;
                    packed[i / shard_size] = false;
                    times[i] = finished.get(k).copied().unwrap_or(f64::NAN);
                }
            }
        }
        let (mut redundant, mut newer) = (vec![], vec![]);
        for i in alone {
            let path = simulation::path(output, i as u64);
            let read = File::open(&path).and_then(|f| Ok((simulation::read(&f)?, Made::times(&f)?)));
            let (record, time) = match read {
                Ok((record, times)) => (record, times.first().copied().unwrap_or(f64::NAN)),
                Err(e) => {
                    note(e.file(&path));
                    continue;
                }
            };
            compare(&path, std::slice::from_ref(&record));
            if i >= n {
                continue;
            }
            let packed_from_it = record.state == states[i] && time.to_bits() == times[i].to_bits();
            match states[i] {
                State::Missing => {}
                _ if packed_from_it => {
                    redundant.push(i as u64);
                    continue;
                }
                _ => newer.push(i as u64),
            }
            states[i] = record.state;
            packed[i / shard_size] = false;
        }
        strangers.extend(beyond.map(|(i, path)| design.beyond(i).file(path)));
        // A file is only redundant where its shard stays; one that is packed anew is read from either.
        redundant.retain(|&i| packed[i as usize / shard_size]);
        Ok(Inventory { states, times, packed, redundant, newer, misplaced, damaged, strangers })
    }

    /// True of a shard of which something is there that it does not have.
    pub fn is_behind(&self, s: usize, rows: Range<usize>) -> bool {
        !self.packed[s] && self.states[rows].iter().any(|&state| state != State::Missing)
    }

    /// Refuses a folder with a file that cannot be read, or of other universes: only its owner may say that it can go.
    pub fn sound(self) -> Result<Self> {
        self.damaged.first().or(self.strangers.first()).cloned().map_or(Ok(self), Err)
    }

    /// Refuses a folder with shards of another size than the campaign's.
    pub fn in_place(self) -> Result<Self> {
        let Some((path, rows)) = self.misplaced.first() else { return Ok(self) };
        let problem = format!("holds {}: a shard of another size", count(rows.len(), "simulation"));
        let remedy = "run `polycosm simulate`, which packs the shards anew, or set the key back";
        Err(Error::input(problem).file(path).key("suite.shard_size").remedy(remedy))
    }

    /// How many simulations are in this state.
    pub fn count(&self, state: State) -> usize {
        self.states.iter().filter(|&&s| s == state).count()
    }
}

/// The remedy for what only this program writes.
fn remove_it(e: Error) -> Error {
    let kind = if e.kind == Cause::Input { Cause::Failed } else { e.kind };
    // Not for one that is closed to us: that may be whole.
    let remedy = match e.file.as_ref().map(std::fs::File::open) {
        Some(Ok(_)) => Some("remove this file and run `polycosm simulate`: it remakes what was in it".into()),
        _ => e.remedy,
    };
    Error { kind, remedy, ..e }
}

/// Names of the files in a folder, sorted; none if it is not there.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let entries = std::fs::read_dir(folder).at(folder)?.collect::<std::io::Result<Vec<_>>>().at(folder)?;
    let mut names: Vec<_> = entries.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// `polycosm status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Simulations of the design.
    pub total: usize,
    pub done: usize,
    pub failed: usize,
    /// Simulations being run now; 0 if no job works on this campaign.
    pub running: usize,
    /// Whole shards, and how many there will be.
    pub shards: [usize; 2],
    /// The index has all of them: the dataset is complete.
    pub dataset: bool,
    /// Simulations that the index has, and how many of these failed; none: there is no index.
    pub indexed: Option<[usize; 2]>,
    /// Shards of another size than the campaign's.
    pub misplaced: usize,
    /// Files that cannot be read, why, and what to do.
    pub damaged: Vec<String>,
    /// Files of universes that the design does not have (any more), and what to do.
    pub strangers: Vec<String>,
    /// State of every simulation (n).
    #[serde(skip)]
    pub states: Vec<State>,
    /// Simulations per second, from the times of the files of those not yet packed.
    pub rate: Option<f64>,
    /// Seconds until all are done, at that rate; only while a job works on it.
    pub eta: Option<f64>,
}

/// Looks at the files of a campaign; changes nothing.
pub fn status(output: &Path, design: &Design, shard_size: usize) -> Result<Status> {
    let n = design.len();
    let mut inventory = Inventory::take(output, design, shard_size)?;
    let sims = output.join("sims");
    let files = names(&sims)?;
    let active = Lock::held_elsewhere(output);
    let running = files.iter().filter(|f| f.ends_with(&format!(".running{TEMPORARY}"))).count() * active as usize;
    let mut times: Vec<SystemTime> = files
        .iter()
        .filter(|f| f.ends_with(".h5"))
        .filter_map(|f| std::fs::metadata(sims.join(f)).and_then(|m| m.modified()).ok())
        .collect();
    times.sort();
    let span = times.first().zip(times.last()).and_then(|(a, b)| b.duration_since(*a).ok()).map(|d| d.as_secs_f64());
    let rate = span.filter(|&s| s > 0.0).map(|s| (times.len() - 1) as f64 / s);
    let (done, failed) = (inventory.count(State::Finished), inventory.count(State::Failed));
    let eta = rate.filter(|_| active).map(|r| (n - done - failed) as f64 / r);
    let index = index::path(output);
    let indexed = if index.exists() { File::open(&index).and_then(|f| index::states(&f)) } else { Ok(vec![]) };
    let indexed = indexed.unwrap_or_else(|e| {
        inventory.damaged.push(remove_it(e.file(&index)));
        vec![]
    });
    let dataset = done + failed == n && indexed == inventory.states && inventory.strangers.is_empty();
    let of = |state: State| indexed.iter().filter(|&&s| s == state).count();
    let indexed = (!indexed.is_empty()).then(|| [of(State::Finished) + of(State::Failed), of(State::Failed)]);
    let texts = |errors: &[Error]| errors.iter().map(Error::to_string).collect();
    let (damaged, strangers) = (texts(&inventory.damaged), texts(&inventory.strangers));
    let whole = |s: &usize| {
        let mut here = inventory.states[s * shard_size..n.min((s + 1) * shard_size)].iter();
        inventory.packed[*s] && here.all(|&state| state != State::Missing)
    };
    let shards = [(0..inventory.packed.len()).filter(whole).count(), inventory.packed.len()];
    let (states, misplaced) = (inventory.states, inventory.misplaced.len());
    Ok(Status {
        total: n,
        done,
        failed,
        running,
        shards,
        dataset,
        indexed,
        misplaced,
        damaged,
        strangers,
        states,
        rate,
        eta,
    })
}
