//! Universes that are lists of any length, none included, and a network that sees them.

use polycosm::io::field::Dtype;
use polycosm::models::prelude::*;
use polycosm::nets::{Mlp, MlpConfig};
use polycosm::simulators::prelude::{Axis, Comm, Data, Job, Output, Runner, Universes};
use rand_distr::{Distribution, StandardNormal};

/// `[simulator]` with `kind = "clusters"`: 8 a rows of mass b, with noise, and place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clusters {}

impl polycosm::simulators::Section for Clusters {
    fn parameters(&self) -> Vec<String> {
        vec!["a".into(), "b".into()]
    }
    fn runner(&self, _: &Universes) -> Result<Box<dyn Runner>> {
        Ok(Box::new(self.clone()))
    }
}

impl Runner for Clusters {
    fn specs(&self) -> Vec<FieldSpec> {
        let column = Axis::named(AxisKind::Column, "column", ["mass [Msun/h]", "x [Mpc/h]"]);
        let axes = vec![Axis::new(AxisKind::Index, "clusters", ""), column];
        vec![FieldSpec { axes, ragged: true, dtype: Dtype::F64, ..FieldSpec::of("clusters", &[0, 2], &[]) }]
    }
    fn simulate(&self, comm: &Comm, job: &Job) -> Result<Output> {
        let [a, b] = ["a", "b"].map(|name| job.theta.get(name).unwrap());
        let noise = StandardNormal.sample_iter(job.random("mass")).take((8.0 * a) as usize);
        let list = noise.enumerate().flat_map(|(i, z): (usize, f64)| [b + 0.1 * z, i as f64]).collect();
        Ok(Output::on_root(comm, self.specs(), [Data::F64(list)]))
    }
}

/// `[train.network]` with `kind = "pooled"`: means of the parameters from a list's length and the sums of its columns.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pooled {}

struct Pooling([Part; 1], Mlp);

impl Section for Pooled {
    fn outputs(&self) -> Vec<&'static str> {
        vec!["means"]
    }
    fn takes_lists(&self) -> bool {
        true
    }
    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        let (part, columns) = (task.part("pooled"), task.list("x")?.shape[1] as i64);
        let net = Mlp::new(&part.vs.root(), 1 + columns, 2, &MlpConfig { hidden: 8, layers: 1 });
        Ok(Box::new(Pooling([part], net)))
    }
}

impl Model for Pooling {
    fn parts(&self) -> &[Part] {
        &self.0
    }
    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let squares = (batch.array("theta")? - &self.apply(batch)?[0]).square();
        Ok(vec![Score::new("mean square", squares.mean_dim([1i64].as_slice(), false, None::<Kind>), &[0])])
    }
    fn outputs(&self) -> Vec<FieldSpec> {
        vec![FieldSpec::vector("means", 2)]
    }
    fn apply(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let ((values, offsets), n) = (batch.list("x")?, batch.len() as i64);
        let lengths = offsets.diff(1, 0, None::<Tensor>, None::<Tensor>);
        let of = Tensor::arange(n, (Kind::Int64, values.device())).repeat_interleave_self_tensor(&lengths, None, None);
        let counted = Tensor::cat(&[&values.ones_like().narrow(1, 0, 1), values], 1);
        let sums = Tensor::zeros([n, counted.size()[1]], (values.kind(), values.device())).index_add(0, &of, &counted);
        Ok(vec![self.1.forward(&(sums / 8.0).to_kind(Kind::Float))])
    }
}

pub const CAMPAIGN: &str = r#"
output = "o"
seed = 3
[design]
simulations = 60
[design.parameters.a]
min = 0.0
max = 1.0
[design.parameters.b]
min = 1.0
max = 2.0
[simulator]
kind = "clusters"
[suite]
shard_size = 16
[[train]]
name = "pooled"
input = "clusters"
epochs = 2
network = { kind = "pooled" }
[[train]]
name = "q"
input = "pooled"
epochs = 2
network = { kind = "npe", ensemble = 1, mlp = { hidden = 8, layers = 1 }, flow = { layers = 1, hidden = 8 } }
[infer]
posterior = "q"
draws = 20
"#;
