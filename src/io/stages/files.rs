//! Which files of a stage's folder are its own.

use crate::error::{At, Error, Result};
use crate::io::hdf::TEMPORARY;
use crate::io::text;
use crate::limits;
use std::path::{Path, PathBuf};

/// Refuses a folder with files of the names that training writes, where nothing says that they are a stage's.
pub fn check_own(folder: &Path) -> Result<()> {
    let says = |name: &str| text::read(&folder.join(name)).is_ok_and(|t| t.is_some_and(|t| t.contains("\"network\"")));
    match own_files(folder, false)?.into_iter().find(|path| !path.to_string_lossy().ends_with(TEMPORARY)) {
        Some(file) if !says("stage.json") && !says("model.json") => {
            let error = Error::input("is there, and no stage.json says that polycosm wrote it: it is left alone");
            Err(error.file(file).remedy("move it elsewhere or remove it, or give another output"))
        }
        _ => Ok(()),
    }
}

const NEWEST: &str = "checkpoint.safetensors";

/// Name of a checkpoint in a stage's folder, before which so many newer ones were written.
pub fn checkpoint_name(age: usize) -> String {
    match age {
        0 => NEWEST.into(),
        1 => "checkpoint.previous.safetensors".into(),
        _ => format!("checkpoint.previous-{age}.safetensors"),
    }
}

/// What training writes into a stage's folder: all of it, or what was left unfinished.
pub fn own_files(folder: &Path, unfinished: bool) -> Result<Vec<PathBuf>> {
    const NAMES: [&str; 7] = [
        "model.json", // first: without it the stage is not done
        "stage.json",
        "weights.safetensors",
        NEWEST,
        "checkpoint.next.safetensors", // of older programs
        "history.jsonl",
        "rows.json",
    ];
    let left = |name: &str| name.ends_with(TEMPORARY) && NAMES.iter().any(|own| name.starts_with(&format!("{own}.")));
    let before = |name: &str| (1..limits::CHECKPOINTS).any(|age| name == checkpoint_name(age));
    let place = |name: &str| match NAMES.iter().position(|own| *own == name || *own == NEWEST && before(name)) {
        Some(at) if !unfinished => Some(at),
        _ => left(name).then_some(NAMES.len()),
    };
    let mut files: Vec<(usize, PathBuf)> = std::fs::read_dir(folder)
        .at(folder)?
        .flatten()
        .filter_map(|e| Some((place(e.file_name().to_str()?)?, e.path())))
        .collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
