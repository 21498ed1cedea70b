//! Checkpoints: everything a training goes on from, in one safetensors file that appears when whole. Some before it are
//! kept: an unreadable checkpoint costs a few minutes, not the run.

use super::optimiser::Flat;
use super::tensors;
use super::turn::Share;
use super::weights::variables;
use crate::comm::Comm;
use crate::error::{At, Error, Result};
use crate::io::hdf::{publish_file, publish_keeping};
use crate::io::history::{self, Epoch};
use crate::io::identity::{digest, digest_of_file};
use crate::io::stages::{anew, checkpoint_name};
use crate::limits;
use crate::models::Model;
use crate::nets::{host, put};
use crate::progress::count;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Where a training stands, beside its parameters.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Phase that is being trained.
    #[serde(default)]
    pub phase: usize,
    /// Epochs of it that are done.
    pub epoch: u64,
    /// Steps of it that are done.
    #[serde(default)]
    pub turn: u64,
    /// Steps done in all.
    pub step: u64,
    /// Batches done of an epoch that is not over, this rank's shares of their losses, and the seconds that it took so far.
    #[serde(default)]
    pub batches: usize,
    #[serde(default)]
    pub shares: Vec<Share>,
    #[serde(default)]
    pub seconds: f64,
    /// Least mean of each score in this phase.
    pub best: Vec<f64>,
    /// Epochs since each score's best.
    pub waited: Vec<u64>,
    /// Optimiser steps of each part, when the checkpoint was written.
    pub steps: Vec<i64>,
    /// Steps that were left out, in all and since the last that was not.
    #[serde(default)]
    pub skipped: u64,
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// Ranks that it was begun on; 0: not told.
    #[serde(default)]
    pub ranks: usize,
    /// Patience has run out.
    pub stopped: bool,
    pub history: Vec<Epoch>,
    /// Parameters at each part's best in this phase.
    #[serde(skip)]
    pub best_parameters: Vec<Tensor>,
}

impl State {
    /// A training that has not begun.
    pub fn new(parts: usize) -> Self {
        State { steps: vec![0; parts], ..State::default() }
    }

    /// The phase is over, and its best weights are in place.
    pub fn next_phase(&mut self) {
        let (phase, step, history) = (self.phase + 1, self.step, std::mem::take(&mut self.history));
        let (skipped, ranks) = (self.skipped, self.ranks);
        *self = State { phase, step, history, skipped, ranks, ..State::new(self.steps.len()) };
    }

    /// Remembers parameters that are the best so far, by the first score that judges them; those that nothing judges are always
    /// the newest. Stops when no score has improved for `patience` epochs (0: never).
    pub fn judge(&mut self, scores: &[(f64, Vec<usize>)], flats: &[Flat], patience: u64) {
        let begins = self.best_parameters.is_empty();
        self.best.resize(scores.len(), f64::MAX);
        self.waited.resize(scores.len(), 0);
        self.best_parameters.resize_with(flats.len(), Tensor::new);
        let mut better = vec![true; flats.len()];
        for (i, (score, parts)) in scores.iter().enumerate().rev() {
            let improved = *score < self.best[i] || begins;
            if improved {
                // Finite, for JSON knows no other numbers, and a checkpoint must be read again.
                self.best[i] = if score.is_finite() { *score } else { f64::MAX };
            }
            self.waited[i] = if improved { 0 } else { self.waited[i] + 1 };
            for (p, better) in better.iter_mut().enumerate() {
                *better = if parts.contains(&p) { improved } else { *better };
            }
        }
        for (p, flat) in flats.iter().enumerate() {
            if better[p] {
                self.best_parameters[p] = flat.parameters.copy();
            }
        }
        self.stopped = patience > 0 && !scores.is_empty() && self.waited.iter().all(|&w| w >= patience);
    }

    /// How far it is, in words.
    pub fn done(&self) -> String {
        let steps = if self.batches > 0 { format!(" and {}", count(self.batches, "step")) } else { String::new() };
        count(self.history.len(), "epoch") + &steps
    }

    /// Puts the best parameters back.
    pub fn restore_best(&self, flats: &[Flat]) {
        flats.iter().zip(&self.best_parameters).for_each(|(flat, best)| put(&flat.parameters, best));
    }
}

/// The newest checkpoint of a stage's folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(checkpoint_name(0))
}

/// All that there are in a stage's folder, the newest first.
fn all(folder: &Path) -> Vec<PathBuf> {
    (0..limits::CHECKPOINTS).map(|age| folder.join(checkpoint_name(age))).filter(|path| path.exists()).collect()
}

