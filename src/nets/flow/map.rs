//! Monotone maps of a number to a number, with the parameters that a network gives: shift and scale, and then perhaps a
//! spline or a mixture of sigmoids. Parameters of zero are the identity, or nearly so.

use crate::nets::spline::rational_quadratic;
use tch::{Kind, Tensor};

/// Splines act on [−TAIL, TAIL].
const TAIL: f64 = 4.0;
/// The most that a scale's logarithm may be, either way: a soft bound keeps a wild step from ending a training.
const SCALE: f64 = 5.0;
/// Sigmoids begin this far apart, in all.
const APART: f64 = 2.0;
/// Halvings of a bracket: to the last digits.
const HALVINGS: usize = 64;

#[derive(Clone, Copy)]
pub enum Map {
    Affine,
    /// Rational-quadratic, of so many bins.
    Spline(i64),
    /// y = logit Σ π_k σ((x − μ_k)/s_k), of so many sigmoids: as smooth as these, with straight tails (Ho et al. 2019,
    /// arXiv:1902.00275, eq. 8).
    Smooth(i64),
}

/// A logarithm of a scale, softly bounded.
pub fn bounded(raw: &Tensor, most: f64) -> Tensor {
    (raw / most).tanh() * most
}

/// Where `is_below` ceases to be, between `low` and `high`, element by element.
pub fn bisect(low: Tensor, high: Tensor, is_below: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let (mut low, mut high) = (low, high);
    for _ in 0..HALVINGS {
        let middle = (&low + &high) * 0.5;
        let below = is_below(&middle);
        (low, high) = (middle.where_self(&below, &low), high.where_self(&below, &middle));
    }
    (low + high) * 0.5
}

impl Map {
    /// Parameters of a number.
    pub fn parameters(self) -> i64 {
        match self {
            Map::Affine => 2,
            Map::Spline(bins) => 2 + 3 * bins - 1,
            Map::Smooth(sigmoids) => 2 + 3 * sigmoids,
        }
    }

    /// z and ln |dz/du| of u (…), with parameters (…, k).
    pub fn forward(self, u: &Tensor, q: &Tensor) -> (Tensor, Tensor) {
        let (shift, ln_scale) = affine(q);
        let a = (u - shift) * (-&ln_scale).exp();
        let (z, ln) = match self {
            Map::Affine => return (a, -ln_scale),
            Map::Spline(bins) => rational_quadratic(&a, &rest(q), bins, TAIL, false),
            Map::Smooth(_) => Sigmoids::new(&rest(q)).forward(&a),
        };
        (z, ln - ln_scale)
    }

    /// u of z.
    pub fn inverse(self, z: &Tensor, q: &Tensor) -> Tensor {
        let (shift, ln_scale) = affine(q);
        let a = match self {
            Map::Affine => z.shallow_clone(),
            Map::Spline(bins) => rational_quadratic(z, &rest(q), bins, TAIL, true).0,
            Map::Smooth(_) => Sigmoids::new(&rest(q).to_kind(Kind::Double)).inverse(z),
        };
        a * ln_scale.exp() + shift
    }
}

fn affine(q: &Tensor) -> (Tensor, Tensor) {
    (q.select(-1, 0), bounded(&q.select(-1, 1), SCALE))
}

/// What is not shift and scale.
fn rest(q: &Tensor) -> Tensor {
    q.narrow(-1, 2, q.size()[q.dim() - 1] - 2)
}

/// ln π, μ and ln s, (…, K) each.
struct Sigmoids {
    ln_weight: Tensor,
    middle: Tensor,
    ln_scale: Tensor,
}

impl Sigmoids {
    /// Of raw parameters (…, 3K). Equal ones would learn the same for ever, so they begin apart, and as much narrower as
    /// keeps the variance of a logistic density, π²/3.
    fn new(raw: &Tensor) -> Self {
        let k = raw.size()[raw.dim() - 1] / 3;
        let part = |i: i64| raw.narrow(-1, i * k, k);
        let apart: Vec<f64> = (0..k).map(|i| APART * ((i as f64 + 0.5) / k as f64 - 0.5)).collect();
        let variance = apart.iter().map(|m| m * m).sum::<f64>() / k as f64;
        let ln_scale = 0.5 * (1.0 - 3.0 * variance / std::f64::consts::PI.powi(2)).ln();
        let apart = Tensor::from_slice(&apart).to_kind(raw.kind()).to_device(raw.device());
        Sigmoids {
            ln_weight: part(0).log_softmax(-1, raw.kind()),
            middle: part(1) + apart,
            ln_scale: bounded(&part(2), SCALE) + ln_scale,
        }
    }

    /// ln of the mixture, ln of what is missing to 1, and each one's ln σ and ln (1 − σ).
    fn mixed(&self, x: &Tensor) -> [Tensor; 4] {
        let v = (x.unsqueeze(-1) - &self.middle) * (-&self.ln_scale).exp();
        let [low, high] = [v.log_sigmoid(), (-v).log_sigmoid()];
        let [below, above] = [&low, &high].map(|t| (t + &self.ln_weight).logsumexp(-1i64, false));
        [below, above, low, high]
    }

    fn forward(&self, x: &Tensor) -> (Tensor, Tensor) {
        let [below, above, low, high] = self.mixed(x);
        let slope = (low + high + &self.ln_weight - &self.ln_scale).logsumexp(-1i64, false);
        (&below - &above, slope - below - above)
    }

    /// By bisection: the logit of a mean lies between those of its parts.
    fn inverse(&self, y: &Tensor) -> Tensor {
        let target = y.to_kind(Kind::Double);
        let ends = target.unsqueeze(-1) * self.ln_scale.exp() + &self.middle;
        let x = bisect(ends.amin(-1i64, false), ends.amax(-1i64, false), |x| {
            let [below, above, ..] = self.mixed(x);
            (below - above).lt_tensor(&target)
        });
        x.to_kind(y.kind())
    }
}
