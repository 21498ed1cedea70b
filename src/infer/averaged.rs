//! A posterior averaged over views of what is observed.

use crate::error::Result;
use crate::models::{Batch, Density, Draws, Estimand};
use crate::rng::stream;
use crate::train::Average;
use rand::RngCore;
use tch::Tensor;

/// The mixture of equal parts of the posteriors of k views of a sample: p(θ | x) = Σ_v p(θ | g_v x)/k.
pub struct Averaged<'a> {
    pub density: &'a dyn Density,
    pub average: &'a Average,
}

impl Density for Averaged<'_> {
    fn of(&self) -> Estimand {
        self.density.of()
    }

    fn blocks(&self, p: usize) -> Vec<Vec<usize>> {
        self.density.blocks(p)
    }

    fn ln(&self, batch: &Batch, block: usize, theta: &Tensor) -> Result<Tensor> {
        let each = self.average.views(batch).map(|view| self.density.ln(&view?, block, theta));
        let each = each.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&each, 0).logsumexp(0i64, false) - (each.len() as f64).ln())
    }

    /// Draw number i, of at least k, is of view i modulo k: each view has as many, or one more.
    fn draw(&self, batch: &Batch, block: usize, draws: usize, seeds: &[u64]) -> Result<Option<Draws>> {
        let (n, k) = (batch.len(), self.average.views);
        let (mut parts, mut members, mut member) = (vec![], 1, vec![0; n * draws]);
        for (v, view) in self.average.views(batch).enumerate() {
            let own: Vec<usize> = (v..draws).step_by(k).collect();
            let seeds: Vec<u64> = seeds.iter().map(|&s| stream(s, v as u64, "view", 0).next_u64()).collect();
            let Some(drawn) = self.density.draw(&view?, block, own.len(), &seeds)? else { return Ok(None) };
            members = drawn.members;
            for (at, m) in drawn.member.iter().enumerate() {
                member[at / own.len() * draws + own[at % own.len()]] = *m;
            }
            parts.push((own, drawn.theta));
        }
        let order: Vec<i64> = parts.iter().flat_map(|(own, _)| own).map(|&i| i as i64).collect();
        let all = Tensor::cat(&parts.iter().map(|(_, theta)| theta).collect::<Vec<_>>(), 1);
        let order = Tensor::from_slice(&order).to_device(all.device());
        let theta = all.zeros_like().index_copy(1, &order, &all);
        let ln_prob = self.ln(batch, block, &theta)?;
        Ok(Some(Draws { theta, ln_prob, ln_evidence: vec![0.0; n], member, members }))
    }
}
