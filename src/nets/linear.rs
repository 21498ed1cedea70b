//! The posterior of a linear model with Gaussian noise, cut off where the prior ends, as a map of θ to standard normal
//! numbers: exact where inputs are linear in θ, where they say nothing, and where they say all; and where a flow starts.
//!
//! With r the parameters in the coordinates of their prior (a box is [0, 1]) and t = (z − z̄) P the projections of the
//! inputs z on the parameters, p(r_i | r_<i, z) ∝ N(r_i; μ_i, σ_i²) within the prior's bounds, where μ_i = c_i · (1, t,
//! (r − t)_<i); and u_i = Φ⁻¹(F_i(r_i)), F_i its distribution function. (Handley & Mediato-Diaz 2025, arXiv:2501.03921,
//! have the model without bounds.)

use super::kept;
use super::unbounded::Unbounded;
use crate::prior::Prior;
use tch::{Kind, Tensor, nn};

/// A mean may lie so many σ beyond a bound, so that what is left within keeps its digits.
const BEYOND: f64 = 5.0;
/// The largest σ in a box of width 1: a uniform density to one part in two hundred.
pub const WIDEST: f64 = 5.0;
/// Least share of a density on one side of a point that is told from nothing: nearer to an edge is as good as this near,
/// for θ has no more digits.
const LEAST: f64 = 1e-12;
const NONE: f64 = 1e-300;

/// The densities of p parameters, given n numbers.
pub struct Linear {
    /// (n): z̄, and (n, p): P.
    pub centre: Tensor,
    pub projection: Tensor,
    /// (p, 1 + 2p): the c_i, 0 where they have no say; (p): the σ_i.
    pub slopes: Tensor,
    pub sigma: Tensor,
    unbounded: Unbounded,
    /// Which parameters are in a box, and which are not; where each is among those, one group after the other.
    boxed: Tensor,
    open: Tensor,
    places: Tensor,
}

impl Linear {
    /// One that knows nothing yet: in boxes the prior, next to.
    pub fn new(path: &nn::Path, prior: &Prior, inputs: i64) -> Self {
        let p = prior.len() as i64;
        let is_boxed: Vec<bool> = prior.parameters.iter().map(|q| q.distribution.coordinate().boxed).collect();
        let [boxed, open] =
            [true, false].map(|sort| (0..p).filter(|&i| is_boxed[i as usize] == sort).collect::<Vec<_>>());
        let mut places = vec![0i64; p as usize];
        boxed.iter().chain(&open).enumerate().for_each(|(place, &i)| places[i as usize] = place as i64);
        let on = |list: &[i64]| Tensor::from_slice(list).to_kind(Kind::Int64).to_device(path.device());
        let linear = Linear {
            centre: kept(path, "centre", &[inputs], 0.0),
            projection: kept(path, "projection", &[inputs, p], 0.0),
            slopes: kept(path, "slopes", &[p, 1 + 2 * p], 0.0),
            sigma: kept(path, "sigma", &[p], 1.0),
            unbounded: Unbounded::new(prior, path.device()),
            boxed: on(&boxed),
            open: on(&open),
            places: on(&places),
        };
        for &i in &boxed {
            let _ = linear.slopes.get(i).get(0).fill_(0.5);
            let _ = linear.sigma.get(i).fill_(WIDEST);
        }
        linear
    }

    /// Which parameters are in a box.
    pub fn is_boxed(&self, i: i64) -> bool {
        super::whole(&self.boxed).contains(&i)
    }

    /// r (n, p) at θ (n, p), in double precision.
    pub fn coordinates(&self, theta: &Tensor) -> Tensor {
        self.unbounded.unit(theta).0
    }

    /// t (n, p) of inputs z (n, inputs), in double precision.
    pub fn project(&self, z: &Tensor) -> Tensor {
        (z.to_kind(Kind::Double) - &self.centre).matmul(&self.projection)
    }

    /// (1, t, r − t), (n, 1 + 2p).
    pub fn terms(t: &Tensor, r: &Tensor) -> Tensor {
        Tensor::cat(&[&Tensor::ones_like(&t.narrow(1, 0, 1)), t, &(r - t)], 1)
    }

    /// Rows (n) of θ (n, p) for which there is no density.
    pub fn outside(&self, theta: &Tensor) -> Tensor {
        self.unbounded.outside(theta)
    }

    /// u and ln |dθ/du|, (n, p) of this kind each, at θ (n, p) given inputs z (n, inputs).
    pub fn forward(&self, theta: &Tensor, z: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        self.given(theta, &self.project(z), kind)
    }

