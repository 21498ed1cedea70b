//! What of a campaign's results is of the campaign as it is now, and why the rest is not. Contents decide, never times.

use crate::calibration::CalibrateConfig;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::exact::EXACT;
use crate::forecast::{self, is_statistic};
use crate::io::dataset::Dataset;
use crate::io::derived;
use crate::io::field::{Field, FieldSpec};
use crate::io::identity::{Identity, digest, digest_of_file};
use crate::io::observation::{FieldFile, Learned, Observation, content, stem};
use crate::io::samples::{self, OLDER, Of, Samples, Seen};
use crate::io::stages::{Stages, State};
use crate::simulators::SimulatorConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The data as they are now, and the stages that learned from them.
pub struct Current {
    pub stages: Stages,
    /// By the names of the fields.
    data: BTreeMap<String, Identity>,
    /// The fields among them; `None`: nothing was looked at.
    learned: Option<Learned>,
    /// `infer.sampler`, where it is not the default.
    sampler: String,
    seed: u64,
    simulator: Option<SimulatorConfig>,
    observables: String,
    /// What a forecast would be of now, where there is one.
    pub forecast: Option<String>,
    /// What exact draws would be of now, where there are any, and what their observations are like.
    exact: Option<(Of, Learned)>,
}

impl Current {
    /// Collective: looks at the data that trained stages learned from; at none if no stage is trained.
    pub fn take(plan: &Plan, comm: &Comm) -> Result<Current> {
        let names = plan.stage_names();
        let any = comm.any(comm.is_root() && names.iter().any(|n| plan.stages().model(n).exists()));
        let mut current = Current::with(plan);
        let there = |path: &Path| !comm.any(comm.is_root() && !path.exists());
        if there(&plan.forecast()) && there(&plan.dataset()) {
            current.forecast = Some(forecast_of(plan, comm, &comm.agree(plan.open_dataset())?)?);
        }
        let exact = plan.stage_names().iter().all(|name| name != EXACT);
        let exact = exact && comm.any(comm.is_root() && drawn(plan).iter().any(|path| is_exact(path)));
        if exact && there(&plan.dataset()) {
            let fields = plan.config.simulator.as_ref().map_or(Ok(None), |s| s.likelihood(&plan.universes()));
            if let Some(likelihood) = comm.agree(fields)? {
                let dataset = comm.agree(plan.open_dataset())?;
                let learned = comm.agree(exact_learned(plan, &dataset, &likelihood.fields()))?;
                current.exact = Some((exact_of(plan, comm, &dataset, &likelihood.fields(), 0)?, learned));
            }
        }
        if !any || comm.any(!plan.dataset().exists()) {
            return Ok(current);
        }
        let dataset = comm.agree(plan.open_dataset())?;
        names.iter().try_for_each(|name| current.look(plan, comm, &dataset, name))?;
        Ok(current)
    }

    /// Nothing looked at yet.
    pub fn with(plan: &Plan) -> Current {
        let shape = plan.shape();
        let infer = json!(plan.config.infer);
        let eyes: Vec<&Value> = ["simulator", "cosmology", "numerics"].into_iter().map(|key| &shape[key]).collect();
        let observables = digest(format!("{eyes:?} {}", infer["velocities"]).as_bytes());
        let simulator = plan.config.simulator.clone();
        let (stages, data, learned) = (plan.stages(), BTreeMap::new(), None);
        let (seed, sampler) = (plan.config.seed, infer["sampler"].as_str().unwrap_or_default().into());
        Current { stages, data, learned, seed, sampler, simulator, observables, forecast: None, exact: None }
    }

    /// Collective: the data that a stage's chain sees, where the dataset has them.
    pub fn look(&mut self, plan: &Plan, comm: &Comm, dataset: &Dataset, stage: &str) -> Result<()> {
        let fields: Vec<String> = self.stages.fields(stage).into_iter().map(String::from).collect();
        let there = |field: &String| dataset.is_parameter(field) || dataset.spec(field).is_ok();
        let names = fields.join(", ");
        if !self.data.contains_key(&names) && fields.iter().all(there) {
            let learned = self.learned.get_or_insert_with(|| Learned::from(dataset, plan.theta_name()));
            learned.add(self.stages.inputs(stage).into_iter().filter_map(|field| dataset.readable(field).ok()));
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            self.data.insert(names, plan.identity(comm, dataset, &fields)?);
        }
        Ok(())
    }

    /// What a stage's chain sees.
    pub fn identity(&self, stage: &str) -> Option<&Identity> {
        self.data.get(&self.stages.fields(stage).join(", "))
    }

    /// Digests of the data, by name.
    pub fn data(&self) -> BTreeMap<String, String> {
        self.data.iter().map(|(names, identity)| (format!("dataset {names}"), identity.digest())).collect()
    }

    /// Where a stage stands.
    pub fn stage(&self, name: &str) -> Result<State> {
        self.stages.state(name, self.identity(name))
    }

