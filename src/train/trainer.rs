//! The trainer: the same global batches whatever the number of ranks, gradients summed over them, checkpoints that a killed
//! run goes on from as if nothing had happened.

use super::StageConfig;
use super::checkpoint::{self, State};
use super::data::Table;
use super::optimiser::Flat;
use crate::comm::{Comm, share, stop};
use crate::error::{Error, Result};
use crate::models::{Batch, Model};
use crate::progress::{Progress, count};
use crate::rng::stream;
use rand::seq::SliceRandom;
use std::path::Path;
use std::time::Instant;
use tch::{Kind, Tensor};

/// One line of `history.jsonl`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    pub step: u64,
    pub train_loss: f64,
    pub validation_loss: Option<f64>,
    pub learning_rate: f64,
    /// Since the stage began, over all runs.
    pub seconds: f64,
}

/// Trains one model.
pub struct Trainer<'a> {
    pub comm: &'a Comm,
    pub config: &'a StageConfig,
    pub model: &'a dyn Model,
    pub flats: Vec<Flat>,
    /// Off only in the test that shows that the reduction matters.
    pub reduce: bool,
    pub state: State,
}

impl<'a> Trainer<'a> {
    /// Takes over a model's parameters; every rank starts from the root's. Collective.
    pub fn new(comm: &'a Comm, config: &'a StageConfig, model: &'a dyn Model) -> Self {
        let flats: Vec<Flat> = model.parts().iter().map(|p| Flat::new(p, config.optimiser)).collect();
        for flat in &flats {
            broadcast(comm, &flat.parameters);
        }
        let state = State::new(flats.len());
        Trainer { comm, config, model, flats, reduce: true, state }
    }

