//! Data-parallel training: loader, optimiser, gradient all-reduce, checkpoints.

mod chain;
pub mod change;
pub mod checkpoint;
mod columns;
mod context;
mod cut;
pub mod data;
mod foreseen;
pub mod inputs;
pub mod optimiser;
pub mod outputs;
mod pieces;
mod reader;
pub mod source;
pub mod stage;
mod steps;
mod stream;
mod symmetry;
mod tensors;
pub mod trainer;
mod turn;
mod view;
pub mod weights;

pub use crate::models::Rule;
pub use chain::Trained;
pub use change::Change;
pub use columns::Columns;
pub use context::{Context, find};
pub use foreseen::{check_ahead, check_views};
pub use pieces::{Pieces, PiecesConfig, cutter, seen};
pub use reader::Disk;
pub use source::{Memory, Source};
pub use stage::train_stage;
pub use steps::{Scaling, Schedule, StepsConfig};
pub use symmetry::{Average, Symmetries, Symmetry};
pub use trainer::Trainer;
pub use view::{DataConfig, MaskConfig, NoiseConfig, average, changes};

use crate::error::{Error, Result, suggestion};
use crate::io::field::FieldSpec;
use crate::io::stages::{Stages, Wanted};
use crate::limits;
use crate::list::OneOrMany;
use crate::models::ModelConfig;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// `[[train]]`: one stage.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Name of the stage: its folder, and what later stages call it.
    pub name: String,
    /// What it sees: a field of the dataset with its full name (`"maps"`, `"power_z0.500"`; `"x"` for foreign data), a list
    /// only for a model of your own that takes lists, or in pieces; or what an earlier stage makes, by the stage's name, or with the
    /// field's where it makes several, `"compressor/summaries"`; or several of these, `["maps", "power_z0.500"]`.
    #[schemars(extend("x-type" = "string, or [string, …]"))]
    pub input: OneOrMany<String>,
    /// What it is to make of that, for models of your own that learn it (those that come with polycosm learn the
    /// parameters): fields, or parameters by their names; a name that is both is refused, here and in `input`.
    #[serde(default, skip_serializing_if = "no_names")]
    #[schemars(extend("x-type" = "string, or [string, …]", "x-default" = "none"))]
    pub target: OneOrMany<String>,
    /// The model and its size.
    pub network: ModelConfig,
    /// Passes over the training split.
    #[serde(default = "epochs")]
    pub epochs: u64,
    /// Samples of a step, over all ranks together.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Peak of the learning rate: a linear warm-up of one epoch, then a cosine to zero, unless `[train.steps]` says otherwise.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Decoupled weight decay.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Largest norm of the gradient of a part of the network (most have one part); 0: any.
    #[serde(default = "clip")]
    pub clip: f64,
    /// AdamW (Loshchilov & Hutter 2019), or stochastic gradient descent; their numbers are in `[train.steps]`.
    #[serde(default)]
    pub optimiser: Rule,
    /// How the learning rate goes, and what a step is.
    #[serde(default, skip_serializing_if = "StepsConfig::is_default")]
    #[schemars(extend("x-default" = "none"))]
    pub steps: StepsConfig,
    /// Ends after so many epochs without a better validation loss; 0: never. The best weights are kept in any case.
    #[serde(default)]
    #[schemars(extend("x-default" = "`npe`, `nre`: 5; others: 0"))]
    pub patience: Option<u64>,
    /// Pieces of universes as samples; symmetries, noise and masks of those of its columns that are fields of the dataset,
    /// refused where none is.
    #[serde(default, skip_serializing_if = "DataConfig::is_default")]
    pub data: DataConfig,
    /// `"shift"`, `"turn"` and `"flip"` of `[train.data]` for maps whose last two axes are `periodic`; refused elsewhere.
    #[serde(default)]
    pub augment: bool,
    /// For a stage on another's summaries: copies of each training universe that are compressed. All but the first differ by
    /// that stage's symmetries and noise, or, where it names none, as `augment` would make them.
    #[serde(default = "copies")]
    pub copies: usize,
    /// What earlier stages make is not read from their files, but made anew in each epoch by their networks, which stay as
    /// they are: with fresh noise and symmetries. Refused for a stage on the dataset alone, and with `copies`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("x-default" = "`false`"))]
    pub frozen: bool,
    /// Seed of initial weights, shuffling and augmentation; joined with the campaign's seed.
    #[serde(default)]
    pub seed: u64,
    /// Epochs between checkpoints.
    #[serde(default = "checkpoint_every")]
    pub checkpoint_every: u64,
    /// Between checkpoints within an epoch; 0: only at ends of epochs, and when the job is asked to stop. A training goes on from
    /// there to the same bits on as many ranks.
    #[serde(default = "checkpoint_minutes")]
    #[schemars(extend("x-unit" = "minutes"))]
    pub checkpoint_minutes: f64,
    /// Checkpoints that are kept: the newest that is whole is gone on from.
    #[serde(default = "keep_checkpoints")]
    pub keep_checkpoints: usize,
}

