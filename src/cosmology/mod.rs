//! Background, growth, transfer functions, linear power spectra and halo abundances of an expanding universe: matter, a
//! cosmological constant or w0–wa dark energy, curvature, and on request radiation and massive neutrinos.
//!
//! [`CosmologyConfig`] is the campaign's `[cosmology]`; with the values of the varied parameters it resolves to a
//! [`Cosmology`], which knows its [background](Cosmology::e) and its [`Growth`]; [`LinearPower`] is its spectrum today.
//! What is modelled and what is not stands in `docs/cosmology.md`.

pub mod angular;
mod background;
mod config;
mod derived;
mod fermi_dirac;
mod growth;
mod mass_function;
mod neutrinos;
mod nonlinear;
mod parameters;
mod power;
mod redshifts;
mod sources;
mod spline;
mod table;
mod transfer;

pub use config::{CosmologyConfig, Transfer};
pub use derived::{DERIVED, Derived, may_vary, stands_for};
pub use growth::Growth;
pub use mass_function::{HaloFit, MassFunction};
pub use neutrinos::NeutrinoResponse;
pub use nonlinear::{MatterPower, NonLinear, PowerAt};
pub use parameters::{Cosmology, Extension, NAMES};
pub use power::LinearPower;
pub use redshifts::{RedshiftBin, RedshiftDistribution, Z_MAX};
pub use spline::Spline;
pub use table::read_table;
pub use transfer::EisensteinHu;
