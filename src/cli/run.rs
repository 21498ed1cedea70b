//! `polycosm run`: every stage in order, skipping what is done.

use super::ahead::Ahead;
use super::campaign::Campaign;
use super::{apply, calibrate, forecast, infer, report, simulate, train};
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::prior::DrawnFrom;
use crate::suite::Options;

/// The whole campaign in order: simulate, train, apply, infer, calibrate, report; skips what is done. A design at one
/// fiducial point is forecast once it is simulated
///
/// Of the calibration it prints the verdict alone; `polycosm calibrate` prints all tests.
///
/// Example: mpirun -n 2 polycosm run run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
    /// Exit with code 1 unless all chains have mixed and every posterior passes its calibration
    #[arg(long)]
    pub strict: bool,
}

/// Collective.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| all(plan, comm, args.strict))
}

fn all(plan: &Plan, comm: &Comm, strict: bool) -> Result<()> {
    plan.check_observations(comm)?;
    if let Some(ahead) = comm.agree(Ahead::of(plan))? {
        ahead.check(plan, comm, plan.config.infer.is_some())?;
    }
    if plan.config.simulator.is_some() {
        simulate::simulate(plan, comm, &Options::default())?;
    }
    if plan.drawn_from() == Some(DrawnFrom::Fiducial) {
        forecast::forecast(plan, comm)?;
    }
    if plan.config.train.is_empty() {
        return report::report(plan, comm);
    }
    train::train(plan, comm, None)?;
    apply::apply(plan, comm, None)?;
    if plan.config.infer.is_some() {
        infer::infer(plan, comm, strict)?;
        // A posterior that cannot be judged, or is not to be passed, still has a report.
        let judged = calibrate::calibrate(plan, comm, None, strict, true);
        report::report(plan, comm)?;
        return judged;
    }
    report::report(plan, comm)
}
