//! The two precisions, and FFTW's entry points for each.

use crate::comm::Wire;
use fftw::FFTW_MUTEX;
use fftw::plan::{Plan32, Plan64, PlanSpec};
use fftw::types::Flag;
use fftw_sys as ffi;
use num_complex::Complex;
use num_traits::{Float, FromPrimitive, NumAssign};
use std::sync::MutexGuard;

/// FFTW's planner is not re-entrant; execution is.
fn planner() -> MutexGuard<'static, ()> {
    FFTW_MUTEX.lock().unwrap_or_else(|e| e.into_inner())
}

/// One dimension of a transform or of its batch: length, input stride, output stride (in elements).
pub(super) type Dim = (usize, isize, isize);

/// `f32` or `f64`.
pub trait Real:
    Float + FromPrimitive + NumAssign + Wire + bytemuck::Pod + std::iter::Sum + std::fmt::Debug + Send + Sync
{
    /// FFTW's opaque plan of this precision, to be destroyed once. The plans that the crate `fftw` makes are neither
    /// batched nor in place, as ours are.
    type FftPlan: PlanSpec;
    /// Rounds a double.
    fn of(x: f64) -> Self;
    /// Widens to a double.
    fn f64(self) -> f64;
    /// A batched 1-D complex transform (`forward` or backward). A plan that is `measured` overwrites the arrays.
    ///
    /// # Safety
    /// Both pointers are valid for the strides given, now and at every execution.
    unsafe fn plan_c2c(
        n: Dim,
        batch: &[Dim],
        from: *mut Complex<Self>,
        to: *mut Complex<Self>,
        forward: bool,
        measured: bool,
    ) -> Self::FftPlan;
    /// A batched 1-D real-to-complex transform.
    ///
    /// # Safety
    /// As for [`Real::plan_c2c`].
    unsafe fn plan_r2c(n: Dim, batch: &[Dim], from: *mut Self, to: *mut Complex<Self>, measured: bool)
    -> Self::FftPlan;
    /// A batched 1-D complex-to-real transform; destroys its input.
    ///
    /// # Safety
    /// As for [`Real::plan_c2c`].
    unsafe fn plan_c2r(n: Dim, batch: &[Dim], from: *mut Complex<Self>, to: *mut Self, measured: bool)
    -> Self::FftPlan;
    /// Executes a complex plan on these arrays.
    ///
    /// # Safety
    /// The arrays fit the plan.
    unsafe fn execute_c2c(plan: Self::FftPlan, from: *mut Complex<Self>, to: *mut Complex<Self>);
    /// Executes a real-to-complex plan.
    ///
    /// # Safety
    /// The arrays fit the plan.
    unsafe fn execute_r2c(plan: Self::FftPlan, from: *mut Self, to: *mut Complex<Self>);
    /// Executes a complex-to-real plan.
    ///
    /// # Safety
    /// The arrays fit the plan.
    unsafe fn execute_c2r(plan: Self::FftPlan, from: *mut Complex<Self>, to: *mut Self);
    /// What the planner has measured, as text.
    fn wisdom() -> String;
    /// Makes the planner know this and nothing else; nothing at all where it cannot read it.
    fn set_wisdom(wisdom: &str);
}

// ESTIMATE chooses the same algorithm on every run (a resumed campaign must repeat its bits). All buffers start on a
// cache line, so arrays executed on are aligned as those planned on; without that promise FFTW would use no vector
// instructions.
fn rigour(measured: bool) -> u32 {
    if measured { Flag::MEASURE } else { Flag::ESTIMATE }.bits()
}

/// FFTW writes its wisdom character by character.
unsafe extern "C" fn push(c: std::ffi::c_char, text: *mut std::ffi::c_void) {
    // SAFETY: called with the vector that `wisdom` hands over.
    unsafe { (*text.cast::<Vec<u8>>()).push(c as u8) }
}

