//! `<output>/timings.json`: wall-clock seconds of each stage, added up over the runs that a campaign took.

use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::{Error, Result};
use crate::io::hdf::publish_text;
use crate::io::text;
use crate::report::StageTiming;
use std::time::Instant;

/// Runs a stage and books its time. Collective; the root writes. A stage that found nothing to do (`None`) is not
/// booked.
pub fn timed(plan: &Plan, comm: &Comm, stage: &str, work: impl FnOnce() -> Result<Option<String>>) -> Result<()> {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let Some(detail) = result? else { return Ok(()) };
    comm.on_root(|| {
        let Some(mut all) = booked(plan) else {
            let path = plan.timings();
            log::warn!("{}: is not what polycosm writes, which leaves it alone: times are not kept", path.display());
            return Ok(());
        };
        match all.iter_mut().find(|t| t.stage == stage) {
            Some(t) => {
                t.seconds += seconds;
                t.ranks = comm.size();
                t.detail = detail;
            }
            None => all.push(StageTiming { stage: stage.into(), seconds, ranks: comm.size(), detail }),
        }
        let text = serde_json::to_string_pretty(&all).map_err(|e| Error::failed(e.to_string()))?;
        publish_text(&plan.timings(), &text)
    })
}

/// What has been booked so far.
pub fn read(plan: &Plan) -> Vec<StageTiming> {
    booked(plan).unwrap_or_default()
}

/// The same; `None` where the file is not what this program writes: damaged, or the user's own.
fn booked(plan: &Plan) -> Option<Vec<StageTiming>> {
    text::read(&plan.timings()).ok()?.map_or(Some(vec![]), |text| serde_json::from_str(&text).ok())
}
