//! Fourier kernels on a mesh of spacing h = L/N: Laplacian's inverse, gradients, assignment windows.

use crate::mesh::{Complex, Modes, Real};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// How a gradient is taken: the factor g(k) in ∂ → i g(k).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gradient {
    /// Exact: g = k (zero at the Nyquist wavenumber, which has no sign).
    Spectral,
    /// Four-point difference: g = (8 sin kh − sin 2kh) / 6h. What FastPM and Gadget's PM use.
    #[default]
    FourPoint,
}

/// Wavenumbers k_d in h/Mpc and gradient factors g(k_d) of every index along the axes of a mesh, in the order in which
/// [`Modes`] stores them.
pub struct Wavenumbers {
    /// k by axis and global index (axis 2: 0 … N/2).
    pub k: [Vec<f64>; 3],
    /// g by axis and global index.
    pub g: [Vec<f64>; 3],
}

impl Wavenumbers {
    /// Tables for a mesh of `shape` points in a cube of side `box_size` Mpc/h.
    pub fn new(shape: [usize; 3], box_size: f64, gradient: Gradient) -> Self {
        let signed = |n: usize, i: usize| if i >= n.div_ceil(2) { i as f64 - n as f64 } else { i as f64 };
        let axis = |d: usize| -> Vec<f64> {
            let n = shape[d];
            let count = if d == 2 { n / 2 + 1 } else { n };
            (0..count).map(|i| TAU / box_size * if d == 2 { i as f64 } else { signed(n, i) }).collect()
        };
        let k = [axis(0), axis(1), axis(2)];
        let g = std::array::from_fn(|d| {
            let (n, h) = (shape[d], box_size / shape[d] as f64);
            let factor = |(i, k): (usize, &f64)| match gradient {
                _ if 2 * i == n => 0.0,
                Gradient::Spectral => *k,
                Gradient::FourPoint => (8.0 * (k * h).sin() - (2.0 * k * h).sin()) / (6.0 * h),
            };
            k[d].iter().enumerate().map(factor).collect()
        });
        Wavenumbers { k, g }
    }

    /// Calls `f([i0, i1], k_⊥², first i2, row)` for each row of modes along axis 2: indices are global.
    pub fn rows<T: Real>(&self, modes: &mut Modes<T>, mut f: impl FnMut([usize; 2], f64, usize, &mut [Complex<T>])) {
        let (block, len) = (modes.block(), modes.block().len);
        if block.volume() == 0 {
            return;
        }
        for (r, row) in modes.data_mut().chunks_exact_mut(len[2]).enumerate() {
            let i = [block.start[0] + r / len[1], block.start[1] + r % len[1]];
            let k2 = self.k[0][i[0]].powi(2) + self.k[1][i[1]].powi(2);
            f(i, k2, block.start[2], row);
        }
    }

    /// Multiplies every mode by factor(g), with g its gradient factors: (i g_d) differentiates along axis d.
    pub fn derive<T: Real>(&self, modes: &mut Modes<T>, factor: impl Fn([f64; 3]) -> Complex<f64>) {
        self.rows(modes, |[i0, i1], _, first, row| {
            for (mode, g2) in row.iter_mut().zip(&self.g[2][first..]) {
                let f = factor([self.g[0][i0], self.g[1][i1], *g2]);
                *mode *= Complex::new(T::of(f.re), T::of(f.im));
            }
        });
    }

    /// Multiplies every mode but the mean by factor(k), k in h/Mpc: a smooth function, which is tabulated first.
    pub fn scale<T: Real>(&self, modes: &mut Modes<T>, factor: impl Fn(f64) -> f64) {
        const POINTS: usize = 1 << 14;
        let largest = |d: usize| self.k[d].iter().fold(0.0f64, |a, k| a.max(k.abs()));
        let k_max = (0..3).map(|d| largest(d).powi(2)).sum::<f64>().sqrt();
        let per_k = POINTS as f64 / k_max;
        let table: Vec<T> = (0..POINTS + 2).map(|i| T::of(factor((i as f64).max(0.5) / per_k))).collect();
        self.rows(modes, |_, k2, first, row| {
            for (mode, kz) in row.iter_mut().zip(&self.k[2][first..]) {
                let x = (k2 + kz * kz).sqrt() * per_k;
                let (i, t) = (x as usize, T::of(x.fract()));
                *mode = mode.scale(table[i] + t * (table[i + 1] - table[i]));
            }
        });
    }

    /// Multiplies by `scale`/k², and sets the mean to zero.
    pub fn inverse_k2<T: Real>(&self, modes: &mut Modes<T>, scale: f64) {
        // One reciprocal per mode in the mesh's own precision: this pass runs once per force evaluation.
        let kz2: Vec<T> = self.k[2].iter().map(|k| T::of(k * k)).collect();
        let scale = T::of(scale);
        self.rows(modes, |i, k2, first, row| {
            let k2 = T::of(k2);
            for (mode, &z) in row.iter_mut().zip(&kz2[first..]) {
                *mode = mode.scale(scale / (k2 + z));
            }
            if i == [0, 0] && first == 0 {
                row[0] = Complex::new(T::zero(), T::zero());
            }
        });
    }
}

/// What else multiplies a potential: smoothing and the deconvolution of assignment windows, one factor per axis and
/// index; a sharp cut in |k|.
pub struct Filter<T> {
    axis: [Vec<T>; 3],
    k_max: Option<f64>,
}

/// Smoothing of the force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Smoothing {
    /// exp(−k² R² / 2) with `radius` R in Mpc/h.
    Gaussian { radius: f64 },
    /// Nothing above `k_max` in h/Mpc.
    SharpK { k_max: f64 },
}

impl Wavenumbers {
    /// The filter of a `smoothing` and of `windows` assignment windows (each sinc(k h / 2)) to be divided out per axis.
    pub fn filter<T: Real>(&self, smoothing: Option<Smoothing>, windows: i32, box_size: f64) -> Filter<T> {
        let shape = [self.k[0].len(), self.k[1].len(), self.k[0].len()];
        let axis = std::array::from_fn(|d| {
            let factor = |k: &f64| {
                let index = (k * box_size / TAU).round() as i64;
                let smooth = match smoothing {
                    Some(Smoothing::Gaussian { radius }) => (-0.5 * (k * radius).powi(2)).exp(),
                    _ => 1.0,
                };
                T::of(smooth / assignment_window(windows, index, shape[d]))
            };
            self.k[d].iter().map(factor).collect()
        });
        let k_max = match smoothing {
            Some(Smoothing::SharpK { k_max }) => Some(k_max),
            _ => None,
        };
        Filter { axis, k_max }
    }

    /// Multiplies by the filter.
    pub fn apply<T: Real>(&self, filter: &Filter<T>, modes: &mut Modes<T>) {
        let cut = filter.k_max.map_or(f64::INFINITY, |k| k * k);
        self.rows(modes, |[i0, i1], k2, first, row| {
            let outer = filter.axis[0][i0] * filter.axis[1][i1];
            for ((mode, &inner), kz) in row.iter_mut().zip(&filter.axis[2][first..]).zip(&self.k[2][first..]) {
                *mode = mode.scale(if k2 + kz * kz > cut { T::zero() } else { outer * inner });
            }
        });
    }
}

/// Fourier window of the mass assignment of order p (2 for CIC) along one axis: sinc(k h / 2)^p, by signed index.
pub fn assignment_window(order: i32, index: i64, n: usize) -> f64 {
    let x = TAU / 2.0 * index as f64 / n as f64;
    if index == 0 { 1.0 } else { (x.sin() / x).powi(order) }
}
