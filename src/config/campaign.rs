//! The campaign file: the sections, each standing beside the code it configures, put together.

use super::explain::suggestion;
use super::origin::Entry;
use super::{Loaded, load};
use crate::comm::Comm;
use crate::cosmology::Cosmology;
use crate::error::{At, Error, Result};
use crate::io::dataset::Dataset;
#[cfg(feature = "torch")]
use crate::io::gadget;
use crate::io::identity::Identity;
use crate::io::index;
use crate::io::ours::keep_campaign;
use crate::io::provenance::Provenance;
use crate::io::stages::Stages;
#[cfg(not(feature = "torch"))]
use crate::io::stages::Wanted;
use crate::observables::HodConfig;
use crate::prior::{DrawnFrom, Prior};
#[cfg(feature = "torch")]
use crate::simulators::Look;
use crate::simulators::SimulatorConfig;
use crate::suite::fingerprint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The campaign file as written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder that everything is written to; made if absent.
    #[schemars(extend("x-type" = "path"))]
    pub output: PathBuf,
    /// Seed of the campaign. With a realisation's number it fixes a universe: to the last bit however large the job,
    /// and for another `suite.ranks_per_sim` to rounding (its initial noise to the last bit).
    #[serde(default)]
    pub seed: u64,
    /// What is the same in all universes: parameters that are not varied, and the transfer function.
    #[serde(default)]
    pub cosmology: crate::cosmology::CosmologyConfig,
    /// Which universes: the varied parameters, and how they fill their prior. Absent for foreign data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<crate::suite::design::DesignConfig>,
    /// How a universe is made. Absent for foreign data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulator: Option<crate::simulators::SimulatorConfig>,
    /// How the simulations share ranks and files.
    #[serde(default)]
    pub suite: crate::suite::SuiteConfig,
    /// Data made elsewhere, in place of `design` and `simulator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<crate::io::dataset::DatasetConfig>,
    /// Stages of training, in this order.
    #[cfg(feature = "torch")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<crate::train::StageConfig>,
    /// Without libtorch the stages are kept as they are, for another machine.
    #[cfg(not(feature = "torch"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<BTreeMap<String, serde_json::Value>>")]
    pub train: Vec<toml::Table>,
    /// Which posterior to draw from, and how often.
    #[cfg(feature = "torch")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infer: Option<crate::infer::InferConfig>,
    /// Without libtorch kept as it is, for another machine.
    #[cfg(not(feature = "torch"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub infer: Option<toml::Table>,
    /// How the posteriors are judged.
    #[serde(default)]
    pub calibrate: crate::calibration::CalibrateConfig,
    /// The page at the end.
    #[serde(default)]
    pub report: crate::report::ReportConfig,
}

/// A campaign with every check done that needs no simulation: what the subcommands run.
pub struct Plan {
    /// The resolved sections.
    pub config: Config,
    /// The resolved campaign as TOML: `<output>/campaign.toml`, also part of every file's provenance.
    pub resolved: String,
    /// The parameters that vary. Empty for foreign data, whose file tells.
    pub prior: Prior,
    /// The campaign as read, to say where a key stands.
    loaded: Loaded<Config>,
    /// What foreign data are, by field: they are hashed once.
    identities: RefCell<BTreeMap<String, Identity>>,
}

impl Config {
    /// Reads the campaign, with one message when it is wrong. Collective.
    pub fn load(comm: &Comm, path: &Path, sets: &[String]) -> Result<Loaded<Config>> {
        // Every rank reads the same file; `agree` makes the first refusal everyone's.
        comm.agree(load(path, sets))
    }

    /// The same with input files that are not found from the working directory looked for beside the campaign file.
    fn rebased(&self, file: &Path) -> Config {
        let mut config = self.clone();
        config.rebase(file.parent().unwrap_or(Path::new("")));
        config
    }

    fn rebase(&mut self, folder: &Path) {
        let found = |path: &Path| {
            let beside = folder.join(path);
            if !path.exists() && beside.exists() { beside } else { path.to_path_buf() }
        };
        if let Some(dataset) = &mut self.dataset {
            dataset.file = found(&dataset.file);
        }
        for table in self.cosmology.table.iter_mut().chain(self.cosmology.tables.values_mut()) {
            // A pattern names no file by itself: its folder decides.
            let place = Path::new(table.as_str()).parent().unwrap_or(Path::new("")).to_path_buf();
            let moved = found(&place);
            if moved != place && !Path::new(table.as_str()).exists() {
                *table = folder.join(table.as_str()).display().to_string();
            }
        }
        if let Some(simulator) = &mut self.simulator {
            simulator.files_mut().into_iter().for_each(|(_, file)| *file = found(file));
        }
        #[cfg(feature = "torch")]
        if let Some(infer) = &mut self.infer {
            infer.observations.iter_mut().for_each(|o| *o = found(o));
        }
    }

