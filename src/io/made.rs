//! How each simulation was made: where, in which job, and at what cost. It differs between runs of one campaign, as times
//! and hosts do; nothing else of a dataset does.

use super::hdf::{File, Word};
use crate::comm::Comm;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// How one simulation was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Where its group's first rank ran.
    pub node: String,
    /// Slurm's number of the job, `_` and that of the array task where there is one; empty outside of Slurm.
    pub job: String,
    /// Wall-clock seconds; NaN where nothing is known, as of a simulation that is not there.
    pub seconds: f64,
    /// The most memory in bytes that one rank of its group had held by its end, with all that it did before; 0: unknown.
    pub memory: u64,
    /// When it ended, in seconds since 1970 (UTC); NaN where nothing is known.
    pub finished: f64,
}

impl Default for Made {
    fn default() -> Self {
        Made { node: String::new(), job: String::new(), seconds: f64::NAN, memory: 0, finished: f64::NAN }
    }
}

impl Made {
    /// Units of the arrays that have one.
    pub const UNITS: [(&str, &str); 3] = [
        ("provenance/seconds", "s"),
        ("provenance/memory", "bytes"),
        ("provenance/finished", "s since 1970-01-01 UTC"),
    ];

    /// Of one that ends now, on this node and in this job.
    pub fn now(seconds: f64, memory: u64) -> Made {
        let told = |name: &str| std::env::var(name).ok();
        let task =
            told("SLURM_ARRAY_JOB_ID").zip(told("SLURM_ARRAY_TASK_ID")).map(|(job, task)| format!("{job}_{task}"));
        Made {
            node: gethostname::gethostname().to_string_lossy().into_owned(),
            job: task.or_else(|| told("SLURM_JOB_ID")).unwrap_or_default(),
            seconds,
            memory,
            finished: std::time::UNIX_EPOCH.elapsed().map_or(f64::NAN, |since| since.as_secs_f64()),
        }
    }

    /// Collective in a parallel file: writes the arrays (n) of `provenance/`.
    pub fn write(all: &[Made], comm: Option<&Comm>, file: &File) -> Result<()> {
        let n = [all.len()];
        let words = |text: fn(&Made) -> &str| all.iter().map(|made| Word::of(text(made))).collect::<Vec<_>>();
        file.write(comm, "provenance/node", &n, &words(|made| &made.node))?;
        file.write(comm, "provenance/job", &n, &words(|made| &made.job))?;
        file.write(comm, "provenance/seconds", &n, &all.iter().map(|made| made.seconds).collect::<Vec<_>>())?;
        file.write(comm, "provenance/memory", &n, &all.iter().map(|made| made.memory).collect::<Vec<_>>())?;
        file.write(comm, "provenance/finished", &n, &all.iter().map(|made| made.finished).collect::<Vec<_>>())?;
        Made::UNITS.iter().try_for_each(|(name, unit)| file.set_text(name, "units", unit))
    }

    /// Serial: what [`Made::write`] wrote; none of a file of an older program.
    pub fn read(file: &File) -> Result<Vec<Made>> {
        if !file.exists("provenance/finished") {
            return Ok(vec![]);
        }
        let texts = |name: &str| -> Result<Vec<String>> { Ok(file.array(name)?.texts()?.unwrap_or_default()) };
        let (nodes, jobs) = (texts("provenance/node")?, texts("provenance/job")?);
        let seconds = file.read::<f64>("provenance/seconds")?;
        let (memory, finished) = (file.read::<u64>("provenance/memory")?, Made::times(file)?);
        let rest = seconds.into_iter().zip(memory).zip(finished);
        let all = nodes.into_iter().zip(jobs).zip(rest);
        Ok(all
            .map(|((node, job), ((seconds, memory), finished))| Made { node, job, seconds, memory, finished })
            .collect())
    }

    /// Serial: when each ended; none of a file of an older program.
    pub fn times(file: &File) -> Result<Vec<f64>> {
        if file.exists("provenance/finished") { file.read("provenance/finished") } else { Ok(vec![]) }
    }
}
