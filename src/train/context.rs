//! What a stage is part of: the campaign's others, the dataset, the machine.

use super::{StageConfig, source};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::io::dataset::Dataset;
use crate::io::identity::Identity;
use crate::io::provenance::Provenance;
use crate::io::stages::Stages;
use tch::Device;

/// What a stage is part of.
pub struct Context<'a> {
    pub comm: &'a Comm,
    /// All stages of the campaign.
    pub stages: &'a [StageConfig],
    /// The same as their files tell.
    pub records: &'a Stages,
    pub dataset: &'a Dataset,
    /// That dataset, as the stage's chain sees it.
    pub identity: &'a Identity,
    /// The campaign's seed.
    pub seed: u64,
    pub device: Device,
    /// For what is written.
    pub by: &'a Provenance,
}

/// The configuration of a stage.
pub fn find<'a>(stages: &'a [StageConfig], name: &str) -> Result<&'a StageConfig> {
    stages.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = stages.iter().map(|s| s.name.as_str()).collect();
        Error::input("there is no such stage")
            .key("train")
            .value(name)
            .remedy(format!("choose one of {}", names.join(", ")))
    })
}

/// The stage and the output of it that a column stands for; `None`: a field of the dataset.
pub(super) fn made(stages: &[StageConfig], column: &str) -> Option<(String, String)> {
    let stage = source(stages, column)?;
    let output = column.strip_prefix(&format!("{}/", stage.name)).or(stage.network.outputs().first().copied());
    Some((stage.name.clone(), output?.into()))
}

/// The earlier stages that a stage stands on, directly or not.
pub(super) fn below<'a>(stages: &'a [StageConfig], stage: &StageConfig) -> Vec<&'a StageConfig> {
    let read = |stage: &StageConfig| stage.columns().filter_map(|(_, name)| source(stages, name)).collect::<Vec<_>>();
    let (mut all, mut next): (Vec<&StageConfig>, _) = (vec![], read(stage));
    while let Some(other) = next.pop() {
        if !all.iter().any(|known| known.name == other.name) {
            all.push(other);
            next.extend(read(other));
        }
    }
    all
}
