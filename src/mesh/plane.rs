//! The real FFT of a plane: maps of the sky, held whole by one rank or dealt out over several.

use super::array::{Aligned, shares};
use super::fft::{exchange, pack, unpack};
use super::{Complex, Real};
use crate::comm::{Comm, share};
use crate::error::Result;
use fftw::plan::PlanSpec;
use std::ops::Range;

/// Transforms real maps of `shape` (n0, n1), C order, to half-complex modes (n0, n1/2 + 1) and back, in the conventions
/// of [`crate::mesh`]: neither direction is normalised. Every call repeats its bits.
///
/// Over several ranks each has some rows of a map, and some columns of its modes, in rank order; what follows is of these
/// alone, and transforms are collective. There are no other ranks of a plane that [`Plane::new`] makes.
pub struct Plane<T: Real> {
    comm: Option<Comm>,
    shape: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
    /// Along axis 1, all rows; then along axis 0, all columns, in place. None where there are none.
    row_plans: Option<[T::FftPlan; 2]>,
    column_plans: Option<[T::FftPlan; 2]>,
    map: Aligned<T>,
    modes: Aligned<Complex<T>>,
    /// For exchanges.
    scratch: Aligned<Complex<T>>,
}

impl<T: Real> Plane<T> {
    /// Plans transforms of whole maps with n0 rows and n1 columns, both at least 1. Serial.
    pub fn new(shape: [usize; 2]) -> Self {
        Plane::of(None, shape)
    }

    /// The same of maps whose rows are dealt out.
    pub fn over(comm: &Comm, shape: [usize; 2]) -> Self {
        Plane::of(Some(comm.clone()).filter(|comm| comm.size() > 1), shape)
    }

    fn of(comm: Option<Comm>, shape: [usize; 2]) -> Self {
        let [n0, n1] = shape;
        let half = n1 / 2 + 1;
        let own = |n: usize| {
            let (start, count) = comm.as_ref().map_or((0, n), |comm| share(n, comm.size(), comm.rank()));
            start..start + count
        };
        let (rows, columns) = (own(n0), own(half));
        let (high, wide) = (rows.len(), columns.len());
        let length = (high * half).max(n0 * wide);
        let (mut map, mut modes) = (Aligned::<T>::new(high * n1), Aligned::<Complex<T>>::new(length));
        let scratch = Aligned::new(if comm.is_some() { length } else { 0 });
        let (r, c) = (map.as_mut_ptr(), modes.as_mut_ptr());
        let i = |x: usize| x as isize;
        let column = (n0, i(wide), i(wide));
        // SAFETY: the strides are those of the two buffers, which live as long as the plans.
        let (row_plans, column_plans) = unsafe {
            let row_plans = (high > 0).then(|| {
                [
                    T::plan_r2c((n1, 1, 1), &[(high, i(n1), i(half))], r, c, false),
                    T::plan_c2r((n1, 1, 1), &[(high, i(half), i(n1))], c, r, false),
                ]
            });
            let across = |forward| T::plan_c2c(column, &[(wide, 1, 1)], c, c, forward, false);
            (row_plans, (wide > 0).then(|| [true, false].map(across)))
        };
        Plane { comm, shape, rows, columns, row_plans, column_plans, map, modes, scratch }
    }

    /// Rows and columns of a map.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The rows of maps that this rank has.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of modes that this rank has, of 0 … n1/2.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The ranks' sums. Collective.
    pub fn sum(&self, values: &mut [f64]) {
        self.comm.iter().for_each(|comm| comm.sum(values));
    }

    /// What the ranks agree on, as [`Comm::agree`]. Collective.
    pub fn agree<R>(&self, result: Result<R>) -> Result<R> {
        match &self.comm {
            Some(comm) => comm.agree(result),
            None => result,
        }
    }

    /// This rank's rows of maps (maps, n0, n1), of which rank r has `held[r]`, in rank order. Collective.
    pub fn deal(&self, held: &[usize], maps: Vec<T>) -> Vec<T> {
        let Some(comm) = &self.comm else { return maps };
        let ([n0, n1], parts) = (self.shape, shares(self.shape[0], comm.size()));
        let mut packed = vec![T::default(); maps.len()];
        let counts = pack(&maps, &mut packed, &parts, held[comm.rank()], n0, n1);
        let from: Vec<usize> = held.iter().map(|held| held * self.rows.len() * n1).collect();
        let mut rows = vec![T::default(); from.iter().sum()];
        comm.exchange_into(&packed, &counts, &mut rows, &from);
        rows
    }