    /// What shapes the data, see [`fingerprint`]: a campaign that differs in it may not go on in the same folder. `given` are
    /// the keys that the file has.
    fn shape(&self, given: Vec<String>) -> serde_json::Value {
        let mut design = json!(self.design);
        if let (Some(config), Some(table)) = (&self.design, design.as_object_mut()) {
            // Said of the points, which it does not move.
            table.remove("prior");
            if config.extends() {
                table.remove("simulations");
            }
        }
        let simulator = self.simulator.as_ref();
        let sections = ["seed", "cosmology", "simulator", "design", "suite"];
        let given: Vec<_> =
            given.into_iter().filter(|k| sections.contains(&k.split('.').next().unwrap_or(""))).collect();
        json!({
            "seed": self.seed,
            "cosmology": self.cosmology,
            "simulator": simulator.map(SimulatorConfig::shaping),
            "design": design,
            "suite": { "shard_size": self.suite.shard_size },
            "numerics": simulator.map(SimulatorConfig::numerics),
            "given": given,
        })
    }

    /// The files that universes are made from, by the places of their names (JSON pointers): one, or one for each simulation.
    pub fn input_files(&self) -> Result<Vec<(String, Vec<PathBuf>)>> {
        let simulations = self.design.as_ref().map_or(0, |d| d.simulations as u64);
        let tables = self.cosmology.files(simulations)?.into_iter().map(|(place, paths)| ("/cosmology", place, paths));
        let mut simulator = self.simulator.clone();
        let fields = simulator.iter_mut().flat_map(|s| s.files_mut());
        let fields = fields.map(|(place, path)| ("/simulator", place, vec![path.clone()]));
        Ok(tables.chain(fields).map(|(section, place, paths)| (format!("{section}{place}"), paths)).collect())
    }

    /// The stages' inputs are fields of the simulator, or other stages.
    #[cfg(feature = "torch")]
    fn check_inputs(&self, fields: &[crate::io::field::FieldSpec]) -> Result<()> {
        let names: Vec<&str> = fields.iter().filter(|f| !f.ragged).map(|f| f.name.as_str()).collect();
        for stage in &self.train {
            let source = stage.input.as_str();
            if !names.contains(&source) && !self.train.iter().any(|s| s.name == source) {
                return Err(Error::input("is neither an array of the simulator's nor a stage")
                    .key(format!("train.{}.input", stage.name))
                    .value(source)
                    .remedy(format!("choose one of {}, or an earlier stage", names.join(", "))));
            }
            if fields.iter().any(|f| f.name == source && f.shape.len() > 4) {
                return Err(Error::input("has five axes; networks take at most views, channels, rows and columns")
                    .key(format!("train.{}.input", stage.name))
                    .value(source)
                    .remedy("learn from kappa, or set simulator.lightcone.light_cones = 1"));
            }
        }
        Ok(())
    }

    /// The [corners](Prior::corners) of the prior, and its middle, are universes that can be made.
    fn check_prior(&self, simulator: &SimulatorConfig, prior: &Prior, simulations: u64) -> Result<()> {
        let (own, known) = (simulator.parameters(), crate::cosmology::NAMES);
        if let Some(name) = prior.names().into_iter().find(|name| !own.contains(name) && !known.contains(name)) {
            let error = Error::input("is no parameter that can be varied").key(format!("design.parameters.{name}"));
            return Err(match HodConfig::NAMES.contains(&name) {
                true => error.remedy("add a section [simulator.galaxies]: galaxies alone depend on it"),
                false => error.remedy(suggestion(name, &[&known[..], own].concat(), "")),
            });
        }
        let (own, cosmological) = prior.clone().parameters.into_iter().partition(|p| own.contains(&p.name.as_str()));
        let (own, cosmological) = (Prior { parameters: own }, Prior { parameters: cosmological });
        own.try_corners(|theta| simulator.check_varied(&own.names().into_iter().zip(theta).collect::<Vec<_>>()))?;
        self.cosmology.check(&cosmological, simulations)?;
        cosmological.try_corners(|theta| {
            let varied: Vec<_> = cosmological.names().into_iter().zip(theta).collect();
            simulator.check_cosmology(&self.cosmology.resolve(&varied)?).map_err(|mut e| {
                let values: Vec<String> = varied.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                e.problem += &format!(" (in the universe of {})", values.join(", "));
                e
            })
        })
    }

