//! Named wall-clock timers, kept in order of first use and merged over ranks for the report and the benches.

use super::Comm;
use std::time::Instant;

/// Accumulated seconds by name, and bytes sent to other ranks meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    entries: Vec<(String, f64)>,
    bytes: Vec<u64>,
}

/// One name's figures over all ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct OverRanks {
    pub name: String,
    /// Seconds of the slowest rank.
    pub max: f64,
    /// Mean seconds; the others wait for `max − mean` on average.
    pub mean: f64,
    /// Bytes sent from rank to rank.
    pub bytes: u64,
}

impl Timers {
    /// Runs `f` and books its time under `name`.
    pub fn time<R>(&mut self, name: &str, f: impl FnOnce() -> R) -> R {
        let (start, sent) = (Instant::now(), super::bytes_sent());
        let result = f();
        self.add(name, start.elapsed().as_secs_f64());
        if let Some(i) = self.entries.iter().position(|(n, _)| n == name) {
            self.bytes[i] += super::bytes_sent() - sent;
        }
        result
    }

    /// Books seconds under `name`.
    pub fn add(&mut self, name: &str, seconds: f64) {
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some((_, s)) => *s += seconds,
            None => {
                self.entries.push((name.to_string(), seconds));
                self.bytes.push(0);
            }
        }
    }

    /// `(name, seconds)` in order of first use.
    pub fn entries(&self) -> &[(String, f64)] {
        &self.entries
    }

    /// Collective: figures over ranks; all ranks have booked the same names in the same order.
    pub fn over_ranks(&self, comm: &Comm) -> Vec<OverRanks> {
        let mut max: Vec<f64> = self.entries.iter().map(|e| e.1).collect();
        let mut sum = max.clone();
        comm.max(&mut max);
        comm.sum(&mut sum);
        let mut bytes = self.bytes.clone();
        comm.sum(&mut bytes);
        let figures = max.into_iter().zip(sum).zip(bytes);
        let of = |((name, _), ((max, sum), bytes)): (&(String, f64), _)| OverRanks {
            name: name.clone(),
            max,
            mean: sum / comm.size() as f64,
            bytes,
        };
        self.entries.iter().zip(figures).map(of).collect()
    }
}
