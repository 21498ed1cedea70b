//! Convergence by the Born approximation.

use super::{Planes, Sources, gather_rows, my_rows};

/// Convergence of every source bin along straight lines, shape (bins, pixels, pixels), on the root (empty elsewhere):
///
/// κ(θ) = 3/2 Ωm (H0/c)² Σ_k Σ_δ,k(θ) f_K(χ_k) g(χ_k) / a_k
///
/// with the bin's [efficiency](Sources::efficiency) g, which is f_K(χ_s − χ)/f_K(χ_s) for sources at one distance
/// (Bartelmann & Schneider 2001, section 6). Collective.
pub fn born(planes: &Planes, sources: &Sources) -> Vec<f64> {
    let (comm, n) = (&planes.comm, planes.cone().pixels);
    let (first, rows) = my_rows(comm, n);
    let mut kappa = vec![vec![0.0; rows * n]; sources.bins()];
    for (k, slice) in planes.cone().slices.iter().enumerate() {
        let map = planes.get(k);
        for (bin, kappa) in kappa.iter_mut().enumerate() {
            let weight = slice.strength * sources.efficiency(bin, slice.chi);
            kappa.iter_mut().zip(&map[first * n..]).for_each(|(kappa, sigma)| *kappa += weight * sigma);
        }
    }
    gather_rows(comm, kappa.iter().map(Vec::as_slice))
}
