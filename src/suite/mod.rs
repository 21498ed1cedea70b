//! Designs, scheduling over groups of ranks, resume and packing.
