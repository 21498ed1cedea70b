//! Looks again at what was kept of finished universes: `polycosm observe`.
//!
//! A field is outdated where the campaign sees it otherwise now, or does not see it at all, and where it sees another. A
//! universe that was looked at again has a file of its own with all of its fields as they are now, as one that was just
//! simulated; a shard whose universes all are so is packed anew. Killed at any moment, the same command goes on.

use super::packer::Packer;
use super::status::{Inventory, State};
use super::{Options, Suite, check_specs, fingerprint, remove, room};
use crate::comm::{Comm, stop};
use crate::error::{Cause, Error, Result, campaign};
use crate::io::field::{Data, Field, FieldSpec};
use crate::io::hdf::File;
use crate::io::made::Made;
use crate::io::shard;
use crate::io::simulation::{self, Again, Record, read_again};
use crate::progress::{Progress, count};
use crate::simulators::{Kept, Runner};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// How the fields that universes have differ from those that the campaign asks for, by their names, in words; and the
/// keys.
pub type Changes = BTreeMap<String, (String, String)>;

/// What of it differs, where it does: fields as a file has them, and as they are `now`.
pub fn changes(was: &[FieldSpec], now: &[FieldSpec], begun: &Value, shape: &Value) -> Changes {
    let find = |specs: &[FieldSpec], name: &str| specs.iter().find(|s| s.name == name).cloned();
    let mut all = Changes::new();
    for spec in now {
        let own = |key: &&String| key.rsplit('.').next().is_some_and(|section| spec.name.starts_with(section));
        match find(was, &spec.name) {
            None => {
                let key = spec.seen.keys().find(own).or(spec.seen.keys().next()).cloned().unwrap_or("simulator".into());
                all.insert(spec.name.clone(), ("is new".into(), key));
            }
            Some(was) => {
                let keys = fingerprint::seen_otherwise(&was, spec, begun, shape);
                let first = keys.iter().find(|key| !key.starts_with("numerics.")).or(keys.first()).cloned();
                all.extend(first.map(|key| (spec.name.clone(), (format!("has another {}", keys.join(", ")), key))));
            }
        }
    }
    let gone = was.iter().filter(|was| find(now, &was.name).is_none());
    all.extend(gone.map(|was| (was.name.clone(), ("is not asked for".into(), "simulator".into()))));
    all
}

/// Finished universes whose fields are not those that the campaign asks for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outdated {
    /// Rows of the design.
    pub rows: Vec<u64>,
    /// What differs in any of them.
    pub changes: Changes,
}

impl Outdated {
    /// Serial: looks at the files of a campaign of such a shape, whose simulations stand as `states` say.
    pub fn take(
        output: &Path,
        shard_size: usize,
        states: &[State],
        specs: &[FieldSpec],
        shape: &Value,
    ) -> Result<Outdated> {
        let mut all = Outdated::default();
        let Some(begun) = fingerprint::read(output)? else { return Ok(all) };
        let differ = |path: &Path| changes_of(path, specs, &begun, shape);
        for (s, states) in states.chunks(shard_size).enumerate() {
            let mut packed = None;
            for i in (0..states.len()).filter(|&i| states[i] == State::Finished) {
                let row = (s * shard_size + i) as u64;
                let own = simulation::path(output, row);
                let found = match own.exists() {
                    true => differ(&own)?,
                    false => packed.get_or_insert_with(|| differ(&shard::path(output, s))).clone()?,
                };
                if !found.is_empty() {
                    all.rows.push(row);
                    all.changes.extend(found);
                }
            }
        }
        Ok(all)
    }

    /// What differs, in words.
    pub fn words(&self) -> String {
        let of = |(name, (what, _)): (&String, &(String, String))| format!("{name} {what}");
        self.changes.iter().map(of).collect::<Vec<_>>().join("; ")
    }

