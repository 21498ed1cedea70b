//! FFT plans: estimated, or measured and kept with the campaign.

use crate::comm::Comm;
use crate::io::hdf::publish_text;
use crate::io::text;
use crate::mesh::plans;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How the algorithms of the Fourier transforms are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FftPlans {
    /// By FFTW's estimate: always the same.
    #[default]
    Estimated,
    /// By measuring, once; what was found is kept in the campaign's folder.
    Measured,
}

impl FftPlans {
    /// Collective: before the first plan of a universe. What `folder` keeps of earlier measurements is used.
    pub fn prepare(self, comm: &Comm, folder: Option<&Path>) {
        match self {
            FftPlans::Estimated => plans::estimate(),
            FftPlans::Measured if plans::known().is_some() => {}
            FftPlans::Measured => {
                let read = |folder| files(folder).map(|file| wisdom(&file));
                let kept = comm.is_root().then(|| folder.map(read).unwrap_or_default());
                plans::measure(comm.broadcast_value(0, kept));
            }
        }
    }

    /// After the plans were made: the root keeps what was measured. Not to be able to is no failure.
    pub fn keep(self, comm: &Comm, folder: Option<&Path>) {
        let (Some(known), Some(folder)) = (plans::known().filter(|_| comm.is_root()), folder) else { return };
        for (wisdom, file) in known.iter().zip(files(folder)) {
            let kept = self::wisdom(&file);
            // What is no wisdom is not polycosm's.
            let own = !file.exists() || kept.starts_with("(fftw-");
            if own && !wisdom.is_empty() && *wisdom != kept {
                publish_text(&file, wisdom).unwrap_or_else(|e| log::warn!("measured FFT plans are not kept: {e}"));
            }
        }
    }
}

/// What a file has of it; nothing where it cannot be read.
fn wisdom(file: &Path) -> String {
    text::read(file).ok().flatten().unwrap_or_default()
}

fn files(folder: &Path) -> [PathBuf; 2] {
    ["f32", "f64"].map(|real| folder.join(format!("fftw-wisdom-{real}.txt")))
}
