//! Conditional densities: the density of numbers, given a context.
//!
//! A map takes u (n, p) to z ~ N(0, 1)ᵖ, triangular given the context, so that ln q(u) = ln N(z) + ln |dz/du|; or q is a
//! mixture of Gaussians. θ is taken to unbounded u first (in a box the logit): no mass leaves the prior's support.

mod layer;
mod map;
mod mixture;

use super::unbounded::Unbounded;
use crate::prior::Prior;
use layer::Layer;
use map::Map;
use mixture::Mixture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

/// What a flow is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlowKind {
    /// Splines, each dimension given those before it (Durkan et al. 2019, arXiv:1906.04032).
    #[default]
    SplineAutoregressive,
    /// Splines, the second half of the dimensions given the first (the same).
    SplineCoupling,
    /// Shift and scale, each dimension given those before it (Papamakarios et al. 2017, arXiv:1705.07057).
    Maf,
    /// Shift and scale, the second half of the dimensions given the first (Dinh et al. 2017, arXiv:1605.08803).
    #[serde(rename = "realnvp")]
    RealNvp,
    /// Mixtures of sigmoids, each dimension given those before it: ln q has all derivatives (Ho et al. 2019,
    /// arXiv:1902.00275).
    Smooth,
    /// No flow but a mixture of Gaussians of any covariance (Bishop 1994).
    Mixture,
}

impl FlowKind {
    fn is_default(&self) -> bool {
        *self == FlowKind::default()
    }
}

/// Kind and size of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// What it is made of: splines (`"spline-autoregressive"`, `"spline-coupling"`), shift and scale (`"maf"`,
    /// `"realnvp"`), sigmoids (`"smooth"`) or Gaussians (`"mixture"`).
    #[serde(skip_serializing_if = "FlowKind::is_default")]
    #[schemars(extend("x-default" = "`\"spline-autoregressive\"`"))]
    pub kind: FlowKind,
    /// Layers one after another; a `mixture` has none.
    pub layers: i64,
    /// Units of each of a conditioner's two hidden layers.
    pub hidden: i64,
    /// Bins of each spline.
    pub bins: i64,
    /// Gaussians of a `mixture`, or sigmoids of each map of a `smooth` flow.
    #[serde(skip_serializing_if = "is_usual")]
    #[schemars(extend("x-default" = "8"))]
    pub components: i64,
}

const COMPONENTS: i64 = 8;

fn is_usual(components: &i64) -> bool {
    *components == COMPONENTS
}

impl Default for FlowConfig {
    fn default() -> Self {
        FlowConfig { kind: FlowKind::default(), layers: 3, hidden: 64, bins: 8, components: COMPONENTS }
    }
}

impl FlowConfig {
    /// What each dimension goes through in a layer; `None`: it is a mixture.
    fn map(&self) -> Option<Map> {
        match self.kind {
            FlowKind::SplineAutoregressive | FlowKind::SplineCoupling => Some(Map::Spline(self.bins)),
            FlowKind::Maf | FlowKind::RealNvp => Some(Map::Affine),
            FlowKind::Smooth => Some(Map::Smooth(self.components)),
            FlowKind::Mixture => None,
        }
    }

    fn is_coupling(&self) -> bool {
        matches!(self.kind, FlowKind::SplineCoupling | FlowKind::RealNvp)
    }

    /// About how many weights it has, for p dimensions and a context of so many numbers.
    pub fn weights(&self, context: f64, p: usize) -> f64 {
        let (p, hidden) = (p as f64, self.hidden as f64);
        match self.map() {
            Some(map) => self.layers as f64 * hidden * (context + hidden + p * map.parameters() as f64),
            None => hidden * (context + hidden + self.components as f64 * (1.0 + 0.5 * p * (p + 3.0))),
        }
    }

    /// A key that does nothing for its kind, and why.
    pub fn unused(&self) -> Option<(&'static str, String)> {
        let usual = FlowConfig::default();
        let of = |kind: &str| format!("a flow of kind {kind} has none");
        let splines = matches!(self.map(), Some(Map::Spline(_)));
        let kind = serde_json::to_value(self.kind).ok()?.to_string();
        match self.map() {
            None if self.layers != usual.layers => Some(("flow.layers", of(&kind))),
            _ if !splines && self.bins != usual.bins => Some(("flow.bins", of(&kind))),
            Some(Map::Spline(_) | Map::Affine) if self.components != COMPONENTS => Some(("flow.components", of(&kind))),
            _ => None,
        }
    }
}

