//! Harmonics of spin 2: Q + iU = −Σ (E + iB) ₂Y_ℓm, Q − iU = −Σ (E − iB) ₋₂Y_ℓm.
//!
//! ₛY_ℓm = ₛλ_ℓm e^{imφ} with ₛλ_ℓm = (−1)^m √((2ℓ + 1)/4π) d^ℓ_{−m,s}(θ), so that
//! cosθ λ_ℓ = γ_{ℓ+1} λ_{ℓ+1} − ms/(ℓ(ℓ + 1)) λ_ℓ + γ_ℓ λ_{ℓ−1}, γ_ℓ = √((ℓ² − m²)(ℓ² − s²)/(4ℓ² − 1))/ℓ
//! (Varshalovich et al. 1988, 4.8), and ₛλ_ℓm(π − θ) = (−1)^{ℓ+m} ₋ₛλ_ℓm(θ): the two signs of s on the northern rings are all.

use super::Complex;
use super::recursion::{Angles, Colatitude, LANES, Step, Walk};
use std::f64::consts::PI;
use wide::f64x4;

/// Sums over ℓ = max(m, 2) … lmax for one m after the other.
pub(super) struct Spin {
    lmax: usize,
    /// c_ℓ: λ_ℓ = c_ℓ p_ℓ, from the first ℓ.
    c: Vec<f64>,
    /// For s = 2 and −2.
    steps: [Vec<Step>; 2],
    partial: [Vec<[f64x4; 4]>; 2],
}

const SIGNS: [f64; 2] = [1.0, -1.0];
const I: Complex = Complex::new(0.0, 1.0);

fn gamma(l: usize, m: usize) -> f64 {
    let (l, m) = (l as f64, m as f64);
    ((l - m) * (l + m) * (l - 2.0) * (l + 2.0) / ((2.0 * l - 1.0) * (2.0 * l + 1.0))).sqrt() / l
}

impl Spin {
    fn turn_to(&mut self, m: usize) {
        let first = m.max(2);
        let n = (self.lmax + 1).saturating_sub(first);
        self.c.clear();
        self.c.extend([1.0, 1.0]);
        for l in first + 1..first + n {
            self.c.push(self.c[l - first - 1] * gamma(l, m) / gamma(l + 1, m));
        }
        let step = |i: usize| {
            let l = first + i;
            let alpha = self.c[i] / (self.c[i + 1] * gamma(l + 1, m));
            (alpha, alpha * (2 * m) as f64 / (l * (l + 1)) as f64)
        };
        for (steps, sign) in self.steps.iter_mut().zip(SIGNS) {
            steps.clear();
            steps.extend((0..n).map(step).map(|(alpha, b)| Step { alpha, beta: sign * b, sums: [0.0; 4] }));
        }
    }

    /// The recursion at the first ℓ: λ = ± √((2ℓ + 1)/4π · (2ℓ)!/((ℓ + k)! (ℓ − k)!)) cos^{ℓ∓k}(θ/2) sin^{ℓ±k}(θ/2) for s = ±2, k
    /// the smaller of m and 2.
    fn walk(m: usize, sign: f64, at: Angles) -> Walk {
        let (first, k) = (m.max(2), m.min(2));
        // (2ℓ)!/((ℓ + k)! (ℓ − k)!) as (2ℓ)!/(ℓ!)² 4^−ℓ and what is left of it.
        let binomial: f64 = (1..=first).map(|i| (-0.5 / i as f64).ln_1p()).sum::<f64>();
        let shift: f64 = (0..k).map(|i| ((first - i) as f64 / (first + 1 + i) as f64).ln()).sum();
        let norm = 0.5 * (((2 * first + 1) as f64 / (4.0 * PI)).ln() + binomial + shift);
        // cos(θ/2)^ℓ sin(θ/2)^ℓ 2^ℓ = sin^ℓ θ; the rest is a power of tan(θ/2).
        let ln = |i: usize| norm + first as f64 * at.ln_sin[i] + sign * k as f64 * at.ln_tan[i];
        let odd = m % 2 == 1 && (m > 1 || sign > 0.0);
        Walk::new(|i| at.cos[i], ln, if odd { -1.0 } else { 1.0 }, at.cos.len())
    }
}

