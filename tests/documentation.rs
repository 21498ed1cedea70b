//! What the documentation shows is there, and what `Cargo.toml` asks for is used. (The tables of `docs/campaign.md` are
//! checked in `tests/schema.rs`.)

mod common;

use common::repository;
use std::fs;
use std::path::{Path, PathBuf};

/// Figures in the documentation: `src="images/NAME.png"`.
#[test]
fn every_figure_is_there() {
    let mut named = 0;
    for page in ["README.md", "docs/validation.md"] {
        let text = fs::read_to_string(repository(page)).unwrap();
        for name in text.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let path = repository(page).with_file_name("").join(name);
            let size = fs::metadata(&path).unwrap_or_else(|e| panic!("{page}: {name}: {e}")).len();
            assert!(size < 100_000, "{page}: {name} has {size} bytes");
            named += 1;
        }
    }
    assert!(named > 1, "only {named} figures were looked for");
}

fn sources(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| sources(&entry.unwrap().path(), files));
    } else if path.extension().is_some_and(|e| e == "rs") {
        files.push(path.into());
    }
}

/// The code of these folders and files, without comments.
fn code(places: &[&str]) -> String {
    let mut files = vec![];
    places.iter().for_each(|place| sources(&repository(place), &mut files));
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap() + "\n").collect();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// True if `code` names the crate: `name::`, `use name;`, `name as`.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let path = after.starts_with("::")
            || before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        path && !before.ends_with(is_word) && !before.ends_with("::")
    })
}

#[test]
fn every_dependency_is_used() {
    let manifest: toml::Table = fs::read_to_string(repository("Cargo.toml")).unwrap().parse().unwrap();
    let unused = |table: &str, places: &[&str]| -> Vec<String> {
        let code = code(places);
        let Some(all) = manifest.get(table).and_then(|t| t.as_table()) else { return vec![] };
        let used = |name: &str| names(&code, &name.replace('-', "_"));
        all.keys().filter(|name| !used(name)).cloned().collect()
    };
    assert_eq!(unused("dependencies", &["src"]), [""; 0], "remove them from Cargo.toml");
    assert_eq!(unused("dev-dependencies", &["src", "tests", "examples"]), [""; 0], "remove them from Cargo.toml");
    assert!(names("use hdf5_sys as sys;", "hdf5_sys") && names("x: mpi::Rank", "mpi"));
    assert!(!names("let my_mpi::x", "mpi") && !names("crate::png::write", "png") && !names("mpi", "mpi"));
}
