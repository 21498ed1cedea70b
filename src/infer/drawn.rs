//! Draws of one universe after another.

use super::{Averaged, Method, Sampler, Sampling, Target, Weighted, draw};
use crate::error::{Error, Result};
use crate::io::looks::Looks;
use crate::models::{Batch, Density, Pass, SampleId};
use crate::nets::host;
use crate::prior::Prior;
use crate::rng::stream;
use crate::train::Trained;
use rand::RngCore;
use tch::Tensor;

/// Draws of one universe depend on the campaign's seed and its number alone; those of an observation on the seed.
fn seed_of(seed: u64, id: SampleId, pass: Pass) -> u64 {
    let universe = if pass == Pass::Observation { u64::MAX } else { id.universe };
    stream(seed, universe, "posterior", id.item as u64).next_u64()
}

/// What a density is of: all parameters together, or every single one by itself, and perhaps pairs; anything else is refused.
pub(super) struct Blocks {
    /// Each with its prior; of marginals the single parameters come first, in order.
    each: Vec<(usize, Vec<usize>, Prior)>,
    /// Whether they are marginals.
    marginal: bool,
}

impl Blocks {
    pub fn of(density: &dyn Density, prior: &Prior) -> Result<Self> {
        let (p, names) = (prior.len(), prior.names());
        let mut each: Vec<(usize, Vec<usize>)> = density.blocks(p).into_iter().enumerate().collect();
        each.sort_by_key(|(block, parameters)| (parameters.len(), *block));
        let marginal = each.len() != 1 || each[0].1 != (0..p).collect::<Vec<_>>();
        let singles: Vec<usize> = each.iter().filter(|b| b.1.len() == 1).map(|b| b.1[0]).collect();
        if marginal && (singles != (0..p).collect::<Vec<_>>() || each.iter().any(|b| b.1.len() > 2)) {
            let problem = "this stage knows marginals of some parameters at a time, not of each by itself";
            let error = Error::input(problem).key("infer.posterior");
            return Err(error.remedy("name a stage that knows all marginals of one parameter, or their joint density"));
        }
        let with_prior = |(block, parameters): (usize, Vec<usize>)| {
            let own = match marginal {
                true => prior.part(|name| parameters.iter().any(|&j| names[j] == name))?,
                false => prior.clone(),
            };
            Ok((block, parameters, own))
        };
        Ok(Blocks { each: each.into_iter().map(with_prior).collect::<Result<_>>()?, marginal })
    }

    /// The priors of all, in the density's own order.
    pub fn priors(&self) -> Vec<&Prior> {
        let mut all: Vec<_> = self.each.iter().collect();
        all.sort_by_key(|(block, ..)| *block);
        all.into_iter().map(|(_, _, prior)| prior).collect()
    }

    /// Of marginals the pairs of parameters among them.
    pub fn pairs(&self) -> Option<Vec<[usize; 2]>> {
        let pair = |parameters: &Vec<usize>| <[usize; 2]>::try_from(parameters.clone()).ok();
        self.marginal.then(|| self.each.iter().filter_map(|b| pair(&b.1)).collect())
    }
}

/// Shows `f` the density that a stage has learned, averaged over views where that was asked for.
pub(super) fn with_density<R>(trained: &Trained, f: impl FnOnce(&dyn Density) -> Result<R>) -> Result<R> {
    let Some(density) = trained.model().density() else {
        let error = Error::input("this stage's model is no density of the parameters").key("infer.posterior");
        return Err(error.remedy("name a stage whose model is one"));
    };
    match trained.last().average.as_ref() {
        Some(average) => f(&Averaged { density, average }),
        None => f(density),
    }
}

/// Draws and densities of some universes, one after another.
#[derive(Default)]
pub(super) struct Drawn {
    pub rows: Vec<u64>,
    pub theta: Vec<f64>,
    pub ln_prob: Vec<f64>,
    pub ln_prob_truth: Vec<f64>,
    pub outside: Vec<f64>,
    pub most: Vec<u64>,
    pub distance: Vec<f64>,
    pub spread: Vec<f64>,
    /// What a regression says of them, where there is one.
    pub regression: Vec<f64>,
    pub r_hat: Vec<f64>,
    pub ess: Vec<f64>,
    /// Of marginals: draws of pairs of parameters (n, draws, pairs, 2), and ln p(θ_j | x) at the truths (n, p).
    pub of_pairs: Vec<f64>,
    pub ln_truth: Vec<f64>,
}

