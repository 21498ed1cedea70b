//! Draws as chains that GetDist reads.

use super::Samples;
use crate::error::{At, Error, Result};
use crate::io::hdf::{publish_text, remove_unfinished};
use std::path::{Path, PathBuf};

impl Samples {
    /// Writes one chain per universe for GetDist (`loadMCSamples(dir/universe_000123)`): `.txt` with weight, −ln q and
    /// the parameters, `.paramnames`, `.ranges`. Returns the chains' roots.
    pub fn to_getdist(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        use std::fmt::Write;
        self.check()?;
        if self.extras.marginals.is_some() {
            let error =
                Error::input("only marginals of this posterior are known, and a chain is of all parameters together");
            return Err(error.remedy("read the draws of each parameter from its HDF5 file"));
        }
        std::fs::create_dir_all(dir).at(dir)?;
        let (mut paramnames, mut ranges) = (String::new(), String::new());
        for p in &self.prior.parameters {
            let _ = writeln!(paramnames, "{}\t{}", p.name, p.latex);
            // `N`: none.
            let (min, max) = p.distribution.bounds();
            let say = |bound: f64| if bound.is_finite() { bound.to_string() } else { "N".into() };
            let _ = writeln!(ranges, "{} {} {}", p.name, say(min), say(max));
        }
        // GetDist marks what is derived so, and bounds it by nothing.
        let derived = if self.extras.derived.is_empty() { &[][..] } else { &self.prior.derived };
        derived.iter().for_each(|of| _ = writeln!(paramnames, "{}*\t{}", of.name, of.latex));
        let whole = self.with_derived();
        let mut roots = Vec::with_capacity(self.len());
        for (i, index) in self.index.iter().enumerate() {
            let root = dir.join(format!("universe_{index:06}"));
            let mut chain = String::new();
            for (theta, ln_prob) in whole.theta_of(i).chunks_exact(whole.dim()).zip(self.ln_prob_of(i)) {
                let _ = write!(chain, "1 {:.8e}", if ln_prob.is_nan() { 0.0 } else { -ln_prob });
                theta.iter().for_each(|t| _ = write!(chain, " {t:.10e}"));
                chain.push('\n');
            }
            for (extension, text) in [("txt", &chain), ("paramnames", &paramnames), ("ranges", &ranges)] {
                let file = root.with_extension(extension);
                publish_text(&file, text)?;
            }
            roots.push(root);
        }
        Ok(roots)
    }
}

/// Removes the chains that [`Samples::to_getdist`] wrote into a folder of polycosm's, and nothing else.
pub fn remove_chains(folder: &Path) -> Result<()> {
    let own = |name: &str| {
        let (root, extension) = name.split_once('.')?;
        let number = root.strip_prefix("universe_")?;
        let digits = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
        (digits && ["txt", "paramnames", "ranges"].contains(&extension)).then_some(())
    };
    if !folder.exists() {
        return Ok(());
    }
    remove_unfinished(folder, "universe_")?;
    for entry in std::fs::read_dir(folder).at(folder)?.flatten() {
        if entry.file_name().to_str().and_then(own).is_some() {
            std::fs::remove_file(entry.path()).at(entry.path())?;
        }
    }
    Ok(())
}
