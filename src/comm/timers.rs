//! Named wall-clock timers, kept in order of first use and merged over ranks for the report and the benches.

use super::Comm;
use std::time::Instant;

/// Accumulated seconds by name.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    entries: Vec<(String, f64)>,
}

impl Timers {
    /// Runs `f` and books its time under `name`.
    pub fn time<R>(&mut self, name: &str, f: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = f();
        self.add(name, start.elapsed().as_secs_f64());
        result
    }

    /// Books seconds under `name`.
    pub fn add(&mut self, name: &str, seconds: f64) {
        match self.entries.iter_mut().find(|(n, _)| n == name) {
            Some((_, s)) => *s += seconds,
            None => self.entries.push((name.to_string(), seconds)),
        }
    }

    /// `(name, seconds)` in order of first use.
    pub fn entries(&self) -> &[(String, f64)] {
        &self.entries
    }

    /// Collective: `(name, max, mean)` seconds over ranks; all ranks have booked the same names in the same order.
    pub fn over_ranks(&self, comm: &Comm) -> Vec<(String, f64, f64)> {
        let mut max: Vec<f64> = self.entries.iter().map(|e| e.1).collect();
        let mut sum = max.clone();
        comm.max(&mut max);
        comm.sum(&mut sum);
        let mean = 1.0 / comm.size() as f64;
        self.entries.iter().zip(max.iter().zip(&sum)).map(|((n, _), (&m, &s))| (n.clone(), m, s * mean)).collect()
    }
}