/// True if something was learned in this folder.
pub fn exists(folder: &Path) -> bool {
    !all(folder).is_empty()
}

/// Writes a checkpoint and `history.jsonl`; `keep` checkpoints stay. Collective; the root writes.
pub fn write(
    comm: &Comm,
    folder: &Path,
    state: &mut State,
    flats: &[Flat],
    model: &dyn Model,
    keep: usize,
) -> Result<()> {
    state.steps = flats.iter().map(|flat| flat.steps).collect();
    let sums: Vec<f64> = state.shares.iter().map(|share| share.sum).collect();
    let sums = comm.gather(0, &sums);
    comm.on_root(|| {
        let json = serde_json::to_vec(state).map_err(|e| Error::failed(e.to_string()))?;
        let mut tensors = vec![("state".to_string(), Tensor::from_slice(&json))];
        tensors.extend((!sums.is_empty()).then(|| (SUMS.to_string(), Tensor::from_slice(&sums))));
        for (p, flat) in flats.iter().enumerate() {
            let best = state.best_parameters.get(p).unwrap_or(&flat.parameters);
            for (name, t) in
                [("parameters", &flat.parameters), ("first", &flat.first), ("second", &flat.second), ("best", best)]
            {
                tensors.push((format!("{p}.{name}"), t.shallow_clone()));
            }
            tensors.extend(flat.average.iter().map(|t| (format!("{p}.average"), t.shallow_clone())));
        }
        tensors.extend(kept(model));
        tensors.extend(stage(folder).map(|digest| (STAGE.to_string(), Tensor::from_slice(digest.as_bytes()))));
        tensors.push((CHECKSUM.to_string(), Tensor::from_slice(checksum(&tensors).as_bytes())));
        std::fs::create_dir_all(folder).at(folder)?;
        let named = |age: usize| folder.join(checkpoint_name(age));
        // From the oldest on: whenever this is interrupted, none is lost but the last.
        for age in (1..keep.saturating_sub(1)).rev().filter(|age| named(*age).exists()) {
            std::fs::rename(named(age), named(age + 1)).at(named(age))?;
        }
        let write = |temporary: &Path| tensors::write(&tensors, temporary);
        match keep {
            0 | 1 => publish_file(&path(folder), write)?,
            _ => publish_keeping(&path(folder), &named(1), write)?,
        }
        for path in (keep.max(1)..limits::CHECKPOINTS).map(named).filter(|path| path.exists()) {
            std::fs::remove_file(&path).at(&path)?;
        }
        history::write(&folder.join("history.jsonl"), &state.history)
    })
}

/// The variables that no step moves: scales, closed forms.
fn kept(model: &dyn Model) -> Vec<(String, Tensor)> {
    let all = variables(model).into_iter().filter(|(_, t)| !t.requires_grad());
    all.map(|(name, t)| (format!("kept.{name}"), t)).collect()
}

/// Name of the tensor that holds the digest of the others, as text.
const CHECKSUM: &str = "sha256";

fn checksum(all: &[(String, Tensor)]) -> String {
    let mut sorted: Vec<&(String, Tensor)> = all.iter().filter(|(name, _)| name != CHECKSUM).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let each = sorted
        .into_iter()
        .map(|(name, t)| format!("{name} {:?} {:?} {}\n", t.kind(), t.size(), digest(&tensors::bytes(t))));
    digest(each.collect::<String>().as_bytes())
}

/// Name of the tensor (ranks · losses) that holds the sums of all ranks' shares, in double precision.
const SUMS: &str = "sums";

/// Name of the tensor that holds the digest of the stage's record, as text.
const STAGE: &str = "stage";

/// Digest of the record of what is trained in this folder, which a checkpoint belongs to; `None` where there is none.
fn stage(folder: &Path) -> Option<String> {
    digest_of_file(&folder.join("stage.json")).ok()
}

