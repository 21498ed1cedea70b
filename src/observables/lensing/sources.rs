//! Where the lensed galaxies are.

use super::config::{LightConeConfig, n_of_z};
use crate::cosmology::Cosmology;
use crate::error::Result;
use crate::units::HUBBLE_DISTANCE;

/// Source bins, each as a list of comoving distances χ_s (Mpc/h, growing) and weights that sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources {
    bins: Vec<Vec<(f64, f64)>>,
    farthest: f64,
    cosmology: Cosmology,
}

impl Sources {
    /// The bins of a checked `config`: its redshifts, then its distributions. Reads tables on every rank that calls.
    pub fn new(config: &LightConeConfig, cosmology: &Cosmology) -> Result<Self> {
        let chi = |z: f64| cosmology.comoving_distance(1.0 / (1.0 + z));
        let mut bins: Vec<_> = config.source_redshifts.iter().map(|&z| vec![(chi(z), 1.0)]).collect();
        let mut z_max = config.source_redshifts.iter().copied().fold(0.0, f64::max);
        for (i, distribution) in config.n_of_z.iter().enumerate() {
            for bin in distribution.tabulate().map_err(|e| e.key(n_of_z(i)))? {
                bins.push(bin.galaxies.into_iter().map(|(z, n)| (chi(z), n)).collect());
                z_max = z_max.max(bin.range[1]);
            }
        }
        Ok(Sources { bins, farthest: chi(z_max), cosmology: *cosmology })
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }

    /// Comoving distance in Mpc/h that no source lies beyond.
    pub fn farthest(&self) -> f64 {
        self.farthest
    }

    /// Lensing efficiency g(χ) = ∫ n(χ_s) f_K(χ_s − χ)/f_K(χ_s) dχ_s over the sources behind χ, of one bin.
    pub fn efficiency(&self, bin: usize, chi: f64) -> f64 {
        let across = |chi| self.cosmology.transverse_distance(chi);
        let behind = self.bins[bin].iter().filter(|(chi_s, _)| *chi_s > chi);
        behind.map(|(chi_s, weight)| weight * across(chi_s - chi) / across(*chi_s)).sum()
    }

    /// Convergence kernel of one bin in h/Mpc, κ = ∫ W δ dχ: W = 3/2 Ωm (H0/c)² f_K(χ) g(χ) / a (Bartelmann & Schneider
    /// 2001, section 6).
    pub fn kernel(&self, bin: usize, chi: f64) -> f64 {
        strength(&self.cosmology, chi) * self.efficiency(bin, chi)
    }

    /// A bin's sources with `from` < χ ≤ `to`: their number, and the sum of their f_K'(χ)/f_K(χ).
    pub(super) fn between(&self, bin: usize, from: f64, to: f64) -> [f64; 2] {
        let here = self.bins[bin].iter().filter(|(chi, _)| *chi > from && *chi <= to);
        here.fold([0.0; 2], |[n, sum], (chi, weight)| {
            let cotangent = self.cosmology.transverse_slope(*chi) / self.cosmology.transverse_distance(*chi);
            [n + weight, sum + weight * cotangent]
        })
    }
}

/// 3/2 Ωm (H0/c)² f_K(χ)/a in h/Mpc: what ∫ δ dχ at χ adds to the convergence of sources of efficiency 1.
pub(super) fn strength(cosmology: &Cosmology, chi: f64) -> f64 {
    let a = cosmology.scale_factor_at(chi).unwrap_or(f64::MIN_POSITIVE);
    1.5 * cosmology.omega_m() / HUBBLE_DISTANCE.powi(2) * cosmology.transverse_distance(chi) / a
}

impl LightConeConfig {
    /// Redshift that no source lies beyond. Reads tables.
    pub fn z_max(&self) -> Result<f64> {
        let bins: Vec<_> = self.n_of_z.iter().map(|n| n.tabulate()).collect::<Result<_>>()?;
        let ends = bins.iter().flatten().map(|bin| bin.range[1]);
        Ok(self.source_redshifts.iter().copied().chain(ends).fold(0.0, f64::max))
    }

    /// Serial: refuses tables of sources that are not there or not sound.
    pub fn check_files(&self) -> Result<()> {
        self.n_of_z.iter().enumerate().try_for_each(|(i, n)| n.tabulate().map(drop).map_err(|e| e.key(n_of_z(i))))
    }
}
