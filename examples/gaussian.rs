//! A simulator in one file, without mesh or cosmology: `cargo run --release --example gaussian -- run run.toml`.
//!
//! x = slope · t + shift + noise at times t from 0 to 1, where each of `shifts` parts of the times has a shift of its
//! own: linear in the parameters, with Gaussian noise, so that the posterior is known in closed form.

use polycosm::simulators::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// `[simulator]` with `kind = "gaussian"`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Numbers of a universe.
    pub points: usize,
    /// Parameters shift_0, shift_1 …, beside the slope.
    #[serde(default)]
    pub shifts: usize,
    /// Standard deviation of the noise.
    pub noise: f64,
}

impl Section for Gaussian {
    fn parameters(&self) -> Vec<String> {
        (0..self.shifts).map(|i| format!("shift_{i}")).chain(["slope".into()]).collect()
    }
    fn runner(&self, _: &Universes) -> Result<Box<dyn Runner>> {
        Ok(Box::new(self.clone()))
    }
}

impl Runner for Gaussian {
    fn specs(&self) -> Vec<FieldSpec> {
        let t = (0..self.points).map(|i| i as f64 / self.points as f64).collect();
        let (description, axes) = ("slope · t + shift + noise".into(), vec![Axis::at(AxisKind::Column, "t", "", t)]);
        vec![FieldSpec { description, axes, ..FieldSpec::vector("x", self.points) }]
    }
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let of = |name: &str| job.theta.get(name).unwrap_or(0.0);
        let shift = |i: usize| of(&format!("shift_{}", i * self.shifts / self.points));
        let line = |i: usize| of("slope") * i as f64 / self.points as f64 + shift(i);
        let noise = StandardNormal.sample_iter(job.random("noise")).map(|z: f64| self.noise * z);
        let x = (0..self.points).zip(noise).map(|(i, noise)| (line(i) + noise) as f32).collect();
        Ok(Output::on_root(comm, self.specs(), [Data::F32(x)]))
    }
}

fn main() {
    KINDS.add(kind::<Gaussian>("gaussian"));
    polycosm::cli::main(std::env::args_os())
}
