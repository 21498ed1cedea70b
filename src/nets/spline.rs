//! Monotonic rational-quadratic splines with linear tails (Durkan et al. 2019, arXiv:1906.04032).

use tch::{Kind, Tensor};

/// Smallest bin width and height, as a fraction of the interval, and smallest derivative.
const MIN: f64 = 1e-3;

/// The spline of K bins on [−bound, bound] (identity outside) and ln |dy/dx|, element by element. `parameters`: (…, 3K
/// − 1) for inputs of shape (…): unnormalised widths, heights, and inner derivatives.
pub fn rational_quadratic(x: &Tensor, parameters: &Tensor, bins: i64, bound: f64, inverse: bool) -> (Tensor, Tensor) {
    let inside = x.abs().le(bound);
    let xc = x.clamp(-bound, bound);
    let knots = |raw: Tensor| {
        let w = raw.softmax(-1, raw.kind()) * (1.0 - MIN * bins as f64) + MIN;
        let c = w.cumsum(-1, w.kind()).narrow(-1, 0, bins - 1);
        let lo = Tensor::zeros_like(&c.narrow(-1, 0, 1));
        let hi = Tensor::ones_like(&lo);
        Tensor::cat(&[lo, c, hi], -1) * (2.0 * bound) - bound
    };
    let kx = knots(parameters.narrow(-1, 0, bins));
    let ky = knots(parameters.narrow(-1, bins, bins));
    // softplus(0 + shift) + MIN = 1: untrained derivatives are those of the identity.
    let shift = ((1.0 - MIN).exp() - 1.0).ln();
    let d = (parameters.narrow(-1, 2 * bins, bins - 1) + shift).softplus() + MIN;
    let one = Tensor::ones_like(&d.narrow(-1, 0, 1));
    let d = Tensor::cat(&[&one, &d, &one], -1);

    let edges = if inverse { &ky } else { &kx };
    let at = edges.narrow(-1, 1, bins - 1).le_tensor(&xc.unsqueeze(-1)).sum_dim_intlist(-1i64, true, Kind::Int64);
    let pick = |t: &Tensor, at: &Tensor| t.gather(-1, at, false).squeeze_dim(-1);
    let next = &at + 1;
    let (x0, x1, y0, y1) = (pick(&kx, &at), pick(&kx, &next), pick(&ky, &at), pick(&ky, &next));
    let (d0, d1) = (pick(&d, &at), pick(&d, &next));
    let (w, h) = (x1 - &x0, y1 - &y0);
    let s = &h / &w;
    let curve = &d0 + &d1 - &s * 2.0;

    let xi = if inverse {
        let dy = &xc - &y0;
        let a = &h * (&s - &d0) + &dy * &curve;
        let b = &h * &d0 - &dy * &curve;
        let c = -&s * &dy;
        let root = (&b * &b - &a * &c * 4.0).clamp_min(0.0).sqrt();
        &c * 2.0 / (-b - root)
    } else {
        (&xc - &x0) / &w
    };
    let theta = &xi * (-&xi + 1.0);
    let denominator = &s + &curve * &theta;
    let slope =
        s.square() * (&d1 * xi.square() + &s * &theta * 2.0 + &d0 * (-&xi + 1.0).square()) / denominator.square();
    let y = if inverse { &xi * &w + &x0 } else { &y0 + &h * (&s * xi.square() + &d0 * &theta) / &denominator };
    let ln = if inverse { -slope.log() } else { slope.log() };
    (y.where_self(&inside, x), ln.where_self(&inside, &Tensor::zeros_like(x)))
}
