//! Multipoles of the power spectrum about a line of sight that is the same everywhere (plane-parallel).

use super::spectrum::{Binned, binned};
use crate::comm::Comm;
use crate::mesh::{Modes, Real};

/// P_ℓ(k) for ℓ = 0, 2, 4 in the bins of a [`super::spectrum::Spectrum`].
#[derive(Debug, Clone, PartialEq)]
pub struct Multipoles {
    /// Mean wavenumber of each bin in h/Mpc.
    pub k: Vec<f64>,
    /// P_0, P_2, P_4 in (Mpc/h)³.
    pub power: [Vec<f64>; 3],
    /// Modes of the full space in each bin: an exact integer.
    pub modes: Vec<u64>,
}

impl Multipoles {
    /// The mean of several measurements of the same bins (the three lines of sight). They see the same modes, so that
    /// `modes` stays what one of them counts.
    pub fn mean(first: Multipoles, others: &[Multipoles]) -> Multipoles {
        let count = (1 + others.len()) as f64;
        let at = |l: usize, b: usize| others.iter().fold(first.power[l][b], |sum, m| sum + m.power[l][b]) / count;
        let power = std::array::from_fn(|l| (0..first.k.len()).map(|b| at(l, b)).collect());
        Multipoles { power, ..first }
    }
}

/// Legendre polynomials L_0, L_2, L_4 at μ, given μ².
pub fn legendre(mu2: f64) -> [f64; 3] {
    [1.0, 0.5 * (3.0 * mu2 - 1.0), 0.125 * ((35.0 * mu2 - 30.0) * mu2 + 3.0)]
}

/// P_ℓ(k) = (2ℓ+1) V/N_k Σ |c|² L_ℓ(μ) (Cole, Fisher & Weinberg 1994), μ = k_axis/k, of *unnormalised* forward modes of
/// 1 + δ; window and shot noise (of the monopole alone) as [`super::spectrum::measure`]. In the first bins the few
/// directions of a mesh do not sample L_ℓ evenly: an isotropic spectrum leaks into ℓ > 0 there. Collective.
pub fn measure_multipoles<T: Real>(
    modes: &mut Modes<T>,
    box_size: f64,
    axis: usize,
    window: i32,
    shot_noise: f64,
    comm: &Comm,
) -> Multipoles {
    let Binned { k, modes, mean: mut power } = binned(modes, box_size, 2 * window, comm, |_, n, c| {
        let n = n.map(|i| i as f64);
        let l = legendre(n[axis].powi(2) / n.iter().map(|i| i * i).sum::<f64>());
        std::array::from_fn(|i| (4 * i + 1) as f64 * l[i] * c.norm_sqr())
    });
    power[0].iter_mut().for_each(|p| *p -= shot_noise);
    Multipoles { k, power, modes }
}
