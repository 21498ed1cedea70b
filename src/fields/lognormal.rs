//! Correlated shifted lognormal maps (Hilbert, Hartlap & Schneider 2011; Xavier, Abdalla & Joachimi 2016).

use super::grid_spectra::{GridSpectra, Roots, cholesky, pairs};
use crate::error::{Error, Result};
use crate::mesh::Plane;
use ndarray::Array2;
use ndarray_linalg::{Eigh, UPLO};

/// Rounds after which the Gaussian maps' spectra are as good as they get.
const ROUNDS: usize = 12;
/// Deviation of the maps' spectra that is good enough.
const ENOUGH: f64 = 1e-4;

/// Maps f_i = λ_i (exp(g_i − σ_i²/2) − 1) of Gaussian maps g_i of variance σ_i², with a shift λ_i each: f_i > −λ_i, mean 0.
/// Their correlation functions are ξ_ij = λ_i λ_j (exp ξ^G_ij − 1), on every pair of pixels.
#[derive(Debug, Clone)]
pub struct Lognormal {
    roots: Roots,
    /// λ_i.
    pub shifts: Vec<f64>,
    /// σ_i².
    variances: Vec<f64>,
    /// How well the maps have the spectra that were wanted.
    pub achieved: Achieved,
}

/// How well maps have the spectra that were wanted of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Achieved {
    /// The largest relative deviation of a band's mean, from twice the fundamental to half the Nyquist wavenumber; of a
    /// cross spectrum over √(P_ii P_jj).
    pub deviation: f64,
    /// Part of the modes at which the wanted spectra ask for what no Gaussian maps are, and the nearest matrix was taken.
    pub projected: f64,
}

impl Lognormal {
    /// Solves for the Gaussian maps on the grid itself: ξ^G = ln(1 + ξ/λ_i λ_j) is taken of the pixels' correlation
    /// functions, which makes the lognormal maps' spectra those that are `wanted`, pixels and periodic edges included. Where
    /// its spectra are no positive matrix, the nearest one is taken, and what that changes of the maps' spectra is fed back
    /// until it is less than 1e-4 or stays as it is: [`Achieved`] tells what is left. The mean (n = 0), of which spectra
    /// say nothing, is left to itself. Refused where a correlation is below −λ_i λ_j: the shifts are too small. Collective over
    /// the plane, whose columns `wanted` has.
    pub fn new(wanted: &GridSpectra, shifts: &[f64], plane: &mut Plane<f64>) -> Result<Lognormal> {
        let maps = wanted.maps();
        let scale: Vec<f64> = pairs(maps).map(|(i, j)| shifts[i] * shifts[j]).collect();
        let mut xi = wanted.correlations(plane);
        let low = pairs(maps).zip(&xi).zip(&scale).find_map(|((pair, xi), scale)| {
            xi.iter().copied().find(|x| *x <= -scale).map(|low| {
                let problem = format!(
                    "the shifts {} and {} of maps {} and {} are too small: their covariance falls to {low:.3e}, and \
                     lognormal maps cannot have less than {:.3e}",
                    shifts[pair.0], shifts[pair.1], pair.0, pair.1, -scale
                );
                Error::input(problem).remedy("give larger shifts, or smaller spectra")
            })
        });
        plane.agree(low.map_or(Ok(()), Err))?;
        for (xi, scale) in xi.iter_mut().zip(&scale) {
            each_even(plane, xi, |x| (x / scale).ln_1p());
        }
        let mut grid = GridSpectra::of_correlations(maps, wanted.pixels(), &xi, plane);
        // What the mean lacks of power is a factor of 1 + ξ/λ_i λ_j: all of it that there is where no other mode is changed.
        let cells = (wanted.pixels() as f64).powi(2);
        let mut of_mean = [grid.mean().iter().fold(0.0, |most: f64, p| most.max(p.abs() / cells))];
        plane.sum(&mut of_mean);
        let mut achieved = Achieved { deviation: of_mean[0].exp_m1(), projected: project(&mut grid, plane) };
        if achieved.projected > 0.0 || achieved.deviation > ENOUGH {
            let mut best = grid.clone();
            achieved.deviation = f64::INFINITY;
            for _ in 0..ROUNDS {
                let made = forward(&grid, &scale, plane);
                let deviation = deviation(&made, wanted, plane);
                let better = deviation < 0.9 * achieved.deviation;
                if deviation < achieved.deviation {
                    best = grid.clone();
                    achieved.deviation = deviation;
                }
                if !better || deviation < ENOUGH {
                    break;
                }
                // That of the mean is taken away again.
                grid.feed_back(wanted, &made, &scale);
                achieved.projected = project(&mut grid, plane);
            }
            grid = best;
        }
        let mut variances = vec![0.0; maps];
        for ([row, column], count) in grid.octant() {
            let own = own(maps, grid.at(row, column));
            variances.iter_mut().zip(own).for_each(|(v, p)| *v += count as f64 * p / cells);
        }
        plane.sum(&mut variances);
        Ok(Lognormal { roots: plane.agree(grid.roots())?, shifts: shifts.to_vec(), variances, achieved })
    }

