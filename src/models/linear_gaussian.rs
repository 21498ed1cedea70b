//! Fits the linear-Gaussian posterior to the samples that a stage learns from, in three passes: a ridge regression of each
//! parameter on the inputs, its penalty by generalised cross-validation (Golub, Heath & Wahba 1979); then, by maximum
//! likelihood, the cut-off Gaussians given what that regression says of each sample when it is left out.

use super::{Batch, Stream};
use crate::error::Result;
use crate::nets::{Linear, WIDEST, host, put};
use gauss_quad::GaussLegendre;
use tch::{Kind, Tensor};

/// Inputs that are regressed on at most: those that go most with a parameter.
const MOST: i64 = 512;
/// Samples that the last fit is to, at most: evenly spaced ones.
const ROWS: i64 = 1 << 16;
/// Samples that are integrated over at a time.
const CHUNK: i64 = 4096;
/// Penalties, in units of the largest eigenvalue.
const PENALTIES: [f64; 16] =
    [1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0];
/// Samples for each term, with fewer than which inputs tell nothing.
const FEW: i64 = 3;
/// Steps of Newton's method at most, and a gain in ln q of a sample that is none.
const STEPS: usize = 60;
const NO_GAIN: f64 = 1e-9;
/// Half of an integral over a Gaussian, in σ, and its nodes.
const REACH: f64 = 9.0;
const NODES: usize = 48;

/// Sums of a pass, one after another.
struct Sums {
    all: Tensor,
    at: i64,
}

impl Sums {
    fn take(&mut self, shape: &[i64]) -> Tensor {
        let n = shape.iter().product::<i64>();
        self.at += n;
        self.all.narrow(0, self.at - n, n).reshape(shape)
    }
}

fn flat(parts: &[&Tensor]) -> Tensor {
    Tensor::cat(&parts.iter().map(|t| t.reshape([-1])).collect::<Vec<_>>(), 0)
}

fn total(t: &Tensor) -> Tensor {
    t.sum_dim_intlist([0i64].as_slice(), true, None::<Kind>)
}

fn along(t: &Tensor) -> Tensor {
    t.sum_dim_intlist(1i64, false, None::<Kind>)
}

