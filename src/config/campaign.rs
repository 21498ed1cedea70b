//! The campaign file: the sections, each standing beside the code it configures, put together.

use super::explain::suggestion;
use super::{Loaded, load};
use crate::comm::Comm;
use crate::cosmology::DERIVED;
use crate::error::{self, Error, Result};
use crate::io::index;
use crate::io::observation::chosen;
#[cfg(feature = "torch")]
use crate::io::observation::{FieldFile, Learned};
#[cfg(feature = "torch")]
use crate::models::Estimand;
use crate::prior::Prior;
#[cfg(feature = "torch")]
use crate::simulators::Look;
use crate::simulators::{SimulatorConfig, Universes};
use crate::suite::design;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Draws that tell what is left of a prior.
const DRAWS: usize = 1024;
/// Enough of them for a remedy.
const FEW_DRAWS: usize = 64;
/// What must be left.
const LEAST_LEFT: f64 = 0.01;

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
    /// What is the same in all universes: parameters that are not varied, and the transfer function. Absent where the
    /// simulator's universes have no cosmology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "its defaults"))]
    pub cosmology: Option<crate::cosmology::CosmologyConfig>,
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
    #[schemars(with = "Vec<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub train: Vec<toml::Table>,
    /// Which posterior to draw from, and how often.
    #[cfg(feature = "torch")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infer: Option<crate::infer::InferConfig>,
    /// Without libtorch kept as it is, for another machine.
    #[cfg(not(feature = "torch"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub infer: Option<toml::Table>,
    /// How the posteriors are judged.
    #[serde(default)]
    pub calibrate: crate::calibration::CalibrateConfig,
    /// The page at the end.
    #[serde(default)]
    pub report: crate::report::ReportConfig,
}

impl Config {
    /// Reads the campaign, with one message when it is wrong. Collective.
    pub fn load(comm: &Comm, path: &Path, sets: &[String]) -> Result<Loaded<Config>> {
        error::work_on(path, sets);
        // Every rank reads the same file; `agree` makes the first refusal everyone's.
        comm.agree(load(path, sets))
    }

    /// The same with input files that are not found from the working directory looked for beside the campaign file.
    pub(super) fn rebased(&self, file: &Path) -> Config {
        let mut config = self.clone();
        config.complete();
        let folder = file.parent().unwrap_or(Path::new(""));
        let there = |path: &Path| match path.display().to_string().contains('{') {
            // A pattern names no file by itself: its folder decides.
            true => path.exists() || path.parent().is_some_and(Path::exists),
            false => chosen(path).0.exists(),
        };
        config.each_input(|path| {
            let beside = folder.join(path);
            if !there(path) && there(&beside) { beside } else { path.to_path_buf() }
        });
        config
    }

    /// The same with all paths from the root, so that it can be used from wherever it is read.
    pub(super) fn absolute(&self) -> Config {
        let mut config = self.clone();
        // TOML is UTF-8: a path that is not stays as it is written.
        let absolute = |path: &Path| {
            let absolute = std::path::absolute(path).ok().filter(|path| path.to_str().is_some());
            absolute.unwrap_or(path.to_path_buf())
        };
        config.each_input(absolute);
        config.output = absolute(&config.output);
        config.design.iter_mut().flat_map(|design| &mut design.file).for_each(|file| *file = absolute(file));
        config
    }

    /// A `[cosmology]` that is left out is one of defaults, unless the simulator's universes have none.
    pub(super) fn complete(&mut self) {
        if self.simulator.as_ref().is_none_or(|s| s.needs_cosmology()) {
            self.cosmology.get_or_insert_default();
        }
    }

    /// The universes of this campaign, in which `prior` varies.
    pub(super) fn universes<'a>(&'a self, prior: &'a Prior) -> Universes<'a> {
        Universes { cosmology: self.cosmology.as_ref(), prior, ranks: self.suite.ranks_per_sim }
    }

