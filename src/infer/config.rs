//! `[infer]`.

use super::Method;
use crate::error::{Error, Result};
use crate::io::gadget::Velocities;
use crate::limits;
use crate::models::Estimand;
use crate::train::{StageConfig, cutter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;

/// `[infer]`: which posterior to draw from, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InferConfig {
    /// Name of the stage to draw from.
    pub posterior: String,
    /// Stage that it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Posterior draws per universe.
    #[serde(default = "draws")]
    pub draws: usize,
    /// How draws are made of likelihoods and ratios, which do not draw by themselves. `"tempered"`: from the prior to the
    /// posterior by sequential Monte Carlo, several modes included. Chains, whose R̂ and effective sample size are kept and told:
    /// `"hmc"`, by the density's slope, for many parameters; `"ensemble"`, affine-invariant stretch moves; `"slice"`, ensemble
    /// slice sampling.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("x-default" = "`\"tempered\"`"))]
    pub sampler: Method,
    /// HDF5 files of the fields that the networks read, of one observation or of several (`FILE:3` is row 3 alone); or
    /// snapshots of other codes (GADGET HDF5) of the campaign's box, particle number and time, of one in several files any
    /// one. What is accepted: docs/files.md#observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-type" = "[path, …]"))]
    pub observations: Vec<PathBuf>,
    /// How the snapshots' velocities are written: peculiar over √a, or peculiar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "as each file tells, else `\"gadget\"`"))]
    pub velocities: Option<Velocities>,
}

fn is_default(method: &Method) -> bool {
    *method == Method::default()
}

fn draws() -> usize {
    1000
}

impl InferConfig {
    /// Refuses stages that are not there, and those that know no density.
    pub fn check(&self, stages: &[StageConfig]) -> Result<()> {
        let densities = stages.iter().filter(|s| s.network.density().is_some());
        let names: Vec<&str> = densities.map(|s| s.name.as_str()).collect();
        for (key, name) in [("posterior", Some(&self.posterior)), ("baseline", self.baseline.as_ref())] {
            let of = name.and_then(|name| cutter(stages, stages.iter().find(|s| s.name == *name)?));
            if let (Some(name), Some(of)) = (name, of) {
                let problem = format!(
                    "its samples are pieces of universes, as stage {} cuts them, and a posterior is of a whole",
                    of.name
                );
                let remedy = "name a stage that sees whole universes";
                return Err(Error::input(problem).key(format!("infer.{key}")).value(name).remedy(remedy));
            }
            let views = name.and_then(|name| stages.iter().find(|s| s.name == *name)?.data.average).unwrap_or(1);
            if self.draws > 0 && self.draws < views {
                let problem = format!(
                    "is less than one for each of the {views} views that stage {} averages over",
                    name.map_or("", |n| n)
                );
                let error = Error::input(problem).key("infer.draws").value(self.draws);
                return Err(error.remedy("draw more, or lower its `average`"));
            }
            let Some(name) = name.filter(|name| !names.contains(&name.as_str())) else { continue };
            let problem = match stages.iter().any(|s| s.name == *name) {
                true => "nothing can be drawn from this stage: its model is no density of the parameters",
                false => "there is no such training stage",
            };
            let remedy = match names[..] {
                [] => {
                    "add a [[train]] stage whose network gives a density, on this one's output if it compresses".into()
                }
                _ => format!("choose one of {}", names.join(", ")),
            };
            return Err(Error::input(problem).key(format!("infer.{key}")).value(name).remedy(remedy));
        }
        let marginal = |name: &String| stages.iter().any(|s| s.name == *name && !s.network.is_joint());
        if let Some(baseline) = self.baseline.as_ref().filter(|name| marginal(name) || marginal(&self.posterior)) {
            let problem = "densities of all parameters are compared, and one of the two stages knows marginals alone";
            let error = Error::input(problem).key("infer.baseline").value(baseline);
            return Err(error.remedy("leave it out, or give each a campaign of its own"));
        }
        let own =
            |name: &String| stages.iter().any(|s| s.name == *name && s.network.density() == Some(Estimand::Posterior));
        if self.sampler != Method::default() && own(&self.posterior) && self.baseline.as_ref().is_none_or(own) {
            let problem = format!("is not used: stage {} draws from its posterior by itself", self.posterior);
            let error = Error::input(problem).key("infer.sampler").shown(json!(self.sampler).to_string());
            return Err(error.remedy("leave it out: it is for likelihoods and ratios"));
        }
        if self.baseline.as_ref() == Some(&self.posterior) {
            let error = Error::input("is the posterior itself").key("infer.baseline").value(&self.posterior);
            return Err(error.remedy("name another stage to compare it with, or leave it out"));
        }
        if self.draws == 0 {
            return Err(Error::input("must be at least 1").key("infer.draws").value(0).remedy("1000 is usual"));
        }
        limits::at_most("infer.draws", self.draws, limits::DRAWS)
    }
}
