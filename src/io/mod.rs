//! Files: parallel HDF5, shards, datasets, snapshots, samples, provenance. The only user of `hdf5`.

pub mod field;
pub mod hdf;
pub mod index;
pub mod provenance;
pub mod shard;
pub mod simulation;