    /// Refuses to go on where there are any; says what can be made of what was kept.
    pub fn refuse(&self, suite: &Suite, runner: &dyn Runner, specs: &[FieldSpec]) -> Result<()> {
        let Some((&row, (_, key))) = self.rows.first().zip(self.changes.values().next()) else { return Ok(()) };
        let n = count(self.rows.len(), "finished simulation");
        let problem = format!("{n} in {} have other fields: {}", suite.output.display(), self.words());
        let begun = fingerprint::read(suite.output)?.unwrap_or_default();
        let kept = Universe::open(suite, row, specs, &begun).and_then(|universe| universe.check(suite, runner));
        let or = "or set the keys back, or give another output";
        let remedy = match kept {
            Ok(()) => {
                format!("`polycosm observe {}` makes them again of what was kept, without simulating; {or}", campaign())
            }
            Err(e) => format!("set the keys back, or give another output: {}", e.problem),
        };
        Err(Error::input(problem).key(key).remedy(remedy))
    }
}

/// What differs in a file of one or more simulations.
fn changes_of(path: &Path, specs: &[FieldSpec], begun: &Value, shape: &Value) -> Result<Changes> {
    Ok(changes(&simulation::fields(&File::open(path)?)?, specs, begun, shape))
}

/// A finished universe as the dataset has it.
struct Universe<'a> {
    index: u64,
    file: File,
    /// Its row in a shard.
    row: Option<usize>,
    /// Its fields, with the keys that they were seen with.
    was: Vec<FieldSpec>,
    /// Those that are not as they are to be.
    wanted: Vec<String>,
    specs: &'a [FieldSpec],
}

impl<'a> Universe<'a> {
    fn open(suite: &Suite, index: u64, specs: &'a [FieldSpec], begun: &Value) -> Result<Self> {
        let (own, m) = (simulation::path(suite.output, index), suite.config.shard_size.simulations(specs) as u64);
        let (path, row) = match own.exists() {
            true => (own, None),
            false => (shard::path(suite.output, (index / m) as usize), Some((index % m) as usize)),
        };
        let file = File::open(&path)?;
        let mut was = simulation::fields(&file)?;
        let differ = changes(&was, specs, begun, &suite.shape);
        let wanted = specs.iter().map(|s| s.name.clone()).filter(|name| differ.contains_key(name)).collect();
        for spec in was.iter_mut().filter(|spec| spec.seen.is_empty()) {
            // What an older program did not say of it.
            let now = specs.iter().find(|now| now.name == spec.name).map_or_else(BTreeMap::new, |now| now.seen.clone());
            spec.seen = match differ.contains_key(&spec.name) {
                false => now,
                true => now.into_keys().map(|key| (key.clone(), fingerprint::begun_with(begun, &key))).collect(),
            };
        }
        Ok(Universe { index, file, row, was, wanted, specs })
    }

    fn read(&self, spec: &FieldSpec) -> Result<Data> {
        match self.row {
            None => simulation::read_field(&self.file, &spec.name, spec.dtype).map(|(_, data, _)| data),
            Some(row) => shard::read_row(&self.file, spec, row).map(|(data, _)| data),
        }
    }

    /// What stands beside the fields, which were finished now; and who made those again that stay as they are.
    fn told(&self) -> Result<(Record, Made, Again)> {
        let (record, row) = match self.row {
            None => (Some(simulation::read(&self.file)?), 0),
            Some(row) => (shard::records(&self.file)?.into_iter().nth(row), row),
        };
        let record = record.ok_or_else(|| Error::failed("has no such row").file(self.file.path()))?;
        let made = Made::read(&self.file)?.into_iter().nth(row).unwrap_or_default();
        let stay: Vec<FieldSpec> = self.specs.iter().filter(|s| !self.wanted.contains(&s.name)).cloned().collect();
        Ok((record, Made { finished: Made::now(0.0, 0).finished, ..made }, read_again(&self.file, &stay)?))
    }

