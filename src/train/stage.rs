//! One stage from the dataset to finished weights, and the chain of stages that a trained one stands on.

use super::checkpoint::save;
use super::table::table;
use super::{StageConfig, Trainer, inputs};
use crate::comm::Comm;
use crate::error::{At, Error, Result};
use crate::io::dataset::Dataset;
use crate::io::field::Data;
use crate::models::Model;
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// `model.json`: what is needed to use the weights beside it. Written last: the stage is finished when it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Description {
    version: String,
    stage: StageConfig,
    /// Shape of one sample of the model's input.
    shape: Vec<usize>,
    prior: Prior,
    /// SHA-256 of the parameters of the universes learned from.
    dataset: String,
}

/// What a stage is part of.
pub struct Context<'a> {
    pub comm: &'a Comm,
    /// All stages of the campaign.
    pub stages: &'a [StageConfig],
    /// `<output>/train`.
    pub folder: &'a Path,
    pub dataset: &'a Dataset,
    /// The campaign's seed.
    pub seed: u64,
    pub device: Device,
}

/// A finished stage, with the stages that make its input.
pub struct Trained {
    /// Field of the dataset that the first of them sees.
    pub field: String,
    /// Shape of that field.
    pub shape: Vec<usize>,
    /// Compressors, in order; their summaries are the next one's input.
    pub(super) before: Vec<Box<dyn Model>>,
    /// The stage itself.
    pub model: Box<dyn Model>,
    pub prior: Prior,
    pub(super) device: Device,
}

impl Trained {
    /// Loads a stage and what it stands on. Every rank reads the same files.
    pub fn load(context: &Context, name: &str) -> Result<Trained> {
        let stage = find(context.stages, name)?;
        let folder = context.folder.join(name);
        let description = read_description(&folder)?.ok_or_else(|| {
            let remedy = format!("run `polycosm train CAMPAIGN.toml {name}`");
            Error::input(format!("stage {name} is not trained yet")).file(folder.join("model.json")).remedy(remedy)
        })?;
        let (field, shape, before) = match context.stages.iter().any(|s| s.name == stage.input) {
            false => (stage.input.clone(), description.shape.clone(), vec![]),
            true => {
                let Trained { field, shape, mut before, model, .. } = Trained::load(context, &stage.input)?;
                before.push(model);
                (field, shape, before)
            }
        };
        let (device, prior) = (context.device, description.prior);
        let model = description.stage.network.build(&description.shape, &prior, device, Kind::Float)?;
        load_weights(model.as_ref(), &folder.join("weights.safetensors"))?;
        Ok(Trained { field, shape, before, model, prior, device })
    }
}

pub(super) fn compress(model: &dyn Model, x: &Tensor) -> Tensor {
    tch::no_grad(|| model.apply(x).swap_remove(0).1)
}

fn find<'a>(stages: &'a [StageConfig], name: &str) -> Result<&'a StageConfig> {
    stages.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = stages.iter().map(|s| s.name.as_str()).collect();
        Error::input("there is no such stage")
            .key("train")
            .value(name)
            .remedy(format!("choose one of {}", names.join(", ")))
    })
}

