//! Benches: the kernels of a kind, timed, and what a bench found, in seconds and in yardsticks.

use crate::comm::{Comm, timers::OverRanks};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// How a kind's kernels are timed: `polycosm bench KIND`.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// What is timed, in a line.
    pub about: &'static str,
    /// Adds its flags to the subcommand.
    pub flags: fn(clap::Command) -> clap::Command,
    /// Times them. Collective.
    pub run: fn(&clap::ArgMatches, &Comm) -> Result<Outcome>,
}

/// One stage of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    pub name: String,
    /// Of the slowest rank.
    pub seconds_max: f64,
    pub seconds_mean: f64,
    /// What the ranks wait for the slowest one, on average: max − mean. Waiting inside an exchange counts as work.
    pub seconds_waiting: f64,
    /// Sent to other ranks, all ranks together.
    pub bytes_moved: u64,
    /// `seconds_max` in yardsticks.
    pub over_yardstick: f64,
    /// `seconds_waiting` in yardsticks.
    pub waiting_over_yardstick: f64,
}

impl Stage {
    /// A timer's share of each of `repeats`.
    pub fn of(timer: OverRanks, repeats: usize) -> Stage {
        let per = 1.0 / repeats as f64;
        let (max, mean) = (timer.max * per, timer.mean * per);
        Stage {
            name: timer.name,
            seconds_max: max,
            seconds_mean: mean,
            seconds_waiting: (max - mean).max(0.0),
            bytes_moved: timer.sent / repeats as u64,
            over_yardstick: 0.0,
            waiting_over_yardstick: 0.0,
        }
    }
}

/// What was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Particles per side.
    pub particles: usize,
    /// Mesh points per side.
    pub mesh: usize,
    /// Bytes of a real number.
    pub real_bytes: usize,
}

/// What a whole run shows beside its steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    /// Initial conditions, on the particles' lattice.
    pub lpt_seconds: f64,
    /// The same in steps.
    pub lpt_over_step: f64,
    /// The most particles on a rank over the mean, at the end.
    pub imbalance: f64,
    /// Peak memory of all ranks together, less what the program held at its start. None where /proc does not tell.
    pub memory_bytes: Option<u64>,
    pub memory_bytes_per_particle: Option<f64>,
}

/// What a bench found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub what: String,
    pub ranks: usize,
    pub yardstick_seconds: f64,
    /// The headline figure: one step, or one pair of transforms.
    pub step_seconds: f64,
    pub step_over_yardstick: f64,
    pub stages: Vec<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
    /// Peak memory of the rank that takes most, less what the program held at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

impl Outcome {
    /// The slowest rank's seconds per step, and its stages; yardsticks come later, in [`Outcome::in_yardsticks`].
    pub fn new(comm: &Comm, what: String, step: f64, stages: Vec<Stage>) -> Outcome {
        let step_seconds = comm.max_of(step);
        let (yardstick_seconds, step_over_yardstick) = (0.0, 0.0);
        let ranks = comm.size();
        Outcome {
            what,
            ranks,
            yardstick_seconds,
            step_seconds,
            step_over_yardstick,
            stages,
            problem: None,
            whole: None,
            peak_bytes: None,
        }
    }

    /// The same, also as multiples of a yardstick of `y` seconds.
    pub fn in_yardsticks(mut self, y: f64) -> Outcome {
        self.yardstick_seconds = y;
        self.step_over_yardstick = self.step_seconds / y;
        for stage in &mut self.stages {
            stage.over_yardstick = stage.seconds_max / y;
            stage.waiting_over_yardstick = stage.seconds_waiting / y;
        }
        self
    }
}

/// The table that a person reads.
impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let y = self.yardstick_seconds;
        writeln!(f, "{}, {} rank(s); yardstick Y = {y:.4} s", self.what, self.ranks)?;
        let head = ["max (s)", "mean (s)", "waiting (s)", "max (Y)", "waiting (Y)", "moved (MB)"];
        writeln!(f, "  {:<14}{}", "stage", head.map(|h| format!("{h:>12}")).concat())?;
        for s in &self.stages {
            let seconds = [s.seconds_max, s.seconds_mean, s.seconds_waiting].map(|v| format!("{v:>12.4}")).concat();
            let multiples = [s.over_yardstick, s.waiting_over_yardstick].map(|v| format!("{v:>12.3}")).concat();
            writeln!(f, "  {:<14}{seconds}{multiples}{:>12.3}", s.name, s.bytes_moved as f64 / 1e6)?;
        }
        let (waiting, moved) =
            self.stages.iter().fold((0.0, 0), |(w, b), s| (w + s.seconds_waiting, b + s.bytes_moved));
        let (step, times, moved) = (self.step_seconds, self.step_over_yardstick, moved as f64 / 1e6);
        let waits = format!("{waiting:>12.4}{times:>12.3}{:>12.3}", waiting / y);
        write!(f, "  {:<14}{step:>12.4}{:>12}{waits}{moved:>12.3}", "all", "")?;
        if let Some(w) = &self.whole {
            let lpt = w.lpt_seconds;
            write!(f, "\n  initial conditions {lpt:.4} s = {:.3} Y = {:.2} steps", lpt / y, w.lpt_over_step)?;
            write!(f, "\n  most particles on a rank over the mean: {:.3}", w.imbalance)?;
            if let (Some(bytes), Some(each)) = (w.memory_bytes, w.memory_bytes_per_particle) {
                let all = bytes as f64 / 1e6;
                write!(f, "\n  peak memory {all:.1} MB over all ranks, {each:.1} bytes per particle")?;
            }
        }
        if let Some(peak) = self.peak_bytes {
            write!(f, "\n  peak memory {:.1} MB on the rank that takes most", peak as f64 / 1e6)?;
        }
        Ok(())
    }
}