/// Fits `to` to what `look` makes of batches: inputs (n, inputs) and parameters (n, p). Collective; the same bits on any number
/// of ranks.
pub fn fit(to: &Linear, look: &dyn Fn(&Batch) -> Result<(Tensor, Tensor)>, all: &mut dyn Stream) -> Result<()> {
    let (inputs, p) = (to.centre.size()[0], to.sigma.size()[0]);
    let pair = |batch: &Batch| -> Result<(Tensor, Tensor)> {
        let (z, theta) = look(batch)?;
        Ok((z.to_kind(Kind::Double), to.coordinates(&theta)))
    };

    let sums = all.sum(&mut |batch| {
        let (z, r) = pair(batch)?;
        let n = Tensor::from_slice(&[batch.len() as f64]).to_device(z.device());
        Ok(flat(&[&n, &total(&z), &total(&r), &total(&z.square()), &total(&r.square()), &r.tr().matmul(&z)]))
    })?;
    let mut sums = Sums { all: sums, at: 0 };
    let n = sums.take(&[1]).double_value(&[0]);
    let (centre, middle) = (sums.take(&[inputs]) / n, sums.take(&[p]) / n);
    let [spread, own] = [&centre, &middle].map(|mean| (sums.take(&mean.size()) / n - mean.square()).clamp_min(0.0));
    let with = sums.take(&[p, inputs]) / n - middle.unsqueeze(1) * centre.unsqueeze(0);
    let scale = own.unsqueeze(1) * spread.unsqueeze(0);
    // r² of each input with the parameter that it goes most with; nothing goes with what does not vary.
    let square = (with.square() / &scale).where_self(&scale.gt(1e-24), &scale.zeros_like()).clamp_max(1.0 - 1e-12);
    let (square, order) = square.max_dim(0, false).0.topk(MOST.min(inputs), 0, true, true);
    let some = square.gt(0.0).sum(Kind::Int64).int64_value(&[]);
    // Those whose t² is above what the largest of so many would have by chance.
    let t2 = &square / (-&square + 1.0) * (n - 2.0);
    let few = t2.gt(2.0 * ((inputs * p) as f64).max(2.0).ln()).sum(Kind::Int64).int64_value(&[]);
    let order = order.narrow(0, 0, some);

    let chosen = centre.index_select(0, &order);
    let sums = all.sum(&mut |batch| {
        let (z, r) = pair(batch)?;
        let (z, r) = (z.index_select(1, &order) - &chosen, r - &middle);
        Ok(flat(&[&z.tr().matmul(&z), &z.tr().matmul(&r), &total(&r.square())]))
    })?;
    let mut sums = Sums { all: sums, at: 0 };
    let (moments, with, own) = (sums.take(&[some, some]), sums.take(&[some, p]), host(&sums.take(&[p])));
    let mut ridges: Vec<Option<Ridge>> = (0..p).map(|_| None).collect();
    let sizes = if some == few { vec![some] } else { vec![some, few] };
    for size in sizes.into_iter().filter(|&size| size > 0) {
        let eigen = moments.narrow(0, 0, size).narrow(1, 0, size).linalg_eigh("L");
        for (j, best) in ridges.iter_mut().enumerate() {
            // Where none is used, its mean is all that is known of a parameter.
            let least = best.as_ref().map_or(own[j] * n / ((n - 1.0) * (n - 1.0)), |ridge| ridge.gcv);
            let with = with.narrow(0, 0, size).select(1, j as i64);
            let ridge = Ridge::fit(&order.narrow(0, 0, size), &eigen, &with, own[j], n);
            *best = ridge.filter(|ridge| ridge.gcv < least).or(best.take());
        }
    }
    let column = |ridge: &Option<Ridge>| match ridge {
        Some(ridge) => centre.zeros_like().index_copy(0, &ridge.inputs, &ridge.slope),
        None => centre.zeros_like(),
    };
    put(&to.centre, &centre);
    put(&to.projection, &Tensor::stack(&ridges.iter().map(column).collect::<Vec<_>>(), 1));

    // Terms and coordinates of each sample, as of regressions without it, to which the mean of all is known.
    let rows = all.gather(&mut |batch| {
        let (z, r) = pair(batch)?;
        let z = z - &centre;
        let t = ridges.iter().enumerate().map(|(j, ridge)| {
            let r = r.select(1, j as i64);
            match ridge {
                Some(ridge) => ridge.without(&z, &(r - middle.get(j as i64))),
                None => r.zeros_like(),
            }
        });
        let t = Tensor::stack(&t.collect::<Vec<_>>(), 1);
        Ok(Tensor::cat(&[Linear::terms(&t, &r), r], 1))
    })?;
    let step = (rows.size()[0] as u64).div_ceil(ROWS as u64).max(1) as i64;
    let rows = rows.slice(0, None, None, step);
    let (terms, r) = (rows.narrow(1, 0, 1 + 2 * p), rows.narrow(1, 1 + 2 * p, p));
    let nodes = GaussLegendre::new(NODES.try_into().expect("positive"));
    let (x, w): (Vec<f64>, Vec<f64>) = nodes.iter().map(|&(x, w)| (x, w)).unzip();
    let nodes = [x, w].map(|v| Tensor::from_slice(&v).to_device(rows.device()));
    for i in 0..p {
        // A parameter is given the projections and those before it, where there are enough samples to tell what they say;
        // else its mean alone, and in a box nothing but the prior.
        let (n, some, boxed) = (rows.size()[0], 1 + p + i, to.is_boxed(i));
        let few = n < FEW * some;
        if few && boxed {
            continue;
        }
        let terms = terms.narrow(1, 0, if few { 1 } else { some });
        let mut one = Natural::unbounded(&terms, &r.select(1, i));
        if boxed {
            one.within_bounds(&terms, &r.select(1, i), &nodes);
        }
        let own = &one.first + &one.a * (one.sigma / one.c);
        put(&to.slopes.get(i), &own.constant_pad_nd([0, 1 + 2 * p - own.numel() as i64]));
        let sigma = one.sigma / one.c.sqrt() * predictive(n, own.numel() as i64);
        let _ = to.sigma.get(i).fill_(if boxed { sigma.min(WIDEST) } else { sigma });
    }
    Ok(())
}

