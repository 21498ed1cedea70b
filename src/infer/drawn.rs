//! Draws of one universe after another.

use super::{Averaged, Target, draw};
use crate::error::{Error, Result};
use crate::io::looks::Looks;
use crate::models::{Batch, Density, Pass, SampleId};
use crate::nets::host;
use crate::rng::stream;
use crate::train::Trained;
use rand::RngCore;
use tch::Tensor;

/// Draws of one universe depend on the campaign's seed and its number alone; those of an observation on the seed.
fn seed_of(seed: u64, id: SampleId, pass: Pass) -> u64 {
    let universe = if pass == Pass::Observation { u64::MAX } else { id.universe };
    stream(seed, universe, "posterior", id.item as u64).next_u64()
}

/// The density that a stage has learned, of all parameters together.
fn density(trained: &Trained) -> Result<&dyn Density> {
    let p = trained.prior.len();
    let refused = |problem: &str, remedy: &str| Err(Error::input(problem).key("infer.posterior").remedy(remedy));
    match trained.model().density() {
        Some(density) if density.blocks(p) == [(0..p).collect::<Vec<_>>()] => Ok(density),
        Some(_) => refused(
            "this stage knows marginals of some parameters at a time, and draws are of all together",
            "name a stage that knows their joint density",
        ),
        None => refused("this stage's model is no density of the parameters", "name a stage whose model is one"),
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
}

impl Drawn {
    /// Some more: samples, how they look, and what is true of them (n, p) where it is known.
    pub fn extend(
        &mut self,
        trained: &Trained,
        batch: &Batch,
        looks: Looks,
        truth: Option<&[f64]>,
        draws: usize,
        seed: u64,
    ) -> Result<()> {
        let (density, prior) = (density(trained)?, &trained.prior);
        let averaged = trained.last().average.as_ref().map(|average| Averaged { density, average });
        let density = averaged.as_ref().map_or(density, |averaged| averaged as &dyn Density);
        tch::no_grad(|| {
            self.outside.extend(looks.outside);
            self.most.extend(looks.most);
            self.distance.extend(looks.distance);
            let seeds: Vec<u64> = batch.ids.iter().map(|&id| seed_of(seed, id, batch.pass)).collect();
            let target = Target { density, block: 0, batch, prior };
            let drawn = draw(&target, draws, &seeds)?;
            let theta = host(&drawn.theta);
            self.spread.extend(spreads(&theta, prior.len(), draws, &drawn.member, drawn.members));
            self.theta.extend(theta);
            self.ln_prob.extend(host(&drawn.ln_prob));
            if let Some(truth) = truth {
                let truth = Tensor::from_slice(truth).view([batch.len() as i64, 1, -1]).to_device(batch.device());
                let ln = target.ln(&truth)?;
                self.ln_prob_truth.extend(ln.iter().zip(&drawn.ln_evidence).map(|(ln, evidence)| ln - evidence));
            }
            self.rows.extend(batch.ids.iter().map(|id| id.universe));
            Ok(())
        })
    }
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
        let total: f64 = found.iter().map(|(n, ..)| n).sum();
        // By the draws that each has; of equal members the usual variance.
        let weighted =
            |f: &dyn Fn(f64, f64) -> f64| found.iter().map(|&(n, m, v)| n / total * f(m, v / n)).sum::<f64>();
        let middle = weighted(&|mean, _| mean);
        let (between, noise) = (weighted(&|mean, _| (mean - middle).powi(2)), weighted(&|_, noise| noise));
        let between = between / (1.0 - found.iter().map(|(n, ..)| (n / total).powi(2)).sum::<f64>());
        let all = moments(&column).1;
        // One member says nothing: NaN.
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
    }
}
