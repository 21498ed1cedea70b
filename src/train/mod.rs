//! Data-parallel training: loader, optimiser, gradient all-reduce, checkpoints.
