//! The step table: the integrator as data. `polycosm plan` prints it, one loop executes it.

use super::factors::{Factor, Factors, Integrator};
use crate::error::{Error, Result};
use crate::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the steps divide the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Equal steps in a.
    #[default]
    Linear,
    /// Equal steps in ln a.
    Log,
}

/// `[simulator.time]`: when to start, when to end, and the steps between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// Scale factor of the initial conditions.
    pub a_start: f64,
    /// Scale factor of the end, at most 1.
    pub a_end: f64,
    /// Number of steps.
    pub steps: usize,
    /// Steps equal in a (`"linear"`) or in ln a (`"log"`).
    pub spacing: Spacing,
    /// The scale factors between the steps, rising, both ends included: instead of `a_start`, `a_end`, `steps` and
    /// `spacing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_factors: Option<Vec<f64>>,
    /// Kick and drift factors: Feng et al. (2016), Quinn et al. (1997), or Tassev et al. (2013; 24 bytes more per
    /// particle in f32). COLA beside massive neutrinos gives a warning: P(k) today is up to 0.9% low for 0.4 eV in 10
    /// steps from a = 0.1, 3% from a = 0.05.
    pub integrator: Integrator,
}

impl Default for StepConfig {
    fn default() -> Self {
        StepConfig {
            a_start: 0.1,
            a_end: 1.0,
            steps: 10,
            spacing: Spacing::Linear,
            scale_factors: None,
            integrator: Integrator::Fastpm,
        }
    }
}

impl StepConfig {
    /// Refuses intervals and counts that make no sense.
    pub fn check(&self) -> Result<()> {
        if let Some(list) = &self.scale_factors {
            let rising = list.len() >= 2 && list.windows(2).all(|w| w[0] < w[1]);
            if !(rising && list[0] > 0.0 && list[list.len() - 1] <= 1.0) {
                return Err(Error::input("must rise within (0, 1], from the start to the end")
                    .key("simulator.time.scale_factors")
                    .value(list)
                    .remedy("e.g. [0.1, 0.4, 0.7, 1.0]; or give a_start, a_end and steps instead"));
            }
            if *self
                != (StepConfig {
                    scale_factors: self.scale_factors.clone(),
                    integrator: self.integrator,
                    ..Default::default()
                })
            {
                return Err(Error::input("given beside a_start, a_end, steps or spacing, which it replaces")
                    .key("simulator.time.scale_factors")
                    .value(list)
                    .remedy("keep either the list or the others"));
            }
            return limits::at_most("simulator.time.scale_factors", list.len(), limits::STEPS);
        }
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
        limits::at_most("simulator.time.steps", self.steps, limits::STEPS)
    }

    /// Scale factor of the initial conditions.
    pub fn start(&self) -> f64 {
        self.scale_factors.as_ref().map_or(self.a_start, |list| list[0])
    }

    /// Scale factor of the end.
    pub fn end(&self) -> f64 {
        self.scale_factors.as_ref().map_or(self.a_end, |list| list[list.len() - 1])
    }

    /// The scale factors between the steps, both ends included.
    pub fn scale_factors(&self) -> Vec<f64> {
        if let Some(list) = &self.scale_factors {
            return list.clone();
        }
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
    Kick { from: f64, at: f64, to: f64, factor: Factor },
    /// x += factor · p, from scale factor `from` to `to` with the momentum known at `at`.
    Drift { from: f64, at: f64, to: f64, factor: Factor },
    /// Positions and momenta both stand at `a`: a moment that was asked for.
    Output { a: f64 },
}

impl Row {
    /// Scale factor up to which the positions have come before the row.
    pub fn scale_factor(&self) -> f64 {
        match *self {
            Row::Force { a } | Row::Output { a } => a,
            Row::Kick { at, .. } => at,
            Row::Drift { from, .. } => from,
        }
    }
}

/// Rows in order of execution.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTable {
    pub rows: Vec<Row>,
}

impl StepTable {
    /// Kick–drift–kick with half steps at the geometric mean of their ends, as FastPM has them. Two kicks by the same
    /// force are one row. Each of the `outputs` (scale factors from the start to the end) ends a step: where none of
    /// the configured steps ends there, the one around it is cut in two. Steps after the last of them are not taken.
    pub fn new(config: &StepConfig, factors: &Factors, outputs: &[f64]) -> Self {
        let mut a = config.scale_factors();
        let same = |x: f64, y: f64| (x / y - 1.0).abs() < 1e-9;
        for &output in outputs.iter().filter(|&&o| o > config.start()) {
            match a.iter_mut().find(|a| same(**a, output)) {
                Some(there) => *there = output,
                None => a.push(output),
            }
        }
        a.sort_by(f64::total_cmp);
        let wanted = |a: f64| outputs.iter().any(|&o| same(o, a));
        let mut rows = vec![];
        if wanted(a[0]) {
            rows.push(Row::Output { a: a[0] });
        }
        rows.push(Row::Force { a: a[0] });
        for (start, end) in a.iter().copied().zip(a.iter().copied().skip(1)) {
            let half = (start * end).sqrt();
            push_kick(&mut rows, factors, start, start, half);
            rows.push(Row::Drift { from: start, at: half, to: end, factor: factors.drift(start, half, end) });
            rows.push(Row::Force { a: end });
            push_kick(&mut rows, factors, half, end, end);
            if wanted(end) {
                rows.push(Row::Output { a: end });
            }
        }
        if let Some(last) = rows.iter().rposition(|r| matches!(r, Row::Output { .. })) {
            rows.truncate(last + 1);
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
        writeln!(f, "  row  what    from a    known at  to a      factor")?;
        let lpt = |l: &[f64; 2]| match l {
            [0.0, 0.0] => String::new(),
            [first, second] => format!("  + {first:.8} Ψ1 + {second:.8} Ψ2"),
        };
        for (i, row) in self.rows.iter().enumerate() {
            match row {
                Row::Force { a } => writeln!(f, "{i:5}  force             {a:9.6}")?,
                Row::Output { a } => writeln!(f, "{i:5}  output            {a:9.6}")?,
                Row::Kick { from, at, to, factor: Factor { force, lpt: l } } => {
                    writeln!(f, "{i:5}  kick   {from:9.6} {at:9.6} {to:9.6}  {force:.8}{}", lpt(l))?
                }
                Row::Drift { from, at, to, factor: Factor { force, lpt: l } } => {
                    writeln!(f, "{i:5}  drift  {from:9.6} {at:9.6} {to:9.6}  {force:.8}{}", lpt(l))?
                }
            }
        }
        Ok(())
    }
}
