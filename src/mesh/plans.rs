//! Whether plans are estimated or measured, and what has been learnt by measuring (FFTW calls it wisdom).
//!
//! Estimated plans are the same on every run, so that runs repeat their bits. Measured ones are faster, but two
//! measurements may choose differently: they repeat only what is kept of them.

use super::Real;
use crate::comm::Comm;
use std::sync::Mutex;

/// Wisdom in single and in double precision; `None` while plans are estimated.
static KNOWN: Mutex<Option<[String; 2]>> = Mutex::new(None);

fn state() -> std::sync::MutexGuard<'static, Option<[String; 2]>> {
    KNOWN.lock().unwrap_or_else(|e| e.into_inner())
}

/// From now on this process measures the plans of fast transforms, beginning with what an earlier run's [`known`] had.
/// Wisdom of another FFTW, or damaged, is not used.
pub fn measure(known: [String; 2]) {
    *state() = Some(known);
}

/// From now on plans are estimated, as at first.
pub fn estimate() {
    *state() = None;
}

/// What has been learnt in single and in double precision, if plans are measured.
pub fn known() -> Option<[String; 2]> {
    state().clone()
}

/// Runs `plan` (told whether to measure) so that it knows what was measured before, and nothing else. Where plans are
/// measured this is collective: the first rank goes ahead and the others learn from it, so that equal blocks have equal
/// plans.
pub(super) fn with_wisdom<T: Real, P>(comm: &Comm, measurable: bool, plan: impl FnOnce(bool) -> P) -> P {
    let which = usize::from(size_of::<T>() == 8);
    let Some(mut wisdom) = known().filter(|_| measurable).map(|known| known[which].clone()) else {
        T::set_wisdom("");
        return plan(false);
    };
    T::set_wisdom(&wisdom);
    if comm.is_root() {
        let planned = plan(true);
        wisdom = comm.broadcast_value(0, Some(T::wisdom()));
        keep(which, wisdom);
        return planned;
    }
    T::set_wisdom(&comm.broadcast_value(0, None::<String>));
    let planned = plan(true);
    keep(which, T::wisdom());
    planned
}

fn keep(which: usize, wisdom: String) {
    if let Some(known) = state().as_mut() {
        known[which] = wisdom;
    }
}
