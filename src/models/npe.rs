//! Neural posterior estimation (Papamakarios & Murray 2016; Greenberg et al. 2019): an ensemble of flows q(θ | x)
//! trained by maximum likelihood on pairs drawn from the prior and the simulator. They begin at the posterior of a linear
//! model, and what is used is the mixture of all that the held-out samples bear out, that one included (stacking, Yao et
//! al. 2018, arXiv:1704.02030).

use super::{Draws, eye::check_names, linear_gaussian, prelude::*};
use crate::limits;
use crate::nets::{Flow, FlowConfig, Linear, Mlp, MlpConfig, Transform, Transforms, host, kept, put};
use crate::rng::stream;
use rand::distr::weighted::WeightedIndex;
use rand_distr::{Distribution, StandardNormal};

/// Held-out samples that the linear model counts for beforehand, when the shares of the mixture are looked for.
const TRUST: f64 = 2.0;
/// Steps of that.
const STEPS: usize = 500;
/// Standard errors of the held-out samples above which the mixture is better than the linear model alone.
const SURE: f64 = 2.0;

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
        idle.then(|| ("mlp", "it is the embedding's, and embedding = 0 leaves the inputs as they are".into()))
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

struct Member {
    embedding: Option<Mlp>,
    flow: Flow,
}

/// The ensemble.
pub struct Npe {
    parts: Vec<Part>,
    eyes: Vec<Eye>,
    members: Vec<Member>,
    linear: Option<Linear>,
    /// What each member counts, and the linear model; `None`: all members the same.
    shares: Option<Tensor>,
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
        let root = parts[0].vs.root();
        let linear = config.linear.then(|| Linear::new(&(&root / "linear"), task.prior, n));
        let shares = config.linear.then(|| {
            let shares = kept(&root, "shares", &[members.len() as i64 + 1], 1.0 / members.len() as f64);
            // Until the held-out samples are asked.
            let _ = shares.get(members.len() as i64).fill_(0.0);
            shares
        });
        Ok(Npe { parts, eyes, members, linear, shares, p: task.prior.len() as i64 })
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

    /// ln q(θ | x) of each sample by each member, and by the linear model.
    fn each(&self, batch: &Batch, theta: &Tensor) -> Result<Vec<Tensor>> {
        let kind = self.parts[0].vs.kind();
        let Some(linear) = &self.linear else {
            let own = |(m, member): (usize, &Member)| Ok(member.flow.log_prob(theta, &self.context(m, batch)?));
            return self.members.iter().enumerate().map(own).collect();
        };
        let outside = linear.outside(theta);
        let (u, jacobian) = linear.forward(theta, &self.seen(0, batch)?, kind);
        let own = |(m, member): (usize, &Member)| {
            Ok(member.flow.ln_density(u.shallow_clone(), &jacobian, &self.context(m, batch)?))
        };
        let mut all = self.members.iter().enumerate().map(own).collect::<Result<Vec<_>>>()?;
        let ln = u.square() * -0.5 - &jacobian - 0.5 * std::f64::consts::TAU.ln();
        all.push(ln.sum_dim_intlist(1i64, false, None::<Kind>));
        Ok(all.into_iter().map(|ln| ln.masked_fill(&outside, f64::NEG_INFINITY)).collect())
    }
}

/// The shares of a mixture that make samples most likely, of whose components ln q (n, k) are known, each with so many samples
/// beforehand: by expectation and maximisation.
fn shares(ln: &Tensor, beforehand: &Tensor) -> Tensor {
    let ln = ln.nan_to_num(f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY);
    let known = ln.isfinite().any_dim(1, false).nonzero().view([-1]);
    let ln = ln.index_select(0, &known);
    let k = beforehand.numel() as i64;
    let mut shares = Tensor::full([k], 1.0 / k as f64, (Kind::Double, ln.device()));
    for _ in 0..STEPS {
        let counts =
            (&ln + shares.log()).softmax(1, Kind::Double).sum_dim_intlist(0i64, false, Kind::Double) + beforehand;
        shares = &counts / counts.sum(Kind::Double);
    }
    shares
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
        let all = self.each(batch, theta)?.into_iter().enumerate().take(self.members.len());
        Ok(all.map(|(m, ln)| Score::new(format!("−E[ln q] of member {m}"), -ln, &[m])).collect())
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        let Some(linear) = &self.linear else { return Ok(()) };
        linear_gaussian::fit(linear, &|batch| Ok((self.seen(0, batch)?, batch.vector("theta")?)), all)
    }

    fn conclude(&self, held: &mut dyn Stream) -> Result<()> {
        let Some(kept) = &self.shares else { return Ok(()) };
        let ln = held.gather(&mut |batch| Ok(Tensor::stack(&self.each(batch, batch.array("theta")?)?, 1)))?;
        let mut beforehand = vec![0.0; self.members.len()];
        beforehand.push(TRUST);
        let mixed = shares(&ln, &Tensor::from_slice(&beforehand).to_device(ln.device()));
        let of_linear = ln.select(1, beforehand.len() as i64 - 1);
        let gain = (&ln + mixed.log()).logsumexp(1i64, false) - of_linear;
        let (mean, scatter) = (gain.mean(Kind::Double).double_value(&[]), gain.std(false).double_value(&[]));
        // Shares were chosen by the same samples: a gain that these do not bear out is none, and the linear model is used alone.
        let told = mean > SURE * scatter / (ln.size()[0] as f64 - 1.0).sqrt() || mean == f64::INFINITY;
        let alone = mixed.zeros_like().index_fill(0, &Tensor::from_slice(&[beforehand.len() as i64 - 1]), 1.0);
        let (found, gain) = if told { (mixed, mean) } else { (alone, 0.0) };
        put(kept, &found);
        let each: Vec<String> = host(&found).iter().map(|share| format!("{share:.2}")).collect();
        let (linear, flows) = each.split_last().expect("the linear model has a share");
        log::info!(
            "the held-out samples give the linear model {linear} of the mixture, the flows {}; on them it is {gain:.2} nats above the \
             linear model",
            flows.join(", ")
        );
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
        let all = Tensor::stack(&self.each(&batch, &theta)?, 1).to_kind(Kind::Double);
        let all = all + self.shares().log();
        Ok(all.logsumexp(1i64, false).view([-1, m]))
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
                    u = member.flow.transport(&u, &of(&self.context(m, &one)?));
                }
                let theta = match (&self.linear, self.members.get(m)) {
                    (Some(linear), _) => linear.inverse(&u, &of(&x)),
                    (None, member) => member.expect("a member").flow.support(&u),
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
