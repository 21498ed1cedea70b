//! Input files while a suite runs: a universe is only kept where they are what they were when the run began.

use super::fingerprint::key;
use crate::error::{Error, Result};
use crate::io::identity::{DIGITS, digest_again};
use serde_json::Value;
use std::path::PathBuf;

/// The suite's input files, and the digests that the run began with.
pub struct Inputs<'a> {
    /// By the places of their names: one, or one for each simulation.
    pub files: &'a [(String, Vec<PathBuf>)],
    /// As a shape has them.
    pub digests: Value,
}

impl Inputs<'_> {
    /// Serial: refuses simulation `i`, which is made already, if one of its files has changed since.
    pub fn unchanged(&self, i: u64) -> Result<()> {
        for (place, paths) in self.files {
            let at = if paths.len() > 1 { i as usize } else { 0 };
            let Some(path) = paths.get(at) else { continue };
            let same = digest_again(path).is_ok_and(|now| self.digests[place][at] == now[..DIGITS]);
            if !same {
                let problem = format!("changed while universes were made from it: simulation {i} is not kept");
                let remedy = "put back what stood in it and run the same command again, which resumes: what was kept \
                              before is sound; or give another output";
                return Err(Error::input(problem).file(path).key(key(place)).remedy(remedy));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::fingerprint::digests;

    #[test]
    fn each_simulation_answers_for_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, mask] = ["a", "b", "mask"].map(|name| dir.path().join(name));
        [&a, &b, &mask].into_iter().for_each(|path| std::fs::write(path, "1").unwrap());
        let files =
            [("/cosmology/table".to_string(), vec![a, b.clone()]), ("/simulator/mask".into(), vec![mask.clone()])];
        let inputs = Inputs { files: &files, digests: digests(&files).unwrap() };
        assert!((0..2).all(|i| inputs.unchanged(i).is_ok()));
        std::fs::write(&b, "2").unwrap();
        let e = inputs.unchanged(1).unwrap_err();
        assert!(
            inputs.unchanged(0).is_ok() && e.key.as_deref() == Some("cosmology.table") && e.exit_code() == 2,
            "{e}"
        );
        std::fs::write(&b, "1").unwrap();
        assert!(inputs.unchanged(1).is_ok(), "what was put back is the same");
        std::fs::remove_file(&mask).unwrap();
        assert!((0..2).all(|i| inputs.unchanged(i).unwrap_err().to_string().contains("mask")));
    }
}