/// Takes up the newest readable checkpoint, the same on every rank; false if the model must still prepare itself: there is none,
/// or it is from when checkpoints did not hold what is kept. Collective.
pub fn resume(comm: &Comm, folder: &Path, state: &mut State, flats: &mut [Flat], model: &dyn Model) -> Result<bool> {
    let kept = kept(model);
    let choice = comm.on_root(|| {
        let mut left = all(folder).into_iter().peekable();
        while let Some(candidate) = left.next() {
            match read(&candidate, flats, &kept) {
                Ok(_) => return Ok(Some(candidate)),
                Err(e) => {
                    let instead = match left.peek() {
                        Some(_) => "the checkpoint before it is used",
                        None => "the stage begins anew",
                    };
                    log::warn!("{}: {}; {instead}", candidate.display(), e.problem);
                }
            }
        }
        Ok(None)
    })?;
    let Some(path) = choice else { return Ok(false) };
    let (read_state, sums, tensors, scales) = comm.agree(read(&path, flats, &kept))?;
    *state = read_state;
    let n = state.shares.len();
    for (i, share) in state.shares.iter_mut().enumerate() {
        // Other ranks than before: the first goes on with the sum of all.
        share.sum = match sums.len() == n * comm.size() {
            true => sums[comm.rank() * n + i],
            false if comm.is_root() => sums.iter().skip(i).step_by(n).sum(),
            false => 0.0,
        };
    }
    for ((flat, ([parameters, first, second, best], average)), steps) in flats.iter_mut().zip(tensors).zip(&state.steps)
    {
        let all = [(&flat.parameters, parameters), (&flat.first, first), (&flat.second, second)];
        all.iter().for_each(|(to, from)| put(to, from));
        flat.average.iter().zip(&average).for_each(|(to, from)| put(to, from));
        flat.steps = *steps;
        // In a phase's first epoch nothing was judged.
        state.best_parameters.extend((state.epoch > 0).then(|| best.to_device(flat.parameters.device())));
    }
    let prepared = scales.len() == kept.len();
    kept.iter().zip(scales).for_each(|((_, to), from)| put(to, &from));
    log::info!("going on from {} after {}", path.display(), state.done());
    Ok(prepared)
}

/// A checkpoint's state, the sums of its shares on all ranks, four vectors of each part and its average where it has one, and
/// the kept variables.
type Read = (State, Vec<f64>, Vec<([Tensor; 4], Option<Tensor>)>, Vec<Tensor>);

fn read(path: &Path, flats: &[Flat], kept: &[(String, Tensor)]) -> Result<Read> {
    let bad = |problem: String| {
        let stage = path.parent().and_then(Path::file_name).map_or("STAGE".into(), |name| name.to_string_lossy());
        Error::failed(format!("the checkpoint cannot be used: {problem}")).file(path).remedy(anew(&stage))
    };
    if !path.is_file() {
        return Err(bad("it is no ordinary file".into()));
    }
    let all = tensors::read(path).map_err(|e| bad(e.problem))?;
    let sum = checksum(&all).into_bytes();
    let mut all: std::collections::HashMap<String, Tensor> = all.into_iter().collect();
    if all.remove(CHECKSUM).map(|t| tensors::bytes(&t)) != Some(sum) {
        return Err(bad("it is damaged, for its checksum does not match".into()));
    }
    // Programs before did not say what it is of.
    let of = all.remove(STAGE).map(|t| tensors::bytes(&t));
    if of.is_some() && of != path.parent().and_then(stage).map(String::into_bytes) {
        return Err(bad("it belongs to another training than the stage.json beside it".into()));
    }
    // Programs of one phase kept no scales: they took them anew.
    let before = kept.iter().all(|(name, _)| !all.contains_key(name));
    let mut take = |name: &str| all.remove(name).ok_or_else(|| bad(format!("{name} is missing")));
    let json = Vec::<u8>::try_from(take("state")?).map_err(|e| bad(e.to_string()))?;
    let mut state: State = serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?;
    if state.phase == 0 {
        state.turn = state.step;
    }
    let sums = if state.shares.is_empty() { vec![] } else { host(&take(SUMS)?) };
    if !sums.len().is_multiple_of(state.shares.len().max(1)) {
        return Err(bad(format!("{SUMS} has another shape")));
    }
    let mut tensors = Vec::new();
    for (p, flat) in flats.iter().enumerate() {
        let mut one = |name: &str| -> Result<Tensor> {
            let t = take(&format!("{p}.{name}"))?;
            let alike = t.numel() == flat.parameters.numel();
            if alike { Ok(t) } else { Err(bad("it belongs to a network of another size".into())) }
        };
        let four = [one("parameters")?, one("first")?, one("second")?, one("best")?];
        tensors.push((four, flat.average.as_ref().map(|_| one("average")).transpose()?));
    }
    let same = |(name, of): &(String, Tensor)| -> Result<Tensor> {
        let t = take(name)?;
        if t.size() == of.size() { Ok(t) } else { Err(bad(format!("{name} has another shape"))) }
    };
    let scales = if before { vec![] } else { kept.iter().map(same).collect::<Result<_>>()? };
    Ok((state, sums, tensors, scales))
}
