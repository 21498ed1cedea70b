//! The campaign file: the sections, each standing beside the code it configures, put together.

use super::{Loaded, load};
use crate::comm::Comm;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The campaign file as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder that everything is written to.
    pub output: PathBuf,
    /// Seed of the campaign; with a realisation's number it fixes a universe to the last bit.
    #[serde(default)]
    pub seed: u64,
    /// The universe: parameters that are not varied, and the transfer function.
    #[serde(default)]
    pub cosmology: crate::cosmology::CosmologyConfig,
    /// Which universes: the varied parameters and how they fill their prior. Absent for foreign data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<crate::suite::design::DesignConfig>,
    /// How a universe is made. Absent for foreign data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulator: Option<crate::simulators::SimulatorConfig>,
    /// How the simulations share the ranks and files.
    #[serde(default)]
    pub suite: crate::suite::SuiteConfig,
    /// Foreign data instead of a simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<crate::io::dataset::DatasetConfig>,
    /// Networks, trained in this order.
    #[cfg(feature = "torch")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<crate::train::StageConfig>,
    /// Without libtorch the stages are kept as they are, for another machine.
    #[cfg(not(feature = "torch"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<toml::Table>,
    /// Which posterior to draw from, and how often.
    #[cfg(feature = "torch")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infer: Option<crate::infer::InferConfig>,
    /// Without libtorch kept as it is, for another machine.
    #[cfg(not(feature = "torch"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infer: Option<toml::Table>,
    /// Level of the calibration bands.
    #[serde(default)]
    pub calibrate: crate::calibration::CalibrateConfig,
    /// The page at the end.
    #[serde(default)]
    pub report: crate::report::ReportConfig,
}

/// A campaign with every check done that needs no simulation: what the subcommands run.
pub struct Plan {
    /// The resolved sections.
    pub config: Config,
    /// `<output>/campaign.toml`, also part of every file's provenance.
    pub resolved: String,
}

impl Config {
    /// Reads the campaign on the root and shares it: one reader, one message when it is wrong.
    pub fn load(comm: &Comm, path: &Path, sets: &[String]) -> Result<Loaded<Config>> {
        // Every rank reads the same file; `agree` makes the first refusal everyone's.
        comm.agree(load(path, sets))
    }

    /// Checks what concerns more than one section. The sections' own checks follow in [`Plan::new`].
    fn check(&self, comm: &Comm) -> Result<()> {
        let refuse = |problem: &str, key: &str, remedy: &str| Err(Error::input(problem).key(key).remedy(remedy));
        match (&self.simulator, &self.dataset) {
            (Some(_), Some(_)) => {
                return refuse(
                    "there is a [simulator] too",
                    "dataset",
                    "keep [dataset] for foreign data, or [simulator]",
                );
            }
            (None, None) => return refuse("is missing", "simulator", "add [simulator], or [dataset] for foreign data"),
            (Some(_), None) if self.design.is_none() => {
                return refuse("is missing", "design", "add [design] and [design.parameters]");
            }
            _ => {}
        }
        if self.suite.ranks_per_sim > comm.size() {
            let problem = format!("larger than the job, which has {} rank(s)", comm.size());
            let remedy = format!("start more ranks (mpirun -n {}), or lower it", self.suite.ranks_per_sim);
            return Err(Error::input(problem)
                .key("suite.ranks_per_sim")
                .value(self.suite.ranks_per_sim)
                .remedy(remedy));
        }
        Ok(())
    }
}

impl Plan {
    /// All checks; the root makes sure that `output` can be written, and leaves nothing behind if it cannot.
    pub fn new(loaded: &Loaded<Config>, comm: &Comm) -> Result<Plan> {
        let config = loaded.value.clone();
        let checked = config.check(comm).and_then(|()| loaded.resolved()).map_err(|e| loaded.locate(e));
        let resolved = comm.agree(checked)?;
        comm.on_root(|| writable(&config.output).map_err(|e| loaded.locate(e)))?;
        Ok(Plan { config, resolved })
    }
}

/// Refuses an output folder that cannot be made or written to, without making it: its nearest existing ancestor decides.
pub fn writable(output: &Path) -> Result<()> {
    let refuse = |problem: String| {
        let remedy = "choose a folder you may write to: --set output=DIR";
        Error::input(problem).key("output").value(output.display().to_string()).remedy(remedy)
    };
    let absolute = std::path::absolute(output).map_err(|e| refuse(format!("not a path: {e}")))?;
    let nearest = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    if !nearest.is_dir() {
        return Err(refuse(format!("cannot be a folder: {} is a file", nearest.display())));
    }
    // An unnamed file: tried for real (permissions, read-only and full disks), and gone by itself.
    tempfile::tempfile_in(nearest).map(drop).map_err(|e| refuse(format!("cannot be written: {e}")))
}
