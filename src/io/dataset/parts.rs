//! Files that a dataset is put together from, and the checksums of what this program wrote: looked at before anything
//! is read, for HDF5 gives NaN for a file that is gone, and a flipped bit is a number like any other.

use super::Dataset;
use crate::error::{Error, Result};
use crate::io::field::{Data, FieldSpec};
use crate::io::hdf::{Array, File, damaged, other_checksum};
use crate::io::shard::again;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files within files that are looked into.
pub(super) const DEPTH: usize = 8;

/// What this program keeps beside the fields of its own datasets.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Checksum of each universe's numbers, by field.
    sums: BTreeMap<String, Vec<u32>>,
    /// Where each universe's rows of a list begin, and the end: (n + 1), by field.
    offsets: BTreeMap<String, Vec<u64>>,
}

/// Files that were looked at, with the universes that a shard has; and the fields for which all were.
#[derive(Debug, Default)]
pub(super) struct Parts {
    files: BTreeMap<PathBuf, Vec<u64>>,
    fields: BTreeSet<String>,
}

impl Kept {
    /// Reads what there is for these fields of `n` universes. Files of older programs have less.
    pub(super) fn read(file: &File, specs: &[FieldSpec], n: usize) -> Result<Kept> {
        let mut kept = Kept::default();
        for spec in specs {
            let (sums, offsets) = (format!("checksum/{}", spec.name), format!("{}/offsets", spec.name));
            if file.exists(&sums) {
                kept.sums.insert(spec.name.clone(), file.read_checked(&sums, Some(&[n]))?);
            }
            if spec.ragged {
                let ends = file.read_checked::<u64>(&offsets, Some(&[n + 1]))?;
                if !ends.is_sorted() {
                    return Err(damaged(file.path(), &offsets, "does not grow".into()));
                }
                kept.offsets.insert(spec.name.clone(), ends);
            }
        }
        Ok(kept)
    }
}

impl Dataset {
    /// First row and number of rows of a universe's list.
    pub(super) fn ends(&self, field: &str, row: usize) -> Result<(usize, usize)> {
        match self.kept.offsets.get(field).map(|ends| ends.get(row..row + 2)) {
            Some(Some(&[start, end])) => Ok((start as usize, (end - start) as usize)),
            Some(_) => Err(Error::failed(format!("no row {row} of {}", self.len())).file(&self.path).key(field)),
            None => Err(Error::input("is no list").file(&self.path).key(field).remedy("name a list of this dataset")),
        }
    }

    /// Refuses the numbers of universes from `row` on, each of `size` elements, that are not what was written.
    pub(super) fn check(&self, field: &str, row: usize, size: usize, data: &Data) -> Result<()> {
        let Some(sums) = self.kept.sums.get(field) else { return Ok(()) };
        let bytes = size * data.bytes().len().checked_div(data.len()).unwrap_or(0);
        let parts = data.bytes().chunks(bytes.max(1));
        match parts.zip(&sums[row..]).position(|(part, &sum)| crc32fast::hash(part) != sum) {
            None => Ok(()),
            Some(at) => {
                let (file, row) = (self.file_of(row + at), row + at);
                let error = other_checksum(&file, field);
                Err(match file == self.path {
                    true => error,
                    false => Error { remedy: Some(again(row as u64)), ..error },
                })
            }
        }
    }

    /// The file that holds the fields of a universe: a shard, or this one.
    fn file_of(&self, row: usize) -> PathBuf {
        let parts = self.parts.borrow();
        let shard = parts.files.iter().find(|(_, rows)| rows.contains(&(row as u64)));
        shard.map_or(&self.path, |(path, _)| path).clone()
    }

    /// Refuses to read a field where a file that it is put together from is gone or damaged: HDF5 would give NaN for
    /// its universes and say nothing. Looks once at each field and each file.
    pub(super) fn parts_are_there(&self, spec: &FieldSpec) -> Result<()> {
        if self.parts.borrow().fields.contains(&spec.name) {
            return Ok(());
        }
        let name = if spec.ragged { format!("{}/data", spec.name) } else { spec.name.clone() };
        let array = self.held(&name)?;
        self.sources(&self.path, &array, DEPTH)?;
        self.parts.borrow_mut().fields.insert(spec.name.clone());
        let Some(ends) = self.kept.offsets.get(&spec.name).filter(|_| self.ran().len() < self.len()) else {
            return Ok(());
        };
        // Lists move in a shard that gets more of them: what they stand in now is opened here, and stays so.
        let parts = self.parts.borrow();
        let some = |rows: &Vec<u64>| {
            rows.iter().map(|&row| row as usize).find(|&row| row + 1 < ends.len() && ends[row] < ends[row + 1])
        };
        let firsts = parts.files.values().filter_map(some).map(|row| ends[row] as usize);
        firsts.into_iter().try_for_each(|first| array.read_rows(spec.dtype, first, 1).map(drop))
    }

    /// The files that an array takes its rows from are there, and those that these take theirs from.
    fn sources(&self, from: &Path, array: &Array, depth: usize) -> Result<()> {
        let mut files: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for (file, name) in array.sources() {
            // A pattern stands for as many files as there are.
            if file != "." && !file.contains("%b") {
                files.entry(beside(from, Path::new(&file))).or_default().push(name);
            }
        }
        for (path, names) in files.into_iter().filter(|_| depth > 0) {
            // A shard has all of its arrays: that was seen when it was indexed.
            if self.own && self.parts.borrow().files.contains_key(&path) {
                continue;
            }
            let open = || {
                let file = File::open(&path)?;
                if self.own {
                    return file.read_checked("index", None);
                }
                names.iter().try_for_each(|name| self.sources(&path, &file.array(name)?, depth - 1))?;
                Ok(vec![])
            };
            let rows = open().map_err(|e| self.part_is_bad(&path, e))?;
            self.parts.borrow_mut().files.insert(path, rows);
        }
        Ok(())
    }

    fn part_is_bad(&self, path: &Path, e: Error) -> Error {
        let problem = format!("holds universes of {}, and cannot be read: {}", self.path.display(), e.problem);
        let remedy = match (path.exists(), std::fs::File::open(path)) {
            (true, Err(_)) => "change its permissions",
            _ if !self.own => {
                "put it back where that file looks for it, or give a file that holds the numbers themselves"
            }
            (false, _) => "run `polycosm simulate`, which remakes it; or put it back",
            (true, Ok(_)) => "remove this file and run `polycosm simulate`, which remakes it; or copy it here again",
        };
        let error = if self.own { Error::failed(problem) } else { Error::input(problem) };
        error.file(path).remedy(remedy)
    }
}

/// HDF5 looks beside the file that names another first, then from the working directory on.
pub fn beside(from: &Path, file: &Path) -> PathBuf {
    let beside = from.parent().unwrap_or(Path::new("")).join(file);
    if !beside.exists() && file.exists() { file.to_path_buf() } else { beside }
}
