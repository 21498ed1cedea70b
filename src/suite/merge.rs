//! Parts of one campaign that were made in different places become one folder. A simulation is taken from the first part
//! that has finished it; what several have must agree to the last bit.

use super::design::Design;
use super::packer::Packer;
use super::status::{Inventory, State, names};
use super::{Suite, SuiteConfig, fingerprint, room};
use crate::comm::{Comm, share, stop};
use crate::error::{At, Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::{Field, FieldSpec};
use crate::io::hdf::{File, TEMPORARY, publish_file};
use crate::io::provenance::Provenance;
use crate::io::shard::{Reader, Whole};
use crate::io::{index, simulation};
use crate::progress::count;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Simulations that are compared or copied between two looks at whether to stop.
const AT_ONCE: usize = 256;

/// A folder with some of the campaign's simulations.
struct Part {
    folder: PathBuf,
    shape: Value,
    /// Its index; one that a killed job began to write into may have none yet.
    data: Option<Dataset>,
}

impl Part {
    fn open(folder: &Path, begun: bool) -> Result<Part> {
        let error = |problem: &str, remedy: &str| Error::input(problem).file(folder).remedy(remedy);
        let none = || error("is no campaign's folder: it has no fingerprint.json", "name the campaign's `output`");
        let shape = fingerprint::read(folder)?.ok_or_else(none)?;
        let index = index::path(folder);
        if !index.exists() && !begun {
            let remedy = "run `polycosm simulate` on it once more (`--only` its rows), which writes one";
            return Err(error("has no dataset.h5, which says what its universes are", remedy));
        }
        let data = index.exists().then(|| Dataset::open(index, "theta")).transpose()?;
        Ok(Part { folder: folder.to_path_buf(), shape, data })
    }

    fn shard_size(&self) -> Result<usize> {
        let size = self.shape["suite"]["shard_size"].as_u64().filter(|&size| size > 0);
        size.map(|size| size as usize).ok_or_else(|| {
            let error = Error::failed("tells no shard size").file(self.folder.join("fingerprint.json"));
            error.remedy("copy that file here again from where it was made")
        })
    }

    /// Refuses a part of another campaign, by the key or the row that differs.
    fn check(&self, first: &Part) -> Result<()> {
        let (was, is) = (first.folder.display(), self.folder.display());
        let places = first.shape["files"].as_object().into_iter().flat_map(|files| files.keys());
        let files: Vec<_> = places.map(|place| (place.clone(), vec![])).collect();
        let remedy = "these are parts of different campaigns: merge those of one alone";
        let other = |e: Error| Error { remedy: Some(remedy.into()), file: Some(self.folder.clone()), ..e };
        fingerprint::compare(&first.folder, &first.shape, &self.shape, &files).map_err(other)?;
        let (Some(there), Some(here)) = (&first.data, &self.data) else { return Ok(()) };
        let differs = |key: &str, problem: String| Err(other(Error::input(problem).key(key)));
        if Vec::from(here.prior.clone()) != Vec::from(there.prior.clone()) {
            return differs("design.parameters", format!("its prior is another than in {was}"));
        }
        if here.specs() != there.specs() {
            return differs("simulator", format!("its fields are described otherwise than in {was}"));
        }
        let (numbers, others) = (realisations(here)?, realisations(there)?);
        for i in 0..here.len().min(there.len()) {
            let bits = |data: &Dataset| data.theta_of(i).iter().map(|t| t.to_bits()).collect::<Vec<_>>();
            if bits(here) != bits(there) {
                let [there, here] = [there, here].map(|data| data.theta_of(i));
                return differs("theta", format!("row {i} is {here:?}, and {there:?} in {was}"));
            }
            if numbers[i] != others[i] {
                return differs("realisation", format!("row {i} is {}, and {} in {was}", numbers[i], others[i]));
            }
            if here.split()[i] != there.split()[i] {
                let [there, here] = [there, here].map(|data| data.split()[i]);
                return differs("split", format!("row {i} is for {here:?} in {is}, and for {there:?} in {was}"));
            }
        }
        Ok(())
    }
}

fn realisations(data: &Dataset) -> Result<Vec<u64>> {
    Ok(data.beside("realisation")?.unwrap_or_else(|| (0..data.len() as u64).collect()))
}

/// What was merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Simulations of the design, and those that are there now.
    pub total: usize,
    pub there: usize,
    /// The parts that simulations were taken from, and how many.
    pub taken: Vec<(PathBuf, usize)>,
    /// Simulations that several parts have finished.
    pub shared: usize,
    /// Those that failed in one part, and are finished in another.
    pub mended: Vec<u64>,
}

