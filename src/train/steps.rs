//! `[train.steps]`: how weights move from step to step.

use crate::error::{Error, Result};
use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// `[train.steps]`: how a stage's learning rate goes, and what a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepsConfig {
    /// How the learning rate goes over a phase: `"cosine"` to zero, `"constant"`; `"one-cycle"` (Smith & Topin 2017): from a
    /// 25th up to the peak over the first 30% of the steps, then down to a 10,000th of where it began, both as a cosine, without
    /// warm-up; `{ step = { every = 20, factor = 0.1 } }`: times `factor` after so many epochs, again and again;
    /// `{ plateau = { patience = 5, factor = 0.5 } }`: times `factor` when the validation loss has not fallen for more than
    /// `patience` epochs.
    #[schemars(with = "serde_json::Value")]
    #[schemars(extend("x-type" = "string or table", "x-default" = "`\"cosine\"`"))]
    pub schedule: Schedule,
    /// Epochs over which the learning rate rises linearly from zero.
    pub warmup: f64,
    /// Of `"sgd"`: what is left of the step before (Polyak 1964); the learning rate times the sum of gradients, each `momentum`
    /// times that before it.
    pub momentum: f64,
    /// Of `"adamw"`, for parts of a network that have none of their own: what is left of the averages of gradients and of their
    /// squares.
    pub betas: [f64; 2],
    /// Parts of a batch that go through the network one after another, so that less memory is needed: their gradients are added
    /// up, and the step is the same but for rounding. Refused for a model of your own that does not say that it can.
    pub accumulate: usize,
    /// Exponential average of the weights (Polyak & Juditsky 1992), which is judged and kept in their place: what is left of
    /// the average in a step, or (1 + t) / (10 + t) in step t where that is less. 0: the weights themselves.
    pub ema: f64,
    /// Steps, one after another, whose loss or gradient is no finite number and which are left out, before training fails.
    pub skip: u64,
    /// `batch_size` is that of a rank, and the learning rate is multiplied by the number of ranks (`"linear"`, Goyal et al. 2017)
    /// or by its root (`"root"`, for Adam). What is learned then depends on the ranks, and a training goes on with as many as it
    /// began with.
    #[schemars(extend("x-default" = "neither: `batch_size` is that of all ranks together"))]
    pub scaling: Option<Scaling>,
}

/// How the learning rate goes with the number of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    Linear,
    Root,
}

/// How the learning rate goes over a phase.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    #[default]
    Cosine,
    Constant,
    OneCycle,
    Step {
        every: u64,
        factor: f64,
    },
    Plateau {
        patience: u64,
        factor: f64,
    },
}

impl Default for StepsConfig {
    fn default() -> Self {
        let (schedule, warmup, momentum, betas) = (Schedule::Cosine, 1.0, 0.0, [0.9, 0.999]);
        StepsConfig { schedule, warmup, momentum, betas, accumulate: 1, ema: 0.0, skip: 5, scaling: None }
    }
}

impl StepsConfig {
    /// Nothing is said.
    pub fn is_default(&self) -> bool {
        *self == StepsConfig::default()
    }

