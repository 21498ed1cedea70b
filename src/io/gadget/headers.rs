//! The headers of a snapshot's files, which make one.

use super::header::Header;
use super::part::Part;
use super::{DARK, TYPES, paths};
use crate::error::{Error, Result};
use crate::io::hdf::{File, given};
use std::path::{Path, PathBuf};

/// Serial: the header of a snapshot whose first file, any of its files or base name `path` is. Refuses files that do
/// not belong together.
pub fn header(path: &Path) -> Result<Header> {
    read(&paths::first(path)).map_err(given)
}

/// All files of the snapshot that `path` names: itself, any one of several, or what comes before their numbers; and
/// those that virtual arrays take their particles from.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let header = header(path)?;
    let first = paths::first(path);
    let mut all = vec![];
    for i in 0..header.files() {
        all.extend(Part(&File::open(&paths::part(&first, i, header.files())?)?).files());
    }
    Ok(all)
}

/// True if what `path` names is such a snapshot, by what stands in it.
pub fn is_snapshot(path: &Path) -> bool {
    let particles = |file: &File| (0..TYPES).any(|t| file.exists(&format!("PartType{t}")));
    let counts = |file: &File| file.attributes("Header").is_ok_and(|all| all.iter().any(|a| a.starts_with("NumPart_")));
    File::open(&paths::first(path)).is_ok_and(|file| file.exists("Header") && (particles(&file) || counts(&file)))
}

fn read(path: &Path) -> Result<Header> {
    let first = Part(&File::open(path)?);
    let (mut header, claims) = first.header()?;
    let files = claims.files;
    if files > 1 {
        header.counts.clear();
        header.has_velocities = true;
        for i in 0..files {
            let path = paths::part(path, i, files)?;
            let (other, theirs) = Part(&File::open(&path)?).header()?;
            if (other.box_size, other.scale_factor, theirs) != (header.box_size, header.scale_factor, claims) {
                let error = Error::input("its header is of another snapshot than its neighbours'").file(path);
                return Err(error
                    .key("Header")
                    .remedy("keep the files of one snapshot, and no others, under one name"));
            }
            header.counts.extend(other.counts);
            (0..TYPES).for_each(|t| header.own_masses[t] |= other.own_masses[t]);
            header.has_velocities &= other.has_velocities || other.npart == 0;
            header.points_elsewhere |= other.points_elsewhere;
        }
    }
    header.npart = header.count(DARK);
    if let Some(total) = claims.total.filter(|total| *total != header.npart) {
        let problem = format!("says {total}, but the snapshot's {files} file(s) hold {} of this type", header.npart);
        return Err(first.bad("Header/NumPart_Total", &problem, "give all files of one whole snapshot"));
    }
    if header.npart == 0 {
        return Err(first.bad("Header", "counts no dark matter particles (PartType1)", "give a dark matter snapshot"));
    }
    contradictions(&header).map_err(|e| e.file(path))?;
    Ok(header)
}

/// One number for the same thing: the true parameters in the root are those of the header.
fn contradictions(header: &Header) -> Result<()> {
    for (name, said) in &header.cosmology {
        let root = header.truth.iter().find(|t| &t.0 == name).map(|t| t.1);
        // Omega_k is only what is left of the other densities.
        if let Some(root) = root.filter(|root| name != "Omega_k" && (root - said).abs() > 1e-3 * said.abs().max(1e-3)) {
            return Err(Error::input(format!("the root's attribute is {root}, but the header says {said}"))
                .key(name)
                .remedy("correct the one that is wrong, or remove it"));
        }
    }
    Ok(())
}
