//! The one-point function: how often a smoothed field takes each value, and its moments.

use super::bins::Bins;
use super::kernels::assignment_window;
use crate::comm::Comm;
use crate::mesh::{Modes, Real};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A smoothing filter of unit integral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// exp(−k²R²/2).
    Gaussian,
    /// The mean over a sphere, or over a disc of a map.
    #[default]
    TopHat,
}

impl Filter {
    /// Fourier transform in three dimensions at x = kR: 3 (sin x − x cos x)/x³ for the sphere.
    pub fn in_space(self, x: f64) -> f64 {
        match self {
            Filter::Gaussian => (-0.5 * x * x).exp(),
            // Below, the difference loses its digits and the series is as good.
            Filter::TopHat if x < 0.01 => 1.0 - 0.1 * x * x,
            Filter::TopHat => 3.0 * (x.sin() - x * x.cos()) / x.powi(3),
        }
    }

    /// Fourier transform in two dimensions at x = ℓθ: 2 J₁(x)/x for the disc.
    pub fn on_sky(self, x: f64) -> f64 {
        match self {
            Filter::Gaussian => (-0.5 * x * x).exp(),
            Filter::TopHat if x < 1e-4 => 1.0,
            Filter::TopHat => 2.0 * libm::j1(x) / x,
        }
    }
}

/// Smooths *unnormalised* forward modes of a field on a mesh over a box of `box_size` Mpc/h with a `radius` in Mpc/h,
/// divides out the assignment window of the given order, and normalises: an inverse transform gives the smoothed field.
pub fn smooth<T: Real>(modes: &mut Modes<T>, box_size: f64, filter: Filter, radius: f64, window: i32) {
    let shape = modes.shape();
    let (fundamental, norm) = (TAU / box_size, 1.0 / shape.iter().product::<usize>() as f64);
    modes.for_each(|n, c| {
        let k = fundamental * (n.iter().map(|i| i * i).sum::<i64>() as f64).sqrt();
        let assigned: f64 = (0..3).map(|d| assignment_window(window, n[d], shape[d])).product();
        *c = c.scale(T::of(norm * filter.in_space(k * radius) / assigned));
    });
}

/// A measured one-point function.
#[derive(Debug, Clone, PartialEq)]
pub struct OnePoint {
    /// Probability per unit of the field in each bin.
    pub pdf: Vec<f64>,
    /// Values in each bin: the pdf is normalised over all values, those outside the bins included.
    pub counts: Vec<u64>,
    /// Number of all values.
    pub total: u64,
    pub mean: f64,
    /// ⟨(x − mean)²⟩.
    pub variance: f64,
    /// ⟨(x − mean)³⟩/σ³.
    pub skewness: f64,
    /// Excess kurtosis ⟨(x − mean)⁴⟩/σ⁴ − 3.
    pub kurtosis: f64,
}

/// The one-point function of all ranks' values, which are read twice. Collective.
pub fn one_point(comm: &Comm, bins: &Bins, values: impl Iterator<Item = f64> + Clone) -> OnePoint {
    let (count, sum) = values.clone().fold((0u64, 0f64), |(n, s), x| (n + 1, s + x));
    let (total, sum) = (comm.sum_of(count), comm.sum_of(sum));
    let mean = sum / total as f64;
    let (mut counts, mut powers) = (vec![0u64; bins.count()], [0f64; 3]);
    for x in values {
        let d = x - mean;
        [d * d, d * d * d, d * d * d * d].iter().zip(&mut powers).for_each(|(p, s)| *s += p);
        bins.of(x).into_iter().for_each(|b| counts[b] += 1);
    }
    comm.sum(&mut counts);
    comm.sum(&mut powers);
    let [variance, third, fourth] = powers.map(|p| p / total as f64);
    let pdf =
        counts.iter().zip(bins.edges().windows(2)).map(|(&c, e)| c as f64 / total as f64 / (e[1] - e[0])).collect();
    let (skewness, kurtosis) = (third / variance.powf(1.5), fourth / variance.powi(2) - 3.0);
    OnePoint { pdf, counts, total, mean, variance, skewness, kurtosis }
}
