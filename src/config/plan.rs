//! A campaign with every check done, and where its results stand: what the subcommands run.

use super::Loaded;
use super::campaign::Config;
use super::origin::Entry;
use crate::comm::Comm;
use crate::error::{At, Error, Result, campaign};
use crate::exact::EXACT;
use crate::io::dataset::Dataset;
use crate::io::hdf::File;
use crate::io::identity::Identity;
use crate::io::known::Known;
use crate::io::ours::keep_campaign;
use crate::io::provenance::Provenance;
use crate::io::simulation;
use crate::io::stages::Stages;
#[cfg(not(feature = "torch"))]
use crate::io::stages::Wanted;
use crate::prior::{DrawnFrom, Prior};
use crate::simulators::Universes;
use crate::suite::design::{Derivation, Design};
use crate::suite::fingerprint;
use crate::suite::observe::changes;
use crate::suite::shard_size::ShardSize;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// A campaign with every check done that needs no simulation: what the subcommands run.
pub struct Plan {
    /// The resolved sections.
    pub config: Config,
    /// The resolved campaign as TOML, its paths from the root: `<output>/campaign.toml`, also part of every file's
    /// provenance.
    pub resolved: String,
    /// The parameters that vary. Empty for foreign data, whose file tells.
    pub prior: Prior,
    /// What the points of the design are drawn from: the same, or the wider prior that the folder was begun with.
    pub begun: Prior,
    /// What computes the derived parameters, where there are any.
    pub derivation: Option<Derivation>,
    /// The campaign as read, to say where a key stands.
    loaded: Loaded<Config>,
    /// What foreign fields hold: they are hashed once.
    known: RefCell<Known>,
}

impl Plan {
    /// All checks but whether `output` can be written. Collective.
    pub fn new(loaded: &Loaded<Config>, comm: &Comm) -> Result<Plan> {
        let mut loaded = comm.agree(as_begun(loaded, comm.is_root()))?;
        loaded.value.complete();
        let mut config = loaded.value.rebased(&loaded.path);
        let checked = || -> Result<_> {
            let prior = config.design.as_ref().map_or(Prior::new(vec![]), |d| d.parameters.prior())?;
            let begun = fingerprint::read(&config.output).ok().flatten().filter(|_| config.simulator.is_some());
            let begun = begun.and_then(|shape| fingerprint::prior(&shape)).filter(|begun| prior.within(begun));
            let begun = begun.unwrap_or_else(|| prior.clone());
            config.check(&begun)?;
            config.design.as_ref().map_or(Ok(()), |design| design.check_fiducial(&prior))?;
            let size = config.suite.shard_size;
            let simulator = config.simulator.as_ref().filter(|_| matches!(size, ShardSize::Bytes(_)));
            let size = match simulator {
                Some(simulator) => size.resolved(&simulator.runner(&config.universes(&begun))?.specs())?,
                None => size,
            };
            let narrower = begun != prior;
            let (prior, derivation) = config.derive(config.cut(prior)?)?;
            let begun = if narrower { config.derive(config.cut(begun)?)?.0 } else { prior.clone() };
            Ok((prior, begun, derivation, size))
        };
        let (prior, begun, derivation, size) = comm.agree(checked().map_err(|e| loaded.locate(e)))?;
        (config.suite.shard_size, loaded.value.suite.shard_size) = (size, size);
        let many = || -> Result<_> {
            let many = config.many_shards(fingerprint::read(&config.output).ok().flatten().is_some())?;
            Ok((Loaded { value: config.absolute(), ..loaded.clone() }.resolved()?, many))
        };
        let (resolved, many) = comm.agree(many().map_err(|e| loaded.locate(e)))?;
        if comm.is_root() {
            let warnings = config.simulator.iter().flat_map(|s| s.warnings(&config.universes(&begun)));
            warnings.chain(many).for_each(|warning| log::warn!("{warning}"));
        }
        let known = RefCell::new(Known::at(config.output.join("train/contents.json")));
        Ok(Plan { config, resolved, prior, begun, derivation, loaded, known })
    }

    /// Refuses observations that could not be looked at, for those who will, now or when the networks are trained.
    /// Collective.
    pub fn check_observations(&self, comm: &Comm) -> Result<()> {
        #[cfg(feature = "torch")]
        comm.on_root(|| {
            self.config.check_observations(&self.prior, &self.observed_fields()).map_err(|e| self.locate(e))
        })?;
        let _ = comm;
        Ok(())
    }

