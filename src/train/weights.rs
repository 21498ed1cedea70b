//! A finished stage's weights in their file.

use super::tensors;
use crate::error::{Error, Result};
use crate::io::hdf::publish_file;
use crate::io::identity::digest_of_file;
use crate::io::stages::anew;
use crate::models::Model;
use crate::nets::put;
use std::path::{Path, PathBuf};
use tch::Tensor;

fn file(folder: &Path) -> PathBuf {
    folder.join("weights.safetensors")
}

/// Writes them into a stage's folder: their digest.
pub fn write(model: &dyn Model, folder: &Path) -> Result<String> {
    let path = file(folder);
    publish_file(&path, |temporary| tensors::write(&variables(model), temporary))?;
    digest_of_file(&path)
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

fn unusable(problem: String, path: &Path, name: &str) -> Error {
    Error::failed(format!("the weights cannot be used: {problem}")).file(path).remedy(anew(name))
}

/// The weights of a stage are those that its record is about.
pub fn check(folder: &Path, digest: &str, name: &str) -> Result<()> {
    let path = &file(folder);
    if !path.exists() {
        return Err(unusable("there is no such file".into(), path, name));
    }
    match digest_of_file(path).map_err(|e| unusable(e.problem, path, name))? == digest {
        true => Ok(()),
        false => Err(unusable("they are damaged, or not those that model.json is about".into(), path, name)),
    }
}

/// Reads them into its model.
pub fn load(model: &dyn Model, folder: &Path, digest: &str, name: &str) -> Result<()> {
    check(folder, digest, name)?;
    let path = &file(folder);
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
