//! The yardstick of `polycosm bench`: what this machine needs, now, for a transform that everybody knows.

use super::array::Aligned;
use fftw::plan::{R2CPlan, R2CPlan64};
use fftw::types::Flag;
use num_complex::Complex;
use std::time::Instant;

/// Seconds of one serial FFTW r2c of 256³ doubles, out of place, planned with MEASURE: the median of `repeats`.
pub fn yardstick(repeats: usize) -> f64 {
    const N: usize = 256;
    let (mut real, mut modes) = (Aligned::<f64>::new(N * N * N), Aligned::<Complex<f64>>::new(N * N * (N / 2 + 1)));
    let plan = R2CPlan64::new(&[N; 3], &mut real, &mut modes, Flag::MEASURE);
    let mut plan = plan.expect("FFTW plans every cube");
    real.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 1013) as f64);
    let mut seconds: Vec<f64> = (0..repeats.max(1))
        .map(|_| {
            let start = Instant::now();
            plan.r2c(&mut real, &mut modes).expect("the arrays that it was planned on");
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
