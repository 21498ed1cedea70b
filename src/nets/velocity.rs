//! A density by the flow of a velocity (continuous normalising flow, Chen et al. 2018), learned by flow matching (Lipman et
//! al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003): du/dt = v(u, t, context) takes normal numbers at t = 0 to
//! draws at t = 1.

use super::MlpConfig;
use std::f64::consts::{PI, TAU};
use tch::{Kind, Tensor, nn};

/// Waves that tell the time.
const WAVES: usize = 4;

/// v(u, t, context) = u (2t − 1)/(t² + (1 − t)²) + a network. The first term takes normal numbers to normal numbers, and an
/// untrained network is 0.
pub struct Velocity {
    of_place: nn::Linear,
    of_time: nn::Linear,
    of_context: nn::Linear,
    hidden: Vec<nn::Linear>,
    last: nn::Linear,
    steps: i64,
    p: i64,
}

impl Velocity {
    /// Of p numbers with a context of so many; integrated in so many steps.
    pub fn new(path: &nn::Path, p: i64, context: i64, config: &MlpConfig, steps: i64) -> Self {
        let linear = |name: &str, from: i64, to: i64| nn::linear(path / name, from, to, nn::LinearConfig::default());
        let zero = nn::LinearConfig { ws_init: nn::Init::Const(0.0), bs_init: Some(nn::Init::Const(0.0)), bias: true };
        let h = config.hidden;
        Velocity {
            of_place: linear("place", p, h),
            of_time: linear("time", 2 * WAVES as i64, h),
            of_context: linear("context", context, h),
            hidden: (0..config.layers).map(|l| linear(&format!("layer{l}"), h, h)).collect(),
            last: nn::linear(path / "last", h, p, zero),
            steps,
            p,
        }
    }

    /// v (n, p) and its divergence (n) at u (n, p) and t (n or 1, 1), `context` as [`Velocity::seen`]; without the
    /// divergence 0. With it each dimension's derivative goes through the network beside the value.
    fn at(&self, u: &Tensor, t: &Tensor, seen: &Tensor, diverges: bool) -> (Tensor, Option<Tensor>) {
        let waves: Vec<Tensor> =
            (0..WAVES).flat_map(|k| [(t * (PI * k as f64)).cos(), (t * (PI * (k as f64 + 1.0))).sin()]).collect();
        let time = Tensor::cat(&waves, 1).apply(&self.of_time);
        let mut before = u.apply(&self.of_place) + time + seen;
        let mut h = before.silu();
        // (n, p, units): ∂h/∂u.
        let mut slopes = diverges.then(|| slope(&before).unsqueeze(1) * self.of_place.ws.tr());
        for layer in &self.hidden {
            before = h.apply(layer);
            h = &h + before.silu();
            slopes = slopes.map(|dh| &dh + dh.matmul(&layer.ws.tr()) * slope(&before).unsqueeze(1));
        }
        let drift = (t * 2.0 - 1.0) / (t.square() + (-t + 1.0).square());
        let divergence = slopes.map(|dh| {
            (dh * &self.last.ws).sum_dim_intlist([1i64, 2].as_slice(), false, None::<Kind>)
                + drift.squeeze_dim(1) * self.p as f64
        });
        (h.apply(&self.last) + u * drift, divergence)
    }

    fn seen(&self, context: &Tensor) -> Tensor {
        context.apply(&self.of_context)
    }

    /// What is minimised, (n): the mean square of v − (u − z) at tu + (1 − t)z, for normal z (n, k, p) and t (n, k).
    pub fn loss(&self, u: &Tensor, z: &Tensor, t: &Tensor, context: &Tensor) -> Tensor {
        let ([n, k], p) = ([z.size()[0], z.size()[1]], self.p);
        let (u, t) = (u.unsqueeze(1), t.unsqueeze(2));
        let between = (&u * &t + z * (-&t + 1.0)).reshape([n * k, p]);
        let seen = self.seen(context).unsqueeze(1).repeat([1, k, 1]).reshape([n * k, -1]);
        let (v, _) = self.at(&between, &t.reshape([n * k, 1]), &seen, false);
        (v.view([n, k, p]) - (u - z)).square().mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
    }

    /// From t = 0 to 1, or back: u, and the integral of the divergence. Runge and Kutta's fourth order, in even steps: what a
    /// sample gets does not depend on those beside it.
    fn integrate(&self, u: &Tensor, context: &Tensor, backwards: bool, diverges: bool) -> (Tensor, Tensor) {
        let seen = self.seen(context);
        let step = if backwards { -1.0 } else { 1.0 } / self.steps as f64;
        let rate = |u: &Tensor, t: f64| {
            let (v, divergence) = self.at(u, &Tensor::full([1, 1], t, (u.kind(), u.device())), &seen, diverges);
            (v, divergence.unwrap_or_else(|| u.select(1, 0).zeros_like()))
        };
        let start = (u.shallow_clone(), u.select(1, 0).zeros_like());
        (0..self.steps).fold(start, |(u, ln), i| {
            let t = if backwards { 1.0 } else { 0.0 } + i as f64 * step;
            let (a, da) = rate(&u, t);
            let (b, db) = rate(&(&u + &a * (0.5 * step)), t + 0.5 * step);
            let (c, dc) = rate(&(&u + &b * (0.5 * step)), t + 0.5 * step);
            let (d, dd) = rate(&(&u + &c * step), t + step);
            (u + (a + (b + c) * 2.0 + d) * (step / 6.0), ln + (da + (db + dc) * 2.0 + dd) * (step / 6.0))
        })
    }

    /// ln q(u | context) added to `start`, (n).
    pub fn ln_density(&self, u: Tensor, start: Tensor, context: &Tensor) -> Tensor {
        // ln q(u) = ln N(z) − ∫₀¹ ∇·v dt, and what is found on the way back is minus that integral.
        let (z, ln) = self.integrate(&u, context, true, true);
        start + ln + (z.square() * -0.5 - 0.5 * TAU.ln()).sum_dim_intlist(-1i64, false, None::<Kind>)
    }

    /// u (n, p) at normal z (n, p).
    pub fn inverse(&self, z: &Tensor, context: &Tensor) -> Tensor {
        self.integrate(z, context, false, false).0
    }
}

/// The derivative of silu.
fn slope(x: &Tensor) -> Tensor {
    let s = x.sigmoid();
    &s * (x * (-&s + 1.0) + 1.0)
}