macro_rules! real {
    ($t:ty, $plan:ty, $dft:ident, $r2c:ident, $c2r:ident, $x:ident, $xr:ident, $xc:ident, $export:ident, $import:ident, $forget:ident) => {
        impl Real for $t {
            type FftPlan = $plan;
            fn of(x: f64) -> Self {
                x as $t
            }
            fn f64(self) -> f64 {
                self as f64
            }
            unsafe fn plan_c2c(
                n: Dim,
                b: &[Dim],
                from: *mut Complex<$t>,
                to: *mut Complex<$t>,
                forward: bool,
                measured: bool,
            ) -> $plan {
                let (n, b) = (dims(&[n]), dims(b));
                let sign = if forward { -1 } else { 1 };
                let _lock = planner();
                unsafe {
                    ffi::$dft(
                        1,
                        n.as_ptr().cast(),
                        b.len() as i32,
                        b.as_ptr().cast(),
                        from.cast(),
                        to.cast(),
                        sign,
                        rigour(measured),
                    )
                }
            }
            unsafe fn plan_r2c(n: Dim, b: &[Dim], from: *mut $t, to: *mut Complex<$t>, measured: bool) -> $plan {
                let (n, b) = (dims(&[n]), dims(b));
                let _lock = planner();
                unsafe {
                    ffi::$r2c(
                        1,
                        n.as_ptr().cast(),
                        b.len() as i32,
                        b.as_ptr().cast(),
                        from,
                        to.cast(),
                        rigour(measured),
                    )
                }
            }
            unsafe fn plan_c2r(n: Dim, b: &[Dim], from: *mut Complex<$t>, to: *mut $t, measured: bool) -> $plan {
                let (n, b) = (dims(&[n]), dims(b));
                let _lock = planner();
                unsafe {
                    ffi::$c2r(
                        1,
                        n.as_ptr().cast(),
                        b.len() as i32,
                        b.as_ptr().cast(),
                        from.cast(),
                        to,
                        rigour(measured),
                    )
                }
            }
            unsafe fn execute_c2c(plan: $plan, from: *mut Complex<$t>, to: *mut Complex<$t>) {
                unsafe { ffi::$x(plan, from.cast(), to.cast()) }
            }
            unsafe fn execute_r2c(plan: $plan, from: *mut $t, to: *mut Complex<$t>) {
                unsafe { ffi::$xr(plan, from, to.cast()) }
            }
            unsafe fn execute_c2r(plan: $plan, from: *mut Complex<$t>, to: *mut $t) {
                unsafe { ffi::$xc(plan, from.cast(), to) }
            }
            fn wisdom() -> String {
                let mut text = Vec::<u8>::new();
                let _lock = planner();
                // SAFETY: `push` gets the vector, which outlives the call.
                unsafe { ffi::$export(Some(push), (&raw mut text).cast()) };
                String::from_utf8(text).unwrap_or_default()
            }
            fn set_wisdom(wisdom: &str) {
                let text = std::ffi::CString::new(wisdom).unwrap_or_default();
                let _lock = planner();
                // SAFETY: a text that ends; FFTW refuses what it cannot read.
                unsafe {
                    ffi::$forget();
                    if !wisdom.is_empty() && ffi::$import(text.as_ptr()) == 0 {
                        ffi::$forget();
                    }
                }
            }
        }
    };
}

fn dims(d: &[Dim]) -> Vec<ffi::fftw_iodim64> {
    d.iter().map(|&(n, is, os)| ffi::fftw_iodim64 { n: n as isize, is, os }).collect()
}

real!(
    f32,
    Plan32,
    fftwf_plan_guru64_dft,
    fftwf_plan_guru64_dft_r2c,
    fftwf_plan_guru64_dft_c2r,
    fftwf_execute_dft,
    fftwf_execute_dft_r2c,
    fftwf_execute_dft_c2r,
    fftwf_export_wisdom,
    fftwf_import_wisdom_from_string,
    fftwf_forget_wisdom
);
real!(
    f64,
    Plan64,
    fftw_plan_guru64_dft,
    fftw_plan_guru64_dft_r2c,
    fftw_plan_guru64_dft_c2r,
    fftw_execute_dft,
    fftw_execute_dft_r2c,
    fftw_execute_dft_c2r,
    fftw_export_wisdom,
    fftw_import_wisdom_from_string,
    fftw_forget_wisdom
);

/// Name and version of the FFT library.
pub fn library_version() -> String {
    unsafe extern "C" {
        // The binding leaves this constant out.
        static fftw_version: std::ffi::c_char;
    }
    // SAFETY: a NUL-terminated constant of the library.
    unsafe { std::ffi::CStr::from_ptr(&raw const fftw_version) }.to_string_lossy().into_owned()
}
