//! Neural posterior estimation (Papamakarios & Murray 2016; Greenberg et al. 2019): an ensemble of flows q(θ | x)
//! trained by maximum likelihood on pairs drawn from the prior and the simulator. They begin at the posterior of a linear
//! model, and what is used is the mixture of all that the held-out samples bear out, that one included (stacking, Yao et
//! al. 2018, arXiv:1704.02030).

use super::{Draws, eye::check_names, linear_gaussian, prelude::*, stacking};
use crate::limits;
use crate::nets::{FlowConfig, Linear, Mlp, MlpConfig, Transform, Transforms, Transport, Unbounded, host};
use crate::rng::stream;
use rand::distr::weighted::WeightedIndex;
use rand_distr::{Distribution, StandardNormal};
use tch::nn;

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
    /// Whether flows begin at the posterior of a linear model with Gaussian noise, cut off at the prior's bounds, and are
    /// averaged with it as the held-out samples say.
    pub linear: bool,
}

impl Default for NpeConfig {
    fn default() -> Self {
        NpeConfig {
            ensemble: 4,
            transform: Transform::Auto.into(),
            embedding: 0,
            mlp: MlpConfig::default(),
            flow: FlowConfig::default(),
            linear: true,
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
        let idle =
            idle.then(|| ("mlp", "it is the embedding's, and embedding = 0 leaves the inputs as they are".into()));
        idle.or_else(|| self.flow.unused())
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Posterior)
    }

    fn patience(&self) -> u64 {
        5
    }

    fn before(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![("linear", false.into())]
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

/// A density of u (n, p), of which the linear model or the prior's support makes θ.
pub(super) trait Conditional {
    /// ln q(u | context) added to `start`, (n).
    fn ln_density(&self, u: Tensor, start: Tensor, context: &Tensor) -> Tensor;
    /// u (n, p) at normal z (n, p).
    fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor;
    /// What is minimised, (n): by member m of an ensemble, to which ln q is added at `start`.
    fn loss(&self, _m: usize, u: Tensor, start: Tensor, context: &Tensor, _batch: &Batch) -> Tensor {
        -self.ln_density(u, start, context)
    }
    /// Of that.
    fn name(&self) -> &'static str {
        "−E[ln q]"
    }
}

impl Conditional for Transport {
    fn ln_density(&self, u: Tensor, start: Tensor, context: &Tensor) -> Tensor {
        Transport::ln_density(self, u, start, context, None)
    }

    fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        Transport::inverse(self, z, context)
    }
}

struct Member {
    embedding: Option<Mlp>,
    density: Box<dyn Conditional>,
}

/// The ensemble.
pub struct Npe {
    parts: Vec<Part>,
    eyes: Vec<Eye>,
    members: Vec<Member>,
    unbounded: Unbounded,
    linear: Option<Linear>,
    /// What each member counts, and the linear model; `None`: all members the same.
    shares: Option<Tensor>,
    p: i64,
}

impl Npe {
    /// For samples of such fields, as one vector.
    pub fn new(config: &NpeConfig, task: &Task) -> Result<Self> {
        let flow = |path: &nn::Path, p, context| -> Box<dyn Conditional> {
            Box::new(Transport::new(&(path / "flow"), p, context, &config.flow))
        };
        Npe::of(config, task, &flow)
    }

    /// With such members: of p parameters with a context of so many numbers.
    pub(super) fn of(config: &NpeConfig, task: &Task, member: &Made) -> Result<Self> {
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
            let density = member(&root, task.prior.len() as i64, context);
            parts.push(part);
            members.push(Member { embedding, density });
        }
        check_names(&config.transform, &eyes)?;
        let root = parts[0].vs.root();
        let linear = config.linear.then(|| Linear::new(&(&root / "linear"), task.prior, n));
        let shares = config.linear.then(|| stacking::beforehand(&root, members.len()));
        let unbounded = Unbounded::new(task.prior, root.device());
        Ok(Npe { parts, eyes, members, unbounded, linear, shares, p: task.prior.len() as i64 })
    }

    /// What each of [`Npe::each`] counts.
    fn shares(&self) -> Tensor {
        let n = self.members.len() as i64;
        let equal = || Tensor::full([n], 1.0 / n as f64, (Kind::Double, self.parts[0].vs.device()));
        self.shares.as_ref().map_or_else(equal, Tensor::shallow_clone)
    }

    /// The inputs as a member sees them, (n, inputs).
    fn seen(&self, m: usize, batch: &Batch) -> Result<Tensor> {
        let each = self.eyes.iter().map(|eye| Ok(eye.look(m, batch)?.0)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&each, 1))
    }

    /// What a member's flow is given, (n, context).
    fn context(&self, m: usize, batch: &Batch) -> Result<Tensor> {
        let x = self.seen(m, batch)?;
        Ok(match &self.members[m].embedding {
            Some(embedding) => embedding.forward(&x),
            None => x,
        })
    }

    /// u and ln |dθ/du|, (n, p) each, at θ (n, p).
    fn normal(&self, batch: &Batch, theta: &Tensor) -> Result<(Tensor, Tensor)> {
        let kind = self.parts[0].vs.kind();
        Ok(match &self.linear {
            Some(linear) => linear.forward(theta, &self.seen(0, batch)?, kind),
            None => self.unbounded.forward(theta, kind),
        })
    }

    /// ln q(θ | x) of each sample by each member, and by the linear model.
    fn each(&self, batch: &Batch, theta: &Tensor) -> Result<Vec<Tensor>> {
        let one = self.one(batch, theta)?;
        (0..self.members.len() + self.linear.is_some() as usize).map(one).collect()
    }

    /// The same of one of them, by its number.
    fn one<'a>(&'a self, batch: &'a Batch, theta: &Tensor) -> Result<impl Fn(usize) -> Result<Tensor> + 'a> {
        let ((u, jacobian), outside) = (self.normal(batch, theta)?, self.unbounded.outside(theta));
        Ok(move |m: usize| {
            let ln = match self.members.get(m) {
                Some(Member { density, .. }) => {
                    density.ln_density(u.shallow_clone(), -along(&jacobian), &self.context(m, batch)?)
                }
                None => along(&(u.square() * -0.5 - &jacobian - 0.5 * std::f64::consts::TAU.ln())),
            };
            Ok(ln.masked_fill(&outside, f64::NEG_INFINITY))
        })
    }
}

