//! Spectra of maps on the modes of a periodic grid, and correlated Gaussian maps that have them.

use crate::error::{Error, Result};
use crate::mesh::{Complex, Plane};
use std::f64::consts::{PI, TAU};
use std::ops::Range;

/// Symmetric matrices P_ij(n) of several maps on the modes n of N × N pixels: the eigenvalues of the pixels' covariance,
///
/// ⟨f_i(x) f_j(y)⟩ = N⁻² Σ_n P_ij(n) exp(2πi n·(x − y)/N),   P_ij(n) = C_ij(ℓ) / A,   ℓ = 2π |n| / side,
///
/// A being a pixel's solid angle: exact on a periodic map. They depend on (|n₀|, |n₁|), of which 0 … N/2 are kept, and of
/// the second those of some columns: all, or those that this rank of a [`Plane`] has.
#[derive(Debug, Clone)]
pub struct GridSpectra {
    maps: usize,
    pixels: usize,
    columns: Range<usize>,
    /// (N/2 + 1, columns, pairs i ≤ j), row by row.
    values: Vec<f64>,
}

impl GridSpectra {
    /// Of spectra `c(i, j, ℓ)` in sr for i ≤ j, on maps of `pixels` per side of `side` degrees. The map's mean (n = 0) has
    /// no power. With `pixel_window` a pixel is the mean over its square: C_ij times [sinc sinc]²; else the value at its
    /// centre of a field without power beyond the grid's modes.
    pub fn new(
        maps: usize,
        pixels: usize,
        side: f64,
        pixel_window: bool,
        c: impl Fn(usize, usize, f64) -> f64,
    ) -> GridSpectra {
        GridSpectra::of_columns(0..pixels / 2 + 1, maps, (pixels, side), pixel_window, c)
    }

    /// The same of some columns.
    pub fn of_columns(
        columns: Range<usize>,
        maps: usize,
        (pixels, side): (usize, f64),
        pixel_window: bool,
        c: impl Fn(usize, usize, f64) -> f64,
    ) -> GridSpectra {
        let (fundamental, area) = (TAU / side.to_radians(), (side.to_radians() / pixels as f64).powi(2));
        let sinc = |i: usize| {
            let x = PI * i as f64 / pixels as f64;
            if pixel_window && i != 0 { x.sin() / x } else { 1.0 }
        };
        let mut spectra = GridSpectra { maps, pixels, columns, values: vec![] };
        spectra.values = vec![0.0; spectra.half() * spectra.columns.len() * spectra.pairs()];
        for ([row, column], _) in spectra.waves() {
            let ell = fundamental * ((row * row + column * column) as f64).sqrt();
            let window = (sinc(row) * sinc(column)).powi(2) / area;
            let matrix: Vec<f64> = pairs(maps).map(|(i, j)| c(i, j, ell) * window).collect();
            spectra.set([row, column], &matrix);
        }
        spectra
    }

    /// Number of maps.
    pub fn maps(&self) -> usize {
        self.maps
    }