    /// The fields that the posteriors' networks read, those below them included.
    #[cfg(feature = "torch")]
    pub fn observed_fields(&self) -> Vec<String> {
        let stages = self.stages();
        let mut fields: Vec<String> =
            self.posteriors().iter().flat_map(|stage| stages.inputs(stage)).map(String::from).collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// Name of the array of parameters.
    pub fn theta_name(&self) -> &str {
        self.config.dataset.as_ref().map_or("theta", |data| data.theta.as_str())
    }

    /// Makes sure that `output` can be written, and leaves nothing behind if it cannot. Collective.
    pub fn writable(&self, comm: &Comm) -> Result<()> {
        comm.on_root(|| writable(&self.config.output).map_err(|e| self.locate(e)))?;
        if let (true, Ok(output)) = (comm.is_root(), std::path::absolute(&self.config.output)) {
            log::info!("output: {}", output.display());
        }
        Ok(())
    }

    /// The same where nothing is written yet: a folder that was begun may have become an archive, which is told.
    pub fn writable_or_archived(&self, comm: &Comm) -> Result<()> {
        let archived =
            comm.is_root() && (self.config.output.join("fingerprint.json").exists() || self.timings().exists());
        match self.writable(comm) {
            Err(e) if comm.any(archived) => {
                if comm.is_root() {
                    log::warn!("{e}; it can be looked at, verified and exported");
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Every resolved value with its origin, in the struct's order.
    pub fn origins(&self) -> Result<Vec<Entry>> {
        self.loaded.origins()
    }

    /// What shapes the data, but for the contents of input files.
    pub fn shape(&self) -> serde_json::Value {
        self.config.shape(self.loaded.given())
    }

    /// Refuses to simulate with groups that are larger than the job.
    pub fn check_groups(&self, comm: &Comm) -> Result<()> {
        comm.agree(self.config.suite.check(Some(comm.size())).map_err(|e| self.locate(e)))
    }

    /// Adds file, line and value to an error about one of the campaign's keys.
    pub fn locate(&self, error: Error) -> Error {
        self.loaded.locate(error)
    }

    /// Simulations in a shard: bytes are resolved.
    pub fn shard_size(&self) -> usize {
        self.config.suite.shard_size.simulations(&[])
    }

    /// The campaign's universes, for whoever asks its simulator.
    pub fn universes(&self) -> Universes<'_> {
        self.config.universes(&self.begun)
    }

    /// The dataset that networks learn from, opened, be it unfinished; refused with the remedy where there is none yet.
    pub fn open_dataset(&self) -> Result<Dataset> {
        match &self.config.dataset {
            Some(foreign) => foreign.open(),
            None if self.dataset().exists() => {
                let mut dataset = Dataset::open(self.dataset(), "theta")?;
                if !self.prior.within(&dataset.prior) {
                    let error = Error::input("its universes were drawn from another prior than the campaign has now");
                    let error = error.file(&dataset.path).key("design.parameters");
                    return Err(error.remedy("set [design.parameters] back, or give another output"));
                }
                // What the campaign says now of its own design counts, also for a file of an older program.
                dataset.drawn_from = self.drawn_from().unwrap_or(dataset.drawn_from);
                if let Some(design) = &self.config.design {
                    dataset.narrow(&self.prior, [design.validation, design.test])?;
                }
                self.derive_dataset(&mut dataset);
                Ok(dataset)
            }
            None => {
                let error = Error::input("there is no dataset: no simulation of it is packed").file(self.dataset());
                Err(error.remedy("run `polycosm simulate`"))
            }
        }
    }

    /// Refuses a campaign that would not make the universes of its folder: what networks learned from them is not for
    /// others. With `looks` the simulator is to look at something itself, with the numerics that the universes have.
    /// Collective.
    pub fn check_begun(&self, comm: &Comm, looks: bool) -> Result<()> {
        comm.on_root(|| {
            let begun = if self.config.simulator.is_some() { fingerprint::read(&self.config.output)? } else { None };
            let Some(begun) = begun else { return Ok(()) };
            let (mut shape, files) = (self.shape(), self.config.input_files()?);
            shape["files"] = fingerprint::digests(&files)?;
            if !looks {
                shape["numerics"] = begun.get("numerics").cloned().unwrap_or_default();
            }
            fingerprint::compare(&self.config.output, &begun, &shape, &files).map_err(|e| self.locate(e))?;
            let (Some(simulator), true) = (&self.config.simulator, self.dataset().exists()) else { return Ok(()) };
            let was = simulation::fields(&File::open(&self.dataset())?)?;
            let now = simulator.runner(&self.universes())?.specs();
            // Networks go on with what an older program made, and with sections of which it made fewer fields.
            let older = was.iter().all(|spec| spec.seen.is_empty());
            let begun_so = |name: &String, key: &str| {
                older && was.iter().all(|spec| spec.name != *name) && !fingerprint::begun_with(&begun, key).is_null()
            };
            let counts = |name: &String, key: &str| looks || !(key.starts_with("numerics.") || begun_so(name, key));
            let changes = changes(&was, &now, &begun, &shape);
            let found = changes.iter().find(|(name, (_, key))| counts(name, key));
            let Some((name, (what, key))) = found else { return Ok(()) };
            let file = self.dataset();
            let error = Error::input(format!("the universes in {} have other fields: {name} {what}", file.display()));
            let again = format!("run `polycosm observe {}`", campaign());
            let remedy = format!("{again}, which makes fields again of what was kept, or set the keys back");
            Err(self.locate(error.key(key).remedy(remedy)))
        })
    }

    /// The universes of the campaign's own design; `None` without one.
    pub fn design(&self) -> Result<Option<Design>> {
        self.config.design_of(&self.begun).map_err(|e| self.locate(e))
    }

    /// How the campaign's own design was drawn; foreign data tell themselves.
    pub fn drawn_from(&self) -> Option<DrawnFrom> {
        let own = self.config.design.as_ref().filter(|_| self.config.dataset.is_none());
        own.map(|design| design.drawn_from())
    }

    /// This run's provenance. Collective.
    pub fn provenance(&self, comm: &Comm) -> Provenance {
        Provenance::collect(comm, self.config.seed, &self.resolved)
    }

    /// Names of the training stages, in order.
    pub fn stage_names(&self) -> Vec<String> {
        #[cfg(feature = "torch")]
        let names = self.config.train.iter().map(|s| s.name.clone()).collect();
        #[cfg(not(feature = "torch"))]
        let names = self.config.train.iter().filter_map(|s| s.get("name")?.as_str().map(String::from)).collect();
        names
    }

    /// Samples of a step of a stage; `None` in a program without libtorch.
    pub fn batch_size(&self, stage: &str) -> Option<usize> {
        #[cfg(feature = "torch")]
        return self.config.train.iter().find(|s| s.name == stage).map(|s| s.batch_size);
        #[cfg(not(feature = "torch"))]
        {
            let _ = stage;
            None
        }
    }

    /// Epochs of a stage, all phases together; `None` where nobody can tell.
    pub fn epochs(&self, stage: &str) -> Option<u64> {
        #[cfg(feature = "torch")]
        return self.config.train.iter().find(|s| s.name == stage).map(|s| s.network.epochs(s.epochs));
        #[cfg(not(feature = "torch"))]
        {
            let _ = stage;
            None
        }
    }

    /// The posterior that the campaign is about, and its baseline where there is one.
    pub fn posteriors(&self) -> Vec<String> {
        #[cfg(feature = "torch")]
        let names =
            self.config.infer.iter().flat_map(|i| std::iter::once(i.posterior.clone()).chain(i.baseline.clone()));
        #[cfg(not(feature = "torch"))]
        let names = self.config.infer.iter().flat_map(|i| {
            ["posterior", "baseline"].into_iter().filter_map(|key| i.get(key)?.as_str().map(String::from))
        });
        names.collect()
    }

    /// The same, and the exact posterior where it was drawn: what is judged and shown.
    pub fn judged(&self) -> Vec<String> {
        let mut names = self.posteriors();
        if self.posterior(EXACT).exists() && !self.stage_names().iter().any(|name| name == EXACT) {
            names.push(EXACT.into());
        }
        names
    }

    /// Draws of each universe, where posteriors are drawn.
    pub fn draws(&self) -> Option<usize> {
        #[cfg(feature = "torch")]
        return self.config.infer.as_ref().map(|infer| infer.draws);
        #[cfg(not(feature = "torch"))]
        self.config.infer.as_ref().and_then(|infer| usize::try_from(infer.get("draws")?.as_integer()?).ok())
    }

    /// What these of the dataset's fields are. Collective.
    pub fn identity(&self, comm: &Comm, dataset: &Dataset, fields: &[&str]) -> Result<Identity> {
        let mut known = self.known.borrow_mut();
        let identity = Identity::with(comm, dataset, fields, &mut known)?;
        if comm.is_root() {
            known.save();
        }
        Ok(identity)
    }

    /// What a training stage is part of. Collective.
    #[cfg(feature = "torch")]
    pub fn context<'a>(
        &'a self,
        comm: &'a Comm,
        records: &'a Stages,
        dataset: &'a Dataset,
        identity: &'a Identity,
        by: &'a Provenance,
    ) -> crate::train::Context<'a> {
        let (stages, seed, device) = (&self.config.train[..], self.config.seed, crate::nets::device(comm));
        crate::train::Context { comm, stages, records, dataset, identity, seed, device, by }
    }

    /// The training stages as their files tell.
    pub fn stages(&self) -> Stages {
        let folder = self.under(&["train"]);
        #[cfg(feature = "torch")]
        return crate::train::records(&self.config.train, &folder, self.config.seed);
        #[cfg(not(feature = "torch"))]
        {
            let texts = |s: &toml::Table, key| match s.get(key) {
                Some(toml::Value::Array(all)) => all.iter().filter_map(|v| v.as_str()).map(String::from).collect(),
                value => value.and_then(toml::Value::as_str).map(String::from).into_iter().collect::<Vec<_>>(),
            };
            let wanted = self.config.train.iter().map(|s| {
                let [name, inputs, targets] = ["name", "input", "target"].map(|key| texts(s, key));
                let average = s.get("data").and_then(|data| data.get("average")?.as_integer()).map(|n| n as usize);
                Wanted { name: name.concat(), inputs, targets, config: None, average }
            });
            Stages { folder, wanted: wanted.collect(), normal: Clone::clone }
        }
    }

    fn under(&self, parts: &[&str]) -> PathBuf {
        parts.iter().fold(self.config.output.clone(), |path, part| path.join(part))
    }

    /// The dataset that networks learn from: the campaign's own index, or the foreign file.
    pub fn dataset(&self) -> PathBuf {
        self.config.dataset.as_ref().map_or_else(|| self.under(&["dataset.h5"]), |d| d.file.clone())
    }

    /// Folder of a training stage.
    pub fn stage(&self, name: &str) -> PathBuf {
        self.under(&["train", name])
    }

    /// Posterior samples of the test split.
    pub fn posterior(&self, stage: &str) -> PathBuf {
        self.under(&["posterior", &format!("{stage}.h5")])
    }

    /// Posterior samples of an observation.
    pub fn observed(&self, name: &str, stage: &str) -> PathBuf {
        self.under(&["posterior", &format!("observation-{name}-{stage}.h5")])
    }

    /// Verdict on a posterior.
    pub fn calibration(&self, stage: &str) -> PathBuf {
        self.under(&["calibration", &format!("{stage}.json")])
    }

    /// Writes the resolved campaign beside what is computed from it. Collective.
    pub fn record(&self, comm: &Comm) -> Result<()> {
        comm.on_root(|| {
            std::fs::create_dir_all(&self.config.output).at(&self.config.output)?;
            self.known.borrow_mut().save();
            keep_campaign(&self.config.output, &self.resolved)
        })
    }

    /// The forecast of a fiducial set.
    pub fn forecast(&self) -> PathBuf {
        self.under(&["forecast.h5"])
    }

    /// Folder of the report.
    pub fn report(&self) -> PathBuf {
        self.under(&["report"])
    }

    /// Wall-clock times of the stages.
    pub fn timings(&self) -> PathBuf {
        self.under(&["timings.json"])
    }
}

/// The campaign with the defaults that its folder was begun with, in words.
fn as_begun(loaded: &Loaded<Config>, speak: bool) -> Result<Loaded<Config>> {
    let output = &loaded.value.output;
    // A fingerprint that cannot be read is for those who would go on with the folder to tell.
    let Some(begun) = loaded.value.simulator.as_ref().and_then(|_| fingerprint::read(output).ok().flatten()) else {
        return Ok(loaded.clone());
    };
    let changed = fingerprint::changed_defaults(&begun, &loaded.value.rebased(&loaded.path).shape(loaded.given()));
    for fingerprint::Changed { key, begun, default } in changed.iter().filter(|_| speak) {
        log::warn!(
            "{key} is not given, and by default {default} now; {} was begun with {begun} and goes on with it (give \
             {key} to say which is meant)",
            output.display()
        );
    }
    let values: Vec<_> = changed.into_iter().map(|c| (c.key, c.begun.to_string())).collect();
    loaded.as_begun(&values)
}

/// Refuses an output folder that cannot be made or written to, without making it: its nearest existing ancestor
/// decides.
pub fn writable(output: &Path) -> Result<()> {
    let refuse = |problem: String| {
        let remedy = "choose a folder you may write to: --set output=DIR";
        Error::input(problem).key("output").value(output.display().to_string()).remedy(remedy)
    };
    let absolute = std::path::absolute(output).map_err(|e| refuse(format!("not a path: {e}")))?;
    let nearest = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    if !nearest.is_dir() {
        return Err(refuse(format!("cannot be a folder: {} is a file", nearest.display())));
    }
    // An unnamed file: tried for real (permissions, read-only and full disks), and gone by itself.
    tempfile::tempfile_in(nearest).map(drop).map_err(|e| refuse(format!("cannot be written: {e}")))
}
