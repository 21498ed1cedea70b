//! Neural posterior estimation (Papamakarios & Murray 2016; Greenberg et al. 2019): an ensemble of flows q(θ | x)
//! trained by maximum likelihood on pairs drawn from the prior and the simulator; their densities are averaged.

use super::{Draws, eye::check_names, prelude::*};
use crate::limits;
use crate::nets::{Flow, FlowConfig, Mlp, MlpConfig, Transform, Transforms};
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal, Uniform};

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

    fn unused(&self, _: &[FieldSpec]) -> Option<(&'static str, String)> {
        let idle = self.embedding == 0 && self.mlp != MlpConfig::default();
        idle.then(|| ("mlp", "it is the embedding's, and embedding = 0 leaves the inputs as they are".into()))
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Posterior)
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
            let part = task.part(format!("member{m}"));
            let root = part.vs.root();
            for (i, eye) in eyes.iter_mut().enumerate() {
                let own = if inputs.len() == 1 { "input".to_string() } else { format!("input{i}") };
                eye.keep(&(&root / own), &config.transform);
            }
            let (embedding, context) = match config.embedding {
                0 => (None, n),
                e => (Some(Mlp::new(&(&root / "embedding"), n, e, &config.mlp)), e),
            };
            let flow = Flow::new(&(&root / "flow"), task.prior, context, &config.flow);
            parts.push(part);
            members.push(Member { embedding, flow });
        }
        check_names(&config.transform, &eyes)?;
        Ok(Npe { parts, eyes, members, p: task.prior.len() as i64 })
    }

    /// What a member's flow is given, (n, context).
    fn context(&self, m: usize, batch: &Batch) -> Result<Tensor> {
        let each = self.eyes.iter().map(|eye| Ok(eye.look(m, batch)?.0)).collect::<Result<Vec<_>>>()?;
        let x = Tensor::cat(&each, 1);
        Ok(match &self.members[m].embedding {
            Some(embedding) => embedding.forward(&x),
            None => x,
        })
    }

    /// ln q(θ | x) of each sample, by a member.
    fn log_prob(&self, m: usize, batch: &Batch, theta: &Tensor) -> Result<Tensor> {
        Ok(self.members[m].flow.log_prob(theta, &self.context(m, batch)?))
    }
}

impl Model for Npe {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        true
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let theta = batch.array("theta")?;
        let each = |m| Ok(Score::new(format!("−E[ln q] of member {m}"), -self.log_prob(m, batch, theta)?, &[m]));
        (0..self.members.len()).map(each).collect()
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.eyes.iter().collect()
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Npe {
    fn of(&self) -> Estimand {
        Estimand::Posterior
    }

    fn ln(&self, batch: &Batch, _: usize, theta: &Tensor) -> Result<Tensor> {
        let m = theta.size()[1];
        let each: Vec<usize> = (0..batch.len()).flat_map(|row| vec![row; m as usize]).collect();
        let (batch, theta) = (batch.rows(&each), theta.flatten(0, 1));
        let one = |m| self.log_prob(m, &batch, &theta);
        let all = (0..self.members.len()).map(one).collect::<Result<Vec<_>>>()?;
        let mean = Tensor::stack(&all, 0).logsumexp(0i64, false) - (all.len() as f64).ln();
        Ok(mean.view([-1, m]))
    }

    fn draw(&self, batch: &Batch, block: usize, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        let (draws, p, kind) = (draws as i64, self.p, self.parts[0].vs.kind());
        let (mut theta, mut ln, mut member) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &seed) in seeds.iter().enumerate() {
            // Draws of a universe depend on its seed alone, not on the rank or batch it is in.
            let mut rng = stream(seed, 0, "posterior draws", 0);
            let pick = Uniform::new(0, self.members.len()).expect("an ensemble has members");
            let members: Vec<usize> = (0..draws).map(|_| pick.sample(&mut rng)).collect();
            let z: Vec<f64> = (0..draws * p).map(|_| StandardNormal.sample(&mut rng)).collect();
            let (one, device) = (batch.rows(&[row]), batch.device());
            let z = Tensor::from_slice(&z).view([draws, p]).to_device(device).to_kind(kind);
            let mut out = Tensor::zeros([draws, p], (Kind::Double, device));
            for (m, one_of) in self.members.iter().enumerate() {
                let own: Vec<i64> = (0..draws).filter(|&d| members[d as usize] == m).collect();
                if own.is_empty() {
                    continue;
                }
                let own = Tensor::from_slice(&own).to_device(device);
                let c = self.context(m, &one)?;
                let context = c.expand([own.size()[0], c.size()[1]], true);
                out = out.index_copy(0, &own, &one_of.flow.sample(&z.index_select(0, &own), &context));
            }
            let out = out.unsqueeze(0);
            ln.push(self.ln(&one, block, &out)?);
            theta.push(out);
            member.extend(members);
        }
        let (theta, ln_prob) = (Tensor::cat(&theta, 0), Tensor::cat(&ln, 0));
        let (ln_evidence, members) = (vec![0.0; seeds.len()], self.members.len());
        Ok(Some(Draws { theta, ln_prob, ln_evidence, member, members }))
    }
}
