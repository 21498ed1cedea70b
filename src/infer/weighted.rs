//! Draws of one or two parameters by weights, without chains: points of the prior, each worth its likelihood, or ratio, or
//! posterior over prior, from which draws are resampled (Rubin 1988). Their mean worth is the evidence.

use super::sampler::{Sampler, Target};
use crate::error::Result;
use crate::models::{Draws, Tensor};
use crate::rng::stream;
use rand::Rng;
use rand_distr::Open01;

/// Points of the prior for each draw, and the fewest.
const PER_DRAW: usize = 16;
const LEAST: usize = 1 << 14;
/// Most parameters.
const MOST: usize = 2;
/// What the points are worth at least, for each draw: fewer would be drawn again and again.
const WORTH: f64 = 2.0;

/// See the file's head. Where one sample's points are worth too little (a narrow posterior) it does not lead there.
pub struct Weighted;

impl Sampler for Weighted {
    fn draw(&self, target: &Target, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        let (prior, b) = (target.prior, target.prior.len());
        if b > MOST {
            return Ok(None);
        }
        let (n, m) = (seeds.len(), LEAST.max(PER_DRAW * draws));
        let (mut theta, mut ln_prob, mut ln_evidence) = (vec![], vec![], vec![]);
        for (row, &seed) in seeds.iter().enumerate() {
            let batch = target.batch.rows(&[row]);
            let one = Target { batch: &batch, ..*target };
            let mut rng = stream(seed, 0, "weighted draws", 0);
            let unit: Vec<f64> = (0..m * b).map(|_| rng.sample::<f64, _>(Open01)).collect();
            let points: Vec<f64> = unit.chunks(b).flat_map(|unit| prior.from_unit(unit)).collect();
            let tensor = Tensor::from_slice(&points).view([1, m as i64, b as i64]).to_device(batch.device());
            let ln = tch::no_grad(|| one.ln(&tensor))?;
            let worth = ln.iter().zip(points.chunks(b)).map(|(ln, theta)| ln - prior.ln_density(theta));
            let worth: Vec<f64> = worth.collect();
            let most = worth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = worth.iter().map(|ln| (ln - most).exp()).collect();
            let (sum, square) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
            // Numbers that are none are refused by whoever tries next.
            let worth = sum * sum / square;
            if !most.is_finite() || worth.is_nan() || worth < WORTH * draws as f64 {
                return Ok(None);
            }
            let evidence = if target.is_normalised() { 0.0 } else { most + (sum / m as f64).ln() };
            let (mut at, mut reached, start) = (0, weights[0], rng.random::<f64>());
            let mut chosen: Vec<usize> = vec![];
            for i in 0..draws {
                while reached < (i as f64 + start) / draws as f64 * sum && at + 1 < m {
                    at += 1;
                    reached += weights[at];
                }
                chosen.push(at);
            }
            theta.extend(chosen.iter().flat_map(|&i| points[i * b..(i + 1) * b].to_vec()));
            ln_prob.extend(chosen.iter().map(|&i| ln[i] - evidence));
            ln_evidence.push(evidence);
        }
        let device = target.batch.device();
        let theta = Tensor::from_slice(&theta).view([n as i64, draws as i64, b as i64]).to_device(device);
        let ln_prob = Tensor::from_slice(&ln_prob).view([n as i64, draws as i64]).to_device(device);
        Ok(Some(Draws { theta, ln_prob, ln_evidence, member: vec![0; n * draws], members: 1 }))
    }
}
