//! Where the lensed galaxies are.

use super::config::{LightConeConfig, SourceDistribution, n_of_z};
use crate::cosmology::Cosmology;
use crate::error::{Error, Result};
use crate::limits;
use crate::units::HUBBLE_DISTANCE;
use std::path::Path;

/// Cells of equal width in z that a distribution is divided into.
const CELLS: usize = 512;

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
            let (range, n) = density(distribution).map_err(|e| e.key(n_of_z(i)))?;
            let cell = (range[1] - range[0]) / CELLS as f64;
            let middles = (0..CELLS).map(|i| range[0] + (i as f64 + 0.5) * cell);
            let bin: Vec<_> = middles.map(|z| (chi(z), n(z))).collect();
            let sum: f64 = bin.iter().map(|s| s.1).sum();
            if !(sum > 0.0 && sum.is_finite()) {
                let remedy = "look at its range of redshifts: it is divided into 512 cells";
                return Err(Error::input("there are no sources in this range").key(n_of_z(i)).remedy(remedy));
            }
            bins.push(bin.into_iter().map(|(chi, n)| (chi, n / sum)).collect());
            z_max = z_max.max(range[1]);
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
        let ends = self.n_of_z.iter().map(|n| density(n).map(|(range, _)| range[1]));
        let listed = self.source_redshifts.iter().map(|&z| Ok(z));
        listed.chain(ends).try_fold(0.0, |most: f64, z| z.map(|z| most.max(z)))
    }

    /// Serial: refuses tables of sources that are not there or not sound.
    pub fn check_files(&self) -> Result<()> {
        self.n_of_z.iter().enumerate().try_for_each(|(i, n)| density(n).map(drop).map_err(|e| e.key(n_of_z(i))))
    }
}

/// Range in z, and n(z) unnormalised.
type Density = ([f64; 2], Box<dyn Fn(f64) -> f64>);

fn density(distribution: &SourceDistribution) -> Result<Density> {
    match distribution {
        &SourceDistribution::Smail { z0, alpha, beta, z_min, z_max } => {
            Ok(([z_min, z_max], Box::new(move |z| (alpha * (z / z0).ln() - (z / z0).powf(beta)).exp())))
        }
        SourceDistribution::Table { path, column } => {
            let rows = limits::read_text(path, limits::TABLE)
                .map_err(|e| e.value(path).remedy("give the path of a text file"))
                .and_then(|text| parse(&text, path, *column))?;
            let range = [rows[0].0, rows[rows.len() - 1].0];
            Ok((range, Box::new(move |z| linear(&rows, z))))
        }
    }
}

/// Rows z, n of a table: at least two, z growing from 0 or above, n nowhere negative and somewhere positive.
fn parse(text: &str, path: &Path, column: usize) -> Result<Vec<(f64, f64)>> {
    let wrong = |problem: String| {
        Error::input(problem).value(path).remedy("give rows of z (growing) and n (not negative), or another column")
    };
    let mut rows: Vec<(f64, f64)> = vec![];
    for (number, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = content.split([' ', '\t', ',', '\r']).filter(|w| !w.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        let value = |i: usize| {
            let value = words.get(i).and_then(|w| w.parse().ok()).filter(|v: &f64| v.is_finite() && *v >= 0.0);
            value.ok_or_else(|| wrong(format!("line {}: column {i} is no number from 0 up", number + 1)))
        };
        let row = (value(0)?, value(column)?);
        if rows.last().is_some_and(|before| row.0 <= before.0) {
            return Err(wrong(format!("line {}: z = {} does not grow", number + 1, row.0)));
        }
        rows.push(row);
    }
    if rows.len() < 2 || rows.iter().all(|r| r.1 == 0.0) {
        return Err(wrong("holds no sources".into()));
    }
    Ok(rows)
}

/// Straight lines between the rows.
fn linear(rows: &[(f64, f64)], z: f64) -> f64 {
    let i = rows.partition_point(|r| r.0 <= z).clamp(1, rows.len() - 1);
    let ((z0, n0), (z1, n1)) = (rows[i - 1], rows[i]);
    n0 + (n1 - n0) * (z - z0) / (z1 - z0)
}
