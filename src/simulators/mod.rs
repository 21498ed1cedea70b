//! The `Simulator` trait and one file per simulator.