    /// The reverse of [`Self::deal`]: the maps that this rank is to have whole. Collective.
    pub fn collect(&self, held: &[usize], rows: Vec<T>) -> Vec<T> {
        let Some(comm) = &self.comm else { return rows };
        let ([n0, n1], parts, own) = (self.shape, shares(self.shape[0], comm.size()), held[comm.rank()]);
        let counts: Vec<usize> = held.iter().map(|held| held * self.rows.len() * n1).collect();
        let from: Vec<usize> = parts.iter().map(|part| own * part.1 * n1).collect();
        let mut packed = vec![T::default(); own * n0 * n1];
        comm.exchange_into(&rows, &counts, &mut packed, &from);
        let mut maps = vec![T::default(); packed.len()];
        unpack(&packed, &mut maps, &parts, own, n0, n1);
        maps
    }

    /// c(k) = Σ_x f(x) exp(−i k·x) of a `map` (n0, n1).
    pub fn forward(&mut self, map: &[T]) -> Vec<Complex<T>> {
        let [n0, n1] = self.shape;
        self.map.copy_from_slice(map);
        if let Some([plan, _]) = self.row_plans {
            // SAFETY: planned in `of` on these buffers.
            unsafe { T::execute_r2c(plan, self.map.as_mut_ptr(), self.modes.as_mut_ptr()) };
        }
        if let Some(comm) = &self.comm {
            let (columns, rows) = (shares(n1 / 2 + 1, comm.size()), shares(n0, comm.size()));
            let counts = pack(&self.modes, &mut self.scratch, &columns, self.rows.len(), n1 / 2 + 1, 1);
            let from: Vec<usize> = rows.iter().map(|rows| rows.1 * self.columns.len()).collect();
            exchange(comm, &self.scratch, &counts, &mut self.modes, &from);
        }
        self.across(0);
        self.modes[..n0 * self.columns.len()].to_vec()
    }

    /// f(x) = Σ_k c(k) exp(+i k·x) of `modes` (n0, n1/2 + 1).
    pub fn inverse(&mut self, modes: &[Complex<T>]) -> Vec<T> {
        self.modes[..modes.len()].copy_from_slice(modes);
        self.invert()
    }

    /// The map of modes multiplied by `kernel(n0, n1)`, with signed wavenumbers −N0/2 … (N0−1)/2 and 0 … N1/2.
    pub fn filtered(&mut self, modes: &[Complex<T>], kernel: impl Fn(i64, i64) -> Complex<T>) -> Vec<T> {
        let (wide, first) = (self.columns.len(), self.columns.start);
        for (at, (to, from)) in self.modes.iter_mut().zip(modes).enumerate() {
            *to = from * kernel(signed(at / wide, self.shape[0]), (first + at % wide) as i64);
        }
        self.invert()
    }

    fn invert(&mut self) -> Vec<T> {
        let [n0, n1] = self.shape;
        self.across(1);
        if let Some(comm) = &self.comm {
            let (columns, rows) = (shares(n1 / 2 + 1, comm.size()), shares(n0, comm.size()));
            let counts: Vec<usize> = rows.iter().map(|rows| rows.1 * self.columns.len()).collect();
            let from: Vec<usize> = columns.iter().map(|columns| self.rows.len() * columns.1).collect();
            exchange(comm, &self.modes, &counts, &mut self.scratch, &from);
            unpack(&self.scratch, &mut self.modes, &columns, self.rows.len(), n1 / 2 + 1, 1);
        }
        if let Some([_, plan]) = self.row_plans {
            // SAFETY: planned in `of` on these buffers.
            unsafe { T::execute_c2r(plan, self.modes.as_mut_ptr(), self.map.as_mut_ptr()) };
        }
        self.map.to_vec()
    }

    /// Along axis 0, forward or back.
    fn across(&mut self, way: usize) {
        let modes = self.modes.as_mut_ptr();
        if let Some(plans) = self.column_plans {
            // SAFETY: planned in `of` on this buffer.
            unsafe { T::execute_c2c(plans[way], modes, modes) };
        }
    }

    /// Calls `f([n0, n1], multiplicity, mode)` for each of `modes`: signed wavenumbers, and how many modes of the full
    /// plane the half-complex one stands for (1 or 2).
    pub fn for_each(&self, modes: &[Complex<T>], mut f: impl FnMut([i64; 2], usize, Complex<T>)) {
        let wide = self.columns.len();
        for (at, mode) in modes.iter().enumerate() {
            let n1 = self.columns.start + at % wide;
            let own_mirror = n1 == 0 || 2 * n1 == self.shape[1];
            f([signed(at / wide, self.shape[0]), n1 as i64], if own_mirror { 1 } else { 2 }, *mode);
        }
    }
}

/// Index `i` of `n` as a signed wavenumber −n/2 … (n−1)/2.
fn signed(i: usize, n: usize) -> i64 {
    if i >= n.div_ceil(2) { i as i64 - n as i64 } else { i as i64 }
}

impl<T: Real> Drop for Plane<T> {
    fn drop(&mut self) {
        for plan in [self.row_plans, self.column_plans].into_iter().flatten().flatten() {
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
