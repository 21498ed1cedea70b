//! Shards of another size are packed anew: one at a time, from those that have its simulations, which go when theirs all
//! lie where they belong. A folder takes the room of a shard or two and a twentieth of its own beside it, and killed at
//! any moment the same command goes on: what lies where is what the shards say themselves. The index shows all
//! simulations meanwhile, wherever they lie.

use super::status::{Inventory, State};
use super::{Suite, remove};
use crate::comm::{Comm, stop};
use crate::error::{At, Error, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, appear};
use crate::io::index::{self, MOST_LINKS, Piece};
use crate::io::shard::{self, Row};
use crate::io::simulation;
use crate::progress::count;
use std::ops::Range;
use std::path::PathBuf;

/// The index is renewed when more than one in so many shards wait to be removed, for it to let go of them.
const RENEWALS: usize = 20;

/// A shard of another size.
struct Other {
    path: PathBuf,
    /// Its simulations, and which of them it has.
    rows: Range<usize>,
    there: Vec<bool>,
}

impl Other {
    fn overlaps(&self, rows: &Range<usize>) -> bool {
        self.rows.start < rows.end && self.rows.end > rows.start
    }

    fn has(&self, i: usize) -> bool {
        self.rows.contains(&i) && self.there[i - self.rows.start]
    }
}

/// What is packed anew, and how far.
struct Repacking<'a> {
    suite: &'a Suite<'a>,
    alone: &'a Comm,
    rows: Vec<Row<'a>>,
    m: usize,
    others: Vec<Other>,
    /// Shards that are as they will be.
    placed: Vec<bool>,
    /// The fields that all have; none where they are not all alike, and there is no index.
    specs: Option<Vec<FieldSpec>>,
}

/// Serial: packs the shards of a folder anew that are not of `m` simulations. Their fields stay as they are.
pub fn repack(suite: &Suite, alone: &Comm, m: usize) -> Result<()> {
    let (output, n) = (suite.output, suite.design.len());
    let Inventory { states, misplaced, .. } = Inventory::take(output, suite.design, m)?.sound()?;
    if misplaced.is_empty() {
        return Ok(());
    }
    let them = count(misplaced.len(), "shard");
    log::info!("{them} of another size packed anew, in shards of {}", count(m, "simulation"));
    let rows = (0..n).map(|i| suite.design.row(i)).collect();
    let mut all = Repacking { suite, alone, rows, m, others: vec![], placed: vec![], specs: None };
    all.look(misplaced)?;
    all.put_aside()?;
    let most = all.others.len() / RENEWALS;
    // Those whose simulations all lie where they belong.
    let mut over: Vec<PathBuf> = vec![];
    for s in 0..n.div_ceil(m) {
        let within = all.within(s);
        if !all.placed[s] && states[within.clone()].iter().any(|&state| state != State::Missing) {
            all.pack(s)?;
        }
        over.extend(all.others.extract_if(.., |other| other.rows.end.min(n) <= within.end).map(|other| other.path));
        if over.len() > most || all.others.is_empty() && !over.is_empty() {
            all.index(|| Ok(()))?;
            over.drain(..).try_for_each(|path| remove(&path))?;
        }
        stop::check(alone, "between two shards")?;
    }
    Ok(())
}