    /// Learning rate of a global step: linear warm-up over the first epoch, then a cosine to zero.
    fn rate(&self, step: u64, per_epoch: u64) -> f64 {
        let total = (self.config.epochs * per_epoch).max(1) as f64;
        let warm = ((step + 1) as f64 / per_epoch as f64).min(1.0);
        self.config.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / total).cos())
    }

    /// One step on a global batch of rows; returns the mean loss over it. Collective.
    pub fn step(&mut self, table: &Table, rows: &[usize], phase: usize, epoch: u64, rate: f64) -> Result<f64> {
        let (start, len) = share(rows.len(), self.comm.size(), self.comm.rank());
        let mine = &rows[start..start + len];
        let weight = len as f64 / rows.len() as f64;
        let losses = if mine.is_empty() {
            vec![]
        } else {
            let (x, theta) = match self.config.augment {
                true => table.augmented(mine, self.config.seed, epoch),
                false => table.select(mine),
            };
            self.model.step(&Batch { x, theta }, phase)
        };
        let count = self.comm.max_of(losses.len() as u64) as usize;
        let mut values = vec![0f64; count];
        for (i, value) in values.iter_mut().enumerate() {
            self.flats.iter_mut().for_each(Flat::zero_grad);
            // A rank without samples of this batch takes part with a gradient of zero.
            let mut parts = 0u64;
            if let Some(loss) = losses.get(i) {
                *value = weight * loss.value.double_value(&[]);
                (&loss.value * weight).backward();
                parts = loss.parts.iter().fold(0, |bits, &p| bits | 1 << p);
            }
            let parts = self.comm.max_of(parts);
            for (_, flat) in self.flats.iter_mut().enumerate().filter(|(p, _)| parts >> p & 1 == 1) {
                let mut gradient = flat.gradient(self.comm, self.reduce)?;
                if self.config.clip > 0.0 {
                    let norm = gradient.norm().double_value(&[]);
                    if norm > self.config.clip {
                        gradient *= self.config.clip / norm;
                    }
                }
                flat.step(&gradient, rate, self.config.weight_decay);
            }
        }
        self.comm.sum(&mut values);
        Ok(values.iter().sum::<f64>() / count.max(1) as f64)
    }

    /// Mean of each loss over rows, without augmentation. Collective.
    fn evaluate(&self, table: &Table, rows: &[usize], phase: usize) -> Vec<f64> {
        let (start, len) = share(rows.len(), self.comm.size(), self.comm.rank());
        let mut sums = vec![0f64; self.flats.len().max(1)];
        tch::no_grad(|| {
            for chunk in rows[start..start + len].chunks(64) {
                let (x, theta) = table.select(chunk);
                for (s, loss) in sums.iter_mut().zip(self.model.step(&Batch { x, theta }, phase)) {
                    *s += chunk.len() as f64 * loss.value.double_value(&[]);
                }
            }
        });
        self.comm.sum(&mut sums);
        sums.iter().map(|s| s / rows.len().max(1) as f64).collect()
    }

    /// Trains to the end, from the newest checkpoint in `folder` if there is one. Leaves the best weights in the model.
    /// Collective.
    pub fn run(&mut self, table: &Table, folder: &Path) -> Result<()> {
        let (comm, config) = (self.comm, self.config);
        checkpoint::resume(comm, folder, &mut self.state, &mut self.flats)?;
        let batches = table.train.len().div_ceil(config.batch_size.max(1)) as u64;
        let mut progress = Progress::new(&format!("train {}", config.name), config.epochs, comm.is_root());
        for phase in 0..self.model.phases() {
            while self.state.epoch < config.epochs && !self.state.stopped {
                let start = Instant::now();
                let epoch = self.state.epoch;
                let mut rows = table.train.clone();
                rows.shuffle(&mut stream(config.seed, epoch, "shuffle", phase as u64));
                let (mut sum, mut rate) = (0.0, 0.0);
                for batch in rows.chunks(config.batch_size) {
                    rate = self.rate(self.state.step, batches);
                    let loss = self.step(table, batch, phase, epoch, rate)?;
                    if !loss.is_finite() {
                        let problem = format!("the loss is {loss} in epoch {}, step {}", epoch + 1, self.state.step);
                        let remedy =
                            format!("lower train.{}.learning_rate, or look at the input for NaNs", config.name);
                        return comm
                            .agree(Err(Error::failed(problem).key(format!("train.{}", config.name)).remedy(remedy)));
                    }
                    sum += loss * batch.len() as f64;
                    self.state.step += 1;
                }
                let validation = self.evaluate(table, &table.validation, phase);
                let mean = validation.iter().sum::<f64>() / validation.len() as f64;
                self.state.judge(&validation, &self.flats, config.patience);
                let before = self.state.history.last().map_or(0.0, |e| e.seconds);
                self.state.history.push(Epoch {
                    epoch,
                    step: self.state.step,
                    train_loss: sum / rows.len().max(1) as f64,
                    validation_loss: Some(mean),
                    learning_rate: rate,
                    seconds: before + start.elapsed().as_secs_f64(),
                });
                self.state.epoch += 1;
                if self.state.epoch.is_multiple_of(config.checkpoint_every) || self.state.epoch == config.epochs {
                    checkpoint::write(comm, folder, &self.state, &self.flats)?;
                }
                progress.set(self.state.epoch, &format!("loss {:.3}, validation {mean:.3}", sum / rows.len() as f64));
                if stop::requested(comm) {
                    checkpoint::write(comm, folder, &self.state, &self.flats)?;
                    let done = count(self.state.epoch as usize, "epoch");
                    stop::check(comm, &format!("after {done} of stage {}", config.name))?;
                }
            }
        }
        let best = self.state.best.iter().sum::<f64>() / self.state.best.len() as f64;
        progress.finish(&format!("{} epochs, best validation loss {best:.3}", self.state.epoch));
        self.state.restore_best(&mut self.flats);
        Ok(())
    }
}

/// Copies the root's numbers to everyone.
fn broadcast(comm: &Comm, t: &Tensor) {
    if comm.size() == 1 {
        return;
    }
    tch::no_grad(|| {
        let mut t = t.shallow_clone();
        let host = t.to_device(tch::Device::Cpu).to_kind(Kind::Double);
        let mut values = vec![0f64; t.numel()];
        host.copy_data(&mut values, t.numel());
        comm.broadcast(0, &mut values);
        t.copy_(&Tensor::from_slice(&values).to_kind(t.kind()).to_device(t.device()));
    });
}
