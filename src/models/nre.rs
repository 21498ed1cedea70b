//! Neural ratio estimation: classifiers that tell a sample's own parameters from strangers' have ln p(x | θ)/p(x) as their
//! logit. NRE-A (Hermans, Begy & Louppe 2020, arXiv:1903.04057), NRE-B (Durkan, Murray & Papamakarios 2020, arXiv:2002.03712)
//! and NRE-C (Miller, Weniger & Forré 2022, arXiv:2210.06170).
//!
//! A classifier adds to the ratio of a linear model's posterior to the prior, ln r = ln q_lin(θ | x)/p(θ) + s f(x, θ): it begins
//! where easy posteriors are, and the share s of what it has learned is what the held-out samples bear out.

use super::{eye::check_names, linear_gaussian, prelude::*};
use crate::error::suggestion;
use crate::limits;
use crate::nets::{Linear, LnPrior, Mlp, MlpConfig, Residual, ResidualConfig, Transform, Transforms, host, kept};
use crate::prior::Prior;
use rand::seq::index;

/// What tells a sample's own parameters from strangers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// NRE-A: its own from one stranger's.
    A,
    /// NRE-B: its own among its own and `partners` strangers'; the ratio is free to have a factor that depends on x alone.
    B,
    /// NRE-C: whether its own is among `partners`, and which; the ratio is p(x | θ)/p(x).
    #[default]
    C,
}

/// Ratio estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NreConfig {
    /// Classifiers whose logits are averaged.
    pub ensemble: usize,
    /// `"a"`: a sample's own parameters are told from one stranger's; `"b"`: from `partners` strangers', up to a factor that
    /// depends on x; `"c"`: whether they are among `partners`, and which.
    pub loss: Loss,
    /// Strangers whose parameters are put beside each sample, out of the batch of all ranks; `"a"` has one.
    pub partners: usize,
    /// Odds of `"c"` that a sample's own parameters are among them.
    pub gamma: f64,
    /// Of the inputs, as for `npe`.
    pub transform: Transforms,
    /// Outputs of a network before the classifier; 0: the inputs go to it as they are.
    pub embedding: i64,
    /// The embedding network.
    pub mlp: MlpConfig,
    /// Each classifier.
    pub classifier: ResidualConfig,
    /// 0: the ratio of all parameters together. 1: of each by itself, a marginal. 2: of each, and of pairs.
    pub marginals: usize,
    /// Pairs of parameters by their names, `[["Omega_m", "sigma8"]]`, for `marginals = 2`; none: all pairs.
    pub pairs: Vec<[String; 2]>,
}

impl Default for NreConfig {
    fn default() -> Self {
        NreConfig {
            ensemble: 2,
            loss: Loss::C,
            partners: 15,
            gamma: 1.0,
            transform: Transform::Auto.into(),
            embedding: 0,
            mlp: MlpConfig::default(),
            classifier: ResidualConfig::default(),
            marginals: 0,
            pairs: vec![],
        }
    }
}

impl NreConfig {
    /// Strangers beside each sample.
    fn strangers(&self) -> usize {
        if self.loss == Loss::A { 1 } else { self.partners }
    }

    /// How many blocks of parameters there are, of p.
    fn count(&self, p: usize) -> usize {
        match (self.marginals, self.pairs.len()) {
            (0, _) => 1,
            (1, _) => p,
            (_, 0) => p + p * p.saturating_sub(1) / 2,
            (_, pairs) => p + pairs,
        }
    }

    /// The parameters of each ratio.
    fn blocks(&self, prior: &Prior) -> Result<Vec<Vec<usize>>> {
        let (p, names) = (prior.len(), prior.names());
        let mut all: Vec<Vec<usize>> = match self.marginals {
            0 => vec![(0..p).collect()],
            _ => (0..p).map(|j| vec![j]).collect(),
        };
        if self.marginals == 2 && self.pairs.is_empty() {
            all.extend((0..p).flat_map(|i| (i + 1..p).map(move |j| vec![i, j])));
        }
        for pair in &self.pairs {
            let refused = |problem: &str, remedy: String| {
                Err(Error::input(problem).key("train.network.pairs").value(pair.join(", ")).remedy(remedy))
            };
            let mut own = vec![];
            for name in pair {
                match names.iter().position(|known| known == name) {
                    Some(j) => own.push(j),
                    None => {
                        return refused("no parameter is called so", suggestion(name, &names, "there are no others"));
                    }
                }
            }
            own.sort_unstable();
            if own[0] == own[1] || all.contains(&own) {
                return refused("is no pair, or there twice", "give two parameters, each pair once".into());
            }
            if self.marginals == 2 {
                all.push(own);
            }
        }
        Ok(all)
    }

