//! Structure-of-arrays particles, their exchange between ranks, deposit and interpolation.
