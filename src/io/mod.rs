//! Files: parallel HDF5, shards, datasets, snapshots, samples, provenance. The only user of `hdf5`.

mod axis;
pub mod dataset;
pub mod derived;
mod digest;
pub mod export;
pub mod field;
pub mod gadget;
pub mod hdf;
pub mod history;
pub mod identity;
pub mod index;
pub mod known;
pub mod looks;
pub mod mask;
pub mod noise;
pub mod observation;
pub mod ours;
pub mod parameters;
pub mod prior;
pub mod provenance;
pub mod rows;
pub mod samples;
mod sealed;
pub mod shard;
pub mod simulation;
pub mod stages;
pub mod text;
