//! Optimisers over one flat buffer: parameters are views into it, so that a step is a handful of vector operations, the
//! gradient all-reduce one message, and a checkpoint a few tensors.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::{Optimiser, Part, Rule};
use tch::{Kind, Tensor};

/// A part's trainable parameters in one buffer, with the optimiser's state.
pub struct Flat {
    pub name: String,
    rule: Rule,
    optimiser: Optimiser,
    /// Sorted by name, so that every process has the same order.
    pub(super) variables: Vec<Tensor>,
    pub parameters: Tensor,
    pub first: Tensor,
    pub second: Tensor,
    pub steps: i64,
}

impl Flat {
    /// Moves a part's trainable variables into one buffer; `rule` is the stage's.
    pub fn new(part: &Part, rule: Rule) -> Self {
        let mut named: Vec<(String, Tensor)> =
            part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut variables: Vec<Tensor> = named.into_iter().map(|(_, t)| t).collect();
        let parameters = match variables.is_empty() {
            true => Tensor::zeros([0], (part.vs.kind(), part.vs.device())),
            false => joined(variables.iter().map(Tensor::shallow_clone)),
        };
        let parameters = parameters.detach().copy();
        let mut at = 0;
        for t in &mut variables {
            let n = t.numel() as i64;
            t.set_data(&parameters.narrow(0, at, n).view(t.size().as_slice()));
            at += n;
        }
        let (first, second) = (parameters.zeros_like(), parameters.zeros_like());
        let (name, optimiser) = (part.name.clone(), part.optimiser.clone());
        let rule = optimiser.rule.unwrap_or(rule);
        Flat { name, rule, optimiser, variables, parameters, first, second, steps: 0 }
    }

    /// Forgets the steps taken: another phase begins.
    pub fn refresh(&mut self) {
        (self.first, self.second, self.steps) = (self.parameters.zeros_like(), self.parameters.zeros_like(), 0);
    }

    /// One step along a gradient; `rate` and `decay` are the stage's.
    pub fn step(&mut self, gradient: &Tensor, rate: f64, decay: f64) {
        let (rate, decay) = (rate * self.optimiser.rate, self.optimiser.decay.unwrap_or(decay));
        tch::no_grad(|| {
            self.steps += 1;
            match self.rule {
                Rule::Sgd => {
                    let g = gradient + &self.parameters * decay;
                    let _ = self.parameters.g_sub_(&(g * rate));
                }
                Rule::Adamw => {
                    let [b1, b2] = self.optimiser.betas;
                    let _ = self.parameters.g_mul_scalar_(1.0 - rate * decay);
                    let _ = self.first.g_mul_scalar_(b1).g_add_(&(gradient * (1.0 - b1)));
                    let _ = self.second.g_mul_scalar_(b2).g_add_(&(gradient * gradient * (1.0 - b2)));
                    let t = self.steps as i32;
                    let (c1, c2) = (1.0 - f64::powi(b1, t), 1.0 - f64::powi(b2, t));
                    let update = &self.first / ((&self.second / c2).sqrt() + 1e-8) * (rate / c1);
                    let _ = self.parameters.g_sub_(&update);
                }
            }
            // Autograd counts writes to each variable, not to the buffer behind it: a graph that is older than this
            // step must not be followed any more.
            self.variables.iter().for_each(|t| drop(t.detach().reshape([-1]).narrow(0, 0, 0).zero_()));
        });
    }
}

/// Tensors as one vector.
pub(super) fn joined(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    tch::no_grad(|| Tensor::cat(&tensors.map(|t| t.flatten(0, -1)).collect::<Vec<_>>(), 0))
}

/// A vector summed over ranks. Collective.
pub(super) fn summed(comm: &Comm, t: &Tensor) -> Result<Tensor> {
    if comm.size() == 1 {
        return Ok(t.shallow_clone());
    }
    let failed = |e: tch::TchError| Error::failed(format!("the gradients cannot be reduced: {e}"));
    let host = t.to_device(tch::Device::Cpu);
    Ok(match t.kind() {
        Kind::Double => {
            let mut v = Vec::<f64>::try_from(&host).map_err(failed)?;
            comm.sum(&mut v);
            Tensor::from_slice(&v)
        }
        _ => {
            let mut v = Vec::<f32>::try_from(&host).map_err(failed)?;
            comm.sum(&mut v);
            Tensor::from_slice(&v)
        }
    }
    .to_device(t.device()))
}
