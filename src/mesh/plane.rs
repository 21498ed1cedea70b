//! The serial real FFT of a plane: maps of the sky, held whole by one rank.

use super::array::Aligned;
use super::{Complex, Real};
use fftw::plan::PlanSpec;

/// Transforms real maps of `shape` (n0, n1), C order, to half-complex modes (n0, n1/2 + 1) and back, in the conventions
/// of [`crate::mesh`]: neither direction is normalised. Serial; every call repeats its bits.
pub struct Plane<T: Real> {
    shape: [usize; 2],
    /// Along axis 1, all rows; then along axis 0, all columns, in place.
    rows: [T::FftPlan; 2],
    columns: [T::FftPlan; 2],
    map: Aligned<T>,
    modes: Aligned<Complex<T>>,
}

impl<T: Real> Plane<T> {
    /// Plans transforms of maps with n0 rows and n1 columns, both at least 1.
    pub fn new(shape: [usize; 2]) -> Self {
        let [n0, n1] = shape;
        let half = n1 / 2 + 1;
        let (mut map, mut modes) = (Aligned::<T>::new(n0 * n1), Aligned::<Complex<T>>::new(n0 * half));
        let (r, c) = (map.as_mut_ptr(), modes.as_mut_ptr());
        let i = |x: usize| x as isize;
        let column = (n0, i(half), i(half));
        // SAFETY: the strides are those of the two buffers, which live as long as the plans.
        unsafe {
            let rows = [
                T::plan_r2c((n1, 1, 1), &[(n0, i(n1), i(half))], r, c, false),
                T::plan_c2r((n1, 1, 1), &[(n0, i(half), i(n1))], c, r, false),
            ];
            let columns = [true, false].map(|forward| T::plan_c2c(column, &[(half, 1, 1)], c, c, forward, false));
            Plane { shape, rows, columns, map, modes }
        }
    }

    /// Rows and columns of a map.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// c(k) = Σ_x f(x) exp(−i k·x) of a `map` (n0, n1).
    pub fn forward(&mut self, map: &[T]) -> Vec<Complex<T>> {
        self.map.copy_from_slice(map);
        let (r, c) = (self.map.as_mut_ptr(), self.modes.as_mut_ptr());
        // SAFETY: planned in `new` on these buffers.
        unsafe {
            T::execute_r2c(self.rows[0], r, c);
            T::execute_c2c(self.columns[0], c, c);
        }
        self.modes.to_vec()
    }

    /// f(x) = Σ_k c(k) exp(+i k·x) of `modes` (n0, n1/2 + 1).
    pub fn inverse(&mut self, modes: &[Complex<T>]) -> Vec<T> {
        self.modes.copy_from_slice(modes);
        self.invert()
    }

    /// The map of modes multiplied by `kernel(n0, n1)`, with signed wavenumbers −N0/2 … (N0−1)/2 and 0 … N1/2.
    pub fn filtered(&mut self, modes: &[Complex<T>], kernel: impl Fn(i64, i64) -> Complex<T>) -> Vec<T> {
        let half = self.shape[1] / 2 + 1;
        for (row, (to, from)) in self.modes.chunks_exact_mut(half).zip(modes.chunks_exact(half)).enumerate() {
            let n0 = signed(row, self.shape[0]);
            for (n1, (to, from)) in to.iter_mut().zip(from).enumerate() {
                *to = from * kernel(n0, n1 as i64);
            }
        }
        self.invert()
    }

    fn invert(&mut self) -> Vec<T> {
        let (r, c) = (self.map.as_mut_ptr(), self.modes.as_mut_ptr());
        // SAFETY: planned in `new` on these buffers.
        unsafe {
            T::execute_c2c(self.columns[1], c, c);
            T::execute_c2r(self.rows[1], c, r);
        }
        self.map.to_vec()
    }

    /// Calls `f([n0, n1], multiplicity, mode)` for each of `modes`: signed wavenumbers, and how many modes of the full
    /// plane the half-complex one stands for (1 or 2).
    pub fn for_each(&self, modes: &[Complex<T>], mut f: impl FnMut([i64; 2], usize, Complex<T>)) {
        let half = self.shape[1] / 2 + 1;
        for (row, modes) in modes.chunks_exact(half).enumerate() {
            for (n1, mode) in modes.iter().enumerate() {
                let own_mirror = n1 == 0 || 2 * n1 == self.shape[1];
                f([signed(row, self.shape[0]), n1 as i64], if own_mirror { 1 } else { 2 }, *mode);
            }
        }
    }
}

/// Index `i` of `n` as a signed wavenumber −n/2 … (n−1)/2.
fn signed(i: usize, n: usize) -> i64 {
    if i >= n.div_ceil(2) { i as i64 - n as i64 } else { i as i64 }
}

impl<T: Real> Drop for Plane<T> {
    fn drop(&mut self) {
        for plan in self.rows.into_iter().chain(self.columns) {
            plan.destroy();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn noise(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * i * 7919 + 31 * i) % 1009) as f64 / 1009.0 - 0.5).collect()
    }

    #[test]
    fn agrees_with_the_sum_and_inverts() {
        for [n0, n1] in [[6, 8], [5, 7], [8, 5], [1, 4], [3, 1]] {
            let (map, mut plane) = (noise(n0 * n1), Plane::<f64>::new([n0, n1]));
            let modes = plane.forward(&map);
            let (mut worst, mut count) = (0f64, 0);
            plane.for_each(&modes, |[k0, k1], multiplicity, mode| {
                let mut sum = Complex::new(0.0, 0.0);
                for (i, f) in map.iter().enumerate() {
                    let phase = k0 as f64 * (i / n1) as f64 / n0 as f64 + k1 as f64 * (i % n1) as f64 / n1 as f64;
                    sum += Complex::from_polar(*f, -TAU * phase);
                }
                worst = worst.max((sum - mode).norm());
                count += multiplicity;
            });
            assert!(worst < 1e-13 && count == n0 * n1, "{n0} x {n1}: {worst}, {count} modes");
            let back = plane.inverse(&modes);
            assert!(back.iter().zip(&map).all(|(b, m)| (b / (n0 * n1) as f64 - m).abs() < 1e-14));
        }
    }

    #[test]
    fn filters_derive() {
        let (n0, n1) = (12, 10);
        let wave = |i: usize, shift: f64| {
            (TAU * (2.0 * (i / n1) as f64 / n0 as f64 + (i % n1) as f64 / n1 as f64) + shift).cos()
        };
        let map: Vec<f64> = (0..n0 * n1).map(|i| wave(i, 0.3)).collect();
        let mut plane = Plane::<f64>::new([n0, n1]);
        let modes = plane.forward(&map);
        // d/dn of cos(2 x0 + x1): −2 sin.
        let slope = plane.filtered(&modes, |k0, _| Complex::new(0.0, k0 as f64 / (n0 * n1) as f64));
        for (i, s) in slope.iter().enumerate() {
            assert!((s - 2.0 * wave(i, 0.3 + TAU / 4.0)).abs() < 1e-13);
        }
    }
}
