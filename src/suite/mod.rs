//! Runs the simulations of a design on groups of ranks, resumes what was begun, and packs the dataset.
//!
//! The files tell everything: a simulation is finished when its file (or its row in a shard) is there, and every file
//! appears by a rename. Killed at any moment, the same command continues:
//!
//! 1. what has no file yet is simulated, pending row k by group k mod groups;
//! 2. a shard whose simulations all have files is packed by the group that made the last of them, while others simulate,
//!    then those files go; at the end what is left is packed into shards that have rows missing;
//! 3. the index is renewed now and then, and at the end. It may be behind the shards, but never tells what they do not
//!    have: where rows that it shows are replaced, it is replaced with them, or removed before.

pub mod design;
pub mod fingerprint;
mod inputs;
mod lock;
pub mod merge;
pub mod observe;
mod packer;
mod repack;
pub mod room;
pub mod shard_size;
pub mod status;
pub mod verify;

pub use lock::Lock;
pub use observe::observe;

use crate::comm::{Comm, stop, timers::Timers};
use crate::error::{At, Cause, Error, Result};
use crate::io::field::{AxisKind, FieldSpec};
use crate::io::hdf::{Compression, TEMPORARY};
use crate::io::made::Made;
use crate::io::ours;
use crate::io::provenance::Provenance;
use crate::io::shard::Row;
use crate::io::simulation::{Again, Record};
use crate::io::{index, simulation};
use crate::limits;
use crate::progress::{Progress, count};
use crate::simulators::pm::resident::resident;
use crate::simulators::{Job, Runner};
use design::Design;
use inputs::Inputs;
use packer::Packer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shard_size::ShardSize;
use status::{Inventory, State};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// `[suite]`: how the simulations are spread over ranks and files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SuiteConfig {
    /// Ranks that work together on one simulation. Ranks left over idle with a notice; more than the job has is
    /// refused.
    #[schemars(extend("x-unit" = "ranks"))]
    pub ranks_per_sim: usize,
    /// How much one file of the dataset holds: a number of simulations, or bytes as in "256 MB", which is resolved from the
    /// fields' sizes, lists not counted. May be changed at any time: the shards of a folder that was begun are packed
    /// anew.
    pub shard_size: ShardSize,
    /// Compression of the dataset's fields: "gzip", "zstd" or "blosc", with a level as in "gzip:4". Each universe is a
    /// chunk, so that one is read without the others. Lists, and fields of less than 4 KiB per universe, stay as they
    /// are. "zstd" and "blosc" need a plug-in of HDF5, also where the files are read. May be changed at any time: files
    /// that are there stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none"))]
    pub compression: Option<Compression>,
}

impl Default for SuiteConfig {
    fn default() -> Self {
        SuiteConfig { ranks_per_sim: 1, shard_size: 64.into(), compression: None }
    }
}