    /// Refuses observations that the campaign's networks could not be shown, from their headers alone.
    #[cfg(feature = "torch")]
    fn check_observations(&self, prior: &Prior, fields: &[String]) -> Result<()> {
        let Some(infer) = self.infer.as_ref().filter(|i| !i.observations.is_empty()) else { return Ok(()) };
        let Some(simulator) = &self.simulator else {
            let error = Error::input("this campaign has no [simulator] to look at a snapshot with");
            return Err(error.key("infer.observations").remedy("leave observations out"));
        };
        let runner = simulator.runner(&self.cosmology, prior)?;
        let look = Look { fields: Some(fields), velocities: infer.velocities };
        infer.observations.iter().try_for_each(|file| runner.check_file(file, &look).map_err(|e| e.file(file)))
    }

    /// Refuses more shards than an index can link to; a folder that was `begun` with them goes on with a word.
    fn many_shards(&self, begun: bool) -> Result<Option<String>> {
        let (Some(design), Some(_)) = (&self.design, &self.simulator) else { return Ok(None) };
        let (m, n) = (self.suite.shard_size, design.simulations);
        let (shards, most) = (self.suite.shards(n), index::MOST_LINKS);
        if shards <= most {
            return Ok(None);
        }
        let problem =
            format!("{n} simulations make {shards} shards, and a program that reads dataset.h5 has all of them open");
        if begun {
            let problem = format!("suite.shard_size = {m}: {problem}");
            return Ok(Some(format!(
                "{problem}: beyond {most} it holds copies of all fields, and takes as much room again"
            )));
        }
        let enough = n.div_ceil(most).next_power_of_two();
        let error = Error::input(format!("{problem}: systems allow about 1000")).key("suite.shard_size").value(m);
        Err(error.remedy(format!("set suite.shard_size = {enough} (or more, where the design will grow)")))
    }

    /// Every section's own checks, and those that concern more than one.
    fn check(&self, prior: &Prior) -> Result<()> {
        let refuse = |problem: &str, key: &str, remedy: &str| Err(Error::input(problem).key(key).remedy(remedy));
        match (&self.simulator, &self.dataset) {
            (Some(_), Some(_)) => {
                let remedy = "keep [dataset] for foreign data, or [simulator]";
                return refuse("there is a [simulator] too", "dataset", remedy);
            }
            (None, None) => return refuse("is missing", "simulator", "add [simulator], or [dataset] for foreign data"),
            (Some(_), None) if self.design.is_none() => {
                return refuse("is missing", "design", "add [design] and [design.parameters]");
            }
            _ => {}
        }
        if let (Some(simulator), Some(design)) = (&self.simulator, &self.design) {
            // What is chosen is not needed here, but files and counts that allow no choice are refused.
            design.resolve(self.seed)?;
            simulator.check()?;
            self.suite.check(None)?;
            let SimulatorConfig::Pm(pm) = simulator;
            if let Some(grid) = pm.process_grid.filter(|g| g[0].checked_mul(g[1]) != Some(self.suite.ranks_per_sim)) {
                return Err(Error::input(format!("is no grid of {} rank(s)", self.suite.ranks_per_sim))
                    .key("simulator.process_grid")
                    .value(grid)
                    .remedy("make its product equal to suite.ranks_per_sim, or leave it out"));
            }
            self.check_prior(simulator, prior, design.simulations as u64)?;
            #[cfg(feature = "torch")]
            self.check_inputs(&simulator.runner(&self.cosmology, prior)?.specs())?;
        }
        if let Some(dataset) = &self.dataset {
            dataset.check()?;
        }
        self.calibrate.check()?;
        self.report.check()?;
        #[cfg(feature = "torch")]
        {
            crate::train::check_stages(&self.train)?;
            let names: Vec<&str> = self.train.iter().map(|s| s.name.as_str()).collect();
            if let Some(infer) = &self.infer {
                infer.check(&names)?;
                if let Some(missing) = infer.observations.iter().find(|o| !gadget::first(o).is_file()) {
                    return Err(Error::input("there is no such file")
                        .key("infer.observations")
                        .value(missing)
                        .remedy("give the path of a GADGET HDF5 snapshot, or leave observations out"));
                }
            }
        }
        Ok(())
    }
}

impl Plan {
    /// All checks but whether `output` can be written. Collective.
    pub fn new(loaded: &Loaded<Config>, comm: &Comm) -> Result<Plan> {
        let loaded = comm.agree(as_begun(loaded, comm.is_root()))?;
        let config = loaded.value.rebased(&loaded.path);
        let checked = || -> Result<_> {
            let prior = config.design.as_ref().map_or(Prior::new(vec![]), |d| d.parameters.prior())?;
            config.check(&prior)?;
            let many = config.many_shards(fingerprint::read(&config.output).ok().flatten().is_some())?;
            Ok((prior, loaded.resolved()?, many))
        };
        let (prior, resolved, many) = comm.agree(checked().map_err(|e| loaded.locate(e)))?;
        if comm.is_root() {
            let warnings = config.simulator.iter().flat_map(|s| s.warnings(&config.cosmology, &prior));
            warnings.chain(many).for_each(|warning| log::warn!("{warning}"));
        }
        let plan = Plan { config, resolved, prior, loaded, identities: RefCell::default() };
        #[cfg(feature = "torch")]
        comm.on_root(|| {
            plan.config.check_observations(&plan.prior, &plan.observed_fields()).map_err(|e| plan.locate(e))
        })?;
        Ok(plan)
    }