fn along(t: &Tensor) -> Tensor {
    t.sum_dim_intlist(-1i64, false, None::<Kind>)
}

/// What makes a member's density, at a path, of p parameters with a context of so many numbers.
pub(super) type Made<'a> = dyn Fn(&nn::Path, i64, i64) -> Box<dyn Conditional> + 'a;

impl Model for Npe {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn splits(&self) -> bool {
        true
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let theta = batch.array("theta")?;
        let (u, jacobian) = self.normal(batch, theta)?;
        let outside = self.unbounded.outside(theta);
        let own = |(m, member): (usize, &Member)| {
            let Member { density, .. } = member;
            let loss = density.loss(m, u.shallow_clone(), -along(&jacobian), &self.context(m, batch)?, batch);
            let name = format!("{} of member {m}", density.name());
            Ok(Score::new(name, loss.masked_fill(&outside, f64::INFINITY), &[m]))
        };
        self.members.iter().enumerate().map(own).collect()
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        let Some(linear) = &self.linear else { return Ok(()) };
        linear_gaussian::fit(linear, &|batch| Ok((self.seen(0, batch)?, batch.vector("theta")?)), all)
    }

    fn conclude(&self, held: &mut dyn Stream) -> Result<()> {
        let Some(kept) = &self.shares else { return Ok(()) };
        let ln = held.gather(&mut |batch| Ok(Tensor::stack(&self.each(batch, batch.array("theta")?)?, 1)))?;
        stacking::settle(kept, &ln);
        Ok(())
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
        let one = self.one(&batch, &theta)?;
        Ok(stacking::mixture(&host(&self.shares()), one)?.view([-1, m]))
    }

    fn draw(&self, batch: &Batch, block: usize, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        let (draws, p, kind) = (draws as i64, self.p, self.parts[0].vs.kind());
        let (mut theta, mut ln, mut member) = (Vec::new(), Vec::new(), Vec::new());
        let pick = WeightedIndex::new(host(&self.shares())).expect("shares add up to 1");
        for (row, &seed) in seeds.iter().enumerate() {
            // Draws of a universe depend on its seed alone, not on the rank or batch it is in.
            let mut rng = stream(seed, 0, "posterior draws", 0);
            let members: Vec<usize> = (0..draws).map(|_| pick.sample(&mut rng)).collect();
            let z: Vec<f64> = (0..draws * p).map(|_| StandardNormal.sample(&mut rng)).collect();
            let (one, device) = (batch.rows(&[row]), batch.device());
            let z = Tensor::from_slice(&z).view([draws, p]).to_device(device).to_kind(kind);
            let mut out = Tensor::zeros([draws, p], (Kind::Double, device));
            let x = self.seen(0, &one)?;
            for m in 0..=self.members.len() {
                let own: Vec<i64> = (0..draws).filter(|&d| members[d as usize] == m).collect();
                if own.is_empty() {
                    continue;
                }
                let own = Tensor::from_slice(&own).to_device(device);
                let of = |t: &Tensor| t.expand([own.size()[0], t.size()[1]], true);
                let mut u = z.index_select(0, &own);
                if let Some(member) = self.members.get(m) {
                    u = member.density.inverse(&u, &of(&self.context(m, &one)?));
                }
                let theta = match &self.linear {
                    Some(linear) => linear.inverse(&u, &of(&x)),
                    None => self.unbounded.inverse(&u),
                };
                out = out.index_copy(0, &own, &theta);
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