    /// Names the input files anew, but for the list of a design.
    fn each_input(&mut self, named: impl Fn(&Path) -> PathBuf) {
        if let Some(dataset) = &mut self.dataset {
            dataset.file = named(&dataset.file);
        }
        for table in self.cosmology.iter_mut().flat_map(|c| c.table.iter_mut().chain(c.tables.values_mut())) {
            *table = named(Path::new(table.as_str())).display().to_string();
        }
        if let Some(simulator) = &mut self.simulator {
            simulator.files_mut().into_iter().for_each(|(_, file)| *file = named(file));
        }
        #[cfg(feature = "torch")]
        self.infer.iter_mut().flat_map(|infer| &mut infer.observations).for_each(|file| *file = named(file));
        #[cfg(feature = "torch")]
        self.train.iter_mut().flat_map(|stage| &mut stage.data.masks).for_each(|mask| mask.file = named(&mask.file));
        #[cfg(not(feature = "torch"))]
        {
            let masks =
                self.train.iter_mut().filter_map(|stage| stage.get_mut("data")?.get_mut("masks")?.as_array_mut());
            let masks = masks.flatten().filter_map(|mask| mask.get_mut("file"));
            let observed = self.infer.iter_mut().filter_map(|infer| infer.get_mut("observations")?.as_array_mut());
            for file in masks.chain(observed.flatten()) {
                *file = file.as_str().map_or(file.clone(), |text| named(Path::new(text)).display().to_string().into());
            }
        }
    }

    /// What shapes the data, see [`crate::suite::fingerprint`]: a campaign that differs in it may not go on in the same
    /// folder. `given` are the keys that the file has.
    pub(super) fn shape(&self, given: Vec<String>) -> serde_json::Value {
        let mut design = json!(self.design);
        if let (Some(config), Some(table)) = (&self.design, design.as_object_mut()) {
            // Said of the points, which it does not move.
            table.remove("prior");
            table.remove("derived");
            // Rows are compared one by one.
            if config.extends() {
                table.remove("simulations");
                table.remove("pairs");
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
            "numerics": simulator.map(|s| s.numerics()),
            "given": given,
            "seen": simulator.map_or(vec![], |s| s.seen()).into_iter().map(|k| format!("simulator.{k}")).collect::<Vec<_>>(),
        })
    }

    /// The files that universes are made from, by the places of their names (JSON pointers): one, or one for each
    /// simulation.
    pub fn input_files(&self) -> Result<Vec<(String, Vec<PathBuf>)>> {
        let simulations = self.design.as_ref().map_or(0, |d| d.simulations as u64);
        let tables = self.cosmology.as_ref().map_or(Ok(vec![]), |c| c.files(0..simulations))?;
        let tables = tables.into_iter().map(|(place, paths)| ("/cosmology", place, paths));
        let mut simulator = self.simulator.clone();
        let fields = simulator.iter_mut().flat_map(|s| s.files_mut());
        let fields = fields.map(|(place, path)| ("/simulator", place, vec![path.clone()]));
        Ok(tables.chain(fields).map(|(section, place, paths)| (format!("{section}{place}"), paths)).collect())
    }