    /// The loss (n) of logits of a sample's own parameters and of strangers', (n, 1 + K).
    fn loss(&self, logits: &Tensor) -> Tensor {
        let k = logits.size()[1] - 1;
        let own = logits.select(1, 0);
        let of = |from: i64, len: i64| logits.narrow(1, from, len).logsumexp(1i64, false);
        if self.loss == Loss::B {
            return of(0, k + 1) - own;
        }
        // NRE-A is NRE-C with one of each, at even odds.
        let gamma = if self.loss == Loss::A { 1.0 } else { self.gamma };
        let odds = (gamma / k as f64).ln();
        // −ln of the probability that none of K is its own, and that of them its own is.
        let none = |all: Tensor| (all + odds).softplus();
        let among = none(of(0, k)) - own - odds;
        (none(of(1, k)) + among * gamma) / (1.0 + gamma)
    }
}

impl Section for NreConfig {
    fn sizes(&self) -> Vec<Size> {
        // Nobody averages more than 64 members.
        let count = |n: usize| n.min(i64::MAX as usize) as i64;
        let own = vec![
            ("ensemble", count(self.ensemble), [1, 64]),
            ("partners", count(self.partners), [1, limits::PARTNERS as i64]),
            ("embedding", self.embedding, [0, limits::UNITS as i64]),
            ("marginals", count(self.marginals), [0, 2]),
        ];
        [self.mlp.sizes(), self.classifier.sizes(), own].concat()
    }

    fn unused(&self, _: &[FieldSpec]) -> Option<(&'static str, String)> {
        let default = NreConfig::default();
        if self.loss == Loss::A && self.partners != default.partners {
            return Some(("partners", "loss = \"a\" has one for each sample".into()));
        }
        if self.loss != Loss::C && self.gamma != default.gamma {
            return Some(("gamma", "it belongs to loss = \"c\"".into()));
        }
        if self.marginals != 2 && !self.pairs.is_empty() {
            return Some(("pairs", "they belong to marginals = 2".into()));
        }
        let idle = self.embedding == 0 && self.mlp != default.mlp;
        idle.then(|| ("mlp", "it is the embedding's, and embedding = 0 leaves the inputs as they are".into()))
    }

    fn density(&self) -> Option<Estimand> {
        Some(Estimand::Ratio)
    }

    fn is_joint(&self) -> bool {
        self.marginals == 0
    }

    fn patience(&self) -> u64 {
        5
    }

    fn weights(&self, inputs: usize, p: usize) -> f64 {
        let (inputs, count) = (inputs as f64, self.count(p) as f64);
        let numbers = 2.0 * if self.marginals == 0 { p as f64 } else { self.marginals as f64 };
        let (embedded, context) = match self.embedding {
            0 => (0.0, inputs),
            e => (self.mlp.weights(inputs, e as f64), e as f64),
        };
        self.ensemble as f64 * count * (embedded + self.classifier.weights(context, numbers))
    }

    fn build(&self, task: &Task) -> Result<Box<dyn Model>> {
        if !(self.gamma > 0.0 && self.gamma.is_finite()) {
            let error = Error::input("must be above 0").key("train.network.gamma").value(self.gamma);
            return Err(error.remedy("1 is usual: its own parameters are there half of the time"));
        }
        Ok(Box::new(Nre::new(self, task)?))
    }
}

/// One classifier, a part of the model.
struct Member {
    embedding: Option<Mlp>,
    net: Residual,
}

