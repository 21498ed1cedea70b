//! Density maps, spectra, bispectra and distributions of particles.

mod bispectrum;
mod columns;
mod density;
mod maps;
mod pdf;
mod power;
mod redshift_space;

pub use bispectrum::{BispectrumConfig, BispectrumMeter, Configuration};
pub use columns::by_lagrangian_id;
pub use density::{CIC, DensityMeter};
pub use maps::{MapConfig, projected_maps};
pub use pdf::PdfConfig;
pub use power::{PowerConfig, PowerMeter};
pub use redshift_space::{LineOfSight, MultipoleConfig, MultipoleMeter, RedshiftSpace};