    /// The stages' columns are fields of the simulator, or other stages; targets may be parameters.
    #[cfg(feature = "torch")]
    fn check_inputs(&self, fields: &[crate::io::field::FieldSpec], prior: &Prior) -> Result<()> {
        let spec = |name: &str| fields.iter().find(|f| f.name == name).cloned();
        let derived = || self.design.iter().flat_map(|d| d.derived.0.iter().map(|(name, _)| name.as_str()));
        crate::train::check_names(&self.train, fields, prior, |name| spec(name).is_some())?;
        for stage in &self.train {
            let lists = stage.network.takes_lists() || stage.data.pieces.as_ref().is_some_and(|pieces| pieces.rows);
            let known = fields.iter().filter(|f| lists || !f.ragged);
            let names: Vec<&str> = known.map(|f| f.name.as_str()).chain(prior.names()).chain(derived()).collect();
            for (key, name) in stage.columns() {
                if !lists && fields.iter().any(|f| f.ragged && f.name == name) {
                    let error = Error::input("is a list, and this network reads arrays");
                    let error = error.key(format!("train.{}.{key}", stage.name)).value(name);
                    return Err(
                        error.remedy("name an array, or let its rows be samples: [train.data.pieces] rows = true")
                    );
                }
                if !names.contains(&name) && crate::train::source(&self.train, name).is_none() {
                    return Err(Error::input("is neither an array of the simulator's nor a stage")
                        .key(format!("train.{}.{key}", stage.name))
                        .value(name)
                        .remedy(format!("choose one of {}, or an earlier stage", names.join(", "))));
                }
            }
        }
        crate::train::check_views(&self.train, spec)
    }

    /// The [corners](Prior::corners) of the prior (or of a box within it), and its middle, are universes that can be
    /// made.
    fn check_prior(&self, simulator: &SimulatorConfig, prior: &Prior, simulations: u64) -> Result<()> {
        let own = simulator.parameters();
        let known: Vec<&str> = self.cosmology.iter().flat_map(|_| crate::cosmology::NAMES).collect();
        let known = [known, self.cosmology.iter().flat_map(|_| DERIVED.iter().map(|d| d.name)).collect()].concat();
        let known = [known, own.iter().map(String::as_str).collect()].concat();
        if let Some(name) = prior.names().into_iter().find(|name| !known.contains(name)) {
            let error = Error::input("is no parameter that can be varied").key(format!("design.parameters.{name}"));
            let remedy = simulator.would_vary(name);
            return Err(error.remedy(remedy.unwrap_or_else(|| suggestion(name, &known, "this simulator has none"))));
        }
        let is_own = |name: &str| own.iter().any(|known| known == name);
        let (own, cosmological) = (prior.part(is_own)?, prior.part(|name| !is_own(name))?);
        own.try_corners(|theta| simulator.check_varied(&own.names().into_iter().zip(theta).collect::<Vec<_>>()))?;
        let Some(cosmology) = &self.cosmology else { return Ok(()) };
        cosmology.check(&cosmological, simulations)?;
        cosmological.try_corners(|theta| {
            let varied: Vec<_> = cosmological.names().into_iter().zip(theta).collect();
            simulator.check_cosmology(&cosmology.resolve(&varied)?).map_err(|mut e| {
                let values: Vec<String> = varied.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                e.problem += &format!(" (in the universe of {})", values.join(", "));
                e
            })
        })
    }

    /// Refuses a universe that cannot be made.
    pub(super) fn possible(&self, prior: &Prior, theta: &[f64]) -> Result<()> {
        let Some(simulator) = &self.simulator else { return Ok(()) };
        let of_simulator = simulator.parameters();
        let is_own = |(name, _): &(&str, f64)| of_simulator.iter().any(|known| known == name);
        let (own, cosmological): (Vec<_>, Vec<_>) = prior.theta(theta).iter().partition(is_own);
        simulator.check_varied(&own)?;
        match &self.cosmology {
            Some(cosmology) => simulator.check_cosmology(&cosmology.possible(&cosmological)?),
            None => Ok(()),
        }
    }

    /// The prior of the universes that the design does not pass over.
    pub(super) fn cut(&self, prior: Prior) -> Result<Prior> {
        if self.design.as_ref().is_none_or(|design| design.reject == design::Reject::Refuse) {
            return Ok(prior);
        }
        let cut = prior.cut(DRAWS, |theta| self.possible(&prior, theta).is_ok())?;
        match &cut.accepted {
            Some(left) if left.fraction().0 < LEAST_LEFT => {
                let problem =
                    format!("of {} draws from the prior {} are universes that can be made", left.of, left.kept);
                let error = Error::input(problem).key("design.reject").value("redraw");
                Err(error.remedy("narrow the priors: 1% of them at least must be possible"))
            }
            _ => Ok(cut),
        }
    }