/// The ratio of some of the parameters, b.
struct Block {
    parameters: Vec<usize>,
    /// The same, as an index.
    columns: Tensor,
    /// Of marginals their names, and a colon.
    called: String,
    linear: Linear,
    prior: LnPrior,
    /// What brings the coordinates of the linear model to mean 0 and order 1, (b) each.
    centre: Tensor,
    scale: Tensor,
    /// Of what the classifiers add.
    share: Tensor,
}

impl Block {
    fn new(root: &tch::nn::Path, prior: &Prior, parameters: Vec<usize>, inputs: i64) -> Result<Self> {
        let device = root.device();
        let names = prior.names();
        let own = prior.part(|name| parameters.iter().any(|&j| names[j] == name))?;
        let boxed: Vec<bool> = own.parameters.iter().map(|q| q.distribution.coordinate().boxed).collect();
        let of = |inside: f64, else_: f64| {
            let each: Vec<f64> = boxed.iter().map(|&boxed| if boxed { inside } else { else_ }).collect();
            Tensor::from_slice(&each).to_device(device)
        };
        let columns: Vec<i64> = parameters.iter().map(|&j| j as i64).collect();
        Ok(Block {
            columns: Tensor::from_slice(&columns).to_device(device),
            called: if own.len() < prior.len() { format!("{}: ", own.names().join(", ")) } else { String::new() },
            parameters,
            linear: Linear::new(&(root / "linear"), &own, inputs),
            prior: LnPrior::new(&own, device),
            centre: of(0.5, 0.0),
            scale: of(12f64.sqrt(), 1.0),
            share: kept(root, "share", &[], 1.0),
        })
    }

    /// Its parameters of θ (n, …, p).
    fn of(&self, theta: &Tensor) -> Tensor {
        theta.index_select(-1, &self.columns)
    }

    /// ln q_lin(θ | x)/p(θ) (n, m) of inputs z (n, inputs) and points θ (n, m, b), and how the classifiers see the points,
    /// (n, m, 2b): the prior's coordinates, and the linear posterior's, of which far ones lie closer.
    fn start(&self, z: &Tensor, theta: &Tensor) -> (Tensor, Tensor) {
        let [n, m, b] = theta.size()[..] else { unreachable!("points are (n, m, b)") };
        let flat = theta.to_kind(Kind::Double).reshape([n * m, b]);
        let t = self.linear.project(z).unsqueeze(1).expand([n, m, b], true).reshape([n * m, b]);
        let (u, slope) = self.linear.given(&flat, &t, Kind::Double);
        let each = u.square() * -0.5 - slope - 0.5 * std::f64::consts::TAU.ln();
        let outside = self.linear.outside(&flat);
        // Nothing is taken of the prior where it has no density.
        let ln = each.sum_dim_intlist(-1i64, false, Kind::Double) - self.prior.of(&flat).masked_fill(&outside, 0.0);
        let r = (self.linear.coordinates(&flat) - &self.centre) * &self.scale;
        let seen = Tensor::cat(&[r, u.asinh()], 1).view([n, m, 2 * b]);
        (ln.masked_fill(&outside, f64::NEG_INFINITY).view([n, m]), seen)
    }
}

/// Classifiers: `ensemble` of each block, one block after another.
pub struct Nre {
    config: NreConfig,
    parts: Vec<Part>,
    eyes: Vec<Eye>,
    members: Vec<Member>,
    blocks: Vec<Block>,
}

impl Nre {
    /// For samples of such fields, as one vector.
    pub fn new(config: &NreConfig, task: &Task) -> Result<Self> {
        let inputs = task.arrays()?;
        let mut eyes: Vec<Eye> = inputs.iter().map(Eye::vector).collect();
        let n = eyes.iter().map(|eye| eye.shape[0]).sum();
        let (mut parts, mut members, mut blocks) = (vec![], vec![], vec![]);
        for (b, parameters) in config.blocks(task.prior)?.into_iter().enumerate() {
            for m in 0..config.ensemble {
                let part = task.part(format!("member{}", b * config.ensemble + m));
                let root = part.vs.root();
                for (i, eye) in eyes.iter_mut().enumerate() {
                    let own = if inputs.len() == 1 { "input".to_string() } else { format!("input{i}") };
                    eye.keep(&(&root / own), &config.transform);
                }
                let (embedding, context) = match config.embedding {
                    0 => (None, n),
                    e => (Some(Mlp::new(&(&root / "embedding"), n, e, &config.mlp)), e),
                };
                let numbers = 2 * parameters.len() as i64;
                let net = Residual::new(&(&root / "classifier"), context, numbers, &config.classifier);
                members.push(Member { embedding, net });
                if m == 0 {
                    blocks.push(Block::new(&root, task.prior, parameters.clone(), n)?);
                }
                parts.push(part);
            }
        }
        check_names(&config.transform, &eyes)?;
        Ok(Nre { config: config.clone(), parts, eyes, members, blocks })
    }