/// A conditional density of numbers on the line, and its map to N(0, 1)ᵖ.
pub struct Transport {
    body: Body,
    p: i64,
}

enum Body {
    Layers(Vec<Layer>),
    Mixture(Mixture),
}

fn along(t: &Tensor) -> Tensor {
    t.sum_dim_intlist(-1i64, false, None::<Kind>)
}

impl Transport {
    /// Of p numbers with a context of so many.
    pub fn new(path: &nn::Path, p: i64, context: i64, config: &FlowConfig) -> Self {
        let body = match config.map() {
            None => Body::Mixture(Mixture::new(path, p, context, config)),
            Some(map) => {
                let layer = |l| {
                    let path = path / format!("layer{l}");
                    Layer::new(&path, p, context, config.hidden, map, config.is_coupling(), l % 2 == 1)
                };
                Body::Layers((0..config.layers).map(layer).collect())
            }
        };
        Transport { body, p }
    }

    /// ln q(u | context) (n) added to `start`: u (n, p), context (n, c). Of dimensions that `active` (p) has 0 for, which
    /// are 0 in all samples, there is no density.
    pub fn ln_density(&self, mut u: Tensor, mut start: Tensor, context: &Tensor, active: Option<&Tensor>) -> Tensor {
        let layers = match &self.body {
            Body::Layers(layers) => layers,
            Body::Mixture(mixture) => return start + mixture.ln_density(&u, context, active),
        };
        for layer in layers {
            let (z, ln) = layer.forward(&u, context, active);
            (u, start) = (z, start + ln);
        }
        let dims = active.map_or(self.p as f64, |active| active.sum(Kind::Double).double_value(&[]));
        start + along(&u.square()) * -0.5 - 0.5 * dims * std::f64::consts::TAU.ln()
    }

    /// z (n, p) and ln |dz/du| (n) at u (n, p).
    pub fn forward(&self, u: &Tensor, context: &Tensor) -> (Tensor, Tensor) {
        let layers = match &self.body {
            Body::Layers(layers) => layers,
            Body::Mixture(mixture) => return mixture.forward(u, context),
        };
        let start = (u.shallow_clone(), along(&u.zeros_like()));
        layers.iter().fold(start, |(u, ln), layer| {
            let (z, own) = layer.forward(&u, context, None);
            (z, ln + own)
        })
    }

    /// u (n, p) at z (n, p).
    pub fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        match &self.body {
            Body::Layers(layers) => layers.iter().rev().fold(z.shallow_clone(), |u, layer| layer.inverse(&u, context)),
            Body::Mixture(mixture) => mixture.inverse(z, context),
        }
    }
}

/// A conditional density over the support of a prior.
pub struct Flow {
    transport: Transport,
    unbounded: Unbounded,
}

impl Flow {
    /// A flow over the prior's support with a context of so many numbers.
    pub fn new(path: &nn::Path, prior: &Prior, context: i64, config: &FlowConfig) -> Self {
        let transport = Transport::new(path, prior.len() as i64, context, config);
        Flow { transport, unbounded: Unbounded::new(prior, path.device()) }
    }

    /// ln q(θ | context) per row, in units of θ; −∞ outside the support: θ (n, p), context (n, c).
    pub fn log_prob(&self, theta: &Tensor, context: &Tensor) -> Tensor {
        let (u, jacobian) = self.unbounded.forward(theta, context.kind());
        self.ln_density(u, &jacobian, context).masked_fill(&self.unbounded.outside(theta), f64::NEG_INFINITY)
    }

    /// The same where θ is at u (n, p), with ln |dθ/du| (n, p).
    pub fn ln_density(&self, u: Tensor, jacobian: &Tensor, context: &Tensor) -> Tensor {
        self.transport.ln_density(u, -along(jacobian), context, None)
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
        self.transport.inverse(z, context)
    }
}