    /// The same given the projections t (n, p) of inputs.
    pub fn given(&self, theta: &Tensor, t: &Tensor, kind: Kind) -> (Tensor, Tensor) {
        let (r, ln) = self.unbounded.unit(theta);
        let mean = Self::terms(t, &r).matmul(&self.slopes.tr());
        let of = |columns: &Tensor| {
            [&r, &mean].map(|x| x.index_select(1, columns)).into_iter().chain([self.sigma.index_select(0, columns)])
        };
        let [r_in, mean_in, sigma_in] = of(&self.boxed).collect::<Vec<_>>().try_into().expect("three");
        let [r_out, mean_out, sigma_out]: [Tensor; 3] = of(&self.open).collect::<Vec<_>>().try_into().expect("three");
        let cut = Cut::new(&mean_in, &sigma_in);
        let w = (&r_in - &cut.mean) / &sigma_in;
        let u_in = cut.to_normal(&w);
        let ln_in = (w.square() - u_in.square()) * 0.5 + cut.within.log() + sigma_in.log();
        let u_out = (&r_out - mean_out) / &sigma_out;
        let ln_out = u_out.zeros_like() + sigma_out.log();
        let together = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 1).index_select(1, &self.places);
        (together(&u_in, &u_out).to_kind(kind), (ln + together(&ln_in, &ln_out)).to_kind(kind))
    }

    /// θ (n, p) in double precision, at u (n, p) given inputs z (n, inputs).
    pub fn inverse(&self, u: &Tensor, z: &Tensor) -> Tensor {
        let (t, u) = (self.project(z), u.to_kind(Kind::Double));
        let p = u.size()[1];
        let mut r = t.copy();
        for i in 0..p {
            let mean = Self::terms(&t, &r).matmul(&self.slopes.get(i)).unsqueeze(1);
            let (sigma, u) = (self.sigma.get(i), u.narrow(1, i, 1));
            let own = match self.is_boxed(i) {
                true => {
                    let cut = Cut::new(&mean, &sigma);
                    (cut.at_normal(&u) * &sigma + &cut.mean).clamp(0.0, 1.0)
                }
                false => u * sigma + mean,
            };
            r = Tensor::cat(&[r.narrow(1, 0, i), own, t.narrow(1, i + 1, p - i - 1)], 1);
        }
        self.unbounded.of_unit(&r)
    }
}

/// Gaussians that are cut off at 0 and 1: from the side that leans to the lower tail, where their shares have all digits.
struct Cut {
    mean: Tensor,
    /// 1 or −1: mirrored where more lies above than below.
    sign: Tensor,
    /// The bounds in σ from the mean, mirrored, and Φ of them.
    high: Tensor,
    below: Tensor,
    up_to: Tensor,
    /// What lies within.
    within: Tensor,
}

impl Cut {
    fn new(mean: &Tensor, sigma: &Tensor) -> Self {
        let mean = mean.maximum(&(sigma * -BEYOND)).minimum(&(sigma * BEYOND + 1.0));
        let [low, high] = [-&mean / sigma, (-&mean + 1.0) / sigma];
        let leans = (&low + &high).gt(0.0);
        let sign = leans.to_kind(Kind::Double) * -2.0 + 1.0;
        let (low, high) = ((-&high).where_self(&leans, &low), (-low.shallow_clone()).where_self(&leans, &high));
        let (below, up_to) = (low.special_ndtr(), high.special_ndtr());
        Cut { mean, sign, within: &up_to - &below, high, below, up_to }
    }

    /// Φ⁻¹ of the share below w, which is in σ from the mean.
    fn to_normal(&self, w: &Tensor) -> Tensor {
        let w = w * &self.sign;
        let lower = (w.special_ndtr() - &self.below) / &self.within;
        let beyond = (-&w).special_ndtr() - (-&self.high).special_ndtr();
        let upper = beyond.where_self(&w.gt(0.0), &(&self.up_to - w.special_ndtr())) / &self.within;
        let is_lower = lower.lt_tensor(&upper);
        let u = lower.where_self(&is_lower, &upper).clamp_min(LEAST).special_ndtri();
        u.where_self(&is_lower, &-&u) * &self.sign
    }

    /// Its inverse.
    fn at_normal(&self, u: &Tensor) -> Tensor {
        let u = u * &self.sign;
        let share = (-u.abs()).special_ndtr() * &self.within;
        let is_lower = u.lt(0.0);
        let below = (&self.below + &share).where_self(&is_lower, &(&self.up_to - &share));
        let above = (-&self.high).special_ndtr() + share.where_self(&is_lower.logical_not(), &(&self.within - &share));
        let w = below.clamp_min(NONE).special_ndtri();
        w.where_self(&below.lt(0.5), &-above.clamp_min(NONE).special_ndtri()) * &self.sign
    }
}
