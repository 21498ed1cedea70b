//! The trainer: the same global batches whatever the number of ranks, gradients summed over them, checkpoints that a killed
//! run goes on from as if nothing had happened.

use super::StageConfig;
use super::change::{Change, change};
use super::checkpoint::{self, State};
use super::optimiser::Flat;
use super::source::Source;
use super::stream::Everything;
use super::turn::{Means, Share, Skipped};
use crate::comm::{Comm, share, stop};
use crate::error::{Error, Result};
use crate::io::dataset::Split;
use crate::io::history::Epoch;
use crate::io::stages::anew;
use crate::models::{Batch, Model, Pass, Phase, SampleId, Score};
use crate::nets::{host, put};
use crate::progress::{Progress, count};
use std::path::Path;
use std::time::Instant;
use tch::{Kind, Tensor};

/// Least samples of a look at the held-out ones.
pub(super) const LOOK: usize = 64;

/// Trains one model.
pub struct Trainer<'a> {
    pub comm: &'a Comm,
    pub config: &'a StageConfig,
    pub model: &'a dyn Model,
    /// What is done to samples on their way, in order.
    pub changes: Vec<Box<dyn Change>>,
    pub flats: Vec<Flat>,
    /// Off only in the test that shows that the reduction matters.
    pub reduce: bool,
    pub state: State,
    /// When the last checkpoint was written, or training began.
    saved: Instant,
    /// Scales are taken, or came with a checkpoint.
    ready: bool,
}

impl<'a> Trainer<'a> {
    /// Takes over a model's parameters; every rank starts from the root's. Collective.
    pub fn new(comm: &'a Comm, config: &'a StageConfig, model: &'a dyn Model) -> Self {
        let flats: Vec<Flat> =
            model.parts().iter().map(|p| Flat::new(p, config.optimiser).with(&config.steps)).collect();
        for flat in flats.iter().filter(|_| comm.size() > 1) {
            let mut values = host(&flat.parameters);
            comm.broadcast(0, &mut values);
            let values = Tensor::from_slice(&values);
            std::iter::once(&flat.parameters).chain(&flat.average).for_each(|to| put(to, &values));
        }
        let (changes, state) = (vec![], State { ranks: comm.size(), ..State::new(flats.len()) });
        let saved = Instant::now();
        Trainer { comm, config, model, changes, flats, reduce: true, state, saved, ready: false }
    }

    /// What the networks compute in.
    fn kind(&self) -> Kind {
        self.model.parts().first().map_or(Kind::Float, |p| p.vs.kind())
    }

