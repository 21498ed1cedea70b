//! Density maps, spectra and lensing of a particle distribution.

mod columns;
pub mod lensing;
mod maps;
mod power;

pub use columns::by_lagrangian_id;
pub use maps::{MapConfig, projected_maps};
pub use power::{PowerConfig, PowerMeter};
