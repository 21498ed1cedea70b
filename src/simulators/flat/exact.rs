//! The likelihood of Gaussian maps.

use super::bad;
use super::maps::FlatMaps;
use crate::error::{Error, Result};
use crate::fields::grid_spectra::{cholesky, pairs};
use crate::io::field::Data;
use crate::mesh::Plane;
use crate::prior::Theta;
use crate::simulators::{Likelihood, LnLikelihood};
use ndarray::{Array1, Array2};
use ndarray_linalg::{DeterminantC, FactorizeC, SolveC, UPLO};
use std::f64::consts::TAU;

/// Pixels per side up to which a masked map has an exact likelihood: a matrix of all its pixels.
const MASKED: usize = 32;

/// The exact likelihood of Gaussian maps, noise included. Unmasked modes are independent of one another,
///
/// ln p = −½ Σ_n [ln det 2πP(n) + d(n)† P(n)⁻¹ d(n) / N²]
///
/// with the maps' transforms d(n); of n = 0, the mean, only where there is noise. The pixels that a mask leaves have the
/// covariance ξ_ij(x − y).
pub struct Exact {
    maps: FlatMaps,
    seen: Option<Vec<usize>>,
}

impl Likelihood for Exact {
    fn fields(&self) -> Vec<String> {
        vec!["maps".into()]
    }

    fn of<'a>(&'a self, fields: &[Data]) -> Result<LnLikelihood<'a>> {
        let [Data::F32(maps)] = fields else { return Err(Error::failed("maps are in single precision")) };
        let maps: Vec<f64> = maps.iter().map(|&x| x as f64).collect();
        let n = self.maps.sky.pixels;
        Ok(match &self.seen {
            None => {
                let data = powers(&maps, n);
                Box::new(move |theta| self.of_modes(&data, theta))
            }
            Some(seen) => {
                let data = maps.chunks_exact(n * n).flat_map(|map| seen.iter().map(|&i| map[i])).collect();
                Box::new(move |theta| self.of_pixels(seen, &data, theta))
            }
        })
    }
}

impl Exact {
    pub fn new(maps: FlatMaps) -> Result<Exact> {
        if maps.of_each_universe()? {
            let problem = "is known at the universes of the design only, and a likelihood asks between them";
            let error = Error::input(problem).key("cosmology.transfer").value("table");
            return Err(error.remedy("take a fitted spectrum, or leave --exact out"));
        }
        let (mask, n) = (maps.sky.mask()?, maps.sky.pixels);
        let seen = mask.map(|mask| (0..n * n).filter(|&i| mask[i] > 0.0).collect::<Vec<_>>());
        if seen.is_some() && n > MASKED {
            let problem = format!("with a mask the likelihood is that of all pixels together, of maps up to {MASKED}²");
            return Err(bad("sky.mask", &maps.sky.mask, problem, "leave the mask out, or make smaller maps"));
        }
        Ok(Exact { maps, seen })
    }

    fn of_modes(&self, data: &[Vec<f64>], theta: Theta) -> Result<f64> {
        let grid = self.maps.noisy_grid(theta, 0)?;
        let maps = grid.maps();
        let mut ln = 0.0;
        for (([row, column], count), data) in grid.octant().zip(data) {
            let p = grid.at(row, column);
            if p.iter().all(|p| *p == 0.0) && row == 0 {
                continue;
            }
            let singular = |map: usize| {
                let problem = format!(
                    "map {map} has no power of its own at the mode ({row}, {column}): the likelihood has no width"
                );
                bad("sky.noise", self.maps.sky.noise(maps), problem, "give the maps noise")
            };
            let root = cholesky(maps, p).map_err(|(map, _)| singular(map))?;
            let own = |i: usize| root[i * (i + 1) / 2 + i];
            if let Some(map) = (0..maps).find(|&i| own(i) == 0.0) {
                return Err(singular(map));
            }
            let ln_det = (0..maps).map(|i| 2.0 * own(i).ln() + TAU.ln()).sum::<f64>();
            ln -= 0.5 * (count as f64 * ln_det + trace_of_inverse(maps, &root, data));
        }
        Ok(ln)
    }

    fn of_pixels(&self, seen: &[usize], data: &Array1<f64>, theta: Theta) -> Result<f64> {
        let (grid, n) = (self.maps.noisy_grid(theta, 0)?, self.maps.sky.pixels);
        let xi = grid.correlations(&mut Plane::new([n, n]));
        let (maps, size) = (grid.maps(), seen.len());
        let pair = |i: usize, j: usize| i.min(j) * maps - i.min(j) * (i.min(j) + 1) / 2 + i.max(j);
        let apart = |a: usize, b: usize| ((a / n + n - b / n) % n) * n + (a % n + n - b % n) % n;
        let covariance = Array2::from_shape_fn([maps * size; 2], |(a, b)| {
            xi[pair(a / size, b / size)][apart(seen[a % size], seen[b % size])]
        });
        let singular = |_| {
            bad("sky.noise", self.maps.sky.noise(maps), "the pixels' covariance has no inverse", "give the maps noise")
        };
        let factors = covariance.factorizec(UPLO::Lower).map_err(singular)?;
        let weighted = factors.solvec(data).map_err(singular)?;
        Ok(-0.5 * (factors.ln_detc() + data.len() as f64 * TAU.ln() + data.dot(&weighted)))
    }
}