impl Repacking<'_> {
    fn within(&self, s: usize) -> Range<usize> {
        s * self.m..self.rows.len().min((s + 1) * self.m)
    }

    /// Reads what the shards have. One that lies where it belongs, but has fewer rows than the others could give it, is
    /// one of these.
    fn look(&mut self, misplaced: Vec<(PathBuf, Range<usize>)>) -> Result<()> {
        let mut fields: Vec<Vec<FieldSpec>> = vec![];
        let mut read = |path: &PathBuf| -> Result<Vec<bool>> {
            let file = File::open(path)?;
            let specs = simulation::fields(&file)?;
            if !fields.contains(&specs) {
                fields.push(specs);
            }
            Ok(shard::records(&file)?.iter().map(|record| record.state != State::Missing).collect())
        };
        for (path, rows) in misplaced {
            let there = read(&path)?;
            self.others.push(Other { path, rows, there });
        }
        for s in 0..self.rows.len().div_ceil(self.m) {
            let (path, within) = (shard::path(self.suite.output, s), self.within(s));
            let mut placed = path.exists() && self.others.iter().all(|other| other.path != path);
            if placed {
                let there = read(&path)?;
                if there.len() < within.len() && self.others.iter().any(|other| other.overlaps(&within)) {
                    let rows = within.start..within.start + there.len();
                    self.others.push(Other { path, rows, there });
                    placed = false;
                }
            }
            self.placed.push(placed);
        }
        self.specs = fields.pop().filter(|_| fields.is_empty());
        Ok(())
    }

    /// Out of the way of those that get their names.
    fn put_aside(&mut self) -> Result<()> {
        let output = self.suite.output;
        self.others.sort_by_key(|other| (other.rows.start, other.rows.end));
        self.index(|| {
            self.hide()?;
            self.others.iter().try_for_each(|other| {
                let aside = shard::aside(output, &other.rows);
                std::fs::rename(&other.path, &aside).at(&aside)
            })
        })?;
        self.others.iter_mut().for_each(|other| other.path = shard::aside(output, &other.rows));
        self.others.dedup_by(|a, b| a.path == b.path); // two sizes may have ended alike
        Ok(())
    }

    /// Packs a shard from those that have any of its simulations.
    fn pack(&mut self, s: usize) -> Result<()> {
        let (output, within) = (self.suite.output, self.within(s));
        let here = self.others.iter().filter(|other| other.overlaps(&within));
        let from: Vec<PathBuf> = here.map(|other| other.path.clone()).collect();
        let fields = |path: &PathBuf| simulation::fields(&File::open(path)?);
        let Some(first) = from.first() else { return Ok(()) };
        let specs = fields(first)?;
        for other in &from[1..] {
            if fields(other)? != specs {
                let error = Error::input(format!("has other fields than {}", first.display())).file(other);
                let remedy = "set suite.shard_size back, let `polycosm observe` make all fields alike, then change it";
                return Err(error.key("suite.shard_size").value(self.m).remedy(remedy));
            }
        }
        let fields = (&specs[..], self.suite.config.compression);
        let (path, rows) = (shard::path(output, s), &self.rows[within]);
        shard::pack(self.alone, output, (s, rows, &from), fields, self.suite.provenance, |whole| appear(whole, &path))?;
        self.placed[s] = true;
        Ok(())
    }

    /// Removes an index that looks for shards where they will be no more.
    fn hide(&self) -> Result<()> {
        let path = index::path(self.suite.output);
        let copy = File::open(&path).and_then(|file| index::is_a_copy(&file)).unwrap_or(false);
        if copy { Ok(()) } else { remove(&path) }
    }

    /// Writes the index of what lies where now, and by `place` will lie. Where fields are not alike, or an index cannot
    /// link to so many shards, there is none but one that has copies.
    fn index(&self, place: impl FnOnce() -> Result<()>) -> Result<()> {
        let (output, shards) = (self.suite.output, self.placed.len());
        let mut pieces: Vec<Piece> = vec![];
        for s in 0..shards {
            let within = self.within(s);
            if self.placed[s] {
                pieces.push(Piece { path: shard::path(output, s), name: shard::relative(s), rows: within });
                continue;
            }
            let here: Vec<&Other> = self.others.iter().filter(|other| other.overlaps(&within)).collect();
            for i in within {
                let Some(other) = here.iter().find(|other| other.has(i)) else { continue };
                match pieces.last_mut().filter(|last| last.path == other.path && last.rows.end == i) {
                    Some(last) => last.rows.end += 1,
                    None => {
                        let name = shard::relative_aside(&other.rows);
                        pieces.push(Piece { path: other.path.clone(), name, rows: i..i + 1 });
                    }
                }
            }
        }
        match &self.specs {
            Some(specs) if pieces.len().max(shards) <= MOST_LINKS => {
                self.suite.index(self.alone, &self.rows, (&pieces, true), specs, place)
            }
            _ => self.hide().and_then(|()| place()),
        }
    }
}
