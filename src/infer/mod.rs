//! Posteriors of observations: samples, ensembles and their files.