    /// Refuses what makes no steps, of a stage of that name with so many samples in a batch.
    pub(super) fn check(&self, stage: &str, batch: usize, adaptive: bool) -> Result<()> {
        let bad = |key: &str, value: String, problem: &str, remedy: &str| {
            Err(Error::input(problem).key(format!("train.{stage}.steps.{key}")).shown(value).remedy(remedy))
        };
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        let [momentum, ema, warmup] = [self.momentum, self.ema, self.warmup].map(|x| format!("{x:?}"));
        if !fraction(self.momentum) {
            return bad("momentum", momentum, "must be from 0 up to below 1", "0.9 is usual");
        }
        if self.momentum > 0.0 && adaptive {
            return bad("momentum", momentum, "belongs to optimiser = \"sgd\"", "leave it out, or set `betas`");
        }
        if self.betas != StepsConfig::default().betas && !adaptive {
            let betas = format!("{:?}", self.betas);
            return bad("betas", betas, "belongs to optimiser = \"adamw\"", "leave it out, or set `momentum`");
        }
        if !self.betas.iter().all(|&beta| fraction(beta)) {
            return bad("betas", format!("{:?}", self.betas), "must be from 0 up to below 1", "[0.9, 0.999] is usual");
        }
        if !fraction(self.ema) {
            return bad("ema", ema, "must be from 0 up to below 1", "0.999 is usual, 0 switches it off");
        }
        if !(self.warmup >= 0.0 && self.warmup <= limits::EPOCHS as f64) {
            return bad("warmup", warmup, "is no number of epochs", "1 is usual, 0 switches it off");
        }
        if self.accumulate == 0 || self.accumulate > batch {
            let remedy = format!("give 1 to batch_size = {batch}");
            return bad("accumulate", self.accumulate.to_string(), "is no number of parts of a batch", &remedy);
        }
        let (key, every, factor) = match self.schedule {
            Schedule::Step { every, factor } => ("schedule.step", every, factor),
            Schedule::Plateau { patience, factor } => ("schedule.plateau", patience.saturating_add(1), factor),
            _ => return Ok(()),
        };
        if every == 0 {
            return bad(&format!("{key}.every"), "0".into(), "must be at least 1", "give a number of epochs");
        }
        if !(factor > 0.0 && factor < 1.0) {
            let key = format!("{key}.factor");
            return bad(&key, format!("{factor:?}"), "must be between 0 and 1", "0.1 to 0.5 are usual");
        }
        Ok(())
    }

    /// Batch size and learning rate on so many ranks.
    pub(super) fn scaled(&self, batch: usize, rate: f64, ranks: usize) -> (usize, f64) {
        match self.scaling {
            None => (batch, rate),
            Some(Scaling::Linear) => (batch * ranks, rate * ranks as f64),
            Some(Scaling::Root) => (batch * ranks, rate * (ranks as f64).sqrt()),
        }
    }

    /// Learning rate of a phase's step, of so many in an epoch. `losses`: those of the phase's epochs that are over.
    pub fn rate(&self, peak: f64, step: u64, per_epoch: u64, epochs: u64, losses: &[f64]) -> f64 {
        let total = (epochs * per_epoch).max(1) as f64;
        let rise = self.warmup * per_epoch as f64;
        let warm = if rise > 0.0 { ((step + 1) as f64 / rise).min(1.0) } else { 1.0 };
        match self.schedule {
            Schedule::Cosine => peak * warm * 0.5 * (1.0 + (PI * step as f64 / total).cos()),
            Schedule::Constant => peak * warm,
            Schedule::Step { every, factor } => peak * warm * factor.powf((step / per_epoch.max(1) / every) as f64),
            Schedule::Plateau { patience, factor } => peak * warm * factor.powf(cuts(losses, patience) as f64),
            Schedule::OneCycle => {
                let (first, top, last) = (peak / 25.0, 0.3 * total - 1.0, total - 1.0);
                let cosine = |from: f64, to: f64, at: f64| to + (from - to) / 2.0 * (1.0 + (PI * at.min(1.0)).cos());
                match step as f64 {
                    at if at <= top => cosine(first, peak, at / top.max(1.0)),
                    at => cosine(peak, first / 1e4, (at - top) / (last - top)),
                }
            }
        }
    }
}

