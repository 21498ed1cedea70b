//! Beyond Limber's approximation: what the full projection of linear theory adds to it (as in Fang et al. 2020, JCAP 05,
//! 010, but by quadrature in place of FFTLog, which suits top hats too).
//!
//! C_ij(ℓ) = (2/π) ∫ dk k² P(k) T_i T_j,  T_i = ∫ dχ [W_δ + ℓ(ℓ + 1)/(kχ)² W_κ] D1 j_ℓ(kχ)

use super::kernels::{Field, Node};
use crate::cosmology::LinearPower;
use std::f64::consts::PI;

/// The full linear spectra of every pair i ≤ j (row by row) of `fields` less Limber's, at multipoles `ell`, both from
/// wavenumbers below `k_max` h/Mpc alone: beyond, Limber's holds. The fields' weights are given at `nodes` of a flat
/// universe, where growth is `d1`.
pub fn beyond_limber(
    ell: &[usize],
    fields: &[Field],
    nodes: &[Node],
    d1: &[f64],
    power: &LinearPower,
    k_max: f64,
) -> Vec<Vec<f64>> {
    let pairs: Vec<(usize, usize)> = (0..fields.len()).flat_map(|i| (i..fields.len()).map(move |j| (i, j))).collect();
    let mut sums = vec![vec![0.0; ell.len()]; pairs.len()];
    let largest = ell.iter().copied().max().unwrap_or(0);
    // What a field has at each node, and where it has anything.
    let weighed: Vec<Vec<[f64; 2]>> = fields
        .iter()
        .map(|f| (0..nodes.len()).map(|n| [f.matter[n], f.lensing[n]].map(|w| w * d1[n] * nodes[n].weight)).collect())
        .collect();
    let present: Vec<Vec<usize>> =
        (0..nodes.len()).map(|n| (0..fields.len()).filter(|&f| weighed[f][n] != [0.0; 2]).collect()).collect();
    let mut bessel = vec![0.0; largest + 1];
    let mut here = vec![0.0; ell.len()];
    let scale: Vec<f64> = ell.iter().map(|&l| (l * (l + 1)) as f64).collect();
    let mut transfer = vec![vec![0.0; ell.len()]; fields.len()];
    for (k, dk) in wavenumbers(nodes[nodes.len() - 1].chi, k_max) {
        transfer.iter_mut().for_each(|t| t.fill(0.0));
        for (n, node) in nodes.iter().enumerate().filter(|(n, _)| !present[*n].is_empty()) {
            let x = k * node.chi;
            spherical_bessel(x, &mut bessel);
            here.iter_mut().zip(ell).for_each(|(j, &l)| *j = bessel[l]);
            for &f in &present[n] {
                let [matter, lensing] = weighed[f][n];
                let lensing = lensing / (x * x);
                for ((t, j), l) in transfer[f].iter_mut().zip(&here).zip(&scale) {
                    *t += (matter + l * lensing) * j;
                }
            }
        }
        let volume = 2.0 / PI * k * k * power.p(k) * dk;
        for ((i, j), sum) in pairs.iter().zip(&mut sums) {
            for ((sum, a), b) in sum.iter_mut().zip(&transfer[*i]).zip(&transfer[*j]) {
                *sum += volume * a * b;
            }
        }
    }
    for (l, &multipole) in ell.iter().enumerate() {
        let nu = multipole as f64 + 0.5;
        for (n, node) in nodes.iter().enumerate().filter(|(_, node)| nu / node.chi < k_max) {
            let power = node.weight * d1[n].powi(2) * power.p(nu / node.chi) / node.chi.powi(2);
            for ((i, j), sum) in pairs.iter().zip(&mut sums) {
                sum[l] -= power * fields[*i].at(n, multipole as f64) * fields[*j].at(n, multipole as f64);
            }
        }
    }
    sums
}

/// Wavenumbers in h/Mpc up to `k_max` and the trapezoidal rule's dk: steps of 5%, and of 1/χ where these are longer, so
/// that oscillations of the farthest distance `chi` are followed.
fn wavenumbers(chi: f64, k_max: f64) -> Vec<(f64, f64)> {
    let mut k = vec![0.1 / chi];
    while k[k.len() - 1] < k_max {
        let last = k[k.len() - 1];
        k.push(last + (0.05 * last).min(1.0 / chi));
    }
    let edge = |i: usize| k[i.min(k.len() - 1)];
    (0..k.len()).map(|i| (k[i], 0.5 * (edge(i + 1) - edge(i.saturating_sub(1))))).collect()
}

/// j_ℓ(x) for ℓ = 0 … of `out`'s length, x > 0: upward from sines where that is stable, ℓ ≤ x, and beyond by the ratios of
/// neighbours, a continued fraction.
fn spherical_bessel(x: f64, out: &mut [f64]) {
    const FARTHER: usize = 40;
    let (last, inverse) = (out.len() - 1, 1.0 / x);
    let (sin, cos) = x.sin_cos();
    out[0] = if x < 1e-4 { 1.0 - x * x / 6.0 } else { sin / x };
    let turn = (x as usize).min(last);
    if turn > 0 {
        out[1] = (out[0] - cos) / x;
        for l in 1..turn {
            out[l + 1] = (2 * l + 1) as f64 * inverse * out[l] - out[l - 1];
        }
    }
    if turn < last {
        let mut ratio = 0.0;
        for l in (turn + 1..=last + FARTHER).rev() {
            ratio = 1.0 / ((2 * l + 1) as f64 * inverse - ratio);
            if l <= last {
                out[l] = ratio;
            }
        }
        (turn + 1..=last).for_each(|l| out[l] *= out[l - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against SciPy's, and their sum rule.
    #[test]
    fn bessel_functions() {
        let mut j = vec![0.0; 101];
        for (x, l, exact) in [
            (0.5, 2, 1.637_110_660_799_342e-2),
            (0.1, 10, 7.271_510_996_713_706e-21),
            (10.0, 2, 7.794_219_362_856_245e-2),
            (50.0, 50, 1.882_910_736_928_25e-2),
            (100.0, 100, 1.088_047_701_143_834e-2),
            (500.0, 60, 1.699_549_117_756_678e-3),
        ] {
            spherical_bessel(x, &mut j);
            assert!((j[l] / exact - 1.0).abs() < 1e-6, "j_{l}({x}) = {} against {exact}", j[l]);
        }
        for x in [0.3_f64, 3.0, 33.0, 333.0] {
            spherical_bessel(x, &mut j);
            let sum: f64 = j.iter().enumerate().map(|(l, j)| (2 * l + 1) as f64 * j * j).sum();
            assert!(x > 90.0 || (sum - 1.0).abs() < 1e-9, "Σ (2ℓ + 1) j² = {sum} at {x}");
        }
    }
}
