//! Autoregressive neural spline flow: the density of parameters, given a context.
//!
//! θ → unbounded y (in a box the logit) → L layers of (conditional affine, rational-quadratic spline), each dimension
//! conditioned on the context and the dimensions before it (MADE, Germain et al. 2015; neural spline flow, Durkan et
//! al. 2019), the order reversed between layers → z ~ N(0, 1)ᵖ. No mass leaves the prior's support.

use super::spline::rational_quadratic;
use super::unbounded::Unbounded;
use crate::prior::Prior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

/// Size of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// Autoregressive layers.
    pub layers: i64,
    /// Units of each of a conditioner's two hidden layers.
    pub hidden: i64,
    /// Bins of each spline.
    pub bins: i64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        FlowConfig { layers: 3, hidden: 64, bins: 8 }
    }
}

/// Splines act on [−TAIL, TAIL].
const TAIL: f64 = 4.0;

/// One linear layer whose weights are multiplied by a mask.
struct Masked {
    linear: nn::Linear,
    mask: Tensor,
}

impl Masked {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&(&self.linear.ws * self.mask.to_kind(x.kind())), self.linear.bs.as_ref())
    }
}

/// One autoregressive layer.
struct Layer {
    context: nn::Linear,
    first: Masked,
    second: Masked,
    last: Masked,
    reversed: bool,
}

/// A conditional density over the support of a prior.
pub struct Flow {
    layers: Vec<Layer>,
    config: FlowConfig,
    unbounded: Unbounded,
    p: i64,
}

fn mask(out: &[i64], inn: &[i64]) -> Tensor {
    let values: Vec<f32> = out.iter().flat_map(|o| inn.iter().map(move |i| (i <= o) as u8 as f32)).collect();
    Tensor::from_slice(&values).view([out.len() as i64, inn.len() as i64])
}

impl Layer {
    fn new(path: &nn::Path, p: i64, context: i64, c: &FlowConfig, reversed: bool) -> Self {
        // Degrees: input i has i + 1, a hidden unit of degree g sees inputs up to g, output i sees them up to i.
        let inputs: Vec<i64> = (1..=p).collect();
        let hidden: Vec<i64> = (0..c.hidden).map(|h| h % p).collect();
        let each = 2 + 3 * c.bins - 1;
        let outputs: Vec<i64> = (0..p).flat_map(|i| std::iter::repeat_n(i, each as usize)).collect();
        let masked = |name: &str, inn: &[i64], out: &[i64], config: nn::LinearConfig| Masked {
            linear: nn::linear(path / name, inn.len() as i64, out.len() as i64, config),
            mask: mask(out, inn).to_device(path.device()),
        };
        let plain = nn::LinearConfig::default();
        // The last layer starts at zero: an untrained flow is the identity.
        let zero = nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
        Layer {
            context: nn::linear(path / "context", context, c.hidden, plain),
            first: masked("first", &inputs, &hidden, plain),
            second: masked("second", &hidden, &hidden, plain),
            last: masked("last", &hidden, &outputs, zero),
            reversed,
        }
    }

    /// (n, p, 2 + 3K − 1) parameters of each dimension from the context and the dimensions before it.
    fn parameters(&self, u: &Tensor, context: &Tensor) -> Tensor {
        let h = (self.first.forward(u) + context.apply(&self.context)).silu();
        let h = &h + self.second.forward(&h).silu();
        self.last.forward(&h).view([u.size()[0], u.size()[1], -1])
    }

    fn order(&self, u: &Tensor) -> Tensor {
        if self.reversed { u.flip([-1i64]) } else { u.shallow_clone() }
    }

    /// Towards the base: z and Σ ln |dz/du|.
    fn forward(&self, u: &Tensor, context: &Tensor, c: &FlowConfig) -> (Tensor, Tensor) {
        let u = self.order(u);
        let q = self.parameters(&u, context);
        let (shift, ln_scale) = affine(&q);
        let a = (&u - shift) * (-&ln_scale).exp();
        let (z, ln) = rational_quadratic(&a, &q.narrow(-1, 2, 3 * c.bins - 1), c.bins, TAIL, false);
        (self.order(&z), (ln - ln_scale).sum_dim_intlist(-1i64, false, None::<Kind>))
    }

    /// From the base, one dimension after another.
    fn inverse(&self, z: &Tensor, context: &Tensor, c: &FlowConfig) -> Tensor {
        let z = self.order(z);
        let mut u = Tensor::zeros_like(&z);
        for i in 0..z.size()[1] {
            let q = self.parameters(&u, context).select(1, i);
            let (shift, ln_scale) = affine(&q);
            let spline = q.narrow(-1, 2, 3 * c.bins - 1);
            let (a, _) = rational_quadratic(&z.select(1, i), &spline, c.bins, TAIL, true);
            let x = a * ln_scale.exp() + shift;
            u = Tensor::cat(&[u.narrow(1, 0, i), x.unsqueeze(1), u.narrow(1, i + 1, z.size()[1] - i - 1)], 1);
        }
        self.order(&u)
    }
}

fn affine(q: &Tensor) -> (Tensor, Tensor) {
    // A soft bound on ln scale keeps a wild step from ending a training.
    (q.select(-1, 0), (q.select(-1, 1) / 5.0).tanh() * 5.0)
}

impl Flow {
    /// A flow over the prior's support with a context of so many numbers.
    pub fn new(path: &nn::Path, prior: &Prior, context: i64, config: &FlowConfig) -> Self {
        let p = prior.len() as i64;
        let layers = (0..config.layers)
            .map(|l| Layer::new(&(path / format!("layer{l}")), p, context, config, l % 2 == 1))
            .collect();
        Flow { layers, config: config.clone(), unbounded: Unbounded::new(prior, path.device()), p }
    }

    /// ln q(θ | context) per row, in units of θ; −∞ outside the support: θ (n, p), context (n, c).
    pub fn log_prob(&self, theta: &Tensor, context: &Tensor) -> Tensor {
        let (u, jacobian) = self.unbounded.forward(theta, context.kind());
        self.ln_density(u, &jacobian, context).masked_fill(&self.unbounded.outside(theta), f64::NEG_INFINITY)
    }

    /// The same where θ is at u (n, p), with ln |dθ/du| (n, p).
    pub fn ln_density(&self, mut u: Tensor, jacobian: &Tensor, context: &Tensor) -> Tensor {
        let mut ln = -jacobian.sum_dim_intlist(-1i64, false, None::<Kind>);
        for layer in &self.layers {
            let (z, l) = layer.forward(&u, context, &self.config);
            u = z;
            ln += l;
        }
        let base = u.square().sum_dim_intlist(-1i64, false, None::<Kind>) * -0.5;
        ln + base - 0.5 * self.p as f64 * std::f64::consts::TAU.ln()
    }

    /// Maps base draws z (n, p) to θ (n, p) given the context (n, c).
    pub fn sample(&self, z: &Tensor, context: &Tensor) -> Tensor {
        self.support(&self.transport(z, context))
    }

    /// θ (n, p) in double precision, at u (n, p).
    pub fn support(&self, u: &Tensor) -> Tensor {
        self.unbounded.inverse(u)
    }

    /// The same to u (n, p).
    pub fn transport(&self, z: &Tensor, context: &Tensor) -> Tensor {
        self.layers.iter().rev().fold(z.shallow_clone(), |u, layer| layer.inverse(&u, context, &self.config))
    }
}
