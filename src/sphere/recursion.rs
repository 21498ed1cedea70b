//! Sums over ℓ for one m on many rings at once: the recursion in ℓ that all spins share, and what is summed along it.
//!
//! The colatitude part of a harmonic is c_k p_k, with p_{k+1} = (α_k y + β_k) p_k − p_{k−1} and y a function of the ring. Where p
//! is too small for a double it is scaled by powers of 2⁸⁰⁰ (Prézeau & Reinecke 2010), and left out of sums before the first
//! that is above 2⁻¹⁰⁰.

use super::Complex;
use super::register::Register;
#[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
use super::register::wide512;
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
const NEGLIGIBLE: f64 = 7.888609052210118e-31; // 2⁻¹⁰⁰
/// Steps between two looks at the scale. In so many p grows by less than the largest double is above 2⁴⁰⁰.
const TOGETHER: usize = 4;

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

/// cosθ, ln sinθ and ln tan θ/2 of rings.
#[derive(Clone, Copy)]
pub(super) struct Angles<'a> {
    pub cos: &'a [f64],
    pub ln_sin: &'a [f64],
    pub ln_tan: &'a [f64],
}

impl<'a> Angles<'a> {
    /// Those from ring `from` on.
    pub fn from(self, from: usize) -> Self {
        self.between(from, self.cos.len())
    }

    fn between(self, from: usize, to: usize) -> Self {
        Angles { cos: &self.cos[from..to], ln_sin: &self.ln_sin[from..to], ln_tan: &self.ln_tan[from..to] }
    }

    /// Those of rings side by side, and the number of the first.
    pub fn side_by_side(self) -> impl Iterator<Item = (usize, Angles<'a>)> {
        let all = self.cos.len();
        (0..all).step_by(LANES).map(move |at| (at, self.between(at, (at + LANES).min(all))))
    }
}

/// ln sinθ, exact near the poles and near the equator.
pub(super) fn ln_sin(cos: f64, sin: f64) -> f64 {
    if sin < 0.7 { sin.ln() } else { 0.5 * (-cos * cos).ln_1p() }
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
        let of = |f: &dyn Fn(usize) -> f64| lanes(std::array::from_fn(|i| if i < rings { f(i) } else { 0.0 }));
        let (y, ln) = (of(&y), of(&ln));
        let scale = ln.map(|ln| (ln * f64x4::splat(1.0 / step)).round().min(f64x4::ZERO));
        let p = std::array::from_fn(|i| (ln[i] - scale[i] * f64x4::splat(step)).exp() * f64x4::splat(sign));
        Walk { y, p, last: Default::default(), scale }
    }

    #[inline(always)]
    fn advance(&mut self, step: &Step) {
        next(step, &self.y, &self.p, &mut self.last);
        std::mem::swap(&mut self.p, &mut self.last);
    }

    /// Goes on until all rings are in the range of doubles. Calls `count(k, step, p)` at steps where some may be seen,
    /// with 0 in place of those that are not. The number of steps.
    #[inline(always)]
    fn enter(&mut self, steps: &[Step], mut count: impl FnMut(usize, &Step, &Lanes)) -> usize {
        let (zero, negligible) = (f64x4::ZERO, f64x4::splat(NEGLIGIBLE));
        let mut counts = false;
        for (block, steps) in steps.chunks(TOGETHER).enumerate() {
            let seen: Lanes = std::array::from_fn(|i| self.scale[i].cmp_lt(zero).blend(zero, f64x4::ONE));
            counts = counts || (0..WIDTH).any(|i| (seen[i] * self.p[i].abs()).cmp_gt(negligible).any());
            if counts && seen.iter().all(|seen| seen.cmp_gt(zero).all()) {
                return block * TOGETHER;
            }
            for (i, step) in steps.iter().enumerate() {
                if counts {
                    count(block * TOGETHER + i, step, &std::array::from_fn(|i| seen[i] * self.p[i]));
                }
                self.advance(step);
            }
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
        let mut sums = sums.map(array);
        let (walk, steps) = ([self.y, self.p, self.last].map(array), &steps[from..]);
        #[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
        if wide512::available() {
            // SAFETY: it was asked for.
            unsafe { sum_512(walk, steps, &mut sums) };
            return sums;
        }
        sum::<f64x4, WIDTH>(walk, steps, &mut sums);
        sums
    }

    /// Adds Σ p_k f over the rings to `partial[k]`, for each of four f.
    pub fn project(mut self, steps: &[Step], f: [[f64; LANES]; 4], partial: &mut [[f64x4; 4]]) {
        let f = f.map(lanes);
        let from = self.enter(steps, |k, _, p| dot(p, &f, &mut partial[k]));
        let (y, mut p, mut last) = (self.y, self.p, self.last);
        for (step, partial) in steps[from..].iter().zip(&mut partial[from..]) {
            dot(&p, &f, partial);
            next(step, &y, &p, &mut last);
            std::mem::swap(&mut p, &mut last);
        }
    }
}

/// Adds the rest of the sums from y, p_k and p_{k−1} on, all in the range of doubles.
#[inline(always)]
fn sum<V: Register, const W: usize>(walk: [[f64; LANES]; 3], steps: &[Step], sums: &mut [[f64; LANES]; 4]) {
    let load = |from: &[f64; LANES]| -> [V; W] { std::array::from_fn(|i| V::load(&from[i * V::LEN..])) };
    let ([y, mut p, mut last], mut rest) = (walk.each_ref().map(load), sums.each_ref().map(load));
    let add = |step: &Step, p: &[V; W], rest: &mut [[V; W]; 4]| {
        for (sum, s) in rest.iter_mut().zip(step.sums.map(V::splat)) {
            (0..W).for_each(|i| sum[i] = s.mul_add(p[i], sum[i]));
        }
    };
    let next = |step: &Step, p: &[V; W], last: &mut [V; W]| {
        let (alpha, beta) = (V::splat(step.alpha), V::splat(step.beta));
        (0..W).for_each(|i| last[i] = alpha.mul_add(y[i], beta).mul_sub(p[i], last[i]));
    };
    // Two at a time, so that p and last change their names and not their places.
    let mut pairs = steps.chunks_exact(2);
    for pair in &mut pairs {
        add(&pair[0], &p, &mut rest);
        next(&pair[0], &p, &mut last);
        add(&pair[1], &last, &mut rest);
        next(&pair[1], &last, &mut p);
    }
    if let [step] = pairs.remainder() {
        add(step, &p, &mut rest);
    }
    for (sums, rest) in sums.iter_mut().zip(rest) {
        (0..W).for_each(|i| rest[i].store(&mut sums[i * V::LEN..]));
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
#[target_feature(enable = "avx512f")]
fn sum_512(walk: [[f64; LANES]; 3], steps: &[Step], sums: &mut [[f64; LANES]; 4]) {
    sum::<wide512::Eight, { LANES / 8 }>(walk, steps, sums);
}

/// p_{k+1} in the place of p_{k−1}.
#[inline(always)]
fn next(step: &Step, y: &Lanes, p: &Lanes, last: &mut Lanes) {
    let (alpha, beta) = (f64x4::splat(step.alpha), f64x4::splat(step.beta));
    for i in 0..WIDTH {
        last[i] = alpha.mul_add(y[i], beta).mul_sub(p[i], last[i]);
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