fn no_names(names: &OneOrMany<String>) -> bool {
    names.is_empty()
}
fn epochs() -> u64 {
    50
}
fn batch_size() -> usize {
    32
}
fn learning_rate() -> f64 {
    1e-3
}
fn weight_decay() -> f64 {
    1e-4
}
fn clip() -> f64 {
    5.0
}
fn copies() -> usize {
    1
}
fn checkpoint_every() -> u64 {
    1
}
fn checkpoint_minutes() -> f64 {
    10.0
}
fn keep_checkpoints() -> usize {
    2
}

impl StageConfig {
    /// The stage as records of trained ones have it: of a campaign with this seed, and without what weights do not depend on.
    fn wanted(&self, seed: u64) -> Wanted {
        let config = serde_json::to_value(self.recorded(seed)).ok().map(|v| Self::normal(&v));
        let [inputs, targets] = [&self.input, &self.target].map(|names| names.0.clone());
        Wanted { name: self.name.clone(), inputs, targets, config, average: self.data.average }
    }

    /// Epochs without a better validation loss after which it ends; 0: never.
    pub fn patience(&self) -> u64 {
        self.patience.unwrap_or_else(|| self.network.patience())
    }

    /// All that it reads, each with its key.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("input", &self.input), ("target", &self.target)];
        all.into_iter().flat_map(|(key, names)| names.iter().map(move |name| (key, name.as_str())))
    }

    /// The same with the campaign's seed added to its own, and digests of its files.
    fn recorded(&self, seed: u64) -> StageConfig {
        StageConfig { seed: seed.wrapping_add(self.seed), data: self.data.recorded(), ..self.clone() }
    }

    /// A recorded configuration with this program's defaults, but where older programs did otherwise.
    fn normal(recorded: &Value) -> Value {
        let read = |recorded: &Value| serde_json::from_value::<StageConfig>(recorded.clone());
        let mut recorded = recorded.clone();
        let before = read(&recorded).map_or(vec![], |config| config.network.before());
        for (key, value) in before {
            let network = recorded["network"].as_object_mut();
            network.map(|network| network.entry(key).or_insert(value));
        }
        let config = read(&recorded);
        let config = config.map(|config| StageConfig {
            data: config.data.clone().normal(),
            patience: Some(config.patience()),
            ..config
        });
        let config = config.and_then(serde_json::to_value);
        let mut config = config.unwrap_or_else(|_| recorded.clone());
        for key in ["checkpoint_every", "checkpoint_minutes", "keep_checkpoints"] {
            config.as_object_mut().map(|table| table.shift_remove(key));
        }
        config
    }

    fn check(&self) -> Result<()> {
        let bad = |key: &str, problem: &str, value: String, remedy: &str| {
            Err(Error::input(problem).key(format!("train.{}.{key}", self.name)).shown(value).remedy(remedy))
        };
        let positive = [
            ("epochs", self.epochs as usize, limits::EPOCHS),
            ("batch_size", self.batch_size, limits::BATCH),
            ("copies", self.copies, limits::COPIES),
            ("data.run", self.data.run, limits::SIMULATIONS),
            ("checkpoint_every", self.checkpoint_every as usize, limits::EPOCHS),
            ("keep_checkpoints", self.keep_checkpoints, limits::CHECKPOINTS),
        ];
        for (key, value, most) in positive {
            if value == 0 {
                return bad(key, "must be at least 1", value.to_string(), "give a positive number");
            }
            limits::at_most(format!("train.{}.{key}", self.name), value, most)?;
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return bad("learning_rate", "must be positive", format!("{:?}", self.learning_rate), "1e-3 is usual");
        }
        for (key, value) in [("weight_decay", self.weight_decay), ("clip", self.clip)] {
            if !(value >= 0.0 && value.is_finite()) {
                return bad(key, "must not be negative", format!("{value:?}"), "0 switches it off");
            }
        }
        if !(0.0..=1e6).contains(&self.checkpoint_minutes) {
            let value = format!("{:?}", self.checkpoint_minutes);
            return bad("checkpoint_minutes", "is no number of minutes", value, "10.0 is usual, 0 switches it off");
        }
        self.steps.check(&self.name, self.batch_size, self.optimiser == Rule::Adamw)?;
        let mut sizes = self.network.sizes().into_iter();
        if let Some((key, value, [least, most])) = sizes.find(|(_, n, [least, most])| n < least || n > most) {
            let remedy = format!("give {least} to {most}{}", self.network.besides(key));
            return bad(&format!("network.{key}"), "is out of range", value.to_string(), &remedy);
        }
        // What is known before the data are: the rest is looked at when they are.
        let weights = self.network.weights(1, 1);
        if weights > limits::WEIGHTS as f64 {
            let problem = format!("has about {weights:.1e} weights, of which {} are the most", limits::WEIGHTS);
            let error = Error::input(problem).key(format!("train.{}.network", self.name));
            return Err(error.remedy("lower its hidden units, layers or ensemble"));
        }
        Ok(())
    }
}

