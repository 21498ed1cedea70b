//! What the training inputs were like, to tell when another is not: the range of each number, and the distance of all
//! together (Mahalanobis 1936), measured against that of the training inputs themselves.

use super::put;
use super::statistics::{Core, core, in_parts, none_like, quantiles};
use tch::{Kind, Tensor, nn};

/// More numbers than this are looked at one by one only.
const JOINT: i64 = 128;

/// Samples that are looked at a time.
const CHUNK: i64 = 256;

/// How far samples lie outside what was learned from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Novelty {
    /// How far the worst of a sample's numbers lies outside the training range, in widths of that range; 0 inside,
    /// infinite where a number that was constant in training is another.
    pub outside: Vec<f64>,
    /// Which number that is.
    pub most: Vec<i64>,
    /// Distance of all numbers together over that of the hundredth part of the training samples that lies farthest; 0
    /// where there are too many numbers.
    pub distance: Vec<f64>,
}

/// Kept with the weights, all in double precision.
pub(super) struct Familiar {
    low: Tensor,
    high: Tensor,
    /// Unit of a distance from the range; 0 for a number that is constant in training.
    width: Tensor,
    /// What a constant may differ by: rounding.
    tolerance: Tensor,
    mean: Tensor,
    sd: Tensor,
    /// Inverse of the correlations, and the distance that the others are compared with.
    joint: Option<(Tensor, Tensor)>,
}

impl Familiar {
    /// Of so many numbers.
    pub fn new(path: &nn::Path, numbers: i64) -> Self {
        let zeros = |name: &str, shape: &[i64]| super::kept(path, name, shape, 0.0);
        Familiar {
            low: zeros("low", &[numbers]),
            high: zeros("high", &[numbers]),
            width: zeros("width", &[numbers]),
            tolerance: zeros("tolerance", &[numbers]),
            mean: zeros("mean", &[numbers]),
            sd: super::kept(path, "sd", &[numbers], 1.0),
            joint: (numbers <= JOINT)
                .then(|| (zeros("joint", &[numbers, numbers]), super::kept(path, "reference", &[1], 1.0))),
        }
    }

    /// Takes up the training samples (n, numbers). `scale` is the least width of a range, 0 for constants.
    pub fn fit(&self, x: &Tensor, scale: &Tensor, tolerance: &Tensor) {
        let Core { mean, sd, low, high } = core(x, &none_like(x));
        let varies = scale.gt(0.0).to_kind(Kind::Double);
        put(&self.width, &((&high - &low).maximum(scale) * &varies));
        put(&self.low, &low);
        put(&self.high, &high);
        put(&self.tolerance, tolerance);
        put(&self.mean, &mean);
        put(&self.sd, &sd.where_self(&sd.gt(0.0).logical_and(&scale.gt(0.0)), &sd.ones_like()));
        if let Some((joint, farthest)) = &self.joint {
            let z = self.standardised(x).clamp(-10.0, 10.0);
            let (n, numbers) = z.size2().expect("columns");
            // A little of the unit matrix keeps directions without scatter finite; more where samples are few.
            let shrink = 1e-6 + 0.1 * (numbers as f64 / n as f64).min(1.0);
            let unit = Tensor::eye(numbers, (Kind::Double, z.device()));
            let correlation = z.tr().matmul(&z) * ((1.0 - shrink) / n as f64) + unit * shrink;
            let inverse = Tensor::linalg_inv(&correlation);
            // Each sample as if it had not been among those that the correlations are of (Sherman & Morrison 1950).
            let own = (z.matmul(&inverse) * &z).sum_dim_intlist(1i64, true, None::<Kind>);
            let distance = (&own / (-&own / n as f64 + 1.0).clamp_min(1e-3)).sqrt();
            let [reference] = quantiles(&distance, [0.99]);
            put(joint, &inverse);
            put(farthest, &reference.clamp_min(1e-3));
        }
    }

    /// Everything that is kept.
    pub fn state(&self) -> Vec<Tensor> {
        let own = [&self.low, &self.high, &self.width, &self.tolerance, &self.mean, &self.sd];
        let joint = self.joint.iter().flat_map(|(joint, reference)| [joint, reference]);
        own.into_iter().chain(joint).map(Tensor::shallow_clone).collect()
    }

    /// In standard deviations of the training samples; 0 of what was constant there.
    pub fn standardised(&self, x: &Tensor) -> Tensor {
        (x - &self.mean) / &self.sd * self.width.gt(0.0).to_kind(Kind::Double)
    }

    /// Of samples (n · views, numbers): the worst of each sample's views.
    pub fn novelty(&self, x: &Tensor, views: i64) -> Novelty {
        let of = |start, len| self.of_some(&x.narrow(0, start, len), views);
        let [outside, most, distance] = in_parts(x.size()[0], CHUNK * views, of);
        Novelty { outside: super::host(&outside), most: super::whole(&most), distance: super::host(&distance) }
    }

    fn of_some(&self, x: &Tensor, views: i64) -> [Tensor; 3] {
        let n = x.size()[0] / views;
        let beyond = (&self.low - x).maximum(&(x - &self.high)).clamp_min(0.0);
        let varies = self.width.gt(0.0);
        let far = &beyond / self.width.where_self(&varies, &self.width.ones_like());
        let other = beyond.gt_tensor(&self.tolerance).to_kind(Kind::Double);
        let other = other.where_self(&other.eq(0.0), &Tensor::full_like(&other, f64::INFINITY));
        let far = far.where_self(&varies, &other);
        let numbers = far.size()[1];
        let (outside, most) = far.reshape([n, -1]).max_dim(1, false);
        let distance = match &self.joint {
            None => Tensor::zeros([n], (Kind::Double, x.device())),
            Some((joint, reference)) => {
                let z = self.standardised(x).clamp(-1e9, 1e9);
                let square = (z.matmul(joint) * &z).sum_dim_intlist(1i64, false, None::<Kind>);
                (square.clamp_min(0.0).sqrt() / reference).view([n, -1]).amax(1i64, false)
            }
        };
        [outside, most.remainder(numbers), distance]
    }
}
