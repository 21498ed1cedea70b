//! Harmonics of spin 0.
//!
//! λ_ℓm(θ), with Y_ℓm = λ_ℓm e^{imφ}, obeys cosθ λ_ℓ = ε_{ℓ+1} λ_{ℓ+1} + ε_ℓ λ_{ℓ−1}, ε_ℓ² = (ℓ² − m²)/(4ℓ² − 1).
//! Two steps at once (Ishioka 2018, J. Meteorol. Soc. Japan 96, 241) lead from one even ℓ − m to the next, λ_{m+2k} = c_k p_k,
//! in y = cos²θ. Odd ones are never needed: Σ_k b_k λ_{m+2k+1} = cosθ Σ_k b′_k λ_{m+2k} with
//! b_k = ε_{m+2k+1} b′_k + ε_{m+2k+2} b′_{k+1}. Rings at θ and π − θ differ by the sign of the odd part.

use super::Complex;
use super::recursion::{Angles, Colatitude, LANES, Step, Walk};
use std::f64::consts::PI;
use wide::f64x4;

/// Sums over ℓ = m … lmax for one m after the other.
pub(super) struct Legendre {
    lmax: usize,
    /// ε_ℓ, from ℓ = m.
    epsilon: Vec<f64>,
    /// c_k.
    c: Vec<f64>,
    steps: Vec<Step>,
    partial: Vec<[f64x4; 4]>,
}

/// ε_ℓ of m.
fn epsilon(l: usize, m: usize) -> f64 {
    let (l, m) = (l as f64, m as f64);
    ((l - m) * (l + m) / ((2.0 * l - 1.0) * (2.0 * l + 1.0))).sqrt()
}

/// ln |λ_mm| − m ln sinθ.
fn ln_norm(m: usize) -> f64 {
    let product: f64 = (1..=m).map(|k| (-0.5 / k as f64).ln_1p()).sum();
    // λ_mm² = (2m + 1)/4π Π_k (2k − 1)/2k sin^2m θ.
    0.5 * (((2 * m + 1) as f64 / (4.0 * PI)).ln() + product)
}

impl Legendre {
    fn turn_to(&mut self, m: usize) {
        let n = (self.lmax - m) / 2 + 1;
        self.epsilon.clear();
        self.epsilon.extend((m..m + 2 * n + 3).map(|l| epsilon(l, m)));
        let e = &self.epsilon;
        self.c.clear();
        self.c.extend([1.0, 1.0]);
        for k in 1..n {
            self.c.push(self.c[k - 1] * e[2 * k] * e[2 * k - 1] / (e[2 * k + 1] * e[2 * k + 2]));
        }
        let c = &self.c;
        self.steps.clear();
        self.steps.extend((0..n).map(|k| {
            let alpha = c[k] / (c[k + 1] * e[2 * k + 1] * e[2 * k + 2]);
            let beta = -alpha * (e[2 * k + 1] * e[2 * k + 1] + e[2 * k] * e[2 * k]);
            Step { alpha, beta, sums: [0.0; 4] }
        }));
    }

    /// The recursion at ℓ = m; the sign is that of Condon and Shortley.
    fn walk(m: usize, norm: f64, at: Angles) -> Walk {
        let ln = |i: usize| norm + m as f64 * at.ln_sin[i];
        Walk::new(|i| at.cos[i] * at.cos[i], ln, if m % 2 == 1 { -1.0 } else { 1.0 }, at.cos.len())
    }
}

impl Colatitude<1> for Legendre {
    fn new(lmax: usize) -> Self {
        Legendre { lmax, epsilon: vec![], c: vec![], steps: vec![], partial: vec![] }
    }

    fn synthesise(
        &mut self,
        m: usize,
        [a]: [&[Complex]; 1],
        at: Angles,
        [north]: [&mut [Complex]; 1],
        [south]: [&mut [Complex]; 1],
    ) {
        self.turn_to(m);
        let mut b = Complex::default();
        for (k, step) in self.steps.iter_mut().enumerate().rev() {
            let (even, odd) = (a[2 * k], a.get(2 * k + 1).copied().unwrap_or_default());
            b = (odd - b * self.epsilon[2 * k + 2]) / self.epsilon[2 * k + 1];
            step.sums = [even.re, even.im, b.re, b.im].map(|x| self.c[k] * x);
        }
        let norm = ln_norm(m);
        for (first, at) in at.side_by_side() {
            let sums = Self::walk(m, norm, at).sum(&self.steps);
            for (i, cos) in at.cos.iter().enumerate() {
                let (even, odd) = (Complex::new(sums[0][i], sums[1][i]), Complex::new(sums[2][i], sums[3][i]) * cos);
                (north[first + i], south[first + i]) = (even + odd, even - odd);
            }
        }
    }

    fn analyse(
        &mut self,
        m: usize,
        [a]: [&mut [Complex]; 1],
        at: Angles,
        [north]: [&[Complex]; 1],
        [south]: [&[Complex]; 1],
    ) {
        self.turn_to(m);
        self.partial.clear();
        self.partial.resize(self.steps.len(), Default::default());
        let norm = ln_norm(m);
        for (first, at) in at.side_by_side() {
            let mut f = [[0.0; LANES]; 4];
            for (i, &cos) in at.cos.iter().enumerate() {
                let (n, s) = (north[first + i], south[first + i]);
                let (even, odd) = (n + s, (n - s) * cos);
                [f[0][i], f[1][i], f[2][i], f[3][i]] = [even.re, even.im, odd.re, odd.im];
            }
            Self::walk(m, norm, at).project(&self.steps, f, &mut self.partial);
        }
        let mut b = Complex::default();
        for (k, (partial, c)) in self.partial.iter().zip(&self.c).enumerate() {
            let [er, ei, or, oi] = partial.map(|lanes| c * lanes.reduce_add());
            a[2 * k] = Complex::new(er, ei);
            b = (Complex::new(or, oi) - b * self.epsilon[2 * k]) / self.epsilon[2 * k + 1];
            if let Some(odd) = a.get_mut(2 * k + 1) {
                *odd = b;
            }
        }
    }
}
