//! How a training went: `history.jsonl`, a line for each epoch.

use super::hdf::publish_text;
use super::text;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    /// Which phase of the model's; left out in the first.
    #[serde(default, skip_serializing_if = "first")]
    pub phase: usize,
    /// Steps done in all.
    #[serde(default)]
    pub step: u64,
    pub train_loss: f64,
    /// `None` where the stage has no validation split.
    #[serde(default)]
    pub validation_loss: Option<f64>,
    #[serde(default)]
    pub learning_rate: f64,
    /// Since the stage began, over all runs.
    #[serde(default)]
    pub seconds: f64,
    /// Steps that were left out until then, for their loss or gradient was no finite number.
    #[serde(default, skip_serializing_if = "none")]
    pub skipped: u64,
}

fn none(skipped: &u64) -> bool {
    *skipped == 0
}

fn first(phase: &usize) -> bool {
    *phase == 0
}

/// Writes the epochs of a stage.
pub fn write(path: &Path, epochs: &[Epoch]) -> Result<()> {
    let line = |epoch: &Epoch| serde_json::to_string(epoch).map_err(|e| Error::failed(e.to_string()));
    let lines = epochs.iter().map(line).collect::<Result<Vec<_>>>()?;
    publish_text(path, &(lines.join("\n") + "\n"))
}

/// The epochs of a stage; none where there is no such file.
pub fn read(path: &Path) -> Result<Vec<Epoch>> {
    let bad = |problem: String| {
        let error = Error::failed(format!("cannot be used: {problem}")).file(path);
        error.remedy("remove this file: the report then goes without these losses")
    };
    let text = text::read(path).map_err(|e| bad(e.problem))?.unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).map_err(|e| bad(e.to_string()))).collect()
}
