//! A model in one file: `cargo run --release --example moments -- run run.toml`.
//!
//! A moment network (Jeffrey & Wandelt 2020): posterior means m(x) that minimise Σ_j ln E[(θ_j − m_j(x))²], the
//! expectation over the whole batch. A later stage reads them as its input.

use polycosm::models::prelude::*;
use polycosm::nets::{Mlp, MlpConfig};

/// `[train.network]` with `kind = "moments"`, which has no other keys.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

struct Moments {
    parts: [Part; 1],
    net: Mlp,
    means: FieldSpec,
}

impl Section for Config {
    fn outputs(&self) -> Vec<&'static str> {
        vec!["means"]
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let (part, p) = (task.part("moments"), task.prior.len());
        let net = Mlp::new(&part.vs.root(), task.numbers("x")?, p as i64, &MlpConfig { hidden: 16, layers: 1 });
        Ok(Box::new(Moments { parts: [part], net, means: FieldSpec::vector("means", p) }))
    }
}

impl Model for Moments {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let squares = (batch.array("theta")? - &self.apply(batch)?[0]).square();
        Ok(vec![Score::of_means("Σ ln E", squares, |means| means.log().sum(means.kind()), &[0])])
    }
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![self.means.clone()]
    }
    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        Ok(vec![self.net.forward(&batch.vector("x")?)])
    }
}

fn main() {
    KINDS.add(kind::<Config>("moments"));
    polycosm::cli::main(std::env::args_os())
}
