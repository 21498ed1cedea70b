//! One ordinary file from a dataset: no links to shards, one subset of fields.

use super::dataset::Dataset;
use super::hdf::{File, publish};
use super::index::write_prior;
use super::provenance::Provenance;
use super::simulation::{describe, write_axes};
use crate::comm::Comm;
use crate::error::Result;
use std::path::Path;

/// Serial: copies parameters, split, status, prior and the named fields (all with none named) of a dataset's finished universes
/// into one file that stands alone. Lists of varying length stay in the dataset.
pub fn one_file(alone: &Comm, dataset: &Dataset, path: &Path, fields: &[String], by: &Provenance) -> Result<()> {
    for name in fields {
        dataset.spec(name)?;
    }
    let wanted = |name: &String| fields.is_empty() || fields.contains(name);
    let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).collect();
    let (n, p) = (rows.len(), dataset.prior.len());
    publish(alone, path, |file: &File| {
        by.write(file)?;
        let theta: Vec<f64> = rows.iter().flat_map(|r| dataset.theta()[r * p..(r + 1) * p].to_vec()).collect();
        file.write(None, "theta", &[n, p], &theta)?;
        write_prior(file, &dataset.prior, dataset.drawn_from)?;
        let split: Vec<u8> = rows.iter().map(|&r| dataset.split()[r] as u8).collect();
        file.write(None, "split", &[n], &split)?;
        file.set_texts("split", "values", &["train", "validation", "test"])?;
        file.write(None, "index", &[n], &rows.iter().map(|&r| r as u64).collect::<Vec<_>>())?;
        file.write(None, "status", &[n], &vec![0u8; n])?;
        file.set_texts("status", "values", &["finished", "failed"])?;
        for spec in dataset.specs().iter().filter(|s| !s.ragged && wanted(&s.name)) {
            let shape: Vec<usize> = std::iter::once(n).chain(spec.shape.iter().copied()).collect();
            let array = file.create_array_of(spec.dtype, &spec.name, &shape)?;
            for (at, &row) in rows.iter().enumerate() {
                array.write_rows(at, 1, &dataset.read_data(spec, row)?)?;
            }
            describe(file, &spec.name, spec, true)?;
            write_axes(file, spec)?;
        }
        Ok(())
    })
}