/// How often losses have not fallen for more than so many epochs.
fn cuts(losses: &[f64], patience: u64) -> u64 {
    let (mut best, mut waited, mut cuts) = (f64::INFINITY, 0, 0);
    for &loss in losses {
        (best, waited) = if loss < best { (loss, 0) } else { (best, waited + 1) };
        if waited > patience {
            (waited, cuts) = (0, cuts + 1);
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup: f64, losses: &[f64]) -> Vec<f64> {
        let steps = StepsConfig { schedule, warmup, ..StepsConfig::default() };
        (0..40).map(|step| steps.rate(2.0, step, 4, 10, losses)).collect()
    }

    #[test]
    fn learning_rates_go_as_their_schedules_say() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} instead of {b}");
        let cosine = rates(Schedule::Cosine, 1.0, &[]);
        close(cosine[0], 0.5);
        close(cosine[3], 1.0 + (PI * 3.0 / 40.0).cos());
        close(cosine[20], 1.0);
        let constant = rates(Schedule::Constant, 2.0, &[]);
        assert_eq!([constant[0], constant[3], constant[7], constant[39]], [0.25, 1.0, 2.0, 2.0]);
        assert_eq!(rates(Schedule::Constant, 0.0, &[])[0], 2.0);
        let step = rates(Schedule::Step { every: 3, factor: 0.5 }, 0.0, &[]);
        assert_eq!([step[0], step[11], step[12], step[24], step[39]], [2.0, 2.0, 1.0, 0.5, 0.25]);
        // PyTorch's OneCycleLR(max_lr=2, total_steps=40), by its formula: the peak after 0.3 · 40 − 1 = 11 steps.
        let cycle = rates(Schedule::OneCycle, 1.0, &[]);
        close(cycle[0], 0.08);
        close(cycle[5], 2.0 + (0.08 - 2.0) / 2.0 * (1.0 + (PI * 5.0 / 11.0).cos()));
        close(cycle[11], 2.0);
        close(cycle[25], 8e-6 + (2.0 - 8e-6) / 2.0 * (1.0 + (PI * 14.0 / 28.0).cos()));
        close(cycle[39], 8e-6);
        let plateau = |losses: &[f64]| rates(Schedule::Plateau { patience: 1, factor: 0.5 }, 0.0, losses)[0];
        assert_eq!([plateau(&[]), plateau(&[3.0, 2.0, 2.0]), plateau(&[3.0, 2.0, 2.0, 2.5])], [2.0, 2.0, 1.0]);
        // What is over is forgotten: two more epochs are waited for.
        assert_eq!([plateau(&[1.0, 1.0, 1.0, 1.0]), plateau(&[1.0, 1.0, 1.0, 1.0, 1.0])], [1.0, 0.5]);
    }

    #[test]
    fn ranks_scale_batches_and_rates() {
        let of = |scaling| StepsConfig { scaling, ..StepsConfig::default() }.scaled(32, 1e-3, 4);
        assert_eq!(
            [of(None), of(Some(Scaling::Linear)), of(Some(Scaling::Root))],
            [(32, 1e-3), (128, 4e-3), (128, 2e-3)]
        );
    }

    #[test]
    fn steps_that_are_none_are_refused() {
        for (text, key) in [
            (r#"{"momentum": 1.0}"#, "momentum"),
            (r#"{"momentum": 0.9}"#, "momentum"),
            (r#"{"betas": [0.9, 1.0]}"#, "betas"),
            (r#"{"ema": -0.1}"#, "ema"),
            (r#"{"warmup": -1.0}"#, "warmup"),
            (r#"{"accumulate": 0}"#, "accumulate"),
            (r#"{"accumulate": 33}"#, "accumulate"),
            (r#"{"schedule": {"step": {"every": 0, "factor": 0.1}}}"#, "schedule.step.every"),
            (r#"{"schedule": {"plateau": {"patience": 0, "factor": 1.0}}}"#, "schedule.plateau.factor"),
        ] {
            let steps: StepsConfig = serde_json::from_str(text).unwrap();
            let e = steps.check("s", 32, true).unwrap_err();
            assert!(e.exit_code() == 2 && e.key == Some(format!("train.s.steps.{key}")), "{text}: {e}");
        }
        let betas = StepsConfig { betas: [0.8, 0.99], ..StepsConfig::default() };
        assert!(betas.check("s", 32, true).is_ok());
        assert_eq!(betas.check("s", 32, false).unwrap_err().key.as_deref(), Some("train.s.steps.betas"));
        for text in [r#"{"schedule": "cosin"}"#, r#"{"schedule": {"step": {"every": 2}}}"#, r#"{"scaling": "square"}"#]
        {
            assert!(serde_json::from_str::<StepsConfig>(text).is_err(), "{text}");
        }
    }
}