/// Σ Re d_i(n) d_j(n)* / N² over the modes that each of [`GridSpectra::octant`] stands for, pairs i ≤ j, of maps (maps,
/// n, n).
fn powers(maps: &[f64], n: usize) -> Vec<Vec<f64>> {
    let mut plane = Plane::<f64>::new([n, n]);
    let modes: Vec<_> = maps.chunks_exact(n * n).map(|map| plane.forward(map)).collect();
    let half = n / 2 + 1;
    let mut sums = vec![vec![0.0; modes.len() * (modes.len() + 1) / 2]; half * (half + 1) / 2];
    for (pair, (i, j)) in pairs(modes.len()).enumerate() {
        let mut second = modes[j].iter();
        plane.for_each(&modes[i], |[k0, k1], multiplicity, mode| {
            let [a, b] = [k0, k1].map(|k| k.unsigned_abs() as usize);
            let octant = a.max(b) * (a.max(b) + 1) / 2 + a.min(b);
            let product = second.next().map_or(0.0, |other| (mode * other.conj()).re);
            sums[octant][pair] += multiplicity as f64 * product / (n * n) as f64;
        });
    }
    sums
}

/// tr((L Lᵀ)⁻¹ S) of a lower triangle L and a symmetric S, given by its pairs i ≤ j.
fn trace_of_inverse(maps: usize, l: &[f64], s: &[f64]) -> f64 {
    let at = |i: usize, j: usize| s[i.min(j) * maps - i.min(j) * (i.min(j) + 1) / 2 + i.max(j)];
    let solved = |mut column: Vec<f64>| {
        for i in 0..maps {
            let row = &l[i * (i + 1) / 2..];
            let dot: f64 = (0..i).map(|j| row[j] * column[j]).sum();
            column[i] = (column[i] - dot) / row[i];
        }
        column
    };
    let half: Vec<Vec<f64>> = (0..maps).map(|j| solved((0..maps).map(|i| at(i, j)).collect())).collect();
    (0..maps).map(|j| solved(half.iter().map(|column| column[j]).collect())[j]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::OneOrMany;
    use crate::prior::{Parameter, Prior};
    use crate::rng::stream;
    use crate::simulators::Universes;
    use crate::simulators::flat::spectrum::{LN_A, SLOPE};
    use crate::simulators::flat::{Keys, SkyConfig, SpectrumConfig};
    use rand_distr::{Distribution, StandardNormal};

    /// Modes that are independent, and all pixels together, are two ways to the same likelihood of two noisy maps.
    #[test]
    fn the_likelihood_of_modes_is_that_of_all_pixels() {
        for (n, noise) in [(6, 0.3), (5, 0.1)] {
            let sky = SkyConfig {
                field_of_view_deg: 5.0,
                pixels: n,
                pixel_window: true,
                noise: Some(OneOrMany(vec![noise])),
                shape_noise: None,
                shear: false,
                mask: None,
                mask_fill: 0.0,
            };
            let p = |name: &str| Parameter::uniform(name, name, -20.0, 2.0);
            let prior = Prior::new(vec![p(LN_A), p(SLOPE)]).unwrap();
            let of = Universes { cosmology: None, prior: &prior, ranks: 1 };
            let maps = FlatMaps::new(
                &of,
                Keys { spectrum: &SpectrumConfig::default(), shifts: None, sky: &sky, c_ell: None, peaks: None },
            )
            .unwrap();
            let normal: Vec<f64> = StandardNormal.sample_iter(stream(1, 2, "maps", 0)).take(n * n).collect();
            let data = [Data::F32(normal.iter().map(|x| *x as f32).collect())];
            let (modes, pixels) =
                (Exact { maps: maps.clone(), seen: None }, Exact { maps, seen: Some((0..n * n).collect()) });
            for theta in [[-9.0, -1.0], [-6.0, 0.5]] {
                let ln = |of: &Exact| of.of(&data).unwrap()(prior.theta(&theta)).unwrap();
                let (modes, pixels) = (ln(&modes), ln(&pixels));
                assert!((modes - pixels).abs() < 1e-8 * modes.abs(), "{n}: {modes} {pixels}");
            }
        }
    }

    #[test]
    fn traces_are_those_of_the_inverse() {
        // P = [[4, 2], [2, 5]], P⁻¹ = [[5, −2], [−2, 4]] / 16.
        let root = cholesky(2, &[4.0, 2.0, 5.0]).unwrap();
        let expected = (5.0 * 3.0 - 2.0 * 2.0 * 0.5 + 4.0 * 7.0) / 16.0;
        assert!((trace_of_inverse(2, &root, &[3.0, 0.5, 7.0]) - expected).abs() < 1e-14);
    }
}