    /// Why what a stage made is not what it would make now.
    pub fn made(&self, name: &str) -> Result<Option<String>> {
        let of = match self.stage(name)? {
            State::Absent => return Ok(Some(format!("stage {name} is not trained"))),
            State::Outdated(why) => return Ok(Some(format!("stage {name} is outdated: {why}"))),
            State::Trained(_) => self.stages.made_of(name, self.identity(name))?,
        };
        Ok(derived::due(&self.stages.made(name), &of).flatten())
    }

    /// What draws from a stage would be of, now.
    pub fn of(&self, stage: &str, draws: usize) -> Result<Of> {
        let record = self.stages.trained(stage, self.identity(stage))?;
        Ok(Of {
            stage: stage.into(),
            numerics: samples::NUMERICS,
            weights: self.stages.makes(stage, &record)?,
            dataset: record.dataset,
            seed: self.seed,
            draws,
            sampler: self.sampler.clone(),
            observation: None,
            combined: vec![],
        })
    }

    /// What the networks of some stages read of an observation.
    pub fn learned(&self, stages: &[String]) -> Result<Learned> {
        let fields: Vec<&str> = stages.iter().flat_map(|stage| self.stages.inputs(stage)).collect();
        let nothing = || Error::input("is not in the dataset").key(fields.join(", ")).remedy("name its arrays");
        self.learned.as_ref().ok_or_else(nothing)?.only(&fields)
    }

    /// The observations in a file, or in one row of it, as they are now, and as the campaign would look at them: each
    /// as the stages see it.
    pub fn seen(&self, file: &Path, row: Option<usize>, stages: &[String]) -> Result<Vec<Vec<Seen>>> {
        if let Some(simulator) = self.simulator.as_ref().filter(|simulator| simulator.observes(file)) {
            let files = simulator.observed_files(file)?;
            let digests = files.iter().map(|file| digest_of_file(file)).collect::<Result<Vec<_>>>()?;
            let content = if digests.len() == 1 { digests.concat() } else { digest(digests.concat().as_bytes()) };
            let (name, place) = (stem(file), place(files.first().map_or(file, PathBuf::as_path)));
            let seen = Seen { name, file: place, row: None, content, observables: self.observables.clone() };
            return Ok(vec![vec![seen; stages.len()]]);
        }
        let learned = self.learned(stages)?;
        let opened = FieldFile::open(file, row, &learned)?;
        let each = |observation: &Observation| {
            let fields = opened.read(observation)?;
            let of = |stage: &String| {
                let read = self.learned(std::slice::from_ref(stage))?;
                let seen = |spec: &FieldSpec| fields.iter().find(|field| field.spec.name == spec.name);
                let content = content(read.fields.iter().filter_map(seen), observation.truth.as_deref());
                let (name, row) = (observation.name.clone(), observation.row);
                Ok(Seen { name, file: place(file), row, content, observables: String::new() })
            };
            stages.iter().map(of).collect()
        };
        opened.observations.iter().map(each).collect()
    }

    /// Why the forecast that is there is not to be used any more.
    pub fn forecast_outdated(&self, plan: &Plan) -> Result<Option<String>> {
        let same = forecast::of(&plan.forecast())?.is_some_and(|of| self.forecast.as_ref() == Some(&of));
        Ok((!same).then(|| "the universes that it was made of are others: run `polycosm forecast` again".into()))
    }

    /// Why draws are not to be used any more: they are not of what they would be of now. How many there are is their
    /// own.
    pub fn outdated(&self, samples: &Samples) -> Result<Option<String>> {
        let Some(of) = &samples.extras.of else { return Ok(Some(OLDER.into())) };
        if let (EXACT, Some((exact, learned))) = (of.stage.as_str(), &self.exact) {
            // One that is gone is taken to be what it was.
            let again = |was: &Seen| -> Result<Seen> {
                match Path::new(&was.file) {
                    file if !file.exists() => Ok(was.clone()),
                    file => {
                        let opened = FieldFile::open(file, was.row, learned)?;
                        let first = opened.observations.first().ok_or_else(|| Error::failed("it holds none"))?;
                        Ok(seen(file, first, &opened.read(first)?))
                    }
                }
            };
            return Ok(match of.observation.as_ref().map(again).transpose() {
                Ok(observation) => samples.differ(&Of { draws: of.draws, observation, ..exact.clone() }),
                Err(e) => Some(format!("the observation cannot be read as it was: {}", e.problem)),
            });
        }
        match self.stage(&of.stage)? {
            State::Absent => return Ok(Some(format!("stage {} is not trained", of.stage))),
            State::Outdated(why) => return Ok(Some(format!("stage {} is outdated: {why}", of.stage))),
            State::Trained(_) => {}
        }
        let mut now = self.of(&of.stage, of.draws)?;
        let again = |seen: &Seen| -> Result<Option<Seen>> {
            let (file, fields) = (Path::new(&seen.file), seen.observables.is_empty());
            Ok(match file.exists() && !(fields && self.learned.is_none()) {
                true => self.seen(file, seen.row, std::slice::from_ref(&of.stage))?.into_iter().flatten().next(),
                // One that is gone is taken to be what it was.
                false if fields => Some(seen.clone()),
                false => Some(Seen { observables: self.observables.clone(), ..seen.clone() }),
            })
        };
        let all: &[Seen] = if of.combined.is_empty() { of.observation.as_slice() } else { &of.combined };
        let all = match all.iter().map(again).collect::<Result<Option<Vec<Seen>>>>() {
            Ok(all) => all.unwrap_or_default(),
            Err(e) => return Ok(Some(format!("the observation cannot be read as it was: {}", e.problem))),
        };
        now.observation = match (&of.observation, of.combined.is_empty()) {
            (Some(seen), false) if !all.is_empty() => Some(Seen::together(&seen.name, &all)),
            _ => all.into_iter().next(),
        };
        Ok(samples.differ(&now))
    }

