//! Sums over ℓ for one m on many rings at once: the recursion in ℓ that all spins share, and what is summed along it.
//!
//! The colatitude part of a harmonic is c_k p_k, with p_{k+1} = (α_k y + β_k) p_k − p_{k−1} and y a function of the ring. Where p
//! is too small for a double it is scaled by powers of 2⁸⁰⁰ (Prézeau & Reinecke 2010), and left out of sums before the first
//! that is above 2⁻⁶⁶.

use super::Complex;
use std::f64::consts::LN_2;
use wide::{CmpGt, CmpLt, f64x4};

/// Rings that are summed side by side, in `WIDTH` vector registers.
pub(super) const LANES: usize = 4 * WIDTH;
const WIDTH: usize = 4;
type Lanes = [f64x4; WIDTH];

/// A rescaling step, in powers of two, and when it is due.
const SCALE: i32 = 800;
const BIG: f64 = 2.5822498780869086e120; // 2⁴⁰⁰
const SMALL: f64 = 1.499696813895631e-241; // 2⁻⁸⁰⁰
const NEGLIGIBLE: f64 = 1.3552527156068805e-20; // 2⁻⁶⁶

/// The colatitude part of a transform of N real fields, m by m.
pub(super) trait Colatitude<const N: usize> {
    /// For ℓ up to lmax.
    fn new(lmax: usize) -> Self;
    /// F(θ) = Σ_ℓ a_ℓ λ_ℓm(θ) of `a` (ℓ = m … lmax) on all pairs of rings with these cosines ≥ 0 and sines: at θ
    /// (`north`) and at π − θ (`south`).
    fn synthesise(
        &mut self,
        m: usize,
        a: [&[Complex]; N],
        at: Angles,
        north: [&mut [Complex]; N],
        south: [&mut [Complex]; N],
    );
    /// The adjoint: a_ℓ = Σ λ_ℓm F over all rings.
    fn analyse(&mut self, m: usize, a: [&mut [Complex]; N], at: Angles, north: [&[Complex]; N], south: [&[Complex]; N]);
}

/// cosθ and sinθ of rings.
#[derive(Clone, Copy)]
pub(super) struct Angles<'a> {
    pub cos: &'a [f64],
    pub sin: &'a [f64],
}

impl<'a> Angles<'a> {
    /// Those of rings side by side, and the number of the first.
    pub fn side_by_side(self) -> impl Iterator<Item = (usize, Angles<'a>)> {
        let all = self.cos.chunks(LANES).zip(self.sin.chunks(LANES)).enumerate();
        all.map(|(at, (cos, sin))| (at * LANES, Angles { cos, sin }))
    }
}

/// A step of the recursion, and the four numbers whose multiples are summed there.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    pub alpha: f64,
    pub beta: f64,
    pub sums: [f64; 4],
}

/// Where the recursion stands, on rings side by side: p_k and p_{k−1}, times 2^(−800 scale).
pub(super) struct Walk {
    y: Lanes,
    p: Lanes,
    last: Lanes,
    scale: Lanes,
}

impl Walk {
    /// At p_0 = sign · e^ln on each ring.
    pub fn new(y: impl Fn(usize) -> f64, ln: impl Fn(usize) -> f64, sign: f64, rings: usize) -> Self {
        let step = f64::from(SCALE) * LN_2;
        let scale = |i: usize| (ln(i) / step).round().min(0.0);
        let of = |f: &dyn Fn(usize) -> f64| lanes(std::array::from_fn(|i| if i < rings { f(i) } else { 0.0 }));
        let (y, scale, p) = (of(&y), of(&scale), of(&|i| sign * (ln(i) - scale(i) * step).exp()));
        Walk { y, p, last: Default::default(), scale }
    }

    #[inline(always)]
    fn advance(&mut self, step: &Step) {
        let (alpha, beta) = (f64x4::splat(step.alpha), f64x4::splat(step.beta));
        for i in 0..WIDTH {
            let next = alpha.mul_add(self.y[i], beta).mul_sub(self.p[i], self.last[i]);
            (self.last[i], self.p[i]) = (self.p[i], next);
        }
    }

