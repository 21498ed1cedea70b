//! Draws by Markov chains: several for each sample, moved together, and whether they have forgotten where they began.
//!
//! They live where the prior has no bounds (`nets::Unbounded`): with u such coordinates and J = |dθ/du|, their density is
//! p(x | θ) p(θ) J, so that nothing leaks out of the prior. They begin at draws of the prior that are resampled by a power of the
//! likelihood, wider than the posterior. What is drawn goes by the sample's seed and is asked of the density one sample at a
//! time, all of its chains in one: draws depend neither on the batch nor on the ranks.
//!
//! After a warm-up that adapts steps, all that is visited counts. Where [`Mixing`] finds that the chains have not mixed, twice as
//! many steps follow and those before are forgotten, up to twice; whoever reads the draws is told what was found.

mod ensemble;
mod evidence;
mod hmc;
pub(super) mod mixing;
mod slice;
mod space;

pub use mixing::Mixing;

use super::sampler::Target;
use crate::error::Result;
use crate::models::{Draws, Tensor};
use crate::rng::{ChaCha8Rng, stream};
use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use space::Space;

/// How draws are made of likelihoods and ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From the prior to the posterior by sequential Monte Carlo, for some five parameters.
    #[default]
    Tempered,
    /// Hamiltonian Monte Carlo (Neal 2011), steps by dual averaging (Hoffman & Gelman 2014).
    Hmc,
    /// Affine-invariant stretch moves (Goodman & Weare 2010).
    Ensemble,
    /// Ensemble slice sampling (Karamanis & Beutler 2021).
    Slice,
}

impl Method {
    /// Name in the campaign file.
    pub fn name(self) -> &'static str {
        match self {
            Method::Tempered => "tempered",
            Method::Hmc => "hmc",
            Method::Ensemble => "ensemble",
            Method::Slice => "slice",
        }
    }
}

/// Times that chains which have not mixed are gone on with, each twice as long.
const DOUBLINGS: usize = 2;
/// Fewest steps that count.
const LEAST: usize = 50;

/// What moves chains.
trait Kernel {
    /// Before the first state that counts: steps are adapted. The chains may not be looked at yet.
    fn warm(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()>;
    /// One move of each chain.
    fn step(&mut self, space: &Space, chains: &mut Chains, rng: &mut ChaCha8Rng) -> Result<()>;
    /// Steps for as many draws of each chain.
    fn per_draw(&self) -> usize;
}

/// Where m chains are, u (m, b), and the logarithm of the density there (m).
struct Chains {
    u: Vec<f64>,
    ln: Vec<f64>,
    b: usize,
}

impl Chains {
    fn len(&self) -> usize {
        self.ln.len()
    }

    fn of(&self, chain: usize) -> &[f64] {
        &self.u[chain * self.b..(chain + 1) * self.b]
    }

    fn put(&mut self, chain: usize, u: &[f64], ln: f64) {
        self.u[chain * self.b..(chain + 1) * self.b].copy_from_slice(u);
        self.ln[chain] = ln;
    }

    /// Mean and covariance of points (…, b), with a little of the diagonal added.
    fn moments(points: &[f64], b: usize) -> (Vec<f64>, Array2<f64>) {
        let n = (points.len() / b) as f64;
        let mean: Vec<f64> = (0..b).map(|j| points.iter().skip(j).step_by(b).sum::<f64>() / n).collect();
        let mut covariance = Array2::zeros((b, b));
        for u in points.chunks(b) {
            for i in 0..b {
                for j in 0..b {
                    covariance[[i, j]] += (u[i] - mean[i]) * (u[j] - mean[j]) / (n - 1.0).max(1.0);
                }
            }
        }
        (0..b).for_each(|j| covariance[[j, j]] = covariance[[j, j]] * (1.0 + 1e-6) + f64::MIN_POSITIVE.sqrt());
        (mean, covariance)
    }
}

impl Method {
    /// `draws` for each sample, and how well its chains have mixed; `seeds`, one per sample, fix them. `None` for `Tempered`,
    /// which has none.
    pub fn draw(&self, target: &Target, draws: usize, seeds: &[u64]) -> Result<Option<(Draws, Vec<Mixing>)>> {
        let b = target.prior.len();
        let (mut theta, mut ln_prob, mut ln_evidence, mut mixing) = (vec![], vec![], vec![], vec![]);
        for (row, &seed) in seeds.iter().enumerate() {
            let mut kernel: Box<dyn Kernel> = match self {
                Method::Tempered => return Ok(None),
                Method::Hmc => Box::new(hmc::Hmc::new(b)),
                Method::Ensemble => Box::new(ensemble::Stretch::new(b)),
                Method::Slice => Box::new(slice::Slice),
            };
            let batch = target.batch.rows(&[row]);
            let one = Target { batch: &batch, ..*target };
            let space = Space::new(&one);
            let mut rng = stream(seed, 0, &format!("{} draws", self.name()), 0);
            let (states, found) = visited(&space, kernel.as_mut(), draws, &mut rng)?;
            let evidence = match target.is_normalised() {
                true => 0.0,
                false => evidence::ln_evidence(&space, &states, &mut rng)?,
            };
            let n = states.ln.len();
            let chosen: Vec<usize> = (0..draws).map(|i| i * n / draws).collect();
            let (own, slope) = space.theta(&chosen.iter().flat_map(|&i| states.of(i).to_vec()).collect::<Vec<_>>());
            theta.extend(own);
            ln_prob.extend(chosen.iter().zip(slope).map(|(&i, slope)| states.ln[i] - slope - evidence));
            ln_evidence.push(evidence);
            mixing.push(found);
        }
        let (n, device) = (seeds.len() as i64, target.batch.device());
        let theta = Tensor::from_slice(&theta).view([n, draws as i64, b as i64]).to_device(device);
        let ln_prob = Tensor::from_slice(&ln_prob).view([n, draws as i64]).to_device(device);
        let member = vec![0; seeds.len() * draws];
        Ok(Some((Draws { theta, ln_prob, ln_evidence, member, members: 1 }, mixing)))
    }
}

/// States that count, chain by chain, and how well they have mixed.
fn visited(space: &Space, kernel: &mut dyn Kernel, draws: usize, rng: &mut ChaCha8Rng) -> Result<(Chains, Mixing)> {
    let mut chains = space.start(rng)?;
    kernel.warm(space, &mut chains, rng)?;
    let (m, b) = (chains.len(), chains.b);
    let mut steps = (draws.div_ceil(m) * kernel.per_draw()).max(LEAST);
    for doubling in 0.. {
        let (mut u, mut ln) = (vec![0.0; m * steps * b], vec![0.0; m * steps]);
        for s in 0..steps {
            kernel.step(space, &mut chains, rng)?;
            for c in 0..m {
                u[(c * steps + s) * b..][..b].copy_from_slice(chains.of(c));
                ln[c * steps + s] = chains.ln[c];
            }
        }
        let found = Mixing::of(&u, m, b);
        if found.is_good() || doubling == DOUBLINGS {
            return Ok((Chains { u, ln, b }, found));
        }
        steps *= 2;
    }
    unreachable!("doublings end")
}
