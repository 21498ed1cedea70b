//! One layer of a flow: a masked network (MADE, Germain et al. 2015) gives each dimension the parameters of its map, from
//! the context and the dimensions of the groups before its own. With a group for each dimension that is an autoregressive
//! layer; with two it is a coupling layer, whose first half is given the context alone.

use super::along;
use super::map::Map;
use tch::{Tensor, nn};

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

fn mask(out: &[i64], inn: &[i64]) -> Tensor {
    let values: Vec<f32> = out.iter().flat_map(|o| inn.iter().map(move |i| (i <= o) as u8 as f32)).collect();
    Tensor::from_slice(&values).view([out.len() as i64, inn.len() as i64])
}

pub struct Layer {
    context: nn::Linear,
    first: Masked,
    second: Masked,
    last: Masked,
    map: Map,
    /// Where each group begins, and where the last ends.
    edges: Vec<i64>,
    reversed: bool,
}

impl Layer {
    /// Of p dimensions, in their order or reversed.
    pub fn new(path: &nn::Path, p: i64, context: i64, units: i64, map: Map, coupling: bool, reversed: bool) -> Self {
        let edges = if coupling && p > 1 { vec![0, p / 2, p] } else { (0..=p).collect() };
        let groups = edges.len() as i64 - 1;
        let group = |i: i64| edges[1..].iter().filter(|&&edge| edge <= i).count() as i64;
        // Degrees: an input of group i has i + 1, a hidden unit of degree g sees inputs up to g, outputs of group i see
        // them up to i.
        let inputs: Vec<i64> = (0..p).map(|i| group(i) + 1).collect();
        let hidden: Vec<i64> = (0..units).map(|h| h % groups).collect();
        let each = map.parameters() as usize;
        let outputs: Vec<i64> = (0..p).flat_map(|i| std::iter::repeat_n(group(i), each)).collect();
        let masked = |name: &str, inn: &[i64], out: &[i64], config: nn::LinearConfig| Masked {
            linear: nn::linear(path / name, inn.len() as i64, out.len() as i64, config),
            mask: mask(out, inn).to_device(path.device()),
        };
        let plain = nn::LinearConfig::default();
        // The last layer starts at zero: an untrained flow is the identity.
        let zero = nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
        Layer {
            context: nn::linear(path / "context", context, units, plain),
            first: masked("first", &inputs, &hidden, plain),
            second: masked("second", &hidden, &hidden, plain),
            last: masked("last", &hidden, &outputs, zero),
            map,
            edges,
            reversed,
        }
    }

    /// (n, p, k) parameters of each dimension's map from the context and the groups before its own.
    fn parameters(&self, u: &Tensor, context: &Tensor) -> Tensor {
        let h = (self.first.forward(u) + context.apply(&self.context)).silu();
        let h = &h + self.second.forward(&h).silu();
        self.last.forward(&h).view([u.size()[0], u.size()[1], -1])
    }

    fn order(&self, u: &Tensor) -> Tensor {
        if self.reversed { u.flip([-1i64]) } else { u.shallow_clone() }
    }

    /// Towards the base: z (n, p) and ln |dz/du| (n). Dimensions that `active` (p) has 0 for, which are 0, stay so.
    pub fn forward(&self, u: &Tensor, context: &Tensor, active: Option<&Tensor>) -> (Tensor, Tensor) {
        let u = self.order(u);
        let (mut z, mut ln) = self.map.forward(&u, &self.parameters(&u, context));
        if let Some(active) = active.map(|active| self.order(active)) {
            (z, ln) = (z * &active, ln * active);
        }
        (self.order(&z), along(&ln))
    }

    /// From the base, one group after another.
    pub fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        let z = self.order(z);
        let p = z.size()[1];
        let mut u = Tensor::zeros_like(&z);
        for edge in self.edges.windows(2) {
            let [from, len] = [edge[0], edge[1] - edge[0]];
            let q = self.parameters(&u, context).narrow(1, from, len);
            let own = self.map.inverse(&z.narrow(1, from, len), &q);
            u = Tensor::cat(&[u.narrow(1, 0, from), own, u.narrow(1, edge[1], p - edge[1])], 1);
        }
        self.order(&u)
    }
}
