//! Single simulations become shards, and shards a dataset: while others simulate, and at the end.

use super::status::{Inventory, State};
use super::{Suite, remove};
use crate::comm::{Comm, share};
use crate::error::{At, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, TEMPORARY, appear};
use crate::io::made::Made;
use crate::io::shard::Row;
use crate::io::{index, prior, shard, simulation};
use crate::prior::DrawnFrom;
use std::cell::Cell;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The index is not renewed sooner while simulations run.
const RENEW: Duration = Duration::from_secs(30);
/// Nor sooner than so many times what it took to write; and what is replaced with shards takes no larger part of the
/// time, but for the first seconds.
const RARELY: u32 = 20;
/// These.
const FIRST: Duration = Duration::from_secs(10);

/// Packs what the groups of a suite simulate.
pub struct Packer<'a> {
    suite: &'a Suite<'a>,
    /// This rank.
    alone: &'a Comm,
    specs: &'a [FieldSpec],
    /// Simulations in a shard.
    m: usize,
    rows: Vec<Row<'a>>,
    /// Where the simulations stood when the run began (n).
    before: Vec<State>,
    /// Those that it runs (n).
    pending: Vec<bool>,
    /// Some shards have other fields: there is no index before all are alike.
    pub mixed: bool,
    began: Instant,
    /// What it took to replace the index together with shards.
    spent: Cell<Duration>,
}

impl<'a> Packer<'a> {
    pub fn new(suite: &'a Suite, alone: &'a Comm, specs: &'a [FieldSpec], before: Vec<State>, pending: &[u64]) -> Self {
        let rows = (0..suite.design.len()).map(|i| suite.design.row(i)).collect();
        let mut runs = vec![false; before.len()];
        pending.iter().for_each(|&i| runs[i as usize] = true);
        let m = suite.config.shard_size.simulations(specs);
        let (began, spent) = (Instant::now(), Cell::new(Duration::ZERO));
        Packer { suite, alone, specs, m, rows, before, pending: runs, mixed: false, began, spent }
    }

    /// Serial: what is run again goes first, so that what is there later is new; an index of another design is renewed, or
    /// of shards that a killed run replaced, which have finished their simulations at other `times` (n).
    pub fn begin(&self, times: &[f64]) -> Result<()> {
        let again = (0..self.before.len()).filter(|&i| self.pending[i] && self.before[i] != State::Missing);
        again.map(|i| simulation::path(self.suite.output, i as u64)).try_for_each(|path| remove(&path))?;
        let path = self.index();
        let is_of = |index: File| self.shows(&index, times);
        if path.exists() && !File::open(&path).and_then(is_of).unwrap_or(false) && !self.renew(None)? {
            remove(&path)?;
        }
        Ok(())
    }

    /// Serial: true if what an index shows is what is there. Shards that came since are not shown.
    fn shows(&self, index: &File, times: &[f64]) -> Result<bool> {
        let Some(states) = self.index_of(index)? else { return Ok(false) };
        let (then, lists) = (Made::times(index)?, self.specs.iter().any(|spec| spec.ragged));
        let same = |i: usize| then.get(i).is_none_or(|time| time.to_bits() == times[i].to_bits());
        let here = |s: usize| {
            let shown = |&i: &usize| states[i] != State::Missing;
            // Lists move where others come into their shard.
            let any = lists && self.within(s).any(|i| shown(&i));
            self.within(s).filter(|i| any || shown(i)).all(same)
        };
        Ok((0..self.rows.len().div_ceil(self.m)).all(here))
    }

