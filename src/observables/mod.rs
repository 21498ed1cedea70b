//! What is seen of a particle distribution: maps, spectra, halos, galaxies, lensing.

mod bispectrum;
mod columns;
mod cone;
mod density;
mod fof;
mod galaxies;
mod halos;
pub mod lensing;
mod maps;
mod mass_function;
mod members;
mod pdf;
mod poisson;
mod power;
mod redshift_space;
mod rows;

pub use bispectrum::{BispectrumConfig, BispectrumMeter, Configuration};
pub use columns::by_lagrangian_id;
pub use cone::{ConeConfig, Sky, SkyCone, nside as cone_nside};
pub use density::{CIC, DensityMeter};
pub use fof::{Groups, friends_of_friends};
pub use galaxies::{Galaxies, HodConfig, duffy_concentration, nfw_radius, populate};
pub use halos::{HaloCatalogue, HaloConfig, PeriodicBox, find_halos};
pub use maps::{MapConfig, projected_maps};
pub use mass_function::{MassFunction, MassFunctionConfig};
pub use pdf::PdfConfig;
pub use poisson::{PoissonConfig, PoissonGalaxies};
pub use power::{PowerConfig, PowerMeter};
pub use redshift_space::{LineOfSight, MultipoleConfig, MultipoleMeter, RedshiftSpace};
