//! The `Model` trait and one file per published system.