    /// Collective over a group that has simulated `i`: packs the shard of which that was the last one, and renews the
    /// index where that is due.
    pub fn follow(&self, group: &Comm, i: usize) -> Result<()> {
        let (s, output) = (i / self.m, self.suite.output);
        let claim = output.join(format!("sims/{s:05}.packing{TEMPORARY}"));
        let mine = group.on_root(|| {
            let waits = |k: usize| self.pending[k] || self.before[k] == State::Missing;
            let there = |k: usize| !waits(k) || simulation::path(output, k as u64).exists();
            // The last one is the last to be there, most often.
            match self.within(s).rev().all(there) {
                true => taken(&claim),
                false => Ok(false),
            }
        })?;
        if mine {
            let replaces = self.within(s).any(|k| self.pending[k] && self.before[k] != State::Missing);
            let packed = self.pack(group, s, replaces);
            let freed = group.on_root(|| remove(&claim));
            packed.and(freed)?;
        }
        group.on_root(|| {
            if !self.is_due(mine) || !taken(&self.claim())? {
                return Ok(());
            }
            let renewed = self.renew(None);
            remove(&self.claim()).and(renewed.map(drop))
        })
    }

    /// Collective: packs what is not packed yet, removes what shards hold elsewhere, and renews the index if it is behind.
    /// Shards that have other fields are left as they are. True if all is there.
    pub fn finish(&mut self, comm: &Comm) -> Result<bool> {
        let (inventory, outdated) = comm.on_root(|| {
            let inventory = Inventory::take(self.suite.output, self.suite.design, self.m)?.sound()?;
            inventory.redundant.iter().try_for_each(|&i| remove(&simulation::path(self.suite.output, i)))?;
            let outdated = if self.mixed { self.suite.outdated(&inventory.states, self.specs)?.rows } else { vec![] };
            Ok((inventory, outdated))
        })?;
        self.mixed = !outdated.is_empty();
        let waits = |s: usize| outdated.iter().any(|&i| self.within(s).contains(&(i as usize)));
        let behind: Vec<usize> =
            (0..inventory.packed.len()).filter(|&s| inventory.is_behind(s, self.within(s)) && !waits(s)).collect();
        let replaces = |s: usize| inventory.newer.iter().any(|&i| self.within(s).contains(&(i as usize)));
        self.pack_all(comm, &behind, replaces)?;
        comm.on_root(|| {
            let states = File::open(&self.index()).and_then(|f| self.index_of(&f)).unwrap_or(None);
            let any = inventory.states.iter().any(|&state| state != State::Missing);
            let due = any && states.as_ref() != Some(&inventory.states);
            if due { self.renew(None).map(drop) } else { Ok(()) }
        })?;
        Ok(inventory.states.iter().all(|&state| state != State::Missing))
    }

    /// Collective: packs these shards. `replaces`: rows of one that an index may show become others.
    pub fn pack_all(&self, comm: &Comm, shards: &[usize], replaces: impl Fn(usize) -> bool) -> Result<()> {
        // As many groups as there are shards, or ranks: a rank alone is the faster writer.
        let groups = shards.len().min(comm.size());
        if groups > 0 {
            let mine = (0..groups).find(|&g| {
                let (start, len) = share(comm.size(), groups, g);
                (start..start + len).contains(&comm.rank())
            });
            let group = comm.split(mine, comm.rank());
            let pack = |group: &Comm, g: usize| -> Result<()> {
                shards.iter().skip(g).step_by(groups).try_for_each(|&s| self.pack(group, s, replaces(s)))
            };
            comm.agree(group.zip(mine).map_or(Ok(()), |(group, g)| pack(&group, g)))?;
        }
        Ok(())
    }

    fn within(&self, s: usize) -> Range<usize> {
        s * self.m..self.rows.len().min((s + 1) * self.m)
    }

    fn index(&self) -> PathBuf {
        index::path(self.suite.output)
    }

    /// Collective over a group: packs a shard, and removes the files that it was packed from. `replaces`: rows that an
    /// index may show become others.
    fn pack(&self, group: &Comm, s: usize, replaces: bool) -> Result<()> {
        let (output, within) = (self.suite.output, self.within(s));
        let (rows, path) = (&self.rows[within.clone()], shard::path(output, s));
        let specs = (self.specs, self.suite.config.compression);
        // Lists move in a shard that gets more of them.
        let replaces = replaces || self.specs.iter().any(|spec| spec.ragged) && path.exists();
        shard::pack(group, output, (s, rows, &[]), specs, self.suite.provenance, |whole| {
            match replaces && self.index().exists() {
                true => self.replace(s, whole),
                false => appear(whole, &path),
            }
        })?;
        group.on_root(|| within.into_iter().try_for_each(|i| remove(&simulation::path(output, i as u64))))
    }

