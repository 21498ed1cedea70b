//! Neural posterior estimation (Papamakarios & Murray 2016; Greenberg et al. 2019): an ensemble of flows q(θ | x) trained by
//! maximum likelihood on pairs drawn from the prior and the simulator; their densities are averaged.

use super::eye::check_names;
use super::{Batch, Draws, Eye, Model, Part, Score, Section, Size, Stream, Task, Turn};
use crate::error::Result;
use crate::limits;
use crate::nets::{Flow, FlowConfig, Mlp, MlpConfig, Transform, Transforms};
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal, Uniform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// An ensemble of neural posterior estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NpeConfig {
    /// Flows whose densities are averaged.
    pub ensemble: usize,
    /// Of the inputs, as for `vmim`.
    pub transform: Transforms,
    /// Outputs of a network before the flow; 0: the inputs go to the flow as they are.
    pub embedding: i64,
    /// The embedding network.
    pub mlp: MlpConfig,
    /// Each flow.
    pub flow: FlowConfig,
}

impl Default for NpeConfig {
    fn default() -> Self {
        NpeConfig {
            ensemble: 4,
            transform: Transform::None.into(),
            embedding: 0,
            mlp: MlpConfig::default(),
            flow: FlowConfig::default(),
        }
    }
}

impl Section for NpeConfig {
    fn sizes(&self) -> Vec<Size> {
        // Nobody averages more than 64 members.
        let members = self.ensemble.min(i64::MAX as usize) as i64;
        let own = vec![("ensemble", members, [1, 64]), ("embedding", self.embedding, [0, limits::UNITS as i64])];
        [self.mlp.sizes(), self.flow.sizes(), own].concat()
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let inputs = inputs as f64;
        let (embedded, context) = match self.embedding {
            0 => (0.0, inputs),
            e => (self.mlp.weights(inputs, e as f64), e as f64),
        };
        self.ensemble as f64 * (embedded + self.flow.weights(context, p))
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        Ok(Box::new(Npe::new(self, task)?))
    }
}

struct Member {
    embedding: Option<Mlp>,
    flow: Flow,
}

/// The ensemble.
pub struct Npe {
    parts: Vec<Part>,
    eyes: Vec<Eye>,
    members: Vec<Member>,
    p: i64,
}

impl Npe {
    /// For samples of such fields, as one vector.
    pub fn new(config: &NpeConfig, task: &Task) -> Result<Self> {
        let inputs = task.arrays()?;
        let mut eyes: Vec<Eye> = inputs.iter().map(Eye::vector).collect();
        let n = eyes.iter().map(|eye| eye.shape[0]).sum();
        let (mut parts, mut members) = (Vec::new(), Vec::new());
        for m in 0..config.ensemble {
            let vs = task.variables();
            let root = vs.root();
            for (i, eye) in eyes.iter_mut().enumerate() {
                let own = if inputs.len() == 1 { "input".to_string() } else { format!("input{i}") };
                eye.keep(&(&root / own), &config.transform);
            }
            let (embedding, context) = match config.embedding {
                0 => (None, n),
                e => (Some(Mlp::new(&(&root / "embedding"), n, e, &config.mlp)), e),
            };
            let flow = Flow::new(&(&root / "flow"), task.prior, context, &config.flow);
            parts.push(Part::new(format!("member{m}"), vs));
            members.push(Member { embedding, flow });
        }
        check_names(&config.transform, &eyes)?;
        Ok(Npe { parts, eyes, members, p: task.prior.len() as i64 })
    }

    /// What a member's flow is given, (n, context).
    fn context(&self, m: usize, batch: &Batch) -> Result<Tensor> {
        let mut each = self.eyes.iter().map(|eye| Ok(eye.look(m, batch)?.0)).collect::<Result<Vec<_>>>()?;
        let x = if each.len() == 1 { each.remove(0) } else { Tensor::cat(&each, 1) };
        Ok(self.members[m].embedding.as_ref().map_or_else(|| x.shallow_clone(), |e| e.forward(&x)))
    }

    /// −ln q(θ | x) of each sample, by a member.
    fn loss(&self, m: usize, batch: &Batch) -> Result<Tensor> {
        Ok(-self.members[m].flow.log_prob(batch.array("theta")?, &self.context(m, batch)?))
    }
}

fn name(member: usize) -> String {
    format!("−E[ln q] of member {member}")
}

impl Model for Npe {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.eyes.iter().try_for_each(|eye| all.whole(&eye.column).map(|x| drop(eye.standardise(&x))))
    }

    fn step(&self, _: usize, batch: &Batch, turn: &mut dyn Turn) -> Result<()> {
        (0..self.members.len()).try_for_each(|m| turn.minimise(&name(m), &self.loss(m, batch)?, &[m]))
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let each = |m| Ok(Score { name: name(m), value: self.loss(m, batch)?, parts: vec![m] });
        (0..self.members.len()).map(each).collect()
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.eyes.iter().collect()
    }

    fn log_prob(&self, x: &Tensor, theta: &Tensor) -> Option<Tensor> {
        let batch = Batch::observed(x);
        let one = |(m, member): (usize, &Member)| Some(member.flow.log_prob(theta, &self.context(m, &batch).ok()?));
        let all = self.members.iter().enumerate().map(one).collect::<Option<Vec<Tensor>>>()?;
        let mean = Tensor::stack(&all, 0).logsumexp([0i64].as_slice(), false) - (all.len() as f64).ln();
        Some(mean)
    }

    fn sample(&self, x: &Tensor, draws: i64, seeds: &[u64]) -> Option<Draws> {
        let (n, p, kind) = (x.size()[0], self.p, self.parts[0].vs.kind());
        let (mut theta, mut member) = (Vec::new(), Vec::new());
        for (row, &seed) in (0..n).zip(seeds) {
            // Draws of a universe depend on its seed alone, not on the rank or batch it is in.
            let mut rng = stream(seed, 0, "posterior draws", 0);
            let pick = Uniform::new(0, self.members.len()).expect("an ensemble has members");
            let members: Vec<usize> = (0..draws).map(|_| pick.sample(&mut rng)).collect();
            let z: Vec<f64> = (0..draws * p).map(|_| StandardNormal.sample(&mut rng)).collect();
            let z = Tensor::from_slice(&z).view([draws, p]).to_device(x.device()).to_kind(kind);
            let one = x.narrow(0, row, 1);
            let mut out = Tensor::zeros([draws, p], (Kind::Double, x.device()));
            for (m, one_of) in self.members.iter().enumerate() {
                let own: Vec<i64> = (0..draws).filter(|&d| members[d as usize] == m).collect();
                if own.is_empty() {
                    continue;
                }
                let own = Tensor::from_slice(&own).to_device(x.device());
                let c = self.context(m, &Batch::observed(&one)).ok()?;
                let context = c.expand([own.size()[0], c.size()[1]], true);
                out = out.index_copy(0, &own, &one_of.flow.sample(&z.index_select(0, &own), &context));
            }
            theta.push(out);
            member.extend(members);
        }
        let theta = Tensor::stack(&theta, 0);
        let ln: Vec<Tensor> = (0..n)
            .filter_map(|row| {
                let one = x.narrow(0, row, 1);
                let mut shape = one.size();
                shape[0] = draws;
                self.log_prob(&one.expand(shape.as_slice(), true), &theta.select(0, row))
            })
            .collect();
        Some(Draws { theta, ln_prob: Tensor::stack(&ln, 0), member, members: self.members.len() })
    }
}
