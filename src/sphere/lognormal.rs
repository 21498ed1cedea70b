//! Lognormal fields on the sphere, many shells of them, correlated and drawn one after the other.
//!
//! δ_k = λ_k (exp(g_k − σ_k²/2) − 1) with Gaussian g_k has ξ_kj = λ_k λ_j (exp(ξᴳ_kj) − 1) (Hilbert, Hartlap & Schneider 2011; shift
//! λ), where ξ(θ) = Σ (2ℓ + 1)/4π C_ℓ P_ℓ(cosθ). The Gaussian spectra are solved so that C_ℓ comes out for all ℓ ≤ lmax though
//! g has no power above (as in GLASS, Tessore et al. 2023). g_k is drawn given its last few shells.

use crate::comm::Comm;
use crate::error::{Error, Result};
use gauss_quad::GaussLegendre;
use std::f64::consts::PI;
use std::num::NonZeroUsize;

/// Between C_ℓ and ξ(θ), at the nodes of a Gauss–Legendre quadrature in cosθ.
struct Legendre {
    lmax: usize,
    cos: Vec<f64>,
    weights: Vec<f64>,
}

impl Legendre {
    /// Exact for products of two C_ℓ's ξ: twice the nodes that C_ℓ itself would need.
    fn new(lmax: usize) -> Self {
        let nodes = NonZeroUsize::new(2 * lmax + 2).unwrap_or(NonZeroUsize::MIN);
        let (cos, weights) = GaussLegendre::new(nodes).into_node_weight_pairs().into_iter().unzip();
        Legendre { lmax, cos, weights }
    }

    /// Calls `f(ℓ, P_ℓ)` with P_ℓ at all nodes.
    fn polynomials(&self, mut f: impl FnMut(usize, &[f64])) {
        let (mut p, mut last) = (vec![1.0; self.cos.len()], vec![0.0; self.cos.len()]);
        for l in 0..=self.lmax {
            f(l, &p);
            let (a, b) = ((2 * l + 1) as f64 / (l + 1) as f64, l as f64 / (l + 1) as f64);
            for ((p, last), x) in p.iter_mut().zip(&mut last).zip(&self.cos) {
                (*last, *p) = (*p, a * x * *p - b * *last);
            }
        }
    }

    fn xi(&self, c: &[f64]) -> Vec<f64> {
        let mut xi = vec![0.0; self.cos.len()];
        self.polynomials(|l, p| {
            let factor = (2 * l + 1) as f64 / (4.0 * PI) * c[l];
            xi.iter_mut().zip(p).for_each(|(xi, p)| *xi += factor * p);
        });
        xi
    }

    fn c(&self, mut xi: Vec<f64>) -> Vec<f64> {
        xi.iter_mut().zip(&self.weights).for_each(|(xi, w)| *xi *= 2.0 * PI * w);
        let mut c = vec![];
        self.polynomials(|_, p| c.push(xi.iter().zip(p).map(|(xi, p)| xi * p).sum()));
        c
    }

    /// The Gaussian spectrum, without power below lmin, for the lognormal one to be `c` from there on, for the product of
    /// the shifts; to 10⁻⁹ of the variance.
    fn gaussian(&self, lmin: usize, c: &[f64], shifts: f64) -> Result<Vec<f64>> {
        let variance = |c: &[f64]| c.iter().enumerate().map(|(l, c)| (2 * l + 1) as f64 * c.abs()).sum::<f64>();
        let xi = self.xi(c);
        if let Some((xi, cos)) = xi.iter().zip(&self.cos).find(|(xi, _)| **xi <= -shifts) {
            let at = cos.acos().to_degrees();
            let problem =
                format!("{at:.3}° apart their correlation is {xi:.3e}, of such shifts it lies above {:.3e}", -shifts);
            return Err(Error::input(problem));
        }
        let mut gaussian = self.c(xi.iter().map(|xi| (xi / shifts).ln_1p()).collect());
        for _ in 0..100 {
            gaussian[..lmin].fill(0.0);
            let xi = self.xi(&gaussian);
            let now = self.c(xi.iter().map(|xi| shifts * xi.exp_m1()).collect());
            let mut rest: Vec<f64> = c.iter().zip(&now).map(|(c, now)| c - now).collect();
            rest[..lmin].fill(0.0);
            if variance(&rest) <= 1e-9 * variance(c) {
                return Ok(gaussian);
            }
            // Newton's step, of ξ at each angle by itself.
            let step = self.xi(&rest).iter().zip(&xi).map(|(rest, xi)| rest / (shifts * xi.exp())).collect();
            gaussian.iter_mut().zip(self.c(step)).for_each(|(g, step)| *g += step);
        }
        Err(Error::input(format!("no Gaussian spectrum up to ℓ = {} gives this lognormal one", self.lmax)))
    }
}

/// Gaussian spectra of shells, each with those just before it.
pub struct LognormalShells {
    lmax: usize,
    /// λ_k.
    shifts: Vec<f64>,
    /// Cᴳ of shells k and k − j, j = 0 … at most `neighbours`: at [k][j][ℓ].
    gaussian: Vec<Vec<Vec<f64>>>,
}

/// How a shell's a_ℓm follow from those of the shells before: Σ_j weight_j a^{k−1−j}_ℓm + σ z_ℓm.
pub struct Conditional {
    /// σ, for each ℓ.
    pub sigma: Vec<f64>,
    /// For each shell before, the nearest first, and each ℓ.
    pub weights: Vec<Vec<f64>>,
}