/// Collective: makes `into`, which may be one of the parts, the folder of all their simulations. Writes nothing where
/// they are not of one campaign.
pub fn merge(comm: &Comm, parts: &[PathBuf], into: &Path) -> Result<Merged> {
    let same = |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a));
    // What the folder has by itself comes first.
    let begun = comm.on_root(|| Ok(fingerprint::read(into)?.is_some()))?;
    let others = parts.iter().filter(|part| !begun || !same(part, into));
    let folders: Vec<PathBuf> = begun.then(|| into.to_path_buf()).into_iter().chain(others.cloned()).collect();
    let open = || -> Result<Vec<Part>> {
        if let Some((i, twice)) = folders.iter().enumerate().find(|(i, a)| folders[..*i].iter().any(|b| same(a, b))) {
            let error = Error::input(format!("is named twice (part {i})")).file(twice);
            return Err(error.remedy("name each part once"));
        }
        if folders.len() < 2 {
            let error = Error::input("there is nothing to merge").key("--into").value(into);
            return Err(error.remedy("name at least two folders, or one and a folder that was begun"));
        }
        let part = |(p, folder): (usize, &PathBuf)| Part::open(folder, begun && p == 0);
        let parts: Vec<Part> = folders.iter().enumerate().map(part).collect::<Result<_>>()?;
        let first = parts.iter().find(|part| part.data.is_some()).unwrap_or(&parts[0]);
        parts.iter().try_for_each(|part| part.check(first))?;
        Ok(parts)
    };
    let parts = comm.agree(open())?;
    let longest = parts.iter().rev().filter_map(|part| Some((part, part.data.as_ref()?))).max_by_key(|(_, d)| d.len());
    let Some((longest, data)) = longest else { return Err(Error::failed("no part has an index").file(into)) };
    let design = Design {
        prior: data.prior.clone(),
        drawn_from: data.drawn_from,
        list: None,
        theta: data.theta().to_vec(),
        derived: data.derived().to_vec(),
        passed_over: data.passed_over,
        realisation: comm.agree(realisations(data))?,
        split: data.split().to_vec(),
    };
    let specs = data.specs();
    let mut shape = if begun { parts[0].shape.clone() } else { longest.shape.clone() };
    // The longer list of what input files held.
    for (place, digests) in parts.iter().flat_map(|part| part.shape["files"].as_object()).flatten() {
        let longer = |v: &Value| v.as_array().map_or(0, Vec::len);
        if !begun && longer(digests) > longer(&shape["files"][place]) {
            shape["files"][place] = digests.clone();
        }
    }
    let campaign = comm.agree(campaign_of(&longest.folder, into))?;
    let sizes = comm.agree(parts.iter().map(Part::shard_size).collect::<Result<Vec<_>>>())?;
    let shard_size = if begun { sizes[0] } else { comm.agree(longest.shard_size())? };
    let compression = campaign.get("suite").and_then(|suite| suite.get("compression")?.as_str()?.parse().ok());
    let config = SuiteConfig { shard_size: shard_size.into(), compression, ..SuiteConfig::default() };
    comm.agree(config.check(Some(comm.size())))?;

    let take = |folder: &Path, size: usize| Ok(Inventory::take(folder, &design, size)?.sound()?.in_place()?.states);
    let states: Vec<Vec<State>> =
        comm.on_root(|| parts.iter().zip(&sizes).map(|(part, &size)| take(&part.folder, size)).collect::<Result<_>>())?;
    let states = &states;
    let holders = |i: usize, state: State| (0..states.len()).filter(move |&p| states[p][i] == state);
    compare(comm, &parts, &sizes, &design, &specs, &holders)?;

    let provenance = Provenance::collect(comm, shape["seed"].as_u64().unwrap_or_default(), &campaign.to_string());
    let suite = Suite {
        output: into,
        design: &design,
        config: &config,
        kept: 0,
        seed: provenance.seed,
        provenance: &provenance,
        shape: shape.clone(),
        files: vec![],
    };
    let there = if begun { states[0].clone() } else { vec![State::Missing; design.len()] };
    // Of each simulation that is not there yet the part that it is taken from.
    let source = |i: usize| match there[i] {
        State::Finished => None,
        State::Failed => holders(i, State::Finished).next(),
        State::Missing => holders(i, State::Finished).chain(holders(i, State::Failed)).next(),
    };
    let todo: Vec<(usize, usize)> = (0..design.len()).filter_map(|i| Some((i, source(i)?))).collect();
    let bytes = room::of_universes(todo.len(), (design.len(), shard_size), &specs, 0);
    let mut lock = None;
    comm.on_root(|| {
        room::check(into, todo.len(), bytes, &specs)?;
        lock = Some(suite.begin(&shape, &[], || Ok(()))?.0);
        Ok(())
    })?;
    let alone = comm.alone();
    let mut readers: Vec<Reader> =
        parts.iter().zip(&sizes).map(|(part, &size)| Reader::new(&part.folder, size, &specs)).collect();
    for some in todo.chunks(AT_ONCE * comm.size()) {
        stop::check(comm, "between two simulations")?;
        let (start, len) = share(some.len(), comm.size(), comm.rank());
        let copy = |&(i, part): &(usize, usize)| {
            let row = design.row(i);
            let Some(whole) = readers[part].read(&row)? else { return Ok(()) };
            keep_snapshots(&parts[part].folder, into, i)?;
            let Whole { record, made, again, fields } = whole;
            let fields = specs.iter().zip(fields).map(|(spec, data)| {
                let rows = data.len() / spec.shape[1..].iter().product::<usize>().max(1);
                Field { spec: spec.clone(), rows, data }
            });
            let fields: Vec<Field> = if record.state == State::Failed { vec![] } else { fields.collect() };
            simulation::write(&alone, &simulation::path(into, row.index), &record, &fields, (made, &provenance), &again)
        };
        comm.agree(some[start..start + len].iter().try_for_each(copy))?;
    }
    drop(readers);
    Packer::new(&suite, &alone, &specs, there.clone(), &[]).finish(comm)?;
    drop(lock);
    let now = |i: usize| there[i] != State::Missing || source(i).is_some();
    let several = |&i: &usize| holders(i, State::Finished).count() > 1;
    let mended =
        |&i: &usize| holders(i, State::Finished).next().is_some() && holders(i, State::Failed).next().is_some();
    Ok(Merged {
        total: design.len(),
        there: (0..design.len()).filter(|&i| now(i)).count(),
        taken: (0..parts.len())
            .map(|p| (parts[p].folder.clone(), todo.iter().filter(|(_, part)| *part == p).count()))
            .filter(|(_, taken)| *taken > 0)
            .collect(),
        shared: (0..design.len()).filter(several).count(),
        mended: (0..design.len()).filter(mended).map(|i| i as u64).collect(),
    })
}