    /// The universes of the design, whose points are of `prior`.
    pub(super) fn design_of(&self, prior: &Prior) -> Result<Option<design::Design>> {
        let possible = |theta: &[f64]| self.possible(prior, theta).is_ok();
        let own = self.design.as_ref().filter(|_| self.simulator.is_some());
        own.map(|design| design.resolve_among(prior, self.seed, possible)).transpose()
    }

    /// True if the simulator itself looks at such an observation; else it is a file of fields.
    pub fn is_looked_at(&self, file: &Path) -> bool {
        self.simulator.as_ref().is_some_and(|simulator| simulator.observes(file))
    }

    /// Refuses observations that are not there or could not be shown to the campaign's networks, without reading all of
    /// them.
    #[cfg(feature = "torch")]
    pub(super) fn check_observations(&self, prior: &Prior, fields: &[String]) -> Result<()> {
        let Some(infer) = self.infer.as_ref().filter(|i| !i.observations.is_empty()) else { return Ok(()) };
        let there = |named: &PathBuf| chosen(named).0.is_file() || self.is_looked_at(named);
        if let Some(missing) = infer.observations.iter().find(|named| !there(named)) {
            let error = Error::input("there is no such file").key("infer.observations").value(missing);
            let remedy = "give the path of an HDF5 file (docs/files.md, \"Observations\"), or leave observations out";
            return Err(error.remedy(remedy));
        }
        let runner = self.simulator.as_ref().map(|s| s.runner(&self.universes(prior))).transpose()?;
        let look = Look { fields: Some(fields), velocities: infer.velocities };
        // A field that the data do not have is told where it is named.
        let learned = match (&self.dataset, &runner) {
            (Some(foreign), _) => {
                let data = foreign.open()?;
                let fields = fields.iter().filter_map(|field| data.readable(field).ok()).collect();
                Learned { fields, ..Learned::from(&data, &foreign.theta) }
            }
            (None, runner) => {
                let mut all = runner.as_ref().map_or(vec![], |runner| runner.specs());
                all.retain(|spec| fields.contains(&spec.name));
                Learned { fields: all, prior: prior.clone(), theta: "theta".into(), own: true }
            }
        };
        let check = |named: &PathBuf| match (&runner, self.is_looked_at(named)) {
            (Some(runner), true) => runner.check_file(named, &look).map_err(|e| e.file(named)),
            _ => {
                let (file, row) = chosen(named);
                FieldFile::open(&file, row, &learned).map(drop).map_err(|e| e.key("infer.observations"))
            }
        };
        infer.observations.iter().try_for_each(check)
    }

    /// Refuses more shards than an index can link to; a folder that was `begun` with them goes on with a word.
    pub(super) fn many_shards(&self, begun: bool) -> Result<Option<String>> {
        let (Some(design), Some(_)) = (&self.design, &self.simulator) else { return Ok(None) };
        let (m, n) = (self.suite.shard_size.simulations(&[]), design.simulations);
        let (shards, most) = (n.div_ceil(m), index::MOST_LINKS);
        if shards <= most {
            return Ok(None);
        }
        let problem =
            format!("{n} simulations make {shards} shards, and a program that reads dataset.h5 has all of them open");
        let enough = n.div_ceil(most).next_power_of_two();
        if begun {
            let problem = format!("suite.shard_size = {m}: {problem}");
            return Ok(Some(format!(
                "{problem}: beyond {most} it holds copies of all fields, and takes as much room again; with \
                 suite.shard_size = {enough} the shards are packed anew"
            )));
        }
        let error = Error::input(format!("{problem}: systems allow about 1000")).key("suite.shard_size").value(m);
        Err(error.remedy(format!("set suite.shard_size = {enough} (or more, where the design will grow)")))
    }