fn read_description(folder: &Path) -> Result<Option<Description>> {
    let path = folder.join("model.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).at(&path)?;
    let bad = |e: serde_json::Error| {
        Error::failed(format!("cannot be read: {e}")).file(&path).remedy("remove the stage's folder to train it anew")
    };
    serde_json::from_str(&text).map(Some).map_err(bad)
}

/// Trains a stage unless it is finished; true if there was something to do. Collective.
pub fn train_stage(context: &Context, name: &str) -> Result<bool> {
    let comm = context.comm;
    let stage = comm.agree(find(context.stages, name))?;
    let folder = context.folder.join(name);
    let dataset = context.dataset;
    let source = context.stages.iter().any(|s| s.name == stage.input);
    let before = match source {
        true => Some(comm.agree(Trained::load(context, &stage.input))?),
        false => None,
    };
    let field = before.as_ref().map_or(stage.input.clone(), |b| b.field.clone());
    let spec = comm.agree(dataset.spec(&field).map_err(|e| e.key(format!("train.{name}.input"))))?;

    let config = StageConfig { seed: context.seed.wrapping_add(stage.seed), ..stage.clone() };
    let shape = match &before {
        None => spec.shape.clone(),
        Some(b) => {
            let x = b.input(&b.raw(&Data::F32(vec![0.5; spec.shape.iter().product()]), 1));
            compress(b.model.as_ref(), &x).size()[1..].iter().map(|&n| n as usize).collect()
        }
    };
    let description = Description {
        version: env!("CARGO_PKG_VERSION").into(),
        stage: config.clone(),
        shape: shape.clone(),
        prior: dataset.prior.clone(),
        dataset: digest(dataset),
    };
    if comm.on_root(|| begin(&folder, &description))? {
        return Ok(false);
    }
    crate::nets::seed(config.seed as i64);
    let mut model = comm.agree(config.network.build(&shape, &dataset.prior, context.device, Kind::Float))?;
    let (table, rows) = table(context, &config, &field, &spec.shape, before.as_ref(), model.as_ref())?;
    let novelty = model.standardise(&table.training().0);
    comm.agree(inputs::look(context, &config, &shape, model.as_ref(), &novelty, &rows))?;
    Trainer::new(comm, &config, model.as_ref()).run(&table, &folder)?;
    comm.on_root(|| finish(&folder, model.as_ref(), &description))?;
    Ok(true)
}

/// True if the stage is finished. Refuses a folder that belongs to another configuration or dataset.
fn begin(folder: &Path, description: &Description) -> Result<bool> {
    let path = folder.join("stage.json");
    let text = serde_json::to_string_pretty(description).map_err(|e| Error::failed(e.to_string()))?;
    if path.exists() {
        let there = std::fs::read_to_string(&path).at(&path)?;
        let same = serde_json::from_str::<Description>(&there).is_ok_and(|d| d == *description);
        if !same {
            return Err(Error::input("this stage was begun with another configuration or another dataset")
                .file(&path)
                .remedy("remove the stage's folder to train it anew, or give the stage another name"));
        }
        return Ok(folder.join("model.json").exists());
    }
    std::fs::create_dir_all(folder).at(folder)?;
    write(&path, text.as_bytes())?;
    Ok(false)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes).at(&temporary)?;
    std::fs::rename(&temporary, path).at(path)
}

fn finish(folder: &Path, model: &dyn Model, description: &Description) -> Result<()> {
    let (path, temporary) = (folder.join("weights.safetensors"), folder.join("weights.tmp"));
    save(&named(model), &temporary)?;
    std::fs::rename(&temporary, &path).at(&path)?;
    let text = serde_json::to_string_pretty(description).map_err(|e| Error::failed(e.to_string()))?;
    write(&folder.join("model.json"), text.as_bytes())
}

/// Every variable, trainable or not, as `part.name`, sorted.
fn named(model: &dyn Model) -> Vec<(String, Tensor)> {
    let mut all: Vec<(String, Tensor)> = model
        .parts()
        .iter()
        .flat_map(|p| p.vs.variables().into_iter().map(|(n, t)| (format!("{}.{n}", p.name), t)))
        .map(|(n, t)| (n, t.detach().to_device(Device::Cpu).contiguous()))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn load_weights(model: &dyn Model, path: &Path) -> Result<()> {
    let bad = |problem: String| {
        let remedy = "remove the stage's folder to train it anew";
        Error::failed(format!("the weights cannot be used: {problem}")).file(path).remedy(remedy)
    };
    let mut there: std::collections::HashMap<String, Tensor> =
        Tensor::read_safetensors(path).map_err(|e| bad(e.to_string()))?.into_iter().collect();
    for part in model.parts() {
        for (name, mut variable) in part.vs.variables() {
            let name = format!("{}.{name}", part.name);
            let t = there.remove(&name).ok_or_else(|| bad(format!("{name} is missing")))?;
            if t.size() != variable.size() {
                return Err(bad(format!("{name} is {:?}, not {:?}", t.size(), variable.size())));
            }
            tch::no_grad(|| variable.copy_(&t));
        }
    }
    Ok(())
}

/// Names the universes of a dataset by their parameters.
fn digest(dataset: &Dataset) -> String {
    let mut hash = Sha256::new();
    dataset.theta().iter().for_each(|t| hash.update(t.to_le_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The folder of all stages of a campaign.
pub fn folder(output: &Path) -> PathBuf {
    output.join("train")
}
