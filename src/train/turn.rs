//! The means that a model's step has: a loss becomes one gradient, one sum over ranks, one step of the parts that it
//! names.

use super::StageConfig;
use super::optimiser::{Flat, joined, summed};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::{OfMeans, Turn};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// This rank's share of a loss: times the weights that it is a mean over, and these of all ranks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Share {
    pub name: String,
    #[serde(skip)]
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
    /// Off only in the test that shows that the reduction matters.
    pub reduce: bool,
    /// This rank's shares of the losses.
    pub losses: Vec<Share>,
    /// Weights of all ranks in the part of the batch that this is.
    pub counted: f64,
    /// Gradients of the parts before, where a batch goes through in parts; steps are taken in the last one.
    pub pending: Vec<Pending>,
    pub last: bool,
    /// The loss that this rank has in hand is no finite number.
    pub spoilt: bool,
    /// Why a step was left out, in words; the same steps on every rank.
    pub skipped: Option<Skipped>,
}

/// A loss, the parts that it moves, and the sum of this rank's gradients so far.
pub(super) type Pending = (String, Vec<usize>, Tensor);

/// A step that was left out.
#[derive(Debug)]
pub(super) struct Skipped {
    pub loss: String,
    /// What this rank's share of it is, if that is no finite number.
    pub value: Option<f64>,
}

impl Means<'_> {
    /// Keeps this rank's share of a loss.
    fn keep(&mut self, name: &str, sum: f64) {
        if !sum.is_finite() {
            self.spoilt = true;
            self.skipped = Some(Skipped { loss: name.into(), value: Some(sum) });
        }
        self.losses.push(Share { name: name.into(), sum, weights: self.counted });
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
        let mut gradient = self.comm.agree(gradient)?;
        if std::mem::take(&mut self.spoilt) {
            // The sum tells all ranks.
            let _ = gradient.fill_(f64::NAN);
        }
        if let Some(at) = self.pending.iter().position(|before| before.0 == name && before.1 == parts) {
            gradient += self.pending.swap_remove(at).2;
        }
        if !self.last {
            self.pending.push((name.into(), parts.to_vec(), gradient));
            return Ok(());
        }
        let gradient = if self.reduce { summed(self.comm, gradient)? } else { gradient };
        let sizes: Vec<i64> = parts.iter().map(|&p| self.flats[p].parameters.numel() as i64).collect();
        let each = gradient.split_with_sizes(&sizes, 0);
        let norms: Vec<f64> = each.iter().map(|own| own.norm().double_value(&[])).collect();
        if !norms.iter().all(|norm| norm.is_finite()) {
            self.losses.retain(|share| share.name != name);
            self.skipped.get_or_insert_with(|| Skipped { loss: name.into(), value: None });
            return Ok(());
        }
        for ((&p, mut own), norm) in parts.iter().zip(each).zip(norms) {
            let clip = self.config.clip;
            if clip > 0.0 && norm > clip {
                own *= clip / norm;
            }
            self.flats[p].step(&own, self.rate, self.config.weight_decay);
        }
        Ok(())
    }
}

impl Turn for Means<'_> {
    fn minimise(&mut self, name: &str, loss: &Tensor, parts: &[usize]) -> Result<()> {
        let total = self.total;
        let share = self.check(name, loss, 1, parts).map(|()| {
            let share = (loss * self.weights.to_kind(loss.kind())).sum(loss.kind());
            self.keep(name, share.double_value(&[]));
            share / total
        });
        self.descend(name, share, parts)
    }

    fn minimise_of_means(&mut self, name: &str, columns: &Tensor, f: &OfMeans<'_>, parts: &[usize]) -> Result<()> {
        let whole = match self.last && self.total == self.counted {
            true => Ok(()),
            false => Err(Error::failed(format!("loss {name}: is of means over a batch, which goes through in parts"))),
        };
        self.comm.agree(whole.and_then(|()| self.check(name, columns, 2, parts)))?;
        let weights = self.weights.to_kind(columns.kind()).unsqueeze(1) / self.total;
        let share = (columns * weights).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>);
        let means = summed(self.comm, share.detach().copy())?.set_requires_grad(true);
        let value = f(&means);
        let slope = match value.requires_grad() && value.numel() == 1 {
            true => self.by_means(&value, &means, parts),
            false => Err("what is made of the means is not one number that depends on them".into()),
        };
        let slope = slope.map_err(|e| Error::failed(format!("loss {name}: {e}"))).inspect(|_| {
            // All ranks have the same means and the same value: one of them tells it.
            let value = value.double_value(&[]);
            self.keep(name, if self.comm.is_root() { self.total * value } else { 0.0 * value });
        });
        // dL/dw = Σ_k dL/dm_k dm_k/dw, and m_k is a sum over samples.
        self.descend(name, slope.map(|slope| (&share * &slope[0]).sum(share.kind())), parts)
    }

    fn number(&self) -> u64 {
        self.number
    }
}