/// The earlier stage that an input names, by itself (`compressor`) or with one of its outputs (`compressor/summaries`).
pub fn source<'a>(stages: &'a [StageConfig], input: &str) -> Option<&'a StageConfig> {
    let named = |name: &str| stages.iter().find(|stage| stage.name == name);
    named(input).or_else(|| named(input.split_once('/')?.0))
}

/// Refuses names that stand for two things: of a stage that is called like a field of the dataset, like a group of fields or like
/// a parameter, which what it makes would hide; and of columns that are both a field and a parameter.
pub fn check_names(
    stages: &[StageConfig],
    fields: &[FieldSpec],
    prior: &Prior,
    is_field: impl Fn(&str) -> bool,
) -> Result<()> {
    let parameters = [&prior.names()[..], &["theta"]].concat();
    let known = fields.iter().map(|f| ("field", f.name.as_str())).chain(parameters.iter().map(|p| ("parameter", *p)));
    for (sort, name) in known {
        if let Some(stage) = stages.iter().find(|s| name.split('/').next() == Some(&s.name)) {
            let problem = format!("the dataset has a {sort} {name}, which what this stage makes would hide");
            let error = Error::input(problem).key(format!("train.{}.name", stage.name)).value(&stage.name);
            return Err(error.remedy("rename the stage"));
        }
    }
    for stage in stages {
        if let Some((key, name)) = stage.columns().find(|(_, name)| parameters.contains(name) && is_field(name)) {
            let error = Error::input("is both a field of the dataset and a parameter");
            let error = error.key(format!("train.{}.{key}", stage.name)).value(name);
            return Err(error.remedy("rename one of them: the array in its file, or the parameter"));
        }
        let told = |(key, name): &(&str, &str)| *key == "input" && parameters.contains(name);
        if let Some((key, name)) = stage.columns().find(told).filter(|_| !stage.network.wants_target()) {
            let problem = "is a parameter, which this network is to tell from what it sees";
            let error = Error::input(problem).key(format!("train.{}.{key}", stage.name)).value(name);
            return Err(error.remedy("name fields, or stages before this one"));
        }
    }
    Ok(())
}

/// Stages as their files below `folder` tell.
pub fn records(stages: &[StageConfig], folder: &Path, seed: u64) -> Stages {
    let wanted = stages.iter().map(|s| s.wanted(seed)).collect();
    Stages { folder: folder.to_path_buf(), wanted, normal: StageConfig::normal }
}

/// Checks the stages, one by one and together.
pub fn check_stages(stages: &[StageConfig]) -> Result<()> {
    for (i, stage) in stages.iter().enumerate() {
        stage.check()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if stage.name.is_empty() || !stage.name.chars().all(plain) || stage.name.starts_with('.') {
            return Err(Error::input("is no name for a folder")
                .key(format!("train.{i}.name"))
                .value(&stage.name)
                .remedy("use letters, digits, - and _"));
        }
        if stage.name.starts_with("observation-") {
            return Err(Error::input("is how files of observations begin")
                .key(format!("train.{i}.name"))
                .value(&stage.name)
                .remedy("rename the stage"));
        }
        if stages[..i].iter().any(|s| s.name == stage.name) {
            return Err(Error::input("two stages have this name")
                .key(format!("train.{i}.name"))
                .value(&stage.name)
                .remedy("rename one"));
        }
        check_columns(&stages[..i], stage, stages)?;
    }
    Ok(())
}

