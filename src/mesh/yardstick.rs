//! The yardstick of `polycosm bench`: what this machine needs, now, for a transform that everybody knows.

use super::array::Aligned;
use super::real::PLANNER;
use fftw_sys as ffi;
use num_complex::Complex;
use std::time::Instant;

/// Seconds of one serial FFTW r2c of 256³ doubles, out of place, planned with MEASURE: the median of `repeats`.
pub fn yardstick(repeats: usize) -> f64 {
    const N: usize = 256;
    let (mut real, mut modes) = (Aligned::<f64>::new(N * N * N), Aligned::<Complex<f64>>::new(N * N * (N / 2 + 1)));
    let n = N as i32;
    // SAFETY: both arrays are as long as FFTW's documented layout of this transform.
    let plan = unsafe {
        let _lock = PLANNER.lock().unwrap_or_else(|e| e.into_inner());
        ffi::fftw_plan_dft_r2c_3d(n, n, n, real.as_mut_ptr(), modes.as_mut_ptr().cast(), ffi::FFTW_MEASURE)
    };
    real.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 1013) as f64);
    let mut seconds: Vec<f64> = (0..repeats.max(1))
        .map(|_| {
            let start = Instant::now();
            // SAFETY: planned on these very arrays.
            unsafe { ffi::fftw_execute(plan) };
            start.elapsed().as_secs_f64()
        })
        .collect();
    // SAFETY: made above, destroyed once.
    unsafe {
        let _lock = PLANNER.lock().unwrap_or_else(|e| e.into_inner());
        ffi::fftw_destroy_plan(plan);
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
