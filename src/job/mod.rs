//! Slurm job scripts.