    /// The draws in a file; an error where they are not to be used.
    pub fn samples(&self, path: &Path) -> Result<Samples> {
        let samples = Samples::read(path)?;
        match self.outdated(&samples)? {
            None => Ok(samples),
            Some(why) => {
                let error = Error::input(format!("these draws are outdated: {why}")).file(path);
                Err(error.remedy("run `polycosm infer`, which says what to do or draws anew"))
            }
        }
    }
}

/// Digest of all that a forecast depends on. Collective.
pub fn forecast_of(plan: &Plan, comm: &Comm, dataset: &Dataset) -> Result<String> {
    let names: Vec<String> = dataset.specs().into_iter().filter(is_statistic).map(|spec| spec.name).collect();
    let identity = plan.identity(comm, dataset, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let fields = identity.fields.iter().map(|field| format!("{} {}", field.field, field.data));
    let parts: Vec<String> = fields.chain([identity.theta.clone(), digest(dataset.status())]).collect();
    Ok(digest(parts.join("\n").as_bytes()))
}

/// What exact draws would be of, now. Collective.
pub fn exact_of(plan: &Plan, comm: &Comm, dataset: &Dataset, fields: &[String], draws: usize) -> Result<Of> {
    let identity = plan.identity(comm, dataset, &fields.iter().map(String::as_str).collect::<Vec<_>>())?;
    let simulator = digest(plan.shape()["simulator"].to_string().as_bytes());
    let (stage, numerics, seed) = (EXACT.into(), samples::NUMERICS, plan.config.seed);
    let (sampler, observation, combined) = (String::new(), None, vec![]);
    Ok(Of { stage, numerics, weights: simulator, dataset: identity, seed, draws, sampler, observation, combined })
}

/// What observations must be like for exact posteriors: of these fields.
pub fn exact_learned(plan: &Plan, dataset: &Dataset, fields: &[String]) -> Result<Learned> {
    let mut learned = Learned::from(dataset, plan.theta_name());
    learned.add(fields.iter().map(|field| dataset.readable(field)).collect::<Result<Vec<_>>>()?);
    Ok(learned)
}

/// An observation in a file of fields, by what stands in it.
pub fn seen(file: &Path, observation: &Observation, fields: &[Field]) -> Seen {
    let content = content(fields, observation.truth.as_deref());
    let (name, row) = (observation.name.clone(), observation.row);
    Seen { name, file: place(file), row, content, observables: String::new() }
}

/// True for the files of exact draws.
fn is_exact(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name == EXACT || name.starts_with("observation-") && name.ends_with(&format!("-{EXACT}"))
}

/// Where a file is, whatever the working directory and the name it was given by.
pub fn place(file: &Path) -> String {
    let absolute = file.canonicalize().or_else(|_| std::path::absolute(file)).unwrap_or(file.into());
    absolute.to_string_lossy().into_owned()
}

/// Version of what judging computes; raised when the same draws give another verdict.
const JUDGING: u32 = 1;

/// What a verdict is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Digest of the draws.
    pub draws: String,
    /// Version of what judging computes.
    #[serde(default)]
    pub numerics: u32,
    pub config: CalibrateConfig,
    /// How the campaign says that its design was drawn.
    pub drawn_from: Option<String>,
    /// The derived parameters that were judged too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<String>,
}

impl Judged {
    /// What a verdict on the draws in a file would be of.
    pub fn now(plan: &Plan, path: &Path) -> Result<Judged> {
        Ok(Judged {
            draws: Samples::identity(path)?,
            numerics: JUDGING,
            config: plan.config.calibrate.clone(),
            drawn_from: plan.drawn_from().map(|d| d.name().into()),
            derived: plan.prior.derived.iter().map(|d| format!("{} = {}", d.name, d.formula)).collect(),
        })
    }
}

/// Files of draws that there are, of the campaign's posteriors and the exact one: those of the test split, then those of observations.
pub fn drawn(plan: &Plan) -> Vec<PathBuf> {
    let own: Vec<PathBuf> = plan.judged().iter().map(|stage| plan.posterior(stage)).collect();
    let folder = plan.posterior("x").parent().map(PathBuf::from).unwrap_or_default();
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let observed = |path: &PathBuf| name(path).starts_with("observation-") && name(path).ends_with(".h5");
    let mut observations: Vec<PathBuf> =
        std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).filter(observed).collect();
    observations.sort();
    own.into_iter().filter(|path| path.exists()).chain(observations).collect()
}
