//! Samples and truths in, verdict out: SBC ranks, coverage, TARP, pulls.