/// Collective: refuses parts that have finished a simulation otherwise than one another.
fn compare<H: Iterator<Item = usize>>(
    comm: &Comm,
    parts: &[Part],
    sizes: &[usize],
    design: &Design,
    specs: &[FieldSpec],
    holders: &impl Fn(usize, State) -> H,
) -> Result<()> {
    let shared: Vec<usize> = (0..design.len()).filter(|&i| holders(i, State::Finished).count() > 1).collect();
    let mut readers: Vec<Reader> =
        parts.iter().zip(sizes).map(|(part, &size)| Reader::new(&part.folder, size, specs)).collect();
    let mut others: Vec<String> = vec![];
    for some in shared.chunks(AT_ONCE * comm.size()) {
        stop::check(comm, "while comparing")?;
        let (start, len) = share(some.len(), comm.size(), comm.rank());
        let mut differ = |&i: &usize| -> Result<()> {
            let row = design.row(i);
            let mut holders = holders(i, State::Finished);
            let Some((first, Some(whole))) =
                holders.next().map(|p| readers[p].read(&row).map(|w| (p, w))).transpose()?
            else {
                return Ok(());
            };
            for part in holders {
                let Some(other) = readers[part].read(&row)? else { continue };
                let pairs = whole.fields.iter().zip(&other.fields);
                let differs = specs.iter().zip(pairs).find(|(_, (a, b))| a.bytes() != b.bytes());
                if let Some((spec, _)) = differs {
                    let [was, is] = [first, part].map(|p| parts[p].folder.display());
                    others.push(format!("row {i} of {} is another in {is} than in {was}", spec.name));
                }
            }
            Ok(())
        };
        comm.agree(some[start..start + len].iter().try_for_each(&mut differ))?;
    }
    let all: Vec<String> = (0..comm.size()).flat_map(|r| comm.broadcast_value(r, Some(others.clone()))).collect();
    let Some(first) = all.first() else { return Ok(()) };
    let more = if all.len() > 1 { format!(" (and {} more)", all.len() - 1) } else { String::new() };
    let remedy = "find out which is right, and make the other one again in its folder: `polycosm simulate --redo ROW`";
    comm.agree(Err(Error::input(format!("{first}{more}")).remedy(remedy)))
}