    /// The fields that the posteriors' networks read, those below them included.
    #[cfg(feature = "torch")]
    pub fn observed_fields(&self) -> Vec<String> {
        let input = |name: &str| self.config.train.iter().find(|s| s.name == name).map(|s| s.input.clone());
        let field = |stage: String| std::iter::successors(Some(stage), |name| input(name)).last();
        let mut fields: Vec<String> = self.posteriors().into_iter().filter_map(field).collect();
        fields.sort();
        fields.dedup();
        fields
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

    /// The middle of the prior, which stands for all universes where one must.
    pub fn middle(&self) -> Vec<f64> {
        self.prior.from_unit(&vec![0.5; self.prior.len()])
    }

    /// The cosmology of a design point.
    pub fn cosmology(&self, theta: &[f64]) -> Result<Cosmology> {
        let own = self.config.simulator.as_ref().map_or(&[][..], SimulatorConfig::parameters);
        let varied = self.prior.names().into_iter().zip(theta.iter().copied());
        self.config.cosmology.resolve(&varied.filter(|(name, _)| !own.contains(name)).collect::<Vec<_>>())
    }

    /// The dataset that networks learn from, opened; refused with the remedy when it is not complete yet.
    pub fn open_dataset(&self) -> Result<Dataset> {
        match &self.config.dataset {
            Some(foreign) => foreign.open(),
            None if self.dataset().exists() => {
                let mut dataset = Dataset::open(self.dataset(), "theta")?;
                if dataset.prior != self.prior {
                    let error = Error::input("its universes were drawn from another prior than the campaign has now");
                    let error = error.file(&dataset.path).key("design.parameters");
                    return Err(error.remedy("set [design.parameters] back, or give another output"));
                }
                // What the campaign says now of its own design counts, also for a file of an older program.
                dataset.drawn_from = self.drawn_from().unwrap_or(dataset.drawn_from);
                Ok(dataset)
            }
            None => {
                Err(Error::input("the dataset is not complete").file(self.dataset()).remedy("run `polycosm simulate`"))
            }
        }
    }

    /// Refuses a campaign that would not make the universes of its dataset: what networks learned from them is not for others.
    /// With `looks` the simulator is to look at something itself, with the numerics that the universes have. Collective.
    pub fn check_begun(&self, comm: &Comm, looks: bool) -> Result<()> {
        comm.on_root(|| {
            let begun = if self.config.simulator.is_some() { fingerprint::read(&self.config.output)? } else { None };
            let Some(begun) = begun else { return Ok(()) };
            let (mut shape, files) = (self.shape(), self.config.input_files()?);
            shape["files"] = fingerprint::digests(&files)?;
            // How universes are packed is nothing to those who read them.
            for key in ["suite"].into_iter().chain((!looks).then_some("numerics")) {
                shape[key] = begun.get(key).cloned().unwrap_or_default();
            }
            fingerprint::compare(&self.config.output, &begun, &shape, &files).map_err(|e| self.locate(e))
        })
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

    /// What one of the dataset's fields is. Collective.
    pub fn identity(&self, comm: &Comm, dataset: &Dataset, field: &str) -> Result<Identity> {
        let known = self.identities.borrow().get(field).cloned();
        let identity = known.map_or_else(|| Identity::of(comm, dataset, field), Ok)?;
        if self.config.dataset.is_some() {
            self.identities.borrow_mut().insert(field.into(), identity.clone());
        }
        Ok(identity)
    }

    /// The training stages as their files tell.
    pub fn stages(&self) -> Stages {
        let folder = self.under(&["train"]);
        #[cfg(feature = "torch")]
        return crate::train::records(&self.config.train, &folder, self.config.seed);
        #[cfg(not(feature = "torch"))]
        {
            let text = |s: &toml::Table, key| s.get(key).and_then(toml::Value::as_str).unwrap_or("").to_string();
            let wanted = self.config.train.iter();
            let wanted = wanted.map(|s| Wanted { name: text(s, "name"), input: text(s, "input"), config: None });
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
            keep_campaign(&self.config.output, &self.resolved)
        })
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

/// Refuses an output folder that cannot be made or written to, without making it: its nearest existing ancestor decides.
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
