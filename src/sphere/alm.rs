//! Harmonic coefficients, spread over ranks by m.

use super::Complex;
use crate::comm::Comm;
use crate::rng::stream;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::FRAC_1_SQRT_2;

/// a_ℓm for ℓ ≤ lmax of this rank's m = rank, rank + ranks, …; for each, ℓ = m … lmax.
#[derive(Debug, Clone)]
pub struct Alm {
    lmax: usize,
    rank: usize,
    ranks: usize,
    values: Vec<Complex>,
}

impl Alm {
    /// Zeros.
    pub fn new(comm: &Comm, lmax: usize) -> Self {
        let mut alm = Alm { lmax, rank: comm.rank(), ranks: comm.size(), values: vec![] };
        let len = alm.ms().map(|m| lmax + 1 - m).sum();
        alm.values = vec![Complex::default(); len];
        alm
    }

    /// Gaussian numbers of unit variance, ⟨|a_ℓm|²⟩ = 1, that depend on (seed, realisation, purpose, ℓ, m) alone.
    pub fn normal(comm: &Comm, lmax: usize, seed: u64, realisation: u64, purpose: &str) -> Self {
        let mut alm = Alm::new(comm, lmax);
        for (m, values) in alm.by_m_mut() {
            let mut numbers = StandardNormal.sample_iter(stream(seed, realisation, purpose, m as u64));
            let mut next = || -> f64 { numbers.next().expect("random numbers do not end") };
            for a in values {
                *a = if m == 0 { Complex::new(next(), 0.0) } else { Complex::new(next(), next()) * FRAC_1_SQRT_2 };
            }
        }
        alm
    }

    /// The largest ℓ, and m.
    pub fn lmax(&self) -> usize {
        self.lmax
    }

    /// This rank's m.
    pub fn ms(&self) -> impl ExactSizeIterator<Item = usize> + use<> {
        (self.rank..self.lmax + 1).step_by(self.ranks)
    }

    /// All of this rank's, m after m.
    pub fn values(&self) -> &[Complex] {
        &self.values
    }

    /// All of this rank's, m after m.
    pub fn values_mut(&mut self) -> &mut [Complex] {
        &mut self.values
    }

    /// Those of each of this rank's m: ℓ = m … lmax.
    pub fn by_m(&self) -> impl Iterator<Item = (usize, &[Complex])> {
        let mut rest = &self.values[..];
        self.ms().map(move |m| {
            let (these, others) = rest.split_at(self.lmax + 1 - m);
            rest = others;
            (m, these)
        })
    }

    /// The same, to be changed.
    pub fn by_m_mut(&mut self) -> impl Iterator<Item = (usize, &mut [Complex])> {
        let (lmax, ms, mut rest) = (self.lmax, self.ms(), &mut self.values[..]);
        ms.map(move |m| {
            let (these, others) = std::mem::take(&mut rest).split_at_mut(lmax + 1 - m);
            rest = others;
            (m, these)
        })
    }

    /// Multiplies a_ℓm by `factor[ℓ]`.
    pub fn scale(&mut self, factor: &[f64]) {
        for (m, values) in self.by_m_mut() {
            values.iter_mut().zip(&factor[m..]).for_each(|(a, f)| *a *= *f);
        }
    }

    /// Adds `factor[ℓ]` times the others.
    pub fn add(&mut self, other: &Alm, factor: &[f64]) {
        for ((m, values), (_, other)) in self.by_m_mut().zip(other.by_m()) {
            values.iter_mut().zip(other).zip(&factor[m..]).for_each(|((a, b), f)| *a += b * *f);
        }
    }

    /// C_ℓ = Σ_m a_ℓm b*_ℓm / (2ℓ + 1) for ℓ = 0 … lmax. Collective.
    pub fn c_ell(&self, other: &Alm, comm: &Comm) -> Vec<f64> {
        let mut c = vec![0.0; self.lmax + 1];
        for ((m, a), (_, b)) in self.by_m().zip(other.by_m()) {
            let multiplicity = if m == 0 { 1.0 } else { 2.0 };
            for (c, (a, b)) in c[m..].iter_mut().zip(a.iter().zip(b)) {
                *c += multiplicity * (a.re * b.re + a.im * b.im);
            }
        }
        comm.sum(&mut c);
        c.iter_mut().enumerate().for_each(|(l, c)| *c /= (2 * l + 1) as f64);
        c
    }
}
