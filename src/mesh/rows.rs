//! Serial real FFTs of rows of any lengths, as the rings of a map of the sphere have them.

use super::array::Aligned;
use super::{Complex, Real};
use fftw::plan::PlanSpec;
use std::collections::BTreeMap;

/// Transforms a row of n reals to n/2 + 1 modes and back, in the conventions of [`crate::mesh`]: neither direction is
/// normalised. Plans are kept by length.
pub struct Rows<T: Real> {
    plans: BTreeMap<usize, [T::FftPlan; 2]>,
    row: Aligned<T>,
    modes: Aligned<Complex<T>>,
}

impl<T: Real> Rows<T> {
    /// For rows of up to `longest` points.
    pub fn new(longest: usize) -> Self {
        Rows { plans: BTreeMap::new(), row: Aligned::new(longest), modes: Aligned::new(longest / 2 + 1) }
    }

    fn plan(&mut self, n: usize) -> [T::FftPlan; 2] {
        assert!(n <= self.row.len(), "a row is longer than the longest");
        let (r, c) = (self.row.as_mut_ptr(), self.modes.as_mut_ptr());
        // SAFETY: the buffers hold rows of this length, and live as long as the plans.
        *self.plans.entry(n).or_insert_with(|| unsafe {
            [T::plan_r2c((n, 1, 1), &[], r, c, false), T::plan_c2r((n, 1, 1), &[], c, r, false)]
        })
    }

    /// c_k = Σ_j f_j exp(−2πi jk/n), k = 0 … n/2, of a row f.
    pub fn forward(&mut self, row: &[T]) -> &[Complex<T>] {
        let [plan, _] = self.plan(row.len());
        self.row[..row.len()].copy_from_slice(row);
        // SAFETY: planned on these buffers.
        unsafe { T::execute_r2c(plan, self.row.as_mut_ptr(), self.modes.as_mut_ptr()) };
        &self.modes[..row.len() / 2 + 1]
    }

    /// The row f_j = Σ_k c_k exp(2πi jk/n) of its modes c_k, of which `modes` are k = 0 … n/2.
    pub fn inverse(&mut self, modes: &[Complex<T>], row: &mut [T]) {
        let [_, plan] = self.plan(row.len());
        self.modes[..modes.len()].copy_from_slice(modes);
        // SAFETY: planned on these buffers.
        unsafe { T::execute_c2r(plan, self.modes.as_mut_ptr(), self.row.as_mut_ptr()) };
        row.copy_from_slice(&self.row[..row.len()]);
    }
}

impl<T: Real> Drop for Rows<T> {
    fn drop(&mut self) {
        self.plans.values().flatten().for_each(|plan| plan.destroy());
    }
}
