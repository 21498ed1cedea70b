//! A finished stage's weights in their file.

use super::tensors;
use crate::error::Result;
use crate::io::hdf::publish_file;
use crate::io::identity::digest_of_file;
use crate::io::stages::{Record, Stages, unusable};
use crate::models::Model;
use crate::nets::put;
use std::path::Path;
use tch::Tensor;

/// Writes them into a stage's file: their digest.
pub fn write(model: &dyn Model, path: &Path) -> Result<String> {
    publish_file(path, |temporary| tensors::write(&variables(model), temporary))?;
    digest_of_file(path)
}

/// Every variable, trainable or not, as `part.name`, sorted.
pub(super) fn variables(model: &dyn Model) -> Vec<(String, Tensor)> {
    let mut all: Vec<(String, Tensor)> = model
        .parts()
        .iter()
        .flat_map(|p| p.vs.variables().into_iter().map(|(n, t)| (format!("{}.{n}", p.name), t)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Reads the weights of a stage with this record into its model.
pub fn load(model: &dyn Model, records: &Stages, name: &str, record: &Record) -> Result<()> {
    records.check_weights(name, record)?;
    let path = &records.weights(name);
    let bad = |problem: String| unusable(problem, path, name);
    let mut there: std::collections::HashMap<String, Tensor> =
        tensors::read(path).map_err(|e| bad(e.problem))?.into_iter().collect();
    for (name, variable) in variables(model) {
        let t = there.remove(&name).ok_or_else(|| bad(format!("{name} is missing")))?;
        if t.size() != variable.size() {
            return Err(bad(format!("{name} is {:?}, not {:?}", t.size(), variable.size())));
        }
        put(&variable, &t);
    }
    Ok(())
}