    /// Maps (maps, N, N) of the white noise maps that `white` gives; of all the plane's rows. Collective over the plane.
    pub fn draw(&self, plane: &mut Plane<f64>, white: impl FnMut(usize) -> Vec<f64>) -> Vec<f64> {
        let mut all = self.roots.draw(plane, white);
        let size = (all.len() / self.shifts.len()).max(1);
        for ((map, shift), variance) in all.chunks_exact_mut(size).zip(&self.shifts).zip(&self.variances) {
            map.iter_mut().for_each(|x| *x = shift * (*x - 0.5 * variance).exp_m1());
        }
        all
    }
}

/// Replaces the values of a correlation function on n × n pixels, which is even along both axes and the same along either:
/// one octant says all, or of some rows one half.
fn each_even(plane: &Plane<f64>, xi: &mut [f64], f: impl Fn(f64) -> f64) {
    let (n, rows) = (plane.shape()[0], plane.rows());
    let mirror = |i: usize| (n - i) % n;
    if rows.len() < n {
        for row in xi.chunks_exact_mut(n) {
            for column in 0..=n / 2 {
                row[column] = f(row[column]);
                row[mirror(column)] = row[column];
            }
        }
        return;
    }
    for row in 0..=n / 2 {
        for column in 0..=row {
            let value = f(xi[row * n + column]);
            for [i, j] in [[row, column], [column, row]] {
                for (i, j) in [(i, j), (mirror(i), j), (i, mirror(j)), (mirror(i), mirror(j))] {
                    xi[i * n + j] = value;
                }
            }
        }
    }
}

/// The diagonal of a matrix, given by its pairs i ≤ j.
fn own(maps: usize, p: &[f64]) -> impl Iterator<Item = f64> {
    (0..maps).map(move |i| p[i * maps - i * (i + 1) / 2 + i])
}

/// Spectra of the lognormal maps of Gaussian ones.
fn forward(grid: &GridSpectra, scale: &[f64], plane: &mut Plane<f64>) -> GridSpectra {
    let mut xi = grid.correlations(plane);
    xi.iter_mut().zip(scale).for_each(|(xi, scale)| each_even(plane, xi, |x| scale * x.exp_m1()));
    GridSpectra::of_correlations(grid.maps(), grid.pixels(), &xi, plane)
}

/// Replaces matrices with negative eigenvalues by the nearest without: the part of the modes, the mean aside, where that
/// was so. The mean has no power left. Collective over the plane.
fn project(grid: &mut GridSpectra, plane: &Plane<f64>) -> f64 {
    let (maps, mut projected) = (grid.maps(), [0.0]);
    if !grid.mean().is_empty() {
        grid.set([0, 0], &vec![0.0; pairs(maps).count()]);
    }
    for ([row, column], count) in grid.waves() {
        let p = grid.at(row, column);
        if cholesky(maps, p).is_ok() {
            continue;
        }
        projected[0] += count as f64;
        let mut matrix = Array2::zeros([maps; 2]);
        pairs(maps).zip(p).for_each(|((i, j), &p)| {
            matrix[[i, j]] = p;
            matrix[[j, i]] = p;
        });
        // A matrix of numbers that are none is refused when it is drawn from.
        let Ok((values, vectors)) = matrix.eigh(UPLO::Lower) else { continue };
        let part =
            |i: usize, j: usize| (0..maps).map(|k| values[k].max(0.0) * vectors[[i, k]] * vectors[[j, k]]).sum::<f64>();
        let nearest: Vec<f64> = pairs(maps).map(|(i, j)| part(i, j)).collect();
        grid.set([row, column], &nearest);
    }
    plane.sum(&mut projected);
    projected[0] / (grid.pixels() as f64).powi(2)
}

/// Bands that [`Achieved`] looks at.
const BANDS: usize = 8;

