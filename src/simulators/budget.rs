//! What universes take of a machine, as their kind knows it.

use crate::error::{Error, Result};
use std::path::PathBuf;

/// The machine that is planned for.
#[derive(Debug, Clone)]
pub struct Machine {
    /// A saved bench, in place of measuring now.
    pub bench: Option<PathBuf>,
    /// Network: microseconds per message.
    pub latency: f64,
    /// Network: GB/s that each rank sends while all do.
    pub bandwidth: f64,
    /// Ranks that share a node.
    pub ranks_per_node: usize,
    /// Work of the slowest rank over the mean.
    pub imbalance: f64,
}

impl Machine {
    /// Refuses what no machine is.
    pub fn check(&self) -> Result<()> {
        let at_least = |name: &str, value: f64, least: f64| match value >= least && value.is_finite() {
            true => Ok(()),
            false => Err(Error::input(format!("must be at least {least}")).key(format!("--{name}")).value(value)),
        };
        at_least("latency", self.latency, 0.0)?;
        at_least("bandwidth", self.bandwidth, 1e-6)?;
        at_least("ranks-per-node", self.ranks_per_node as f64, 1.0)?;
        at_least("imbalance", self.imbalance, 1.0)
    }

    /// Seconds that so many messages of a rank take.
    pub fn seconds(&self, messages: f64, bytes: f64) -> f64 {
        messages * self.latency * 1e-6 + bytes / (self.bandwidth * 1e9)
    }
}

/// Bytes per rank that one universe takes, beside the program itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// As a rule.
    pub expected: u64,
    /// The most that is allowed.
    pub largest: u64,
    /// When the one is enough, and when the other is taken: `evenly spread particles`, `an imbalance of 3`.
    pub cases: [String; 2],
    /// What to do where the one fits and the other does not.
    pub safer: &'static str,
    /// The key that most of it is due to, and its value.
    pub key: (&'static str, usize),
    /// What to do where it does not fit.
    pub remedy: &'static str,
}

/// Files that are kept of a universe beside the dataset.
#[derive(Debug, Clone)]
pub struct Kept {
    pub name: &'static str,
    /// Bytes per universe.
    pub bytes: u64,
    pub what: String,
}

/// A line of the plan: a word, and what it is.
pub type Line = (&'static str, String);

/// What `polycosm plan` tells of a kind's universes. What is left out is said to be unknown.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// What one universe is and resolves.
    pub universe: Vec<Line>,
    /// How a group of ranks shares it.
    pub layout: Vec<Line>,
    /// What is done for it.
    pub work: Vec<Line>,
    /// What that costs.
    pub cost: Option<Cost>,
    /// A table for the end.
    pub table: String,
}

/// What universes cost.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Seconds of one universe, on the slowest of the ranks that share it.
    pub seconds: f64,
    /// How they come about.
    pub lines: Vec<Line>,
}

/// The largest of some parts, on so many ranks: `: a 3 s, b 1 s`.
pub fn parts_of(parts: &[(String, f64)], ranks: usize) -> String {
    let mut parts = parts.to_vec();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named: Vec<String> =
        parts.iter().take(8).map(|(name, s)| format!("{name} {}", time(s / ranks as f64))).collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

/// Seconds in a unit that suits them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.3} ms", 1e3 * s),
        s if s < 600.0 => format!("{s:.2} s"),
        s if s < 36000.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Bytes in a unit that suits them.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let power = (bytes.max(1).ilog10() / 3).min(5);
    format!("{:.3} {}", bytes as f64 / 1000f64.powi(power as i32), units[power as usize])
}