    /// Pixels per side.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    fn half(&self) -> usize {
        self.pixels / 2 + 1
    }

    fn pairs(&self) -> usize {
        self.maps * (self.maps + 1) / 2
    }

    /// Where the matrix at (|n₀|, |n₁|) stands.
    fn place(&self, row: usize, column: usize) -> Range<usize> {
        let size = self.pairs();
        let start = (row * self.columns.len() + column - self.columns.start) * size;
        start..start + size
    }

    /// P_ij at (|n₀|, |n₁|) of one of the columns, pairs i ≤ j row by row.
    pub fn at(&self, row: usize, column: usize) -> &[f64] {
        &self.values[self.place(row, column)]
    }

    /// Replaces the matrix there, and at (|n₁|, |n₀|) where that is one of the columns.
    pub(super) fn set(&mut self, [row, column]: [usize; 2], matrix: &[f64]) {
        let mirror = (row != column && self.columns.contains(&row)).then(|| self.place(column, row));
        for place in std::iter::once(self.place(row, column)).chain(mirror) {
            self.values[place].copy_from_slice(matrix);
        }
    }

    /// Adds what the spectra that were `made` lack of those `wanted`, over `scale` of each pair.
    pub(super) fn feed_back(&mut self, wanted: &GridSpectra, made: &GridSpectra, scale: &[f64]) {
        let lacking = wanted.values.iter().zip(&made.values).zip(scale.iter().cycle());
        self.values.iter_mut().zip(lacking).for_each(|(p, ((w, m), scale))| *p += (w - m) / scale);
    }

    /// (|n₀|, |n₁|) of one octant, |n₀| ≥ |n₁|, and how many modes of the full plane each stands for; of some columns those in
    /// them, and their mirror images where these are in none.
    pub fn octant(&self) -> impl Iterator<Item = ([usize; 2], usize)> + use<> {
        let (half, n, columns) = (self.half(), self.pixels, self.columns.clone());
        let mirrors = move |i: usize| if i == 0 || 2 * i == n { 1 } else { 2 };
        (0..half).flat_map(move |i| {
            let both = columns.contains(&i);
            let end = if both { i + 1 } else { columns.end };
            let images = move |j: usize| mirrors(i) * mirrors(j) * if both && i != j { 2 } else { 1 };
            (columns.start..end).map(move |j| ([i, j], images(j)))
        })
    }

    /// The same without the mean.
    pub fn waves(&self) -> impl Iterator<Item = ([usize; 2], usize)> + use<> {
        self.octant().filter(|(at, _)| *at != [0, 0])
    }

    /// What the mean has, where it is in one of the columns.
    pub fn mean(&self) -> &[f64] {
        if self.columns.contains(&0) { self.at(0, 0) } else { &[] }
    }

    /// Adds white noise of this rms in each pixel of each map.
    pub fn add_noise(&mut self, sigma: &[f64]) {
        let size = self.maps * (self.maps + 1) / 2;
        let own: Vec<usize> = pairs(self.maps).enumerate().filter(|(_, (i, j))| i == j).map(|(at, _)| at).collect();
        for matrix in self.values.chunks_exact_mut(size) {
            own.iter().zip(sigma).for_each(|(&at, sigma)| matrix[at] += sigma * sigma);
        }
    }

    /// Correlation functions ξ_ij(x) of the pairs i ≤ j, each on all pixels, or on the plane's rows of them: variances and
    /// covariances at x = 0. Collective over the plane.
    pub fn correlations(&self, plane: &mut Plane<f64>) -> Vec<Vec<f64>> {
        let (n, wide, first) = (self.pixels, self.columns.len(), self.columns.start);
        let cells = (n * n) as f64;
        let of = |pair: usize| {
            let mode = |at: usize| self.at(mirrored(at / wide, n), first + at % wide)[pair] / cells;
            plane.inverse(&(0..n * wide).map(|at| mode(at).into()).collect::<Vec<_>>())
        };
        (0..self.pairs()).map(of).collect()
    }

    /// The spectra of correlation functions that are even in x, as those of [`Self::correlations`]. Collective over the plane.
    pub fn of_correlations(maps: usize, pixels: usize, xi: &[Vec<f64>], plane: &mut Plane<f64>) -> GridSpectra {
        let columns = plane.columns();
        let mut spectra = GridSpectra { maps, pixels, columns: columns.clone(), values: vec![] };
        let (half, wide, size) = (spectra.half(), columns.len(), spectra.pairs());
        spectra.values = vec![0.0; half * wide * size];
        for (pair, xi) in xi.iter().enumerate() {
            let modes = plane.forward(xi);
            (0..half * wide).for_each(|at| spectra.values[at * size + pair] = modes[at].re);
        }
        spectra
    }

    /// What draws Gaussian maps of these spectra; refused where a matrix is of no fields.
    pub fn roots(&self) -> Result<Roots> {
        let maps = self.maps;
        let mut lower =
            GridSpectra { maps, values: vec![0.0; self.values.len()], columns: self.columns.clone(), ..*self };
        for ([row, column], _) in self.octant() {
            let root = cholesky(maps, self.at(row, column)).map_err(|(map, by)| {
                let problem = format!(
                    "at the mode ({row}, {column}) of the map the spectra are those of no fields: map {map} has the \
                     variance {by:.2e} of its own beside the maps before it"
                );
                Error::input(problem).remedy("look at the spectra of that map with those before it")
            })?;
            lower.set([row, column], &root);
        }
        Ok(Roots { lower })
    }
}

/// Pairs i ≤ j of `n`, row by row.
pub fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i..n).map(move |j| (i, j)))
}

/// |n| of row `i` of `n`.
fn mirrored(i: usize, n: usize) -> usize {
    i.min(n - i)
}

/// Relative size of what rounding makes of a variance that is zero.
const ROUNDING: f64 = 1e-11;

/// The lower triangle L, row by row, of L Lᵀ = P, `p` the pairs i ≤ j of it. Where a map is a sum of others its column is
/// zero. An error has the map with a negative variance beside those before it, and that over its own.
pub fn cholesky(maps: usize, p: &[f64]) -> std::result::Result<Vec<f64>, (usize, f64)> {
    let at = |i: usize, j: usize| p[i * maps - i * (i + 1) / 2 + j];
    let row = |i: usize| i * (i + 1) / 2;
    let mut l = vec![0.0; maps * (maps + 1) / 2];
    for i in 0..maps {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[row(i) + k] * l[row(j) + k]).sum();
            let rest = at(j, i) - dot;
            l[row(i) + j] = match (i == j, l[row(j) + j]) {
                (true, _) if rest < -ROUNDING * at(i, i).abs() || rest.is_nan() => return Err((i, rest / at(i, i))),
                (true, _) if rest <= ROUNDING * at(i, i) => 0.0,
                (true, _) => rest.sqrt(),
                (false, 0.0) if rest.abs() > 1e-5 * (at(i, i) * at(j, j)).sqrt() => {
                    return Err((i, -rest.abs() / at(i, i)));
                }
                (false, 0.0) => 0.0,
                (false, own) => rest / own,
            };
        }
    }
    Ok(l)
}

