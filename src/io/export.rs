//! One ordinary file from a dataset: no links to shards, one subset of fields. And where it may be written.

use super::dataset::Dataset;
use super::field::FieldSpec;
use super::hdf::{Array, File, publish};
use super::ours;
use super::points;
use super::prior;
use super::provenance::Provenance;
use super::simulation::{describe, write_axes};
use crate::comm::Comm;
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Refuses a place for an export of `source` that holds anything but an earlier export: the source itself under
/// whatever name, a campaign's index, a file that polycosm did not write.
pub fn check_place(path: &Path, source: &Path) -> Result<()> {
    let identity = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino())).ok();
    if identity(path).is_some_and(|id| identity(source) == Some(id)) {
        let error = Error::input(format!("{} is itself what is exported", path.display())).key("--to");
        return Err(error.remedy("choose another folder: --to DIR"));
    }
    match path.symlink_metadata() {
        // What is wrong with the folder is told when it is made.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        _ => ours::replaceable(path)?,
    }
    let command = File::open(path)?.text("", "command")?.unwrap_or_default();
    if command.split(' ').any(|word| word == "export") {
        log::info!("{} is an earlier export, which is replaced", path.display());
        return Ok(());
    }
    let error = Error::input("is the dataset of a campaign, which an export would replace").file(path).key("--to");
    Err(error.remedy("choose another folder: --to DIR"))
}

/// Serial: the named fields (all with none named), and one universe of each, which tells whether they can be read.
pub fn chosen(dataset: &Dataset, fields: &[String]) -> Result<Vec<FieldSpec>> {
    let all = dataset.specs();
    let named = |name: &String| {
        all.iter().find(|spec| spec.name == name.trim_matches('/')).cloned().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
            let error = Error::input("is no field of this dataset").file(&dataset.path).key("--field").value(name);
            error.remedy(match names.is_empty() {
                true => "it has none: leave --field out".into(),
                false => format!("choose from {}", names.join(", ")),
            })
        })
    };
    let named: Vec<FieldSpec> = fields.iter().map(named).collect::<Result<_>>()?;
    let specs = if fields.is_empty() { all } else { named };
    if let Some(row) = dataset.status().iter().position(|&s| s == 0) {
        specs.iter().try_for_each(|spec| dataset.read_data(spec, row).map(drop))?;
    }
    Ok(specs)
}

/// Serial: copies parameters, split, status, prior and the named fields (all with none named) of a dataset's finished
/// universes into one file that stands alone, with the checksums that a dataset has.
pub fn one_file(alone: &Comm, dataset: &Dataset, path: &Path, fields: &[String], by: &Provenance) -> Result<()> {
    let specs = chosen(dataset, fields)?;
    let rows: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.status()[i] == 0).collect();
    let (n, p) = (rows.len(), dataset.prior.len());
    publish(alone, path, |file: &File| {
        by.write(file)?;
        file.write_checked(None, "theta", &[n, p], &dataset.thetas(&rows))?;
        prior::write(file, &dataset.prior, dataset.drawn_from)?;
        points::write(file, &dataset.thetas(&rows), p, dataset.drawn_from)?;
        let split: Vec<u8> = rows.iter().map(|&r| dataset.split()[r] as u8).collect();
        file.write_checked(None, "split", &[n], &split)?;
        file.set_texts("split", "values", &["train", "validation", "test"])?;
        file.write_checked(None, "index", &[n], &rows.iter().map(|&r| r as u64).collect::<Vec<_>>())?;
        file.write_checked(None, "status", &[n], &vec![0u8; n])?;
        file.set_texts("status", "values", &["finished", "failed"])?;
        for name in ["realisation", "universe", "item"] {
            let Some(all) = dataset.beside(name)? else { continue };
            file.write_checked(None, name, &[n], &rows.iter().map(|&r| all[r]).collect::<Vec<_>>())?;
        }
        file.set_json("", "fields", &specs)?;
        for spec in &specs {
            let mut sums = vec![];
            let mut put = |array: &Array, at: [usize; 2], row: usize| {
                let data = dataset.read_data(spec, row)?;
                sums.push(crc32fast::hash(data.bytes()));
                array.write_rows(at[0], at[1] - at[0], &data)
            };
            match spec.ragged {
                true => list(file, dataset, spec, &rows, put)?,
                false => {
                    let shape: Vec<usize> = std::iter::once(n).chain(spec.shape.iter().copied()).collect();
                    let array = file.create_array_of(spec.dtype, &spec.name, &shape)?;
                    rows.iter().enumerate().try_for_each(|(at, &row)| put(&array, [at, at + 1], row))?;
                    describe(file, &spec.name, spec, true)?;
                }
            }
            file.write_checked(None, &format!("checksum/{}", spec.name), &[n], &sums)?;
            write_axes(file, None, spec)?;
        }
        Ok(())
    })
}

/// A list of these universes: their rows one after the other, which `put` writes, and where each begins.
fn list(
    file: &File,
    dataset: &Dataset,
    spec: &FieldSpec,
    rows: &[usize],
    mut put: impl FnMut(&Array, [usize; 2], usize) -> Result<()>,
) -> Result<()> {
    let (data, ends) = (format!("{}/data", spec.name), dataset.offsets(&spec.name)?);
    let mut offsets = vec![0u64];
    for &row in rows {
        offsets.push(offsets[offsets.len() - 1] + ends[row + 1] - ends[row]);
    }
    let mut shape = spec.shape.clone();
    shape[0] = offsets[rows.len()] as usize;
    let array = file.create_array_of(spec.dtype, &data, &shape)?;
    for (at, &row) in offsets.windows(2).zip(rows) {
        put(&array, [at[0] as usize, at[1] as usize], row)?;
    }
    describe(file, &data, spec, false)?;
    file.write_checked(None, &format!("{}/offsets", spec.name), &[offsets.len()], &offsets)
}
