//! The means that a model's step has: a loss becomes one gradient, one sum over ranks, one step of the parts that it names.

use super::StageConfig;
use super::optimiser::{Flat, joined, summed};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::{Batch, Turn};
use tch::{Kind, Tensor};

/// One step of the trainer.
pub(super) struct Means<'a> {
    comm: &'a Comm,
    flats: &'a mut [Flat],
    /// This rank's weights (n), and their sum over all ranks.
    weights: &'a Tensor,
    total: f64,
    rate: f64,
    config: &'a StageConfig,
    /// Parts that must not move.
    pub frozen: Vec<usize>,
    pub number: u64,
    /// Off only in the test that shows that the reduction matters.
    pub reduce: bool,
    /// Each loss, times the weights that it is a mean over; this rank's share.
    losses: Vec<(String, f64)>,
}

impl<'a> Means<'a> {
    /// Collective.
    pub fn new(comm: &'a Comm, flats: &'a mut [Flat], batch: &'a Batch, rate: f64, config: &'a StageConfig) -> Self {
        let total = comm.sum_of(batch.weights.sum(Kind::Double).double_value(&[]));
        let weights = &batch.weights;
        let (frozen, losses) = (vec![], vec![]);
        Means { comm, flats, weights, total, rate, config, frozen, number: 0, reduce: true, losses }
    }

    /// Mean of each loss over the batch of all ranks. Collective.
    pub fn losses(self) -> Vec<(String, f64)> {
        let (names, mut values): (Vec<String>, Vec<f64>) = self.losses.into_iter().unzip();
        self.comm.sum(&mut values);
        names.into_iter().zip(values.into_iter().map(|v| v / self.total)).collect()
    }

    /// Refuses what is no loss of these parts.
    fn check(&self, name: &str, of: &Tensor, dims: usize, parts: &[usize]) -> Result<()> {
        let bad = |problem: String| Err(Error::failed(format!("loss {name}: {problem}")));
        let (size, n) = (of.size(), self.weights.size()[0]);
        if size.len() != dims || size[0] != n {
            let k = if dims == 2 { ", k" } else { "" };
            return bad(format!("has the shape {size:?}, and not ({n}{k}): one row for each sample is needed"));
        }
        let part = |p: &usize| self.flats.get(*p).map_or_else(|| format!("number {p}"), |flat| flat.name.clone());
        if let Some(p) = parts.iter().find(|p| **p >= self.flats.len() || self.frozen.contains(p)) {
            return bad(format!("is to move part {}, which is frozen or not there", part(p)));
        }
        if parts.is_empty() || (1..parts.len()).any(|i| parts[..i].contains(&parts[i])) {
            return bad(format!("names parts {parts:?}, and not each of some once"));
        }
        Ok(())
    }

    /// This rank's gradient of a number by the variables of some parts, one after another.
    fn gradient(&self, name: &str, value: &Tensor, parts: &[usize]) -> Result<Tensor> {
        let bad = |problem: String| Error::failed(format!("loss {name}: {problem}"));
        let variables: Vec<&Tensor> = parts.iter().flat_map(|&p| &self.flats[p].variables).collect();
        let found = match value.requires_grad() {
            // The graph is kept: another loss may go through a part of it that has not moved.
            true => Tensor::f_run_backward(&[value], &variables, true, false).map_err(|e| {
                let text = e.to_string();
                match text.contains("modified by an inplace operation") {
                    true => bad("it goes through weights that an earlier loss of this step has moved".into())
                        .remedy("compute it anew from the batch, after that loss"),
                    false => bad(format!("has no gradient: {}", text.lines().next().unwrap_or_default())),
                }
            })?,
            false => variables.iter().map(|_| Tensor::new()).collect(),
        };
        let mut at = 0;
        for &p in parts {
            let own = &found[at..at + self.flats[p].variables.len()];
            if !own.iter().any(Tensor::defined) {
                return Err(bad(format!("does not depend on the weights of part {}", self.flats[p].name)));
            }
            at += own.len();
        }
        let whole = |(g, of): (&Tensor, &&Tensor)| if g.defined() { g.shallow_clone() } else { of.zeros_like() };
        Ok(joined(found.iter().zip(&variables).map(whole)))
    }

    /// One step of the parts down this rank's share of a loss. Collective.
    fn descend(&mut self, name: &str, value: Result<Tensor>, parts: &[usize]) -> Result<()> {
        let gradient = value.and_then(|value| self.gradient(name, &value, parts));
        let gradient = self.comm.agree(gradient)?;
        let gradient = if self.reduce { summed(self.comm, &gradient)? } else { gradient };
        let mut at = 0;
        for &p in parts {
            let flat = &mut self.flats[p];
            let n = flat.parameters.numel() as i64;
            let mut own = gradient.narrow(0, at, n);
            at += n;
            let clip = self.config.clip;
            if clip > 0.0 {
                let norm = own.norm().double_value(&[]);
                if norm > clip {
                    own *= clip / norm;
                }
            }
            flat.step(&own, self.rate, self.config.weight_decay);
        }
        Ok(())
    }
}

impl Turn for Means<'_> {
    fn minimise(&mut self, name: &str, loss: &Tensor, parts: &[usize]) -> Result<()> {
        let share =
            self.check(name, loss, 1, parts).map(|()| (loss * self.weights.to_kind(loss.kind())).sum(loss.kind()));
        self.losses.push((name.into(), share.as_ref().map_or(f64::NAN, |s| s.double_value(&[]))));
        let total = self.total;
        self.descend(name, share.map(|share| share / total), parts)
    }

    fn minimise_of_means(
        &mut self,
        name: &str,
        columns: &Tensor,
        f: &dyn Fn(&Tensor) -> Tensor,
        parts: &[usize],
    ) -> Result<()> {
        self.comm.agree(self.check(name, columns, 2, parts))?;
        let weights = self.weights.to_kind(columns.kind()).unsqueeze(1) / self.total;
        let share = (columns * weights).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
        let means = summed(self.comm, &share.detach())?.set_requires_grad(true);
        let value = f(&means);
        let slope = match value.requires_grad() && value.numel() == 1 {
            true => Tensor::f_run_backward(&[&value], &[&means], false, false).map_err(|e| e.to_string()),
            false => Err("what is made of the means is not one number that depends on them".into()),
        };
        let slope = self.comm.agree(slope.map_err(|e| Error::failed(format!("loss {name}: {e}"))))?.swap_remove(0);
        // All ranks have the same means and the same value: one of them tells it.
        let told = if self.comm.is_root() { self.total * value.double_value(&[]) } else { 0.0 };
        self.losses.push((name.into(), told));
        // dL/dw = Σ_k dL/dm_k dm_k/dw, and m_k is a sum over samples.
        self.descend(name, Ok((&share * slope).sum(share.kind())), parts)
    }

    fn number(&self) -> u64 {
        self.number
    }
}