/// Draws Gaussian maps.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Lower triangles in the place of matrices.
    lower: GridSpectra,
}

impl Roots {
    /// Maps (maps, N, N) of the white noise maps that `white` gives, in units of a standard deviation; of all the plane's rows.
    /// Collective over the plane.
    pub fn draw(&self, plane: &mut Plane<f64>, white: impl FnMut(usize) -> Vec<f64>) -> Vec<f64> {
        let GridSpectra { maps, pixels: n, ref columns, .. } = self.lower;
        let (cells, wide) = ((n * n) as f64, columns.len());
        let noise: Vec<Vec<f64>> = (0..maps).map(white).collect();
        let mut modes: Vec<Vec<Complex<f64>>> = noise.iter().map(|map| plane.forward(map)).collect();
        (0..n * wide).for_each(|at| {
            let root = self.lower.at(mirrored(at / wide, n), columns.start + at % wide);
            // The last first: those before it are still what they were.
            for i in (0..maps).rev() {
                let row = &root[i * (i + 1) / 2..];
                modes[i][at] = (0..=i).map(|j| modes[j][at] * row[j]).sum::<Complex<f64>>() / cells;
            }
        });
        modes.iter().flat_map(|modes| plane.inverse(modes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand_distr::{Distribution, StandardNormal};

    fn spectrum(i: usize, j: usize, ell: f64) -> f64 {
        let own = [1e-3, 2e-3][i.min(1)] / ell;
        if i == j { own } else { 0.6 * (1e-3f64 * 2e-3).sqrt() / ell }
    }

    #[test]
    fn maps_have_the_covariance_of_their_spectra() {
        for n in [6, 7] {
            let (mut plane, spectra) = (Plane::new([n, n]), GridSpectra::new(2, n, 10.0, true, spectrum));
            let xi = spectra.correlations(&mut plane);
            // Brute force over all modes of the plane.
            let signed = |i: usize| if i >= n.div_ceil(2) { i as i64 - n as i64 } else { i as i64 };
            for (pair, at) in [(0, 0), (0, 1), (1, n + 2), (2, 3 * n + 1)] {
                let sum: f64 = (0..n * n)
                    .map(|k| {
                        let (k0, k1) = (signed(k / n), signed(k % n));
                        let phase = (k0 * (at / n) as i64 + k1 * (at % n) as i64) as f64 / n as f64;
                        spectra.at(k0.unsigned_abs() as usize, k1.unsigned_abs() as usize)[pair] * (TAU * phase).cos()
                    })
                    .sum();
                assert!((sum / (n * n) as f64 - xi[pair][at]).abs() < 1e-12 * xi[0][0], "{n}: {pair} {at}");
            }
            let back = GridSpectra::of_correlations(2, n, &xi, &mut plane);
            assert!(back.values.iter().zip(&spectra.values).all(|(a, b)| (a - b).abs() < 1e-12 * spectra.at(1, 0)[0]));
            assert_eq!(spectra.octant().map(|o| o.1).sum::<usize>(), n * n);

            let (roots, draws) = (spectra.roots().unwrap(), 4000);
            let mut found = [0.0; 3];
            for draw in 0..draws {
                let white = |i: usize| {
                    StandardNormal.sample_iter(stream(1, draw, "white noise", i as u64)).take(n * n).collect()
                };
                let maps = roots.draw(&mut plane, white);
                let (a, b) = maps.split_at(n * n);
                let mean = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / (n * n) as f64;
                let all = [mean(a, a), mean(a, b), mean(b, b)];
                found.iter_mut().zip(all).for_each(|(f, x)| *f += x / draws as f64);
                assert!(a.iter().sum::<f64>().abs() < 1e-12 * (n * n) as f64, "the mean has no power");
            }
            for (pair, found) in found.iter().enumerate() {
                assert!((found / xi[pair][0] - 1.0).abs() < 0.05, "{n}: {found} is not {}", xi[pair][0]);
            }
        }
    }

    #[test]
    fn maps_that_are_sums_of_others_are_drawn_and_impossible_ones_refused() {
        assert_eq!(cholesky(2, &[4.0, 2.0, 1.0]), Ok(vec![2.0, 1.0, 0.0]));
        assert_eq!(cholesky(2, &[0.0, 0.0, 1.0]), Ok(vec![0.0, 0.0, 1.0]));
        assert!(cholesky(2, &[1.0, 1.1, 1.0]).is_err_and(|(map, by)| map == 1 && (by + 0.21).abs() < 1e-12));
        assert!(cholesky(2, &[0.0, 0.5, 1.0]).is_err() && cholesky(1, &[-1.0]).is_err());
        let e = GridSpectra::new(2, 4, 1.0, false, |i, j, _| if i == j { 1.0 } else { -1.5 }).roots().unwrap_err();
        assert!(e.exit_code() == 2 && e.problem.contains("map 1 has the variance"), "{e}");
    }
}
