//! All files that hold a field's numbers: links and virtual arrays are followed to their ends.

use super::Dataset;
use super::parts::{DEPTH, beside};
use crate::io::hdf::File;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Dataset {
    /// The files that a field's numbers come from, and those on the way to them; `None` where not all can be told.
    pub fn files(&self, field: &str) -> Option<BTreeSet<PathBuf>> {
        let spec = self.spec(field).ok()?;
        let name = if spec.ragged { format!("{}/data", spec.name) } else { spec.name };
        let mut found = BTreeSet::new();
        // A prefix has HDF5 look elsewhere first.
        let elsewhere = ["HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX"].iter().any(|name| std::env::var_os(name).is_some());
        if elsewhere { None } else { holders(&self.file, &name, DEPTH, &mut found).map(|()| found) }
    }
}

fn holders(file: &File, name: &str, depth: usize, found: &mut BTreeSet<PathBuf>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let own = file.path().canonicalize().ok()?;
    found.insert(own.clone());
    let mut follow = |other: Option<&str>, name: &str| match other.filter(|other| *other != ".") {
        None => holders(file, name, depth, found),
        Some(other) => holders(&File::open(&beside(file.path(), Path::new(other))).ok()?, name, depth, found),
    };
    if let Some((other, object)) = file.leads_to(name) {
        return follow(other.as_deref(), &object);
    }
    let array = file.array(name).ok()?;
    if array.holder()?.canonicalize().ok()? != own {
        return None;
    }
    let sources: BTreeSet<(String, String)> = array.sources().into_iter().collect();
    // A pattern stands for as many files as there are.
    if sources.iter().any(|(file, _)| file.contains("%b")) {
        return None;
    }
    sources.iter().try_for_each(|(other, name)| follow(Some(other), name))
}