fn deviation(made: &GridSpectra, wanted: &GridSpectra, plane: &Plane<f64>) -> f64 {
    let (maps, quarter) = (wanted.maps(), wanted.pixels() as f64 / 4.0);
    let count = maps * (maps + 1) / 2;
    let mut sums = vec![0.0; 2 * BANDS * count];
    for ([row, column], modes) in wanted.waves() {
        let n = ((row * row + column * column) as f64).sqrt();
        let band = ((n / 2.0).ln() / (quarter / 2.0).ln() * BANDS as f64).floor();
        if !(0.0..BANDS as f64).contains(&band) {
            continue;
        }
        let (made, wanted) = (made.at(row, column), wanted.at(row, column));
        let own: Vec<f64> = own(maps, wanted).collect();
        for (pair, (i, j)) in pairs(maps).enumerate() {
            let at = 2 * (band as usize * count + pair);
            sums[at] += modes as f64 * (made[pair] - wanted[pair]);
            sums[at + 1] += modes as f64 * (own[i] * own[j]).sqrt();
        }
    }
    plane.sum(&mut sums);
    sums.chunks_exact(2).filter(|s| s[1] > 0.0).fold(0.0, |most: f64, s| most.max((s[0] / s[1]).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand_distr::{Distribution, StandardNormal};

    /// Of convergence: a slope of −1 above ℓ = 300, two bins.
    fn spectrum(i: usize, j: usize, ell: f64) -> f64 {
        let amplitude: [f64; 2] = [1e-8, 4e-8];
        let correlation = if i == j { 1.0 } else { 0.7 };
        correlation * (amplitude[i] * amplitude[j]).sqrt() / (1.0 + (ell / 300.0).powf(1.5))
    }

    #[test]
    fn spectra_come_out_as_wanted_and_values_are_lognormal() {
        let n = 32;
        let (mut plane, wanted) = (Plane::new([n, n]), GridSpectra::new(2, n, 10.0, true, spectrum));
        let variance = wanted.correlations(&mut plane)[2][0];
        // From nearly Gaussian to a tail that dominates.
        for over in [10.0, 2.0, 0.7] {
            let shifts = [0.5 * over * variance.sqrt(), over * variance.sqrt()];
            let lognormal = Lognormal::new(&wanted, &shifts, &mut plane).unwrap();
            let achieved = lognormal.achieved;
            assert!(achieved.deviation < 0.01, "{over}: {achieved:?}");
            let draws = 300;
            let (mut moments, mut least) = ([0.0; 3], f64::INFINITY);
            for draw in 0..draws {
                let white = |i: usize| {
                    StandardNormal.sample_iter(stream(2, draw, "white noise", i as u64)).take(n * n).collect()
                };
                let maps = lognormal.draw(&mut plane, white);
                for x in &maps[n * n..] {
                    (1..4).for_each(|k| moments[k - 1] += x.powi(k as i32) / (draws as usize * n * n) as f64);
                    least = least.min(*x);
                }
            }
            let sd = variance.sqrt();
            assert!(least > -shifts[1] && moments[0].abs() < 0.05 * sd, "{over}: {least} {moments:?}");
            if over > 1.0 {
                let expected = (1.0 + variance / (shifts[1] * shifts[1])).ln();
                assert!(
                    (lognormal.variances[1] / expected - 1.0).abs() < 0.01,
                    "{} {expected}",
                    lognormal.variances[1]
                );
                assert!((moments[1] / variance - 1.0).abs() < 0.1, "{over}: {moments:?} {variance}");
                // Skewness of a lognormal variable: (e^σ² + 2) √(e^σ² − 1).
                let (ratio, skewness) = (sd / shifts[1], moments[2] / variance.powf(1.5));
                let expected = (ratio * ratio + 3.0) * ratio;
                assert!((skewness / expected - 1.0).abs() < 0.35, "{over}: {skewness} {expected}");
            }
        }
    }

    #[test]
    fn shifts_that_are_too_small_are_refused() {
        let (mut plane, n) = (Plane::new([16, 16]), 16);
        // All power in one mode: as far below zero as above.
        let wave = GridSpectra::new(1, n, 10.0, false, |_, _, ell| if ell < 40.0 { 1e-4 } else { 0.0 });
        let depth = wave.correlations(&mut plane)[0].iter().fold(0.0, |low: f64, x| low.min(*x));
        let e = Lognormal::new(&wave, &[(-0.9 * depth).sqrt()], &mut plane).unwrap_err();
        assert!(e.exit_code() == 2 && e.problem.contains("of maps 0 and 0 are too small"), "{e}");
        // What no lognormal map has is told, not hidden.
        let made = Lognormal::new(&wave, &[(-1.1 * depth).sqrt()], &mut plane).unwrap();
        assert!(made.achieved.projected > 0.1, "{:?}", made.achieved);
    }
}