    fn kept<T>(&self, work: impl FnOnce(&Kept) -> Result<T>) -> Result<T> {
        work(&Kept { specs: &self.was, read: &|spec| self.read(spec) })
    }

    /// Serial: refuses what cannot be made again.
    fn check(&self, suite: &Suite, runner: &dyn Runner) -> Result<()> {
        match self.wanted.is_empty() {
            true => Ok(()),
            false => self.kept(|kept| runner.check_kept(&suite.job(self.index), &self.wanted, kept)),
        }
    }

    /// Its fields as they are to be. Collective.
    fn look(&self, suite: &Suite, group: &Comm, runner: &dyn Runner) -> Result<Vec<Field>> {
        let job = suite.job(self.index);
        let mut made = match self.wanted.is_empty() {
            true => vec![],
            false => self.kept(|kept| group.agree_once(runner.observe_kept(group, &job, &self.wanted, kept)))?,
        };
        let mut field = |spec: &FieldSpec| -> Result<Field> {
            if self.wanted.contains(&spec.name) {
                let found = made.iter().position(|field| field.spec.name == spec.name);
                let missing = || Error::failed("was not made again").key(&spec.name);
                return Ok(made.swap_remove(found.ok_or_else(missing)?));
            }
            let data = if group.is_root() { self.read(spec) } else { Ok(Data::fill(spec.dtype, 0)) };
            Ok(Field::on_root(group, spec.clone(), group.agree(data)?))
        };
        self.specs.iter().map(&mut field).collect()
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observed {
    /// Universes looked at again.
    pub done: usize,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Names of the fields that were made again, or left out.
    pub fields: Vec<String>,
}

/// Collective: makes the fields of finished universes again that are outdated, packs them, and renews the index.
pub fn observe(comm: &Comm, suite: &Suite, runner: &dyn Runner, options: &Options) -> Result<Observed> {
    let start = Instant::now();
    suite.config.check(Some(comm.size()))?;
    let specs = runner.specs();
    comm.agree(check_specs(&specs))?;
    comm.agree(suite.check_only(options))?;
    let m = suite.config.shard_size.simulations(&specs);
    let (alone, mut lock) = (comm.alone(), None);
    let (inventory, outdated, begun) = comm.on_root(|| {
        let Some(begun) = fingerprint::read(suite.output)? else {
            let error = Error::input("was not begun: there is nothing to look at").key("output").value(suite.output);
            return Err(error.remedy("run `polycosm simulate` first"));
        };
        let (held, _, found) = suite.prepare(&alone, m, || {
            let inventory = Inventory::take(suite.output, suite.design, m)?.sound()?;
            let mut outdated = suite.outdated(&inventory.states, &specs)?;
            // Looked at again for a campaign that has changed back since: what the shard has is of the campaign.
            let current = |path: &Path| changes_of(path, &specs, &begun, &suite.shape);
            let newer: Vec<u64> = inventory.newer.iter().copied().filter(|i| outdated.rows.contains(i)).collect();
            for i in newer {
                let own = simulation::path(suite.output, i);
                let file = File::open(&own)?;
                let again = !read_again(&file, &simulation::fields(&file)?)?.is_empty();
                if again && current(&shard::path(suite.output, i as usize / m))?.is_empty() {
                    remove(&own)?;
                    outdated.rows.retain(|&row| row != i);
                }
            }
            outdated.rows.retain(|row| options.only.as_ref().is_none_or(|only| only.contains(row)));
            for &row in &outdated.rows {
                Universe::open(suite, row, &specs, &begun)?.check(suite, runner)?;
            }
            let rows = outdated.rows.len();
            if let Some(&row) = outdated.rows.first() {
                // What its fields take more than before, and some shards at a time twice.
                let was = room::of_fields(&Universe::open(suite, row, &specs, &begun)?.was);
                let each = room::of_fields(&specs);
                let twice = rows.min(m + at_once(comm, suite, m)) as u64;
                let bytes = each.saturating_sub(was).saturating_mul(rows as u64);
                room::check(suite.output, rows, bytes.saturating_add(each.saturating_mul(twice)), &specs)?;
            }
            Ok((inventory, outdated))
        })?;
        lock = Some(held);
        Ok((found.0, found.1, begun))
    })?;
    let (size, total, rows) = (suite.config.ranks_per_sim, outdated.rows.len(), &outdated.rows);
    let groups = comm.size() / size;
    let mine = comm.rank() / size;
    let group = comm.split((mine < groups).then_some(mine), comm.rank());
    let mut packer = Packer::new(suite, &alone, &specs, inventory.states.clone(), &[]);
    packer.mixed = true;
    let mut progress = Progress::new("observe", total as u64, comm.is_root());
    let m = m as u64;
    let (mut done, mut ran) = (0, Ok(()));
    let batch = at_once(comm, suite, m as usize) as u64;
    for rows in rows.chunk_by(|a, b| a / batch == b / batch) {
        let here = group.as_ref().map_or(Ok(()), |group| {
            rows.iter().skip(mine).step_by(groups).try_for_each(|&row| {
                progress.set(done as u64, "");
                if stop::requested(group) {
                    let error = Error::stopped("stopped cleanly between two simulations");
                    return Err(error.remedy("run the same command again: it resumes"));
                }
                suite.look_again(group, runner, row, &specs, &begun)
            })
        });
        ran = comm.agree(here);
        if ran.is_err() {
            break;
        }
        done += rows.len();
        let whole = |s: usize| {
            let left = |row: &u64| *row as usize / m as usize == s && !rows.contains(row);
            !outdated.rows.iter().any(left)
        };
        let mut shards: Vec<usize> = rows.iter().map(|row| (row / m) as usize).collect();
        shards.dedup();
        shards.retain(|&s| options.only.is_none() && whole(s));
        packer.pack_all(comm, &shards, |_| true)?;
    }
    if ran.as_ref().err().is_none_or(|e| e.kind == Cause::Stopped) {
        progress.finish(&format!("{} looked at again", count(done, "simulation")));
        packer.finish(comm)?;
    }
    ran?;
    drop(lock);
    let fields = outdated.changes.into_keys().collect();
    Ok(Observed { done: total, seconds: start.elapsed().as_secs_f64(), fields })
}

/// Universes looked at before their shards are packed, some shards at a time: a dataset does not take its room twice.
fn at_once(comm: &Comm, suite: &Suite, m: usize) -> usize {
    (4 * comm.size() / suite.config.ranks_per_sim).div_ceil(m) * m
}

impl Suite<'_> {
    /// Serial: finished universes that have other fields than these.
    pub(super) fn outdated(&self, states: &[State], specs: &[FieldSpec]) -> Result<Outdated> {
        Outdated::take(self.output, self.config.shard_size.simulations(specs), states, specs, &self.shape)
    }

    /// Collective over a group: one universe, whose file appears when whole.
    fn look_again(&self, group: &Comm, runner: &dyn Runner, i: u64, specs: &[FieldSpec], begun: &Value) -> Result<()> {
        let universe = group.agree(Universe::open(self, i, specs, begun))?;
        let of = |e: Error| Error { problem: format!("simulation {i}: {}", e.problem), ..e };
        let fields = universe.look(self, group, runner).map_err(of)?;
        let (record, made, was) = group.agree(universe.told())?;
        let by = self.provenance;
        let now = serde_json::json!({ "version": by.version, "commit": by.commit, "created": by.created });
        let again = universe.wanted.iter().map(|name| (name.clone(), now.clone()));
        let observed = was.into_iter().chain(again).collect();
        let path = simulation::path(self.output, i);
        simulation::write(group, &path, &record, &fields, (made, by), &observed)
    }
}