/// A regression of one parameter.
struct Ridge {
    /// (k): on which inputs; (k): with these slopes.
    inputs: Tensor,
    slope: Tensor,
    /// (k, k): the inverse of the penalised moments is this times its transpose.
    root: Tensor,
    /// What generalised cross-validation says of the residuals.
    gcv: f64,
}

impl Ridge {
    /// With the best penalty: from moments of the inputs (k, k) by their eigenvalues, moments with the parameter (k), and its
    /// own, over n samples; `None`, where there are too few.
    fn fit(inputs: &Tensor, (s, v): &(Tensor, Tensor), with: &Tensor, own: f64, n: f64) -> Option<Ridge> {
        let (s, b) = (s.clamp_min(0.0), v.tr().matmul(with));
        let most = s.max().double_value(&[]);
        let one = |&penalty: &f64| {
            let d = &s + penalty * most;
            let fitted = &b / &d;
            let free = (&s / &d).sum(Kind::Double).double_value(&[]);
            let explained = (&fitted * (&b * 2.0 - &s * &fitted)).sum(Kind::Double).double_value(&[]);
            let left = n - 1.0 - free;
            (left > 0.2 * n).then(|| (n * (own - explained).max(0.0) / (left * left), d, fitted))
        };
        let all = PENALTIES.iter().filter_map(one).filter(|(gcv, ..)| gcv.is_finite());
        let (gcv, d, fitted) = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Ridge { inputs: inputs.shallow_clone(), slope: v.matmul(&fitted), root: v / d.sqrt(), gcv })
    }

    /// What it says of samples z (n, inputs) when each is left out, which was r (n).
    fn without(&self, z: &Tensor, r: &Tensor) -> Tensor {
        let z = z.index_select(1, &self.inputs);
        let (t, leverage) = (z.matmul(&self.slope), along(&z.matmul(&self.root).square()));
        (t - &leverage * r) / (-leverage + 1.0).clamp_min(0.05)
    }
}

/// A Gaussian of v = (r − μ₀)/σ₀, perhaps cut off where r is 0 and 1: q ∝ exp((a · terms) v − c v²/2).
struct Natural {
    /// μ₀ = first · terms.
    first: Tensor,
    sigma: f64,
    a: Tensor,
    c: f64,
}

impl Natural {
    /// Least squares: terms (n, k), r (n).
    fn unbounded(terms: &Tensor, r: &Tensor) -> Natural {
        let first = solve(&terms.tr().matmul(terms), &terms.tr().matmul(r));
        let rest = (r - terms.matmul(&first)).square().sum(Kind::Double).double_value(&[]);
        let sigma = (rest / r.size()[0] as f64).sqrt().max(1e-12);
        Natural { a: first.zeros_like(), first, sigma, c: 1.0 }
    }

    /// Maximum likelihood between 0 and 1 by Newton's method: ln q is concave in (a, c), and a step that overshoots is halved.
    fn within_bounds(&mut self, terms: &Tensor, r: &Tensor, nodes: &[Tensor; 2]) {
        let (k, n) = (self.a.size()[0], r.size()[0]);
        let mut best = (f64::NEG_INFINITY, self.a.copy(), self.c);
        for _ in 0..STEPS {
            let mut sums: Option<Tensor> = None;
            for start in (0..n).step_by(CHUNK as usize) {
                let len = CHUNK.min(n - start);
                let own = self.derivatives(&terms.narrow(0, start, len), &r.narrow(0, start, len), nodes);
                sums = Some(sums.map_or_else(|| own.shallow_clone(), |sums| sums + &own));
            }
            let mut sums = Sums { all: sums.expect("there are samples") / n as f64, at: 0 };
            let value = sums.take(&[1]).double_value(&[0]);
            let gain = value - best.0;
            if gain.is_nan() || gain <= NO_GAIN {
                if gain.is_nan() || gain >= -NO_GAIN {
                    break;
                }
                (self.a, self.c) = ((&self.a + &best.1) * 0.5, 0.5 * (self.c + best.2));
                continue;
            }
            best = (value, self.a.copy(), self.c);
            let (slope, curve) = (sums.take(&[k + 1]), sums.take(&[k + 1, k + 1]));
            // As wide as can be is as good as flat.
            let least = (self.sigma / WIDEST).powi(2);
            let free = k + !(self.c <= least && slope.double_value(&[k]) < 0.0) as i64;
            let step = solve(&curve.narrow(0, 0, free).narrow(1, 0, free), &slope.narrow(0, 0, free));
            self.a = &self.a + step.narrow(0, 0, k);
            if free > k {
                self.c = (self.c + step.double_value(&[k])).max(0.1 * self.c).max(least);
            }
        }
        (_, self.a, self.c) = best;
    }

