//! Bytes that this process has sent to other ranks: what the benches report and the cost model of `polycosm plan`
//! predicts.
//!
//! Exchanges and shifts count what leaves for another rank. A gather counts a rank's own list once, a reduction or
//! broadcast the values once: what the MPI library makes of them (trees, rings) is its own affair, and small.

use std::sync::atomic::{AtomicU64, Ordering};

static SENT: AtomicU64 = AtomicU64::new(0);

/// Bytes sent to other ranks since the program started.
pub fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Books `items` of type T as sent.
pub(super) fn add<T>(items: usize) {
    SENT.fetch_add((items * size_of::<T>()) as u64, Ordering::Relaxed);
}
