//! Optimisers over one flat buffer: parameters are views into it, so that a step is a handful of vector operations, the
//! gradient all-reduce one message, and a checkpoint a few tensors.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::models::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Rule of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Loshchilov & Hutter 2019: decoupled weight decay; β = (0.9, 0.999), ε = 1e-8.
    #[default]
    Adamw,
    /// Plain stochastic gradient descent.
    Sgd,
}

/// A part's trainable parameters in one buffer, with the optimiser's state.
pub struct Flat {
    rule: Rule,
    /// Sorted by name, so that every process has the same order.
    variables: Vec<Tensor>,
    pub parameters: Tensor,
    pub first: Tensor,
    pub second: Tensor,
    pub steps: i64,
}

impl Flat {
    /// Moves a part's trainable variables into one buffer.
    pub fn new(part: &Part, rule: Rule) -> Self {
        let mut named: Vec<(String, Tensor)> =
            part.vs.variables().into_iter().filter(|(_, t)| t.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut variables: Vec<Tensor> = named.into_iter().map(|(_, t)| t).collect();
        let parameters =
            tch::no_grad(|| Tensor::cat(&variables.iter().map(|t| t.flatten(0, -1)).collect::<Vec<_>>(), 0));
        let parameters = parameters.detach().copy();
        let mut at = 0;
        for t in &mut variables {
            let n = t.numel() as i64;
            t.set_data(&parameters.narrow(0, at, n).view(t.size().as_slice()));
            at += n;
        }
        let (first, second) = (parameters.zeros_like(), parameters.zeros_like());
        Flat { rule, variables, parameters, first, second, steps: 0 }
    }

    /// Forgets the gradients.
    pub fn zero_grad(&mut self) {
        self.variables.iter_mut().for_each(|t| t.zero_grad());
    }

    /// Gradients in the order of the buffer, summed over ranks unless `reduce` is off (a test does so). Collective.
    pub fn gradient(&self, comm: &Comm, reduce: bool) -> Result<Tensor> {
        let zero =
            |t: &Tensor| if t.grad().defined() { t.grad().flatten(0, -1) } else { t.zeros_like().flatten(0, -1) };
        let gradient = tch::no_grad(|| Tensor::cat(&self.variables.iter().map(zero).collect::<Vec<_>>(), 0));
        if comm.size() == 1 || !reduce {
            return Ok(gradient);
        }
        let failed = |e: tch::TchError| Error::failed(format!("the gradients cannot be reduced: {e}"));
        let (device, kind) = (gradient.device(), gradient.kind());
        let host = gradient.to_device(tch::Device::Cpu);
        Ok(match kind {
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
        .to_device(device))
    }

    /// One step along a gradient.
    pub fn step(&mut self, gradient: &Tensor, rate: f64, decay: f64) {
        tch::no_grad(|| {
            self.steps += 1;
            match self.rule {
                Rule::Sgd => {
                    let g = gradient + &self.parameters * decay;
                    let _ = self.parameters.g_sub_(&(g * rate));
                }
                Rule::Adamw => {
                    let (b1, b2) = (0.9, 0.999);
                    let _ = self.parameters.g_mul_scalar_(1.0 - rate * decay);
                    let _ = self.first.g_mul_scalar_(b1).g_add_(&(gradient * (1.0 - b1)));
                    let _ = self.second.g_mul_scalar_(b2).g_add_(&(gradient * gradient * (1.0 - b2)));
                    let t = self.steps as i32;
                    let (c1, c2) = (1.0 - f64::powi(b1, t), 1.0 - f64::powi(b2, t));
                    let update = &self.first / ((&self.second / c2).sqrt() + 1e-8) * (rate / c1);
                    let _ = self.parameters.g_sub_(&update);
                }
            }
        });
    }
}