    /// Goes on until all rings are in the range of doubles. Calls `count(k, step, p)` at steps where some may be seen,
    /// with 0 in place of those that are not. The number of steps.
    fn enter(&mut self, steps: &[Step], mut count: impl FnMut(usize, &Step, &Lanes)) -> usize {
        let (mut counts, zero) = (false, f64x4::ZERO);
        for (k, step) in steps.iter().enumerate() {
            let seen: Lanes = std::array::from_fn(|i| self.scale[i].cmp_lt(zero).blend(zero, self.p[i]));
            counts = counts || seen.iter().any(|p| p.abs().cmp_gt(f64x4::splat(NEGLIGIBLE)).any());
            if counts && !self.scale.iter().any(|s| s.cmp_lt(zero).any()) {
                return k;
            }
            if counts {
                count(k, step, &seen);
            }
            self.advance(step);
            for i in 0..WIDTH {
                let big = self.p[i].abs().cmp_gt(f64x4::splat(BIG));
                let factor = big.blend(f64x4::splat(SMALL), f64x4::ONE);
                self.p[i] *= factor;
                self.last[i] *= factor;
                self.scale[i] += big.blend(f64x4::ONE, zero);
            }
        }
        steps.len()
    }

    /// Σ_k s_k p_k on each ring, for each of the four s of the steps.
    pub fn sum(mut self, steps: &[Step]) -> [[f64; LANES]; 4] {
        let mut sums = [Lanes::default(); 4];
        let from = self.enter(steps, |_, step, p| add(step, p, &mut sums));
        // A copy of its own stays in registers.
        let mut rest = sums;
        for step in &steps[from..] {
            add(step, &self.p, &mut rest);
            self.advance(step);
        }
        rest.map(array)
    }

    /// Adds Σ p_k f over the rings to `partial[k]`, for each of four f.
    pub fn project(mut self, steps: &[Step], f: [[f64; LANES]; 4], partial: &mut [[f64x4; 4]]) {
        let f = f.map(lanes);
        let from = self.enter(steps, |k, _, p| dot(p, &f, &mut partial[k]));
        for (step, partial) in steps[from..].iter().zip(&mut partial[from..]) {
            dot(&self.p, &f, partial);
            self.advance(step);
        }
    }
}

#[inline(always)]
fn add(step: &Step, p: &Lanes, sums: &mut [Lanes; 4]) {
    for (sum, &s) in sums.iter_mut().zip(&step.sums) {
        let s = f64x4::splat(s);
        for i in 0..WIDTH {
            sum[i] = s.mul_add(p[i], sum[i]);
        }
    }
}

#[inline(always)]
fn dot(p: &Lanes, f: &[Lanes; 4], partial: &mut [f64x4; 4]) {
    for (sum, f) in partial.iter_mut().zip(f) {
        for i in 0..WIDTH {
            *sum = p[i].mul_add(f[i], *sum);
        }
    }
}

fn lanes(all: [f64; LANES]) -> Lanes {
    std::array::from_fn(|i| f64x4::from([all[4 * i], all[4 * i + 1], all[4 * i + 2], all[4 * i + 3]]))
}

fn array(lanes: Lanes) -> [f64; LANES] {
    let mut all = [0.0; LANES];
    all.chunks_exact_mut(4).zip(lanes).for_each(|(to, from)| to.copy_from_slice(&from.to_array()));
    all
}

/// The largest m that reaches a ring, up to what is negligible (as in libsharp, Reinecke & Seljebotn 2013).
pub(super) fn reach(lmax: usize, sin: f64, cos: f64, spin: usize) -> usize {
    let (l, s) = (lmax as f64, spin as f64);
    let t = l * sin + (0.01 * l).max(100.0);
    let b = s * cos.abs();
    let m = b + (b * b - s * s + t * t).max(0.0).sqrt();
    if m >= l { lmax } else { m.round() as usize }
}
