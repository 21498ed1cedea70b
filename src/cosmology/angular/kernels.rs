//! Weights of fields along the line of sight.

use crate::cosmology::{Cosmology, RedshiftBin};
use crate::units::HUBBLE_DISTANCE;
use gauss_quad::GaussLegendre;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// Points of a Gauss rule in each panel of redshifts.
const POINTS: NonZeroUsize = NonZeroUsize::new(8).unwrap();
static RULE: LazyLock<GaussLegendre> = LazyLock::new(|| GaussLegendre::new(POINTS));
static FINE: LazyLock<GaussLegendre> = LazyLock::new(|| GaussLegendre::new(const { NonZeroUsize::new(4).unwrap() }));

/// Comoving distances over x = ln(1 + z): cubics through their values and slopes.
pub struct Distances {
    step: f64,
    /// χ and dχ/dx in Mpc/h.
    nodes: Vec<[f64; 2]>,
}

impl Distances {
    const STEPS: usize = 256;

    pub fn new(cosmology: &Cosmology, z_max: f64) -> Self {
        let step = (1.0 + z_max).ln() / Self::STEPS as f64;
        let slope = |x: f64| HUBBLE_DISTANCE * x.exp() / cosmology.e((-x).exp());
        let mut chi = 0.0;
        let mut nodes = vec![[0.0, slope(0.0)]];
        for i in 0..Self::STEPS {
            let [from, to] = [i as f64 * step, (i + 1) as f64 * step];
            chi += FINE.integrate(from, to, slope);
            nodes.push([chi, slope(to)]);
        }
        Distances { step, nodes }
    }

    /// χ(z) in Mpc/h.
    pub fn at(&self, z: f64) -> f64 {
        let x = z.ln_1p() / self.step;
        let i = (x as usize).min(Self::STEPS - 1);
        let (t, s) = (x - i as f64, 1.0 - (x - i as f64));
        let ([y0, m0], [y1, m1]) = (self.nodes[i], self.nodes[i + 1]);
        (1.0 + 2.0 * t) * s * s * y0 + t * t * (3.0 - 2.0 * t) * y1 + self.step * t * s * (s * m0 - t * m1)
    }
}

/// One point of the line of sight.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub z: f64,
    /// Comoving distance, and that across the line of sight, in Mpc/h.
    pub chi: f64,
    pub across: f64,
    /// dχ/dz in Mpc/h.
    pub dchi_dz: f64,
    /// Weight dχ of the quadrature in Mpc/h.
    pub weight: f64,
}

/// Points for integrals over the line of sight as far as any of `bins`: panels as fine as the bins are narrow, nowhere
/// longer than `longest` Mpc/h, with edges at the ends of bins.
pub fn line_of_sight(cosmology: &Cosmology, distances: &Distances, bins: &[&RedshiftBin], longest: f64) -> Vec<Node> {
    let z_max = bins.iter().map(|b| b.range[1]).fold(0.0, f64::max);
    let mut breaks: Vec<f64> = bins.iter().flat_map(|b| b.range).filter(|z| *z > 0.0).collect();
    breaks.sort_by(f64::total_cmp);
    // A bin is no finer than four of its cells.
    let widths: Vec<([f64; 2], f64)> = bins
        .iter()
        .filter(|b| b.range[1] > b.range[0])
        .map(|b| (b.range, (1.5 * b.moments()[1]).max((b.range[1] - b.range[0]) / 128.0)))
        .collect();
    let dchi_dz = |z: f64| HUBBLE_DISTANCE / cosmology.e(1.0 / (1.0 + z));
    let rule: Vec<_> = RULE.as_node_weight_pairs().to_vec();
    let (mut z, mut nodes) = (0.0, vec![]);
    while z < z_max {
        let smooth = (0.5 * z).clamp(z_max / 60.0, z_max / 12.0);
        let here = widths.iter().filter(|(range, _)| range[0] <= z && z < range[1]).map(|w| w.1);
        let step = here.fold(smooth.min(longest / dchi_dz(z)), f64::min);
        // To the next break where it is near, so that no panel is a sliver.
        let end = breaks.iter().copied().find(|b| *b > z * (1.0 + 1e-12) + 1e-12).unwrap_or(z_max);
        let next = match end - z {
            left if left <= 1.2 * step => end,
            left if left <= 2.0 * step => z + 0.5 * left,
            _ => z + step,
        };
        let half = 0.5 * (next - z);
        for &(x, w) in &rule {
            let z = z + half * (1.0 + x);
            let (chi, dchi_dz) = (distances.at(z), dchi_dz(z));
            let across = cosmology.transverse_distance(chi);
            nodes.push(Node { z, chi, across, dchi_dz, weight: w * half * dchi_dz });
        }
        z = next;
    }
    nodes.sort_by(|a, b| a.chi.total_cmp(&b.chi));
    nodes
}

