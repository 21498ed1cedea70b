//! The step table: the integrator as data. `polycosm plan` prints it, one loop executes it.

use super::factors::{Factors, Integrator};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the steps divide the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Equal steps in a.
    #[default]
    Linear,
    /// Equal steps in ln a.
    Log,
}

/// `[simulator.time]`: when to start, when to end, and the steps between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// Scale factor of the initial conditions.
    pub a_start: f64,
    /// Scale factor of the end.
    pub a_end: f64,
    /// Number of steps.
    pub steps: usize,
    /// `linear` or `log` in the scale factor.
    pub spacing: Spacing,
    /// `fastpm` or `leapfrog`.
    pub integrator: Integrator,
}

impl Default for StepConfig {
    fn default() -> Self {
        StepConfig { a_start: 0.1, a_end: 1.0, steps: 10, spacing: Spacing::Linear, integrator: Integrator::Fastpm }
    }
}

impl StepConfig {
    /// Refuses intervals and counts that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.a_start > 0.0 && self.a_start < 1.0) {
            return Err(Error::input("the scale factor of the initial conditions must lie in (0, 1)")
                .key("simulator.time.a_start")
                .value(self.a_start)
                .remedy("0.1 (redshift 9) is usual with 2LPT"));
        }
        if !(self.a_end > self.a_start && self.a_end <= 1.0) {
            return Err(Error::input("must be larger than a_start and at most 1")
                .key("simulator.time.a_end")
                .value(self.a_end)
                .remedy("1.0 is today"));
        }
        if self.steps == 0 {
            return Err(Error::input("at least one step is needed")
                .key("simulator.time.steps")
                .value(self.steps)
                .remedy("10 is a sound choice with the fastpm integrator"));
        }
        Ok(())
    }

    /// The scale factors between the steps: `steps + 1` of them.
    pub fn scale_factors(&self) -> Vec<f64> {
        (0..=self.steps)
            .map(|i| {
                let t = i as f64 / self.steps as f64;
                match self.spacing {
                    _ if i == self.steps => self.a_end,
                    Spacing::Linear => self.a_start + t * (self.a_end - self.a_start),
                    Spacing::Log => self.a_start * (self.a_end / self.a_start).powf(t),
                }
            })
            .collect()
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row {
    /// Computes accelerations from the positions at `a`.
    Force { a: f64 },
    /// p += factor · g, from scale factor `from` to `to` with the force known at `at`.
    Kick { from: f64, at: f64, to: f64, factor: f64 },
    /// x += factor · p, from scale factor `from` to `to` with the momentum known at `at`.
    Drift { from: f64, at: f64, to: f64, factor: f64 },
}

/// Rows in order of execution.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTable {
    pub rows: Vec<Row>,
}

impl StepTable {
    /// Kick–drift–kick with half steps at the geometric mean of their ends, as FastPM has them. Two kicks by the same
    /// force are one row.
    pub fn new(config: &StepConfig, factors: &Factors) -> Self {
        let a = config.scale_factors();
        let mut rows = vec![Row::Force { a: a[0] }];
        for (start, end) in a.iter().copied().zip(a.iter().copied().skip(1)) {
            let half = (start * end).sqrt();
            push_kick(&mut rows, factors, start, start, half);
            rows.push(Row::Drift { from: start, at: half, to: end, factor: factors.drift(start, half, end) });
            rows.push(Row::Force { a: end });
            push_kick(&mut rows, factors, half, end, end);
        }
        StepTable { rows }
    }

    /// Number of force evaluations.
    pub fn forces(&self) -> usize {
        self.rows.iter().filter(|r| matches!(r, Row::Force { .. })).count()
    }
}

fn push_kick(rows: &mut Vec<Row>, factors: &Factors, from: f64, at: f64, to: f64) {
    let from = match rows.last() {
        Some(&Row::Kick { from: earlier, at: same, .. }) if same == at => {
            rows.pop();
            earlier
        }
        _ => from,
    };
    rows.push(Row::Kick { from, at, to, factor: factors.kick(from, at, to) });
}

impl std::fmt::Display for StepTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "  row  what   from a    known at  to a      factor")?;
        for (i, row) in self.rows.iter().enumerate() {
            match row {
                Row::Force { a } => writeln!(f, "{i:5}  force            {a:9.6}")?,
                Row::Kick { from, at, to, factor } => {
                    writeln!(f, "{i:5}  kick  {from:9.6} {at:9.6} {to:9.6}  {factor:.8}")?
                }
                Row::Drift { from, at, to, factor } => {
                    writeln!(f, "{i:5}  drift {from:9.6} {at:9.6} {to:9.6}  {factor:.8}")?
                }
            }
        }
        Ok(())
    }
}
