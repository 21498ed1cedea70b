//! A model in one file: `cargo run --release --example moments -- run run.toml`.
//!
//! A moment network (Jeffrey & Wandelt 2020): posterior means m(x) that minimise Σ_j ln E[(θ_j − m_j(x))²], the expectation over
//! the whole batch. A later stage reads them as its input.

use polycosm::error::Result;
use polycosm::io::field::{AxisKind, FieldSpec};
use polycosm::models::{Batch, KINDS, Kind, Model, Part, Score, Section, Task, Tensor, Turn, kind};
use polycosm::nets::{Mlp, MlpConfig};

/// `[train.network]` with `kind = "moments"`, which has no other keys.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct Moments {
    parts: [Part; 1],
    net: Mlp,
    means: FieldSpec,
}

impl Section for Config {
    fn outputs(&self) -> Vec<&'static str> {
        vec!["means"]
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let (vs, p) = (task.variables(), task.prior.len());
        let n = task.array("x")?.shape.iter().product::<usize>();
        let net = Mlp::new(&vs.root(), n as i64, p as i64, &MlpConfig { hidden: 16, layers: 1 });
        let means = FieldSpec::of("means", &[p], &[AxisKind::Column]);
        Ok(Box::new(Moments { parts: [Part::new("moments", vs)], net, means }))
    }
}

impl Moments {
    /// (n, p)
    fn means(&self, batch: &Batch) -> Result<Tensor> {
        Ok(self.net.forward(&batch.array("x")?.flatten(1, -1)))
    }
    /// (n, p)
    fn squared_errors(&self, batch: &Batch) -> Result<Tensor> {
        Ok((batch.array("theta")? - self.means(batch)?).square())
    }
}

impl Model for Moments {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        turn.minimise_of_means("Σ ln E", &self.squared_errors(batch)?, &|means| means.log().sum(means.kind()), &[0])
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let value = self.squared_errors(batch)?.mean_dim([1i64].as_slice(), false, None::<Kind>);
        Ok(vec![Score { name: "mean square".into(), value, parts: vec![0] }])
    }
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![self.means.clone()]
    }
    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![self.means(batch)?])
    }
}

fn main() {
    KINDS.add(kind::<Config>("moments"));
    polycosm::cli::main(std::env::args_os())
}
