//! One stage from the dataset to finished weights, and the chain of stages that a trained one stands on.

use super::checkpoint::save;
use super::data::{Table, tensor};
use super::{StageConfig, Trainer};
use crate::comm::{Comm, share};
use crate::error::{At, Error, Result};
use crate::io::dataset::{Dataset, Split};
use crate::models::Model;
use crate::prior::Prior;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Universes whose inputs are on their way through a network at a time.
const CHUNK: usize = 32;

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
    before: Vec<Box<dyn Model>>,
    /// The stage itself.
    pub model: Box<dyn Model>,
    pub prior: Prior,
    device: Device,
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

    /// Raw samples (n, shape) as the stage's own input.
    pub fn input(&self, values: &[f32], n: usize) -> Tensor {
        let shape: Vec<usize> = std::iter::once(n).chain(self.shape.iter().copied()).collect();
        let x = tensor(values, &shape, self.device, Kind::Float);
        self.before.iter().fold(x, |x, model| compress(model.as_ref(), &x))
    }
}

fn compress(model: &dyn Model, x: &Tensor) -> Tensor {
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
            let x = b.input(&vec![0.5; spec.shape.iter().product()], 1);
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
    let table = table(context, &config, &field, &spec.shape, before.as_ref())?;
    model.standardise(&table.select(&table.train).0);
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

/// The stage's samples in memory: the dataset's field, or the summaries of it. Collective.
fn table(
    context: &Context,
    config: &StageConfig,
    field: &str,
    shape: &[usize],
    before: Option<&Trained>,
) -> Result<Table> {
    let (comm, dataset) = (context.comm, context.dataset);
    let p = dataset.prior.len();
    let (mut train, mut validation) = (dataset.rows(Split::Train), dataset.rows(Split::Validation));
    if train.is_empty() {
        return comm.agree(Err(Error::input("no universe is left to learn from")
            .file(&dataset.path)
            .remedy("simulate more, or lower the validation and test fractions")));
    }
    let rows: Vec<usize> = train.iter().chain(&validation).copied().collect();
    let outside = rows.iter().find(|&&r| dataset.prior.ln_density(&dataset.theta()[r * p..(r + 1) * p]).is_infinite());
    comm.agree(match outside {
        Some(&row) => Err(Error::input(format!("row {row} lies outside the prior"))
            .file(&dataset.path)
            .key("theta")
            .value(&dataset.theta()[row * p..(row + 1) * p])
            .remedy("widen the bounds in [dataset.parameters], or remove such rows")),
        None => Ok(()),
    })?;
    let values = comm.agree(dataset.read_f32(field, &rows))?;
    let full: Vec<usize> = std::iter::once(rows.len()).chain(shape.iter().copied()).collect();
    let x = tensor(&values, &full, context.device, Kind::Float);
    drop(values);
    let finite = x.isfinite().all().int64_value(&[]) != 0;
    comm.agree(if finite {
        Ok(())
    } else {
        let remedy = "run `polycosm verify`, or look at the file for NaNs";
        Err(Error::input("not every number is finite").file(&dataset.path).key(field).remedy(remedy))
    })?;
    let theta: Vec<f64> = rows.iter().flat_map(|&r| dataset.theta()[r * p..(r + 1) * p].iter().copied()).collect();
    let theta = Tensor::from_slice(&theta).view([-1, p as i64]).to_device(context.device);
    // From here on rows are counted within the table: training rows first.
    let (n, all) = (train.len(), rows.len());
    train = (0..n).collect();
    validation = (n..all).collect();
    // The same rule by which a compressor sees maps: the last two axes are a picture.
    let maps = shape.len() >= 2 && shape.iter().rev().take(2).all(|&n| n >= 8);
    let table = Table { x, theta, train, validation, maps };
    let Some(before) = before else { return Ok(table) };
    summarised(context, config, table, before)
}

/// Summaries of every universe: `copies` of each training universe, augmented as the compressor's own training saw them.
fn summarised(context: &Context, config: &StageConfig, table: Table, before: &Trained) -> Result<Table> {
    let comm = context.comm;
    let (n, all) = (table.train.len(), table.train.len() + table.validation.len());
    let copies = if table.maps { config.copies } else { 1 };
    // (copy, row); validation universes stand once, as they are.
    let items: Vec<(usize, usize)> =
        (0..copies).flat_map(|c| (0..n).map(move |r| (c, r))).chain((n..all).map(|r| (0, r))).collect();
    let (start, len) = share(items.len(), comm.size(), comm.rank());
    let mut mine: Vec<f32> = Vec::new();
    let mut width = 0;
    let chain: Vec<&dyn Model> = before.before.iter().map(AsRef::as_ref).chain([before.model.as_ref()]).collect();
    for chunk in items[start..start + len].chunks(CHUNK) {
        // A chunk is of one copy, so that its augmentation has one seed.
        for part in chunk.chunk_by(|a, b| a.0 == b.0) {
            let rows: Vec<usize> = part.iter().map(|i| i.1).collect();
            let x = match part[0].0 {
                0 => table.select(&rows).0,
                copy => table.augmented(&rows, config.seed, copy as u64).0,
            };
            let s = chain.iter().fold(x, |x, model| compress(*model, &x)).to_device(Device::Cpu).to_kind(Kind::Float);
            width = s.size()[1] as usize;
            let mut values = vec![0f32; s.numel()];
            s.contiguous().copy_data(&mut values, s.numel());
            mine.extend(values);
        }
    }
    let values = comm.all_gather(&mine);
    let width = comm.max_of(width as u64) as usize;
    let x = tensor(&values, &[items.len(), width], context.device, Kind::Float);
    let rows: Vec<i64> = items.iter().map(|i| i.1 as i64).collect();
    let theta = table.theta.index_select(0, &Tensor::from_slice(&rows).to_device(context.device));
    let train = (0..copies * n).collect();
    Ok(Table { x, theta, train, validation: (copies * n..items.len()).collect(), maps: false })
}

/// The folder of all stages of a campaign.
pub fn folder(output: &Path) -> PathBuf {
    output.join("train")
}
