//! What a cluster needs to know: how a program is started there, and how much each stage asks for.

use super::directive;
use crate::config;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Sites that travel with the program: name and text.
pub const SITES: [(&str, &str); 1] = [("generic", include_str!("../../jobs/generic.toml"))];

/// A cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// What starts the ranks, e.g. `srun --mpi=pmix`.
    #[serde(default = "srun")]
    pub launcher: String,
    /// The polycosm to run; by default the one that wrote the script.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Shell lines before the program, e.g. `module load openmpi`.
    #[serde(default)]
    pub preamble: Vec<String>,
    /// Seconds before the time limit at which the job is asked to stop.
    #[serde(default = "grace")]
    pub grace: u32,
    /// How often a job may go back into the queue.
    #[serde(default = "restarts")]
    pub max_restarts: u32,
    /// For `simulate`.
    pub simulate: Resources,
    /// For `train`.
    pub train: Resources,
    /// For `forecast`, `apply`, `infer`, `calibrate` and `report`, those of them that the campaign needs, one after the
    /// other in one job.
    pub analyse: Resources,
}

fn srun() -> String {
    "srun --mpi=pmix".into()
}

fn grace() -> u32 {
    120
}

fn restarts() -> u32 {
    50
}

/// What one job asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Number of nodes.
    pub nodes: u32,
    /// MPI ranks on each node.
    pub ranks_per_node: u32,
    /// Cores, and so threads, of each rank.
    #[serde(default = "one")]
    pub cores_per_rank: u32,
    /// Time limit, as Slurm reads it: `hours:minutes:seconds` or `days-hours`.
    pub time: String,
    /// Partition; the site's default if absent.
    #[serde(default)]
    pub partition: Option<String>,
    /// Account to charge.
    #[serde(default)]
    pub account: Option<String>,
    /// Memory per node, e.g. `64G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// GPUs per node.
    #[serde(default)]
    pub gpus_per_node: u32,
    /// Any further `sbatch` options, e.g. `--exclusive`.
    #[serde(default)]
    pub options: Vec<String>,
}

fn one() -> u32 {
    1
}

impl Resources {
    /// As `sbatch` options.
    pub(super) fn options(&self) -> Vec<String> {
        let mut list = vec![
            format!("--nodes={}", self.nodes),
            format!("--ntasks-per-node={}", self.ranks_per_node),
            format!("--cpus-per-task={}", self.cores_per_rank),
            format!("--time={}", directive(&self.time)),
        ];
        let optional = [("partition", &self.partition), ("account", &self.account), ("mem", &self.memory)];
        list.extend(
            optional.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", directive(value.as_ref()?)))),
        );
        if self.gpus_per_node > 0 {
            list.push(format!("--gpus-per-node={}", self.gpus_per_node));
        }
        list.extend(self.options.iter().cloned());
        list
    }

    fn check(&self, stage: &str) -> Result<()> {
        let counts =
            [("nodes", self.nodes), ("ranks_per_node", self.ranks_per_node), ("cores_per_rank", self.cores_per_rank)];
        for (name, count) in counts {
            if count == 0 {
                return Err(Error::input("must be at least 1")
                    .key(format!("{stage}.{name}"))
                    .value(count)
                    .remedy("give 1 or more"));
            }
        }
        match self.options().into_iter().find(|o| o.contains('\n') || !o.starts_with("--")) {
            Some(o) => Err(Error::input("is not an sbatch option")
                .key(format!("{stage}.options"))
                .value(o)
                .remedy("write it as --name=value, on one line")),
            None => Ok(()),
        }
    }
}

/// A built-in site by name, or a file by path.
pub fn site(name: &str) -> Result<Site> {
    let loaded: config::Loaded<Site> = match SITES.iter().find(|(n, _)| *n == name) {
        Some((_, text)) => config::parse(format!("site {name}"), text.to_string(), &[])?,
        None if !std::path::Path::new(name).exists() => {
            let known = SITES.map(|s| s.0).join(", ");
            let remedy = format!("built in: {known}; or give the path of your own file (start from jobs/generic.toml)");
            return Err(Error::input("there is no such site or file").key("--site").value(name).remedy(remedy));
        }
        None => config::load(name, &[])?,
    };
    let s = &loaded.value;
    let stages = [("simulate", &s.simulate), ("train", &s.train), ("analyse", &s.analyse)];
    stages.into_iter().try_for_each(|(name, r)| r.check(name)).map_err(|e| loaded.locate(e))?;
    Ok(loaded.value)
}
