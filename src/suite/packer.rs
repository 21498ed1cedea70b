//! Single simulations become shards, and shards a dataset: while others simulate, and at the end.

use super::status::{self, Inventory, State};
use super::{Suite, remove};
use crate::comm::{Comm, share};
use crate::error::{At, Result};
use crate::io::field::FieldSpec;
use crate::io::hdf::{File, TEMPORARY};
use crate::io::shard::Row;
use crate::io::{index, shard, simulation};
use crate::prior::DrawnFrom;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The index is not renewed sooner while simulations run.
const RENEW: Duration = Duration::from_secs(30);
/// Nor sooner than so many times what it took to write.
const RARELY: u32 = 20;

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
    /// What the index took to write.
    took: Duration,
}

impl<'a> Packer<'a> {
    pub fn new(suite: &'a Suite, alone: &'a Comm, specs: &'a [FieldSpec], before: Vec<State>, pending: &[u64]) -> Self {
        let rows = (0..suite.design.len()).map(|i| suite.design.row(i)).collect();
        let mut runs = vec![false; before.len()];
        pending.iter().for_each(|&i| runs[i as usize] = true);
        let m = suite.config.shard_size.simulations(specs);
        Packer { suite, alone, specs, m, rows, before, pending: runs, mixed: false, took: Duration::ZERO }
    }

    /// Serial: what is run again goes first, so that what is there later is new; an index of another design is renewed.
    pub fn begin(&mut self) -> Result<()> {
        let again = (0..self.before.len()).filter(|&i| self.pending[i] && self.before[i] != State::Missing);
        again.map(|i| simulation::path(self.suite.output, i as u64)).try_for_each(|path| remove(&path))?;
        let other = |index: File| Ok(self.index_of(&index)?.is_none());
        let path = self.index();
        if path.exists() && File::open(&path).and_then(other).unwrap_or(true) {
            remove(&path)?;
            return self.renew();
        }
        Ok(())
    }

    /// Collective over a group that has simulated `i`: packs the shard of which that was the last one, and renews the
    /// index where that is due.
    pub fn follow(&mut self, group: &Comm, i: usize) -> Result<()> {
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
            let claim = output.join(format!("sims/index{TEMPORARY}"));
            if !self.is_due(mine) || !taken(&claim)? {
                return Ok(());
            }
            let renewed = self.renew();
            remove(&claim).and(renewed)
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
            if due { self.renew() } else { Ok(()) }
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
        let rows = &self.rows[within.clone()];
        let specs = (self.specs, self.suite.config.compression);
        shard::pack(group, output, (s, rows, &[]), specs, self.suite.provenance, || {
            // Lists move in a shard that gets more of them.
            let moves = self.specs.iter().any(|spec| spec.ragged) && shard::path(output, s).exists();
            if replaces || moves { remove(&self.index()) } else { Ok(()) }
        })?;
        group.on_root(|| within.into_iter().try_for_each(|i| remove(&simulation::path(output, i as u64))))
    }

    /// Serial: what an index says of its universes, if it is of this design, says alike how that was drawn and what its
    /// universes are for, has these fields, and may be opened by an ordinary program.
    fn index_of(&self, index: &File) -> Result<Option<Vec<State>>> {
        let said = index.text("theta", "drawn_from")?;
        let drawn = DrawnFrom::named(said.as_deref()) == self.suite.design.drawn_from;
        let split = self.rows.iter().map(|row| row.split).eq(index.read::<u8>("split")?);
        let fields = index.json::<Vec<FieldSpec>>("", "fields")?.as_deref() == Some(self.specs);
        let same = drawn && split && fields && index.read::<f64>("theta")? == self.suite.design.theta;
        let same = same && index::opens(index, self.specs)?;
        if same { index::states(index).map(Some) } else { Ok(None) }
    }

    /// True if shards were `packed`, or came since the index was written, and that is a while ago.
    fn is_due(&self, packed: bool) -> bool {
        let time = |path: PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        let Some(written) = time(self.index()) else { return packed };
        let newer = time(self.suite.output.join("shards")).is_some_and(|shards| shards > written);
        newer && written.elapsed().is_ok_and(|age| age > RENEW.max(self.took * RARELY))
    }

    /// Serial: writes the index of the shards that there are; none where there is no shard.
    fn renew(&mut self) -> Result<()> {
        if self.mixed {
            return Ok(());
        }
        let Suite { output, design, config, provenance, .. } = *self.suite;
        if !status::names(&output.join("shards"))?.iter().any(|name| name.ends_with(".h5")) {
            return Ok(());
        }
        let (start, drawn) = (Instant::now(), (&design.prior, design.drawn_from));
        let shards = (self.m, index::MOST_LINKS);
        index::write(self.alone, output, drawn, &self.rows, shards, (self.specs, config.compression), provenance)?;
        self.took = start.elapsed();
        Ok(())
    }
}

/// True for the first that takes a file of this name, which nobody has made yet.
fn taken(claim: &std::path::Path) -> Result<bool> {
    match std::fs::OpenOptions::new().write(true).create_new(true).open(claim) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|_| true).at(claim),
    }
}
