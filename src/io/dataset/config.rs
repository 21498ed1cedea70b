//! `[dataset]`: which file made elsewhere, and what in it.

use super::Dataset;
use crate::error::{Error, Result};
use crate::io::field::AxisKind;
use crate::io::hdf::given;
use crate::io::parameters::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The section of the parameters.
pub(super) const PARAMETERS: &str = "dataset.parameters";

/// `[dataset]`: a file made elsewhere to train and infer on, in place of a simulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// The HDF5 file.
    #[schemars(extend("x-type" = "path"))]
    pub file: PathBuf,
    /// Name of its dataset of parameters, (n, p).
    #[serde(default = "default_theta")]
    pub theta: String,
    /// Name of its dataset of data, (n, …).
    #[serde(default = "default_x")]
    pub x: String,
    /// Fraction kept for validation, where the file has no `split`. Where none is kept, a tenth of the universes to
    /// learn from takes its place.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Fraction kept for tests, where the file has no `split`.
    #[serde(default = "default_test")]
    pub test: f64,
    /// The prior that `theta` was drawn from, one table `[dataset.parameters.NAME]` per column. Left out, it is uniform
    /// over the range of the data, with a notice.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    #[schemars(extend("x-default" = "the data's range"))]
    pub parameters: Parameters,
    /// What the axes of the file's arrays are, by the arrays' names; without the first axis, which counts universes.
    /// What the file itself says, by the attribute `axes_kinds` of an array, need not be said, and is not contradicted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-type" = "{ NAME = [string, …] }"))]
    pub axes: BTreeMap<String, Vec<AxisKind>>,
}

fn default_theta() -> String {
    "theta".into()
}
fn default_x() -> String {
    "x".into()
}
/// Share of the design kept for validation unless told otherwise.
pub fn default_validation() -> f64 {
    0.1
}
/// Share of the design kept for tests unless told otherwise.
pub fn default_test() -> f64 {
    0.2
}

impl DatasetConfig {
    /// Checks the values and that the file has what they name; reads `theta`, and of the data one universe. The file,
    /// opened.
    pub fn check(&self) -> Result<Dataset> {
        check_fractions("dataset", self.validation, self.test)?;
        let dataset = self.open()?;
        dataset.try_out(&self.x).map_err(|e| named(given(e), "dataset.x"))?;
        dataset.input(&self.x)?;
        Ok(dataset)
    }

    /// Opens the file. Its fields are all datasets with as many rows as `theta`.
    pub fn open(&self) -> Result<Dataset> {
        let prior = if self.parameters.is_empty() { None } else { Some(self.parameters.prior().map_err(own_section)?) };
        let about = |e: &Error| match e.key.as_deref() {
            Some(PARAMETERS) => PARAMETERS,
            Some(key) if key == self.theta => "dataset.theta",
            _ => "dataset.file",
        };
        let mut dataset = Dataset::with(&self.file, &self.theta, prior, self.validation, self.test)
            .map_err(|e| named(given(e.clone()), about(&e)))?;
        if self.axes.contains_key(&self.x) {
            dataset.spec(&self.x).map_err(|e| named(given(e), "dataset.x"))?;
        }
        dataset.include(&self.x);
        for (field, kinds) in &self.axes {
            let said = dataset.say_axes(field, kinds);
            said.map_err(|e| Error { key: Some(format!("dataset.axes.{field}")), value: None, ..given(e) })?;
        }
        Ok(dataset)
    }
}

/// Parameters stand in `[dataset.parameters]` here.
fn own_section(e: Error) -> Error {
    let key = e.key.map(|key| key.replacen("design.", "dataset.", 1));
    Error { key, ..e }
}

/// Adds the configuration's key to an error about the file itself; the value that stands with it is the file's.
fn named(e: Error, key: &str) -> Error {
    let problem = match (&e.key, &e.value) {
        (Some(dataset), Some(value)) if dataset != key => format!("{dataset} = {value}: {}", e.problem),
        (Some(dataset), None) if dataset != key => format!("{dataset}: {}", e.problem),
        _ => return Error { key: Some(key.into()), ..e },
    };
    Error { problem, key: Some(key.into()), value: None, ..e }
}

/// Fractions in `[0, 1)` that leave something to train on.
pub fn check_fractions(section: &str, validation: f64, test: f64) -> Result<()> {
    for (key, value) in [("validation", validation), ("test", test)] {
        if !(0.0..1.0).contains(&value) {
            let error = Error::input("is not a fraction").key(format!("{section}.{key}")).value(value);
            return Err(error.remedy("give a number from 0 to below 1"));
        }
    }
    if validation + test >= 1.0 {
        let error = Error::input("with the test fraction it leaves nothing to train on");
        let error = error.key(format!("{section}.validation")).value(validation);
        return Err(error.remedy(format!("lower it or {section}.test = {test}: their sum stays below 1")));
    }
    Ok(())
}
