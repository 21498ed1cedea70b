//! `<output>/timings.json`: wall-clock seconds of each stage, added up over the runs that a campaign took.

use crate::comm::Comm;
use crate::config::campaign::Plan;
use crate::error::{Error, Result};
use crate::io::hdf::publish_text;
use crate::limits;
use crate::report::StageTiming;
use std::time::Instant;

/// Runs a stage and books its time. Collective; the root writes. A stage that found nothing to do (`None`) is not booked.
pub fn timed(plan: &Plan, comm: &Comm, stage: &str, work: impl FnOnce() -> Result<Option<String>>) -> Result<()> {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let Some(detail) = result? else { return Ok(()) };
    comm.on_root(|| {
        let mut all = read(plan)?;
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
pub fn read(plan: &Plan) -> Result<Vec<StageTiming>> {
    let path = plan.timings();
    if !path.exists() {
        return Ok(vec![]);
    }
    // Times are a convenience: a damaged file is started anew.
    let text = limits::read_text(&path, limits::TABLE).ok();
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