impl Drawn {
    /// Some more: samples, how they look, and what is true of them (n, p) where it is known.
    pub fn extend(
        &mut self,
        (density, prior): (&dyn Density, &Prior),
        batch: &Batch,
        looks: Looks,
        truth: Option<&[f64]>,
        how: Sampling,
    ) -> Result<()> {
        let blocks = Blocks::of(density, prior)?;
        self.outside.extend(looks.outside);
        self.most.extend(looks.most);
        self.distance.extend(looks.distance);
        self.rows.extend(batch.ids.iter().map(|id| id.universe));
        let seeds: Vec<u64> = batch.ids.iter().map(|&id| seed_of(how.seed, id, batch.pass)).collect();
        tch::no_grad(|| match blocks.marginal {
            true => self.extend_marginals(density, &blocks, batch, truth, how, &seeds),
            false => self.extend_joint(density, prior, batch, truth, how, &seeds),
        })
    }

    fn extend_joint(
        &mut self,
        density: &dyn Density,
        prior: &Prior,
        batch: &Batch,
        truth: Option<&[f64]>,
        how: Sampling,
        seeds: &[u64],
    ) -> Result<()> {
        let target = Target { density, block: 0, batch, prior };
        let (drawn, mixing) = draw(&target, how.method, how.draws, seeds)?;
        for found in mixing {
            self.r_hat.extend(found.r_hat);
            self.ess.extend(found.ess);
        }
        let theta = host(&drawn.theta);
        self.spread.extend(spreads(&theta, prior.len(), how.draws, &drawn.member, drawn.members));
        self.theta.extend(theta);
        self.ln_prob.extend(host(&drawn.ln_prob));
        if let Some(truth) = truth {
            self.ln_prob_truth.extend(at_truths(&target, truth, &drawn.ln_evidence)?);
        }
        Ok(())
    }

    /// One block after another: of single parameters, a column of `theta` each, and of pairs.
    fn extend_marginals(
        &mut self,
        density: &dyn Density,
        blocks: &Blocks,
        batch: &Batch,
        truth: Option<&[f64]>,
        how: Sampling,
        seeds: &[u64],
    ) -> Result<()> {
        let (n, draws) = (batch.len(), how.draws);
        let k = blocks.each.iter().filter(|b| b.1.len() == 2).count();
        let p = blocks.each.len() - k;
        let (mut theta, mut of_pairs) = (vec![0.0; n * draws * p], vec![0.0; n * draws * k * 2]);
        let mut ln_truth = vec![f64::NAN; n * p];
        let (mut r_hat, mut ess) = (vec![f64::NAN; n * p], vec![f64::NAN; n * p]);
        for (at, (block, parameters, prior)) in blocks.each.iter().enumerate() {
            // Each by itself: another way that one of them needs changes no other's draws.
            for (row, seed) in seeds.iter().enumerate() {
                let one = batch.rows(&[row]);
                let target = Target { density, block: *block, batch: &one, prior };
                let (drawn, mixing) = match Weighted.draw(&target, draws, &[*seed])? {
                    Some(drawn) => (drawn, vec![]),
                    None => draw(&target, how.method, draws, &[*seed])?,
                };
                let own = host(&drawn.theta);
                if at >= p {
                    for (i, pair) in own.chunks(2).enumerate() {
                        of_pairs[((row * draws + i) * k + at - p) * 2..][..2].copy_from_slice(pair);
                    }
                    continue;
                }
                own.iter().enumerate().for_each(|(i, t)| theta[(row * draws + i) * p + at] = *t);
                if let [found] = &mixing[..] {
                    (r_hat[row * p + at], ess[row * p + at]) = (found.r_hat[0], found.ess[0]);
                }
                if let Some(truth) = truth {
                    let own = truth[row * p + parameters[0]];
                    ln_truth[row * p + at] = at_truths(&target, &[own], &drawn.ln_evidence)?[0];
                }
            }
        }
        self.theta.extend(theta);
        // Of all parameters together nothing is known.
        self.ln_prob.extend(vec![f64::NAN; n * draws]);
        self.ln_prob_truth.extend(vec![f64::NAN; n]);
        self.spread.extend(vec![f64::NAN; n * p]);
        // NaN where weights did.
        if how.method != Method::Tempered {
            self.r_hat.extend(r_hat);
            self.ess.extend(ess);
        }
        self.of_pairs.extend(of_pairs);
        self.ln_truth.extend(ln_truth);
        Ok(())
    }
}

