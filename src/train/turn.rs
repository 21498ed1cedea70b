//! The means that a model's step has: a loss becomes one gradient, one sum over ranks, one step of the parts that it
//! names.

use super::StageConfig;
use super::optimiser::{Flat, joined, summed};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::{OfMeans, Turn};
use tch::{Kind, Tensor};

/// This rank's share of a loss: times the weights that it is a mean over, and these of all ranks.
#[derive(Debug, Clone)]
pub struct Share {
    pub name: String,
    pub sum: f64,
    pub weights: f64,
}

/// One step of the trainer.
pub(super) struct Means<'a> {
    pub comm: &'a Comm,
    pub flats: &'a mut [Flat],
    /// This rank's weights (n), and their sum over all ranks.
    pub weights: &'a Tensor,
    pub total: f64,
    pub rate: f64,
    pub config: &'a StageConfig,
    /// Parts that must not move.
    pub frozen: Vec<usize>,
    pub number: u64,
    /// The epoch and the step, for whoever reads an error.
    pub place: [u64; 2],
    /// Off only in the test that shows that the reduction matters.
    pub reduce: bool,
    /// This rank's shares of the losses.
    pub losses: Vec<Share>,
}

impl Means<'_> {
    /// Keeps this rank's share of a loss; refuses one that is no number, before anything follows it.
    fn keep(&mut self, name: &str, sum: f64) -> Result<()> {
        if !sum.is_finite() {
            let ([epoch, step], stage) = (self.place, &self.config.name);
            let problem = format!("the loss is {sum} ({name}) in epoch {}, step {step}", epoch + 1);
            let remedy = format!("lower train.{stage}.learning_rate, or look at the input for NaNs");
            return Err(Error::failed(problem).key(format!("train.{stage}")).remedy(remedy));
        }
        self.losses.push(Share { name: name.into(), sum, weights: self.total });
        Ok(())
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

    /// The gradient of a number by the means that it is made of, and of nothing else that moves.
    fn by_means(&self, value: &Tensor, means: &Tensor, parts: &[usize]) -> std::result::Result<Vec<Tensor>, String> {
        let weights = parts.iter().flat_map(|&p| &self.flats[p].variables);
        let of: Vec<&Tensor> = std::iter::once(means).chain(weights).collect();
        let mut slopes = Tensor::f_run_backward(&[value], &of, false, false).map_err(|e| e.to_string())?;
        if slopes.drain(1..).any(|slope| slope.defined()) {
            return Err("what is made of the means depends on weights beside them: make these a column too".into());
        }
        Ok(slopes)
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
        let total = self.total;
        let share = self.check(name, loss, 1, parts).and_then(|()| {
            let share = (loss * self.weights.to_kind(loss.kind())).sum(loss.kind());
            self.keep(name, share.double_value(&[])).map(|()| share / total)
        });
        self.descend(name, share, parts)
    }

    fn minimise_of_means(&mut self, name: &str, columns: &Tensor, f: &OfMeans<'_>, parts: &[usize]) -> Result<()> {
        self.comm.agree(self.check(name, columns, 2, parts))?;
        let weights = self.weights.to_kind(columns.kind()).unsqueeze(1) / self.total;
        let share = (columns * weights).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
        let means = summed(self.comm, &share.detach())?.set_requires_grad(true);
        let value = f(&means);
        let slope = match value.requires_grad() && value.numel() == 1 {
            true => self.by_means(&value, &means, parts),
            false => Err("what is made of the means is not one number that depends on them".into()),
        };
        let slope = slope.map_err(|e| Error::failed(format!("loss {name}: {e}"))).and_then(|slope| {
            // All ranks have the same means and the same value: one of them tells it.
            let value = value.double_value(&[]);
            self.keep(name, if self.comm.is_root() { self.total * value } else { 0.0 * value }).map(|()| slope)
        });
        // dL/dw = Σ_k dL/dm_k dm_k/dw, and m_k is a sum over samples.
        self.descend(name, slope.map(|slope| (&share * &slope[0]).sum(share.kind())), parts)
    }

    fn number(&self) -> u64 {
        self.number
    }
}
