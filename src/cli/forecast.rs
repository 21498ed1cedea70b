//! `polycosm forecast`: covariances, derivatives and Fisher matrices of a fiducial set.

use super::campaign::Campaign;
use super::current::forecast_of;
use super::start::say;
use super::timings::timed;
use crate::comm::Comm;
use crate::config::plan::Plan;
use crate::error::Result;
use crate::forecast::{self, Forecast};
use crate::io::ours::replaceable;

/// Covariances and a Fisher forecast from realisations at one fiducial point
///
/// Of every statistic of the dataset (spectra, multipoles, counts: whatever is no map, grid or list): mean, covariance,
/// derivatives by the design's pairs of steps, Fisher matrix and errors of the parameters, into forecast.h5.
///
/// Example: polycosm forecast run.toml
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub campaign: Campaign,
}

/// Collective; the root works.
pub fn run(args: &Args, comm: &Comm) -> Result<()> {
    args.campaign.with(comm, |plan| forecast(plan, comm))
}

/// Makes the forecast anew.
pub fn forecast(plan: &Plan, comm: &Comm) -> Result<()> {
    let dataset = comm.agree(plan.open_dataset())?;
    let (of, provenance) = (forecast_of(plan, comm, &dataset)?, plan.provenance(comm));
    timed(plan, comm, "forecast", || {
        comm.on_root(|| {
            let (path, made) = (plan.forecast(), Forecast::of(&dataset)?);
            if path.exists() {
                replaceable(&path)?;
            }
            forecast::write(&made, &path, &of, &provenance)?;
            say(made.to_string().trim_end());
            Ok(Some(format!("statistics: {}", made.statistics.len())))
        })
    })
}