/// ln p(truth | x) of each sample, whose truths are (n, b).
fn at_truths(target: &Target, truth: &[f64], ln_evidence: &[f64]) -> Result<Vec<f64>> {
    let n = target.batch.len() as i64;
    let truth = Tensor::from_slice(truth).view([n, 1, -1]).to_device(target.batch.device());
    Ok(target.ln(&truth)?.iter().zip(ln_evidence).map(|(ln, evidence)| ln - evidence).collect())
}

/// Standard deviation of the members' means over that of all draws, (n, p), without what the number of draws makes of it;
/// draws of no member (of the linear model beside them) have no say.
fn spreads(theta: &[f64], p: usize, draws: usize, member: &[usize], members: usize) -> Vec<f64> {
    let moments = |values: &[f64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
    };
    let one = |draws: &[f64], member: &[usize], j: usize| {
        let column: Vec<f64> = draws.iter().skip(j).step_by(p).copied().collect();
        // Of a member: how many draws it has, their mean and variance.
        let of = |m| {
            let own: Vec<f64> = column.iter().zip(member).filter(|(_, k)| **k == m).map(|(v, _)| *v).collect();
            let (mean, variance) = moments(&own);
            (own.len() as f64, mean, variance)
        };
        let found: Vec<(f64, f64, f64)> = (0..members).map(of).filter(|(n, ..)| *n > 1.0).collect();
        if found.len() < 2 {
            return f64::NAN;
        }
        let total: f64 = found.iter().map(|(n, ..)| n).sum();
        // By the draws that each has; of equal members the usual variance.
        let weighted =
            |f: &dyn Fn(f64, f64) -> f64| found.iter().map(|&(n, m, v)| n / total * f(m, v / n)).sum::<f64>();
        let middle = weighted(&|mean, _| mean);
        let (between, noise) = (weighted(&|mean, _| (mean - middle).powi(2)), weighted(&|_, noise| noise));
        let between = between / (1.0 - found.iter().map(|(n, ..)| (n / total).powi(2)).sum::<f64>());
        let all = moments(&column).1;
        if between > 0.0 && all > 0.0 { ((between - noise).max(0.0) / all).sqrt() } else { between / all }
    };
    let universes = theta.chunks(draws * p).zip(member.chunks(draws));
    universes.flat_map(|(d, m)| (0..p).map(|j| one(d, m, j)).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_the_members_means_without_the_noise_of_few_draws() {
        let mut rng = stream(3, 0, "spread", 0);
        let mut gauss = || {
            <rand_distr::StandardNormal as rand_distr::Distribution<f64>>::sample(&rand_distr::StandardNormal, &mut rng)
        };
        let member: Vec<usize> = (0..400).map(|i| i % 4).collect();
        let same: Vec<f64> = member.iter().map(|_| gauss()).collect();
        assert!(spreads(&same, 1, 400, &member, 4)[0] < 0.15);
        // Means at ±1: a standard deviation of 2/√3 over one of √(1 + 1).
        let apart: Vec<f64> = member.iter().map(|&m| gauss() + if m < 2 { 1.0 } else { -1.0 }).collect();
        assert!((spreads(&apart, 1, 400, &member, 4)[0] - (4.0f64 / 3.0 / 2.0).sqrt()).abs() < 0.1);
        assert!(spreads(&same, 1, 400, &vec![0; 400], 1)[0].is_nan(), "one member says nothing");
        // All draws are of the linear model, member number 4 of 4.
        assert!(spreads(&same, 1, 400, &vec![4; 400], 4)[0].is_nan(), "none says nothing");
    }
}