    /// The inputs, standardised, (n, inputs).
    fn seen(&self, batch: &Batch) -> Result<Tensor> {
        let each = self.eyes.iter().map(|eye| Ok(eye.look(0, batch)?.0)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&each, 1))
    }

    /// Of a block at points θ (n, m, b): where its ratio begins, and what each of its classifiers adds, (n, m) each.
    fn each(&self, block: usize, batch: &Batch, theta: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let z = self.seen(batch)?;
        let (start, points) = self.blocks[block].start(&z, theta);
        let points = points.to_kind(self.parts[0].vs.kind());
        let own = |member: &Member| {
            let context = member.embedding.as_ref().map_or_else(|| z.shallow_clone(), |net| net.forward(&z));
            member.net.forward(&context, &points).to_kind(Kind::Double)
        };
        let members = block * self.config.ensemble..(block + 1) * self.config.ensemble;
        Ok((start, self.members[members].iter().map(own).collect()))
    }

    /// A sample's own parameters and strangers', (n, 1 + K, p).
    fn candidates(&self, batch: &Batch, strangers: &Tensor) -> Result<Tensor> {
        Ok(Tensor::cat(&[&batch.array("theta")?.unsqueeze(1), strangers], 1))
    }

    /// The same out of all of the held-out ones, whichever batch they are in.
    fn held_candidates(&self, batch: &Batch, all: &Tensor) -> Result<Tensor> {
        let (own, n, k) = (batch.array("theta")?, all.size()[0] as usize, self.config.strangers());
        let p = all.size()[1] as usize;
        let (own, rows) = (host(own), host(all));
        let mut chosen = vec![];
        for (mut rng, own) in batch.streams("strangers").zip(own.chunks(p)) {
            let others = index::sample(&mut rng, n, (k + 1).min(n)).into_iter();
            let others = others.filter(|&i| rows[i * p..(i + 1) * p] != *own).take(k);
            chosen.extend(others.map(|i| i as i64));
        }
        if chosen.len() != k * batch.len() {
            let problem =
                format!("puts {k} others beside each sample, and too few for validation differ in their parameters");
            return Err(Error::input(problem).key("train.network.partners").remedy("lower it"));
        }
        let strangers = all.index_select(0, &Tensor::from_slice(&chosen).to_device(all.device()));
        self.candidates(batch, &strangers.view([batch.len() as i64, k as i64, p as i64]))
    }
}

/// The number from 0 to 1 at which a function with one minimum is least (golden section).
fn least(f: impl Fn(f64) -> f64) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..30 {
        let [a, b] = [high - golden * (high - low), low + golden * (high - low)];
        if f(a) < f(b) { high = b } else { low = a }
    }
    [0.0, 0.5 * (low + high), 1.0].into_iter().min_by(|&a, &b| f(a).total_cmp(&f(b))).expect("three")
}

impl Model for Nre {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn partners(&self) -> usize {
        self.config.strangers()
    }

    fn score(&self, _: usize, batch: &Batch) -> Result<Vec<Score>> {
        let theta = self.candidates(batch, &batch.others("theta", self.config.strangers())?)?;
        let mut all = vec![];
        for (b, block) in self.blocks.iter().enumerate() {
            let (start, members) = self.each(b, batch, &block.of(&theta))?;
            for own in members {
                let (m, loss) = (all.len(), self.config.loss(&(&start + own)));
                all.push(Score::new(format!("loss of classifier {m}"), loss, &[m]));
            }
        }
        Ok(all)
    }