    /// A refused corner of the prior, with how much of it is as impossible where the rest could be had.
    fn or_redraw(&self, mut refused: Error, design: &design::DesignConfig, prior: &Prior) -> Error {
        let redrawn = design::DesignConfig { reject: design::Reject::Redraw, ..design.clone() };
        let cut = prior.cut(FEW_DRAWS, |theta| self.possible(prior, theta).is_ok());
        let left = cut.ok().and_then(|cut| cut.accepted).filter(|left| left.fraction().0 >= LEAST_LEFT);
        if let (Ok(()), Some(left), Some(remedy)) = (redrawn.check(prior), left, &mut refused.remedy) {
            *remedy += &format!(
                "; or say design.reject = \"redraw\", which passes over such universes ({left} of the prior can be made)"
            );
        }
        refused
    }

    /// Every section's own checks, and those that concern more than one.
    pub(super) fn check(&self, prior: &Prior) -> Result<()> {
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
            design.check(prior)?;
            // What is chosen is not needed here, but a list that cannot be read is refused.
            if design.file.is_some() {
                design.resolve(prior, self.seed)?;
            }
            self.suite.check(None)?;
            if self.cosmology.is_some() && !simulator.needs_cosmology() {
                let problem = format!("is given, but universes of kind \"{}\" have no cosmology", simulator.kind());
                return refuse(&problem, "cosmology", "remove this section");
            }
            let universes = self.universes(prior);
            simulator.check(&universes)?;
            let check = |prior: &Prior| self.check_prior(simulator, prior, design.simulations as u64);
            let median = prior.around(&prior.middle(), &BTreeMap::new())?;
            match design.kind {
                // The rows of a list may stand anywhere, on the bounds too.
                design::Sampling::List => check(prior)?,
                design::Sampling::Fiducial => check(&prior.around(&design.center(prior), &design.steps)?)?,
                // Other universes may be impossible.
                _ if design.reject == design::Reject::Redraw => check(&median)?,
                // Where the bulk holds universes that cannot be made, so do the bounds, as a rule: the user's numbers.
                _ => check(&prior.bulk()).map_err(|within| {
                    let refused = check(prior).err().unwrap_or(within);
                    if check(&median).is_ok() { self.or_redraw(refused, design, prior) } else { refused }
                })?,
            }
            #[cfg(feature = "torch")]
            self.check_inputs(&simulator.runner(&universes)?.specs(), prior)?;
        }
        if let Some(dataset) = &self.dataset {
            let file = dataset.check()?;
            #[cfg(feature = "torch")]
            {
                // The array of parameters is no field, by whatever name.
                let theta = |name: &str| name == dataset.theta.trim_matches('/');
                let spec = |name: &str| file.spec(name).ok().filter(|spec| !theta(&spec.name));
                crate::train::check_names(&self.train, &file.specs(), &file.prior, |name| spec(name).is_some())?;
                crate::train::check_views(&self.train, spec)?;
            }
            #[cfg(not(feature = "torch"))]
            drop(file);
        }
        self.calibrate.check()?;
        self.report.check()?;
        #[cfg(feature = "torch")]
        {
            crate::train::check_stages(&self.train)?;
            if let Some(infer) = &self.infer {
                infer.check(&self.train)?;
                let passed_over = self.design.as_ref().is_some_and(|d| d.reject == design::Reject::Redraw);
                let of = |name: &String| self.train.iter().find(|s| s.name == *name)?.network.density();
                if passed_over && of(&infer.posterior).is_some_and(|of| of != Estimand::Posterior) {
                    let problem = "it draws by the prior's density, which does not know the universes that design.reject \
                                   passes over";
                    let error = Error::input(problem).key("infer.posterior").value(&infer.posterior);
                    return Err(error.remedy(
                        "use a network of p(θ | x), such as kind = \"npe\", or priors within what can be made",
                    ));
                }
            }
        }
        Ok(())
    }
}