impl LognormalShells {
    /// Of shells with these shifts, `c(i, j, ℓ)` being their spectra from ℓ = lmin on (g has no power below, and δ what
    /// follows from that): each is correlated with so many `neighbours` before it
    /// exactly, and with farther ones as far as these tell. Collective where there are ranks to share the pairs.
    pub fn new(
        comm: Option<&Comm>,
        [lmin, lmax]: [usize; 2],
        shifts: Vec<f64>,
        neighbours: usize,
        c: impl Fn(usize, usize, usize) -> f64,
    ) -> Result<Self> {
        let pairs: Vec<[usize; 2]> =
            (0..shifts.len()).flat_map(|k| (0..=neighbours.min(k)).map(move |j| [k, j])).collect();
        let mut flat = vec![0.0; pairs.len() * (lmax + 1)];
        let legendre = Legendre::new(lmax);
        let (rank, ranks) = comm.map_or((0, 1), |comm| (comm.rank(), comm.size()));
        let mut mine = pairs.iter().zip(flat.chunks_exact_mut(lmax + 1)).skip(rank).step_by(ranks);
        let solved = mine.try_for_each(|(&[k, j], to)| {
            let c: Vec<f64> = (0..=lmax).map(|l| if l < lmin { 0.0 } else { c(k, k - j, l) }).collect();
            let solved = legendre.gaussian(lmin, &c, shifts[k] * shifts[k - j]);
            to.copy_from_slice(
                &solved.map_err(|e| Error { problem: format!("shells {} and {k}: {}", k - j, e.problem), ..e })?,
            );
            Ok(())
        });
        match comm {
            Some(comm) => {
                comm.agree(solved)?;
                comm.sum(&mut flat);
            }
            None => solved?,
        }
        let mut rows = flat.chunks_exact(lmax + 1).map(<[f64]>::to_vec);
        let gaussian = (0..shifts.len()).map(|k| rows.by_ref().take(neighbours.min(k) + 1).collect()).collect();
        let shells = LognormalShells { lmax, shifts, gaussian };
        (0..shells.shifts.len()).try_for_each(|k| shells.conditional(k).map(drop))?;
        Ok(shells)
    }

    /// Number of shells.
    pub fn count(&self) -> usize {
        self.shifts.len()
    }

    fn of(&self, i: usize, j: usize, l: usize) -> f64 {
        let (low, high) = (i.min(j), i.max(j));
        self.gaussian[high].get(high - low).map_or(0.0, |c| c[l])
    }

    /// How shell k follows from those before it.
    pub fn conditional(&self, k: usize) -> Result<Conditional> {
        let n = self.gaussian[k].len() - 1;
        let mut all = Conditional { sigma: vec![], weights: vec![vec![]; n] };
        for l in 0..=self.lmax {
            let (weights, rest) = self.given(k, n, l);
            let variance = self.of(k, k, l);
            // What rounding leaves of a shell that the others tell wholly.
            if variance < 0.0 || rest < -1e-6 * variance {
                let problem = format!(
                    "at ℓ = {l} the Gaussian field of shell {k} would have the variance {:.2e} of its C_ℓ, given the {n} before it",
                    rest / variance.abs().max(f64::MIN_POSITIVE)
                );
                return Err(Error::input(problem));
            }
            all.sigma.push(rest.max(0.0).sqrt());
            all.weights.iter_mut().zip(weights).for_each(|(all, w)| all.push(w));
        }
        Ok(all)
    }

    /// Weights of the n shells before shell k, the nearest first, and the variance that is left: by a Cholesky decomposition
    /// L of theirs, in which a shell without variance of its own counts nothing.
    fn given(&self, k: usize, n: usize, l: usize) -> (Vec<f64>, f64) {
        let c = |i: usize, j: usize| self.of(k - 1 - i, k - 1 - j, l);
        let mut low = vec![vec![0.0; n]; n];
        for i in 0..n {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|m| low[i][m] * low[j][m]).sum();
                let left = c(i, j) - sum;
                low[i][j] = match i == j {
                    true if left > 1e-12 * c(i, i) => left.sqrt(),
                    false if low[j][j] > 0.0 => left / low[j][j],
                    _ => 0.0,
                };
            }
        }
        let mut y = vec![0.0; n];
        for i in 0..n {
            let sum: f64 = (0..i).map(|m| low[i][m] * y[m]).sum();
            y[i] = if low[i][i] > 0.0 { (self.of(k, k - 1 - i, l) - sum) / low[i][i] } else { 0.0 };
        }
        let rest = self.of(k, k, l) - y.iter().map(|y| y * y).sum::<f64>();
        let mut weights = vec![0.0; n];
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|m| low[m][i] * weights[m]).sum();
            weights[i] = if low[i][i] > 0.0 { (y[i] - sum) / low[i][i] } else { 0.0 };
        }
        (weights, rest)
    }

    /// Makes δ_k of a map of g_k.
    pub fn exponentiate(&self, k: usize, map: &mut [f64]) {
        let c = &self.gaussian[k][0];
        let variance: f64 = c.iter().enumerate().map(|(l, c)| (2 * l + 1) as f64 / (4.0 * PI) * c).sum();
        let shift = self.shifts[k];
        map.iter_mut().for_each(|g| *g = shift * ((*g - 0.5 * variance).exp() - 1.0));
    }
}
