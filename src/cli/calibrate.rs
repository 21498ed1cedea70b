//! `polycosm calibrate`: posteriors against the truth on the whole test split.

use super::campaign::Campaign;
use super::current::{Current, Judged};
use super::start::say;
use crate::calibration::{Calibration, assess, compare, spoil};
use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{At, Error, Result};
use crate::io::identity::{seal, unseal};
use crate::io::samples::Samples;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Judge the posteriors of the test split: simulation-based calibration, TARP, expected coverage
///
/// Prints the verdict; a posterior that fails does not fail the command.
///
/// Example: polycosm calibrate run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Judge a posterior spoilt on purpose: its standard deviations times this factor. Prints the verdict, writes nothing
    #[arg(long, value_name = "FACTOR")]
    pub scale_sd: Option<f64>,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| calibrate(plan, comm, args.scale_sd))
}

/// Judges every posterior that [`super::infer`] has written, and compares the first with its baseline.
pub fn calibrate(plan: &Plan, comm: &Comm, scale_sd: Option<f64>) -> Result<()> {
    let current = Current::take(plan, comm)?;
    comm.on_root(|| {
        if plan.posteriors().is_empty() {
            let error = Error::input("is missing: there is no posterior to calibrate").key("infer");
            return Err(error.remedy("add [infer] with posterior = \"STAGE\", a stage of kind \"npe\""));
        }
        let mut judged: Vec<Samples> = Vec::new();
        for stage in plan.posteriors() {
            let path = plan.posterior(&stage);
            if !path.exists() {
                let problem = format!("there are no posterior samples of stage {stage}");
                return Err(Error::input(problem).file(path).remedy("run `polycosm infer` first"));
            }
            let samples = current.samples(&path)?;
            let samples = match scale_sd {
                Some(factor) => spoil::scale_sd(&samples, factor)?,
                None => samples,
            };
            let calibration = assess(&samples, &plan.config.calibrate).map_err(|e| e.file(&path))?;
            say(format_args!("posterior `{stage}`"));
            say(&calibration);
            if scale_sd.is_none() {
                write(&Verdict { of: Judged::now(plan, &path)?, calibration }, &plan.calibration(&stage))?;
            }
            judged.push(samples);
        }
        if let [ours, baseline] = &judged[..] {
            let c = compare(ours, baseline)?;
            say(format_args!("against the baseline: {c}"));
        }
        Ok(())
    })
}

/// `calibration/<stage>.json`.
#[derive(Serialize, Deserialize)]
pub struct Verdict {
    /// What was judged, and how.
    pub of: Judged,
    #[serde(flatten)]
    pub calibration: Calibration,
}

fn write(verdict: &Verdict, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).at(folder)?;
    seal(path, verdict)
}

/// The verdict on a stage, where there is one.
pub fn read(plan: &Plan, stage: &str) -> Result<Option<Verdict>> {
    let path = plan.calibration(stage);
    if path.exists() { unseal(&path, "run `polycosm calibrate` again").map(Some) } else { Ok(None) }
}

/// Why a verdict is not to be used any more; its draws are looked at elsewhere.
pub fn outdated(plan: &Plan, stage: &str, verdict: &Verdict) -> Result<Option<String>> {
    let path = plan.posterior(stage);
    if !path.exists() {
        return Ok(Some("the draws that it is of are gone".into()));
    }
    let now = Judged::now(plan, &path)?;
    let why = match &verdict.of {
        of if of.draws != now.draws => Some("it is of other draws than those that are there".into()),
        of if of != &now => Some("it was judged by another [calibrate]".into()),
        _ => None,
    };
    Ok(why)
}
