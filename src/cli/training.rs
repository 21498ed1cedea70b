//! How far a training is that is not finished, from its files.

use crate::config::plan::Plan;
use crate::io::history::{self, Epoch};
use crate::report::timings::duration;
use crate::suite::Lock;
use serde::Serialize;

/// Newest epochs by which the time that is left is told.
const NEWEST: usize = 5;

/// A stage that was begun.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    pub running: bool,
    /// Done, of how many at most.
    pub epochs: usize,
    pub of: Option<u64>,
    /// Of the model's, from 1 on.
    pub phase: usize,
    /// Of the newest epoch.
    pub loss: f64,
    pub validation_loss: Option<f64>,
    /// The least loss of the phase by which weights are chosen.
    pub best: f64,
    /// With the looks at held-out samples.
    pub samples_per_second: Option<f64>,
    /// At most, while it is running.
    pub seconds_left: Option<f64>,
}

impl Training {
    /// `None` before the end of the first epoch.
    pub fn of(plan: &Plan, stage: &str) -> Option<Training> {
        let folder = plan.stage(stage);
        // What cannot be read is the report's to tell.
        let epochs = history::read(&folder.join("history.jsonl")).unwrap_or_default();
        Training::from(&epochs, Lock::held_elsewhere(&folder), plan.epochs(stage), plan.batch_size(stage))
    }

    fn from(epochs: &[Epoch], running: bool, of: Option<u64>, batch: Option<usize>) -> Option<Training> {
        let last = epochs.last()?;
        let judged = |e: &Epoch| e.validation_loss.unwrap_or(e.train_loss);
        let best = epochs.iter().filter(|e| e.phase == last.phase).map(judged).fold(f64::INFINITY, f64::min);
        // Records of older programs have neither steps nor seconds.
        let before = epochs.len().checked_sub(NEWEST + 1).map_or((0, 0.0), |i| (epochs[i].step, epochs[i].seconds));
        let (steps, seconds) = (last.step.saturating_sub(before.0) as f64, last.seconds - before.1);
        let each = seconds / epochs.len().min(NEWEST) as f64;
        let known = steps > 0.0 && seconds > 0.0;
        Some(Training {
            running,
            epochs: epochs.len(),
            of,
            phase: last.phase + 1,
            loss: last.train_loss,
            validation_loss: last.validation_loss,
            best,
            samples_per_second: batch.filter(|_| known).map(|batch| steps * batch as f64 / seconds),
            seconds_left: of
                .filter(|_| known && running)
                .map(|of| each * of.saturating_sub(epochs.len() as u64) as f64),
        })
    }

    /// In words.
    pub fn words(&self) -> String {
        let state = if self.running { "in training" } else { "stopped" };
        let of = self.of.map_or(String::new(), |all| format!(" of {all}"));
        let phase = if self.phase > 1 { format!(", phase {}", self.phase) } else { String::new() };
        let validation = self.validation_loss.map_or(String::new(), |v| format!(", validation {v:.3}"));
        let rate = self.samples_per_second.map_or(String::new(), |rate| format!(", {rate:.0} samples/s"));
        let left = self.seconds_left.map_or(String::new(), |left| format!(", at most {} left", duration(left)));
        let (n, loss, best) = (self.epochs, self.loss, self.best);
        format!("{state}, {n}{of} epochs done{phase}, loss {loss:.3}{validation}, best {best:.3}{rate}{left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_is_told_by_its_epochs() {
        let epoch = |i: u64, phase: usize, loss: f64| Epoch {
            epoch: i,
            phase,
            step: 10 * (i + 1),
            train_loss: loss + 0.5,
            validation_loss: Some(loss),
            seconds: if i < 2 { 100.0 * (i + 1) as f64 } else { 200.0 + 2.0 * (i - 1) as f64 },
            ..Epoch::default()
        };
        let all: Vec<Epoch> =
            (0..8).map(|i| epoch(i, (i > 2) as usize, if i < 3 { -9.0 } else { 10.0 - i as f64 })).collect();
        let told = Training::from(&all, true, Some(20), Some(32)).unwrap();
        // Of the newest epochs: two seconds and ten steps each; of this phase the best.
        assert_eq!((told.phase, told.best, told.loss, told.epochs), (2, 3.0, 3.5, 8));
        assert_eq!((told.samples_per_second, told.seconds_left), (Some(160.0), Some(24.0)));
        let words = told.words();
        for word in
            ["in training, 8 of 20 epochs done, phase 2", "loss 3.500, validation 3.000, best 3.000", "160 samples/s"]
        {
            assert!(words.contains(word), "{words}");
        }
        let stopped = Training::from(&all[..1], false, None, None).unwrap();
        assert_eq!(stopped.words(), "stopped, 1 epochs done, loss -8.500, validation -9.000, best -9.000");
        assert_eq!(Training::from(&[], true, Some(3), None), None);
        // Without seconds nothing is guessed.
        let old = [Epoch { train_loss: 1.0, ..Epoch::default() }];
        assert_eq!(Training::from(&old, true, Some(3), Some(8)).unwrap().seconds_left, None);
    }
}
