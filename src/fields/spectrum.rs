//! Measured power spectra.

use super::kernels::assignment_window;
use crate::comm::Comm;
use crate::mesh::{Complex, Modes, Real};
use std::f64::consts::TAU;

/// A spherically averaged power spectrum in bins of the fundamental wavenumber k_f = 2π/L: bin b holds the modes with
/// (b + ½) k_f ≤ |k| < (b + 3/2) k_f.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Mean wavenumber of each bin in h/Mpc.
    pub k: Vec<f64>,
    /// P(k) in (Mpc/h)³.
    pub power: Vec<f64>,
    /// Modes of the full space in each bin: an exact integer.
    pub modes: Vec<u64>,
}

impl Spectrum {
    /// Number of bins up to the Nyquist wavenumber of an `n`³ mesh.
    pub fn bins(n: usize) -> usize {
        n / 2 - 1
    }

    /// Edges in h/Mpc of the first `bins` bins in a box of `box_size` Mpc/h: no mode lies on one.
    pub fn edges(bins: usize, box_size: f64) -> Vec<f64> {
        (0..=bins).map(|b| TAU / box_size * (b as f64 + 0.5)).collect()
    }

    /// Modes of the full space in each of the first `bins` bins.
    pub fn counts(bins: usize) -> Vec<u64> {
        // The largest |n|² below (b + ½)².
        let most = |b: usize| b * (b + 1);
        let mirrors = |i: usize| 1 + (i > 0) as u32;
        // Points of a plane up to each |n|²; a sphere is a stack of discs.
        let mut disc = vec![0u32; most(bins) + 1];
        for a in 0..=bins {
            for b in (0..=bins).take_while(|b| a * a + b * b <= most(bins)) {
                disc[a * a + b * b] += mirrors(a) * mirrors(b);
            }
        }
        (1..disc.len()).for_each(|m2| disc[m2] += disc[m2 - 1]);
        let slice = |b: usize, c: usize| mirrors(c) as u64 * disc[most(b) - c * c] as u64;
        let sphere = |b: usize| (0..=b).map(|c| slice(b, c)).sum::<u64>();
        (0..bins).map(|b| sphere(b + 1) - sphere(b)).collect()
    }

    /// Mean wavenumbers in h/Mpc of the first `bins` bins in a box of `box_size` Mpc/h.
    pub fn wavenumbers(bins: usize, box_size: f64) -> Vec<f64> {
        // Shells this wide hold so many modes that their mean is the continuum's to 1e-6.
        const COUNTED: usize = 128;
        let continuum = |b: usize| {
            let (low, high) = (b as f64 + 0.5, b as f64 + 1.5);
            TAU / box_size * 0.75 * (high.powi(4) - low.powi(4)) / (high.powi(3) - low.powi(3))
        };
        let (all, bins) = (bins, bins.min(COUNTED));
        let (mut sum, mut count) = (vec![0f64; bins], vec![0u64; bins]);
        // One octant stands for all: every axis that is not zero has a mirror image.
        let reach = bins as i64 + 1;
        let mirrors = |i: i64| 1 + (i > 0) as u64;
        for a in 0..=reach {
            for b in 0..=reach {
                for c in 0..=reach {
                    let m2 = a * a + b * b + c * c;
                    if let Some(bin) = bin_of(m2, bins) {
                        let weight = mirrors(a) * mirrors(b) * mirrors(c);
                        sum[bin] += weight as f64 * (m2 as f64).sqrt();
                        count[bin] += weight;
                    }
                }
            }
        }
        let counted = sum.iter().zip(&count).map(|(s, &c)| TAU / box_size * s / c.max(1) as f64);
        counted.chain((bins..all).map(continuum)).collect()
    }
}

/// The bin of the modes with |n|² = `m2`: decided on integers, so that mode counts are the same everywhere.
fn bin_of(m2: i64, bins: usize) -> Option<usize> {
    let bin = ((m2 as f64).sqrt() + 0.5).floor() as usize;
    (1..=bins).contains(&bin).then(|| bin - 1)
}

/// Means over the bins of a [`Spectrum`].
pub(super) struct Binned<const Q: usize> {
    /// Mean wavenumber in h/Mpc.
    pub k: Vec<f64>,
    /// Modes of the full space.
    pub modes: Vec<u64>,
    /// V times the mean of each quantity, assignment window divided out: (Mpc/h)³.
    pub mean: [Vec<f64>; Q],
}

/// Averages `Q` quantities quadratic in *unnormalised* modes of fields on an n³ mesh: `quantity(i, n, |c|²-like)` is
/// asked of the i-th mode of this rank with signed integer wavenumber n. `window` is the sum of both fields' assignment
/// orders (4 for the CIC spectrum). Collective.
pub(super) fn binned<T: Real, const Q: usize>(
    modes: &mut Modes<T>,
    box_size: f64,
    window: i32,
    comm: &Comm,
    quantity: impl Fn(usize, [i64; 3], Complex<f64>) -> [f64; Q],
) -> Binned<Q> {
    let n = modes.shape()[0];
    let bins = Spectrum::bins(n);
    let (mut sum_k, mut sum, mut count) = (vec![0f64; bins], vec![[0f64; Q]; bins], vec![0u64; bins]);
    let inverse_window: Vec<f64> =
        (0..=n as i64 / 2).map(|i| 1.0 / assignment_window(window, i.min(n as i64 / 2), n)).collect();
    let mut at = 0;
    modes.for_each(|m, mode| {
        at += 1;
        let m2: i64 = m.iter().map(|i| i * i).sum();
        let Some(bin) = bin_of(m2, bins) else { return };
        let weight = if m[2] == 0 || 2 * m[2] == n as i64 { 1 } else { 2 };
        let w: f64 = m.iter().map(|i| inverse_window[i.unsigned_abs() as usize]).product();
        let values = quantity(at - 1, m, Complex::new(mode.re.f64(), mode.im.f64()));
        sum_k[bin] += weight as f64 * (m2 as f64).sqrt();
        sum[bin].iter_mut().zip(values).for_each(|(s, v)| *s += weight as f64 * w * v);
        count[bin] += weight as u64;
    });
    comm.sum(&mut sum_k);
    comm.sum(sum.as_flattened_mut());
    comm.sum(&mut count);
    let norm = box_size.powi(3) / (n as f64).powi(6);
    let per = |sum: f64, c: u64| sum / c.max(1) as f64;
    Binned {
        k: sum_k.iter().zip(&count).map(|(&s, &c)| TAU / box_size * per(s, c)).collect(),
        mean: std::array::from_fn(|q| sum.iter().zip(&count).map(|(s, &c)| norm * per(s[q], c)).collect()),
        modes: count,
    }
}

/// Measures P(k) = V ⟨|c|²⟩ of *unnormalised* forward modes of 1 + δ on an n³ mesh, dividing out the assignment window
/// of the given order (2 for CIC, 0 for none; Jing 2005) and subtracting `shot_noise` (V/N particles, or 0).
/// Collective.
pub fn measure<T: Real>(modes: &mut Modes<T>, box_size: f64, window: i32, shot_noise: f64, comm: &Comm) -> Spectrum {
    let Binned { k, modes, mean: [power] } = binned(modes, box_size, 2 * window, comm, |_, _, c| [c.norm_sqr()]);
    Spectrum { k, power: power.into_iter().map(|p| p - shot_noise).collect(), modes }
}