/// The campaign of a part, as that of the merged folder.
fn campaign_of(part: &Path, into: &Path) -> Result<toml::Table> {
    let text = Provenance::read(&File::open(&index::path(part))?)?.campaign;
    let output = std::path::absolute(into).unwrap_or_else(|_| into.into()).display().to_string();
    let mut table: toml::Table = text.parse().map_err(|e| {
        let error = Error::failed(format!("its campaign cannot be read: {e}")).file(index::path(part)).key("campaign");
        error.remedy("copy that file here again from where it was made")
    })?;
    table.insert("output".into(), output.into());
    Ok(table)
}

/// Copies the snapshots of a simulation.
fn keep_snapshots(from: &Path, into: &Path, i: usize) -> Result<()> {
    let (from, into, start) = (from.join("snapshots"), into.join("snapshots"), format!("{i:06}"));
    let own = |name: &String| {
        let rest = name.strip_prefix(&start).filter(|_| !name.ends_with(TEMPORARY));
        rest.is_some_and(|rest| rest.starts_with(['.', '_']))
    };
    for name in names(&from)?.iter().filter(|name| own(name)) {
        std::fs::create_dir_all(&into).at(&into)?;
        publish_file(&into.join(name), |path| std::fs::copy(from.join(name), path).map(drop).at(path))?;
    }
    Ok(())
}

impl Merged {
    /// In words.
    pub fn told(&self) -> String {
        let from: Vec<String> = self.taken.iter().map(|(part, n)| format!("{n} from {}", part.display())).collect();
        let from = if from.is_empty() { "nothing new".into() } else { from.join(", ") };
        format!(
            "{} of {}: {from}; {} in several parts, and alike",
            self.there,
            count(self.total, "simulation"),
            self.shared
        )
    }
}