impl SuiteConfig {
    /// Checks the values; `ranks` is the size of the job that will simulate, where it is known.
    pub fn check(&self, ranks: Option<usize>) -> Result<()> {
        let bad =
            |key: &str, problem: String, value: usize| Error::input(problem).key(format!("suite.{key}")).value(value);
        if self.ranks_per_sim == 0 {
            return Err(bad("ranks_per_sim", "a simulation needs a rank".into(), 0).remedy("give a positive number"));
        }
        limits::at_most("suite.ranks_per_sim", self.ranks_per_sim, limits::RANKS)?;
        self.shard_size.check()?;
        if let (Some(_), Some(compression)) = (ranks, self.compression) {
            compression.check()?;
        }
        match ranks {
            Some(n) if n < self.ranks_per_sim => {
                let (k, s) = (self.ranks_per_sim, if n == 1 { "" } else { "s" });
                let error = bad("ranks_per_sim", format!("larger than the job, which has {n} rank{s}"), k);
                Err(error.remedy(format!(
                    "start with mpirun -n {k} (or a multiple), or set suite.ranks_per_sim to at most {n}"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A campaign's simulations.
pub struct Suite<'a> {
    /// The campaign's folder.
    pub output: &'a Path,
    pub design: &'a Design,
    pub config: &'a SuiteConfig,
    /// Bytes of the files that each universe keeps beside the dataset.
    pub kept: u64,
    pub seed: u64,
    pub provenance: &'a Provenance,
    /// What shapes the data, see [`fingerprint`].
    pub shape: serde_json::Value,
    /// Input files by the places of their names in the shape (JSON pointers): one, or one for each simulation.
    pub files: Vec<(String, Vec<PathBuf>)>,
}

/// What to run of it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// These rows of the design alone.
    pub only: Option<Range<u64>>,
    /// Run failed simulations again.
    pub retry_failed: bool,
    /// These rows alone, whether they ran before or not; none: as above.
    pub redo: Vec<Range<u64>>,
}

impl Options {
    fn chooses(&self, i: u64) -> bool {
        let only = self.only.as_ref().is_none_or(|rows| rows.contains(&i));
        only && (self.redo.is_empty() || self.redo.iter().any(|rows| rows.contains(&i)))
    }

    fn runs(&self, state: State) -> bool {
        match state {
            State::Missing => true,
            State::Failed => self.retry_failed || !self.redo.is_empty(),
            State::Finished => !self.redo.is_empty(),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Simulations run now and finished.
    pub done: usize,
    /// Found finished (or failed, without `retry_failed`).
    pub skipped: usize,
    /// Of those, the failed ones.
    pub failed_before: usize,
    /// Run now and failed.
    pub failed: usize,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Simulations per second.
    pub rate: f64,
    /// The dataset is complete.
    pub complete: bool,
    /// Mean seconds per simulation by the simulator's own names, then to `write` its file and to `pack` shards, of the first
    /// group.
    pub timings: Vec<(String, f64)>,
}

impl Summary {
    /// True if simulations were asked for and not one of them is finished.
    pub fn all_failed(&self) -> bool {
        let failed = self.failed + self.failed_before;
        failed > 0 && failed == self.done + self.skipped + self.failed
    }
}

/// Collective: runs what is pending, packs it, and writes the index of what is there.
pub fn simulate(comm: &Comm, suite: &Suite, runner: &dyn Runner, options: &Options) -> Result<Summary> {
    let start = Instant::now();
    suite.config.check(Some(comm.size()))?;
    let specs = runner.specs();
    comm.agree(check_specs(&specs).and_then(|()| suite.check_only(options)))?;
    let (n, m) = (suite.design.len() as u64, suite.config.shard_size.simulations(&specs));
    let (alone, mut lock) = (comm.alone(), None);
    let ((inventory, mixed), digests) = comm.on_root(|| {
        if fingerprint::read(suite.output)?.is_none() {
            suite.has_room((0..n).filter(|&i| options.chooses(i)).count(), m, &specs)?;
        }
        let (held, digests, found) = suite.prepare(&alone, m, || {
            let inventory = Inventory::take(suite.output, suite.design, m)?.sound()?;
            let mut outdated = suite.outdated(&inventory.states, &specs)?;
            let mixed = !outdated.rows.is_empty();
            outdated.rows.retain(|i| !options.redo.iter().any(|rows| rows.contains(i)));
            outdated.refuse(suite, runner, &specs)?;
            let runs = |&i: &u64| options.chooses(i) && options.runs(inventory.states[i as usize]);
            suite.has_room((0..n).filter(runs).count(), m, &specs)?;
            Ok((inventory, mixed))
        })?;
        lock = Some(held);
        Ok((found, digests))
    })?;
    let inputs = Inputs { files: &suite.files, digests };
    let state = |i: u64| inventory.states[i as usize];
    let (pending, left): (Vec<u64>, Vec<u64>) =
        (0..n).filter(|&i| options.chooses(i)).partition(|&i| options.runs(state(i)));
    let skipped = left.len();
    let failed_before = left.into_iter().filter(|&i| state(i) == State::Failed).count();

    let size = suite.config.ranks_per_sim;
    let groups = comm.size() / size;
    let idle = comm.size() - groups * size;
    if idle > 0 && comm.is_root() {
        let [groups, size, idle] = [(groups, "group"), (size, "rank"), (idle, "rank")].map(|(n, what)| count(n, what));
        log::warn!("{groups} of {size} simulate; {idle} left over and idle");
    }
    let mine = comm.rank() / size;
    let group = comm.split((mine < groups).then_some(mine), comm.rank());
    let mut progress = Progress::new("simulate", (skipped + pending.len()) as u64, comm.is_root());
    let mut tally = Tally::default();
    let mut packer = Packer::new(suite, &alone, &specs, inventory.states, &pending);
    packer.mixed = mixed;
    comm.on_root(|| packer.begin(&inventory.times))?;
    let ran = group.as_ref().map_or(Ok(()), |group| {
        let rows: Vec<u64> = pending.iter().copied().skip(mine).step_by(groups).collect();
        suite.run_group(group, runner, &inputs, &rows, (&mut tally, &packer), |k, message| {
            progress.set((skipped + (k * groups).min(pending.len())) as u64, message);
        })
    });
    // Each group's root counts for its group, whatever ended it.
    let counts = group.filter(|g| g.is_root()).map_or([0, 0], |_| [tally.done as u64, tally.failed as u64]);
    let [done, failed] = [0, 1].map(|i| comm.sum_of(counts[i]) as usize);
    let left = pending.len() - done - failed;
    let left = if left == 0 { String::new() } else { format!("; {} of {} not run", left, pending.len()) };
    progress.finish(&match pending.len() {
        0 => nothing(skipped, failed_before),
        some => spread(done + failed, some.min(groups), groups, size) + &left,
    });
    // A group's error makes the others stop cleanly; it is the error that is reported.
    let cause = ran.as_ref().err().filter(|e| e.kind != Cause::Stopped).cloned();
    comm.agree(cause.map_or(Ok(()), Err))?;
    let complete = packer.finish(comm)?;
    drop(lock);
    comm.agree(ran)?;
    let seconds = start.elapsed().as_secs_f64();
    let ran = done + failed;
    let own = pending.len().div_ceil(groups).max(1) as f64;
    let timings = tally.timers.entries().iter().map(|(name, s)| (name.clone(), s / own)).collect();
    Ok(Summary { done, skipped, failed_before, failed, seconds, rate: ran as f64 / seconds, complete, timings })
}

/// What a group ran.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    timers: Timers,
}

/// How so many simulations were spread over the groups, of which `busy` had any.
fn spread(simulations: usize, busy: usize, groups: usize, size: usize) -> String {
    let idle = if busy < groups { format!(", {} idle", count(groups - busy, "group")) } else { String::new() };
    let each = if busy == 1 { "" } else { "each " };
    format!("{} on {} {each}of {}{idle}", count(simulations, "simulation"), count(busy, "group"), count(size, "rank"))
}

/// Says that all were run before.
fn nothing(simulations: usize, failed: usize) -> String {
    let failed = if failed == 0 { String::new() } else { format!(", {failed} of them failed") };
    let were = if simulations == 1 { "was" } else { "were" };
    format!("nothing to do: {} {were} run before{failed}", count(simulations, "simulation"))
}

/// Names a dataset can have.
fn check_specs(specs: &[FieldSpec]) -> Result<()> {
    for (i, spec) in specs.iter().enumerate() {
        let taken = index::RESERVED.contains(&spec.name.as_str()) || specs[..i].iter().any(|s| s.name == spec.name);
        if taken || spec.name.contains('/') || spec.shape.is_empty() || spec.axes.len() != spec.shape.len() {
            let error = Error::input("a field needs a name of its own and one axis per dimension").key(&spec.name);
            return Err(error.value(&spec.shape).remedy("rename this product of the simulator"));
        }
        let kinds: Vec<AxisKind> = spec.axes.iter().map(|axis| axis.kind).collect();
        let said = kinds.iter().all(|kind| !kind.is_unsaid());
        if let Some(problem) = AxisKind::mismatch(&kinds, &spec.shape).filter(|_| said) {
            let error = Error::input(format!("this product of the simulator {problem}")).key(&spec.name);
            return Err(error.remedy("say what its axes are, in their order"));
        }
    }
    Ok(())
}

impl Suite<'_> {
    /// Refuses rows that the design does not have.
    fn check_only(&self, options: &Options) -> Result<()> {
        let n = self.design.len() as u64;
        let asked =
            options.only.iter().map(|rows| ("--only", rows)).chain(options.redo.iter().map(|rows| ("--redo", rows)));
        let Some((key, rows)) = asked.into_iter().find(|(_, rows)| rows.end > n) else { return Ok(()) };
        let error = Error::input(format!("the design has {}", count(n as usize, "simulation")));
        let error = error.key(key).value(format_args!("{}..{}", rows.start, rows.end.saturating_sub(1)));
        Err(error.remedy(format!("give rows from 0..{}, or leave it out", n.saturating_sub(1))))
    }

    /// Begins or goes on with the folder, in shards of `m`. Returns the lock, the digests of the input files, and what
    /// was found.
    fn prepare<T>(
        &self,
        alone: &Comm,
        m: usize,
        look: impl FnOnce() -> Result<T>,
    ) -> Result<(Lock, serde_json::Value, T)> {
        let mut shape = self.shape.clone();
        shape["suite"] = serde_json::json!({ "shard_size": m });
        shape["files"] = fingerprint::digests(&self.files)?;
        let (lock, found) = self.begin(&shape, &self.files, || {
            repack::repack(self, alone, m)?;
            look()
        })?;
        Ok((lock, shape["files"].take(), found))
    }

    /// Makes the folders, takes the lock, compares the fingerprint, removes what a killed run left half-written, and looks
    /// at what there is.
    fn begin<T>(
        &self,
        shape: &serde_json::Value,
        files: &[(String, Vec<PathBuf>)],
        look: impl FnOnce() -> Result<T>,
    ) -> Result<(Lock, T)> {
        let unwritable = |e: std::io::Error| {
            let error = Error::input(format!("cannot be written to: {e}")).key("output").value(self.output);
            error.remedy("give a folder that you may write to")
        };
        for folder in ["sims", "shards"] {
            std::fs::create_dir_all(self.output.join(folder)).map_err(unwritable)?;
        }
        tempfile::NamedTempFile::with_suffix_in(TEMPORARY, self.output).map_err(unwritable)?;
        let lock = Lock::take(self.output, "is simulating into")?;
        if fingerprint::read(self.output)?.is_none() {
            self.begins_alone()?;
        }
        fingerprint::check(self.output, shape, files)?;
        ours::replaceable(&index::path(self.output))?;
        for folder in ["", "sims", "shards", "checkpoints", "snapshots"] {
            let folder = self.output.join(folder);
            let left = status::names(&folder)?.into_iter().filter(|n| n.ends_with(TEMPORARY)).map(|n| folder.join(n));
            left.filter(|path| path.is_file()).try_for_each(|path| remove(&path))?;
        }
        let found = look()?;
        ours::keep_campaign(self.output, &self.provenance.campaign)?;
        Ok((lock, found))
    }

    /// Refuses to simulate so many where the disk has not the room for them; what is compressed takes less, nobody knows
    /// how much, and is told alone.
    fn has_room(&self, simulations: usize, m: usize, specs: &[FieldSpec]) -> Result<()> {
        let bytes = room::of_universes(simulations, (self.design.len(), m), specs, self.kept);
        match room::check(self.output, simulations, bytes, specs) {
            Err(e) if self.config.compression.is_some() => log::warn!("{e} (not compressed)"),
            checked => return checked,
        }
        Ok(())
    }

    /// Serial: writes the index of these pieces, which `place` brings to where it looks for them.
    fn index(
        &self,
        alone: &Comm,
        rows: &[Row],
        pieces: (&[index::Piece], bool),
        specs: &[FieldSpec],
        place: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let Design { prior, drawn_from, derived, passed_over, .. } = self.design;
        let (drawn_from, passed_over) = (*drawn_from, *passed_over);
        let drawn = index::Drawn { prior, drawn_from, derived, passed_over };
        let fields = (specs, self.config.compression);
        index::write(alone, self.output, (drawn, rows), pieces, fields, self.provenance, place)
    }

    /// Refuses to begin a campaign among the user's own files, where they have names that universes will have.
    fn begins_alone(&self) -> Result<()> {
        for folder in ["sims", "shards", "checkpoints", "snapshots"] {
            let folder = self.output.join(folder);
            let taken = |name: &String| name.starts_with(|c: char| c.is_ascii_digit()) && !name.ends_with(TEMPORARY);
            status::names(&folder)?.iter().filter(|n| taken(n)).try_for_each(|n| ours::replaceable(&folder.join(n)))?;
        }
        Ok(())
    }

    /// A file whose presence asks every group to stop after its simulation.
    fn stop_file(&self) -> PathBuf {
        self.output.join(format!("stop{TEMPORARY}"))
    }

    /// Collective over a group: runs its rows in turn, and counts them.
    fn run_group(
        &self,
        group: &Comm,
        runner: &dyn Runner,
        inputs: &Inputs,
        rows: &[u64],
        (tally, packer): (&mut Tally, &Packer),
        mut report: impl FnMut(usize, &str),
    ) -> Result<()> {
        let start = Instant::now();
        for (k, &i) in rows.iter().enumerate() {
            let rate = k as f64 / start.elapsed().as_secs_f64();
            report(k, &format!("{rate:.2} simulations/s per group, {} failed", tally.failed));
            let asked = stop::requested(group);
            if asked || group.any(group.is_root() && self.stop_file().exists()) {
                // Errors of one group, and signals that reach one rank alone, come to the others by this file.
                let _ = std::fs::write(self.stop_file(), "");
                let error = Error::stopped("stopped cleanly between two simulations");
                return Err(error.remedy("run the same command again: it resumes"));
            }
            let ran = self.run_one(group, runner, inputs, i, &mut tally.timers);
            let ran = ran.inspect(|&finished| *(if finished { &mut tally.done } else { &mut tally.failed }) += 1);
            let packed = ran.and_then(|_| tally.timers.time("pack", || packer.follow(group, i as usize)));
            if let Err(e) = packed {
                let _ = std::fs::write(self.stop_file(), "");
                return Err(e);
            }
        }
        report(rows.len(), "");
        Ok(())
    }

    /// Collective over a group: one simulation and its file. A failure of the simulation is recorded there and is no
    /// error; so is one that cannot be made and lies beyond the [bulk](crate::prior::Prior::bulk) of the prior, where
    /// nobody looked before. Other bad input is an error, for it would not get better; so are files that cannot be
    /// written, for that may.
    fn run_one(&self, group: &Comm, runner: &dyn Runner, inputs: &Inputs, i: u64, timers: &mut Timers) -> Result<bool> {
        let row = self.design.row(i as usize);
        let path = simulation::path(self.output, i);
        let marker = path.with_extension(format!("running{TEMPORARY}"));
        group.on_root(|| std::fs::write(&marker, "").at(&marker))?;
        let job = self.job(i);
        let start = Instant::now();
        let made = group.agree_once(runner.simulate(group, &job));
        let how = Made::now(start.elapsed().as_secs_f64(), group.max_of(resident("VmHWM").unwrap_or(0)));
        // A file that changed is the cause of whatever came of it, unless the run was stopped.
        if made.as_ref().err().is_none_or(|e| e.kind != Cause::Stopped) {
            group.on_root(|| inputs.unchanged(i))?;
        }
        let (fields, state, failure) = match made {
            Ok(output) => {
                output.timings.iter().for_each(|(name, s)| timers.add(name, *s));
                (output.fields, State::Finished, String::new())
            }
            Err(e) if e.kind == Cause::Failed || (e.kind == Cause::Input && self.outlying(row.theta)) => {
                if group.is_root() {
                    log::error!("simulation {i} {:?} failed: {e}", row.theta);
                }
                (vec![], State::Failed, e.to_string())
            }
            Err(e) if e.kind == Cause::Io => {
                return Err(e.remedy("mend that, then run the same command again: it resumes"));
            }
            Err(e) => return Err(e),
        };
        let record = Record { index: i, realisation: row.realisation, theta: row.theta.to_vec(), state, failure };
        timers.time("write", || {
            simulation::write(group, &path, &record, &fields, (how, self.provenance), &Again::new())
        })?;
        runner.finished(group, &job);
        group.on_root(|| remove(&marker))?;
        Ok(state == State::Finished)
    }

    /// The job of one row.
    fn job(&self, i: u64) -> Job<'_> {
        let row = self.design.row(i as usize);
        let theta = self.design.prior.theta(row.theta);
        Job { index: i, realisation: row.realisation, seed: self.seed, theta, folder: Some(self.output) }
    }

    fn outlying(&self, theta: &[f64]) -> bool {
        !self.design.prior.in_bulk(theta)
    }
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at(path),
        _ => Ok(()),
    }
}