/// Inputs and targets of a stage are different fields, or what earlier stages make.
fn check_columns(before: &[StageConfig], stage: &StageConfig, all: &[StageConfig]) -> Result<()> {
    let refuse = |key: &str, value: &str, problem: &str, remedy: String| {
        Err(Error::input(problem).key(format!("train.{}.{key}", stage.name)).value(value).remedy(remedy))
    };
    let network = stage.network.kind();
    for (key, names) in [("input", &stage.input), ("target", &stage.target)] {
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return refuse(key, name, "is named twice", "name it once".into());
            }
            if ["theta", "target"].contains(&name.as_str()) && names.len() > 1 {
                let problem = "is how another column of a sample is called";
                return refuse(key, name, problem, "rename that field in its file".into());
            }
            let beside = if key == "input" { &stage.target } else { &stage.input };
            let taken = match names.len() {
                0 | 1 => false,
                _ if beside.len() == 1 => key == "target" && name == "x",
                _ => key == "target" && beside.contains(name),
            };
            if taken {
                let problem = "is how an input of the same samples is called";
                return refuse(key, name, problem, "name another field, or rename it in its file".into());
            }
            let Some(source) = source(all, name) else { continue };
            let made = source.network.outputs();
            let remedy = "name a dataset field, or an earlier stage that compresses".to_string();
            if !before.iter().any(|s| s.name == source.name) {
                return refuse(key, name, "that stage comes later", remedy);
            }
            match name.strip_prefix(&format!("{}/", source.name)) {
                None if made.is_empty() => return refuse(key, name, "that stage gives no summaries", remedy),
                None if made.len() > 1 => {
                    let which = format!("say which: \"{}/{}\"", source.name, made.join("\", or \""));
                    return refuse(key, name, "that stage makes more than one field", which);
                }
                Some(output) if !made.contains(&output) => {
                    let remedy = suggestion(output, &made, "it makes none");
                    return refuse(key, name, "that stage makes no such field", remedy);
                }
                _ => {}
            }
        }
    }
    if let (Some(of), true) = (cutter(all, stage), stage.copies > 1) {
        let problem = format!("its samples are pieces of universes, as stage {} cuts them", of.name);
        let error = Error::input(problem).key(format!("train.{}.copies", stage.name)).value(stage.copies);
        return Err(error.remedy("leave it out; `frozen = true` has other draws of each piece in every epoch"));
    }
    if stage.frozen {
        let error = |key: &str, problem: &str| Error::input(problem).key(format!("train.{}.{key}", stage.name));
        if !stage.columns().any(|(_, name)| source(before, name).is_some()) {
            let error = error("frozen", "no earlier stage makes what it reads");
            return Err(error.value(true).remedy("leave it out"));
        }
        if stage.copies > 1 {
            let error = error("copies", "frozen networks see each universe anew in every epoch");
            return Err(error.value(stage.copies).remedy("leave out `copies`, or `frozen`"));
        }
    }
    if stage.target.is_empty() == stage.network.wants_target() {
        return match stage.target.first() {
            Some(target) => {
                let problem = format!("networks of kind \"{network}\" learn the parameters, and no target");
                refuse("target", target, &problem, "leave it out".into())
            }
            None => {
                let problem = format!("is missing: networks of kind \"{network}\" learn to make something");
                let error = Error::input(problem).key(format!("train.{}.target", stage.name));
                Err(error.remedy("name a field of the dataset, or a parameter"))
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_of_older_programs_say_what_these_did() {
        let of = |network: Value, more: Value| {
            let mut stage = json!({"name": "a", "input": "x", "network": network});
            more.as_object().into_iter().flatten().for_each(|(key, value)| stage[key] = value.clone());
            StageConfig::normal(&stage)
        };
        let vmim = json!({"kind": "vmim"});
        assert_eq!(of(vmim.clone(), json!({"patience": 0})), of(vmim.clone(), json!({})));
        assert_ne!(of(vmim.clone(), json!({"patience": 3})), of(vmim, json!({})));
        // Without the key flows began nowhere, and the campaign's default is another: that is told.
        let npe = |linear| of(json!({"kind": "npe", "linear": linear}), json!({}));
        assert_eq!(of(json!({"kind": "npe"}), json!({})), npe(false));
        assert_ne!(npe(true), npe(false));
        let now: StageConfig =
            serde_json::from_value(json!({"name": "a", "input": "x", "network": {"kind": "npe"}})).unwrap();
        assert_eq!(now.wanted(0).config.unwrap(), npe(true));
    }
}