    /// Serial: brings a shard to its place together with an index that shows it. Where the fields are not all alike, or
    /// writing an index is dear, there is none until all are packed.
    fn replace(&self, s: usize, whole: &Path) -> Result<()> {
        while !taken(&self.claim())? {
            std::thread::sleep(Duration::from_millis(10)); // another group renews it
        }
        let start = Instant::now();
        let dear = self.spent.get() + index::took(self.suite.output) > FIRST + self.began.elapsed() / RARELY;
        let placed = match self.mixed || dear {
            true => Ok(false),
            false => self.renew(Some((s, whole))),
        };
        self.spent.set(self.spent.get() + start.elapsed());
        let placed = placed.and_then(|placed| match placed {
            true => Ok(()),
            false => remove(&self.index()).and_then(|()| appear(whole, &shard::path(self.suite.output, s))),
        });
        remove(&self.claim()).and(placed)
    }

    /// Serial: what an index says of its universes, if it is of this design, says alike how that was drawn and what its
    /// universes are for, has these fields, and may be opened by an ordinary program.
    fn index_of(&self, index: &File) -> Result<Option<Vec<State>>> {
        let said = index.text("theta", "drawn_from")?;
        let drawn = DrawnFrom::named(said.as_deref()) == self.suite.design.drawn_from;
        let split = self.rows.iter().map(|row| row.split).eq(index.read::<u8>("split")?);
        let derived = prior::same_derived(&prior::derived(index)?, &self.suite.design.prior.derived);
        let passed_over = index::passed_over(index)? == self.suite.design.passed_over;
        let fields = index.json::<Vec<FieldSpec>>("", "fields")?.as_deref() == Some(self.specs);
        let same = drawn
            && split
            && fields
            && derived
            && passed_over
            && index.read::<f64>("theta")? == self.suite.design.theta;
        let same = same && index::opens(index, self.specs)?;
        if same { index::states(index).map(Some) } else { Ok(None) }
    }

    /// True if shards were `packed`, or came since the index was written, and that is a while ago.
    fn is_due(&self, packed: bool) -> bool {
        let time = |path: PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        let Some(written) = time(self.index()) else { return packed };
        let newer = time(self.suite.output.join("shards")).is_some_and(|shards| shards > written);
        let age = written.elapsed().unwrap_or_default();
        newer && age > RENEW && age > index::took(self.suite.output) * RARELY
    }

    /// Serial: writes the index of the shards that there are, with which a `new` one comes to its place; false where there
    /// is no shard, or fields are not alike.
    fn renew(&self, new: Option<(usize, &Path)>) -> Result<bool> {
        let output = self.suite.output;
        if self.mixed || shard::all(output)?.is_empty() {
            return Ok(false);
        }
        let mut pieces = index::pieces(output, self.rows.len(), self.m);
        if let Some((s, whole)) = new {
            let rows = self.within(s);
            pieces.retain(|piece| piece.rows.start != rows.start);
            pieces.push(index::Piece { path: whole.to_path_buf(), name: shard::relative(s), rows });
            pieces.sort_by_key(|piece| piece.rows.start);
        }
        let linked = self.rows.len().div_ceil(self.m) <= index::MOST_LINKS;
        let place = || new.map_or(Ok(()), |(s, whole)| appear(whole, &shard::path(output, s)));
        self.suite.index(self.alone, &self.rows, (&pieces, linked), self.specs, place)?;
        Ok(true)
    }

    /// There while a group writes the index.
    fn claim(&self) -> PathBuf {
        self.suite.output.join(format!("sims/index{TEMPORARY}"))
    }
}

/// True for the first that takes a file of this name, which nobody has made yet.
fn taken(claim: &Path) -> Result<bool> {
    match std::fs::OpenOptions::new().write(true).create_new(true).open(claim) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|_| true).at(claim),
    }
}