/// (−1)^{ℓ+m}.
fn parity(l: usize, m: usize) -> f64 {
    if (l + m).is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// From [E, B]; to [Q, U].
impl Colatitude<2> for Spin {
    fn new(lmax: usize) -> Self {
        Spin { lmax, c: vec![], steps: Default::default(), partial: Default::default() }
    }

    fn synthesise(
        &mut self,
        m: usize,
        [e, b]: [&[Complex]; 2],
        at: Angles,
        [north_q, north_u]: [&mut [Complex]; 2],
        [south_q, south_u]: [&mut [Complex]; 2],
    ) {
        self.turn_to(m);
        let first = m.max(2);
        for (i, c) in (0..self.steps[0].len()).zip(&self.c) {
            let (e, b) = (e[first - m + i], I * b[first - m + i]);
            let (plus, minus) = ((e + b) * -0.5 * c, (e - b) * -0.5 * c);
            let (south_plus, south_minus) = (plus * parity(first + i, m), minus * parity(first + i, m));
            self.steps[0][i].sums = [plus.re, plus.im, south_minus.re, south_minus.im];
            self.steps[1][i].sums = [minus.re, minus.im, south_plus.re, south_plus.im];
        }
        for (ring, at) in at.side_by_side() {
            let [p, n] = [0, 1].map(|s| Self::walk(m, SIGNS[s], at).sum(&self.steps[s]));
            for i in 0..at.cos.len() {
                let of = |sums: &[[f64; LANES]; 4], at: usize| Complex::new(sums[at][i], sums[at + 1][i]);
                let (plus, minus, south_minus, south_plus) = (of(&p, 0), of(&n, 0), of(&p, 2), of(&n, 2));
                (north_q[ring + i], north_u[ring + i]) = (plus + minus, (minus - plus) * I);
                (south_q[ring + i], south_u[ring + i]) = (south_plus + south_minus, (south_minus - south_plus) * I);
            }
        }
    }

    fn analyse(
        &mut self,
        m: usize,
        [e, b]: [&mut [Complex]; 2],
        at: Angles,
        [north_q, north_u]: [&[Complex]; 2],
        [south_q, south_u]: [&[Complex]; 2],
    ) {
        self.turn_to(m);
        let first = m.max(2);
        for (partial, steps) in self.partial.iter_mut().zip(&self.steps) {
            partial.clear();
            partial.resize(steps.len(), Default::default());
        }
        for (ring, at) in at.side_by_side() {
            let mut f = [[[0.0; LANES]; 4]; 2];
            for i in 0..at.cos.len() {
                let (nq, nu, sq, su) =
                    (north_q[ring + i], I * north_u[ring + i], south_q[ring + i], I * south_u[ring + i]);
                for (f, [n, s]) in f.iter_mut().zip([[nq + nu, sq - su], [nq - nu, sq + su]]) {
                    [f[0][i], f[1][i], f[2][i], f[3][i]] = [n.re, n.im, s.re, s.im];
                }
            }
            for (s, f) in f.into_iter().enumerate() {
                Self::walk(m, SIGNS[s], at).project(&self.steps[s], f, &mut self.partial[s]);
            }
        }
        e.fill(Complex::default());
        b.fill(Complex::default());
        for i in 0..self.steps[0].len() {
            let [p, n] = [0, 1].map(|s| self.partial[s][i].map(|lanes| self.c[i] * lanes.reduce_add()));
            let parity = parity(first + i, m);
            let plus = Complex::new(p[0] + parity * n[2], p[1] + parity * n[3]);
            let minus = Complex::new(n[0] + parity * p[2], n[1] + parity * p[3]);
            (e[first - m + i], b[first - m + i]) = ((plus + minus) * -0.5, I * (plus - minus) * 0.5);
        }
    }
}
