//! A simulator in one file, without mesh or cosmology: `cargo run --release --example gaussian -- run run.toml`.
//!
//! Numbers x at `points` times t from 0 to 1: x = slope · t + shift + noise, where each of `shifts` parts of the times
//! has a shift of its own. x is linear in the parameters and the noise is Gaussian: so is the posterior, in closed
//! form.

use polycosm::comm::{Comm, timers::Timers};
use polycosm::error::{Error, Result};
use polycosm::io::field::{Axis, AxisKind, Data, Dtype, Field, FieldSpec};
use polycosm::prior::Theta;
use polycosm::simulators::{Job, KINDS, Runner, Section, Simulator, Theory, Universes, kind};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[simulator]` with `kind = "gaussian"`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Numbers of a universe.
    points: usize,
    /// Parameters shift_0, shift_1 …, beside the slope.
    #[serde(default)]
    shifts: usize,
    /// Standard deviation of the noise.
    noise: f64,
}

impl Gaussian {
    fn times(&self) -> Vec<f64> {
        (0..self.points).map(|i| i as f64 / (self.points - 1) as f64).collect()
    }
    /// x without noise.
    fn line(&self, theta: Theta) -> Vec<f64> {
        let of = |name: &str| theta.get(name).unwrap_or(0.0);
        let shift = |i: usize| of(&format!("shift_{}", i * self.shifts / self.points));
        self.times().iter().enumerate().map(|(i, t)| of("slope") * t + shift(i)).collect()
    }
}

impl Section for Gaussian {
    fn summary(&self) -> String {
        format!("{} numbers", self.points)
    }
    fn check(&self, _: &Universes) -> Result<()> {
        let few = || Error::input("is less than 2, or than there are shifts").key("simulator.points");
        let enough = self.points >= self.shifts.max(2);
        enough.then_some(()).ok_or_else(|| few().value(self.points).remedy("give more points"))
    }
    fn needs_cosmology(&self) -> bool {
        false
    }
    fn parameters(&self) -> Vec<String> {
        (0..self.shifts).map(|i| format!("shift_{i}")).chain(["slope".into()]).collect()
    }
    fn theory(&self, _: &Universes, _: &FieldSpec, theta: Theta, _: u64) -> Result<Option<Theory>> {
        Ok(Some(Theory { name: "the line".into(), values: self.line(theta) }))
    }
    fn runner(&self, _: &Universes) -> Result<Box<dyn Runner>> {
        Ok(Box::new(self.clone()))
    }
}

impl Simulator for Gaussian {
    type State = Vec<f64>;
    fn specs(&self) -> Vec<FieldSpec> {
        let (description, axes) =
            ("slope · t + shift + noise".into(), vec![Axis::at(AxisKind::Column, "t", "", self.times())]);
        vec![FieldSpec { description, axes, dtype: Dtype::F64, ..FieldSpec::of("x", &[self.points], &[]) }]
    }
    fn evolve(&self, _: &Comm, job: &Job, _: &mut Timers) -> Result<Vec<f64>> {
        let noise = StandardNormal.sample_iter(job.random("noise")).map(|z: f64| self.noise * z);
        Ok(self.line(job.theta).into_iter().zip(noise).map(|(x, noise)| x + noise).collect())
    }
    fn observe(&self, comm: &Comm, x: &Vec<f64>) -> Result<Vec<Field>> {
        Ok(vec![Field::on_root(comm, Simulator::specs(self).remove(0), Data::F64(x.clone()))])
    }
}

fn main() {
    KINDS.add(kind::<Gaussian>("gaussian"));
    polycosm::cli::main(std::env::args_os())
}
