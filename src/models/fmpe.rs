//! Flow matching posterior estimation (Wildberger et al. 2023, arXiv:2305.17161): an ensemble of velocities that take normal
//! numbers to draws, learned by squared errors along straight lines. All else is as for `npe`.

use super::npe::{Conditional, Npe};
use super::prelude::*;
use super::{NpeConfig, Pass};
use crate::nets::{MlpConfig, Transform, Transforms, Velocity};
use tch::nn;

/// Times that a held-out sample is looked at.
const TIMES: i64 = 16;
/// Most steps of an integration.
const STEPS: i64 = 10_000;

/// An ensemble of flow matching posterior estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FmpeConfig {
    /// Velocities whose densities are averaged.
    pub ensemble: usize,
    /// Of the inputs, as for `vmim`.
    pub transform: Transforms,
    /// Outputs of a network before the velocity; 0: the inputs go to it as they are.
    pub embedding: i64,
    /// The embedding network.
    pub mlp: MlpConfig,
    /// Each velocity's network.
    pub velocity: MlpConfig,
    /// Steps of an integration from normal numbers to draws, or back.
    pub steps: i64,
    /// As for `npe`.
    pub linear: bool,
}

impl Default for FmpeConfig {
    fn default() -> Self {
        let NpeConfig { ensemble, embedding, mlp, linear, .. } = NpeConfig::default();
        let velocity = MlpConfig { hidden: 64, layers: 3 };
        FmpeConfig { ensemble, transform: Transform::Auto.into(), embedding, mlp, velocity, steps: 32, linear }
    }
}

impl FmpeConfig {
    /// What it shares with `npe`.
    fn shared(&self) -> NpeConfig {
        let FmpeConfig { ensemble, transform, embedding, mlp, linear, .. } = self.clone();
        NpeConfig { ensemble, transform, embedding, mlp, linear, ..NpeConfig::default() }
    }
}

impl Section for FmpeConfig {
    fn sizes(&self) -> Vec<Size> {
        let keys = ["velocity.hidden", "velocity.layers"];
        let own = keys.into_iter().zip(self.velocity.sizes()).map(|(key, (_, value, range))| (key, value, range));
        self.shared().sizes().into_iter().chain(own).chain([("steps", self.steps, [1, STEPS])]).collect()
    }

    fn unused(&self, inputs: &[FieldSpec]) -> Option<(&'static str, String)> {
        self.shared().unused(inputs)
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Posterior)
    }

    fn patience(&self) -> u64 {
        // A loss along random lines scatters.
        10
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let context = if self.embedding == 0 { inputs as f64 } else { self.embedding as f64 };
        let own = self.velocity.weights(context + p as f64, p as f64) + (self.velocity.hidden as f64).powi(2);
        let embedded = if self.embedding == 0 { 0.0 } else { self.mlp.weights(inputs as f64, context) };
        self.ensemble as f64 * (own + embedded)
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let velocity = |path: &nn::Path, p, context| -> Box<dyn Conditional> {
            Box::new(Velocity::new(&(path / "velocity"), p, context, &self.velocity, self.steps))
        };
        Ok(Box::new(Npe::of(&self.shared(), task, &velocity)?))
    }
}

impl Conditional for Velocity {
    fn ln_density(&self, u: Tensor, start: Tensor, context: &Tensor) -> Tensor {
        Velocity::ln_density(self, u, start, context)
    }

    fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        Velocity::inverse(self, z, context)
    }

    fn loss(&self, m: usize, u: Tensor, _: Tensor, context: &Tensor, batch: &Batch) -> Tensor {
        let k = if matches!(batch.pass, Pass::Train { .. }) { 1 } else { TIMES };
        let z = batch.normal(&format!("where a line of member {m} begins"), &[k, u.size()[1]]);
        let t = batch.uniform(&format!("when member {m} looks"), &[k]);
        Velocity::loss(self, &u, &z.to_kind(u.kind()), &t.to_kind(u.kind()), context)
    }

    fn name(&self) -> &'static str {
        "the velocity's square error"
    }
}
