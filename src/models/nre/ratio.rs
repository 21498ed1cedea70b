//! The classifiers, one block of parameters after another.

use super::NreConfig;
use crate::models::eye::check_names;
use crate::models::linear_gaussian;
use crate::models::prelude::*;
use crate::models::stacking;
use crate::nets::{Linear, LnPrior, Mlp, Residual, host, kept};
use crate::prior::Prior;
use rand::seq::index;

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
    fn new(root: &tch::nn::Path, prior: &Prior, parameters: Vec<usize>, inputs: i64, marginal: bool) -> Result<Self> {
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
            called: if marginal { format!("{}: ", own.names().join(", ")) } else { String::new() },
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
                    let marginal = config.marginals > 0;
                    blocks.push(Block::new(&root, task.prior, parameters.clone(), n, marginal)?);
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
            // Copies of a universe share its parameters.
            let others = index::sample(&mut rng, n, (8 * (k + 1)).min(n)).into_iter();
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
            let losses = |share: f64| self.config.loss(&(&start + &added * share));
            let loss = |share: f64| losses(share).mean(Kind::Double).double_value(&[]);
            let best = least(loss);
            let share = if stacking::is_sure(&(losses(0.0) - losses(best))) { best } else { 0.0 };
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
        let share = host(&self.blocks[block].share)[0];
        if share == 0.0 {
            return Ok(self.blocks[block].start(&self.seen(batch)?, theta).0);
        }
        let (start, members) = self.each(block, batch, theta)?;
        Ok(start + Tensor::stack(&members, 0).mean_dim(0i64, false, Kind::Double) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_found() {
        for at in [0.0, 0.3, 0.77, 1.0] {
            assert!((least(|s| (s - at).powi(2)) - at).abs() < 1e-5);
        }
    }
}