    /// Σ ln q, its slope by (a, c), and minus its curvature.
    fn derivatives(&self, terms: &Tensor, r: &Tensor, [x, w]: &[Tensor; 2]) -> Tensor {
        let middle = terms.matmul(&self.first);
        let v = (r - &middle) / self.sigma;
        let [low, high] = [-&middle / self.sigma, (-&middle + 1.0) / self.sigma];
        let (pull, s) = (terms.matmul(&self.a), 1.0 / self.c.sqrt());
        let peak = (&pull / self.c).maximum(&low).minimum(&high);
        let (from, to) = (low.maximum(&(&peak - REACH * s)), high.minimum(&(&peak + REACH * s)));
        let half = ((to - &from) * 0.5).unsqueeze(1);
        let at = from.unsqueeze(1) + &half * (x + 1.0);
        let exponent = |v: &Tensor, pull: &Tensor| v * pull - v.square() * (0.5 * self.c);
        let top = exponent(&peak, &pull);
        let weight = (exponent(&at, &pull.unsqueeze(1)) - top.unsqueeze(1)).exp() * w * half;
        let norm = along(&weight);
        let weight = weight / norm.unsqueeze(1);
        let (first, second) = (along(&(&weight * &at)), along(&(&weight * at.square())));
        let (off, off_square) = (&at - first.unsqueeze(1), at.square() - second.unsqueeze(1));
        let variance = along(&(&weight * off.square()));
        let value = (exponent(&v, &pull) - top - norm.log()).sum(Kind::Double) - self.sigma.ln() * r.size()[0] as f64;
        let slope = terms.tr().matmul(&(&v - first));
        let slope_c = (v.square() - second).sum(Kind::Double) * -0.5;
        let curve = terms.tr().matmul(&(terms * variance.unsqueeze(1)));
        let side = (terms.tr().matmul(&along(&(&weight * &off * &off_square))) * -0.5).unsqueeze(1);
        let corner = along(&(&weight * off_square.square())).sum(Kind::Double) * 0.25;
        let rows =
            Tensor::cat(&[Tensor::cat(&[&curve, &side], 1), Tensor::cat(&[side.tr(), corner.view([1, 1])], 1)], 0);
        flat(&[&value, &slope, &slope_c, &rows])
    }
}

/// What the likeliest σ, of a regression on k terms by n samples, is times for another sample: the σ that makes it likeliest
/// on average, σ² (n + k)/(n − k − 2), for the terms' weights are not known exactly, and 1/σ² is on average too large.
fn predictive(n: i64, k: i64) -> f64 {
    ((n + k) as f64 / (n - k - 2).max(1) as f64).sqrt()
}

/// Solves a symmetric system, whose null space has no say.
fn solve(matrix: &Tensor, right: &Tensor) -> Tensor {
    let scale = matrix.diag(0).clamp_min(f64::MIN_POSITIVE).sqrt();
    let (s, v) = (matrix / (scale.unsqueeze(0) * scale.unsqueeze(1))).linalg_eigh("L");
    let inverse = s.reciprocal().where_self(&s.gt(1e-12), &s.zeros_like());
    v.matmul(&(inverse * v.tr().matmul(&(right / &scale)))) / scale
}
