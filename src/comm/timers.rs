//! Named wall-clock timers, kept in order of first use and merged over ranks for the report and the benches.

use super::{Comm, traffic};
use std::time::Instant;

/// Accumulated seconds by name, and the bytes that went to other ranks meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    entries: Vec<(String, f64)>,
    sent: Vec<u64>,
}

/// One timer over all ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct OverRanks {
    pub name: String,
    /// Seconds of the slowest rank.
    pub max: f64,
    /// Mean seconds.
    pub mean: f64,
    /// Bytes sent to other ranks, all ranks together.
    pub sent: u64,
}

impl Timers {
    /// Runs `f` and books its time and traffic under `name`.
    pub fn time<R>(&mut self, name: &str, f: impl FnOnce() -> R) -> R {
        let (start, before) = (Instant::now(), traffic::sent());
        let result = f();
        self.book(name, start.elapsed().as_secs_f64(), traffic::sent() - before);
        result
    }

    /// Books seconds under `name`.
    pub fn add(&mut self, name: &str, seconds: f64) {
        self.book(name, seconds, 0);
    }

    fn book(&mut self, name: &str, seconds: f64, bytes: u64) {
        let at = self.entries.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.entries.push((name.to_string(), 0.0));
            self.sent.push(0);
            self.sent.len() - 1
        });
        self.entries[at].1 += seconds;
        self.sent[at] += bytes;
    }

    /// `(name, seconds)` in order of first use.
    pub fn entries(&self) -> &[(String, f64)] {
        &self.entries
    }

    /// Collective: the timers over ranks, all of which have booked the same names in the same order.
    pub fn over_ranks(&self, comm: &Comm) -> Vec<OverRanks> {
        let mut max: Vec<f64> = self.entries.iter().map(|e| e.1).collect();
        let (mut sum, mut sent) = (max.clone(), self.sent.clone());
        comm.max(&mut max);
        comm.sum(&mut sum);
        comm.sum(&mut sent);
        let merged = self.entries.iter().zip(max).zip(sum).zip(sent);
        let mean = 1.0 / comm.size() as f64;
        merged
            .map(|((((name, _), max), sum), sent)| OverRanks { name: name.clone(), max, mean: sum * mean, sent })
            .collect()
    }
}
