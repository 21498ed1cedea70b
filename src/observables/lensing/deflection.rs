//! Deflection and tidal field of one lens plane.

use crate::mesh::{Complex, Plane};
use std::f64::consts::TAU;

/// α = ∇ψ and U_ij = ∂_i∂_j ψ on pixel centres, with ∇²ψ = 2σ: σ is the convergence of infinitely far sources.
#[derive(Clone)]
pub struct LensPlane {
    pixels: usize,
    /// Side of a pixel in radians.
    pixel: f64,
    /// α1, α2 (radians), U11, U22, U12 of each pixel.
    data: Vec<[f64; 5]>,
}

impl LensPlane {
    /// Fourier solver for maps of `pixels` per side: twice as large, so that beyond the field there is nothing.
    pub fn solver(pixels: usize) -> Plane<f64> {
        Plane::new([2 * pixels; 2])
    }

    /// Nothing, ready to receive a plane's data.
    pub(super) fn empty(pixels: usize, pixel: f64) -> Self {
        LensPlane { pixels, pixel, data: vec![[0.0; 5]; pixels * pixels] }
    }

    /// From `sigma` (pixels, pixels) on pixels of side `pixel` radians: ψ(ℓ) = −2σ(ℓ)/ℓ², derivatives spectral.
    ///
    /// The transform leaves out the mean of the doubled field and adds copies a doubled field apart. The mean density
    /// σ̄ is put back as a uniform sheet, α = σ̄ (θ − θ_c) around the centre of mass. By the symmetry of their square
    /// lattice the copies' tide then begins with the cube of θ: a compact lens at the centre deflects as if alone to 1%
    /// at a quarter of the doubled field, to 0.1% at an eighth.
    pub fn new(solver: &mut Plane<f64>, sigma: &[f64], pixels: usize, pixel: f64) -> Self {
        let (n, wide) = (pixels, 2 * pixels);
        let mut padded = vec![0.0; wide * wide];
        for (to, from) in padded.chunks_exact_mut(wide).zip(sigma.chunks_exact(n)) {
            to[..n].copy_from_slice(from);
        }
        let modes = solver.forward(&padded);
        let l = TAU / (wide as f64 * pixel);
        let norm = 1.0 / (wide * wide) as f64;
        // The Nyquist wave has no slope on the points.
        let slope = |n: i64| if n.unsigned_abs() == pixels as u64 { 0.0 } else { n as f64 };
        let over = |x: f64, a: i64, b: i64| if a == 0 && b == 0 { 0.0 } else { norm * x / (a * a + b * b) as f64 };
        let mut lens = LensPlane::empty(n, pixel);
        let mut fill = |c: usize, kernel: &dyn Fn(i64, i64) -> Complex<f64>| {
            let map = solver.filtered(&modes, kernel);
            for (to, from) in lens.data.chunks_exact_mut(n).zip(map.chunks_exact(wide)) {
                to.iter_mut().zip(from).for_each(|(to, from)| to[c] = *from);
            }
        };
        fill(0, &|a, b| Complex::new(0.0, over(-2.0 * slope(a) / l, a, b)));
        fill(1, &|a, b| Complex::new(0.0, over(-2.0 * slope(b) / l, a, b)));
        fill(2, &|a, b| over(2.0 * (a * a) as f64, a, b).into());
        fill(3, &|a, b| over(2.0 * (b * b) as f64, a, b).into());
        fill(4, &|a, b| over(2.0 * slope(a) * slope(b), a, b).into());
        lens.add_mean(sigma, norm);
        lens
    }

    /// The uniform sheet that the transform leaves out; `norm` is one over the doubled field's number of pixels.
    fn add_mean(&mut self, sigma: &[f64], norm: f64) {
        let n = self.pixels;
        let angles = |p: usize| [self.angle(p / n), self.angle(p % n)];
        let [mut mean, mut first] = [[0.0; 2]; 2];
        for (p, sigma) in sigma.iter().enumerate() {
            let theta = angles(p);
            for d in 0..2 {
                mean[d] += norm * sigma;
                first[d] += norm * sigma * theta[d];
            }
        }
        let sheet: Vec<[f64; 2]> = (0..n * n)
            .map(|p| {
                let theta = angles(p);
                [0, 1].map(|d| mean[d] * theta[d] - first[d])
            })
            .collect();
        for (lens, sheet) in self.data.iter_mut().zip(sheet) {
            for d in 0..2 {
                lens[d] += sheet[d];
                lens[2 + d] += mean[d];
            }
        }
    }

    fn angle(&self, i: usize) -> f64 {
        (i as f64 + 0.5 - 0.5 * self.pixels as f64) * self.pixel
    }

    /// α1, α2, U11, U22, U12 of every pixel, to be sent between ranks.
    pub(super) fn flat_mut(&mut self) -> &mut [f64] {
        self.data.as_flattened_mut()
    }

    /// α1, α2 (radians), U11, U22, U12 at `theta` radians from the field's centre, by cubic convolution (Keys 1981):
    /// third order, and exact on pixel centres. Beyond the field the value at its edge.
    pub fn at(&self, theta: [f64; 2]) -> [f64; 5] {
        let n = self.pixels;
        let last = (n - 1) as f64;
        let [(i, u), (j, v)] = theta.map(|theta| {
            let x = (theta / self.pixel + 0.5 * n as f64 - 0.5).clamp(0.0, last);
            (x as usize, cubic(x.fract()))
        });
        let near = |i: usize, k: usize| (i + k).saturating_sub(1).min(n - 1);
        let mut sum = [0.0; 5];
        for (a, u) in u.iter().enumerate() {
            let row = &self.data[near(i, a) * n..][..n];
            for (b, v) in v.iter().enumerate() {
                let (point, weight) = (&row[near(j, b)], u * v);
                sum.iter_mut().zip(point).for_each(|(sum, point)| *sum += weight * point);
            }
        }
        sum
    }
}

/// Keys' weights (a = −1/2) of the points at −1, 0, 1 and 2 for a value at `t` in [0, 1).
fn cubic(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1.0, -1.5 * t3 + 2.0 * t2 + 0.5 * t, 0.5 * t3 - 0.5 * t2]
}