/// What one bin weighs along the line of sight.
pub struct Kernel {
    cosmology: Cosmology,
    range: [f64; 2],
    cell: f64,
    galaxies: Vec<(f64, f64)>,
    /// Galaxies, and their f_K'/f_K in h/Mpc, from each cell on.
    behind: Vec<[f64; 2]>,
}

impl Kernel {
    pub fn new(cosmology: &Cosmology, distances: &Distances, bin: &RedshiftBin) -> Self {
        let mut behind = vec![[0.0; 2]];
        for (z, n) in bin.galaxies.iter().rev() {
            let chi = distances.at(*z);
            let cotangent = cosmology.transverse_slope(chi) / cosmology.transverse_distance(chi);
            let [number, sum] = behind[behind.len() - 1];
            behind.push([number + n, sum + n * cotangent]);
        }
        behind.reverse();
        let cell = match bin.galaxies[..] {
            [(first, _), (second, _), ..] => second - first,
            _ => 0.0,
        };
        Kernel { cosmology: *cosmology, range: bin.range, cell, galaxies: bin.galaxies.clone(), behind }
    }

    /// n(χ) in h/Mpc: straight lines between the cells' middles.
    pub fn density(&self, node: &Node) -> f64 {
        if self.cell == 0.0 || !(self.range[0]..=self.range[1]).contains(&node.z) {
            return 0.0;
        }
        let (last, x) = (self.galaxies.len() - 1, (node.z - self.galaxies[0].0) / self.cell);
        let i = (x.max(0.0) as usize).min(last.saturating_sub(1));
        let (t, n) = ((x - i as f64).clamp(0.0, 1.0), |i: usize| self.galaxies[i.min(last)].1);
        ((1.0 - t) * n(i) + t * n(i + 1)) / (self.cell * node.dchi_dz)
    }

    /// W_κ(χ) in h/Mpc.
    pub fn convergence(&self, node: &Node) -> f64 {
        let [number, sum] = match self.cell {
            0.0 if node.z < self.range[0] => self.behind[0],
            0.0 => return 0.0,
            cell => {
                let x = ((node.z - self.galaxies[0].0) / cell + 0.5).max(0.0);
                let i = x as usize;
                if i + 1 >= self.behind.len() {
                    return 0.0;
                }
                let t = x - i as f64;
                std::array::from_fn(|j| (1.0 - t) * self.behind[i][j] + t * self.behind[i + 1][j])
            }
        };
        let efficiency = self.cosmology.transverse_slope(node.chi) * number - node.across * sum;
        1.5 * self.cosmology.omega_m() / HUBBLE_DISTANCE.powi(2) * node.across * (1.0 + node.z) * efficiency
    }
}

/// A field's weights at points of the line of sight, in h/Mpc: of δ, and of what goes with ℓ (ℓ + 1)/k²χ².
pub struct Field {
    pub matter: Vec<f64>,
    pub lensing: Vec<f64>,
}

impl Field {
    /// The weight at a point in Limber's approximation.
    pub fn at(&self, node: usize, ell: f64) -> f64 {
        self.matter[node] + ell * (ell + 1.0) / (ell + 0.5).powi(2) * self.lensing[node]
    }
}