    fn prepare(&self, _: usize, all: &mut dyn Stream) -> Result<()> {
        self.eyes.iter().try_for_each(|eye| eye.prepare(all))?;
        self.blocks.iter().try_for_each(|block| {
            let pair = |batch: &Batch| Ok((self.seen(batch)?, block.of(&batch.vector("theta")?)));
            linear_gaussian::fit(&block.linear, &pair, all)
        })
    }

    fn conclude(&self, held: &mut dyn Stream) -> Result<()> {
        let theta = held.whole("theta")?;
        for (b, block) in self.blocks.iter().enumerate() {
            let k = self.config.strangers() as i64 + 1;
            let logits = held.gather(&mut |batch| {
                let (start, members) = self.each(b, batch, &block.of(&self.held_candidates(batch, &theta)?))?;
                Ok(Tensor::cat(&[start, Tensor::stack(&members, 0).mean_dim(0i64, false, Kind::Double)], 1))
            })?;
            let (start, added) = (logits.narrow(1, 0, k), logits.narrow(1, k, k));
            let loss = |share: f64| self.config.loss(&(&start + &added * share)).mean(Kind::Double).double_value(&[]);
            let share = least(loss);
            let _ = block.share.shallow_clone().fill_(share);
            log::info!(
                "{}the held-out samples bear out {share:.2} of what the classifiers add to the linear model's ratio; their loss is \
                 {:.3} with it, {:.3} without",
                block.called,
                loss(share),
                loss(0.0)
            );
        }
        Ok(())
    }

    fn eyes(&self) -> Vec<&Eye> {
        self.eyes.iter().collect()
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

impl Density for Nre {
    fn of(&self) -> Estimand {
        Estimand::Ratio
    }

    fn blocks(&self, _: usize) -> Vec<Vec<usize>> {
        self.blocks.iter().map(|block| block.parameters.clone()).collect()
    }

    fn ln(&self, batch: &Batch, block: usize, theta: &Tensor) -> Result<Tensor> {
        let (start, members) = self.each(block, batch, theta)?;
        Ok(start + Tensor::stack(&members, 0).mean_dim(0i64, false, Kind::Double) * &self.blocks[block].share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss_of(loss: Loss, partners: usize, gamma: f64, logits: &[f64]) -> f64 {
        let config = NreConfig { loss, partners, gamma, ..NreConfig::default() };
        config.loss(&Tensor::from_slice(logits).view([1, -1])).double_value(&[0])
    }

    /// The losses as the papers write them, by their probabilities.
    #[test]
    fn losses_are_those_of_the_papers() {
        let h = [0.7, -1.3, 2.1, 0.4];
        let e: Vec<f64> = h.iter().map(|h: &f64| h.exp()).collect();
        let sigmoid = |h: f64| 1.0 / (1.0 + (-h).exp());
        let a = -0.5 * (sigmoid(h[0]).ln() + (1.0 - sigmoid(h[1])).ln());
        assert!((loss_of(Loss::A, 1, 3.0, &h[..2]) - a).abs() < 1e-12);
        assert!((loss_of(Loss::C, 1, 1.0, &h[..2]) - a).abs() < 1e-12, "NRE-C with K = γ = 1 is NRE-A");
        let b = -(e[0] / e.iter().sum::<f64>()).ln();
        assert!((loss_of(Loss::B, 3, 1.0, &h) - b).abs() < 1e-12);
        // Eqs. 10 and 11 of Miller et al., K = 3: q(none) = K/(K + γ Σ e^h), q(k) = γ e^h_k/(K + γ Σ e^h).
        let (k, gamma) = (3.0, 2.5);
        let none = k / (k + gamma * (e[1] + e[2] + e[3]));
        let own = gamma * e[0] / (k + gamma * (e[0] + e[1] + e[2]));
        let c = -(none.ln() + gamma * own.ln()) / (1.0 + gamma);
        assert!((loss_of(Loss::C, 3, gamma, &h) - c).abs() < 1e-12);
    }

    #[test]
    fn the_least_is_found() {
        for at in [0.0, 0.3, 0.77, 1.0] {
            assert!((least(|s| (s - at).powi(2)) - at).abs() < 1e-5);
        }
    }
}
