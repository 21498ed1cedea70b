//! A mixture density network (Bishop 1994): Gaussians of any covariance, whose weights, means and Cholesky factors of the
//! precision a network gives. Its map to normal numbers is that of each dimension's distribution function, given those
//! before it, which is a mixture's too.

use super::map::{bisect, bounded};
use super::{FlowConfig, along};
use crate::nets::put;
use tch::{Kind, Tensor, nn};

/// The most that a width's logarithm may be, either way.
const SCALE: f64 = 10.0;
/// Scatter of the means at the start: equal Gaussians would learn the same for ever.
const APART: f64 = 0.2;
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

pub struct Mixture {
    context: nn::Linear,
    second: nn::Linear,
    last: nn::Linear,
    p: i64,
    k: i64,
}

/// K Gaussians of p dimensions for each of n samples: w = S(1 + L)(u − m) is normal.
struct Gaussians {
    /// (n, K).
    ln_weight: Tensor,
    /// (n, K, p).
    mean: Tensor,
    /// ln of S, (n, K, p).
    ln_diagonal: Tensor,
    /// 1 + L, (n, K, p, p).
    lower: Tensor,
}

impl Mixture {
    pub fn new(path: &nn::Path, p: i64, context: i64, config: &FlowConfig) -> Self {
        let (k, plain) = (config.components, nn::LinearConfig::default());
        let zero = nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
        let mixture = Mixture {
            context: nn::linear(path / "context", context, config.hidden, plain),
            second: nn::linear(path / "second", config.hidden, config.hidden, plain),
            last: nn::linear(path / "last", config.hidden, k * (1 + p * (p + 3) / 2), zero),
            p,
            k,
        };
        let means = mixture.last.bs.as_ref().expect("a bias").narrow(0, k, k * p);
        put(&means, &(means.randn_like() * APART));
        mixture
    }

    fn gaussians(&self, context: &Tensor) -> Gaussians {
        let h = context.apply(&self.context).silu();
        let h = &h + h.apply(&self.second).silu();
        let q = h.apply(&self.last);
        let ([p, k], n) = ([self.p, self.k], q.size()[0]);
        let mut at = 0;
        let mut take = |each: i64| {
            at += k * each;
            q.narrow(1, at - k * each, k * each).view([n, k, each])
        };
        let (weight, mean, diagonal, below) = (take(1), take(p), take(p), take(p * (p - 1) / 2));
        let one = Tensor::eye(p, (q.kind(), q.device())).expand([n, k, p, p], true);
        let places: Vec<i64> = (0..p).flat_map(|i| (0..i).map(move |j| i * p + j)).collect();
        let places = Tensor::from_slice(&places).to_kind(Kind::Int64).to_device(q.device());
        Gaussians {
            ln_weight: weight.squeeze_dim(2).log_softmax(1, q.kind()),
            mean,
            ln_diagonal: bounded(&diagonal, SCALE),
            lower: one.reshape([n, k, p * p]).index_copy(2, &places, &below).view([n, k, p, p]),
        }
    }

    /// ln q(u | context), (n); without the dimensions that `active` (p) has 0 for.
    pub fn ln_density(&self, u: &Tensor, context: &Tensor, active: Option<&Tensor>) -> Tensor {
        let of = self.gaussians(context);
        let mut each = of.each(&of.offsets(u, active));
        if let Some(active) = active {
            each *= active;
        }
        (along(&each) + of.ln_weight).logsumexp(1i64, false)
    }

    /// z (n, p) and ln |dz/du| (n).
    pub fn forward(&self, u: &Tensor, context: &Tensor) -> (Tensor, Tensor) {
        let of = self.gaussians(context);
        let w = of.offsets(u, None);
        let each = of.each(&w);
        let before = each.cumsum(2, each.kind()) - &each + of.ln_weight.unsqueeze(2);
        let z = normal(&before, &w, 1);
        let ln = (along(&each) + of.ln_weight).logsumexp(1i64, false);
        let base = along(&(z.square() * -0.5 - HALF_LN_TAU));
        (z, ln - base)
    }

    /// u (n, p), one dimension after another, by bisection: a quantile of a mixture lies between those of its parts.
    pub fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        let of = self.gaussians(context).double();
        let target = z.to_kind(Kind::Double);
        let (mut ln_weight, mut off) = (of.ln_weight.shallow_clone(), of.mean.zeros_like());
        let mut u = vec![];
        for i in 0..self.p {
            let one = target.narrow(1, i, 1);
            let shift = along(&(of.lower.select(2, i) * &off));
            let (middle, ln_s) = (of.mean.select(2, i) - shift, of.ln_diagonal.select(2, i));
            let ends = &middle + &one * (-&ln_s).exp();
            let w = |x: &Tensor| (x - &middle) * ln_s.exp();
            let own = bisect(ends.amin(1i64, true), ends.amax(1i64, true), |x| {
                normal(&ln_weight, &w(x), 1).unsqueeze(1).lt_tensor(&one)
            });
            ln_weight = ln_weight + w(&own).square() * -0.5 + &ln_s;
            off = off.index_copy(
                2,
                &Tensor::from_slice(&[i]).to_device(z.device()),
                &(&own - of.mean.select(2, i)).unsqueeze(2),
            );
            u.push(own);
        }
        Tensor::cat(&u, 1).to_kind(z.kind())
    }
}

impl Gaussians {
    fn double(self) -> Self {
        let [ln_weight, mean, ln_diagonal, lower] =
            [self.ln_weight, self.mean, self.ln_diagonal, self.lower].map(|t| t.to_kind(Kind::Double));
        Gaussians { ln_weight, mean, ln_diagonal, lower }
    }

    /// w, (n, K, p), of u (n, p).
    fn offsets(&self, u: &Tensor, active: Option<&Tensor>) -> Tensor {
        let mut off = u.unsqueeze(1) - &self.mean;
        if let Some(active) = active {
            off *= active;
        }
        self.lower.matmul(&off.unsqueeze(-1)).squeeze_dim(-1) * self.ln_diagonal.exp()
    }

    /// ln of each dimension's density given those before it, (n, K, p).
    fn each(&self, w: &Tensor) -> Tensor {
        w.square() * -0.5 + &self.ln_diagonal - HALF_LN_TAU
    }
}

/// Φ⁻¹ of a mixture's distribution function, along the dimension of its parts: ln of weights of any sum, and w. Taken from the
/// side where less lies, whose share has all digits.
fn normal(ln_weight: &Tensor, w: &Tensor, dim: i64) -> Tensor {
    let ln_weight = ln_weight.log_softmax(dim, ln_weight.kind());
    let [below, above] = [w.shallow_clone(), -w].map(|w| (&ln_weight + w.special_log_ndtr()).logsumexp(dim, false));
    let lower = below.lt_tensor(&above);
    let share = below.where_self(&lower, &above).exp().special_ndtri();
    share.where_self(&lower, &-&share)
}