    /// This rank's samples of a global batch, and whether they count: a rank for which there are none keeps company with the first.
    fn mine<'b>(&self, ids: &'b [SampleId]) -> (&'b [SampleId], bool) {
        let (start, len) = share(ids.len(), self.comm.size(), self.comm.rank());
        (if len == 0 { &ids[..1] } else { &ids[start..start + len] }, len > 0)
    }

    /// Tells a source what this rank will read.
    fn plan(&self, source: &mut dyn Source, batches: &[&[SampleId]]) {
        source.plan(batches.iter().map(|ids| self.mine(ids).0.to_vec()).collect());
    }

    /// The parts in which a batch goes through the networks.
    fn parts<'b>(&self, ids: &'b [SampleId]) -> impl Iterator<Item = &'b [SampleId]> {
        ids.chunks(ids.len().div_ceil(self.config.steps.accumulate).max(1))
    }

    /// This rank's part of a global batch.
    fn batch(&self, source: &mut dyn Source, ids: &[SampleId], pass: Pass) -> Result<Batch> {
        let (mine, counts) = self.mine(ids);
        let columns = source.read(mine)?;
        let mut batch = Batch::new(columns, mine.to_vec(), pass, self.config.seed, self.kind());
        if let (Pass::Train { phase, epoch }, phases) = (pass, self.model.phases()) {
            let epochs = phases.get(phase).and_then(|phase| phase.epochs).unwrap_or(self.config.epochs);
            batch.left = 1.0 - epoch.min(epochs) as f64 / epochs.max(1) as f64;
        }
        Ok(change(&self.changes, batch)?.shared(self.comm, counts))
    }

    /// One step on a global batch; this rank's share of each loss. Collective.
    pub fn step(&mut self, source: &mut dyn Source, ids: &[SampleId], rate: f64) -> Result<Vec<Share>> {
        let (phase, place) = (self.state.phase, [self.state.epoch, self.state.step]);
        let (parts, mut pending) = (self.parts(ids).collect::<Vec<_>>(), vec![]);
        let (mut losses, mut skipped) = (vec![], None);
        for (i, part) in parts.iter().enumerate() {
            let made = self.batch(source, part, Pass::Train { phase, epoch: self.state.epoch });
            // What cannot be read weighs NaN: one sum tells that too.
            let weight = made.as_ref().map_or(f64::NAN, |batch| batch.weights.sum(Kind::Double).double_value(&[]));
            let counted = self.comm.sum_of(weight);
            let batch = if counted.is_nan() { self.comm.agree(made)? } else { made? };
            let mut turn = Means {
                comm: self.comm,
                flats: &mut self.flats,
                weights: &batch.weights,
                // Samples weigh 1.
                total: if parts.len() == 1 { counted } else { ids.len() as f64 },
                rate,
                config: self.config,
                frozen: self.model.phases().get(phase).map_or(vec![], |p| p.frozen.clone()),
                number: self.state.turn,
                reduce: self.reduce,
                losses,
                counted,
                pending,
                last: i + 1 == parts.len(),
                spoilt: false,
                skipped,
            };
            self.comm.agree_once(self.model.step(phase, &batch, &mut turn))?;
            (losses, pending, skipped) = (turn.losses, turn.pending, turn.skipped);
        }
        self.state.skipped_in_a_row = if skipped.is_some() { self.state.skipped_in_a_row + 1 } else { 0 };
        self.state.skipped += skipped.is_some() as u64;
        if let Some(skipped) = skipped.filter(|_| self.state.skipped_in_a_row > self.config.steps.skip) {
            return self.fail(&skipped, place);
        }
        self.state.step += 1;
        self.state.turn += 1;
        Ok(losses)
    }

    /// Too many steps were left out: the ranks that know of a loss tell it. Collective.
    fn fail<T>(&self, skipped: &Skipped, [epoch, step]: [u64; 2]) -> Result<T> {
        let (stage, loss, skip) = (&self.config.name, &skipped.loss, self.config.steps.skip);
        let error = |what: String| {
            let before = if skip > 0 { format!(", as in {skip} before") } else { String::new() };
            let error = Error::failed(format!("{what} in epoch {}, step {step}{before}", epoch + 1));
            let remedy = format!("lower train.{stage}.learning_rate, or look at the input for NaNs");
            error.key(format!("train.{stage}")).remedy(remedy)
        };
        self.comm.agree(skipped.value.map_or(Ok(()), |value| Err(error(format!("the loss is {value} ({loss})")))))?;
        self.comm.agree(Err(error(format!("the gradient is no finite number ({loss})"))))
    }

    /// Samples of a look at the held-out ones: no gradients are kept, and more fit than in a step.
    fn look(&self) -> usize {
        self.config.batch_size.max(LOOK)
    }

    /// Batches of so many samples. The last may be smaller; where a model wants more beside each, it is joined to the one before.
    fn batches<'b>(&self, ids: &'b [SampleId], size: usize) -> Vec<&'b [SampleId]> {
        let (size, rest) = (size.max(1), ids.len() % size.max(1));
        let joined = rest > 0 && rest <= self.model.partners() && ids.len() > size;
        let (alike, last) = ids.split_at(if joined { ids.len() - size - rest } else { ids.len() });
        alike.chunks(size).chain(joined.then_some(last)).collect()
    }

    /// Refuses batches in which a model would miss samples to put beside each, before anything is learned.
    fn check_partners(&self, source: &dyn Source) -> Result<()> {
        let (k, key) = (self.model.partners(), format!("train.{}", self.config.name));
        let few = |n: usize| (1..=k).contains(&n);
        for (split, size, words) in [
            (Split::Train, self.config.batch_size, "to learn from"),
            (Split::Validation, self.look(), "for validation"),
        ] {
            let n = source.ids(split).len();
            if few(n) {
                let problem = format!("puts {k} others of a batch beside each sample, and there are {n} {words}");
                return Err(Error::input(problem).key(key).remedy("give that split more universes"));
            }
            if few(size) {
                let error = Error::input(format!("the model puts {k} others of a batch beside each sample"));
                return Err(error.key(key + ".batch_size").value(size).remedy(format!("give at least {}", k + 1)));
            }
            if few(n % size) && self.comm.is_root() {
                log::info!(
                    "{key}: the last {} samples {words} join the batch before them, to have {k} others each",
                    n % size
                );
            }
        }
        Ok(())
    }

    /// Each score of the held-out samples, with the parts that it judges. Collective.
    fn evaluate(&self, source: &mut dyn Source) -> Result<Vec<(f64, Vec<usize>)>> {
        let ids = source.ids(Split::Validation).to_vec();
        let (mut sums, mut all): (Vec<f64>, Vec<Score>) = (vec![], vec![]);
        let batches = self.batches(&ids, self.look());
        self.plan(source, &batches);
        for chunk in batches {
            let scored = || -> Result<_> {
                let batch = self.batch(source, chunk, Pass::Held)?;
                let scores = self.model.score(self.state.phase, &batch)?;
                scores.iter().try_for_each(|score| self.check_score(score, batch.len()))?;
                Ok((scores, batch.weights))
            };
            let weights;
            (all, weights) = self.comm.agree_once(tch::no_grad(scored))?;
            let columns = |score: &Score| score.value.to_kind(Kind::Double).reshape([weights.numel() as i64, -1]);
            let weighted = |score| columns(score) * weights.unsqueeze(1);
            let sum = |score| host(&weighted(score).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>));
            let new: Vec<f64> = all.iter().flat_map(sum).collect();
            sums.resize(new.len(), 0.0);
            sums.iter_mut().zip(new).for_each(|(sum, new)| *sum += new);
        }
        sums.iter_mut().for_each(|sum| *sum /= ids.len() as f64);
        self.comm.sum(&mut sums);
        let mut means = sums.into_iter();
        let one = |Score { name, value, of, parts }: Score| {
            let k = value.size().get(1).map_or(1, |&k| k as usize);
            let own = Tensor::from_slice(&means.by_ref().take(k).collect::<Vec<f64>>()).to_device(value.device());
            match host(&of.map_or_else(|| own.shallow_clone(), |of| of(&own)))[..] {
                [one] => Ok((one, parts)),
                _ => Err(Error::failed(format!("score {name}: what is made of the means is not one number"))),
            }
        };
        all.into_iter().map(one).collect()
    }

    /// Refuses what is no score of n samples.
    fn check_score(&self, score: &Score, n: usize) -> Result<()> {
        let bad = |problem: String| Err(Error::failed(format!("score {}: {problem}", score.name)));
        let (size, of) = (score.value.size(), score.of.is_some());
        if size.len() != 1 + of as usize || size[0] != n as i64 {
            let (k, one) = if of { (", k", "row") } else { ("", "number") };
            return bad(format!("has the shape {size:?}, and not ({n}{k}): one {one} for each sample is needed"));
        }
        match score.parts.iter().find(|p| **p >= self.flats.len()) {
            Some(p) => bad(format!("judges part number {p}, which is not there")),
            None => Ok(()),
        }
    }

    /// Refuses a phase in which no look at the held-out samples gave a number: there are no best weights.
    fn check_best(&self) -> Result<()> {
        if self.state.best.iter().all(|&best| best < f64::MAX) {
            return Ok(());
        }
        let key = format!("train.{}", self.config.name);
        let error = Error::failed("the validation loss was no finite number in any epoch").key(&key);
        Err(error.remedy(format!("look at the validation split's numbers, or lower {key}.learning_rate")))
    }

    /// Takes up the newest checkpoint in `folder`, or lets the model prepare itself. Collective.
    pub fn begin(&mut self, source: &mut dyn Source, folder: &Path) -> Result<()> {
        self.comm.agree(self.check_partners(source))?;
        let resumed = checkpoint::resume(self.comm, folder, &mut self.state, &mut self.flats, self.model)?;
        if self.config.steps.scaling.is_some() && self.state.ranks != self.comm.size() {
            let problem = format!("was begun on {} ranks, on which its steps depend", self.state.ranks);
            let error = Error::input(problem).key(format!("train.{}.steps.scaling", self.config.name));
            let remedy = "run it on as many, or begin it anew with --retrain";
            return self.comm.agree(Err(error.remedy(remedy)));
        }
        if !resumed {
            self.prepare(source)?;
        }
        self.ready = true;
        Ok(())
    }

    /// Lets the model prepare itself for the phase that begins. Collective.
    pub fn prepare(&mut self, source: &mut dyn Source) -> Result<()> {
        let all = &mut self.everything(source, Split::Train);
        self.comm.agree_once(self.model.prepare(self.state.phase, all))
    }

    fn everything<'b>(&'b self, source: &'b mut dyn Source, split: Split) -> Everything<'b> {
        let (comm, changes, seed, kind) = (self.comm, &self.changes, self.config.seed, self.kind());
        Everything { comm, split, source, changes, seed, kind }
    }

    /// Trains to the end, from the newest checkpoint in `folder` if there is one. Leaves the best weights in the model.
    /// Collective.
    pub fn run(&mut self, source: &mut dyn Source, folder: &Path) -> Result<()> {
        if !self.ready {
            self.begin(source, folder)?;
        }
        let phases = self.model.phases();
        let epochs = |phase: &Phase| phase.epochs.unwrap_or(self.config.epochs);
        let (total, name) = (phases.iter().map(epochs).sum(), format!("train {}", self.config.name));
        let mut progress = Progress::new(&name, total, self.comm.is_root());
        for (number, phase) in phases.iter().enumerate().skip(self.state.phase) {
            if number > self.state.phase {
                self.state.next_phase();
                self.flats.iter_mut().for_each(Flat::refresh);
                self.prepare(source)?;
            }
            while self.state.epoch < epochs(phase) && !self.state.stopped {
                self.epoch(source, epochs(phase), folder)?;
                let (epoch, last) = (self.state.epoch, self.state.epoch == epochs(phase) || self.state.stopped);
                let asked = stop::requested(self.comm);
                // What a run of steps without a number ends in is nothing to go on from.
                let sound = self.state.skipped_in_a_row == 0;
                if epoch.is_multiple_of(self.config.checkpoint_every) && sound || last || asked {
                    self.save(folder)?;
                }
                if let Some(e) = self.state.history.last() {
                    let validation = e.validation_loss.map_or(String::new(), |v| format!(", validation {v:.3}"));
                    progress.set(self.state.history.len() as u64, &format!("loss {:.3}{validation}", e.train_loss));
                }
                if asked {
                    self.stop()?;
                }
            }
            self.comm.agree(self.check_best())?;
            self.state.restore_best(&self.flats);
        }
        if self.state.skipped > 0 && self.comm.is_root() {
            let left = count(self.state.skipped as usize, "step");
            log::warn!("train {}: {left} left out, for a loss or a gradient was no finite number", self.config.name);
        }
        if !source.ids(Split::Validation).is_empty() {
            let held = &mut self.everything(source, Split::Validation);
            self.comm.agree_once(self.model.conclude(held))?;
        }
        let (best, judged) = (self.state.best.iter().sum::<f64>(), self.state.best.len());
        let best = (judged > 0).then(|| format!(", best validation loss {:.3}", best / judged as f64));
        progress.finish(&format!("{} epochs{}", self.state.history.len(), best.unwrap_or_default()));
        Ok(())
    }

    /// Writes a checkpoint. Collective.
    fn save(&mut self, folder: &Path) -> Result<()> {
        let keep = self.config.keep_checkpoints;
        checkpoint::write(self.comm, folder, &mut self.state, &self.flats, self.model, keep)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Stops where that was asked for, and a checkpoint stands. Collective.
    fn stop(&self) -> Result<()> {
        stop::check(self.comm, &format!("after {} of stage {}", self.state.done(), self.config.name))
    }

    /// Within an epoch that took so many seconds: a checkpoint where it is time for one, and a stop where that was asked for.
    /// Collective.
    fn pause(&mut self, folder: &Path, seconds: f64) -> Result<()> {
        let minutes = self.config.checkpoint_minutes;
        let sound = minutes > 0.0 && self.state.skipped_in_a_row == 0;
        let due = sound && self.comm.is_root() && self.saved.elapsed().as_secs_f64() >= 60.0 * minutes;
        if self.comm.any(due || stop::asked()) {
            self.state.seconds = seconds;
            self.save(folder)?;
            self.stop()?;
        }
        Ok(())
    }

    /// One pass over the samples to learn from, or what is left of one, then a look at those that are held out. Collective.
    fn epoch(&mut self, source: &mut dyn Source, epochs: u64, folder: &Path) -> Result<()> {
        let (start, config, epoch) = (Instant::now(), self.config, self.state.epoch);
        let (first, earlier) = (self.state.batches, self.state.seconds);
        let ids = source.order(config.data.run, config.seed, self.state.phase, epoch);
        let batches = self.batches(&ids, config.batch_size);
        if first >= batches.len() && first > 0 {
            let error =
                Error::failed(format!("its checkpoint is after {first} steps of an epoch of {}", batches.len()));
            return self.comm.agree(Err(error.key(format!("train.{}", config.name)).remedy(anew(&config.name))));
        }
        let mut rate = 0.0;
        self.plan(source, &batches[first..].iter().flat_map(|ids| self.parts(ids)).collect::<Vec<_>>());
        let own = self.state.history.iter().filter(|e| e.phase == self.state.phase);
        let before: Vec<f64> = own.map(|e| e.validation_loss.unwrap_or(e.train_loss)).collect();
        for (i, batch) in batches.iter().enumerate().skip(first) {
            if i > first {
                self.pause(folder, earlier + start.elapsed().as_secs_f64())?;
            }
            rate = config.steps.rate(config.learning_rate, self.state.turn, batches.len() as u64, epochs, &before);
            for new in self.step(source, batch, rate)? {
                let shares = &mut self.state.shares;
                match shares.iter_mut().find(|share| share.name == new.name) {
                    Some(share) => (share.sum, share.weights) = (share.sum + new.sum, share.weights + new.weights),
                    None => shares.push(new),
                }
            }
            self.state.batches = i + 1;
        }
        let shares = std::mem::take(&mut self.state.shares);
        (self.state.batches, self.state.seconds) = (0, 0.0);
        if shares.is_empty() && self.state.skipped_in_a_row > 0 {
            let error = Error::failed(format!("the loss is no finite number in any step of epoch {}", epoch + 1));
            return self.comm.agree(Err(error.key(format!("train.{}", config.name))));
        }
        let mut sums: Vec<f64> = shares.iter().map(|share| share.sum).collect();
        self.comm.sum(&mut sums);
        let losses: Vec<f64> = sums.iter().zip(&shares).map(|(sum, share)| sum / share.weights).collect();
        // What is judged and kept are the averages, where there are some.
        self.flats.iter_mut().for_each(Flat::exchange);
        let scores = self.evaluate(source)?;
        self.state.judge(&scores, &self.flats, config.patience());
        self.flats.iter_mut().for_each(Flat::exchange);
        let judged: Vec<f64> = scores.iter().map(|s| s.0).collect();
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
        let before = self.state.history.last().map_or(0.0, |e| e.seconds);
        self.state.history.push(Epoch {
            epoch: self.state.history.len() as u64,
            phase: self.state.phase,
            step: self.state.step,
            train_loss: mean(&losses),
            validation_loss: (!judged.is_empty()).then(|| mean(&judged)),
            learning_rate: rate,
            skipped: self.state.skipped,
            seconds: before + earlier + start.elapsed().as_secs_f64(),
        });
        self.state.epoch += 1;
        Ok(())
    }
}
